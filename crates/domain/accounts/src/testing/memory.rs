//! Stores in memory: proof that the suites can pass.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};

use alivio_kernel::ids::{SessionId, UserId};
use alivio_kernel::{Caller, Effects, Event, IdSource, Language, Role, Sealed, Sensitive, SystemIds};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::World;
use crate::{
    Admission, CredentialEpoch, Credentials, Error, LiveSession, NewSession, RevocationReason, Rotation,
    SecretHash, SessionRecord, SessionStage, SessionStore, StoredUser, USUAL_FOR, UserStore,
};

#[derive(Default)]
pub(crate) struct Memory(Mutex<State>);

#[derive(Default)]
struct State {
    users: HashMap<UserId, ([u8; 16], Credentials)>,
    relationships: BTreeSet<(UserId, UserId)>,
    sessions: HashMap<SessionId, Session>,
    /// Session, end, and whether it was used.
    tokens: HashMap<SecretHash, (SessionId, DateTime<Utc>, bool)>,
    tickets: HashMap<SecretHash, (SessionId, DateTime<Utc>)>,
    events: Vec<Event>,
}

struct Session {
    new: NewSession,
    revoked: Option<RevocationReason>,
    last_active_at: DateTime<Utc>,
    is_new_device: bool,
}

/// The network of an address.
fn network(address: std::net::IpAddr) -> u128 {
    match address {
        std::net::IpAddr::V4(v4) => u128::from(u32::from(v4) >> 8),
        std::net::IpAddr::V6(v6) => u128::from(v6) >> 80 << 40,
    }
}

impl Memory {
    /// Others get their turn first, as with a real store.
    async fn lock(&self) -> MutexGuard<'_, State> {
        tokio::task::yield_now().await;
        self.0.lock().unwrap()
    }
}

impl State {
    fn live(&self, id: SessionId, now: DateTime<Utc>) -> Option<LiveSession> {
        let session = self.sessions.get(&id).filter(|s| s.revoked.is_none())?;
        let user = self.users.get(&session.new.user_id).map(|(_, c)| &c.user).filter(|u| u.is_active)?;
        let caller = Caller { user_id: user.id, role: user.role, session_id: id, address: None };
        let (stage, expires_at) = (session.new.stage, session.new.expires_at);
        let live = LiveSession { caller, stage, expires_at, last_active_at: session.last_active_at };
        live.lives(now).then_some(live)
    }

    fn store(&mut self, effects: Effects) {
        self.events.extend(effects.events);
    }

    /// The live sessions of a user, the newest first.
    fn living(&self, user: UserId, now: DateTime<Utc>) -> Vec<&Session> {
        let of_user = self.sessions.values().filter(|s| s.new.user_id == user);
        let mut living: Vec<_> = of_user.filter(|s| self.live(s.new.id, now).is_some()).collect();
        living.sort_by_key(|s| std::cmp::Reverse((s.new.created_at, s.new.id)));
        living
    }

    fn is_unusual(&self, session: &NewSession) -> bool {
        let earlier: Vec<_> = self
            .sessions
            .values()
            .map(|s| &s.new)
            .filter(|s| s.user_id == session.user_id && s.stage == SessionStage::Full)
            .collect();
        let recent = || earlier.iter().filter(|s| s.created_at > session.created_at - USUAL_FOR);
        let same_device = recent().any(|s| s.origin.device == session.origin.device);
        let mine = session.origin.address.map(network);
        let same_network = mine.is_none() || recent().any(|s| s.origin.address.map(network) == mine);
        session.stage == SessionStage::Full && !earlier.is_empty() && !(same_device && same_network)
    }

    fn end(&mut self, session: SessionId, reason: RevocationReason) -> bool {
        let session = self.sessions.get_mut(&session).filter(|s| s.revoked.is_none());
        session.map(|session| session.revoked = Some(reason)).is_some()
    }

    fn user(&mut self, id: UserId) -> &mut StoredUser {
        &mut self.users.get_mut(&id).unwrap().1.user
    }
}

#[async_trait]
impl UserStore for Memory {
    async fn insert(
        &self,
        user: &StoredUser,
        email_index: [u8; 16],
        password_hash: &Sensitive<String>,
    ) -> Result<(), Error> {
        let mut state = self.lock().await;
        if state.users.values().any(|(index, _)| *index == email_index) {
            return Err(Error::EmailTaken);
        }
        let credentials = Credentials {
            user: user.clone(),
            password_hash: Some(password_hash.clone()),
            must_change_password: false,
            epoch: CredentialEpoch::default(),
        };
        state.users.insert(user.id, (email_index, credentials));
        Ok(())
    }

    async fn credentials(&self, email_index: [u8; 16]) -> Result<Option<Credentials>, Error> {
        let state = self.lock().await;
        Ok(state.users.values().find(|(index, _)| *index == email_index).map(|(_, found)| found.clone()))
    }

    async fn by_ids(&self, ids: &[UserId]) -> Result<Vec<StoredUser>, Error> {
        let state = self.lock().await;
        Ok(ids.iter().filter_map(|id| state.users.get(id)).map(|(_, found)| found.user.clone()).collect())
    }

    async fn record_seen(&self, user: UserId, at: DateTime<Utc>) -> Result<(), Error> {
        let mut state = self.lock().await;
        let user = state.user(user);
        user.last_seen_at = user.last_seen_at.max(Some(at));
        Ok(())
    }

    async fn relate(&self, patient: UserId, professional: UserId, _: DateTime<Utc>) -> Result<(), Error> {
        self.lock().await.relationships.insert((patient, professional));
        Ok(())
    }

    async fn related(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, Error> {
        let state = self.lock().await;
        let is_related = |other: &UserId| {
            state.relationships.contains(&(user, *other)) || state.relationships.contains(&(*other, user))
        };
        Ok(others.iter().copied().filter(is_related).collect())
    }
}

#[async_trait]
impl SessionStore for Memory {
    async fn open(&self, session: &NewSession, admission: &Admission) -> Result<Vec<SessionId>, Error> {
        let mut state = self.lock().await;
        let now = session.created_at;
        let credentials = &state.users[&session.user_id].1;
        if !credentials.user.is_active || credentials.epoch != session.epoch {
            return Err(Error::InvalidCredentials);
        }
        if let Some(step) = session.replaces
            && (state.live(step, now).is_none() || !state.end(step, RevocationReason::StepDone))
        {
            return Err(Error::SessionEnded);
        }
        let is_new_device = state.is_unusual(session);
        if let Some(refresh) = session.refresh {
            state.tokens.insert(refresh.hash, (session.id, refresh.expires_at, false));
        }
        let is_full = |s: &NewSession| s.stage == SessionStage::Full;
        let living = state.living(session.user_id, now);
        let same = living.iter().map(|s| &s.new).filter(|s| is_full(s) == is_full(session));
        let evicted: Vec<_> = same.skip(admission.max_live - 1).map(|s| s.id).collect();
        let stored = Session { new: session.clone(), revoked: None, last_active_at: now, is_new_device };
        state.sessions.insert(session.id, stored);
        state.store(admission.effects.clone());
        if is_new_device {
            state.store(admission.unusual.clone());
        }
        for id in &evicted {
            state.end(*id, RevocationReason::Evicted);
            state.store((admission.evicted)(*id));
        }
        Ok(evicted)
    }

    async fn rotate(
        &self,
        presented: SecretHash,
        next: SecretHash,
        now: DateTime<Utc>,
        next_expires_at: DateTime<Utc>,
    ) -> Result<Rotation, Error> {
        let mut state = self.lock().await;
        let Some((session_id, expires_at, used)) = state.tokens.get(&presented).copied() else {
            return Ok(Rotation::Refused);
        };
        let Some(live) = state.live(session_id, now) else { return Ok(Rotation::Refused) };
        if used {
            return Ok(Rotation::Reused { session_id, user_id: live.caller.user_id });
        }
        if expires_at <= now {
            return Ok(Rotation::Refused);
        }
        state.tokens.insert(presented, (session_id, expires_at, true));
        state.tokens.insert(next, (session_id, next_expires_at, false));
        let session = state.sessions.get_mut(&session_id).unwrap();
        session.last_active_at = session.last_active_at.max(now);
        Ok(Rotation::Rotated(LiveSession { last_active_at: session.last_active_at, ..live }))
    }

    async fn revoke(
        &self,
        session: SessionId,
        owner: UserId,
        reason: RevocationReason,
        _: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error> {
        let mut state = self.lock().await;
        let is_theirs = state.sessions.get(&session).is_some_and(|s| s.new.user_id == owner);
        let ended = is_theirs && state.end(session, reason);
        if ended {
            state.store(effects);
        }
        Ok(ended)
    }

    async fn revoke_all(
        &self,
        user: UserId,
        except: Option<SessionId>,
        reason: RevocationReason,
        _: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error> {
        let mut state = self.lock().await;
        state.users.get_mut(&user).unwrap().1.epoch.0 += 1;
        let of_user = state.sessions.values().map(|s| &s.new).filter(|s| s.user_id == user);
        let others: Vec<_> = of_user.map(|s| s.id).filter(|id| Some(*id) != except).collect();
        let ended = others.into_iter().filter(|id| state.end(*id, reason)).count();
        if ended > 0 {
            state.store(effects);
        }
        Ok(ended > 0)
    }

    async fn touch(&self, session: SessionId, now: DateTime<Utc>) -> Result<bool, Error> {
        let mut state = self.lock().await;
        if state.live(session, now).is_none() {
            return Ok(false);
        }
        let session = state.sessions.get_mut(&session).unwrap();
        session.last_active_at = session.last_active_at.max(now);
        Ok(true)
    }

    async fn list(&self, user: UserId, now: DateTime<Utc>) -> Result<Vec<SessionRecord>, Error> {
        let record = |session: &Session| SessionRecord {
            id: session.new.id,
            created_at: session.new.created_at,
            last_active_at: session.last_active_at,
            expires_at: session.new.expires_at,
            stage: session.new.stage,
            origin: session.new.origin.clone(),
            is_new_device: session.is_new_device,
        };
        Ok(self.lock().await.living(user, now).into_iter().map(record).collect())
    }

    async fn live(&self, session: SessionId, now: DateTime<Utc>) -> Result<Option<LiveSession>, Error> {
        Ok(self.lock().await.live(session, now))
    }

    async fn put_ticket(
        &self,
        ticket: SecretHash,
        session: SessionId,
        _now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.lock().await.tickets.insert(ticket, (session, expires_at));
        Ok(())
    }

    async fn take_ticket(&self, ticket: SecretHash, now: DateTime<Utc>) -> Result<Option<SessionId>, Error> {
        let taken = self.lock().await.tickets.remove(&ticket);
        Ok(taken.filter(|(_, expires_at)| now < *expires_at).map(|(session, _)| session))
    }
}

#[async_trait]
impl World for Memory {
    async fn user(&self, role: Role) -> UserId {
        let user = StoredUser {
            id: UserId::generate(&SystemIds),
            identity: Sealed::from_bytes(vec![1]),
            role,
            professional_title: None,
            language: Language::Spanish,
            is_active: true,
            last_seen_at: None,
            created_at: DateTime::UNIX_EPOCH,
        };
        let address = SystemIds.uuid().into_bytes();
        self.insert(&user, address, &Sensitive::new(String::new())).await.unwrap();
        user.id
    }

    async fn deactivate(&self, user: UserId) {
        self.lock().await.user(user).is_active = false;
    }

    async fn set_role(&self, user: UserId, role: Role) {
        self.lock().await.user(user).role = role;
    }

    async fn relate(&self, patient: UserId, professional: UserId) {
        UserStore::relate(self, patient, professional, DateTime::UNIX_EPOCH).await.unwrap();
    }

    async fn open_session(&self, user: UserId) -> SessionId {
        let (id, now) = (SessionId::generate(&SystemIds), DateTime::UNIX_EPOCH);
        let new = NewSession {
            id,
            user_id: user,
            epoch: CredentialEpoch::default(),
            created_at: now,
            expires_at: now,
            stage: SessionStage::Full,
            origin: alivio_kernel::Origin::default(),
            refresh: None,
            replaces: None,
        };
        let session = Session { new, revoked: None, last_active_at: now, is_new_device: false };
        self.lock().await.sessions.insert(id, session);
        id
    }

    async fn epoch(&self, user: UserId) -> CredentialEpoch {
        self.lock().await.users[&user].1.epoch
    }

    async fn revocations(&self, user: UserId) -> Vec<Option<String>> {
        let state = self.lock().await;
        let of_user = state.sessions.values().filter(|s| s.new.user_id == user);
        of_user.map(|s| s.revoked.map(|reason| reason.as_str().to_owned())).collect()
    }

    async fn events(&self) -> Vec<Event> {
        self.lock().await.events.clone()
    }
}

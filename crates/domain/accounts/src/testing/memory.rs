//! Stores in memory: proof that the suites can pass.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};

use alivio_kernel::ids::{SessionId, UserId};
use alivio_kernel::{Caller, Event, IdSource, Role, Sealed, Sensitive, SystemIds};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::World;
use crate::{
    Credentials, Error, LiveSession, NewSession, Rotation, SecretHash, SessionStore, StoredUser, UserStore,
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
    revoked: bool,
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
        let session = self.sessions.get(&id).filter(|s| !s.revoked && now < s.new.expires_at)?;
        let user = self.users.get(&session.new.user_id).map(|(_, c)| &c.user).filter(|u| u.is_active)?;
        let caller = Caller { user_id: user.id, role: user.role, session_id: id };
        Some(LiveSession { caller, expires_at: session.new.expires_at })
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
        let credentials = Credentials { user: user.clone(), password_hash: password_hash.clone() };
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
    async fn open(&self, session: &NewSession) -> Result<(), Error> {
        let mut state = self.lock().await;
        state.tokens.insert(session.refresh, (session.id, session.refresh_expires_at, false));
        state.sessions.insert(session.id, Session { new: session.clone(), revoked: false });
        Ok(())
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
        Ok(Rotation::Rotated(live))
    }

    async fn revoke(
        &self,
        session: SessionId,
        _: &'static str,
        _: DateTime<Utc>,
        event: Event,
    ) -> Result<(), Error> {
        let mut state = self.lock().await;
        if let Some(session) = state.sessions.get_mut(&session).filter(|s| !s.revoked) {
            session.revoked = true;
            state.events.push(event);
        }
        Ok(())
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

    async fn events(&self) -> Vec<Event> {
        self.lock().await.events.clone()
    }
}

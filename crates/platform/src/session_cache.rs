use std::sync::Arc;
use std::time::Duration;

use alivio_accounts::{
    Admission, Error, LiveSession, NewSession, RevocationReason, Rotation, SecretHash, SessionRecord,
    SessionStore,
};
use alivio_kernel::Effects;
use alivio_kernel::ids::{SessionId, UserId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use moka::future::Cache;

/// A session that another node has ended may act here for so long.
const FRESH: Duration = Duration::from_secs(1);

/// Remembers for a second that a session lives, so that not every request asks the database.
pub(crate) struct CachedSessions {
    inner: Arc<dyn SessionStore>,
    live: Cache<SessionId, LiveSession>,
}

impl CachedSessions {
    pub(crate) fn new(inner: Arc<dyn SessionStore>) -> Self {
        let live = Cache::builder().max_capacity(100_000).time_to_live(FRESH).support_invalidation_closures();
        Self { inner, live: live.build() }
    }

    pub(crate) async fn forget(&self, session: SessionId) {
        self.live.invalidate(&session).await;
    }

    pub(crate) fn forget_user(&self, user: UserId) {
        // Fails only without support for closures, which the cache was built with.
        self.live.invalidate_entries_if(move |_, live| live.caller.user_id == user).ok();
    }
}

#[async_trait]
impl SessionStore for CachedSessions {
    async fn open(&self, session: &NewSession, admission: &Admission) -> Result<Vec<SessionId>, Error> {
        let evicted = self.inner.open(session, admission).await?;
        for ended in evicted.iter().chain(&session.replaces) {
            self.forget(*ended).await;
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
        self.inner.rotate(presented, next, now, next_expires_at).await
    }

    async fn revoke(
        &self,
        session: SessionId,
        owner: UserId,
        reason: RevocationReason,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error> {
        let ended = self.inner.revoke(session, owner, reason, now, effects).await?;
        self.forget(session).await;
        Ok(ended)
    }

    async fn revoke_all(
        &self,
        user: UserId,
        except: Option<SessionId>,
        reason: RevocationReason,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error> {
        let ended = self.inner.revoke_all(user, except, reason, now, effects).await?;
        self.forget_user(user);
        Ok(ended)
    }

    async fn live(&self, session: SessionId, now: DateTime<Utc>) -> Result<Option<LiveSession>, Error> {
        if let Some(live) = self.live.get(&session).await.filter(|live| live.lives(now)) {
            return Ok(Some(live));
        }
        let live = self.inner.live(session, now).await?;
        if let Some(live) = live {
            self.live.insert(session, live).await;
        }
        Ok(live)
    }

    async fn touch(&self, session: SessionId, now: DateTime<Utc>) -> Result<bool, Error> {
        let lives = self.inner.touch(session, now).await?;
        // What is remembered is older than that.
        self.forget(session).await;
        Ok(lives)
    }

    async fn list(&self, user: UserId, now: DateTime<Utc>) -> Result<Vec<SessionRecord>, Error> {
        self.inner.list(user, now).await
    }

    async fn put_ticket(
        &self,
        ticket: SecretHash,
        session: SessionId,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.inner.put_ticket(ticket, session, now, expires_at).await
    }

    async fn take_ticket(&self, ticket: SecretHash, now: DateTime<Utc>) -> Result<Option<SessionId>, Error> {
        self.inner.take_ticket(ticket, now).await
    }
}

#[cfg(test)]
mod tests {
    use alivio_accounts::{MockSessionStore, SessionStage};
    use alivio_kernel::ids::Uuid;
    use alivio_kernel::{Caller, Clock, ManualClock, Role};
    use chrono::TimeDelta;

    use super::*;

    fn live(expires_at: DateTime<Utc>) -> LiveSession {
        let (user_id, session_id) = (UserId::from(Uuid::from_u128(1)), SessionId::from(Uuid::from_u128(2)));
        LiveSession {
            stage: SessionStage::Full,
            caller: Caller { user_id, role: Role::Doctor, session_id, address: None },
            expires_at,
            last_active_at: ManualClock::default().now(),
        }
    }

    #[tokio::test]
    async fn a_live_session_is_asked_for_once_and_never_acts_past_its_end() {
        let clock = ManualClock::default();
        let session = live(clock.now() + TimeDelta::minutes(1));
        let mut store = MockSessionStore::new();
        store
            .expect_live()
            .times(2)
            .returning(move |_, now| Ok((session.expires_at > now).then_some(session)));
        let cached = CachedSessions::new(Arc::new(store));
        let id = session.caller.session_id;
        assert!(cached.live(id, clock.now()).await.unwrap().is_some());
        assert!(cached.live(id, clock.now()).await.unwrap().is_some());
        clock.advance(TimeDelta::minutes(2));
        assert!(cached.live(id, clock.now()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_remembered_session_goes_idle() {
        let clock = ManualClock::default();
        let session = live(DateTime::<Utc>::MAX_UTC);
        let mut store = MockSessionStore::new();
        store.expect_live().times(2).returning(move |_, now| Ok(session.lives(now).then_some(session)));
        let cached = CachedSessions::new(Arc::new(store));
        let id = session.caller.session_id;
        for (seconds, lives) in [(0, true), (29 * 60 + 59, true), (30 * 60 + 1, false)] {
            let now = clock.now() + TimeDelta::seconds(seconds);
            assert_eq!(cached.live(id, now).await.unwrap().is_some(), lives, "{seconds}");
        }
    }

    #[tokio::test]
    async fn all_sessions_of_a_user_are_forgotten_at_once() {
        let session = live(DateTime::<Utc>::MAX_UTC);
        let other = LiveSession {
            caller: Caller {
                user_id: Uuid::from_u128(9).into(),
                session_id: Uuid::from_u128(3).into(),
                ..session.caller
            },
            ..session
        };
        let mut store = MockSessionStore::new();
        let mut answers = [Some(session), Some(other), None].into_iter();
        store.expect_live().times(3).returning(move |_, _| Ok(answers.next().flatten()));
        let cached = CachedSessions::new(Arc::new(store));
        let now = ManualClock::default().now();
        for session in [session, other] {
            assert!(cached.live(session.caller.session_id, now).await.unwrap().is_some());
        }
        cached.forget_user(session.caller.user_id);
        assert!(cached.live(session.caller.session_id, now).await.unwrap().is_none());
        assert!(cached.live(other.caller.session_id, now).await.unwrap().is_some(), "not those of others");
    }

    #[tokio::test]
    async fn a_revoked_session_is_forgotten_at_once() {
        let session = live(DateTime::<Utc>::MAX_UTC);
        let mut store = MockSessionStore::new();
        let mut answers = [Some(session), None].into_iter();
        store.expect_live().times(2).returning(move |_, _| Ok(answers.next().flatten()));
        store.expect_revoke().returning(|_, _, _, _, _| Ok(true));
        let cached = CachedSessions::new(Arc::new(store));
        let (id, now) = (session.caller.session_id, ManualClock::default().now());
        assert!(cached.live(id, now).await.unwrap().is_some());
        let (owner, reason) = (session.caller.user_id, RevocationReason::Logout);
        cached.revoke(id, owner, reason, now, Effects::default()).await.unwrap();
        assert!(cached.live(id, now).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn all_sessions_of_a_user_are_forgotten_at_once_and_no_others() {
        let (now, mine) = (ManualClock::default().now(), live(DateTime::<Utc>::MAX_UTC));
        let mut theirs = mine;
        theirs.caller.user_id = UserId::from(Uuid::from_u128(9));
        theirs.caller.session_id = SessionId::from(Uuid::from_u128(9));
        let mut store = MockSessionStore::new();
        let (mine_id, theirs_id) = (mine.caller.session_id, theirs.caller.session_id);
        store.expect_live().withf(move |id, _| *id == mine_id).times(2).returning(move |_, _| Ok(Some(mine)));
        store
            .expect_live()
            .withf(move |id, _| *id == theirs_id)
            .times(1)
            .returning(move |_, _| Ok(Some(theirs)));
        let cached = CachedSessions::new(Arc::new(store));
        for id in [mine_id, theirs_id] {
            cached.live(id, now).await.unwrap();
        }
        cached.forget_user(mine.caller.user_id);
        for id in [mine_id, theirs_id] {
            cached.live(id, now).await.unwrap();
        }
    }
}

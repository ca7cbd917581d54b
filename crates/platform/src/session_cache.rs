use std::sync::Arc;
use std::time::Duration;

use alivio_accounts::{Error, LiveSession, NewSession, Rotation, SecretHash, SessionStore};
use alivio_kernel::Event;
use alivio_kernel::ids::SessionId;
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
        Self { inner, live: Cache::builder().max_capacity(100_000).time_to_live(FRESH).build() }
    }

    pub(crate) async fn forget(&self, session: SessionId) {
        self.live.invalidate(&session).await;
    }
}

#[async_trait]
impl SessionStore for CachedSessions {
    async fn open(&self, session: &NewSession) -> Result<(), Error> {
        self.inner.open(session).await
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
        reason: &'static str,
        now: DateTime<Utc>,
        event: Event,
    ) -> Result<(), Error> {
        self.inner.revoke(session, reason, now, event).await?;
        self.forget(session).await;
        Ok(())
    }

    async fn live(&self, session: SessionId, now: DateTime<Utc>) -> Result<Option<LiveSession>, Error> {
        if let Some(live) = self.live.get(&session).await.filter(|live| live.expires_at > now) {
            return Ok(Some(live));
        }
        let live = self.inner.live(session, now).await?;
        if let Some(live) = live {
            self.live.insert(session, live).await;
        }
        Ok(live)
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
    use alivio_accounts::MockSessionStore;
    use alivio_kernel::ids::{SessionId, UserId, Uuid};
    use alivio_kernel::{Caller, Clock, ManualClock, Role};
    use chrono::TimeDelta;

    use super::*;

    fn live(expires_at: DateTime<Utc>) -> LiveSession {
        let (user_id, session_id) = (UserId::from(Uuid::from_u128(1)), SessionId::from(Uuid::from_u128(2)));
        LiveSession { caller: Caller { user_id, role: Role::Doctor, session_id }, expires_at }
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
    async fn a_revoked_session_is_forgotten_at_once() {
        let session = live(DateTime::<Utc>::MAX_UTC);
        let mut store = MockSessionStore::new();
        let mut answers = [Some(session), None].into_iter();
        store.expect_live().times(2).returning(move |_, _| Ok(answers.next().flatten()));
        store.expect_revoke().returning(|_, _, _, _| Ok(()));
        let cached = CachedSessions::new(Arc::new(store));
        let (id, now) = (session.caller.session_id, ManualClock::default().now());
        assert!(cached.live(id, now).await.unwrap().is_some());
        let event = Event { id: Uuid::nil().into(), kind: "x".into(), payload: ().into(), at: now };
        cached.revoke(id, "logout", now, event).await.unwrap();
        assert!(cached.live(id, now).await.unwrap().is_none());
    }
}

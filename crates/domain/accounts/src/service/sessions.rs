use alivio_kernel::ids::{SessionId, UserId};
use alivio_kernel::{AuditEntry, Caller, Effects, Event, Sensitive};
use chrono::{DateTime, Utc};
use subtle::ConstantTimeEq;

use crate::{
    Accounts, Admission, Error, LiveSession, NewSession, RevocationReason, SessionRecord, SessionRevoked,
    SessionStage, SessionsRevoked, UnusualSignIn,
};

/// The column that CSRF tokens are keyed digests of; no such column is stored.
const CSRF: &str = "sessions.csrf";

impl Accounts {
    /// The caller's live sessions, the newest first.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn sessions(&self, caller: &Caller) -> Result<Vec<SessionRecord>, Error> {
        self.ports.sessions.list(caller.user_id, self.ports.clock.now()).await
    }

    /// Signs out: ends the caller's session, its tokens and its sockets.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn logout(&self, caller: &Caller) -> Result<(), Error> {
        self.end(caller, caller.session_id, RevocationReason::Logout).await.map(drop)
    }

    /// Ends one of the caller's sessions.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is over, or not theirs.
    pub async fn revoke_session(&self, caller: &Caller, session: SessionId) -> Result<(), Error> {
        let ended = self.end(caller, session, RevocationReason::RevokedByUser).await?;
        if ended { Ok(()) } else { Err(Error::NotFound) }
    }

    /// Ends all of the caller's sessions but the one they act through.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn revoke_other_sessions(&self, caller: &Caller) -> Result<(), Error> {
        self.end_all(caller, Some(caller.session_id), RevocationReason::RevokedByUser).await
    }

    /// Signs out on all devices, this one included.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn logout_everywhere(&self, caller: &Caller) -> Result<(), Error> {
        self.end_all(caller, None, RevocationReason::LogoutEverywhere).await
    }

    /// Notes that the caller does something. To be called now and then, not each time: it is stored.
    ///
    /// # Errors
    /// [`Error::SessionEnded`].
    pub async fn touch(&self, caller: &Caller) -> Result<(), Error> {
        let lives = self.ports.sessions.touch(caller.session_id, self.ports.clock.now()).await?;
        if lives { Ok(()) } else { Err(Error::SessionEnded) }
    }

    /// Whether the caller's session goes on. Asking does not prolong it.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn still_lives(&self, caller: &Caller) -> Result<bool, Error> {
        Ok(self.ports.sessions.live(caller.session_id, self.ports.clock.now()).await?.is_some())
    }

    pub(super) async fn note_activity(&self, live: &LiveSession, now: DateTime<Utc>) -> Result<(), Error> {
        if !live.is_stale(now) || self.ports.sessions.touch(live.caller.session_id, now).await? {
            Ok(())
        } else {
            Err(Error::SessionEnded)
        }
    }

    /// The token that a web page must send with what it changes, as its browser adds cookies by itself.
    pub fn csrf_token(&self, session: SessionId) -> Sensitive<String> {
        let digest = self.ports.sealer.blind_index(CSRF, session.uuid().as_bytes());
        Sensitive::new(format!("{:032x}", u128::from_be_bytes(digest)))
    }

    /// Whether `presented` is the token of `session`, compared in constant time.
    pub fn is_csrf_token(&self, session: SessionId, presented: &str) -> bool {
        self.csrf_token(session).expose().as_bytes().ct_eq(presented.as_bytes()).into()
    }

    /// What is stored with a session that is opened.
    pub(super) fn admission(&self, session: &NewSession) -> Admission {
        let (ids, now) = (self.ports.ids.clone(), session.created_at);
        let (user_id, session_id) = (session.user_id, session.id);
        let entry = AuditEntry::from_origin(&*ids, now, &session.origin, "session.opened");
        let entry = AuditEntry { actor: Some(user_id), session: Some(session_id), ..entry };
        let opened = entry.about(user_id).on("session", session_id);
        let unusual = Event::new(&*ids, now, &UnusualSignIn { user_id, session_id });
        let origin = session.origin.clone();
        Admission {
            max_live: self.ports.policy.max_sessions,
            effects: Effects::default().audit(opened),
            unusual: Effects::default().event(unusual),
            evicted: std::sync::Arc::new(move |evicted| {
                let reason = RevocationReason::Evicted;
                let revoked = SessionRevoked { session_id: evicted, user_id, reason };
                let entry = AuditEntry::from_origin(&*ids, now, &origin, "session.evicted");
                let entry = AuditEntry { actor: Some(user_id), session: Some(session_id), ..entry };
                let event = Event::new(&*ids, now, &revoked);
                Effects::default().event(event).audit(entry.about(user_id).on("session", evicted))
            }),
        }
    }

    /// Ends a session that proved to be in the wrong hands.
    pub(super) async fn end_abused(
        &self,
        session_id: SessionId,
        user_id: UserId,
        reason: RevocationReason,
        entry: AuditEntry,
    ) -> Result<(), Error> {
        let now = entry.at;
        let event = Event::new(&*self.ports.ids, now, &SessionRevoked { session_id, user_id, reason });
        let entry = AuditEntry { reason: Some(reason.as_str()), ..entry };
        let effects = Effects::default().event(event).audit(entry.about(user_id).on("session", session_id));
        self.ports.sessions.revoke(session_id, user_id, reason, now, effects).await.map(drop)
    }

    async fn end(
        &self,
        caller: &Caller,
        session_id: SessionId,
        reason: RevocationReason,
    ) -> Result<bool, Error> {
        let p = &self.ports;
        let (now, user_id) = (p.clock.now(), caller.user_id);
        let event = Event::new(&*p.ids, now, &SessionRevoked { session_id, user_id, reason });
        let entry = AuditEntry::by(&*p.ids, now, caller, "session.revoked");
        let entry = AuditEntry { reason: Some(reason.as_str()), ..entry };
        let effects = Effects::default().event(event).audit(entry.about(user_id).on("session", session_id));
        p.sessions.revoke(session_id, user_id, reason, now, effects).await
    }

    async fn end_all(
        &self,
        caller: &Caller,
        except: Option<SessionId>,
        reason: RevocationReason,
    ) -> Result<(), Error> {
        let p = &self.ports;
        let (now, user_id) = (p.clock.now(), caller.user_id);
        let event = Event::new(&*p.ids, now, &SessionsRevoked { user_id, except, reason });
        let entry = AuditEntry::by(&*p.ids, now, caller, "sessions.revoked");
        let entry = AuditEntry { reason: Some(reason.as_str()), ..entry };
        let effects = Effects::default().event(event).audit(entry.about(user_id));
        p.sessions.revoke_all(user_id, except, reason, now, effects).await.map(drop)
    }
}

/// Refuses sessions of any other stage than these.
pub(super) fn require_stage(live: &LiveSession, stages: &[SessionStage]) -> Result<(), Error> {
    if stages.contains(&live.stage) { Ok(()) } else { Err(Error::StepRequired(live.stage)) }
}

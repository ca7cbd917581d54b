use std::sync::Arc;

use alivio_kernel::audit::Outcome;
use alivio_kernel::ids::{EventId, MailedSecretId, UserId};
use alivio_kernel::{
    AccessScope, AuditEntry, AuditSink, Caller, Denied, Effects, Event, FieldError, Origin, Rule, Sensitive,
};
use chrono::{DateTime, Utc};

use super::gate::{hex, index_from_hex};
use super::refusal::refusal;
use super::sign_in::{Accounts, Proven, SignIn};
use crate::model::secrets::{RESET_PREFIX, as_printed};
use crate::{
    Email, Error, Letter, LetterBox, LiveSession, NewPassword, NewReset, OutgoingLetter, Password,
    PasswordChange, PasswordChanged, PasswordResetRequested, RESET_LIFETIME, RevocationReason, SessionStage,
    SessionsRevoked, TemporaryPassword,
};

/// Of someone who is signed in, credentials are no longer good when their sessions have ended.
pub(super) fn overtaken(error: Error) -> Error {
    if matches!(error, Error::InvalidCredentials) { Error::SessionEnded } else { error }
}

/// What [`Passwords`] needs besides what accounts do.
#[derive(Clone)]
pub struct PasswordsPorts {
    /// Where letters go.
    pub letters: Arc<dyn LetterBox>,
    /// Where refusals are noted.
    pub audit: Arc<dyn AuditSink>,
}

/// How passwords are replaced: by their owner, after a temporary one, or after they were forgotten.
#[derive(Clone)]
pub struct Passwords {
    accounts: Accounts,
    ports: PasswordsPorts,
}

impl Passwords {
    /// Passwords of `accounts`.
    pub const fn new(accounts: Accounts, ports: PasswordsPorts) -> Self {
        Self { accounts, ports }
    }

    /// Signs in with a temporary password, which is used up by it. The session leads to another password only
    /// (S3-31).
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`], as a wrong password at [`Accounts::login`] and in the same time, also for one
    /// that was used or has expired.
    pub async fn sign_in_temporary(
        &self,
        email: &str,
        password: &Password,
        device_token: Option<&str>,
        origin: &Origin,
    ) -> Result<SignIn, Error> {
        const ACTION: &str = "sign_in.temporary_password";
        let p = &self.accounts.ports;
        let gate = self.accounts.knock(email, device_token).await?;
        let found = p.password_store.temporary(gate.email_index).await?;
        // The time that every sign-in takes.
        self.accounts.compare(&gate, password, None, origin, ACTION).await?;
        let typed = p.tokens.digest(as_printed(password.expose()).expose());
        let now = p.clock.now();
        let good = |t: &TemporaryPassword| t.hash.matches(&typed) && now < t.expires_at && t.user.is_active;
        let subject = found.as_ref().map(|temporary| temporary.user.id);
        let mut right = found.filter(good);
        if let Some(temporary) = &right
            && gate.admitted
            && !p.password_store.take_temporary(temporary.id, now).await?
        {
            right = None;
        }
        let failure = if right.is_some() { None } else { Some("wrong_password") };
        let proved = self.accounts.settle(&gate, subject, failure, origin, ACTION).await?;
        match right {
            Some(temporary) if proved => {
                let TemporaryPassword { user, epoch, .. } = temporary;
                let stage = SessionStage::ChangePassword;
                self.accounts.open_session(Proven { user, epoch, stage, device: None }, origin).await
            }
            _ => Err(Error::InvalidCredentials),
        }
    }

    /// Replaces the password of whoever is signed in. Ends all their sessions, that of `live` too, and opens
    /// one in its place: a full one, unless the second factor is still to be proved.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`] for a wrong current password; [`Error::StepRequired`] in a session that must do
    /// something else first; [`Error::SessionEnded`] if the password was changed, or the sessions were ended,
    /// meanwhile; field errors.
    pub async fn change(
        &self,
        live: &LiveSession,
        current: Option<Password>,
        new: NewPassword,
        origin: &Origin,
    ) -> Result<SignIn, Error> {
        let p = &self.accounts.ports;
        let user_id = live.caller.user_id;
        let credentials = p.password_store.by_user(user_id).await?.ok_or(Error::SessionEnded)?;
        let email = self.accounts.open_one(credentials.user.clone()).await?.identity.email;
        new.apart_from("new_password", &email)?;
        match live.stage {
            SessionStage::ChangePassword => {}
            SessionStage::Full => {
                let current = current.ok_or(FieldError::new("current_password", Rule::Missing))?;
                self.accounts.prove_again(credentials.clone(), &current, origin).await?;
            }
            stage => return Err(Error::StepRequired(stage)),
        }

        // What is stored by now: the proof may have renewed the hash. What was proved is of the epoch before.
        let epoch = credentials.epoch;
        let credentials = match live.stage {
            SessionStage::Full => p.password_store.by_user(user_id).await?.ok_or(Error::SessionEnded)?,
            _ => credentials,
        };
        let hash = p.passwords.hash(new.password()).await?;
        let (now, session) = (p.clock.now(), self.accounts.next_session());
        let reason = RevocationReason::PasswordChanged;
        let change = PasswordChange {
            user_id,
            session: live.caller.session_id,
            epoch,
            old: credentials.password_hash,
            new: hash,
            except: Some(session),
            reason,
            at: now,
        };
        let effects = Effects::default()
            .event(Event::new(&*p.ids, now, &SessionsRevoked { user_id, except: Some(session), reason }))
            .event(Event::new(&*p.ids, now, &PasswordChanged { user_id }))
            .audit(AuditEntry::by(&*p.ids, now, &live.caller, "password.changed").about(user_id));
        let epoch = p.password_store.replace(&change, &effects).await?.ok_or(Error::SessionEnded)?;
        let stage = match live.stage {
            SessionStage::Full => SessionStage::Full,
            _ => self.accounts.stage_after_password(&credentials.user).await?,
        };
        let proven = Proven { user: credentials.user, epoch, stage, device: None };
        self.accounts.open_session_as(session, proven, origin, None).await.map_err(overtaken)
    }

    /// Notes that the password of an address was forgotten. A letter follows if it has an account; nothing here
    /// depends on that.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn forgot(&self, email: &Email, origin: &Origin) -> Result<(), Error> {
        let p = &self.accounts.ports;
        let (now, request_id) = (p.clock.now(), MailedSecretId::generate(&*p.ids));
        let email_index = hex(&self.accounts.email_index(email));
        let entry = AuditEntry::from_origin(&*p.ids, now, origin, "password.reset_requested");
        let effects = Effects::default()
            .event(Event::new(&*p.ids, now, &PasswordResetRequested { request_id, email_index }))
            .audit(entry.on("password_reset", request_id));
        p.password_store.request_reset(&effects).await
    }

    /// Sends the token for a request to reset a password, if its address has an account.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn send_reset(
        &self,
        event: EventId,
        requested_at: DateTime<Utc>,
        request: &PasswordResetRequested,
    ) -> Result<(), Error> {
        let p = &self.accounts.ports;
        let expires_at = requested_at + RESET_LIFETIME;
        let Some(index) = index_from_hex(&request.email_index) else { return Ok(()) };
        let Some(found) = p.users.credentials(index).await? else { return Ok(()) };
        if !found.user.is_active || expires_at <= p.clock.now() {
            return Ok(());
        }
        let secret = p.tokens.derive(RESET_PREFIX, request.request_id.uuid());
        let token = p.tokens.digest(secret.expose());
        let reset = NewReset { id: request.request_id, token, requested_at, expires_at };
        if !p.password_store.put_reset(found.user.id, &reset).await? {
            return Ok(());
        }
        let user = self.accounts.open_one(found.user).await?;
        let to = Sensitive::new(user.identity.email.as_str().to_owned());
        let letter = Letter::PasswordReset { token: secret };
        self.ports.letters.send(&OutgoingLetter { id: event, to, language: user.language, letter }).await
    }

    /// Sets another password with a token that came by mail. Ends all sessions; a second factor stays as it is.
    ///
    /// # Errors
    /// [`Error::InvalidSecret`]; field errors.
    pub async fn reset(&self, token: &str, new: NewPassword, origin: &Origin) -> Result<(), Error> {
        let p = &self.accounts.ports;
        let token = p.tokens.digest(token);
        let now = p.clock.now();
        let entry = AuditEntry::from_origin(&*p.ids, now, origin, "password.reset");
        if let Some(owner) = p.password_store.reset_owner(token, now).await? {
            let user_id = owner.id;
            new.apart_from("new_password", &self.accounts.open_one(owner).await?.identity.email)?;
            let hash = p.passwords.hash(new.password()).await?;
            let reason = RevocationReason::PasswordReset;
            let effects = Effects::default()
                .event(Event::new(&*p.ids, now, &SessionsRevoked { user_id, except: None, reason }))
                .event(Event::new(&*p.ids, now, &PasswordChanged { user_id }))
                .audit(entry.clone().about(user_id));
            if p.password_store.reset(token, &hash, now, &effects).await? {
                return Ok(());
            }
        }
        let entry = entry.came_to(Outcome::Failed, "invalid_secret");
        self.ports.audit.record(&[entry]).await.map_err(Error::Unavailable)?;
        Err(Error::InvalidSecret)
    }

    /// Has the letter sent to `user` that [`forgot`](Self::forgot) sends, for those who manage accounts: they help
    /// someone to a new password and learn nothing of it. Whoever may not sign in gets none.
    ///
    /// # Errors
    /// [`Error::Denied`], also for oneself; [`Error::NotFound`].
    pub async fn request_reset_for(&self, caller: &Caller, user: UserId) -> Result<(), Error> {
        const ACTION: &str = "user.password_reset_requested";
        let p = &self.accounts.ports;
        let (now, request_id) = (p.clock.now(), MailedSecretId::generate(&*p.ids));
        let entry = AuditEntry::by(&*p.ids, now, caller, ACTION).about(user);
        let own = if caller.user_id == user { Err(Denied::OwnAccount) } else { Ok(()) };
        if let Err(denied) = caller.require(AccessScope::UsersManage).and(own) {
            return Err(refusal(&*self.ports.audit, entry, denied).await);
        }
        let found = self.accounts.users(&[user]).await?.remove(&user).ok_or(Error::NotFound)?;
        let email_index = hex(&self.accounts.email_index(&found.identity.email));
        let effects = Effects::default()
            .event(Event::new(&*p.ids, now, &PasswordResetRequested { request_id, email_index }))
            .audit(entry.on("password_reset", request_id));
        p.password_store.request_reset(&effects).await
    }

    /// Tells a user that their password was changed.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn send_changed(&self, event: EventId, user: UserId) -> Result<(), Error> {
        let Some(user) = self.accounts.users(&[user]).await?.remove(&user) else { return Ok(()) };
        let to = Sensitive::new(user.identity.email.as_str().to_owned());
        let letter =
            OutgoingLetter { id: event, to, language: user.language, letter: Letter::PasswordChanged };
        self.ports.letters.send(&letter).await
    }
}

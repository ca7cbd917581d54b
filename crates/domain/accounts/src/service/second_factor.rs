use std::sync::Arc;

use alivio_kernel::audit::Outcome;
use alivio_kernel::ids::{IdSource, SessionId, UserId};
use alivio_kernel::{
    AccessScope, AuditEntry, AuditSink, Caller, Clock, Denied, Effects, Event, FieldError, Origin, Rule,
    Sealer, Sensitive,
};
use chrono::{DateTime, Utc};

use super::passwords::overtaken;
use super::refusal::refusal;
use super::sessions::require_stage;
use super::sign_in::Proven;
use crate::model::secret_context;
use crate::{
    Accounts, Attempt, Confirmation, CredentialEpoch, Credentials, Enrolment, Error, LiveSession,
    OneTimeCode, OneTimeCodes, Password, PasswordHasher, RECOVERY_CODES, RecoveryCode, RevocationReason,
    SecondFactorChanged, SecondFactorStore, SecretHash, SessionStage, SessionsRevoked, SignIn, StoredFactor,
    StoredUser, TokenMint,
};

/// What [`SecondFactor`] needs.
#[derive(Clone)]
pub struct SecondFactorPorts {
    /// Second factors.
    pub factors: Arc<dyn SecondFactorStore>,
    /// Codes.
    pub codes: Arc<dyn OneTimeCodes>,
    /// Password hashes.
    pub passwords: Arc<dyn PasswordHasher>,
    /// Digests.
    pub tokens: Arc<dyn TokenMint>,
    /// Encryption.
    pub sealer: Arc<dyn Sealer>,
    /// The audit trail of refusals.
    pub audit: Arc<dyn AuditSink>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
}

/// What proves that someone is who they say.
#[derive(Debug, Clone)]
pub enum Proof {
    /// A code of the authenticator app.
    Code(OneTimeCode),
    /// One of the recovery codes.
    RecoveryCode(RecoveryCode),
    /// The password.
    Password(Password),
}

/// How it stands with someone's second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FactorStatus {
    /// Whether it is on.
    pub is_on: bool,
    /// Whether the clinic demands one of their role.
    pub is_required: bool,
    /// How many recovery codes were not used yet.
    pub recovery_codes_left: u32,
}

/// What turning a second factor on gives.
#[derive(Debug, Clone)]
pub struct Confirmed {
    /// To be kept in a safe place; they are never shown again.
    pub recovery_codes: Vec<RecoveryCode>,
    /// A full session, if the sign-in waited for this.
    pub sign_in: Option<SignIn>,
}

/// What one can do with a second factor.
#[derive(Clone)]
pub struct SecondFactor {
    accounts: Accounts,
    ports: SecondFactorPorts,
}

impl SecondFactor {
    /// Second factors of `accounts`.
    pub const fn new(accounts: Accounts, ports: SecondFactorPorts) -> Self {
        Self { accounts, ports }
    }

    /// How it stands.
    ///
    /// # Errors
    /// [`Error::StepRequired`] unless the session is full or waits for a second factor to be set up.
    pub async fn status(&self, live: &LiveSession) -> Result<FactorStatus, Error> {
        require_stage(live, &[SessionStage::Full, SessionStage::EnrolSecondFactor])?;
        let factor = self.ports.factors.find(live.caller.user_id).await?;
        let on = factor.filter(|factor| factor.confirmed_at.is_some());
        Ok(FactorStatus {
            is_on: on.is_some(),
            is_required: self.accounts.ports.policy.needs_second_factor(live.caller.role),
            recovery_codes_left: on.map_or(0, |factor| factor.recovery_codes_left),
        })
    }

    /// Begins to set one up. It is on once [`confirm`](Self::confirm) has seen a code of it. A full session needs the
    /// `password`, as it may be in the wrong hands; where a sign-in waits for this, it was just given.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`] for a wrong password; [`Error::SecondFactorOn`], [`Error::StepRequired`]; field
    /// errors.
    pub async fn enrol(
        &self,
        live: &LiveSession,
        password: Option<&Password>,
        origin: &Origin,
    ) -> Result<Enrolment, Error> {
        require_stage(live, &[SessionStage::Full, SessionStage::EnrolSecondFactor])?;
        let (p, caller) = (&self.ports, &live.caller);
        if live.stage == SessionStage::Full {
            let password = password.ok_or(FieldError::new("password", Rule::Missing))?;
            let credentials = self.credentials(caller).await?;
            self.accounts.prove_again(credentials, password, origin).await?;
        }
        let now = p.clock.now();
        let secret = p.codes.secret()?;
        let account = self.accounts.me(caller).await?.identity.email;
        let enrolment = p.codes.enrolment(secret.expose(), account.as_str())?;
        let sealed = p.sealer.seal(&secret_context(caller.user_id), secret.expose()).await?;
        let effects = Effects::default().audit(self.entry(caller, now, "second_factor.begun"));
        p.factors.begin(caller.user_id, &sealed, now, effects).await?;
        Ok(enrolment)
    }

    /// Turns it on, as `code` shows that the app has learnt the secret. Ends all other sessions.
    ///
    /// # Errors
    /// [`Error::InvalidCode`]; [`Error::SecondFactorOff`] if none is being set up, [`Error::SecondFactorOn`],
    /// [`Error::StepRequired`].
    pub async fn confirm(
        &self,
        live: &LiveSession,
        code: &OneTimeCode,
        origin: &Origin,
    ) -> Result<Confirmed, Error> {
        require_stage(live, &[SessionStage::Full, SessionStage::EnrolSecondFactor])?;
        let (p, caller) = (&self.ports, &live.caller);
        let now = p.clock.now();
        let pending = p.factors.find(caller.user_id).await?.ok_or(Error::SecondFactorOff)?;
        if pending.confirmed_at.is_some() {
            return Err(Error::SecondFactorOn);
        }
        let step = self.step_of(caller.user_id, &pending, code, now).await?.ok_or(Error::InvalidCode)?;
        let (recovery_codes, hashes) = self.recovery_codes(caller.user_id)?;
        // A step ends with the session that it leads to.
        let next = (live.stage == SessionStage::EnrolSecondFactor).then(|| self.accounts.next_session());
        let (user_id, except) = (caller.user_id, Some(next.unwrap_or(caller.session_id)));
        let reason = RevocationReason::SecondFactorOn;
        let effects = Effects::default()
            .event(Event::new(&*p.ids, now, &SessionsRevoked { user_id, except, reason }))
            .event(Event::new(&*p.ids, now, &SecondFactorChanged { user_id, is_on: true }))
            .audit(self.entry(caller, now, "second_factor.turned_on"));
        let confirmation = Confirmation {
            user_id,
            secret: pending.secret,
            step,
            codes: hashes,
            session: caller.session_id,
            at: now,
        };
        let epoch = p.factors.confirm(&confirmation, effects).await?.ok_or(Error::InvalidCode)?;
        let sign_in = match next {
            Some(next) => {
                let user = self.credentials(caller).await?.user;
                Some(self.sign_in(live, next, user, epoch, origin).await?)
            }
            None => None,
        };
        Ok(Confirmed { recovery_codes, sign_in })
    }

    /// Completes a sign-in that waits for the second factor.
    ///
    /// # Errors
    /// [`Error::InvalidCode`], [`Error::CodesLocked`]: by then the session has ended; [`Error::NoStepPending`];
    /// [`Error::SessionEnded`] if the password, the role or the second factor changed meanwhile.
    pub async fn verify(&self, live: &LiveSession, proof: &Proof, origin: &Origin) -> Result<SignIn, Error> {
        if live.stage != SessionStage::SecondFactor {
            return Err(Error::NoStepPending);
        }
        // Before the code is looked at: what changes from here on counts.
        let Credentials { user, epoch, .. } = self.credentials(&live.caller).await?;
        match self.prove(&live.caller, proof).await {
            Err(Error::CodesLocked { seconds }) => {
                let (caller, now) = (&live.caller, self.ports.clock.now());
                let entry = AuditEntry::by(&*self.ports.ids, now, caller, "session.revoked");
                let reason = RevocationReason::TooManyTries;
                self.accounts.end_abused(caller.session_id, caller.user_id, reason, entry).await?;
                Err(Error::CodesLocked { seconds })
            }
            proven => {
                proven?;
                self.sign_in(live, self.accounts.next_session(), user, epoch, origin).await
            }
        }
    }

    /// Replaces the recovery codes by new ones.
    ///
    /// # Errors
    /// [`Error::InvalidCode`], [`Error::CodesLocked`], [`Error::SecondFactorOff`].
    pub async fn renew_recovery_codes(
        &self,
        caller: &Caller,
        code: OneTimeCode,
    ) -> Result<Vec<RecoveryCode>, Error> {
        self.prove(caller, &Proof::Code(code)).await?;
        let (codes, hashes) = self.recovery_codes(caller.user_id)?;
        let entry = self.entry(caller, self.ports.clock.now(), "second_factor.recovery_codes_renewed");
        let effects = Effects::default().audit(entry);
        if self.ports.factors.replace_recovery_codes(caller.user_id, &hashes, effects).await? {
            Ok(codes)
        } else {
            Err(Error::SecondFactorOff)
        }
    }

    /// Turns the second factor off.
    ///
    /// # Errors
    /// [`Error::SecondFactorRequired`], [`Error::InvalidCode`], [`Error::CodesLocked`], [`Error::SecondFactorOff`].
    pub async fn turn_off(&self, caller: &Caller, proof: &Proof) -> Result<(), Error> {
        let now = self.ports.clock.now();
        if self.accounts.ports.policy.needs_second_factor(caller.role) {
            self.refused(caller, now, Outcome::Denied, "second_factor_required").await?;
            return Err(Error::SecondFactorRequired);
        }
        self.prove(caller, proof).await?;
        let changed = SecondFactorChanged { user_id: caller.user_id, is_on: false };
        let effects = Effects::default()
            .event(Event::new(&*self.ports.ids, now, &changed))
            .audit(self.entry(caller, now, "second_factor.turned_off"));
        let removed = self.ports.factors.remove(caller.user_id, effects).await?;
        if removed { Ok(()) } else { Err(Error::SecondFactorOff) }
    }

    /// Forgets the second factor of someone who has lost it, and ends their sessions.
    ///
    /// # Errors
    /// [`Error::Denied`]; [`Error::NotFound`] if there is no such user, or they have no second factor.
    pub async fn reset(&self, caller: &Caller, user: UserId) -> Result<(), Error> {
        let (p, now) = (&self.ports, self.ports.clock.now());
        let own = if caller.user_id == user { Err(Denied::OwnAccount) } else { Ok(()) };
        if let Err(denied) = caller.require(AccessScope::UsersManage).and(own) {
            let entry = AuditEntry::by(&*p.ids, now, caller, "second_factor.reset").about(user);
            return Err(refusal(&*p.audit, entry, denied).await);
        }
        let reason = RevocationReason::SecondFactorReset;
        let revoked = SessionsRevoked { user_id: user, except: None, reason };
        let changed = SecondFactorChanged { user_id: user, is_on: false };
        let effects = Effects::default()
            .event(Event::new(&*p.ids, now, &revoked))
            .event(Event::new(&*p.ids, now, &changed))
            .audit(AuditEntry::by(&*p.ids, now, caller, "second_factor.reset").about(user));
        if p.factors.reset(user, now, effects).await? { Ok(()) } else { Err(Error::NotFound) }
    }

    /// Tries `proof`. Every try counts as a wrong one until it proves right, so that many at once are no way around
    /// the limit.
    async fn prove(&self, caller: &Caller, proof: &Proof) -> Result<(), Error> {
        let (p, user) = (&self.ports, caller.user_id);
        let now = p.clock.now();
        let locked =
            |until: DateTime<Utc>| Error::CodesLocked { seconds: (until - now).num_seconds().max(1) };
        let (factor, locks_until) = match p.factors.begin_attempt(user, now).await? {
            Attempt::Off => return Err(Error::SecondFactorOff),
            Attempt::Locked { until } => {
                self.refused(caller, now, Outcome::Failed, "codes_locked").await?;
                return Err(locked(until));
            }
            Attempt::Begun { factor, locks_until } => (factor, locks_until),
        };
        let proven = match proof {
            Proof::Code(code) => match self.step_of(user, &factor, code, now).await? {
                Some(step) => {
                    let effects = Effects::default().audit(self.entry(caller, now, "second_factor.proven"));
                    p.factors.use_step(user, step, effects).await?
                }
                None => false,
            },
            Proof::RecoveryCode(code) => {
                let entry = self.entry(caller, now, "second_factor.recovery_code_used");
                let effects = Effects::default().audit(entry);
                p.factors.use_recovery_code(user, self.hash(user, code), now, effects).await?
            }
            // The try stays counted: what follows is that the second factor goes, and the count with it.
            Proof::Password(password) => self.is_password(caller, password).await?,
        };
        if proven {
            return Ok(());
        }
        self.refused(caller, now, Outcome::Failed, "invalid_code").await?;
        Err(locks_until.map_or(Error::InvalidCode, locked))
    }

    /// Goes on from the step of `live` to the full session `next`.
    async fn sign_in(
        &self,
        live: &LiveSession,
        next: SessionId,
        user: StoredUser,
        epoch: CredentialEpoch,
        origin: &Origin,
    ) -> Result<SignIn, Error> {
        let proven = Proven { user, epoch, stage: SessionStage::Full, device: None };
        let before = Some(live.caller.session_id);
        self.accounts.open_session_as(next, proven, origin, before).await.map_err(overtaken)
    }

    async fn credentials(&self, caller: &Caller) -> Result<Credentials, Error> {
        let store = &self.accounts.ports.password_store;
        store.by_user(caller.user_id).await?.ok_or(Error::SessionEnded)
    }

    async fn is_password(&self, caller: &Caller, password: &Password) -> Result<bool, Error> {
        let hash = self.credentials(caller).await?.password_hash;
        self.ports.passwords.verify(password, hash).await
    }

    async fn step_of(
        &self,
        user: UserId,
        factor: &StoredFactor,
        code: &OneTimeCode,
        now: DateTime<Utc>,
    ) -> Result<Option<i64>, Error> {
        let opened = self.ports.sealer.open_many(&[(secret_context(user), &factor.secret)]).await?;
        let secret = Sensitive::new(opened.into_iter().next().unwrap_or_default());
        self.ports.codes.step_of(secret.expose(), code, now)
    }

    fn recovery_codes(&self, user: UserId) -> Result<(Vec<RecoveryCode>, Vec<SecretHash>), Error> {
        let codes: Result<Vec<_>, _> =
            (0..RECOVERY_CODES).map(|_| self.ports.codes.recovery_code()).collect();
        let codes = codes?;
        let hashes = codes.iter().map(|code| self.hash(user, code)).collect();
        Ok((codes, hashes))
    }

    /// Salted with whose it is, so that a stolen table must be searched user by user.
    fn hash(&self, user: UserId, code: &RecoveryCode) -> SecretHash {
        self.ports.tokens.digest(&format!("{user}:{}", code.expose()))
    }

    fn entry(&self, caller: &Caller, now: DateTime<Utc>, action: &'static str) -> AuditEntry {
        AuditEntry::by(&*self.ports.ids, now, caller, action).about(caller.user_id)
    }

    async fn refused(
        &self,
        caller: &Caller,
        now: DateTime<Utc>,
        outcome: Outcome,
        reason: &'static str,
    ) -> Result<(), Error> {
        let entry = self.entry(caller, now, "second_factor.tried").came_to(outcome, reason);
        self.ports.audit.record(&[entry]).await.map_err(Error::Unavailable)
    }
}

impl Accounts {
    /// What a right password leads to.
    pub(super) async fn stage_of(&self, credentials: &Credentials) -> Result<SessionStage, Error> {
        if credentials.must_change_password {
            return Ok(SessionStage::ChangePassword);
        }
        self.stage_after_password(&credentials.user).await
    }

    /// What comes once the password is settled.
    pub(crate) async fn stage_after_password(&self, user: &StoredUser) -> Result<SessionStage, Error> {
        let factor = self.ports.second_factors.find(user.id).await?;
        Ok(if factor.is_some_and(|factor| factor.confirmed_at.is_some()) {
            SessionStage::SecondFactor
        } else if self.ports.policy.needs_second_factor(user.role) {
            SessionStage::EnrolSecondFactor
        } else {
            SessionStage::Full
        })
    }
}

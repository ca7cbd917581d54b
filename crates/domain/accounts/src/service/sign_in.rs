use std::collections::HashMap;
use std::sync::Arc;

use alivio_kernel::ids::{IdSource, SessionId, UserId, Uuid};
use alivio_kernel::{AuditEntry, Caller, Clock, Language, Origin, Role, Sealer, Sensitive};
use chrono::{DateTime, Utc};

use crate::{
    ABSOLUTE_LIFETIME, ACCESS_LIFETIME, AccessClaims, CredentialEpoch, Credentials, Email, Error, GuardStore,
    Identity, LiveSession, NewRefresh, NewSession, Password, PasswordHasher, PasswordStore, RevocationReason,
    Rotation, STEP_LIFETIME, SecondFactorStore, SessionStage, SessionStore, SignInPolicy, StoredUser,
    TICKET_LIFETIME, TokenMint, User, UserStore, redirect_to,
};

/// A fresh pair of tokens.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// Proves the session for [`ACCESS_LIFETIME`].
    pub access: Sensitive<String>,
    /// Swaps itself for the next pair, once. Only a full session has one.
    pub refresh: Option<Sensitive<String>>,
}

/// What a sign-in or a refresh gives.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The tokens.
    pub tokens: Tokens,
    /// Who signed in.
    pub user: User,
    /// The page to go to.
    pub redirect_to: &'static str,
    /// What may be done now.
    pub stage: SessionStage,
    /// The session.
    pub session_id: SessionId,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// Makes this device known to the address; only what opens a full session gives one.
    pub device_token: Option<Sensitive<String>>,
}

/// Someone who has proved who they are, and how far.
pub(crate) struct Proven {
    /// Who.
    pub(crate) user: StoredUser,
    /// The epoch of the credentials they proved it with.
    pub(crate) epoch: CredentialEpoch,
    /// What that allows.
    pub(crate) stage: SessionStage,
    /// The device, if it was known.
    pub(crate) device: Option<Uuid>,
}

/// A user about to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Address and names.
    pub identity: Identity,
    /// What the account is for.
    pub role: Role,
    /// Title among professionals.
    pub professional_title: Option<String>,
    /// The language to write to them in.
    pub language: Language,
    /// The first password.
    pub password: Password,
}

/// What [`Accounts`] needs.
#[derive(Clone)]
pub struct AccountsPorts {
    /// Users.
    pub users: Arc<dyn UserStore>,
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// Second factors.
    pub second_factors: Arc<dyn SecondFactorStore>,
    /// What the clinic asks of those who sign in.
    pub policy: SignInPolicy,
    /// Password hashes.
    pub passwords: Arc<dyn PasswordHasher>,
    /// Tokens.
    pub tokens: Arc<dyn TokenMint>,
    /// Stored passwords.
    pub password_store: Arc<dyn PasswordStore>,
    /// How often passwords were tried.
    pub guards: Arc<dyn GuardStore>,
    /// Encryption.
    pub sealer: Arc<dyn Sealer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
}

/// What one can do with accounts.
#[derive(Clone)]
pub struct Accounts {
    pub(super) ports: AccountsPorts,
}

impl Accounts {
    /// Accounts over `ports`.
    pub const fn new(ports: AccountsPorts) -> Self {
        Self { ports }
    }

    /// Makes an account.
    ///
    /// # Errors
    /// [`Error::EmailTaken`].
    pub async fn create(&self, new: NewUser) -> Result<UserId, Error> {
        let p = &self.ports;
        let id = UserId::generate(&*p.ids);
        let identity = serde_json::to_vec(&new.identity).map_err(|e| Error::Unavailable(e.into()))?;
        let user = StoredUser {
            id,
            identity: p.sealer.seal(&Identity::context(id), &identity).await?,
            role: new.role,
            professional_title: new.professional_title,
            language: new.language,
            is_active: true,
            last_seen_at: None,
            created_at: p.clock.now(),
        };
        let hash = p.passwords.hash(&new.password).await?;
        p.users.insert(&user, self.email_index(&new.identity.email), &hash).await?;
        Ok(id)
    }

    /// Whose address this is. Authorises nothing: for administration, never for strangers.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn find(&self, email: &Email) -> Result<Option<UserId>, Error> {
        let found = self.ports.users.credentials(self.email_index(email)).await?;
        Ok(found.map(|credentials| credentials.user.id))
    }

    /// Records that `professional` attends `patient`.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn relate(&self, patient: UserId, professional: UserId) -> Result<(), Error> {
        self.ports.users.relate(patient, professional, self.ports.clock.now()).await
    }

    /// Signs in. With the `device_token` of an earlier sign-in, strangers who guess at the address do not matter.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`], the same and in the same time for an unknown address, a wrong
    /// password, a deactivated account and one that is locked after wrong guesses; [`Error::Busy`].
    pub async fn login(
        &self,
        email: &str,
        password: &Password,
        device_token: Option<&str>,
        origin: &Origin,
    ) -> Result<SignIn, Error> {
        let gate = self.knock(email, device_token).await?;
        let credentials = self.prove_password(&gate, password, origin).await?;
        let stage = self.stage_of(&credentials).await?;
        let Credentials { user, epoch, .. } = credentials;
        self.open_session(Proven { user, epoch, stage, device: gate.device }, origin).await
    }

    /// Opens a session. [`Error::InvalidCredentials`] if what was proved is worth nothing by now.
    pub(crate) async fn open_session(&self, proven: Proven, origin: &Origin) -> Result<SignIn, Error> {
        self.open_session_as(self.next_session(), proven, origin, None).await
    }

    /// The same under an id that was known before, and instead of the session of the step before.
    pub(crate) async fn open_session_as(
        &self,
        id: SessionId,
        proven: Proven,
        origin: &Origin,
        replaces: Option<SessionId>,
    ) -> Result<SignIn, Error> {
        let p = &self.ports;
        let Proven { user, epoch, stage, device } = proven;
        let now = p.clock.now();
        let full = stage == SessionStage::Full;
        let refresh = if full { Some(p.tokens.secret("alr_")?) } else { None };
        let expires_at = now + if full { ABSOLUTE_LIFETIME } else { STEP_LIFETIME };
        let session = NewSession {
            id,
            user_id: user.id,
            epoch,
            created_at: now,
            expires_at,
            stage,
            origin: origin.clone(),
            refresh: refresh.as_ref().map(|secret| NewRefresh {
                hash: p.tokens.digest(secret.expose()),
                // The session goes idle before.
                expires_at,
            }),
            replaces,
        };
        p.sessions.open(&session, &self.admission(&session)).await?;
        let access = self.access(user.id, id, now, expires_at)?;
        let (user, tokens) = (self.open_one(user).await?, Tokens { access, refresh });
        let redirect_to = redirect_to(user.role);
        let device_token = full.then(|| self.device_token(&user.identity.email, device, epoch));
        Ok(SignIn { redirect_to, tokens, user, stage, session_id: id, expires_at, device_token })
    }

    /// Swaps a refresh token for a new pair.
    ///
    /// # Errors
    /// [`Error::InvalidRefreshToken`]; if the token had been used before, its session has ended by then.
    pub async fn refresh(&self, token: &str, origin: &Origin) -> Result<SignIn, Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let refresh = p.tokens.secret("alr_")?;
        let next = p.tokens.digest(refresh.expose());
        match p.sessions.rotate(p.tokens.digest(token), next, now, now + ABSOLUTE_LIFETIME).await? {
            Rotation::Rotated(LiveSession { caller, stage, expires_at, .. }) => {
                let access = self.access(caller.user_id, caller.session_id, now, expires_at)?;
                let user = self.me(&caller).await?;
                let tokens = Tokens { access, refresh: Some(refresh) };
                let (redirect_to, session_id) = (redirect_to(user.role), caller.session_id);
                Ok(SignIn { redirect_to, tokens, user, stage, session_id, expires_at, device_token: None })
            }
            Rotation::Reused { session_id, user_id } => {
                // Whoever it was, thief or owner, is not known.
                let entry = AuditEntry::from_origin(&*p.ids, now, origin, "session.revoked");
                self.end_abused(session_id, user_id, RevocationReason::TokenReuse, entry).await?;
                Err(Error::InvalidRefreshToken)
            }
            Rotation::Refused => Err(Error::InvalidRefreshToken),
        }
    }

    /// Who presents this access token, if their session is a full one. Counts as activity.
    ///
    /// # Errors
    /// [`Error::InvalidToken`], [`Error::SessionEnded`], [`Error::StepRequired`].
    pub async fn authenticate(&self, access_token: &str) -> Result<LiveSession, Error> {
        self.authenticate_any(access_token).await?.full()
    }

    /// Who presents this access token, whatever may be done in their session: for the few use-cases that lead to
    /// a full one. Counts as activity.
    ///
    /// # Errors
    /// [`Error::InvalidToken`], [`Error::SessionEnded`].
    pub async fn authenticate_any(&self, access_token: &str) -> Result<LiveSession, Error> {
        let now = self.ports.clock.now();
        let claims = self.ports.tokens.verify(access_token, now)?;
        let live = self.ports.sessions.live(claims.session_id, now).await?.ok_or(Error::SessionEnded)?;
        if live.caller.user_id != claims.user_id {
            return Err(Error::InvalidToken);
        }
        self.note_activity(&live, now).await?;
        Ok(live)
    }

    /// A ticket that opens one WebSocket in the caller's name.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn issue_ticket(&self, caller: &Caller) -> Result<Sensitive<String>, Error> {
        let p = &self.ports;
        let ticket = p.tokens.secret("alt_")?;
        let (now, hash) = (p.clock.now(), p.tokens.digest(ticket.expose()));
        p.sessions.put_ticket(hash, caller.session_id, now, now + TICKET_LIFETIME).await?;
        Ok(ticket)
    }

    /// Who presents this ticket, which is used up by asking.
    ///
    /// # Errors
    /// [`Error::InvalidTicket`], [`Error::SessionEnded`].
    pub async fn redeem_ticket(&self, ticket: &str) -> Result<LiveSession, Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let session =
            p.sessions.take_ticket(p.tokens.digest(ticket), now).await?.ok_or(Error::InvalidTicket)?;
        p.sessions.live(session, now).await?.ok_or(Error::SessionEnded)
    }

    /// The caller's own account.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`], unless the account has just gone.
    pub async fn me(&self, caller: &Caller) -> Result<User, Error> {
        self.users(&[caller.user_id]).await?.remove(&caller.user_id).ok_or(Error::NotFound)
    }

    /// Records that the last device of `user` went `at` that time.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn record_seen_at(&self, user: UserId, at: DateTime<Utc>) -> Result<(), Error> {
        self.ports.users.record_seen(user, at).await
    }

    /// The users with these ids. Unknown ids are left out. Authorises nothing: callers of this are the
    /// screens, which show people only to those they share a conversation with.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn users(&self, ids: &[UserId]) -> Result<HashMap<UserId, User>, Error> {
        let stored = self.ports.users.by_ids(ids).await?;
        let sealed: Vec<_> = stored.iter().map(|u| (Identity::context(u.id), &u.identity)).collect();
        let opened = self.ports.sealer.open_many(&sealed).await?;
        stored.iter().zip(opened).map(|(user, plain)| Ok((user.id, restore(user, &plain)?))).collect()
    }

    pub(crate) async fn open_one(&self, user: StoredUser) -> Result<User, Error> {
        let opened = self.ports.sealer.open_many(&[(Identity::context(user.id), &user.identity)]).await?;
        restore(&user, opened.first().map_or(&[], Vec::as_slice))
    }

    fn access(
        &self,
        user_id: UserId,
        session_id: SessionId,
        now: DateTime<Utc>,
        session_end: DateTime<Utc>,
    ) -> Result<Sensitive<String>, Error> {
        let expires_at = (now + ACCESS_LIFETIME).min(session_end);
        self.ports.tokens.access(&AccessClaims { user_id, session_id, issued_at: now, expires_at })
    }

    pub(crate) fn email_index(&self, email: &Email) -> [u8; 16] {
        email.index(&*self.ports.sealer)
    }
}

pub(super) fn restore(user: &StoredUser, identity: &[u8]) -> Result<User, Error> {
    Ok(User {
        id: user.id,
        identity: serde_json::from_slice(identity).map_err(|e| Error::Unavailable(e.into()))?,
        role: user.role,
        professional_title: user.professional_title.clone(),
        language: user.language,
        is_active: user.is_active,
        last_seen_at: user.last_seen_at,
        created_at: user.created_at,
    })
}

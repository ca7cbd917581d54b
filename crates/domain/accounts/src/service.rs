use std::collections::HashMap;
use std::sync::Arc;

use alivio_kernel::ids::{IdSource, SessionId, UserId};
use alivio_kernel::{Caller, Clock, Event, Role, Sealer, Sensitive};
use chrono::{DateTime, Utc};

use crate::{
    ABSOLUTE_LIFETIME, ACCESS_LIFETIME, AccessClaims, Email, Error, IDLE_LIFETIME, Identity, LiveSession,
    NewSession, Password, PasswordHasher, RevocationReason, Rotation, SessionRevoked, SessionStore,
    StoredUser, TICKET_LIFETIME, TokenMint, User, UserStore, redirect_to,
};

/// A fresh pair of tokens.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// Proves the session for [`ACCESS_LIFETIME`].
    pub access: Sensitive<String>,
    /// Swaps itself for the next pair, once.
    pub refresh: Sensitive<String>,
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
    /// Password hashes.
    pub passwords: Arc<dyn PasswordHasher>,
    /// Tokens.
    pub tokens: Arc<dyn TokenMint>,
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
    ports: AccountsPorts,
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

    /// Signs in.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`], the same and in the same time for an unknown address, a wrong
    /// password and a deactivated account; [`Error::Busy`].
    pub async fn login(&self, email: &str, password: &Password) -> Result<SignIn, Error> {
        let p = &self.ports;
        // An address that cannot exist costs as much as one that does not.
        let found = match Email::parse(email) {
            Ok(email) => p.users.credentials(self.email_index(&email)).await?,
            Err(_) => None,
        };
        let hash = found.as_ref().map(|c| c.password_hash.clone());
        let matches = p.passwords.verify(password, hash).await?;
        let user = match found {
            Some(credentials) if matches && credentials.user.is_active => credentials.user,
            _ => return Err(Error::InvalidCredentials),
        };

        let now = p.clock.now();
        let refresh = p.tokens.secret("alr_")?;
        let session = NewSession {
            id: SessionId::generate(&*p.ids),
            user_id: user.id,
            created_at: now,
            expires_at: now + ABSOLUTE_LIFETIME,
            refresh: p.tokens.digest(refresh.expose()),
            refresh_expires_at: now + IDLE_LIFETIME,
        };
        p.sessions.open(&session).await?;
        let access = self.access(user.id, session.id, now, session.expires_at)?;
        let user = self.open_one(user).await?;
        Ok(SignIn { redirect_to: redirect_to(user.role), tokens: Tokens { access, refresh }, user })
    }

    /// Swaps a refresh token for a new pair.
    ///
    /// # Errors
    /// [`Error::InvalidRefreshToken`]; if the token had been used before, its session has ended by then.
    pub async fn refresh(&self, token: &str) -> Result<SignIn, Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let refresh = p.tokens.secret("alr_")?;
        let next = p.tokens.digest(refresh.expose());
        match p.sessions.rotate(p.tokens.digest(token), next, now, now + IDLE_LIFETIME).await? {
            Rotation::Rotated(LiveSession { caller, expires_at }) => {
                let access = self.access(caller.user_id, caller.session_id, now, expires_at)?;
                let user = self.me(&caller).await?;
                Ok(SignIn { redirect_to: redirect_to(user.role), tokens: Tokens { access, refresh }, user })
            }
            Rotation::Reused { session_id, user_id } => {
                self.revoke(session_id, user_id, RevocationReason::TokenReuse, now).await?;
                Err(Error::InvalidRefreshToken)
            }
            Rotation::Refused => Err(Error::InvalidRefreshToken),
        }
    }

    /// Signs out: ends the caller's session, its tokens and its sockets.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn logout(&self, caller: &Caller) -> Result<(), Error> {
        let now = self.ports.clock.now();
        self.revoke(caller.session_id, caller.user_id, RevocationReason::Logout, now).await
    }

    /// Who presents this access token.
    ///
    /// # Errors
    /// [`Error::InvalidToken`], [`Error::SessionEnded`].
    pub async fn authenticate(&self, access_token: &str) -> Result<LiveSession, Error> {
        let now = self.ports.clock.now();
        let claims = self.ports.tokens.verify(access_token, now)?;
        let live = self.ports.sessions.live(claims.session_id, now).await?.ok_or(Error::SessionEnded)?;
        if live.caller.user_id == claims.user_id { Ok(live) } else { Err(Error::InvalidToken) }
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

    /// Records that the last device of `user` has just gone.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn record_seen(&self, user: UserId) -> Result<DateTime<Utc>, Error> {
        let now = self.ports.clock.now();
        self.ports.users.record_seen(user, now).await?;
        Ok(now)
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

    async fn open_one(&self, user: StoredUser) -> Result<User, Error> {
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

    async fn revoke(
        &self,
        session_id: SessionId,
        user_id: UserId,
        reason: RevocationReason,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let event = Event::new(&*self.ports.ids, now, &SessionRevoked { session_id, user_id, reason });
        self.ports.sessions.revoke(session_id, reason.as_str(), now, event).await
    }

    fn email_index(&self, email: &Email) -> [u8; 16] {
        self.ports.sealer.blind_index("users.email", email.as_str().as_bytes())
    }
}

fn restore(user: &StoredUser, identity: &[u8]) -> Result<User, Error> {
    Ok(User {
        id: user.id,
        identity: serde_json::from_slice(identity).map_err(|e| Error::Unavailable(e.into()))?,
        role: user.role,
        professional_title: user.professional_title.clone(),
        is_active: user.is_active,
        last_seen_at: user.last_seen_at,
        created_at: user.created_at,
    })
}

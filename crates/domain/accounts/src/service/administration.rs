use std::sync::Arc;

use alivio_kernel::audit::Outcome;
use alivio_kernel::ids::{IdSource, UserId};
use alivio_kernel::{
    AccessScope, AuditEntry, AuditSink, Caller, Clock, Denied, Effects, Event, Language, Origin, Page,
    PageSize, Role, Sealer, Sensitive,
};

use super::refusal::refusal;
use super::sign_in::restore;
use crate::{
    AccountChange, Changed, Email, Error, Identity, NewPassword, Password, PasswordHasher, RevocationReason,
    SessionsRevoked, StoredUser, TokenMint, User, UserAdministration, UserFilter, UserStore, may_become,
};

/// What [`Administration`] needs.
#[derive(Clone)]
pub struct AdministrationPorts {
    /// Accounts, for those who manage them.
    pub administration: Arc<dyn UserAdministration>,
    /// Users.
    pub users: Arc<dyn UserStore>,
    /// Where reading and refusals are recorded.
    pub audit: Arc<dyn AuditSink>,
    /// Password hashes.
    pub passwords: Arc<dyn PasswordHasher>,
    /// Secrets.
    pub tokens: Arc<dyn TokenMint>,
    /// Encryption.
    pub sealer: Arc<dyn Sealer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
}

/// Which accounts to list. Everything that is given must hold.
#[derive(Debug, Clone)]
pub struct UserQuery {
    /// With this role.
    pub role: Option<Role>,
    /// Who may, or may not, sign in.
    pub is_active: Option<bool>,
    /// With this address.
    pub email: Option<Email>,
    /// Older than this one.
    pub after: Option<UserId>,
    /// Skip so many.
    pub offset: i64,
    /// How many.
    pub size: PageSize,
}

/// The first administrator of an installation.
#[derive(Debug, Clone)]
pub struct NewAdministrator {
    /// Address and names.
    pub identity: Identity,
    /// Their password; without one, one is made up and must be changed at the first sign-in.
    pub password: Option<NewPassword>,
    /// Makes another one even if there is one.
    pub force: bool,
}

/// What those who run the installation do with accounts: never with content (S0-103, S3-37).
#[derive(Clone)]
pub struct Administration {
    ports: AdministrationPorts,
}

impl Administration {
    /// Administration over `ports`.
    pub const fn new(ports: AdministrationPorts) -> Self {
        Self { ports }
    }

    /// Lists accounts, the newest first. That it was done is recorded.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub async fn list(&self, caller: &Caller, query: &UserQuery) -> Result<Page<User>, Error> {
        const ACTION: &str = "users.listed";
        let p = &self.ports;
        self.authorise(caller, ACTION, None).await?;
        let filter = UserFilter {
            role: query.role,
            is_active: query.is_active,
            email_index: query.email.as_ref().map(|email| email.index(&*self.ports.sealer)),
            after: query.after,
            offset: query.offset,
            size: query.size,
        };
        let (rows, more) = query.size.cut(p.administration.list(&filter).await?);
        self.record(AuditEntry::by(&*p.ids, p.clock.now(), caller, ACTION)).await?;
        let next_cursor = if more { rows.last().map(|user| user.id.to_string()) } else { None };
        Ok(Page { items: self.open(rows).await?, next_cursor })
    }

    /// Shows one account. That it was done is recorded.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::NotFound`].
    pub async fn show(&self, caller: &Caller, user: UserId) -> Result<User, Error> {
        const ACTION: &str = "user.read";
        let p = &self.ports;
        self.authorise(caller, ACTION, Some(user)).await?;
        let found = self.load(user).await?;
        self.record(AuditEntry::by(&*p.ids, p.clock.now(), caller, ACTION).about(user)).await?;
        Ok(found)
    }

    /// Keeps someone from signing in, and ends all their sessions. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`Error::Denied`], also for oneself; [`Error::NotFound`], [`Error::LastAdministrator`].
    pub async fn deactivate(&self, caller: &Caller, user: UserId) -> Result<User, Error> {
        self.change(caller, user, AccountChange::Deactivate).await
    }

    /// Lets someone sign in again. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`Error::Denied`], also for oneself; [`Error::NotFound`].
    pub async fn activate(&self, caller: &Caller, user: UserId) -> Result<User, Error> {
        self.change(caller, user, AccountChange::Activate).await
    }

    /// Gives someone another role, and ends all their sessions. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`Error::Denied`], also for oneself; [`Error::NotFound`], [`Error::LastAdministrator`],
    /// [`Error::RoleNotAssignable`].
    pub async fn set_role(&self, caller: &Caller, user: UserId, role: Role) -> Result<User, Error> {
        self.change(caller, user, AccountChange::Role(role)).await
    }

    /// Ends all sessions of someone.
    ///
    /// # Errors
    /// [`Error::Denied`], also for oneself; [`Error::NotFound`].
    pub async fn revoke_sessions(&self, caller: &Caller, user: UserId) -> Result<(), Error> {
        self.change(caller, user, AccountChange::EndSessions).await.map(drop)
    }

    /// The active administrators of the clinic. Authorises nothing: for telling them what they must know.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn clinic_administrators(&self) -> Result<Vec<UserId>, Error> {
        self.ports.administration.with_role(Role::MedicalAdmin).await
    }

    /// Makes an administrator of the installation, from the command line of its server: whoever can run that can do
    /// everything anyway. Answers the password if it was made up here.
    ///
    /// # Errors
    /// [`Error::EmailTaken`]; [`Error::AdministratorExists`] unless forced.
    pub async fn create_administrator(
        &self,
        new: NewAdministrator,
    ) -> Result<(UserId, Option<Sensitive<String>>), Error> {
        let p = &self.ports;
        let (id, now) = (UserId::generate(&*p.ids), p.clock.now());
        let (password, shown) = match new.password {
            Some(password) => (password.password().clone(), None),
            None => {
                let secret = p.tokens.secret("alp_")?;
                (Password::parse(secret.expose().clone())?, Some(secret))
            }
        };
        let identity = serde_json::to_vec(&new.identity).map_err(|e| Error::Unavailable(e.into()))?;
        let user = StoredUser {
            id,
            identity: p.sealer.seal(&Identity::context(id), &identity).await?,
            role: Role::ItAdmin,
            professional_title: None,
            language: Language::default(),
            is_active: true,
            last_seen_at: None,
            created_at: now,
        };
        let hash = p.passwords.hash(&password).await?;
        let entry = AuditEntry::from_origin(&*p.ids, now, &Origin::default(), "user.created_on_the_server");
        p.administration
            .insert_administrator(
                &user,
                new.identity.email.index(&*self.ports.sealer),
                &hash,
                shown.is_some(),
                new.force,
                Effects::default().audit(entry.about(id)),
            )
            .await?;
        Ok((id, shown))
    }

    async fn change(&self, caller: &Caller, user: UserId, change: AccountChange) -> Result<User, Error> {
        let p = &self.ports;
        let (action, ends_sessions) = match change {
            AccountChange::Deactivate => ("user.deactivated", Some(RevocationReason::Deactivated)),
            AccountChange::Activate => ("user.activated", None),
            AccountChange::Role(_) => ("user.role_changed", Some(RevocationReason::RoleChanged)),
            AccountChange::EndSessions => ("user.sessions_revoked", Some(RevocationReason::Administrator)),
        };
        self.authorise(caller, action, Some(user)).await?;
        if caller.user_id == user {
            return Err(self.refuse(caller, action, Denied::OwnAccount, user).await);
        }
        let before = self.load(user).await?;
        let now = p.clock.now();
        let mut entry = AuditEntry::by(&*p.ids, now, caller, action).about(user);
        if let AccountChange::Role(role) = change {
            // A patient stays one for ever, so what was read here still holds when it is stored.
            if !may_become(before.role, role) {
                return Err(Error::RoleNotAssignable);
            }
            entry = entry.came_to(Outcome::Done, role.as_str());
        }
        let mut effects = Effects::default().audit(entry);
        if let Some(reason) = ends_sessions {
            let revoked = SessionsRevoked { user_id: user, except: None, reason };
            effects = effects.event(Event::new(&*p.ids, now, &revoked));
        }
        let reason = ends_sessions.unwrap_or(RevocationReason::Administrator);
        match p.administration.change(user, change, reason, now, effects).await? {
            Changed::Done | Changed::Already => self.load(user).await,
            Changed::NoSuchUser => Err(Error::NotFound),
            Changed::LastAdministrator => Err(Error::LastAdministrator),
        }
    }

    /// Who asks without being entitled leaves a trace.
    async fn authorise(
        &self,
        caller: &Caller,
        action: &'static str,
        user: Option<UserId>,
    ) -> Result<(), Error> {
        let Err(denied) = caller.require(AccessScope::UsersManage) else { return Ok(()) };
        Err(self.refuse(caller, action, denied, user).await)
    }

    async fn refuse(
        &self,
        caller: &Caller,
        action: &'static str,
        denied: Denied,
        user: impl Into<Option<UserId>>,
    ) -> Error {
        let p = &self.ports;
        let entry = AuditEntry::by(&*p.ids, p.clock.now(), caller, action);
        let entry = match user.into() {
            Some(user) => entry.about(user),
            None => entry,
        };
        refusal(&*p.audit, entry, denied).await
    }

    async fn record(&self, entry: AuditEntry) -> Result<(), Error> {
        self.ports.audit.record(&[entry]).await.map_err(Error::Unavailable)
    }

    async fn load(&self, user: UserId) -> Result<User, Error> {
        let rows = self.ports.users.by_ids(&[user]).await?;
        self.open(rows).await?.pop().ok_or(Error::NotFound)
    }

    async fn open(&self, rows: Vec<StoredUser>) -> Result<Vec<User>, Error> {
        let sealed: Vec<_> = rows.iter().map(|user| (Identity::context(user.id), &user.identity)).collect();
        let opened = self.ports.sealer.open_many(&sealed).await?;
        rows.iter().zip(opened).map(|(user, plain)| restore(user, &plain)).collect()
    }
}

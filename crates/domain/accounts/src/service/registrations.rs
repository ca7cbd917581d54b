use std::sync::Arc;

use alivio_kernel::audit::Outcome;
use alivio_kernel::ids::{EventId, RegistrationId, UserId};
use alivio_kernel::{AuditEntry, AuditSink, Effects, Event, Language, Origin, Role, Sensitive};

use super::sign_in::Accounts;
use crate::model::secrets::CONFIRMATION_PREFIX;
use crate::{
    CONFIRMATION_LIFETIME, Error, Identity, Letter, LetterBox, NewPassword, OutgoingLetter, Password,
    PendingRegistration, RegistrationBegun, RegistrationStore, UserRegistered,
};

/// Someone who signs up.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Address and names.
    pub identity: Identity,
    /// The password they want.
    pub password: NewPassword,
    /// What the account is to be for: see [`open_role`](crate::open_role).
    pub role: Role,
    /// The language to write to them in.
    pub language: Language,
}

/// What [`Registrations`] needs.
#[derive(Clone)]
pub struct RegistrationsPorts {
    /// Those who wait.
    pub store: Arc<dyn RegistrationStore>,
    /// Where letters go.
    pub letters: Arc<dyn LetterBox>,
    /// Where refusals are noted.
    pub audit: Arc<dyn AuditSink>,
    /// Whether people may sign up by themselves.
    pub is_open: bool,
}

/// How people sign up by themselves (C-29). Whether an address has an account shows only to whoever reads its mail.
#[derive(Clone)]
pub struct Registrations {
    accounts: Accounts,
    ports: RegistrationsPorts,
}

impl Registrations {
    /// Registrations of `accounts`.
    pub const fn new(accounts: Accounts, ports: RegistrationsPorts) -> Self {
        Self { accounts, ports }
    }

    /// Signs someone up. A letter follows: to confirm the address, or to say that it has an account.
    ///
    /// # Errors
    /// [`Error::RegistrationClosed`]; [`Error::Busy`]; field errors.
    pub async fn register(&self, new: Registration, origin: &Origin) -> Result<(), Error> {
        if !self.ports.is_open {
            return Err(Error::RegistrationClosed);
        }
        let Registration { identity, password, role, language } = new;
        password.apart_from("password", &identity.email)?;
        let p = &self.accounts.ports;
        let (id, user_id) = (RegistrationId::generate(&*p.ids), UserId::generate(&*p.ids));
        // Everything is done for a taken address, too: the answer comes after the same work.
        let password_hash = p.passwords.hash(password.password()).await?;
        let plain = serde_json::to_vec(&identity).map_err(|e| Error::Unavailable(e.into()))?;
        let sealed = p.sealer.seal(&Identity::context(user_id), &plain).await?;
        let now = p.clock.now();
        let pending = PendingRegistration {
            id,
            token: p.tokens.digest(self.token(id).expose()),
            user_id,
            email_index: self.accounts.email_index(&identity.email),
            identity: sealed,
            password_hash,
            role,
            language,
            created_at: now,
            expires_at: now + CONFIRMATION_LIFETIME,
        };
        let entry = AuditEntry::from_origin(&*p.ids, now, origin, "registration.begun");
        let effects = Effects::default()
            .event(Event::new(&*p.ids, now, &RegistrationBegun { registration_id: id }))
            .audit(entry.on("registration", id));
        self.ports.store.begin(&pending, &effects).await
    }

    /// Confirms the address and makes the account. The token shows whose mail it is and the password who signed up:
    /// without it, whoever signs up with the address of another would have an account that the other vouched for.
    ///
    /// # Errors
    /// [`Error::InvalidSecret`], the same and in the same time for a wrong token and for a wrong password, of which
    /// [`CONFIRMATION_TRIES`](crate::CONFIRMATION_TRIES) end the registration; [`Error::EmailTaken`] if someone was
    /// faster; [`Error::Busy`].
    pub async fn confirm(&self, token: &str, password: &Password, origin: &Origin) -> Result<UserId, Error> {
        let p = &self.accounts.ports;
        let now = p.clock.now();
        let pending = self.ports.store.attempt(p.tokens.digest(token), now).await?;
        let hash = pending.as_ref().map(|pending| pending.password_hash.clone());
        let matches = p.passwords.verify(password, hash).await?;
        let entry = AuditEntry::from_origin(&*p.ids, now, origin, "registration.confirmed");
        if let Some(PendingRegistration { id, user_id, role, .. }) = pending.filter(|_| matches) {
            let effects = Effects::default()
                .event(Event::new(&*p.ids, now, &UserRegistered { user_id, role }))
                .audit(entry.clone().about(user_id).on("registration", id));
            if self.ports.store.confirm(id, now, &effects).await? {
                return Ok(user_id);
            }
        }
        let entry = entry.came_to(Outcome::Failed, "invalid_secret");
        self.ports.audit.record(&[entry]).await.map_err(Error::Unavailable)?;
        Err(Error::InvalidSecret)
    }

    /// Sends the letter that follows a registration.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn send_letter(&self, event: EventId, id: RegistrationId) -> Result<(), Error> {
        let p = &self.accounts.ports;
        let Some(pending) = self.ports.store.pending(id, p.clock.now()).await? else { return Ok(()) };
        let context = Identity::context(pending.user_id);
        let plain = p.sealer.open_many(&[(context, &pending.identity)]).await?;
        let identity: Identity = serde_json::from_slice(plain.first().map_or(&[], Vec::as_slice))
            .map_err(|e| Error::Unavailable(e.into()))?;
        let taken = p.users.credentials(pending.email_index).await?.is_some();
        let letter =
            if taken { Letter::AlreadyRegistered } else { Letter::ConfirmEmail { token: self.token(id) } };
        let to = Sensitive::new(identity.email.as_str().to_owned());
        self.ports.letters.send(&OutgoingLetter { id: event, to, language: pending.language, letter }).await
    }

    fn token(&self, id: RegistrationId) -> Sensitive<String> {
        self.accounts.ports.tokens.derive(CONFIRMATION_PREFIX, id.uuid())
    }
}

use std::sync::Arc;

use alivio_kernel::audit::Outcome;
use alivio_kernel::ids::{EventId, InvitationId, MailedSecretId, UserId};
use alivio_kernel::{
    AccessScope, AuditEntry, AuditSink, Caller, Denied, Effects, Event, FieldError, Language, Origin, Page,
    PageSize, Role, Rule, Sensitive,
};
use chrono::{DateTime, Utc};

use super::refusal::refusal;
use super::sign_in::Accounts;
use crate::model::profile::parse_published;
use crate::model::registration::{invited_email, license_number};
use crate::model::secrets::{INVITATION_PREFIX, readable};
use crate::{
    Email, Error, INVITATION_LIFETIME, Identity, InvitationIssued, InvitationStore, Letter, LetterBox,
    LicenseNumber, NewProfessional, NewTemporaryPassword, OpenInvitation, OutgoingLetter, Redemption,
    StoredInvitation, StoredUser, TEMPORARY_PASSWORD_LIFETIME, TemporaryPasswordIssued, UserRegistered,
    identity, may_invite,
};

/// Someone who takes an invitation (S3-113).
#[derive(Debug, Clone)]
pub struct InvitedPerson {
    /// The address that was invited.
    pub email: String,
    /// The full name.
    pub full_name: String,
    /// The name shown in a chat; without one, the full name.
    pub display_name: Option<String>,
    /// The number of the licence to practise; a doctor needs one.
    pub license_number: Option<String>,
    /// The specialty; a doctor needs one.
    pub specialty: Option<String>,
    /// Title among professionals; without one, the specialty.
    pub professional_title: Option<String>,
    /// The language to write to them in; without one, that of the invitation.
    pub language: Option<Language>,
    /// What came by mail.
    pub token: Sensitive<String>,
}

/// What [`Invitations`] needs.
#[derive(Clone)]
pub struct InvitationsPorts {
    /// Invitations.
    pub store: Arc<dyn InvitationStore>,
    /// Where letters go.
    pub letters: Arc<dyn LetterBox>,
    /// Where refusals are noted.
    pub audit: Arc<dyn AuditSink>,
}

/// How those get accounts who may not sign up by themselves (S3-25).
#[derive(Clone)]
pub struct Invitations {
    accounts: Accounts,
    ports: InvitationsPorts,
}

impl Invitations {
    /// Invitations to `accounts`.
    pub const fn new(accounts: Accounts, ports: InvitationsPorts) -> Self {
        Self { accounts, ports }
    }

    /// Invites `email`. The answer is the same when it has an account; the letter then says so.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub async fn issue(
        &self,
        caller: &Caller,
        email: Email,
        role: Role,
        language: Language,
    ) -> Result<OpenInvitation, Error> {
        self.check(caller, Some(role), "invitation.issued").await?;
        let p = &self.accounts.ports;
        let (id, user_id) = (InvitationId::generate(&*p.ids), UserId::generate(&*p.ids));
        let now = p.clock.now();
        let expires_at = now + INVITATION_LIFETIME;
        let stored = StoredInvitation {
            id,
            token: p.tokens.digest(self.token(id).expose()),
            user_id,
            email_index: self.accounts.email_index(&email),
            email: p.sealer.seal(&invited_email(id, user_id), email.as_str().as_bytes()).await?,
            role,
            language,
            issued_by: caller.user_id,
            created_at: now,
            expires_at,
        };
        let effects = Effects::default()
            .event(Event::new(&*p.ids, now, &InvitationIssued { invitation_id: id }))
            .audit(AuditEntry::by(&*p.ids, now, caller, "invitation.issued").on("invitation", id));
        self.ports.store.issue(&stored, &effects).await?;
        let issued_by = caller.user_id;
        Ok(OpenInvitation { id, email, role, language, issued_by, created_at: now, expires_at })
    }

    /// The open invitations, newest first. The cursor is the id of the last one. That it was done is recorded.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub async fn list(
        &self,
        caller: &Caller,
        after: Option<InvitationId>,
        size: PageSize,
    ) -> Result<Page<OpenInvitation>, Error> {
        self.check(caller, None, "invitation.listed").await?;
        let p = &self.accounts.ports;
        let entry = AuditEntry::by(&*p.ids, p.clock.now(), caller, "invitation.listed");
        self.ports.audit.record(&[entry]).await.map_err(Error::Unavailable)?;
        let rows = self.ports.store.list(after, size.get() + 1, p.clock.now()).await?;
        let (rows, more) = size.cut(rows);
        let items = self.open_all(rows).await?;
        let next_cursor = items.last().filter(|_| more).map(|last| last.id.to_string());
        Ok(Page { items, next_cursor })
    }

    /// Takes an open invitation back.
    ///
    /// # Errors
    /// [`Error::Denied`]; [`Error::NotFound`] if it is not open.
    pub async fn revoke(&self, caller: &Caller, id: InvitationId) -> Result<(), Error> {
        self.check(caller, None, "invitation.revoked").await?;
        let p = &self.accounts.ports;
        let now = p.clock.now();
        let invitation = self.ports.store.open(id, now).await?.ok_or(Error::NotFound)?;
        self.check(caller, Some(invitation.role), "invitation.revoked").await?;
        let entry = AuditEntry::by(&*p.ids, now, caller, "invitation.revoked").on("invitation", id);
        let revoked = self.ports.store.revoke(id, now, &Effects::default().audit(entry)).await?;
        if revoked { Ok(()) } else { Err(Error::NotFound) }
    }

    /// Takes an invitation: makes the account, without a password, and sends a temporary one.
    ///
    /// # Errors
    /// [`Error::InvalidSecret`] alike for a token that is wrong, used, expired, or for another address;
    /// [`Error::EmailTaken`] to whoever holds the right one; field errors.
    pub async fn redeem(&self, person: InvitedPerson, origin: &Origin) -> Result<UserId, Error> {
        let p = &self.accounts.ports;
        let email = Email::parse(&person.email)?;
        let identity = identity(email, &person.full_name, person.display_name.as_deref())?;
        let optional =
            |field, text: &Option<String>| text.as_deref().map(|t| parse_published(field, t)).transpose();
        let license = person.license_number.as_deref().map(LicenseNumber::parse).transpose()?;
        let specialty = optional("specialty", &person.specialty)?;
        let title = optional("professional_title", &person.professional_title)?;

        let now = p.clock.now();
        let email_index = self.accounts.email_index(&identity.email);
        let found = self.ports.store.by_token(p.tokens.digest(person.token.expose()), now).await?;
        let Some(invitation) = found.filter(|invitation| invitation.email_index == email_index) else {
            return self.refuse(origin, now).await;
        };
        if invitation.role == Role::Doctor {
            for (field, given) in [("license_number", license.is_some()), ("specialty", specialty.is_some())]
            {
                given.then_some(()).ok_or(FieldError::new(field, Rule::Missing))?;
            }
        }

        let user_id = invitation.user_id;
        let plain = serde_json::to_vec(&identity).map_err(|e| Error::Unavailable(e.into()))?;
        let secret_id = MailedSecretId::generate(&*p.ids);
        let redemption = Redemption {
            invitation: invitation.id,
            user: StoredUser {
                id: user_id,
                identity: p.sealer.seal(&Identity::context(user_id), &plain).await?,
                role: invitation.role,
                professional_title: title.or_else(|| specialty.clone()),
                language: person.language.unwrap_or(invitation.language),
                is_active: true,
                last_seen_at: None,
                created_at: now,
            },
            email_index,
            license_number: match license {
                Some(number) => {
                    Some(p.sealer.seal(&license_number(user_id), number.expose().as_bytes()).await?)
                }
                None => None,
            },
            specialty,
            temporary: NewTemporaryPassword {
                id: secret_id,
                hash: p.tokens.digest(self.temporary_password(secret_id).expose()),
                expires_at: now + TEMPORARY_PASSWORD_LIFETIME,
            },
        };
        let entry = AuditEntry::from_origin(&*p.ids, now, origin, "invitation.taken");
        let effects = Effects::default()
            .event(Event::new(&*p.ids, now, &UserRegistered { user_id, role: invitation.role }))
            .event(Event::new(&*p.ids, now, &TemporaryPasswordIssued { user_id, secret_id }))
            .audit(entry.about(user_id).on("invitation", invitation.id));
        if self.ports.store.redeem(&redemption, now, &effects).await? {
            Ok(user_id)
        } else {
            self.refuse(origin, now).await
        }
    }

    /// Sends an invitation.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn send_letter(&self, event: EventId, id: InvitationId) -> Result<(), Error> {
        let p = &self.accounts.ports;
        let Some(invitation) = self.ports.store.open(id, p.clock.now()).await? else { return Ok(()) };
        let taken = p.users.credentials(invitation.email_index).await?.is_some();
        let (role, language) = (invitation.role, invitation.language);
        let letter = if taken {
            Letter::AlreadyRegistered
        } else {
            Letter::Invitation { token: self.token(id), role }
        };
        for open in self.open_all(vec![invitation]).await? {
            let to = Sensitive::new(open.email.as_str().to_owned());
            let letter = OutgoingLetter { id: event, to, language, letter: letter.clone() };
            self.ports.letters.send(&letter).await?;
        }
        Ok(())
    }

    /// What a new professional said of their licence, for their first entry; none if they were not invited.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn stated(&self, user: UserId) -> Result<Option<NewProfessional>, Error> {
        let Some(stated) = self.ports.store.stated(user).await? else { return Ok(None) };
        let sealer = &self.accounts.ports.sealer;
        let opened = match &stated.license_number {
            Some(sealed) => sealer.open_many(&[(license_number(user), sealed)]).await?.pop(),
            None => None,
        };
        let number = opened.map(String::from_utf8).transpose().map_err(|e| Error::Unavailable(e.into()))?;
        Ok(Some(NewProfessional {
            specialty: stated.specialty,
            institution: None,
            license_number: number,
            verified_by: None,
        }))
    }

    /// Sends a temporary password.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn send_temporary_password(
        &self,
        event: EventId,
        user: UserId,
        secret: MailedSecretId,
    ) -> Result<(), Error> {
        let Some(user) = self.accounts.users(&[user]).await?.remove(&user) else { return Ok(()) };
        let to = Sensitive::new(user.identity.email.as_str().to_owned());
        let letter = Letter::TemporaryPassword { password: self.temporary_password(secret) };
        self.ports.letters.send(&OutgoingLetter { id: event, to, language: user.language, letter }).await
    }

    fn token(&self, id: InvitationId) -> Sensitive<String> {
        self.accounts.ports.tokens.derive(INVITATION_PREFIX, id.uuid())
    }

    fn temporary_password(&self, id: MailedSecretId) -> Sensitive<String> {
        readable(&self.accounts.ports.tokens.mac("temporary password", id.uuid().as_bytes()))
    }

    async fn refuse<T>(&self, origin: &Origin, now: DateTime<Utc>) -> Result<T, Error> {
        let entry = AuditEntry::from_origin(&*self.accounts.ports.ids, now, origin, "invitation.taken");
        let entry = entry.came_to(Outcome::Failed, "invalid_secret");
        self.ports.audit.record(&[entry]).await.map_err(Error::Unavailable)?;
        Err(Error::InvalidSecret)
    }

    /// Whether the caller has to do with invitations, and with those to `role`. A refusal is noted.
    async fn check(&self, caller: &Caller, role: Option<Role>, action: &'static str) -> Result<(), Error> {
        let denied = match (caller.require(AccessScope::InvitationsIssue), role) {
            (Err(denied), _) => denied,
            (Ok(()), Some(role)) if !may_invite(caller.role, role) => Denied::RoleTooHigh,
            (Ok(()), _) => return Ok(()),
        };
        let p = &self.accounts.ports;
        let entry = AuditEntry::by(&*p.ids, p.clock.now(), caller, action);
        Err(refusal(&*self.ports.audit, entry, denied).await)
    }

    async fn open_all(&self, rows: Vec<StoredInvitation>) -> Result<Vec<OpenInvitation>, Error> {
        let sealed: Vec<_> =
            rows.iter().map(|row| (invited_email(row.id, row.user_id), &row.email)).collect();
        let opened = self.accounts.ports.sealer.open_many(&sealed).await?;
        let open = |(row, plain): (&StoredInvitation, Vec<u8>)| {
            let email = String::from_utf8(plain).map_err(|e| Error::Unavailable(e.into()))?;
            Ok(OpenInvitation {
                id: row.id,
                email: Email::parse(&email)?,
                role: row.role,
                language: row.language,
                issued_by: row.issued_by,
                created_at: row.created_at,
                expires_at: row.expires_at,
            })
        };
        rows.iter().zip(opened).map(open).collect()
    }
}

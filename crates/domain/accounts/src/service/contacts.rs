use std::sync::Arc;

use alivio_kernel::audit::Outcome;
use alivio_kernel::ids::{ContactRequestId, IdSource, UserId};
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::{
    AccessScope, AuditEntry, Caller, Clock, Effects, Event, FieldError, Page, Rule, Sealed, Sealer,
};

use crate::{
    AskEffects, Asked, Contact, ContactAccepted, ContactQuery, ContactRequest, ContactRequested,
    ContactStore, Direction, Email, Error, Invitee, MAX_OPEN_REQUESTS, NewContactRequest, Nickname,
    StoredContact, StoredContactRequest, StoredInvitee, StoredUser, UserStore, Window, may_be_contacts,
};

/// What [`Contacts`] needs.
#[derive(Clone)]
pub struct ContactsPorts {
    /// Contacts and requests.
    pub contacts: Arc<dyn ContactStore>,
    /// Users and who attends whom.
    pub users: Arc<dyn UserStore>,
    /// Encryption.
    pub sealer: Arc<dyn Sealer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
}

/// What came of asking someone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// The request is open. It may reach nobody: that is not told.
    Requested(ContactRequest),
    /// They had asked too, or were a contact before.
    Contact {
        /// The contact.
        contact: Contact,
        /// Whether this call made it.
        created: bool,
    },
}

/// What one can do with contacts.
#[derive(Clone)]
pub struct Contacts {
    ports: ContactsPorts,
}

impl Contacts {
    /// Contacts over `ports`.
    pub const fn new(ports: ContactsPorts) -> Self {
        Self { ports }
    }

    /// Asks someone to become a contact. Whoever has asked the caller, and is asked by their id, becomes one at once.
    ///
    /// People who do not exist, are deactivated, may not be asked by the caller or have blocked them are all
    /// answered alike: the request is open, and reaches nobody.
    ///
    /// # Errors
    /// [`Error::TooManyContactRequests`]; a field error for oneself.
    pub async fn ask(
        &self,
        caller: &Caller,
        invitee: Invitee,
        nickname: Option<Nickname>,
    ) -> Result<Added, Error> {
        caller.require(AccessScope::ContactsManage)?;
        if invitee == Invitee::User(caller.user_id) {
            return Err(FieldError::new("user_id", Rule::Unknown).into());
        }
        let p = &self.ports;
        let (now, id) = (p.clock.now(), ContactRequestId::generate(&*p.ids));
        let named = self.store_invitee(caller.user_id, id, &invitee).await?;
        let target = match (&invitee, &named) {
            (Invitee::User(user), _) => Some(*user),
            (_, StoredInvitee::Email { index, .. }) => p.users.credentials(*index).await?.map(|c| c.user.id),
            (Invitee::Email(_), StoredInvitee::User(_)) => None,
        };
        // The same questions about nobody, so that the time it takes does not tell who exists.
        let asked_about = target.unwrap_or_else(|| UserId::generate(&*p.ids));
        let reaches = self.may_reach(caller, asked_about).await?.then_some(asked_about);
        let nickname = match (&invitee, nickname) {
            (Invitee::User(user), Some(nickname)) => {
                Some(self.seal_nickname(caller.user_id, *user, &nickname).await?)
            }
            _ => None,
        };
        let new = NewContactRequest { id, from: caller.user_id, reaches, named, nickname, created_at: now };
        let effects = self.ask_effects(caller, id, reaches, now);
        match (p.contacts.ask(&new, MAX_OPEN_REQUESTS, &effects).await?, invitee) {
            (Asked::Open(stored), _) => Ok(Added::Requested(self.show_request(stored).await?)),
            (Asked::TooMany, _) => Err(Error::TooManyContactRequests),
            (Asked::NowContacts, Invitee::User(user)) => self.added(caller, user, true).await,
            (Asked::AlreadyContacts, Invitee::User(user)) => self.added(caller, user, false).await,
            // By address the answer is the same in every case: it must not tell whose address it is.
            (Asked::NowContacts | Asked::AlreadyContacts, named) => {
                Ok(Added::Requested(ContactRequest { id, from: caller.user_id, named, created_at: now }))
            }
        }
    }

    /// The caller's open requests, newest first. The cursor of the next page is made by `cursor`.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn requests(
        &self,
        caller: &Caller,
        direction: Direction,
        window: &Window<ContactRequestId>,
        cursor: impl Fn(&ContactRequest) -> String,
    ) -> Result<Page<ContactRequest>, Error> {
        caller.require(AccessScope::ContactsManage)?;
        let rows = self.ports.contacts.requests(caller.user_id, direction, window).await?;
        let (rows, more) = window.size.cut(rows);
        let mut items = Vec::with_capacity(rows.len());
        match direction {
            // By which name one was found is nobody's business but the asker's.
            Direction::Incoming => items.extend(rows.into_iter().map(|row| ContactRequest {
                id: row.id,
                from: row.from,
                named: Invitee::User(caller.user_id),
                created_at: row.created_at,
            })),
            Direction::Outgoing => items = self.show_requests(rows).await?,
        }
        let next_cursor = if more { items.last().map(cursor) } else { None };
        Ok(Page { items, next_cursor })
    }

    /// Accepts a request to the caller: the two become contacts of each other.
    ///
    /// # Errors
    /// [`Error::NotFound`], also if they may no longer be contacts.
    pub async fn accept(&self, caller: &Caller, id: ContactRequestId) -> Result<Contact, Error> {
        caller.require(AccessScope::ContactsManage)?;
        let p = &self.ports;
        let request = p.contacts.incoming(caller.user_id, id).await?.ok_or(Error::NotFound)?;
        if !self.may_reach(caller, request.from).await? {
            return Err(Error::NotFound);
        }
        let now = p.clock.now();
        let accepted = ContactAccepted { from: request.from, to: caller.user_id };
        let entry = AuditEntry::by(&*p.ids, now, caller, "contact.accepted");
        let effects = Effects::default()
            .event(Event::new(&*p.ids, now, &accepted))
            .audit(entry.on("user", request.from));
        if !p.contacts.accept(caller.user_id, id, now, &effects).await? {
            return Err(Error::NotFound);
        }
        self.contact(caller, request.from).await
    }

    /// Declines a request to the caller, of which the other learns nothing. Whatever they ask for in the next
    /// [`REFUSAL_HOLDS`](crate::REFUSAL_HOLDS) does not reach the caller either.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn decline(&self, caller: &Caller, id: ContactRequestId) -> Result<(), Error> {
        caller.require(AccessScope::ContactsManage)?;
        let effects = self.audited(caller, "contact.declined", id);
        let now = self.ports.clock.now();
        let ended = self.ports.contacts.decline(caller.user_id, id, now, &effects).await?;
        if ended { Ok(()) } else { Err(Error::NotFound) }
    }

    /// Takes back a request of the caller.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn withdraw(&self, caller: &Caller, id: ContactRequestId) -> Result<(), Error> {
        caller.require(AccessScope::ContactsManage)?;
        let effects = self.audited(caller, "contact.request_withdrawn", id);
        let ended = self.ports.contacts.withdraw(caller.user_id, id, &effects).await?;
        if ended { Ok(()) } else { Err(Error::NotFound) }
    }

    /// The caller's contacts. The cursor of the next page is made by `cursor`.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn list(
        &self,
        caller: &Caller,
        query: &ContactQuery,
        cursor: impl Fn(&Contact) -> String,
    ) -> Result<Page<Contact>, Error> {
        caller.require(AccessScope::ContactsManage)?;
        let rows = self.ports.contacts.contacts(caller.user_id, query).await?;
        let (rows, more) = query.size.cut(rows);
        let items = self.show(caller.user_id, rows).await?;
        let next_cursor = if more { items.last().map(cursor) } else { None };
        Ok(Page { items, next_cursor })
    }

    /// The caller's contact `user`.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn contact(&self, caller: &Caller, user: UserId) -> Result<Contact, Error> {
        caller.require(AccessScope::ContactsManage)?;
        let stored = self.ports.contacts.contact(caller.user_id, user).await?.ok_or(Error::NotFound)?;
        self.show(caller.user_id, vec![stored]).await?.pop().ok_or(Error::NotFound)
    }

    /// Replaces what the caller keeps about a contact.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn replace(
        &self,
        caller: &Caller,
        user: UserId,
        nickname: Option<Nickname>,
        is_favorite: bool,
    ) -> Result<Contact, Error> {
        caller.require(AccessScope::ContactsManage)?;
        let nickname = match nickname {
            Some(nickname) => Some(self.seal_nickname(caller.user_id, user, &nickname).await?),
            None => None,
        };
        self.change(caller, user, Some(nickname), Some(is_favorite)).await
    }

    /// Puts a contact first in the list, or back among the others.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn set_favorite(
        &self,
        caller: &Caller,
        user: UserId,
        is_favorite: bool,
    ) -> Result<Contact, Error> {
        caller.require(AccessScope::ContactsManage)?;
        self.change(caller, user, None, Some(is_favorite)).await
    }

    /// Ends it, for both.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn remove(&self, caller: &Caller, user: UserId) -> Result<(), Error> {
        caller.require(AccessScope::ContactsManage)?;
        let p = &self.ports;
        let entry = AuditEntry::by(&*p.ids, p.clock.now(), caller, "contact.removed").on("user", user);
        let removed = p.contacts.remove(caller.user_id, user, &Effects::default().audit(entry)).await?;
        if removed { Ok(()) } else { Err(Error::NotFound) }
    }

    async fn change(
        &self,
        caller: &Caller,
        user: UserId,
        nickname: Option<Option<Sealed>>,
        is_favorite: Option<bool>,
    ) -> Result<Contact, Error> {
        if !self.ports.contacts.change(caller.user_id, user, nickname, is_favorite).await? {
            return Err(Error::NotFound);
        }
        self.contact(caller, user).await
    }

    async fn added(&self, caller: &Caller, user: UserId, created: bool) -> Result<Added, Error> {
        Ok(Added::Contact { contact: self.contact(caller, user).await?, created })
    }

    /// Whether the two may be contacts. Blocks are for the store, which sees them as they are at that moment.
    async fn may_reach(&self, caller: &Caller, user: UserId) -> Result<bool, Error> {
        let users = &self.ports.users;
        let other = users.by_ids(&[user]).await?.into_iter().find(|other| other.is_active);
        let related = !users.related(caller.user_id, &[user]).await?.is_empty();
        let may = |other: StoredUser| may_be_contacts(caller.role, other.role, related);
        Ok(user != caller.user_id && other.is_some_and(may))
    }

    fn ask_effects(
        &self,
        caller: &Caller,
        id: ContactRequestId,
        reaches: Option<UserId>,
        now: chrono::DateTime<chrono::Utc>,
    ) -> AskEffects {
        let ids = &*self.ports.ids;
        let requested = |to| {
            let requested = ContactRequested { request_id: id, from: caller.user_id, to };
            Effects::default().event(Event::new(ids, now, &requested))
        };
        let entry = |action| AuditEntry::by(ids, now, caller, action);
        let denied = entry("contact.requested").on("contact_request", id);
        let unreached = requested(None).audit(denied.came_to(Outcome::Denied, "not_reachable"));
        let Some(to) = reaches else { return AskEffects { unreached, ..AskEffects::default() } };
        // They had asked: by asking back, the caller accepts.
        let accepted = ContactAccepted { from: to, to: caller.user_id };
        AskEffects {
            reached: requested(Some(to)).audit(entry("contact.requested").on("user", to)),
            repeated: requested(None).audit(entry("contact.requested").on("user", to)),
            unreached,
            accepted: Effects::default()
                .event(Event::new(ids, now, &accepted))
                .audit(entry("contact.accepted").on("user", to)),
        }
    }

    fn audited(&self, caller: &Caller, action: &'static str, id: ContactRequestId) -> Effects {
        let p = &self.ports;
        let entry = AuditEntry::by(&*p.ids, p.clock.now(), caller, action).on("contact_request", id);
        Effects::default().audit(entry)
    }

    async fn seal_nickname(
        &self,
        owner: UserId,
        contact: UserId,
        nickname: &Nickname,
    ) -> Result<Sealed, Error> {
        let context = Nickname::context(owner, contact);
        Ok(self.ports.sealer.seal(&context, nickname.expose().as_bytes()).await?)
    }

    async fn store_invitee(
        &self,
        from: UserId,
        id: ContactRequestId,
        invitee: &Invitee,
    ) -> Result<StoredInvitee, Error> {
        let sealer = &self.ports.sealer;
        Ok(match invitee {
            Invitee::User(user) => StoredInvitee::User(*user),
            Invitee::Email(email) => StoredInvitee::Email {
                index: email.index(&**sealer),
                sealed: sealer.seal(&email_context(from, id), email.as_str().as_bytes()).await?,
            },
        })
    }

    async fn show_request(&self, row: StoredContactRequest) -> Result<ContactRequest, Error> {
        self.show_requests(vec![row]).await?.pop().ok_or(Error::NotFound)
    }

    /// Opens the addresses of all `rows` at once.
    async fn show_requests(&self, rows: Vec<StoredContactRequest>) -> Result<Vec<ContactRequest>, Error> {
        let sealed: Vec<_> = rows
            .iter()
            .filter_map(|row| match &row.named {
                StoredInvitee::Email { sealed, .. } => Some((email_context(row.from, row.id), sealed)),
                StoredInvitee::User(_) => None,
            })
            .collect();
        let mut opened = self.ports.sealer.open_many(&sealed).await?.into_iter();
        rows.iter()
            .map(|row| {
                let named = match &row.named {
                    StoredInvitee::User(user) => Invitee::User(*user),
                    StoredInvitee::Email { .. } => {
                        let address = restored(opened.next().unwrap_or_default())?;
                        Invitee::Email(Email::parse(&address)?)
                    }
                };
                Ok(ContactRequest { id: row.id, from: row.from, named, created_at: row.created_at })
            })
            .collect()
    }

    /// Opens the nicknames of all `rows` at once.
    async fn show(&self, owner: UserId, rows: Vec<StoredContact>) -> Result<Vec<Contact>, Error> {
        let sealed: Vec<_> = rows
            .iter()
            .filter_map(|row| Some((Nickname::context(owner, row.user_id), row.nickname.as_ref()?)))
            .collect();
        let mut opened = self.ports.sealer.open_many(&sealed).await?.into_iter();
        rows.iter()
            .map(|row| {
                let nickname = if row.nickname.is_some() { opened.next() } else { None };
                Ok(Contact {
                    user_id: row.user_id,
                    nickname: nickname.map(restored).transpose()?.map(Nickname::restored),
                    is_favorite: row.is_favorite,
                    is_blocked: row.is_blocked,
                    created_at: row.created_at,
                })
            })
            .collect()
    }
}

/// The place where the address of a request is sealed.
const fn email_context(from: UserId, request: ContactRequestId) -> SealContext {
    SealContext {
        table: "contact_requests",
        column: "named_email",
        row: request.uuid(),
        scope: Scope::User(from),
        version: 1,
    }
}

fn restored(plain: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(plain).map_err(|e| Error::Unavailable(e.into()))
}

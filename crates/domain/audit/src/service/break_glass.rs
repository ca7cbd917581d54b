use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, GrantId};
use alivio_kernel::{
    AccessScope, AuditEntry, AuditSink, Caller, Clock, Effects, Event, IdSource, Page, PageSize, Sealer,
    Sensitive,
};

use super::authorise;
use crate::{
    After, BreakGlassOpened, Ended, Error, GRANT_LIFETIME, Grant, GrantStore, Membership, NewGrant, Reason,
    StoredGrant, reason_context,
};

/// Members come and go rarely; someone who loses this often asks again.
const TRIES: usize = 3;

/// What [`BreakGlass`] needs.
#[derive(Clone)]
pub struct BreakGlassPorts {
    /// Grants.
    pub grants: Arc<dyn GrantStore>,
    /// Who is in a conversation.
    pub membership: Arc<dyn Membership>,
    /// Where refusals are recorded.
    pub sink: Arc<dyn AuditSink>,
    /// Encryption.
    pub sealer: Arc<dyn Sealer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
}

/// What is to be read by a grant, and what must be recorded with it.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The grant; whoever reads must check it again in the statement that reads.
    pub grant_id: GrantId,
    /// The conversation it opens.
    pub conversation_id: ConversationId,
    /// To be stored in the transaction that reads: one entry for each person who is in the conversation or was.
    pub audit: Vec<AuditEntry>,
}

/// Access in an emergency (C-59): for a stated reason, for at most an hour, and seen by those concerned.
#[derive(Clone)]
pub struct BreakGlass {
    ports: BreakGlassPorts,
}

impl BreakGlass {
    /// Access in an emergency over `ports`.
    pub const fn new(ports: BreakGlassPorts) -> Self {
        Self { ports }
    }

    /// Lets the caller read a conversation they are not in. Its participants, and those who have left it, find that in
    /// their access log, and they and all other administrators are told.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::NotFound`], [`Error::AlreadyParticipant`], [`Error::GrantOpen`], [`Error::Stale`].
    pub async fn open(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        reason: &Reason,
    ) -> Result<Grant, Error> {
        let p = &self.ports;
        self.authorise(caller, "break_glass.opened").await?;
        let id = GrantId::generate(&*p.ids);
        let sealed = p.sealer.seal(&reason_context(id, conversation), reason.expose().as_bytes()).await?;
        let mut tries = 0;
        loop {
            let members = p.membership.members(conversation).await?.ok_or(Error::NotFound)?;
            if members.users.contains(&caller.user_id) {
                return Err(Error::AlreadyParticipant);
            }
            let now = p.clock.now();
            let grant = NewGrant {
                id,
                admin_id: caller.user_id,
                conversation_id: conversation,
                reason: sealed.clone(),
                opened_at: now,
                expires_at: now + GRANT_LIFETIME,
                members_version: members.version,
            };
            let opened = BreakGlassOpened {
                grant_id: id,
                admin_id: caller.user_id,
                conversation_id: conversation,
                participants: members.concerned().collect(),
            };
            let entry = || {
                AuditEntry::by(&*p.ids, now, caller, "break_glass.opened").on("conversation", conversation)
            };
            // One for each person whose words can be read now, of those who have left, too.
            let mut audit: Vec<_> = members.concerned().map(|user| entry().about(user)).collect();
            if audit.is_empty() {
                audit.push(entry());
            }
            let effects = Effects { events: vec![Event::new(&*p.ids, now, &opened)], audit };
            match p.grants.open(&grant, effects).await {
                Ok(()) => {
                    return Ok(Grant {
                        id,
                        admin_id: grant.admin_id,
                        conversation_id: conversation,
                        reason: Sensitive::new(reason.expose().to_owned()),
                        opened_at: grant.opened_at,
                        expires_at: grant.expires_at,
                        ended_at: None,
                        ended_by: None,
                    });
                }
                Err(Error::Stale) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// All grants, newest first, of all administrators: they watch each other. That it was done is
    /// recorded.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub async fn list(
        &self,
        caller: &Caller,
        after: Option<After>,
        size: PageSize,
    ) -> Result<Page<Grant>, Error> {
        const ACTION: &str = "break_glass.listed";
        let p = &self.ports;
        self.authorise(caller, ACTION).await?;
        let entry = AuditEntry::by(&*p.ids, p.clock.now(), caller, ACTION);
        p.sink.record(&[entry]).await.map_err(Error::Unavailable)?;
        let (rows, more) = size.cut(p.grants.list(after, size).await?);
        let items = self.unseal(rows).await?;
        let next_cursor = if more {
            items.last().map(|grant| After::cursor(grant.opened_at, grant.id.uuid()))
        } else {
            None
        };
        Ok(Page { items, next_cursor })
    }

    /// Ends a grant early: one's own, or another administrator's.
    ///
    /// # Errors
    /// [`Error::Denied`]; [`Error::NotFound`] if it is over already.
    pub async fn end(&self, caller: &Caller, grant: GrantId) -> Result<(), Error> {
        let p = &self.ports;
        self.authorise(caller, "break_glass.ended").await?;
        let found = p.grants.find(grant).await?.ok_or(Error::NotFound)?;
        let now = p.clock.now();
        let entry = AuditEntry::by(&*p.ids, now, caller, "break_glass.ended")
            .on("conversation", found.conversation_id);
        match p.grants.end(grant, caller.user_id, now, Effects::default().audit(entry)).await? {
            Ended::Ended => Ok(()),
            Ended::NotOpen => Err(Error::NotFound),
        }
    }

    /// What the caller is about to read by their grant.
    ///
    /// # Errors
    /// [`Error::Denied`]; [`Error::NotFound`] if the grant is another's, or over.
    pub async fn reading(&self, caller: &Caller, grant: GrantId) -> Result<Reading, Error> {
        let p = &self.ports;
        self.authorise(caller, ACTION_READ).await?;
        let found = p.grants.find(grant).await?.filter(|g| g.admin_id == caller.user_id);
        let found = found.ok_or(Error::NotFound)?;
        let members = p.membership.members(found.conversation_id).await?.ok_or(Error::NotFound)?;
        let now = p.clock.now();
        let entry =
            || AuditEntry::by(&*p.ids, now, caller, ACTION_READ).on("conversation", found.conversation_id);
        let mut audit: Vec<_> = members.concerned().map(|user| entry().about(user)).collect();
        if audit.is_empty() {
            audit.push(entry());
        }
        Ok(Reading { grant_id: grant, conversation_id: found.conversation_id, audit })
    }

    async fn authorise(&self, caller: &Caller, action: &'static str) -> Result<(), Error> {
        let p = &self.ports;
        authorise(&*p.sink, &*p.ids, &*p.clock, caller, AccessScope::BreakGlass, action).await
    }

    async fn unseal(&self, rows: Vec<StoredGrant>) -> Result<Vec<Grant>, Error> {
        let sealed: Vec<_> =
            rows.iter().map(|g| (reason_context(g.id, g.conversation_id), &g.reason)).collect();
        let opened = self.ports.sealer.open_many(&sealed).await?;
        rows.into_iter()
            .zip(opened)
            .map(|(row, plain)| {
                let reason = String::from_utf8(plain).map_err(|e| Error::Unavailable(e.into()))?;
                Ok(Grant {
                    id: row.id,
                    admin_id: row.admin_id,
                    conversation_id: row.conversation_id,
                    reason: Sensitive::new(reason),
                    opened_at: row.opened_at,
                    expires_at: row.expires_at,
                    ended_at: row.ended_at,
                    ended_by: row.ended_by,
                })
            })
            .collect()
    }
}

const ACTION_READ: &str = "conversation.read_by_break_glass";

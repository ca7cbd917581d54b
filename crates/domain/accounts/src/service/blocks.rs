use std::sync::Arc;

use alivio_kernel::ids::{IdSource, UserId};
use alivio_kernel::{
    AccessScope, AuditEntry, AuditSink, Caller, Clock, Effects, Event, FieldError, Page, Role, Rule,
};

use super::refusal::refusal;
use crate::{Block, BlockStore, CareBlockRaised, Error, UserBlocked, UserStore, UserUnblocked, Window};

/// What [`Blocks`] needs.
#[derive(Clone)]
pub struct BlocksPorts {
    /// Blocks.
    pub blocks: Arc<dyn BlockStore>,
    /// Users and who attends whom.
    pub users: Arc<dyn UserStore>,
    /// Where refusals go.
    pub audit: Arc<dyn AuditSink>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
}

/// What one can do about people one wants nothing of.
#[derive(Clone)]
pub struct Blocks {
    ports: BlocksPorts,
}

impl Blocks {
    /// Blocks over `ports`.
    pub const fn new(ports: BlocksPorts) -> Self {
        Self { ports }
    }

    /// Blocks `user`; `true` if they were not. Between a patient and a professional who attends them, the clinic is
    /// told: their consultations go on (C-42).
    ///
    /// # Errors
    /// [`Error::CannotBlockAdmin`]; [`Error::NotFound`] for patients one has nothing to do with, as for people who
    /// do not exist; a field error for oneself.
    pub async fn block(&self, caller: &Caller, user: UserId) -> Result<(Block, bool), Error> {
        let p = &self.ports;
        if user == caller.user_id {
            return Err(FieldError::new("user_id", Rule::Unknown).into());
        }
        let other = p.users.by_ids(&[user]).await?.into_iter().find(|other| other.is_active);
        let other = other.ok_or(Error::NotFound)?;
        let is_care = !p.users.related(caller.user_id, &[user]).await?.is_empty();
        // Professionals are in the directory; whether a patient exists is not told.
        let visible =
            is_care || other.role != Role::Patient || p.blocks.acquainted(caller.user_id, user).await?;
        if !visible {
            return Err(Error::NotFound);
        }
        if matches!(other.role, Role::MedicalAdmin | Role::ItAdmin) {
            return Err(Error::CannotBlockAdmin);
        }
        let now = p.clock.now();
        let blocked = UserBlocked { blocker: caller.user_id, blocked: user };
        // Not about the other: in their access log it would tell them who blocks them.
        let mut effects = Effects::default()
            .event(Event::new(&*p.ids, now, &blocked))
            .audit(AuditEntry::by(&*p.ids, now, caller, "block.raised").on("user", user));
        if is_care {
            let raised = CareBlockRaised { blocker: caller.user_id, blocked: user };
            effects = effects.event(Event::new(&*p.ids, now, &raised));
        }
        let block = Block { blocker: caller.user_id, blocked: user, created_at: now };
        p.blocks.block(&block, is_care, &effects).await
    }

    /// Lifts the caller's block of `user`. Without one, nothing happens.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn unblock(&self, caller: &Caller, user: UserId) -> Result<(), Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let unblocked = UserUnblocked { blocker: caller.user_id, blocked: user };
        let effects = Effects::default()
            .event(Event::new(&*p.ids, now, &unblocked))
            .audit(AuditEntry::by(&*p.ids, now, caller, "block.lifted").on("user", user));
        p.blocks.unblock(caller.user_id, user, &effects).await
    }

    /// Whom the caller blocks, newest first. The cursor of the next page is made by `cursor`.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn list(
        &self,
        caller: &Caller,
        window: &Window<UserId>,
        cursor: impl Fn(&Block) -> String,
    ) -> Result<Page<Block>, Error> {
        let (items, more) = window.size.cut(self.ports.blocks.blocks(caller.user_id, window).await?);
        let next_cursor = if more { items.last().map(cursor) } else { None };
        Ok(Page { items, next_cursor })
    }

    /// The blocks between patients and those who attend them, newest first: ids and time only.
    ///
    /// # Errors
    /// [`Error::Denied`] unless the caller manages professionals; that they tried is recorded.
    pub async fn care_blocks(
        &self,
        caller: &Caller,
        window: &Window<(UserId, UserId)>,
        cursor: impl Fn(&Block) -> String,
    ) -> Result<Page<Block>, Error> {
        let p = &self.ports;
        let entry = AuditEntry::by(&*p.ids, p.clock.now(), caller, "care_blocks.read");
        if let Err(denied) = caller.require(AccessScope::ProfessionalsManage) {
            return Err(refusal(&*p.audit, entry, denied).await);
        }
        p.audit.record(&[entry]).await.map_err(Error::Unavailable)?;
        let (items, more) = window.size.cut(p.blocks.care_blocks(window).await?);
        let next_cursor = if more { items.last().map(cursor) } else { None };
        Ok(Page { items, next_cursor })
    }
}

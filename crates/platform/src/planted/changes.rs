//! Bugs of what becomes of messages.

use std::collections::HashMap;
use std::sync::Arc;

use alivio_kernel::Effects;
use alivio_kernel::ids::{ConversationId, MessageId, UserId};
use alivio_messages::{
    Aftermath, Appended, Correction, Current, Deletion, Edit, Error, Expired, Found, MessageChanges, React,
    Receipt, RevisedPage, RevisedQuery, Spot, StoredWordings,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::Bug;

/// Changes with a bug.
pub(super) struct WithBug {
    inner: Arc<dyn MessageChanges>,
    bug: Bug,
}

impl WithBug {
    pub(super) const fn new(inner: Arc<dyn MessageChanges>, bug: Bug) -> Self {
        Self { inner, bug }
    }
}

#[async_trait]
impl MessageChanges for WithBug {
    async fn find(
        &self,
        viewer: UserId,
        message: MessageId,
        now: DateTime<Utc>,
    ) -> Result<Option<Found>, Error> {
        self.inner.find(viewer, message, now).await
    }

    async fn current(&self, message: MessageId) -> Result<Option<Current>, Error> {
        self.inner.current(message).await
    }

    async fn aftermath(&self, messages: &[Spot]) -> Result<HashMap<MessageId, Aftermath>, Error> {
        let mut found = self.inner.aftermath(messages).await?;
        if self.bug == Bug::ReactionsDoubled {
            let reactions = found.values_mut().flat_map(|aftermath| &mut aftermath.reactions);
            reactions.for_each(|reaction| reaction.count *= 2);
        }
        Ok(found)
    }

    async fn edit(&self, edit: &Edit, effects: &Effects) -> Result<i64, Error> {
        self.inner.edit(edit, effects).await
    }

    async fn delete(&self, deletion: &Deletion, effects: &Effects) -> Result<Option<i64>, Error> {
        let mut effects = effects.clone();
        if self.bug == Bug::AuditMissing {
            effects.audit.clear();
        }
        self.inner.delete(deletion, &effects).await
    }

    async fn correct(&self, correction: Correction) -> Result<(Appended, Option<i64>), Error> {
        self.inner.correct(correction).await
    }

    async fn react(&self, react: &React) -> Result<Option<i64>, Error> {
        self.inner.react(react).await
    }

    async fn revised(
        &self,
        viewer: UserId,
        conversation: ConversationId,
        query: &RevisedQuery,
    ) -> Result<Option<RevisedPage>, Error> {
        self.inner.revised(viewer, conversation, query).await
    }

    async fn wordings(&self, message: MessageId) -> Result<StoredWordings, Error> {
        let mut wordings = self.inner.wordings(message).await?;
        if self.bug == Bug::EditForgets {
            wordings.former.clear();
        }
        Ok(wordings)
    }

    async fn receipts(
        &self,
        viewer: UserId,
        message: MessageId,
        after: Option<UserId>,
        limit: i64,
    ) -> Result<Vec<Receipt>, Error> {
        self.inner.receipts(viewer, message, after, limit).await
    }

    async fn newest_of_each(
        &self,
        viewer: UserId,
        messages: &[MessageId],
    ) -> Result<Vec<(ConversationId, MessageId)>, Error> {
        self.inner.newest_of_each(viewer, messages).await
    }

    async fn expire(
        &self,
        now: DateTime<Utc>,
        purge_at: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<Expired>, Error> {
        self.inner.expire(now, purge_at, limit).await
    }

    async fn purge(&self, now: DateTime<Utc>, limit: i64) -> Result<usize, Error> {
        self.inner.purge(now, limit).await
    }
}

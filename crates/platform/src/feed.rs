use std::collections::{HashMap, HashSet};
use std::time::Duration;

use alivio_kernel::ids::{ConversationId, MessageId, UserId, Uuid};
use alivio_kernel::{BoxError, Caller, Page, PageSize};
use alivio_messages::{FeedItem, History, Marks, Message, Messages};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{Chore, ConversationView, Error, MessageView, ParticipantView, Platform};

/// What a change is about, as it is now.
#[derive(Debug, Clone)]
pub enum ChangedState {
    /// A message.
    Message(Box<MessageView>),
    /// How far someone has come.
    Receipt(Marks),
    /// Someone's part in the conversation; `None` if they are no longer in it. Who has just come in themselves gets the
    /// conversation, too.
    Participant(Option<Box<ParticipantView>>, Option<Box<ConversationView>>),
    /// The conversation.
    Conversation(Box<ConversationView>),
}

/// Something that happened, for those who come back.
#[derive(Debug, Clone)]
pub struct ChangeView {
    /// What: `message.created`, `receipt.read`, `participant.joined` …
    pub kind: String,
    /// Where.
    pub conversation_id: ConversationId,
    /// Whom it concerns, or who did it.
    pub user_id: Option<UserId>,
    /// When.
    pub at: DateTime<Utc>,
    /// What it is about.
    pub state: ChangedState,
}

/// A part of all that happened in the caller's conversations.
#[derive(Debug, Clone)]
pub struct FeedView {
    /// The changes, in their order.
    pub items: Vec<ChangeView>,
    /// Where to go on, now or later.
    pub next_cursor: String,
    /// Whether there is more now.
    pub has_more: bool,
    /// What happened since the cursor is not known; everything is to be read anew.
    pub is_gap: bool,
}

impl Platform {
    /// What happened in the caller's conversations since `since`, with how things are now; without `since` only where to
    /// begin. A few queries, however much it is.
    ///
    /// # Errors
    /// Only that something is unavailable.
    pub async fn feed(
        &self,
        caller: &Caller,
        since: Option<&str>,
        size: PageSize,
    ) -> Result<FeedView, Error> {
        let since = since.map(|since| self.of_this_epoch(since));
        let feed = self.messages.feed(caller, since, size).await?;
        let touched: HashSet<_> = feed.items.iter().map(|item| item.conversation_id).collect();
        let touched: Vec<_> = touched.into_iter().collect();
        let views = self.screens.some(caller, &touched).await?;
        let views: HashMap<_, _> = views.into_iter().map(|view| (view.conversation.id, view)).collect();
        let messages = self.changed_messages(&feed.items, &views).await?;
        let show = |item: FeedItem| show(caller, item, &views, &messages);
        Ok(FeedView {
            items: feed.items.into_iter().filter_map(show).collect(),
            next_cursor: format!("{}.{}", self.epoch.simple(), feed.next_cursor),
            has_more: feed.has_more,
            is_gap: feed.is_gap,
        })
    }

    /// A cursor without its epoch; none that is known, if that is another one. Those of before there were epochs have none.
    fn of_this_epoch<'a>(&self, since: &'a str) -> &'a str {
        let parts =
            since.split_once('.').and_then(|(epoch, rest)| Some((Uuid::try_parse(epoch).ok()?, rest)));
        match parts {
            Some((epoch, rest)) if epoch == self.epoch => rest,
            Some(_) => "",
            None => since,
        }
    }

    /// The messages of `items`, each once, in conversations that the caller is still in.
    async fn changed_messages(
        &self,
        items: &[FeedItem],
        views: &HashMap<ConversationId, ConversationView>,
    ) -> Result<HashMap<MessageId, MessageView>, Error> {
        let mut by_conversation: HashMap<ConversationId, HashMap<MessageId, Message>> = HashMap::new();
        for message in items.iter().filter_map(|item| item.message.as_ref()) {
            let of_one = by_conversation.entry(message.conversation_id).or_default();
            of_one.insert(message.id, message.clone());
        }
        let messages: Vec<_> = by_conversation.values().flat_map(HashMap::values).cloned().collect();
        let mut around = self.messages.aftermath(&messages).await?;
        let mut shown = HashMap::new();
        for (conversation, messages) in by_conversation {
            let Some(view) = views.get(&conversation) else { continue };
            let marks = view.participants.iter().filter_map(|participant| participant.marks).collect();
            let page = Page { items: messages.into_values().collect(), next_cursor: None };
            let of_these = page.items.iter().filter_map(|m| around.remove_entry(&m.id));
            let aftermath = of_these.collect();
            let page = self.screens.shown(History { page, marks, aftermath }).await?;
            shown.extend(page.items.into_iter().map(|view| (view.message.id, view)));
        }
        Ok(shown)
    }
}

/// Forgets what happened so long ago that nobody asks for it any more.
pub(crate) struct ForgetChanges(pub(crate) Messages);

#[async_trait]
impl Chore for ForgetChanges {
    fn name(&self) -> &'static str {
        "changes.forget"
    }

    fn rest(&self) -> Duration {
        Duration::from_hours(1)
    }

    async fn run(&self) -> Result<bool, BoxError> {
        Ok(self.0.forget_changes().await?)
    }
}

/// How things are now; nothing if they are no longer the caller's.
fn show(
    caller: &Caller,
    item: FeedItem,
    views: &HashMap<ConversationId, ConversationView>,
    messages: &HashMap<MessageId, MessageView>,
) -> Option<ChangeView> {
    let view = views.get(&item.conversation_id);
    let is_own = item.user_id == Some(caller.user_id);
    let participant = || {
        let participants = &view?.participants;
        participants.iter().find(|participant| Some(participant.participant.user_id) == item.user_id)
    };
    let state = match item.kind.split('.').next() {
        Some("message") => ChangedState::Message(Box::new(messages.get(&item.message.as_ref()?.id)?.clone())),
        Some("receipt") => {
            let is_shown = item.kind != "receipt.read" || view?.conversation.settings.read_receipts;
            // A block between the two may keep it back.
            let marks = participant()?.marks?;
            if !is_own && !is_shown {
                return None;
            }
            ChangedState::Receipt(marks)
        }
        // Of one's own going nothing more is known than that.
        Some("participant") if view.is_none() && !is_own => return None,
        Some("participant") => {
            let conversation = view.filter(|_| is_own).cloned().map(Box::new);
            ChangedState::Participant(participant().cloned().map(Box::new), conversation)
        }
        _ => ChangedState::Conversation(Box::new(view?.clone())),
    };
    let FeedItem { kind, conversation_id, user_id, at, .. } = item;
    Some(ChangeView { kind, conversation_id, user_id, at, state })
}

//! What every [`ChangeLog`] MUST do, one case each. Run them all with
//! [`change_log_conformance!`](crate::change_log_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, MessageId, UserId};
use alivio_kernel::testing::together;
use alivio_kernel::{Follower, PageSize, Place};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::World;
use super::message_log::{at, entry, stored};
use crate::{Anchor, ChangeLog, Mark, MessageLog, NotedChange, StoredChange};

/// Tests your [`ChangeLog`]: one `#[tokio::test]` for every case in [`testing::change_log`].
///
/// `$fresh` names an `async fn() -> alivio_messages::testing::change_log::Fixture` that gives each case an empty,
/// isolated instance.
///
/// [`ChangeLog`]: crate::ChangeLog
/// [`testing::change_log`]: crate::testing::change_log
#[macro_export]
macro_rules! change_log_conformance {
    ($fresh:expr) => {
        mod change_log_conformance {
            use super::*;
            $crate::change_log_conformance! { @cases $fresh;
                what_happens_is_told_once_and_in_order
                pages_follow_each_other_without_a_gap
                whoever_begins_earlier_and_commits_later_is_not_missed
                nothing_is_missed_while_many_write
                what_was_before_someone_joined_is_not_theirs
                someone_who_left_learns_that_and_no_more
                what_concerns_one_person_is_told_to_nobody_else
                strangers_learn_nothing
                messages_come_as_they_are_now
                what_is_old_is_forgotten
                a_node_is_told_everything_once_whoever_is_still_at_work
                a_node_reads_messages_and_marks_as_they_are
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::change_log::$case($fresh().await).await;
            }
        )*
    };
}

/// What a case is given.
pub struct Fixture {
    /// The adapter on trial.
    pub changes: Arc<dyn ChangeLog>,
    /// The log that it tells of.
    pub log: Arc<dyn MessageLog>,
    /// What lies around it.
    pub world: Arc<dyn Around>,
}

/// What else a case needs. Failures panic.
#[async_trait]
pub trait Around: World {
    /// Begins a transaction that notes a change of `kind`, and holds it open until it is told to commit.
    async fn begin(&self, conversation: ConversationId, kind: &str) -> Box<dyn Pending>;
    /// Lets others go on for some milliseconds.
    async fn pause(&self);
    /// Notes a change that concerns `only` alone.
    async fn note_for(&self, conversation: ConversationId, kind: &str, only: UserId);
}

/// A transaction at work.
#[async_trait]
pub trait Pending: Send {
    /// Makes it true.
    async fn commit(self: Box<Self>);
}

/// How often to look again for what others still hold up.
const TRIES: usize = 2000;

struct Scene {
    fixture: Fixture,
    conversation: ConversationId,
    members: Vec<UserId>,
}

impl Scene {
    async fn of(fixture: Fixture, members: usize) -> Self {
        let mut people = Vec::new();
        for _ in 0..members {
            people.push(fixture.world.user().await);
        }
        let conversation = fixture.world.conversation(&people).await;
        Self { fixture, conversation, members: people }
    }

    async fn says(&self, member: usize) -> crate::StoredMessage {
        stored(&*self.fixture.log, entry(self.conversation, self.members[member])).await
    }

    /// The present: behind the opening of the conversation, which others may hold up for a moment.
    async fn now(&self) -> Place {
        let everything = Place { transaction: 0, number: 0 };
        self.learns_some(self.members[0], everything, 1).await;
        Place::before(self.fixture.changes.horizon().await.unwrap())
    }

    /// One page, and where to go on.
    async fn page(&self, viewer: UserId, after: Place, size: i64) -> (Vec<StoredChange>, Place) {
        let size = PageSize::parse(Some(size), 1).unwrap();
        let stretch = self.fixture.changes.changes(viewer, after, size).await.unwrap();
        let (changes, more) = size.cut(stretch.changes);
        let next = match changes.last() {
            Some(last) if more => last.place,
            _ => Place::before(stretch.horizon),
        };
        (changes, next)
    }

    /// All that `viewer` learns, page by page, until `enough`: others may hold the horizon up for a moment.
    async fn learns(
        &self,
        viewer: UserId,
        mut after: Place,
        enough: impl Fn(&[StoredChange]) -> bool,
    ) -> Vec<StoredChange> {
        let mut learnt = Vec::new();
        for _ in 0..TRIES {
            let (mut page, next) = self.page(viewer, after, 3).await;
            let idle = page.is_empty();
            learnt.append(&mut page);
            after = next;
            if idle {
                if enough(&learnt) {
                    return learnt;
                }
                self.fixture.world.pause().await;
            }
        }
        panic!("only {:?}", kinds(&learnt));
    }

    async fn follower(&self) -> Follower {
        Follower::from(self.fixture.changes.horizon().await.unwrap())
    }

    /// What a node is told that has followed so far, read in small pages.
    async fn told(&self, follower: &mut Follower) -> Vec<NotedChange> {
        let (mut told, mut after, mut first) = (Vec::new(), follower.start(), None);
        loop {
            let (horizon, page) = self.fixture.changes.noted(after, 2).await.unwrap();
            first.get_or_insert(horizon);
            let Some(last) = page.last() else { break };
            after = last.place;
            told.extend(page.into_iter().filter(|change| follower.meet(change.place)));
        }
        follower.pass(first.unwrap());
        told
    }

    /// As [`Scene::learns`], until `count` changes are there.
    async fn learns_some(&self, viewer: UserId, after: Place, count: usize) -> Vec<StoredChange> {
        self.learns(viewer, after, |learnt| learnt.len() >= count).await
    }
}

fn kinds(changes: &[StoredChange]) -> Vec<&str> {
    changes.iter().map(|change| change.kind.as_str()).collect()
}

/// Every change once, in the order in which it was made, of all conversations.
pub async fn what_happens_is_told_once_and_in_order(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let begin = scene.now().await;
    let said = scene.says(0).await;
    let target = Anchor::Message(said.id);
    let (log, reader) = (&scene.fixture.log, scene.members[1]);
    log.advance(reader, scene.conversation, Mark::Read, &target, at()).await.unwrap().unwrap();
    let newcomer = scene.fixture.world.user().await;
    scene.fixture.world.add(scene.conversation, newcomer).await;
    let learnt = scene.learns_some(scene.members[0], begin, 3).await;
    assert_eq!(kinds(&learnt), ["message.created", "receipt.read", "participant.joined"]);
    assert_eq!(learnt[0].message, Some(said));
    assert_eq!(
        learnt.iter().map(|c| c.user_id).collect::<Vec<_>>(),
        [Some(scene.members[0]), Some(reader), Some(newcomer)]
    );
    assert!(learnt.is_sorted_by_key(|change| change.place));
}

/// Reading on from the last place MUST miss nothing and repeat nothing, also within a transaction and across
/// conversations.
pub async fn pages_follow_each_other_without_a_gap(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let begin = scene.now().await;
    let other = scene.fixture.world.conversation(&scene.members).await;
    let mut said = BTreeSet::new();
    for n in 0..20 {
        let conversation = if n % 3 == 0 { other } else { scene.conversation };
        said.insert(stored(&*scene.fixture.log, entry(conversation, scene.members[0])).await.id);
    }
    let learnt = scene.learns_some(scene.members[1], begin, 21).await;
    let told: Vec<_> = learnt.iter().filter_map(|change| change.message.as_ref().map(|m| m.id)).collect();
    assert_eq!((told.len(), told.into_iter().collect()), (20, said));
}

/// A transaction that began before others and commits after them MUST NOT be missed by who read in between.
pub async fn whoever_begins_earlier_and_commits_later_is_not_missed(fixture: Fixture) {
    let scene = Scene::of(fixture, 1).await;
    let (viewer, begin) = (scene.members[0], scene.now().await);
    let early = scene.fixture.world.begin(scene.conversation, "conversation.updated").await;
    let said = scene.says(0).await;
    // What was said later is safe, but not told before it is known what came before it.
    let (page, next) = scene.page(viewer, begin, 10).await;
    assert_eq!(kinds(&page), Vec::<&str>::new(), "told before the earlier one was over");
    early.commit().await;
    let learnt = scene.learns_some(viewer, next, 2).await;
    assert_eq!(kinds(&learnt), ["conversation.updated", "message.created"]);
    assert_eq!(learnt[1].message.as_ref().map(|m| m.id), Some(said.id));
}

/// Who reads all the time while many write learns of everything once.
pub async fn nothing_is_missed_while_many_write(fixture: Fixture) {
    let scene = Scene::of(fixture, 8).await;
    let begin = scene.now().await;
    let scene = &scene;
    let writers = (0..8).map(|member| -> Pin<Box<dyn Future<Output = Vec<StoredChange>> + Send + '_>> {
        Box::pin(async move {
            for _ in 0..15 {
                scene.says(member).await;
            }
            Vec::new()
        })
    });
    let reader: Pin<Box<dyn Future<Output = _> + Send + '_>> =
        Box::pin(scene.learns_some(scene.members[0], begin, 120));
    let learnt = together(writers.chain([reader])).await.concat();
    let places: BTreeSet<_> = learnt.iter().map(|change| change.place).collect();
    let seqs: Vec<_> = learnt.iter().filter_map(|change| change.message.as_ref().map(|m| m.seq)).collect();
    assert_eq!((places.len(), learnt.len()), (120, 120), "something came twice");
    assert!(seqs.iter().copied().eq(1..=120), "{seqs:?}");
}

/// What was said and done before someone joined is not theirs.
pub async fn what_was_before_someone_joined_is_not_theirs(fixture: Fixture) {
    let scene = Scene::of(fixture, 1).await;
    let begin = scene.now().await;
    let newcomer = scene.fixture.world.user().await;
    scene.says(0).await;
    scene.fixture.world.add(scene.conversation, newcomer).await;
    let said = scene.says(0).await;
    let learnt = scene.learns(newcomer, begin, |learnt| learnt.iter().any(|c| c.message.is_some())).await;
    let messages: Vec<_> = learnt.iter().filter_map(|change| change.message.clone()).collect();
    assert_eq!(messages, [said]);
    assert!(learnt.iter().any(|c| c.kind == "participant.joined" && c.user_id == Some(newcomer)));
}

/// Of a conversation that one has left: the going itself, and nothing before or after it.
pub async fn someone_who_left_learns_that_and_no_more(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let begin = scene.now().await;
    let gone = scene.members[1];
    scene.says(0).await;
    scene.fixture.world.remove(scene.conversation, gone).await;
    scene.says(0).await;
    let learnt = scene.learns_some(gone, begin, 1).await;
    assert_eq!(kinds(&learnt), ["participant.removed"]);
    assert_eq!(learnt[0].user_id, Some(gone));
    // The others learn of all three; by then there is nothing more for who has gone.
    scene.learns_some(scene.members[0], begin, 3).await;
    assert_eq!(scene.learns_some(gone, begin, 1).await.len(), 1);
    assert_eq!(scene.page(gone, learnt[0].place, 10).await.0, []);

    // Who comes back begins anew.
    scene.fixture.world.add(scene.conversation, gone).await;
    let said = scene.says(0).await;
    let learnt = scene.learns(gone, begin, |learnt| learnt.iter().any(|c| c.message.is_some())).await;
    assert!(!kinds(&learnt).contains(&"participant.removed"), "{:?}", kinds(&learnt));
    assert_eq!(learnt.iter().filter_map(|c| c.message.clone()).collect::<Vec<_>>(), [said]);
}

/// What concerns one person alone is told to them alone.
pub async fn what_concerns_one_person_is_told_to_nobody_else(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let begin = scene.now().await;
    scene.fixture.world.note_for(scene.conversation, "conversation.muted", scene.members[0]).await;
    scene.says(0).await;
    let own = scene.learns_some(scene.members[0], begin, 2).await;
    assert_eq!(kinds(&own), ["conversation.muted", "message.created"]);
    let others = scene.learns_some(scene.members[1], begin, 1).await;
    assert_eq!(kinds(&others), ["message.created"]);
}

/// Who was never in a conversation learns nothing of it.
pub async fn strangers_learn_nothing(fixture: Fixture) {
    let scene = Scene::of(fixture, 1).await;
    let begin = scene.now().await;
    let stranger = scene.fixture.world.user().await;
    scene.says(0).await;
    scene.learns_some(scene.members[0], begin, 1).await;
    assert_eq!(scene.page(stranger, begin, 10).await.0, []);
}

/// A message is told with all that is known of it.
pub async fn messages_come_as_they_are_now(fixture: Fixture) {
    let scene = Scene::of(fixture, 1).await;
    let begin = scene.now().await;
    let said = [scene.says(0).await, scene.says(0).await];
    let learnt = scene.learns_some(scene.members[0], begin, 2).await;
    assert_eq!(learnt.into_iter().filter_map(|change| change.message).collect::<Vec<_>>(), said);
}

/// Everyone's changes, of every conversation, without waiting for who began earlier; nothing is missed, nothing twice.
pub async fn a_node_is_told_everything_once_whoever_is_still_at_work(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let mut follower = scene.follower().await;
    let other = scene.fixture.world.conversation(&scene.members).await;
    let early = scene.fixture.world.begin(scene.conversation, "message.deleted").await;
    let said = [scene.says(0).await, stored(&*scene.fixture.log, entry(other, scene.members[1])).await];
    let told = scene.told(&mut follower).await;
    let ids: Vec<_> = told.iter().map(|change| (change.message_id, change.seq, change.user_id)).collect();
    assert_eq!(ids, said.each_ref().map(|m| (m.id, m.seq, Some(m.sender_id))));
    assert!(told.iter().all(|change| change.kind == "message.created"), "{told:?}");
    assert_eq!(scene.told(&mut follower).await, [], "it was told before");
    early.commit().await;
    let kinds: Vec<_> = scene.told(&mut follower).await.into_iter().map(|change| change.kind).collect();
    assert_eq!(kinds, ["message.deleted"], "who began earlier and ended later");
    assert_eq!(scene.told(&mut follower).await, []);
}

/// What a change was about, for a node that tells it.
pub async fn a_node_reads_messages_and_marks_as_they_are(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let mut follower = scene.follower().await;
    let (log, changes) = (&scene.fixture.log, &scene.fixture.changes);
    let (said, reader) = (scene.says(0).await, scene.members[1]);
    let target = Anchor::Message(said.id);
    let moved = log.advance(reader, scene.conversation, Mark::Read, &target, at()).await.unwrap().unwrap();
    let told = scene.told(&mut follower).await;
    let receipt = told.iter().find(|change| change.kind == "receipt.read").unwrap();
    assert_eq!((receipt.message_id, receipt.seq, receipt.user_id), (said.id, said.seq, Some(reader)));

    let stranger = scene.fixture.world.user().await;
    let current = changes.currents(&[said.id, MessageId::from(stranger.uuid())]).await.unwrap();
    assert_eq!(current.iter().map(|current| &current.message).collect::<Vec<_>>(), [&said]);
    let asked = [(scene.conversation, reader), (scene.conversation, stranger)];
    assert_eq!(changes.marks_of(&asked).await.unwrap(), [(scene.conversation, moved.marks)]);
    scene.fixture.world.remove(scene.conversation, reader).await;
    assert_eq!(changes.marks_of(&asked).await.unwrap(), [], "who has gone has no marks");
}

/// What happened before a moment can be forgotten; the rest stays.
pub async fn what_is_old_is_forgotten(fixture: Fixture) {
    let scene = Scene::of(fixture, 1).await;
    let begin = scene.now().await;
    scene.says(0).await;
    scene.learns_some(scene.members[0], begin, 1).await;
    let changes = &scene.fixture.changes;
    assert_eq!(changes.forget(DateTime::<Utc>::UNIX_EPOCH, 9).await.unwrap(), 0);
    scene.learns_some(scene.members[0], begin, 1).await;
    let after: DateTime<Utc> = at() + chrono::TimeDelta::seconds(1);
    // The opening of the conversation, and the message.
    assert_eq!(changes.forget(after, 1).await.unwrap(), 1);
    assert_eq!(changes.forget(after, 9).await.unwrap(), 1);
    assert_eq!(scene.page(scene.members[0], begin, 10).await.0, []);
}

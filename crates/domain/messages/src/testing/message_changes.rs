//! What every [`MessageChanges`] MUST do, one case each. Run them all with
//! [`message_changes_conformance!`](crate::message_changes_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::collections::{BTreeMap, HashMap};

use alivio_kernel::ids::{ConversationId, MessageId, ReportId, UserId};
use alivio_kernel::testing::together;
use alivio_kernel::{DomainEvent, Effects, Event, PageSize, Sealed, SystemIds};
use chrono::{DateTime, TimeDelta, Utc};

use super::ChangesFixture;
use crate::screening::{Finding, FindingKind};
use crate::{
    Aftermath, Anchor, Appended, ClientMessageId, Correction, Current, Deletion, Edit, Emoji, Error, Header,
    MAX_EMOJI, Mark, MessageChanges, MessageDeleted, MessageEdited, MessageLog, MessageOutsideHours,
    NewEntry, NewFlag, Quiet, React, RevisedPage, RevisedQuery, Spot, StoredMessage,
};

/// Tests your [`MessageChanges`]: one `#[tokio::test]` for every case in [`testing::message_changes`].
///
/// `$fresh` names an `async fn() -> alivio_messages::testing::ChangesFixture` that gives each case an empty, isolated
/// instance.
///
/// [`MessageChanges`]: crate::MessageChanges
/// [`testing::message_changes`]: crate::testing::message_changes
#[macro_export]
macro_rules! message_changes_conformance {
    ($fresh:expr) => {
        mod message_changes_conformance {
            use super::*;
            $crate::message_changes_conformance! { @cases $fresh;
                an_edit_keeps_every_former_wording
                of_two_hundred_parallel_edits_each_wording_gives_way_once
                a_flag_is_stored_with_its_edit_and_not_without
                parallel_corrections_make_one_chain
                a_correction_sent_again_is_the_same_message
                what_was_taken_back_stays_so
                of_many_parallel_deletions_one_is_told
                only_those_who_can_read_a_message_change_it
                nothing_changes_in_a_closed_conversation
                nothing_changes_while_a_block_stands
                no_change_commits_after_a_block
                a_reaction_is_set_once_and_cleared_once
                a_message_takes_so_many_emoji_however_many_come_at_once
                every_change_is_noted_and_raises_the_revision
                the_changes_of_a_conversation_are_numbered_without_gaps
                what_has_changed_is_read_as_it_is_now_and_once
                what_changed_before_one_joined_stays_hidden
                whoever_reads_on_misses_no_change
                what_has_expired_is_taken_back_once_however_many_look
                words_are_destroyed_unless_they_belong_to_a_record
                a_receipt_tells_when_the_mark_first_passed
                receipts_stay_with_those_who_may_see_them
                the_newest_of_each_conversation_is_found
                unread_and_receipts_are_what_a_model_counts
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::message_changes::$case($fresh().await).await;
            }
        )*
    };
}

// Wordings

/// The former wordings MUST stay as they were, numbered from 1 without gaps; one event for each edit.
pub async fn an_edit_keeps_every_former_wording(fixture: ChangesFixture) {
    let room = Room::of(fixture, 2).await;
    let message = room.says(0).await;
    for version in 2..=4 {
        room.edit(0, message.id, version - 1).await.unwrap();
        let current = room.current(message.id).await.message;
        assert_eq!((current.version, current.content.clone().unwrap()), (version, wording(version)));
        assert_eq!(current.edited_at, Some(at(i64::from(version))));
    }
    let stored = room.changes.wordings(message.id).await.unwrap();
    let versions: Vec<_> =
        stored.former.iter().map(|w| (w.version, w.content.clone(), w.written_at)).collect();
    let first = (1, message.content.clone().unwrap(), message.created_at);
    assert_eq!(versions, [first, (2, wording(2), at(2)), (3, wording(3), at(3))]);
    let rewordings = room.aftermath(&message).await.rewordings;
    let told: Vec<_> = rewordings.iter().map(|r| (r.version, r.edited_at)).collect();
    assert_eq!(told, [(1, at(2)), (2, at(3)), (3, at(4))]);
    assert_eq!(room.events_of(MessageEdited::KIND).await, 3);
}

/// Exactly one edit MUST win for each version; the others get [`Error::Stale`] and leave no trace.
pub async fn of_two_hundred_parallel_edits_each_wording_gives_way_once(fixture: ChangesFixture) {
    let room = Room::of(fixture, 1).await;
    let message = room.says(0).await;
    for round in 1..=2 {
        let done = together((0..100).map(|_| {
            let (changes, edit) = (room.changes.clone(), room.new_edit(0, message.id, round));
            async move { changes.edit(&edit, &edited(&edit)).await }
        }))
        .await;
        let won = done.iter().filter(|done| done.is_ok()).count();
        assert_eq!(won, 1, "round {round}");
        assert!(done.iter().all(|done| matches!(done, Ok(_) | Err(Error::Stale))));
    }
    let versions = room.changes.wordings(message.id).await.unwrap().former;
    assert_eq!(versions.iter().map(|w| w.version).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(room.current(message.id).await.message.version, 3);
    assert_eq!(room.events_of(MessageEdited::KIND).await, 2);
}

/// What is found in the new words MUST be stored with them or not at all; and once, while nobody has looked at it.
pub async fn a_flag_is_stored_with_its_edit_and_not_without(fixture: ChangesFixture) {
    let room = Room::of(fixture, 1).await;
    let message = room.says(0).await;
    let flagged = |replaces: u32, rule: &'static str| {
        let findings = vec![Finding { kind: FindingKind::Phi, rule }];
        let flag = NewFlag { id: ReportId::generate(&SystemIds), findings };
        Edit { flag: Some(flag), ..room.new_edit(0, message.id, replaces) }
    };
    let edits = [flagged(1, "phone"), flagged(2, "phone"), flagged(3, "email")];
    for edit in &edits {
        room.changes.edit(edit, &edited(edit)).await.unwrap();
    }
    let late = flagged(1, "national_id");
    assert!(matches!(room.changes.edit(&late, &edited(&late)).await, Err(Error::Stale)));
    let mut stored = room.world.flags().await;
    stored.sort_unstable();
    let flag = |n: usize| (edits[n].flag.as_ref().unwrap().id, message.id);
    assert_eq!(stored, [flag(0), flag(2)]);
}

/// A message MUST be corrected once; those that come too late leave no message, no gap and no event.
pub async fn parallel_corrections_make_one_chain(fixture: ChangesFixture) {
    let room = Room::of(fixture, 1).await;
    let mut message = room.says(0).await;
    for seq in 2..=3 {
        let done = together((0..40).map(|_| {
            let (changes, correction) = (room.changes.clone(), room.new_correction(0, message.id));
            async move { (correction.entry.id, changes.correct(correction).await) }
        }))
        .await;
        let won: Vec<_> = done.iter().filter(|(_, done)| done.is_ok()).collect();
        let [(id, Ok((Appended::Stored { seq: stored, .. }, Some(_))))] = won[..] else {
            panic!("{} won", won.len())
        };
        assert_eq!(*stored, seq);
        assert!(done.iter().all(|(_, done)| matches!(done, Ok(_) | Err(Error::Stale))));
        assert_eq!(room.current(message.id).await.message.corrected_by, Some(*id));
        let next = room.current(*id).await.message;
        assert_eq!(next.corrects, Some(message.id));
        message = next;
    }
    assert_eq!(room.events_of(MessageOutsideHours::KIND).await, 3);
    assert_eq!(room.says(0).await.seq, 4);
    let reason = room.changes.wordings(room.at_seq(1).await.id).await.unwrap().correction_reason;
    assert_eq!(reason, Some(Sealed::from_bytes(vec![9])));
}

/// A retry under the same client message id MUST answer the first.
pub async fn a_correction_sent_again_is_the_same_message(fixture: ChangesFixture) {
    let room = Room::of(fixture, 1).await;
    let message = room.says(0).await;
    let correction = room.new_correction(0, message.id);
    let stored = room.changes.correct(correction.clone()).await.unwrap();
    assert!(matches!(stored, (Appended::Stored { seq: 2, .. }, Some(1))));
    let (Appended::Repeat(again), None) = room.changes.correct(correction.clone()).await.unwrap() else {
        panic!("not a repeat")
    };
    assert_eq!(again.id, correction.entry.id);
    // Only whose it is, and only in its conversation.
    let other = Room::of(room.beside(), 1).await;
    let elsewhere = other.new_correction(0, message.id);
    assert!(matches!(other.changes.correct(elsewhere).await, Err(Error::Stale)));
}

// Taking back

/// Neither an edit nor a reaction nor a second deletion MUST touch what is gone.
pub async fn what_was_taken_back_stays_so(fixture: ChangesFixture) {
    let room = Room::of(fixture, 2).await;
    let message = room.says(0).await;
    assert!(room.delete(1, message.id, 1).await.unwrap());
    let gone = room.current(message.id).await.message;
    assert_eq!((gone.deleted_at, gone.deleted_by), (Some(at(1)), Some(room.members[1])));
    assert!(!room.delete(0, message.id, 2).await.unwrap(), "it was gone");
    assert!(matches!(room.edit(0, message.id, 1).await, Err(Error::Stale)));
    assert!(matches!(room.react(0, message.id, "👍", true).await, Err(Error::Gone)));
    assert!(matches!(room.changes.correct(room.new_correction(0, message.id)).await, Err(Error::Stale)));
    assert_eq!(room.current(message.id).await.message, gone, "nothing changed");
    assert_eq!(room.events_of(MessageDeleted::KIND).await, 1);
}

/// Each deletion MUST be told once.
pub async fn of_many_parallel_deletions_one_is_told(fixture: ChangesFixture) {
    let room = Room::of(fixture, 2).await;
    let message = room.says(0).await;
    let done = together((0..50).map(|n| {
        let (changes, deletion) = (room.changes.clone(), room.new_deletion(n % 2, message.id, 1));
        async move { changes.delete(&deletion, &deleted(&deletion)).await.unwrap().is_some() }
    }))
    .await;
    assert_eq!(done.iter().filter(|done| **done).count(), 1);
    assert_eq!(room.events_of(MessageDeleted::KIND).await, 1);
}

// Who may

/// Strangers, those who left, and those who came later MUST get [`Error::NotFound`], and change nothing.
pub async fn only_those_who_can_read_a_message_change_it(fixture: ChangesFixture) {
    let mut room = Room::of(fixture, 3).await;
    let message = room.says(0).await;
    room.world.remove(room.conversation, room.members[1]).await;
    let (stranger, later) = (room.world.user().await, room.world.user().await);
    room.world.add(room.conversation, later).await;
    // Who comes back reads from then on.
    room.world.remove(room.conversation, room.members[2]).await;
    room.world.add(room.conversation, room.members[2]).await;
    room.members.extend([stranger, later]);
    for who in 1..5 {
        assert!(room.changes.find(room.members[who], message.id, at(0)).await.unwrap().is_none(), "{who}");
        assert!(matches!(room.edit(who, message.id, 1).await, Err(Error::NotFound)), "{who}");
        assert!(matches!(room.delete(who, message.id, 1).await, Err(Error::NotFound)), "{who}");
        assert!(matches!(room.react(who, message.id, "👍", true).await, Err(Error::NotFound)), "{who}");
    }
    assert_eq!(room.current(message.id).await.message, message);
    let unknown = MessageId::generate(&SystemIds);
    assert!(matches!(room.edit(0, unknown, 1).await, Err(Error::NotFound)));
    assert!(room.changes.current(unknown).await.unwrap().is_none());
    assert!(room.changes.find(room.members[0], message.id, at(0)).await.unwrap().is_some());
}

/// Every change MUST be refused with [`Error::Closed`].
pub async fn nothing_changes_in_a_closed_conversation(fixture: ChangesFixture) {
    let room = Room::of(fixture, 2).await;
    let message = room.says(0).await;
    room.world.close(room.conversation).await;
    assert!(!room.changes.find(room.members[0], message.id, at(0)).await.unwrap().unwrap().standing.is_open);
    assert!(matches!(room.edit(0, message.id, 1).await, Err(Error::Closed)));
    assert!(matches!(room.delete(0, message.id, 1).await, Err(Error::Closed)));
    assert!(matches!(room.react(1, message.id, "👍", true).await, Err(Error::Closed)));
    let corrected = room.changes.correct(room.new_correction(0, message.id)).await.unwrap();
    assert_eq!(corrected, (Appended::Closed, None));
    assert_eq!(room.current(message.id).await.message, message);
}

/// Every change in a direct conversation MUST be refused with [`Error::Blocked`], to both; a group goes on.
pub async fn nothing_changes_while_a_block_stands(fixture: ChangesFixture) {
    let room = Room::direct(fixture).await;
    let message = room.says(0).await;
    let group = room.world.conversation(&room.members).await;
    let group = Room { conversation: group, ..room.clone() };
    let elsewhere = group.says(0).await;
    room.world.block(room.members[0], room.members[1]).await;
    for who in 0..2 {
        let standing =
            room.changes.find(room.members[who], message.id, at(0)).await.unwrap().unwrap().standing;
        assert!(standing.is_blocked);
        assert!(matches!(room.edit(who, message.id, 1).await, Err(Error::Blocked)));
        assert!(matches!(room.delete(who, message.id, 1).await, Err(Error::Blocked)));
        assert!(matches!(room.react(who, message.id, "👍", true).await, Err(Error::Blocked)));
        assert!(group.react(who, elsewhere.id, "👍", true).await.unwrap(), "a group goes on");
    }
    let corrected = room.changes.correct(room.new_correction(0, message.id)).await.unwrap();
    assert_eq!(corrected, (Appended::Blocked, None));
    room.world.unblock(room.members[0], room.members[1]).await;
    assert!(room.react(1, message.id, "👍", true).await.unwrap());
}

/// A change that is under way when the block is raised MUST be over before it, or be refused.
pub async fn no_change_commits_after_a_block(fixture: ChangesFixture) {
    let room = Room::direct(fixture).await;
    let message = room.says(0).await;
    let id = message.id;
    let tasks = (0..40).map(|n| {
        let room = room.clone();
        async move {
            if n == 20 {
                room.world.block(room.members[0], room.members[1]).await;
                Some(room.current(id).await.message.revision)
            } else {
                let emoji = ["👍", "❤️", "😀", "🎉"][n % 4];
                drop(room.react(1, id, emoji, n % 8 < 4).await);
                None
            }
        }
    });
    let after = together(tasks).await.into_iter().flatten().next().unwrap();
    assert_eq!(room.current(message.id).await.message.revision, after, "something changed after the block");
}

// Reactions

/// Setting twice is setting once, also at once; each person counts once for each emoji.
pub async fn a_reaction_is_set_once_and_cleared_once(fixture: ChangesFixture) {
    let room = Room::of(fixture, 3).await;
    let message = room.says(0).await;
    let id = message.id;
    let done = together((0..30).map(|n| {
        let room = room.clone();
        async move { room.react(n % 3, id, "👍", true).await.unwrap() }
    }))
    .await;
    assert_eq!(done.iter().filter(|done| **done).count(), 3);
    assert!(room.react(1, message.id, "❤", true).await.unwrap());
    let reactions = room.aftermath(&message).await.reactions;
    let told: Vec<_> = reactions.iter().map(|r| (r.emoji.as_str(), r.count, r.people.len())).collect();
    assert_eq!(told, [("👍", 3, 3), ("❤️", 1, 1)], "in the order in which they came");
    assert!(room.react(0, message.id, "👍", false).await.unwrap());
    assert!(!room.react(0, message.id, "👍", false).await.unwrap());
    assert!(!room.react(0, message.id, "🎉", false).await.unwrap());
    assert_eq!(room.aftermath(&message).await.reactions[0].count, 2);
}

/// The limit MUST hold under a race; an emoji that is there can still be joined.
pub async fn a_message_takes_so_many_emoji_however_many_come_at_once(fixture: ChangesFixture) {
    let room = Room::of(fixture, 2).await;
    let message = room.says(0).await;
    let id = message.id;
    let flags = [
        "🇦🇷", "🇧🇴", "🇧🇷", "🇨🇱", "🇨🇴", "🇨🇷", "🇨🇺", "🇩🇴", "🇪🇨", "🇪🇸", "🇬🇹", "🇭🇳", "🇲🇽", "🇳🇮", "🇵🇦", "🇵🇪", "🇵🇷",
        "🇵🇹", "🇵🇾", "🇸🇻", "🇺🇸", "🇺🇾", "🇻🇪", "🇬🇶",
    ];
    let done = together(flags.iter().map(|flag| {
        let room = room.clone();
        async move { room.react(0, id, flag, true).await }
    }))
    .await;
    let set = done.iter().filter(|done| matches!(done, Ok(true))).count();
    assert_eq!(i64::try_from(set).unwrap(), MAX_EMOJI);
    assert!(done.iter().all(|done| matches!(done, Ok(true) | Err(Error::TooManyReactions))));
    let reactions = room.aftermath(&message).await.reactions;
    assert_eq!(reactions.len(), set);
    assert!(room.react(1, message.id, &reactions[0].emoji, true).await.unwrap());
}

// What is left behind

/// Every change MUST be found among the changes of the conversation, and raise the revision; what changes nothing not.
pub async fn every_change_is_noted_and_raises_the_revision(fixture: ChangesFixture) {
    let room = Room::of(fixture, 2).await;
    let message = room.says(0).await;
    room.edit(0, message.id, 1).await.unwrap();
    drop(room.edit(0, message.id, 1).await);
    room.react(1, message.id, "👍", true).await.unwrap();
    room.react(1, message.id, "👍", true).await.unwrap();
    room.react(1, message.id, "👍", false).await.unwrap();
    room.changes.correct(room.new_correction(0, message.id)).await.unwrap();
    room.delete(0, message.id, 5).await.unwrap();
    room.delete(0, message.id, 6).await.unwrap();
    let notes = room.world.notes(room.conversation).await;
    let kinds: Vec<_> =
        notes.iter().filter(|(_, id)| *id == Some(message.id)).map(|(kind, _)| kind.as_str()).collect();
    let expected = [
        "message.created",
        "message.updated",
        "message.reacted",
        "message.reacted",
        "message.corrected",
        "message.deleted",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(room.current(message.id).await.message.revision, 5);
}

// Numbers

/// The changes of a conversation MUST be numbered 1, 2, 3 … whatever they are of, and however many are made at once, also by
/// those who take back what has expired everywhere. A message keeps the number of its last change.
pub async fn the_changes_of_a_conversation_are_numbered_without_gaps(fixture: ChangesFixture) {
    let here = Room::of(fixture, 2).await;
    let there = here.world.conversation(&here.members).await;
    let there = Room { conversation: there, ..here.clone() };
    let mut ids = Vec::new();
    for n in 0..24 {
        for room in [&here, &there] {
            ids.push((room.clone(), room.says_until(0, (n % 4 == 0).then(|| at(10))).await.id));
        }
    }
    let tasks = ids.iter().enumerate().map(|(n, (room, id))| {
        let (room, id) = (room.clone(), *id);
        async move {
            let place = room.conversation;
            let revision = match (n / 2) % 4 {
                0 => {
                    let expired = room.changes.expire(at(20), at(1000), 5).await.unwrap();
                    return expired.iter().map(|e| (e.conversation_id, e.message_id, e.revision)).collect();
                }
                1 => Some(room.edit(0, id, 1).await.unwrap()),
                2 => {
                    let deletion = room.new_deletion(0, id, 5);
                    room.changes.delete(&deletion, &deleted(&deletion)).await.unwrap()
                }
                _ => room.changes.correct(room.new_correction(0, id)).await.unwrap().1,
            };
            vec![(place, id, revision.unwrap())]
        }
    });
    let numbered: Vec<(ConversationId, MessageId, i64)> =
        together(tasks).await.into_iter().flatten().collect();
    for room in [&here, &there] {
        let of_room = numbered.iter().filter(|(place, ..)| *place == room.conversation);
        let mut numbers: Vec<_> = of_room.map(|(_, _, revision)| *revision).collect();
        numbers.sort_unstable();
        let last = i64::try_from(numbers.len()).unwrap();
        assert_eq!(numbers, (1..=last).collect::<Vec<_>>());
        assert!(last >= 18, "{last}");
        let position = room.log.position(room.members[0], room.conversation).await.unwrap().unwrap();
        assert_eq!(position.last_revision, last);
    }
    for (_, id, revision) in numbered {
        assert_eq!(here.current(id).await.message.revision, revision);
    }
}

/// Pages MUST be in the order of the revisions, without what never changed, and without what the device does not have.
pub async fn what_has_changed_is_read_as_it_is_now_and_once(fixture: ChangesFixture) {
    let room = Room::of(fixture, 2).await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(room.says(0).await.id);
    }
    assert_eq!(room.revised(0, 0, 6, 10).await, (vec![], 0, 0));
    for n in [4, 1, 3, 5] {
        room.edit(0, ids[n], 1).await.unwrap();
    }
    room.react(1, ids[1], "👍", true).await.unwrap();
    room.delete(0, ids[3], 9).await.unwrap();
    // 4 → 1, 5 → 4, 1 → 5, 3 → 6.
    assert_eq!(
        room.revised(0, 0, 6, 10).await,
        (vec![(ids[4], 1), (ids[5], 4), (ids[1], 5), (ids[3], 6)], 6, 6)
    );
    assert_eq!(room.revised(0, 0, 6, 2).await, (vec![(ids[4], 1), (ids[5], 4)], 4, 6));
    assert_eq!(room.revised(0, 4, 6, 2).await, (vec![(ids[1], 5), (ids[3], 6)], 6, 6));
    assert_eq!(room.revised(0, 6, 6, 2).await, (vec![], 6, 6));
    assert_eq!(
        room.revised(0, 0, 2, 10).await,
        (vec![(ids[1], 5)], 6, 6),
        "not what the device does not have"
    );
    let query = RevisedQuery { after: 5, up_to_seq: 6, size: PageSize::parse(None, 5).unwrap() };
    let gone = room.changes.revised(room.members[0], room.conversation, &query).await.unwrap().unwrap();
    assert!(gone.messages[0].deleted_at.is_some());
}

/// Strangers and those who left MUST get `None`; those who came later, or came back, nothing from before.
pub async fn what_changed_before_one_joined_stays_hidden(fixture: ChangesFixture) {
    let mut room = Room::of(fixture, 3).await;
    let before = room.says(0).await.id;
    let (later, stranger) = (room.world.user().await, room.world.user().await);
    room.world.add(room.conversation, later).await;
    room.world.remove(room.conversation, room.members[1]).await;
    room.world.remove(room.conversation, room.members[2]).await;
    room.world.add(room.conversation, room.members[2]).await;
    room.members.extend([later, stranger]);
    let after = room.says(0).await.id;
    room.edit(0, before, 1).await.unwrap();
    room.edit(0, after, 1).await.unwrap();
    assert_eq!(room.revised(0, 0, 2, 10).await.0, [(before, 1), (after, 2)]);
    for who in [2, 3] {
        assert_eq!(room.revised(who, 0, 2, 10).await, (vec![(after, 2)], 2, 2), "{who}");
    }
    let query = RevisedQuery { after: 0, up_to_seq: 2, size: PageSize::parse(None, 5).unwrap() };
    for who in [1, 4] {
        let read = room.changes.revised(room.members[who], room.conversation, &query).await.unwrap();
        assert!(read.is_none(), "{who}");
    }
}

/// Whoever reads from where the page before reached MUST come to know every message as it is in the end, however the pages
/// and the changes fall.
pub async fn whoever_reads_on_misses_no_change(fixture: ChangesFixture) {
    const CHANGES: usize = 120;
    let room = Room::of(fixture, 2).await;
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(room.says(0).await.id);
    }
    let tasks = (0..5_usize).map(|task| {
        let (room, ids) = (room.clone(), ids.clone());
        async move {
            let (mut known, mut after) = (HashMap::new(), 0);
            if task < 4 {
                for n in (task..CHANGES).step_by(4) {
                    let emoji = ["👍", "❤️", "😀", "🎉"][task];
                    room.react(task % 2, ids[(n / 4 * 3 + task) % 8], emoji, (n / 4) % 3 != 1).await.unwrap();
                }
            } else {
                for _ in 0..60 {
                    let (page, reached, _) = room.revised(0, after, 8, 2).await;
                    assert!(reached >= after && page.iter().all(|(_, revision)| *revision > after));
                    after = reached;
                    known.extend(page);
                }
            }
            (known, after)
        }
    });
    let (mut known, mut after) = together(tasks).await.pop().unwrap();
    loop {
        let (page, reached, last) = room.revised(0, after, 8, 2).await;
        known.extend(page);
        after = reached;
        if reached == last {
            break;
        }
    }
    assert!(after > 8, "nothing changed, so this tests nothing");
    for id in ids {
        assert_eq!(known.get(&id).copied(), Some(room.current(id).await.message.revision));
    }
}

// Expiry

/// However many look at once, each message MUST be taken back once, with one event and one note.
pub async fn what_has_expired_is_taken_back_once_however_many_look(fixture: ChangesFixture) {
    let room = Room::of(fixture, 1).await;
    let mut expiring = Vec::new();
    for n in 0..30 {
        expiring.push(room.says_until(0, (n < 25).then(|| at(100 + n))).await.id);
    }
    let (now, purge_at) = (at(119), at(500));
    let found = together((0..8).map(|_| {
        let changes = room.changes.clone();
        async move {
            let mut found = Vec::new();
            loop {
                let some = changes.expire(now, purge_at, 3).await.unwrap();
                if some.is_empty() {
                    return found;
                }
                found.extend(some.into_iter().map(|expired| expired.message_id));
            }
        }
    }))
    .await;
    let mut found: Vec<_> = found.into_iter().flatten().collect();
    found.sort_unstable_by_key(|id| id.uuid());
    let mut due = expiring[..20].to_vec();
    due.sort_unstable_by_key(|id| id.uuid());
    assert_eq!(found, due);
    assert_eq!(room.events_of(MessageDeleted::KIND).await, 20);
    let notes = room.world.notes(room.conversation).await;
    assert_eq!(notes.iter().filter(|(kind, _)| kind == "message.deleted").count(), 20);
    for (n, id) in expiring.into_iter().enumerate() {
        let message = room.current(id).await.message;
        let gone_at = (n < 20).then(|| at(100 + i64::try_from(n).unwrap()));
        assert_eq!((message.deleted_at, message.deleted_by), (gone_at, None), "{n}");
        assert!(message.content.is_some(), "words of a record stay");
    }
}

/// Words, wordings and reactions MUST be gone from where no record needs them, and only there, and not before.
pub async fn words_are_destroyed_unless_they_belong_to_a_record(fixture: ChangesFixture) {
    let care = Room::of(fixture, 2).await;
    let leisure = care.world.leisure(&care.members).await;
    let leisure = Room { conversation: leisure, ..care.clone() };
    let mut gone = Vec::new();
    for room in [&care, &leisure] {
        let (message, expiring) = (room.says(0).await, room.says_until(0, Some(at(10))).await);
        room.edit(0, message.id, 1).await.unwrap();
        room.react(1, message.id, "👍", true).await.unwrap();
        assert!(room.delete(0, message.id, 10).await.unwrap());
        gone.push((message.id, expiring.id));
    }
    assert_eq!(care.changes.expire(at(10), at(1000), 10).await.unwrap().len(), 2);
    assert_eq!(care.changes.purge(at(999), 10).await.unwrap(), 0, "not yet");
    assert_eq!(care.changes.purge(at(1000), 10).await.unwrap(), 2);
    assert_eq!(care.changes.purge(at(1000), 10).await.unwrap(), 0, "once");
    let [kept, destroyed] = gone[..] else { panic!("two conversations") };
    for (message, expiring) in [kept, destroyed] {
        let stays = message == kept.0;
        for id in [message, expiring] {
            assert_eq!(care.current(id).await.message.content.is_some(), stays);
        }
        let stored = care.changes.wordings(message).await.unwrap();
        assert_eq!(stored.former.len(), usize::from(stays));
    }
}

// Receipts

/// Who has read a message, and since when: from the first move of the mark that reached it.
pub async fn a_receipt_tells_when_the_mark_first_passed(fixture: ChangesFixture) {
    let room = Room::of(fixture, 3).await;
    let mut messages = Vec::new();
    for _ in 0..5 {
        messages.push(room.says(0).await);
    }
    room.mark(1, Mark::Delivered, 2, 1).await;
    room.mark(1, Mark::Read, 1, 2).await;
    room.mark(1, Mark::Read, 4, 3).await;
    room.mark(1, Mark::Read, 5, 4).await;
    room.mark(2, Mark::Read, 3, 5).await;
    // Own messages are not received.
    room.mark(0, Mark::Read, 5, 6).await;
    let spots: Vec<_> = messages.iter().map(spot).collect();
    for page in [&spots[..], &spots[1..3], &spots[4..]] {
        let found = room.changes.aftermath(page).await.unwrap();
        for place in page {
            let read_by: Vec<_> = found.get(&place.message_id).map_or(Vec::new(), |a| a.read_by.clone());
            let first = at([2, 3, 3, 3, 4][usize::try_from(place.seq - 1).unwrap()]);
            let mut expected = vec![(room.members[1], first)];
            if place.seq <= 3 {
                expected.push((room.members[2], at(5)));
            }
            assert_eq!(read_by, expected, "seq {}", place.seq);
        }
    }
    let mut receipts = Vec::new();
    loop {
        let after = receipts.last().map(|r: &crate::Receipt| r.user_id);
        let page = room.changes.receipts(room.members[0], messages[1].id, after, 1).await.unwrap();
        let Some(receipt) = page.first() else { break };
        receipts.push(*receipt);
    }
    let told: HashMap<_, _> = receipts.iter().map(|r| (r.user_id, (r.delivered_at, r.read_at))).collect();
    assert_eq!(told.len(), 2);
    assert_eq!(told[&room.members[1]], (Some(at(1)), Some(at(3))));
    assert_eq!(told[&room.members[2]], (Some(at(5)), Some(at(5))), "what was read had been delivered");
}

/// Nothing of who has read where that is not shown, nothing of the other behind a block, nothing of who came later.
pub async fn receipts_stay_with_those_who_may_see_them(fixture: ChangesFixture) {
    let room = Room::of(fixture, 2).await;
    let message = room.says(0).await;
    let later = room.world.user().await;
    room.world.add(room.conversation, later).await;
    room.says(0).await;
    room.mark(1, Mark::Read, 2, 1).await;
    let room = Room { members: [room.members.clone(), vec![later]].concat(), ..room };
    room.mark(2, Mark::Read, 2, 2).await;
    assert_eq!(room.aftermath(&message).await.read_by, [(room.members[1], at(1))], "not who came later");
    let receipts = async |room: &Room, viewer: usize, message: MessageId| {
        room.changes.receipts(room.members[viewer], message, None, 10).await.unwrap()
    };
    assert_eq!(receipts(&room, 0, message.id).await.len(), 1);

    room.world.hide_receipts(room.conversation).await;
    assert_eq!(room.aftermath(&message).await, Aftermath::default());
    let [seen] = receipts(&room, 0, message.id).await[..] else { panic!("one receipt") };
    assert_eq!((seen.delivered_at, seen.read_at), (Some(at(1)), None));
    let [own] = receipts(&room, 1, message.id).await[..] else { panic!("one receipt") };
    assert_eq!(own.read_at, Some(at(1)), "their own they may see");
    let position = room.log.position(room.members[0], room.conversation).await.unwrap().unwrap();
    let of = |who: usize| position.marks.iter().find(|m| m.user_id == room.members[who]).unwrap();
    assert_eq!((of(1).delivered_up_to, of(1).read_up_to), (2, 0));
    assert!(room.current(message.id).await.marks.iter().all(|m| m.read_up_to == 0));

    let direct = Room::direct(room.beside()).await;
    let message = direct.says(0).await;
    direct.mark(1, Mark::Read, 1, 1).await;
    assert_eq!(receipts(&direct, 0, message.id).await.len(), 1);
    direct.world.block(direct.members[1], direct.members[0]).await;
    assert_eq!(receipts(&direct, 0, message.id).await, []);
    assert_eq!(direct.aftermath(&message).await, Aftermath::default());
}

/// The newest that the viewer can read, one for each conversation.
pub async fn the_newest_of_each_conversation_is_found(fixture: ChangesFixture) {
    let room = Room::of(fixture, 2).await;
    let other = Room { conversation: room.world.conversation(&room.members).await, ..room.clone() };
    let foreign = Room::of(room.beside(), 1).await;
    let ids =
        [room.says(0).await.id, room.says(1).await.id, other.says(1).await.id, foreign.says(0).await.id];
    let mut found = room.changes.newest_of_each(room.members[0], &ids).await.unwrap();
    found.sort_unstable_by_key(|(_, message)| *message != ids[1]);
    assert_eq!(found, [(room.conversation, ids[1]), (other.conversation, ids[2])]);
    assert_eq!(room.changes.newest_of_each(room.members[0], &ids[3..]).await.unwrap(), []);
}

/// Over random histories of sending, reading, joining, leaving and coming back: what is unread is what others have sent
/// after one's mark since one came, and what a receipt says never goes back.
pub async fn unread_and_receipts_are_what_a_model_counts(fixture: ChangesFixture) {
    let room = Room::of(fixture, 4).await;
    // Of each who is in: joined_seq and the mark.
    let mut inside: BTreeMap<usize, (i64, i64)> = (0..4).map(|who| (who, (1, 0))).collect();
    let mut log: Vec<usize> = Vec::new();
    let mut first_read: HashMap<(i64, usize), DateTime<Utc>> = HashMap::new();
    let mut chance = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move |below: u64| {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        usize::try_from(chance % below).unwrap()
    };
    for step in 0..160 {
        let who = random(4);
        let last = i64::try_from(log.len()).unwrap();
        match (random(10), inside.get(&who).copied()) {
            (0..=4, Some(_)) => {
                room.says(who).await;
                log.push(who);
            }
            (5..=8, Some((joined, mark))) if last >= joined => {
                let span = u64::try_from(last - joined + 1).unwrap();
                let target = joined + i64::try_from(random(span)).unwrap();
                room.mark(who, Mark::Read, target, step).await;
                for seq in (mark + 1).max(joined)..=target {
                    first_read.entry((seq, who)).or_insert_with(|| at(step));
                }
                inside.insert(who, (joined, mark.max(target)));
            }
            (9, Some(_)) if inside.len() > 1 => {
                room.world.remove(room.conversation, room.members[who]).await;
                inside.remove(&who);
            }
            (_, None) => {
                room.world.add(room.conversation, room.members[who]).await;
                inside.insert(who, (last + 1, last));
            }
            _ => {}
        }
        for (&who, (_, mark)) in &inside {
            let digest = room.log.digests(room.members[who], &[room.conversation]).await.unwrap().remove(0);
            let unread = (1..).zip(&log).filter(|(seq, sender)| *seq > *mark && **sender != who).count();
            assert_eq!(digest.unread, i64::try_from(unread).unwrap(), "step {step}, member {who}");
        }
    }
    assert!(log.len() > 40, "the history is worth its name");
    let spots: Vec<_> = {
        let mut spots = Vec::new();
        for seq in 1..=i64::try_from(log.len()).unwrap() {
            spots.push(spot(&room.at_seq(seq).await));
        }
        spots
    };
    let found = room.changes.aftermath(&spots).await.unwrap();
    let mut compared = 0;
    for place in &spots {
        let told: HashMap<_, _> =
            found.get(&place.message_id).map(|a| a.read_by.iter().copied().collect()).unwrap_or_default();
        for (&who, (joined, _)) in &inside {
            let sender = log[usize::try_from(place.seq - 1).unwrap()];
            let expected =
                first_read.get(&(place.seq, who)).filter(|_| *joined <= place.seq && sender != who).copied();
            assert_eq!(told.get(&room.members[who]).copied(), expected, "seq {} member {who}", place.seq);
            compared += usize::from(expected.is_some());
        }
    }
    assert!(compared > 10, "some had been read: {compared}");
}

// The setting

#[derive(Clone)]
struct Room {
    changes: std::sync::Arc<dyn MessageChanges>,
    log: std::sync::Arc<dyn MessageLog>,
    world: std::sync::Arc<dyn super::World>,
    conversation: ConversationId,
    members: Vec<UserId>,
    ticks: std::sync::Arc<std::sync::atomic::AtomicI64>,
}

impl Room {
    async fn of(fixture: ChangesFixture, people: usize) -> Self {
        let ChangesFixture { changes, log, world } = fixture;
        let mut members = Vec::new();
        for _ in 0..people {
            members.push(world.user().await);
        }
        let conversation = world.conversation(&members).await;
        Self { changes, log, world, conversation, members, ticks: std::sync::Arc::default() }
    }

    async fn direct(fixture: ChangesFixture) -> Self {
        let ChangesFixture { changes, log, world } = fixture;
        let members = vec![world.user().await, world.user().await];
        let conversation = world.direct(members[0], members[1]).await;
        Self { changes, log, world, conversation, members, ticks: std::sync::Arc::default() }
    }

    /// The same stores, for another room.
    fn beside(&self) -> ChangesFixture {
        ChangesFixture { changes: self.changes.clone(), log: self.log.clone(), world: self.world.clone() }
    }

    fn entry(&self, who: usize) -> NewEntry {
        let id = MessageId::generate(&SystemIds);
        let name = ClientMessageId::parse(&id.to_string()).unwrap();
        let event = MessageOutsideHours {
            conversation_id: self.conversation,
            message_id: id,
            sender_id: self.members[who],
            quiet: Quiet::Waits,
        };
        NewEntry {
            header: Header::new(id, self.conversation, self.members[who], name, at(0)),
            content: Some(wording(1)),
            payload: None,
            fingerprint: [1; 16],
            event: Some(Event::new(&SystemIds, at(0), &event)),
            flag: None,
            files: Vec::new(),
        }
    }

    async fn says(&self, who: usize) -> StoredMessage {
        self.says_until(who, None).await
    }

    async fn says_until(&self, who: usize, expires_at: Option<DateTime<Utc>>) -> StoredMessage {
        let mut entry = self.entry(who);
        entry.header.expires_at = expires_at;
        let id = entry.id;
        let appended = self.log.append(entry).await.unwrap();
        assert!(matches!(appended, Appended::Stored { .. }), "{appended:?}");
        self.current(id).await.message
    }

    async fn current(&self, message: MessageId) -> Current {
        self.changes.current(message).await.unwrap().unwrap()
    }

    async fn at_seq(&self, seq: i64) -> StoredMessage {
        let notes = self.world.notes(self.conversation).await;
        let created = notes.iter().filter(|(kind, _)| kind == "message.created").filter_map(|(_, id)| *id);
        let id = created.clone().nth(usize::try_from(seq - 1).unwrap()).unwrap();
        let message = self.current(id).await.message;
        assert_eq!(message.seq, seq);
        message
    }

    async fn aftermath(&self, message: &StoredMessage) -> Aftermath {
        let mut found = self.changes.aftermath(&[spot(message)]).await.unwrap();
        found.remove(&message.id).unwrap_or_default()
    }

    fn new_edit(&self, who: usize, message_id: MessageId, replaces: u32) -> Edit {
        let version = replaces + 1;
        let actor = self.members[who];
        Edit {
            message_id,
            actor,
            replaces,
            content: wording(version),
            at: at(i64::from(version)),
            flag: None,
        }
    }

    async fn edit(&self, who: usize, message: MessageId, replaces: u32) -> Result<i64, Error> {
        let edit = self.new_edit(who, message, replaces);
        self.changes.edit(&edit, &edited(&edit)).await
    }

    fn new_deletion(&self, who: usize, message_id: MessageId, second: i64) -> Deletion {
        Deletion { message_id, actor: self.members[who], at: at(second), purge_at: at(1000) }
    }

    async fn delete(&self, who: usize, message: MessageId, second: i64) -> Result<bool, Error> {
        let deletion = self.new_deletion(who, message, second);
        Ok(self.changes.delete(&deletion, &deleted(&deletion)).await?.is_some())
    }

    fn new_correction(&self, who: usize, corrected: MessageId) -> Correction {
        let mut entry = self.entry(who);
        entry.header.corrects = Some(corrected);
        Correction { entry, reason: Some(Sealed::from_bytes(vec![9])), effects: Effects::default() }
    }

    async fn react(
        &self,
        who: usize,
        message_id: MessageId,
        emoji: &str,
        is_set: bool,
    ) -> Result<bool, Error> {
        let emoji = Emoji::parse(emoji).unwrap();
        let react = React { message_id, actor: self.members[who], emoji, is_set, at: self.tick() };
        Ok(self.changes.react(&react).await?.is_some())
    }

    /// Later than all before.
    fn tick(&self) -> DateTime<Utc> {
        at(self.ticks.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }

    /// What `revised` answers: messages with their revisions, how far it reached, and the last revision.
    async fn revised(
        &self,
        who: usize,
        after: i64,
        up_to_seq: i64,
        size: u16,
    ) -> (Vec<(MessageId, i64)>, i64, i64) {
        let query = RevisedQuery { after, up_to_seq, size: PageSize::parse(None, size).unwrap() };
        let page = self.changes.revised(self.members[who], self.conversation, &query).await;
        let RevisedPage { messages, reached, last_revision } = page.unwrap().unwrap();
        (messages.iter().map(|m| (m.id, m.revision)).collect(), reached, last_revision)
    }

    async fn mark(&self, who: usize, mark: Mark, seq: i64, second: i64) {
        let target = Anchor::Seq(seq);
        let moved = self.log.advance(self.members[who], self.conversation, mark, &target, at(second)).await;
        moved.unwrap().unwrap();
    }

    async fn events_of(&self, kind: &str) -> usize {
        self.world.events().await.iter().filter(|event| event.kind == kind).count()
    }
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(second)
}

fn wording(version: u32) -> Sealed {
    Sealed::from_bytes(version.to_be_bytes().to_vec())
}

fn spot(message: &StoredMessage) -> Spot {
    Spot {
        conversation_id: message.conversation_id,
        message_id: message.id,
        seq: message.seq,
        sender_id: message.sender_id,
    }
}

fn edited(edit: &Edit) -> Effects {
    let conversation_id = ConversationId::generate(&SystemIds);
    let event = MessageEdited { conversation_id, message_id: edit.message_id, version: edit.replaces + 1 };
    Effects::default().event(Event::new(&SystemIds, edit.at, &event))
}

fn deleted(deletion: &Deletion) -> Effects {
    let conversation_id = ConversationId::generate(&SystemIds);
    let deleted_by = Some(deletion.actor);
    let event = MessageDeleted { conversation_id, message_id: deletion.message_id, deleted_by };
    Effects::default().event(Event::new(&SystemIds, deletion.at, &event))
}

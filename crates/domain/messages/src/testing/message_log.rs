//! What every [`MessageLog`] MUST do, one case each. Run them all with
//! [`message_log_conformance!`](crate::message_log_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};

use alivio_kernel::ids::{ConversationId, MessageId, ReportId, UserId};
use alivio_kernel::{DomainEvent, Event, IdSource, PageSize, Sealed, SystemIds};
use chrono::{DateTime, TimeDelta, Utc};

use alivio_kernel::testing::together;

use super::{Fixture, World};
use crate::screening::{Finding, FindingKind};
use crate::{
    Anchor, Appended, ClientMessageId, Digest, Header, HistoryQuery, Mark, Marks, MessageLog,
    MessageOutsideHours, Moved, NewEntry, NewFlag, Position, Priority, Quiet, StoredMessage,
};

/// Tests your [`MessageLog`]: one `#[tokio::test]` for every case in [`testing::message_log`].
///
/// `$fresh` names an `async fn() -> alivio_messages::testing::Fixture` that gives each case an empty,
/// isolated instance.
///
/// [`MessageLog`]: crate::MessageLog
/// [`testing::message_log`]: crate::testing::message_log
#[macro_export]
macro_rules! message_log_conformance {
    ($fresh:expr) => {
        mod message_log_conformance {
            use super::*;
            $crate::message_log_conformance! { @cases $fresh;
                sequence_numbers_count_from_one_without_gaps
                what_was_appended_reads_back_unchanged
                the_order_is_that_of_seq_even_if_clocks_disagree
                parallel_appends_to_one_conversation_leave_no_gap_and_keep_each_senders_order
                parallel_appends_to_many_conversations_number_each_on_its_own
                of_many_parallel_appends_of_one_message_one_is_stored
                of_parallel_appends_under_one_name_those_that_differ_are_told_apart
                a_repeat_answers_what_was_stored_and_takes_no_number
                a_reused_client_message_id_stores_nothing
                client_message_ids_belong_to_their_sender_and_conversation
                what_was_said_earlier_is_found_by_its_name_and_nothing_is_stored
                what_is_answered_is_readable_in_the_same_conversation
                strangers_and_unknown_conversations_are_refused
                a_closed_conversation_takes_nothing_new
                a_retry_is_recognised_after_the_conversation_was_closed
                a_block_stops_both_of_a_direct_conversation_until_it_is_lifted
                a_block_stops_nothing_where_others_are
                a_retry_is_recognised_after_a_block
                nothing_enters_a_direct_conversation_after_a_block
                someone_removed_is_shut_out_of_everything
                nothing_of_someone_removed_enters_after_the_removal
                someone_added_later_sees_nothing_from_before
                someone_who_comes_back_reads_from_then_on
                the_members_version_moves_with_the_membership
                the_event_is_stored_once_with_its_entry
                what_is_not_appended_stores_no_event
                a_flag_is_stored_with_its_message_and_not_without
                what_was_sent_is_known_by_its_name
                the_newest_come_first_and_one_more_than_asked_for
                what_came_before_is_read_backwards
                what_came_after_is_read_forwards
                a_seq_is_a_number_and_need_not_be_in_the_log
                an_anchor_from_elsewhere_is_refused
                a_position_names_everyone_in_the_conversation
                a_position_shows_nothing_of_the_other_behind_a_block
                of_many_who_come_back_at_once_each_gets_their_own
                marks_move_forward_and_never_back
                reading_moves_both_marks
                a_mark_can_be_moved_to_a_message
                a_target_that_is_not_in_the_conversation_is_refused
                unread_counts_messages_by_others_after_the_mark
                marks_of_one_leave_those_of_others_alone
                of_many_parallel_moves_to_one_place_one_moves
                marks_end_at_the_furthest_of_many_parallel_moves
                the_newest_of_some_messages_is_found
                digests_tell_the_state_of_each_conversation_of_the_viewer
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::message_log::$case($fresh().await).await;
            }
        )*
    };
}

// Appending

/// Sequence numbers MUST be 1, 2, 3 …
pub async fn sequence_numbers_count_from_one_without_gaps(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    for expected in 1..=10 {
        assert_eq!(room.says(expected % 2).await.seq, i64::try_from(expected).unwrap());
    }
    assert_eq!(seqs(&room.everything(0).await), (1..=10).collect::<Vec<_>>());
}

/// Every field survives, the sealed words byte for byte.
pub async fn what_was_appended_reads_back_unchanged(fixture: Fixture) {
    let room = Room::of(fixture, 1).await;
    let words = [(0..=u8::MAX).collect(), vec![0], vec![0xff; 30_000]];
    let mut numbers = BTreeSet::new();
    for (priority, words) in Priority::ALL.into_iter().zip(words.into_iter().cycle()) {
        let mut entry = entry(room.conversation, room.members[0]);
        entry.header.priority = priority;
        entry.payload = words.first().map(|byte| Sealed::from_bytes(vec![*byte; 40]));
        entry.content = Some(Sealed::from_bytes(words)).filter(|_| priority != Priority::Low);
        entry.header.client_sent_at = (priority == Priority::High).then(at);
        let Appended::Stored { seq, number, .. } = room.log.append(entry.clone()).await.unwrap() else {
            panic!("not stored")
        };
        assert_eq!(room.everything(0).await.pop().unwrap(), as_stored(&entry, seq, number));
        assert!(numbers.insert(number), "two messages have the number {number}");
    }
}

/// `seq` MUST follow commit order; the `created_at` of two nodes need not.
pub async fn the_order_is_that_of_seq_even_if_clocks_disagree(fixture: Fixture) {
    let room = Room::of(fixture, 1).await;
    let mut said = Vec::new();
    for minutes in [0, 9, -9, 3] {
        let mut entry = room.entry_by(0);
        entry.header.created_at = at() + TimeDelta::minutes(minutes);
        said.push(entry.id);
        stored(&*room.log, entry).await;
    }
    assert_eq!(ids(&room.everything(0).await), said);
    assert_eq!(room.digest(0).await.last.unwrap().id, said[3]);
}

/// Sequence numbers MUST NOT have gaps, and what a sender says after an acknowledgement comes later.
pub async fn parallel_appends_to_one_conversation_leave_no_gap_and_keep_each_senders_order(fixture: Fixture) {
    let room = Room::of(fixture, 10).await;
    let acknowledged = together((0..10).map(|sender| {
        let room = &room;
        async move {
            let mut said = Vec::new();
            for _ in 0..20 {
                said.push(room.says(sender).await);
            }
            said
        }
    }))
    .await;

    for by_one in &acknowledged {
        assert!(by_one.is_sorted_by_key(|said| said.seq), "a sender's messages were reordered");
    }
    let mut acknowledged: Vec<_> = acknowledged.into_iter().flatten().collect();
    acknowledged.sort_by_key(|said| said.seq);
    assert!(acknowledged.iter().map(|said| said.seq).eq(1..=200), "a number is missing or given twice");
    let log = room.everything(0).await;
    assert_eq!(log, acknowledged, "the log is not what was acknowledged");
    assert_eq!(log.iter().map(|m| m.number).collect::<BTreeSet<_>>().len(), 200);
    assert_eq!(room.position(0).await.last_seq, 200);
}

/// Each conversation numbers its own entries.
pub async fn parallel_appends_to_many_conversations_number_each_on_its_own(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    let mut conversations = vec![room.conversation];
    for _ in 1..20 {
        conversations.push(room.world.conversation(&room.members).await);
    }
    let entries = (0..200).map(|n| entry(conversations[n % 20], room.members[n % 2]));
    together(entries.map(|entry| stored(&*room.log, entry))).await;
    for conversation in conversations {
        let page = history(&room, 0, conversation, HistoryQuery::After(Anchor::Seq(0), size(100))).await;
        assert!(page.iter().map(|m| m.seq).eq(1..=10));
    }
}

/// One `(conversation, sender, client_message_id)` MUST enter the log once, however many append it.
pub async fn of_many_parallel_appends_of_one_message_one_is_stored(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    room.says(1).await;
    let first = room.entry_by(0);
    // A retry comes with the same name and fingerprint; the server gives it an id and a time of its own.
    let attempts: Vec<_> = (0..200).map(|_| retry(&first)).collect();
    let outcomes = together(attempts.iter().map(|entry| room.log.append(entry.clone()))).await;

    let mut winners = Vec::new();
    let mut repeats = Vec::new();
    for (entry, outcome) in attempts.iter().zip(outcomes) {
        match outcome.unwrap() {
            Appended::Stored { seq, number, .. } => winners.push(as_stored(entry, seq, number)),
            Appended::Repeat(message) => repeats.push(message),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((winners.len(), repeats.len()), (1, 199));
    assert_eq!(winners[0].seq, 2);
    assert!(repeats.iter().all(|repeat| *repeat == winners[0]), "a repeat answered something else");
    assert_eq!(room.everything(0).await[1..], winners);
    assert_eq!(room.sent_events().await.len(), 2);
}

/// The others get [`Appended::Repeat`], or [`Appended::Reused`] if the fingerprint differs.
pub async fn of_parallel_appends_under_one_name_those_that_differ_are_told_apart(fixture: Fixture) {
    let room = Room::of(fixture, 1).await;
    let first = room.entry_by(0);
    let attempts: Vec<_> = (0..60).map(|n| NewEntry { fingerprint: [n % 2; 16], ..retry(&first) }).collect();
    let outcomes = together(attempts.iter().map(|entry| room.log.append(entry.clone()))).await;
    let outcomes: Vec<_> =
        attempts.iter().map(|a| a.fingerprint).zip(outcomes.into_iter().map(Result::unwrap)).collect();

    let stored: Vec<_> =
        outcomes.iter().filter(|(_, outcome)| matches!(outcome, Appended::Stored { .. })).collect();
    assert_eq!(stored.len(), 1);
    for (fingerprint, outcome) in &outcomes {
        match outcome {
            Appended::Stored { .. } => {}
            Appended::Repeat(_) => assert_eq!(*fingerprint, stored[0].0),
            Appended::Reused => assert_ne!(*fingerprint, stored[0].0),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(room.everything(0).await.len(), 1);
}

/// A repeat answers the stored message, and the next message gets the next number.
pub async fn a_repeat_answers_what_was_stored_and_takes_no_number(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    let first = room.entry_by(0);
    let said = stored(&*room.log, first.clone()).await;
    for _ in 0..3 {
        assert_eq!(room.log.append(retry(&first)).await.unwrap(), Appended::Repeat(said.clone()));
    }
    assert_eq!(room.says(1).await.seq, 2);
    assert_eq!(room.log.append(retry(&first)).await.unwrap(), Appended::Repeat(said), "no longer the newest");
    assert_eq!(room.position(0).await.last_seq, 2);
}

/// [`Appended::Reused`] if the fingerprint differs, and the stored message stays as it is.
pub async fn a_reused_client_message_id_stores_nothing(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    let first = room.entry_by(0);
    let said = stored(&*room.log, first.clone()).await;
    let other = NewEntry {
        fingerprint: [9; 16],
        content: Some(Sealed::from_bytes(b"something else".to_vec())),
        ..retry(&first)
    };
    assert_eq!(room.log.append(other).await.unwrap(), Appended::Reused);
    assert_eq!(room.everything(0).await, [said]);
    assert_eq!(room.says(0).await.seq, 2);
}

/// [`MessageLog::earlier`] answers as a repeat would, and is never the first.
pub async fn what_was_said_earlier_is_found_by_its_name_and_nothing_is_stored(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    let stranger = room.world.user().await;
    let first = room.entry_by(0);
    let (name, print) = (first.client_message_id.clone(), first.fingerprint);
    let asked = |sender, fingerprint| room.log.earlier(sender, room.conversation, &name, fingerprint);
    assert_eq!(asked(room.members[0], print).await.unwrap(), None);
    assert_eq!(room.everything(0).await, []);
    let said = stored(&*room.log, first.clone()).await;
    assert_eq!(asked(room.members[0], print).await.unwrap(), Some(Appended::Repeat(said.clone())));
    assert_eq!(asked(room.members[0], [9; 16]).await.unwrap(), Some(Appended::Reused));
    assert_eq!(asked(room.members[1], print).await.unwrap(), None, "a name belongs to its sender");
    assert_eq!(asked(stranger, print).await.unwrap(), Some(Appended::NotAMember));
    room.world.remove(room.conversation, room.members[0]).await;
    assert_eq!(asked(room.members[0], print).await.unwrap(), Some(Appended::NotAMember));
    assert_eq!(room.everything(1).await, [said]);
}

/// The name is unique per sender and conversation, not among all.
pub async fn client_message_ids_belong_to_their_sender_and_conversation(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    let elsewhere = room.world.conversation(&room.members).await;
    let first = room.entry_by(0);
    stored(&*room.log, first.clone()).await;
    let mut by_another = retry(&first);
    by_another.header.sender_id = room.members[1];
    assert_eq!(stored(&*room.log, by_another).await.seq, 2);
    let mut in_another = retry(&first);
    in_another.header.conversation_id = elsewhere;
    assert_eq!(stored(&*room.log, in_another).await.seq, 1);
}

/// [`Appended::NoReplyTarget`] unless the sender may read in the same conversation what they answer.
pub async fn what_is_answered_is_readable_in_the_same_conversation(fixture: Fixture) {
    let room = Room::of(fixture, 1).await;
    let before = room.says(0).await;
    let elsewhere = room.world.conversation(&room.members).await;
    let foreign = stored(&*room.log, entry(elsewhere, room.members[0])).await;
    let newcomer = room.world.user().await;
    room.world.add(room.conversation, newcomer).await;
    let answer = |sender, target| {
        let mut answer = entry(room.conversation, sender);
        answer.header.reply_to = Some(target);
        answer
    };
    for (sender, target) in [
        (room.members[0], foreign.id),
        (room.members[0], MessageId::generate(&SystemIds)),
        (newcomer, before.id),
    ] {
        assert_eq!(room.log.append(answer(sender, target)).await.unwrap(), Appended::NoReplyTarget);
    }
    let said = stored(&*room.log, answer(room.members[0], before.id)).await;
    assert_eq!((said.seq, said.reply_to), (2, Some(before.id)));
    assert_eq!(room.everything(0).await.last().unwrap().reply_to, Some(before.id));
}

/// [`Appended::NotAMember`], one answer for both, and nothing is stored.
pub async fn strangers_and_unknown_conversations_are_refused(fixture: Fixture) {
    let room = Room::of(fixture, 1).await;
    let stranger = room.world.user().await;
    let nowhere = ConversationId::generate(&SystemIds);
    let said = room.says(0).await;
    for (sender, conversation) in [(stranger, room.conversation), (room.members[0], nowhere)] {
        assert_eq!(room.log.append(entry(conversation, sender)).await.unwrap(), Appended::NotAMember);
        assert_sees_nothing(&*room.log, sender, conversation, said.id).await;
    }
    assert_eq!(room.everything(0).await, [said]);
}

/// [`Appended::Closed`], and nothing is stored.
pub async fn a_closed_conversation_takes_nothing_new(fixture: Fixture) {
    let room = Room::of(fixture, 1).await;
    room.says(0).await;
    room.world.close(room.conversation).await;
    assert_eq!(room.log.append(room.entry_by(0)).await.unwrap(), Appended::Closed);
    assert_eq!(room.everything(0).await.len(), 1, "what was said stays readable, and nothing is added");
}

/// A client that missed the acknowledgement learns that its message is safe.
pub async fn a_retry_is_recognised_after_the_conversation_was_closed(fixture: Fixture) {
    let room = Room::of(fixture, 1).await;
    let first = room.entry_by(0);
    let said = stored(&*room.log, first.clone()).await;
    room.world.close(room.conversation).await;
    assert_eq!(room.log.append(retry(&first)).await.unwrap(), Appended::Repeat(said));
}

/// [`Appended::Blocked`] for either of them, whoever blocked whom, and nothing is stored.
pub async fn a_block_stops_both_of_a_direct_conversation_until_it_is_lifted(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    let (world, [one, other]) = (&room.world, [room.members[0], room.members[1]]);
    let direct = world.direct(one, other).await;
    stored(&*room.log, entry(direct, one)).await;
    for (blocker, blocked) in [(one, other), (other, one)] {
        world.block(blocker, blocked).await;
        for sender in [one, other] {
            assert_eq!(room.log.append(entry(direct, sender)).await.unwrap(), Appended::Blocked);
        }
        assert_eq!(room.log.position(one, direct).await.unwrap().expect("a member").last_seq, 1);
        world.unblock(blocker, blocked).await;
    }
    assert_eq!(stored(&*room.log, entry(direct, other)).await.seq, 2);
}

/// Groups go on, and so do direct conversations with others.
pub async fn a_block_stops_nothing_where_others_are(fixture: Fixture) {
    let room = Room::of(fixture, 3).await;
    let [one, other, third] = [room.members[0], room.members[1], room.members[2]];
    let direct = room.world.direct(one, third).await;
    room.world.block(one, other).await;
    for member in 0..3 {
        room.says(member).await;
    }
    assert_eq!(stored(&*room.log, entry(direct, one)).await.seq, 1);
    assert_eq!(stored(&*room.log, entry(direct, third)).await.seq, 2);
}

/// It was stored before the block, and the client may not know.
pub async fn a_retry_is_recognised_after_a_block(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    let direct = room.world.direct(room.members[0], room.members[1]).await;
    let first = entry(direct, room.members[0]);
    let said = stored(&*room.log, first.clone()).await;
    room.world.block(room.members[1], room.members[0]).await;
    assert_eq!(room.log.append(retry(&first)).await.unwrap(), Appended::Repeat(said));
}

/// However many are just sending: what is stored when the block returns is all there ever is.
pub async fn nothing_enters_a_direct_conversation_after_a_block(fixture: Fixture) {
    const MESSAGES: usize = 200;
    let room = Room::of(fixture, 2).await;
    let (one, other) = (room.members[0], room.members[1]);
    let direct = room.world.direct(one, other).await;
    let seen_at_block = std::sync::atomic::AtomicI64::new(-1);
    let last_seq = async || room.log.position(one, direct).await.unwrap().expect("a member").last_seq;
    let mut tasks: Vec<Pin<Box<dyn Future<Output = bool> + Send>>> = Vec::new();
    for n in 0..MESSAGES {
        let sender = if n % 2 == 0 { one } else { other };
        let (log, entry) = (&room.log, entry(direct, sender));
        tasks.push(Box::pin(
            async move { matches!(log.append(entry).await.unwrap(), Appended::Stored { .. }) },
        ));
        if n == MESSAGES / 4 {
            let (room, seen_at_block) = (&room, &seen_at_block);
            tasks.push(Box::pin(async move {
                room.world.block(other, one).await;
                let last = room.log.position(one, direct).await.unwrap().expect("a member").last_seq;
                seen_at_block.store(last, Ordering::SeqCst);
                false
            }));
        }
    }
    let stored = together(tasks).await.into_iter().filter(|stored| *stored).count();
    assert_eq!(last_seq().await, seen_at_block.load(Ordering::SeqCst), "something came after the block");
    assert_eq!(last_seq().await, i64::try_from(stored).unwrap());
}

// Membership

/// Someone who is not in a conversation at that moment sees nothing of it, their own words included.
pub async fn someone_removed_is_shut_out_of_everything(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    let by_leaver = room.entry_by(1);
    let said = stored(&*room.log, by_leaver.clone()).await;
    room.world.remove(room.conversation, room.members[1]).await;

    for attempt in [room.entry_by(1), retry(&by_leaver)] {
        assert_eq!(room.log.append(attempt).await.unwrap(), Appended::NotAMember);
    }
    assert_sees_nothing(&*room.log, room.members[1], room.conversation, said.id).await;
    assert_eq!(room.everything(0).await, [said], "those who stay still read what the leaver said");
}

/// Once a removal has returned, the next append finds it: a message is in the log before, or never.
pub async fn nothing_of_someone_removed_enters_after_the_removal(fixture: Fixture) {
    type Task<'a> = Pin<Box<dyn Future<Output = Vec<i64>> + 'a>>;
    let room = &Room::of(fixture, 2).await;
    let removed = &AtomicBool::new(false);
    let leaver = |pause: usize| async move {
        let mut said = Vec::new();
        for _ in 0..1_000 {
            let too_late = removed.load(Ordering::SeqCst);
            match room.log.append(room.entry_by(1)).await.unwrap() {
                Appended::Stored { seq, .. } => {
                    assert!(!too_late, "an append that began after the removal was stored");
                    said.push(seq);
                }
                Appended::NotAMember => return said,
                other => panic!("{other:?}"),
            }
            // Out of step with the others, so that the removal meets appends at every stage.
            for _ in 0..pause {
                room.position(0).await;
            }
        }
        panic!("still a member")
    };
    let removal = async move {
        for _ in 0..5 {
            room.says(0).await;
        }
        room.world.remove(room.conversation, room.members[1]).await;
        removed.store(true, Ordering::SeqCst);
        vec![room.position(0).await.last_seq]
    };
    let mut tasks: Vec<Task<'_>> = vec![Box::pin(removal)];
    tasks.extend((0..8).map(|pause| -> Task<'_> { Box::pin(leaver(pause)) }));
    let mut outcomes = together(tasks).await.into_iter();

    let last_seq_at_removal = outcomes.next().unwrap()[0];
    let mut acknowledged: Vec<_> = outcomes.flatten().collect();
    acknowledged.sort_unstable();
    let log = room.everything(0).await;
    let by_leaver: Vec<_> = log.iter().filter(|m| m.sender_id == room.members[1]).map(|m| m.seq).collect();
    assert_eq!(by_leaver, acknowledged, "the log is not what was acknowledged");
    assert!(by_leaver.iter().all(|seq| *seq <= last_seq_at_removal));
    assert!(log.iter().map(|m| m.seq).eq(1..=i64::try_from(log.len()).unwrap()));
}

/// Nobody sees an entry from before they joined.
pub async fn someone_added_later_sees_nothing_from_before(fixture: Fixture) {
    let mut room = Room::of(fixture, 1).await;
    let before = [room.says(0).await, room.says(0).await, room.says(0).await];
    room.members.push(room.world.user().await);
    room.world.add(room.conversation, room.members[1]).await;

    let position = room.position(1).await;
    assert_eq!((position.joined_seq, position.last_seq), (4, 3));
    assert_eq!(room.everything(1).await, []);
    assert_eq!((room.digest(1).await.last, room.digest(1).await.unread), (None, 0));
    assert_eq!(room.newest_of(1, &ids(&before)).await, None);

    let after = [room.says(0).await, room.says(0).await];
    for query in
        [HistoryQuery::Newest { offset: 0, size: size(100) }, HistoryQuery::Before(Anchor::Seq(6), size(100))]
    {
        assert_eq!(seqs(&room.history(1, query).await), [5, 4]);
    }
    assert_eq!(room.history(1, HistoryQuery::Before(Anchor::Message(after[0].id), size(9))).await, []);
    assert_eq!(room.history(1, HistoryQuery::Newest { offset: 2, size: size(9) }).await, []);
    for unreadable in &before {
        for query in [HistoryQuery::Before, HistoryQuery::After] {
            let query = query(Anchor::Message(unreadable.id), size(9));
            let page = room.log.history(room.members[1], room.conversation, &query).await.unwrap();
            assert_eq!(page, None, "an unreadable message is no anchor");
        }
        for target in [Anchor::Seq(unreadable.seq), Anchor::Message(unreadable.id)] {
            assert_eq!(room.try_advance(1, Mark::Read, target).await, None, "nor a target");
        }
    }
    let all: Vec<_> = before.iter().chain(&after).map(|m| m.id).collect();
    assert_eq!(room.newest_of(1, &all).await, Some(after[1].id));
    let digest = room.digest(1).await;
    assert_eq!((digest.last, digest.unread), (Some(after[1].clone()), 2));
}

/// Coming back does not open what was said meanwhile, nor what was said before.
pub async fn someone_who_comes_back_reads_from_then_on(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    room.says(1).await;
    room.world.remove(room.conversation, room.members[1]).await;
    room.says(0).await;
    room.world.add(room.conversation, room.members[1]).await;
    assert_eq!((room.everything(1).await, room.digest(1).await.unread), (vec![], 0));
    let next = room.says(0).await;
    assert_eq!((room.everything(1).await, room.digest(1).await.unread), (vec![next], 1));
    assert_eq!(room.says(1).await.seq, 4);
}

/// What an append answers names the membership that may receive it.
pub async fn the_members_version_moves_with_the_membership(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    let mut versions = Vec::new();
    for step in 0..3 {
        match step {
            0 => {}
            1 => room.world.remove(room.conversation, room.members[1]).await,
            _ => room.world.add(room.conversation, room.members[1]).await,
        }
        let Appended::Stored { members_version, .. } = room.log.append(room.entry_by(0)).await.unwrap()
        else {
            panic!("not stored")
        };
        assert_eq!(members_version, room.position(0).await.members_version);
        versions.push(members_version);
    }
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
}

// Events

/// An entry's event is stored together with it, as it is; an entry without one stores none.
pub async fn the_event_is_stored_once_with_its_entry(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    let entries: Vec<_> = (0..20)
        .map(|n| room.entry_by(n % 2))
        .map(
            |entry| {
                if entry.sender_id == room.members[0] { entry } else { NewEntry { event: None, ..entry } }
            },
        )
        .collect();
    together(entries.iter().map(|entry| stored(&*room.log, entry.clone()))).await;
    let mut events = room.sent_events().await;
    let mut expected: Vec<_> = entries.into_iter().filter_map(|entry| entry.event).collect();
    events.sort_unstable_by_key(|event| event.id);
    expected.sort_unstable_by_key(|event| event.id);
    assert_eq!(expected.len(), 10);
    assert_eq!(events, expected);
}

/// Together, or nothing.
pub async fn what_is_not_appended_stores_no_event(fixture: Fixture) {
    let room = Room::of(fixture, 1).await;
    let stranger = room.world.user().await;
    let first = room.entry_by(0);
    stored(&*room.log, first.clone()).await;
    let append = |entry| async { room.log.append(entry).await.unwrap() };
    assert!(matches!(append(retry(&first)).await, Appended::Repeat(_)));
    assert_eq!(append(NewEntry { fingerprint: [9; 16], ..retry(&first) }).await, Appended::Reused);
    assert_eq!(append(entry(room.conversation, stranger)).await, Appended::NotAMember);
    room.world.close(room.conversation).await;
    assert_eq!(append(room.entry_by(0)).await, Appended::Closed);

    let events = room.sent_events().await;
    assert_eq!(events.iter().map(|e| e.id).collect::<Vec<_>>(), [first.event.unwrap().id]);
}

/// With its message, once; with nothing else.
pub async fn a_flag_is_stored_with_its_message_and_not_without(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    let flagged = |entry: NewEntry| {
        let finding = Finding { kind: FindingKind::Spam, rule: "shouting" };
        NewEntry {
            flag: Some(NewFlag { id: ReportId::generate(&SystemIds), findings: vec![finding] }),
            ..entry
        }
    };
    let first = flagged(room.entry_by(0));
    // Those that share a commit are told apart.
    let others: Vec<_> = (0..20).map(|n| room.entry_by(n % 2)).collect();
    let all = std::iter::once(first.clone()).chain(others);
    for outcome in together(all.map(|entry| room.log.append(entry))).await {
        assert!(matches!(outcome.unwrap(), Appended::Stored { .. }));
    }
    assert!(matches!(room.log.append(flagged(retry(&first))).await.unwrap(), Appended::Repeat(_)));
    let stranger = room.world.user().await;
    let refused = room.log.append(flagged(entry(room.conversation, stranger))).await.unwrap();
    assert_eq!(refused, Appended::NotAMember);
    let flag = first.flag.as_ref().unwrap().id;
    assert_eq!(room.world.flags().await, [(flag, first.id)]);
}

/// By its sender, in its conversation, under its name.
pub async fn what_was_sent_is_known_by_its_name(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    let elsewhere = room.world.conversation(&room.members).await;
    let first = room.entry_by(0);
    let was_sent = async |member: usize, conversation, name: &ClientMessageId| {
        let asked = room.log.earlier(room.members[member], conversation, name, first.fingerprint);
        matches!(asked.await.unwrap(), Some(Appended::Repeat(_)))
    };
    assert!(!was_sent(0, room.conversation, &first.client_message_id).await);
    stored(&*room.log, first.clone()).await;
    assert!(was_sent(0, room.conversation, &first.client_message_id).await);
    assert!(!was_sent(1, room.conversation, &first.client_message_id).await);
    assert!(!was_sent(0, elsewhere, &first.client_message_id).await);
    assert!(!was_sent(0, room.conversation, &ClientMessageId::parse("another").unwrap()).await);
}

// Reading

/// Newest first; one entry more than the page holds, if there is one.
pub async fn the_newest_come_first_and_one_more_than_asked_for(fixture: Fixture) {
    let room = Room::of(fixture, 1).await;
    let newest = |offset, n| room.history(0, HistoryQuery::Newest { offset, size: size(n) });
    assert_eq!(newest(0, 2).await, []);
    for _ in 0..5 {
        room.says(0).await;
    }
    assert_eq!(seqs(&newest(0, 2).await), [5, 4, 3]);
    assert_eq!(seqs(&newest(0, 4).await), [5, 4, 3, 2, 1]);
    assert_eq!(seqs(&newest(0, 5).await), [5, 4, 3, 2, 1]);
    assert_eq!(seqs(&newest(2, 2).await), [3, 2, 1]);
    assert_eq!(seqs(&newest(3, 2).await), [2, 1]);
    assert_eq!(newest(5, 2).await, []);
}

/// Backwards from the anchor, which is left out.
pub async fn what_came_before_is_read_backwards(fixture: Fixture) {
    let room = Room::of(fixture, 1).await;
    let said = room.says_times(5).await;
    let before = |anchor, n| room.history(0, HistoryQuery::Before(anchor, size(n)));
    for seq in 1..=5 {
        let message = Anchor::Message(said[usize::try_from(seq - 1).unwrap()].id);
        assert_eq!(before(Anchor::Seq(seq), 2).await, before(message, 2).await);
    }
    assert_eq!(seqs(&before(Anchor::Seq(5), 2).await), [4, 3, 2]);
    assert_eq!(seqs(&before(Anchor::Seq(3), 2).await), [2, 1]);
    assert_eq!(before(Anchor::Seq(1), 2).await, []);
}

/// Forwards from the anchor, which is left out.
pub async fn what_came_after_is_read_forwards(fixture: Fixture) {
    let room = Room::of(fixture, 1).await;
    let said = room.says_times(5).await;
    let after = |anchor, n| room.history(0, HistoryQuery::After(anchor, size(n)));
    for seq in 1..=5 {
        let message = Anchor::Message(said[usize::try_from(seq - 1).unwrap()].id);
        assert_eq!(after(Anchor::Seq(seq), 2).await, after(message, 2).await);
    }
    assert_eq!(seqs(&after(Anchor::Seq(1), 2).await), [2, 3, 4]);
    assert_eq!(seqs(&after(Anchor::Seq(3), 2).await), [4, 5]);
    assert_eq!(after(Anchor::Seq(5), 2).await, []);
}

/// A client that has nothing resumes from 0, whenever it joined, and a number too high is no error.
pub async fn a_seq_is_a_number_and_need_not_be_in_the_log(fixture: Fixture) {
    let mut room = Room::of(fixture, 1).await;
    room.says_times(2).await;
    room.members.push(room.world.user().await);
    room.world.add(room.conversation, room.members[1]).await;
    room.says_times(2).await;
    for (member, readable) in [(0, vec![1, 2, 3, 4]), (1, vec![3, 4])] {
        let from_start = HistoryQuery::After(Anchor::Seq(0), size(9));
        assert_eq!(seqs(&room.history(member, from_start).await), readable);
        let past_the_end = HistoryQuery::After(Anchor::Seq(1_000), size(9));
        assert_eq!(room.history(member, past_the_end).await, []);
        let all = HistoryQuery::Before(Anchor::Seq(1_000), size(9));
        let backwards: Vec<_> = readable.into_iter().rev().collect();
        assert_eq!(seqs(&room.history(member, all).await), backwards);
        assert_eq!(room.history(member, HistoryQuery::Before(Anchor::Seq(0), size(9))).await, []);
    }
}

/// `None`: an anchor of another conversation, or of none, is not in the readable part of this one.
pub async fn an_anchor_from_elsewhere_is_refused(fixture: Fixture) {
    let room = Room::of(fixture, 1).await;
    room.says(0).await;
    let elsewhere = room.world.conversation(&room.members).await;
    let other = stored(&*room.log, entry(elsewhere, room.members[0])).await;
    for anchor in [other.id, MessageId::generate(&SystemIds)] {
        for query in [HistoryQuery::Before, HistoryQuery::After] {
            let query = query(Anchor::Message(anchor), size(9));
            let page = room.log.history(room.members[0], room.conversation, &query).await.unwrap();
            assert_eq!(page, None, "{query:?}");
        }
    }
}

/// Everyone who is in the conversation now, each with their marks.
pub async fn a_position_names_everyone_in_the_conversation(fixture: Fixture) {
    let room = Room::of(fixture, 3).await;
    let position = room.position(0).await;
    assert_eq!((position.joined_seq, position.last_seq), (1, 0));
    assert_eq!(users(&position.marks), room.members.iter().copied().collect());
    assert!(position.marks.iter().all(|m| (m.delivered_up_to, m.read_up_to) == (0, 0)));

    room.says_times(2).await;
    room.advance(1, Mark::Delivered, Anchor::Seq(2)).await;
    let position = room.position(0).await;
    assert_eq!(position.last_seq, 2);
    let marks = position.marks.iter().find(|m| m.user_id == room.members[1]).unwrap();
    assert_eq!((marks.delivered_up_to, marks.read_up_to), (2, 0));

    room.world.remove(room.conversation, room.members[2]).await;
    let stay = BTreeSet::from([room.members[0], room.members[1]]);
    assert_eq!(users(&room.position(0).await.marks), stay, "who is gone keeps no message unread");
    assert_eq!(users(&room.digest(0).await.marks), stay);
}

/// Not how far they have come; one's own marks stay.
pub async fn a_position_shows_nothing_of_the_other_behind_a_block(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    let (world, [one, other]) = (&room.world, [room.members[0], room.members[1]]);
    let direct = world.direct(one, other).await;
    world.block(one, other).await;
    for viewer in [one, other] {
        let marks = room.log.position(viewer, direct).await.unwrap().expect("a member").marks;
        assert_eq!(users(&marks), BTreeSet::from([viewer]));
        assert_eq!(
            users(&room.log.position(viewer, room.conversation).await.unwrap().unwrap().marks).len(),
            2
        );
    }
    world.unblock(one, other).await;
    assert_eq!(users(&room.log.position(one, direct).await.unwrap().unwrap().marks).len(), 2);
}

/// Whoever they are, wherever they have come to, and whether or not they may.
pub async fn of_many_who_come_back_at_once_each_gets_their_own(fixture: Fixture) {
    let room = Room::of(fixture, 3).await;
    let (log, stranger) = (&room.log, room.world.user().await);
    let other = room.world.conversation(&[room.members[0], stranger]).await;
    room.says_times(9).await;
    stored(&**log, entry(other, stranger)).await;
    let people = [room.members[0], room.members[1], room.members[2], stranger];
    let asked = (0..200_i64).map(|n| {
        (people[usize::try_from(n % 4).unwrap()], [room.conversation, other][usize::from(n % 3 == 0)], n % 11)
    });
    let answers = together(asked.map(async |(viewer, conversation, after)| {
        let query = HistoryQuery::After(Anchor::Seq(after), size(4));
        let position = log.position(viewer, conversation);
        let (position, missed) =
            (position.await.unwrap(), log.history(viewer, conversation, &query).await.unwrap());
        let moved = log
            .advance(viewer, conversation, Mark::Delivered, &Anchor::Seq(after), DateTime::UNIX_EPOCH)
            .await
            .unwrap();
        (viewer, conversation, after, position, missed, moved)
    }))
    .await;
    for (viewer, conversation, after, position, missed, moved) in answers {
        let last = if conversation == other { 1 } else { 9 };
        if (viewer == stranger) != (conversation == other) && viewer != room.members[0] {
            assert_eq!((position, missed, moved), (None, None, None), "{viewer} is no member");
            continue;
        }
        assert_eq!(position.expect("a member").last_seq, last);
        let missed: Vec<_> = missed.expect("a member").iter().map(|m| (m.conversation_id, m.seq)).collect();
        assert_eq!(
            missed,
            (after + 1..=last.min(after + 5)).map(|seq| (conversation, seq)).collect::<Vec<_>>()
        );
        assert_eq!(moved.map(|moved| moved.marks.user_id), (1..=last).contains(&after).then_some(viewer));
    }
}

// Marks

/// A target behind the mark changes nothing.
pub async fn marks_move_forward_and_never_back(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    let said = room.says_times(5).await;
    for mark in [Mark::Delivered, Mark::Read] {
        let there = room.advance(1, mark, Anchor::Seq(4)).await;
        assert!(there.moved, "{mark:?}");
        assert_eq!(there.message_id, said[3].id);
        for behind in [4, 2] {
            let again = room.advance(1, mark, Anchor::Seq(behind)).await;
            assert!(!again.moved, "{mark:?}");
            assert_eq!(again.marks, there.marks);
            assert_eq!(again.message_id, said[usize::try_from(behind - 1).unwrap()].id);
        }
        assert_eq!(room.marks(1).await, there.marks);
    }
    assert!(room.advance(1, Mark::Read, Anchor::Seq(5)).await.moved);
}

/// What is read has been delivered: `read_up_to <= delivered_up_to`. The reverse does not hold.
pub async fn reading_moves_both_marks(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    room.says_times(5).await;
    let steps = [
        (Mark::Delivered, 1, (1, 0)),
        (Mark::Read, 3, (3, 3)),
        (Mark::Delivered, 5, (5, 3)),
        (Mark::Read, 4, (5, 4)),
    ];
    for (mark, target, expected) in steps {
        let moved = room.advance(1, mark, Anchor::Seq(target)).await;
        assert!(moved.moved);
        assert_eq!((moved.marks.delivered_up_to, moved.marks.read_up_to), expected);
        assert_eq!(moved.marks.user_id, room.members[1]);
        assert_eq!(room.marks(1).await, moved.marks);
    }
}

/// A target may be a message.
pub async fn a_mark_can_be_moved_to_a_message(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    let said = room.says_times(3).await;
    let moved = room.advance(1, Mark::Read, Anchor::Message(said[1].id)).await;
    assert_eq!((moved.marks.read_up_to, moved.message_id, moved.unread), (2, said[1].id, 1));
}

/// `None` for a place the log has not reached, and for messages of other conversations or of none.
pub async fn a_target_that_is_not_in_the_conversation_is_refused(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    let before = room.marks(1).await;
    assert_eq!(room.try_advance(1, Mark::Read, Anchor::Seq(1)).await, None, "the log is empty");
    room.says_times(2).await;
    let elsewhere = room.world.conversation(&room.members).await;
    let other = stored(&*room.log, entry(elsewhere, room.members[0])).await;
    let targets = [
        Anchor::Seq(0),
        Anchor::Seq(-1),
        Anchor::Seq(3),
        Anchor::Seq(i64::MAX),
        Anchor::Message(other.id),
        Anchor::Message(MessageId::generate(&SystemIds)),
    ];
    for target in targets {
        for mark in [Mark::Delivered, Mark::Read] {
            assert_eq!(room.try_advance(1, mark, target).await, None, "{target:?}");
        }
    }
    assert_eq!(room.marks(1).await, before);
}

/// Messages by others after `read_up_to`; one's own are never unread.
pub async fn unread_counts_messages_by_others_after_the_mark(fixture: Fixture) {
    let room = Room::of(fixture, 3).await;
    for sender in [0, 1, 0, 2, 1] {
        room.says(sender).await;
    }
    assert_eq!(room.digest(1).await.unread, 3);
    for (read, unread) in [(1, 2), (2, 2), (3, 1), (4, 0), (5, 0)] {
        assert_eq!(room.advance(1, Mark::Read, Anchor::Seq(read)).await.unread, unread, "read up to {read}");
        assert_eq!(room.digest(1).await.unread, unread);
    }
    assert_eq!(room.advance(0, Mark::Delivered, Anchor::Seq(5)).await.unread, 3, "delivered is not read");
    assert_eq!(room.advance(1, Mark::Read, Anchor::Seq(1)).await.unread, 0, "counted from the mark");
}

/// A mark is one person's, in one conversation.
pub async fn marks_of_one_leave_those_of_others_alone(fixture: Fixture) {
    let room = Room::of(fixture, 3).await;
    let elsewhere = room.world.conversation(&room.members).await;
    room.says_times(3).await;
    stored(&*room.log, entry(elsewhere, room.members[0])).await;
    let others = (room.marks(0).await, room.marks(2).await);
    room.advance(1, Mark::Read, Anchor::Seq(3)).await;
    assert_eq!((room.marks(0).await, room.marks(2).await), others);
    let there = room.log.position(room.members[1], elsewhere).await.unwrap().unwrap();
    assert!(there.marks.iter().all(|m| m.user_id != room.members[1] || m.read_up_to == 0));
}

/// `moved` says whether this call moved it: whoever is told that hears it once.
pub async fn of_many_parallel_moves_to_one_place_one_moves(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    room.says_times(5).await;
    for (mark, target) in [(Mark::Delivered, 3), (Mark::Read, 5)] {
        let moves = together((0..30).map(|_| room.advance(1, mark, Anchor::Seq(target)))).await;
        assert_eq!(moves.iter().filter(|m| m.moved).count(), 1, "{mark:?}");
    }
}

/// Marks only move forward, in whatever order the moves arrive.
pub async fn marks_end_at_the_furthest_of_many_parallel_moves(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    room.says_times(50).await;
    // 37 and 50 have no common factor: every place is asked for once, in no order, the odd ones by reading.
    let asked = (0..50).map(|n| n * 37 % 50 + 1);
    let moves = together(asked.map(|target| {
        let mark = if target % 2 == 1 { Mark::Read } else { Mark::Delivered };
        let room = &room;
        async move { (mark, target, room.advance(1, mark, Anchor::Seq(target)).await) }
    }))
    .await;

    for (mark, target, Moved { marks, .. }) in moves {
        assert!(marks.delivered_up_to >= target, "{mark:?} {target} left {marks:?}");
        assert!(mark == Mark::Delivered || marks.read_up_to >= target, "{mark:?} {target} left {marks:?}");
        assert!(marks.read_up_to <= marks.delivered_up_to);
    }
    let end = room.marks(1).await;
    assert_eq!((end.delivered_up_to, end.read_up_to), (50, 49));
}

// Looking up

/// The newest of those that are in the conversation.
pub async fn the_newest_of_some_messages_is_found(fixture: Fixture) {
    let room = Room::of(fixture, 1).await;
    let said = room.says_times(4).await;
    let elsewhere = room.world.conversation(&room.members).await;
    let other = stored(&*room.log, entry(elsewhere, room.members[0])).await;
    let unknown = MessageId::generate(&SystemIds);
    assert_eq!(room.newest_of(0, &[said[2].id, said[0].id, said[1].id]).await, Some(said[2].id));
    assert_eq!(room.newest_of(0, &[other.id, said[0].id, unknown]).await, Some(said[0].id));
    assert_eq!(room.newest_of(0, &[other.id, unknown]).await, None);
    assert_eq!(room.newest_of(0, &[]).await, None);
}

/// One digest for each of the conversations that the viewer is in; the others are left out.
pub async fn digests_tell_the_state_of_each_conversation_of_the_viewer(fixture: Fixture) {
    let room = Room::of(fixture, 2).await;
    let viewer = room.members[1];
    let empty = room.world.conversation(&room.members).await;
    let foreign = room.world.conversation(&room.members[..1]).await;
    stored(&*room.log, entry(foreign, room.members[0])).await;
    room.says_times(3).await;
    let newest = room.says(1).await;
    room.advance(1, Mark::Read, Anchor::Seq(1)).await;

    let asked = [empty, room.conversation, foreign, ConversationId::generate(&SystemIds)];
    let digests = room.log.digests(viewer, &asked).await.unwrap();
    let digests: BTreeMap<_, _> = digests.into_iter().map(|d| (d.conversation_id, d)).collect();
    assert_eq!(digests.keys().copied().collect::<BTreeSet<_>>(), BTreeSet::from([room.conversation, empty]));
    for digest in digests.values() {
        assert_eq!(users(&digest.marks), room.members.iter().copied().collect());
    }
    let full = &digests[&room.conversation];
    assert_eq!((&full.last, full.unread), (&Some(newest), 2));
    assert_eq!(full.marks.iter().find(|m| m.user_id == viewer).unwrap().read_up_to, 1);
    let empty = &digests[&empty];
    assert_eq!((&empty.last, empty.unread), (&None, 0));
    assert_eq!(room.log.digests(viewer, &[]).await.unwrap(), []);
}

// What the cases are written in

/// A conversation under test. People are named by their place in `members`.
struct Room {
    log: std::sync::Arc<dyn MessageLog>,
    world: std::sync::Arc<dyn World>,
    conversation: ConversationId,
    members: Vec<UserId>,
}

impl Room {
    async fn of(Fixture { log, world }: Fixture, people: usize) -> Self {
        let mut members = Vec::new();
        for _ in 0..people {
            members.push(world.user().await);
        }
        let conversation = world.conversation(&members).await;
        Self { log, world, conversation, members }
    }

    fn entry_by(&self, member: usize) -> NewEntry {
        entry(self.conversation, self.members[member])
    }

    async fn says(&self, member: usize) -> StoredMessage {
        stored(&*self.log, self.entry_by(member)).await
    }

    /// The first member says so many things.
    async fn says_times(&self, times: usize) -> Vec<StoredMessage> {
        let mut said = Vec::new();
        for _ in 0..times {
            said.push(self.says(0).await);
        }
        said
    }

    async fn history(&self, member: usize, query: HistoryQuery) -> Vec<StoredMessage> {
        history(self, member, self.conversation, query).await
    }

    /// All that `member` can read, in order.
    async fn everything(&self, member: usize) -> Vec<StoredMessage> {
        let mut all: Vec<StoredMessage> = Vec::new();
        loop {
            let from = Anchor::Seq(all.last().map_or(0, |m| m.seq));
            let page = self.history(member, HistoryQuery::After(from, size(100))).await;
            let (page, more) = size(100).cut(page);
            all.extend(page);
            if !more {
                return all;
            }
        }
    }

    async fn position(&self, member: usize) -> Position {
        self.log.position(self.members[member], self.conversation).await.unwrap().expect("a member")
    }

    async fn marks(&self, member: usize) -> Marks {
        let marks = self.position(member).await.marks;
        marks.into_iter().find(|m| m.user_id == self.members[member]).expect("their own marks")
    }

    async fn try_advance(&self, member: usize, mark: Mark, target: Anchor) -> Option<Moved> {
        let later = at() + TimeDelta::minutes(1);
        self.log.advance(self.members[member], self.conversation, mark, &target, later).await.unwrap()
    }

    async fn advance(&self, member: usize, mark: Mark, target: Anchor) -> Moved {
        self.try_advance(member, mark, target).await.expect("a member and a target in the log")
    }

    async fn newest_of(&self, member: usize, messages: &[MessageId]) -> Option<MessageId> {
        self.log.newest_of(self.members[member], self.conversation, messages).await.unwrap()
    }

    async fn digest(&self, member: usize) -> Digest {
        let digests = self.log.digests(self.members[member], &[self.conversation]).await.unwrap();
        let [digest] = &*digests else { panic!("{} digests", digests.len()) };
        digest.clone()
    }

    async fn sent_events(&self) -> Vec<Event> {
        let mut events = self.world.events().await;
        events.retain(|event| event.kind == MessageOutsideHours::KIND);
        events
    }
}

pub(super) fn at() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::microseconds(123_456)
}

fn size(n: i64) -> PageSize {
    PageSize::parse(Some(n), 1).unwrap()
}

/// A message with a name of its own.
pub(super) fn entry(conversation: ConversationId, sender: UserId) -> NewEntry {
    let id = MessageId::generate(&SystemIds);
    let event = MessageOutsideHours {
        conversation_id: conversation,
        message_id: id,
        sender_id: sender,
        quiet: Quiet::Waits,
    };
    let name = ClientMessageId::parse(&SystemIds.uuid().to_string()).unwrap();
    NewEntry {
        header: Header::new(id, conversation, sender, name, at()),
        content: Some(Sealed::from_bytes(id.uuid().as_bytes().to_vec())),
        payload: None,
        fingerprint: [7; 16],
        event: Some(Event::new(&SystemIds, at(), &event)),
        flag: None,
        files: Vec::new(),
    }
}

/// The same message as the server meets it again: with another id, another sealing and another event.
fn retry(first: &NewEntry) -> NewEntry {
    let again = entry(first.conversation_id, first.sender_id);
    let header = Header { client_message_id: first.client_message_id.clone(), ..again.header };
    NewEntry { header, fingerprint: first.fingerprint, ..again }
}

pub(super) fn as_stored(entry: &NewEntry, seq: i64, number: i64) -> StoredMessage {
    let header = Header { seq, number, ..entry.header.clone() };
    StoredMessage { header, content: entry.content.clone(), payload: entry.payload.clone() }
}

pub(super) async fn stored(log: &dyn MessageLog, entry: NewEntry) -> StoredMessage {
    match log.append(entry.clone()).await.unwrap() {
        Appended::Stored { seq, number, .. } => as_stored(&entry, seq, number),
        other => panic!("not stored: {other:?}"),
    }
}

async fn history(
    room: &Room,
    member: usize,
    conversation: ConversationId,
    query: HistoryQuery,
) -> Vec<StoredMessage> {
    room.log.history(room.members[member], conversation, &query).await.unwrap().expect("a readable anchor")
}

/// Asks everything that can be asked about `conversation` and expects no answer.
async fn assert_sees_nothing(
    log: &dyn MessageLog,
    viewer: UserId,
    conversation: ConversationId,
    message: MessageId,
) {
    for query in [
        HistoryQuery::Newest { offset: 0, size: size(9) },
        HistoryQuery::Before(Anchor::Seq(9), size(9)),
        HistoryQuery::After(Anchor::Seq(0), size(9)),
        HistoryQuery::After(Anchor::Message(message), size(9)),
    ] {
        assert_eq!(log.history(viewer, conversation, &query).await.unwrap(), None);
    }
    assert_eq!(log.position(viewer, conversation).await.unwrap(), None);
    for target in [Anchor::Seq(1), Anchor::Message(message)] {
        assert_eq!(log.advance(viewer, conversation, Mark::Read, &target, at()).await.unwrap(), None);
    }
    assert_eq!(log.newest_of(viewer, conversation, &[message]).await.unwrap(), None);
    assert_eq!(log.digests(viewer, &[conversation]).await.unwrap(), []);
}

fn seqs(messages: &[StoredMessage]) -> Vec<i64> {
    messages.iter().map(|m| m.seq).collect()
}

fn ids(messages: &[StoredMessage]) -> Vec<MessageId> {
    messages.iter().map(|m| m.id).collect()
}

fn users(marks: &[Marks]) -> BTreeSet<UserId> {
    marks.iter().map(|m| m.user_id).collect()
}

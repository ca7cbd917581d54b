//! What every [`ConversationStore`] MUST do, one case each. Run them all with
//! [`conversation_store_conformance!`](crate::conversation_store_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use alivio_kernel::ids::{ConsultationId, ConversationId, InvitationLinkId, UserId};
use alivio_kernel::{AuditEntry, DomainEvent, Effects, Event, PageSize, Sealed, SystemIds};
use chrono::{DateTime, TimeDelta, Utc};

use alivio_kernel::testing::together;

use super::{Fixture, World};
use crate::{
    Audience, Change, Conversation, ConversationCreated, ConversationStore, ConversationUpdated, Created,
    Error, IdempotencyKey, Inbox, InboxAfter, InboxFilter, InboxPage, InvitationLink, Kind, LinkStore,
    Metadata, NewConversation, NewDetails, Ordering, Participant, ParticipantAdded, ParticipantRemoved,
    ParticipantRole, Personal, PersonalChange, Priority, Purpose, Settings, StoredConversation, StoredLabels,
    Versions,
};

/// Tests your [`ConversationStore`]: one `#[tokio::test]` for every case in
/// [`testing::conversation_store`].
///
/// `$fresh` names an `async fn() -> alivio_conversations::testing::Fixture` that gives each case an empty,
/// isolated instance.
///
/// [`ConversationStore`]: crate::ConversationStore
/// [`testing::conversation_store`]: crate::testing::conversation_store
#[macro_export]
macro_rules! conversation_store_conformance {
    ($fresh:expr) => {
        mod conversation_store_conformance {
            use super::*;
            $crate::conversation_store_conformance! { @cases $fresh;
                what_was_created_reads_back_unchanged
                only_members_find_and_list_it
                two_people_have_one_direct_conversation
                of_many_parallel_direct_conversations_of_two_people_one_is_stored
                direct_conversations_of_other_pairs_are_independent
                the_same_people_may_have_many_groups
                a_repeated_key_answers_what_it_made
                of_many_parallel_requests_with_one_key_one_is_stored
                a_key_belongs_to_its_creator
                a_key_used_for_something_else_stores_nothing
                a_retry_of_a_direct_conversation_is_a_repeat
                of_parallel_retries_of_a_direct_conversation_one_is_stored_and_the_others_repeat
                the_event_of_a_creation_is_stored_with_it
                the_most_recently_changed_comes_first
                the_list_is_cut_and_one_more_than_asked_for
                a_page_starts_after_the_last_one_and_skips_nothing
                the_list_can_be_of_one_kind
                someone_added_is_in_and_reads_what_comes_next
                someone_removed_is_out
                someone_who_comes_back_reads_from_then_on
                adding_someone_who_is_in_it_changes_nothing
                changes_on_an_old_version_are_stale_and_store_nothing
                of_many_parallel_changes_on_one_version_one_succeeds
                parallel_changes_that_try_again_all_succeed_and_the_version_only_grows
                someone_added_by_many_at_once_is_added_once
                the_audience_is_everyone_in_it
                those_who_have_left_are_remembered
                a_change_of_details_is_read_back
                closing_is_remembered_and_undone
                of_many_parallel_changes_of_details_on_one_version_one_succeeds
                two_moderators_who_demote_each_other_leave_one
                what_someone_keeps_is_theirs_alone
                someone_who_comes_back_keeps_nothing_of_before
                the_pinned_stand_first_page_by_page
                every_order_goes_through_all_once
                every_filter_finds_what_it_names
                what_is_unread_is_told_for_each_conversation
                a_link_reads_back_and_is_withdrawn
                a_link_lets_in_no_more_than_it_is_for
                a_link_that_is_not_good_lets_nobody_in
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::conversation_store::$case($fresh().await).await;
            }
        )*
    };
}

// Creating

/// Every field survives, the sealed texts byte for byte.
pub async fn what_was_created_reads_back_unchanged(fixture: Fixture) {
    let scene = Scene::of(fixture, 3).await;
    let mut numbers = BTreeSet::new();
    for kind in Kind::ALL {
        let people = if kind == Kind::Direct { 2 } else { 3 };
        let new = NewConversation {
            title: (kind != Kind::Direct).then(|| Sealed::from_bytes((0..=u8::MAX).collect())),
            description: (kind == Kind::Emergency).then(|| Sealed::from_bytes(vec![0xff; 4_000])),
            ..scene.draft(kind, &scene.people[..people])
        };
        assert_eq!(scene.create(&new).await.unwrap(), Created::New);
        let found = scene.find(0, new.id).await.unwrap();
        assert!(numbers.insert(found.conversation.number), "two conversations have one number");
        let participants = new.participants.iter().map(|(user_id, role)| Participant {
            user_id: *user_id,
            role: *role,
            joined_at: at(0),
            joined_seq: 1,
        });
        let expected = StoredConversation {
            conversation: Conversation {
                id: new.id,
                number: found.conversation.number,
                kind,
                purpose: new.purpose,
                settings: new.settings,
                title: None,
                description: None,
                participants: participants.collect(),
                created_by: scene.people[0],
                created_at: at(0),
                updated_at: at(0),
                metadata: new.metadata.clone(),
                is_active: true,
                expires_at: new.expires_at,
                closed: None,
                mine: Personal::default(),
                last_seq: 0,
                message_count: 0,
                members_version: found.conversation.members_version,
                details_version: found.conversation.details_version,
            },
            title: new.title,
            description: new.description,
            labels: new.labels.sealed,
            closed_reason: None,
        };
        assert_eq!(sorted(found.clone()), sorted(expected));
        assert_eq!(scene.list(0, query(1)).await.len(), numbers.len().min(2));
        assert!(scene.list(0, query(9)).await.into_iter().any(|c| sorted(c) == sorted(found.clone())));
    }
}

/// Someone who is not in it learns nothing, not even that it exists.
pub async fn only_members_find_and_list_it(fixture: Fixture) {
    let scene = Scene::of(fixture, 3).await;
    let group = scene.group(&scene.people[..2], 0).await;
    for member in [0, 1] {
        assert!(scene.find(member, group).await.is_some());
        assert_eq!(scene.listed(member, query(9)).await, [group]);
    }
    assert_eq!(scene.find(2, group).await, None);
    assert_eq!(scene.listed(2, query(9)).await, []);
    assert_eq!(scene.find(0, ConversationId::generate(&SystemIds)).await, None);
}

/// Two people MUST NOT get a second direct conversation, whoever asks.
pub async fn two_people_have_one_direct_conversation(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let first = scene.draft(Kind::Direct, &scene.people);
    assert_eq!(scene.create(&first).await.unwrap(), Created::New);
    let other_side = [scene.people[1], scene.people[0]];
    for people in [&scene.people[..], &other_side] {
        let again = scene.draft(Kind::Direct, people);
        assert_eq!(scene.create(&again).await.unwrap(), Created::DirectExists(first.id));
        assert_eq!(scene.find(0, again.id).await, None);
    }
    assert_eq!(scene.listed(0, query(9)).await, [first.id]);
    assert_eq!(scene.events::<ConversationCreated>().await.len(), 1);
}

/// Two people MUST NOT get a second direct conversation, however many ask at once.
pub async fn of_many_parallel_direct_conversations_of_two_people_one_is_stored(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let sides = [[scene.people[0], scene.people[1]], [scene.people[1], scene.people[0]]];
    let asked: Vec<_> = (0..200).map(|n| scene.draft(Kind::Direct, &sides[n % 2])).collect();
    let winner = scene.race(&asked, Created::DirectExists).await;
    assert_eq!(scene.listed(0, query(9)).await, [winner]);
    assert_eq!(scene.listed(1, query(9)).await, [winner]);
    assert_eq!(scene.find(0, winner).await.unwrap().conversation.participants.len(), 2);
}

/// It is the pair that is unique.
pub async fn direct_conversations_of_other_pairs_are_independent(fixture: Fixture) {
    let scene = Scene::of(fixture, 6).await;
    let pairs = (0..6).flat_map(|a| (0..a).map(move |b| (a, b)));
    let asked: Vec<_> =
        pairs.map(|(a, b)| scene.draft(Kind::Direct, &[scene.people[a], scene.people[b]])).collect();
    for created in together(asked.iter().map(|new| scene.create(new))).await {
        assert_eq!(created.unwrap(), Created::New);
    }
    assert_eq!(scene.listed(0, query(9)).await.len(), 5);
}

/// Only direct conversations are one per pair.
pub async fn the_same_people_may_have_many_groups(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    for kind in Kind::ALL.into_iter().chain([Kind::Group]) {
        assert_eq!(scene.create(&scene.draft(kind, &scene.people)).await.unwrap(), Created::New);
    }
    assert_eq!(scene.listed(1, query(9)).await.len(), 5);
}

/// One creator's key MUST NOT make two.
pub async fn a_repeated_key_answers_what_it_made(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let first = keyed(scene.draft(Kind::Group, &scene.people), 7);
    assert_eq!(scene.create(&first).await.unwrap(), Created::New);
    for _ in 0..3 {
        let again = keyed(scene.draft(Kind::Group, &scene.people), 7);
        assert_eq!(scene.create(&again).await.unwrap(), Created::Repeat(first.id));
        assert_eq!(scene.find(0, again.id).await, None);
    }
    assert_eq!(scene.listed(0, query(9)).await, [first.id]);
    assert_eq!(scene.events::<ConversationCreated>().await.len(), 1);
}

/// One creator's key MUST NOT make two, however many ask at once.
pub async fn of_many_parallel_requests_with_one_key_one_is_stored(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let asked: Vec<_> = (0..50).map(|_| keyed(scene.draft(Kind::Group, &scene.people), 7)).collect();
    let winner = scene.race(&asked, Created::Repeat).await;
    assert_eq!(scene.listed(0, query(9)).await, [winner]);
}

/// What another creator calls their request is their business.
pub async fn a_key_belongs_to_its_creator(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let other_side = [scene.people[1], scene.people[0]];
    for people in [&scene.people[..], &other_side] {
        let new = keyed(scene.draft(Kind::Group, people), 7);
        assert_eq!(scene.create(&new).await.unwrap(), Created::New);
    }
}

/// MUST answer [`Error::KeyReused`] when the key's fingerprint differs from the stored one.
pub async fn a_key_used_for_something_else_stores_nothing(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let first = keyed(scene.draft(Kind::Group, &scene.people), 7);
    assert_eq!(scene.create(&first).await.unwrap(), Created::New);
    for kind in [Kind::Group, Kind::Direct] {
        let other = keyed(scene.draft(kind, &scene.people), 9);
        assert!(matches!(scene.create(&other).await, Err(Error::KeyReused)));
        assert_eq!(scene.find(0, other.id).await, None);
    }
    assert_eq!(scene.listed(0, query(9)).await, [first.id]);
    assert_eq!(scene.events::<ConversationCreated>().await.len(), 1);
    let direct = scene.draft(Kind::Direct, &scene.people);
    assert_eq!(scene.create(&direct).await.unwrap(), Created::New, "the pair was not used up either");
}

/// A client that missed the answer gets it, rather than a conflict with its own conversation.
pub async fn a_retry_of_a_direct_conversation_is_a_repeat(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let first = keyed(scene.draft(Kind::Direct, &scene.people), 7);
    assert_eq!(scene.create(&first).await.unwrap(), Created::New);
    let retry = keyed(scene.draft(Kind::Direct, &scene.people), 7);
    assert_eq!(scene.create(&retry).await.unwrap(), Created::Repeat(first.id));
    let without_key = scene.draft(Kind::Direct, &scene.people);
    assert_eq!(scene.create(&without_key).await.unwrap(), Created::DirectExists(first.id));
}

/// The same, when the retries do not wait for each other.
pub async fn of_parallel_retries_of_a_direct_conversation_one_is_stored_and_the_others_repeat(
    fixture: Fixture,
) {
    let scene = Scene::of(fixture, 2).await;
    let asked: Vec<_> = (0..50).map(|_| keyed(scene.draft(Kind::Direct, &scene.people), 7)).collect();
    let winner = scene.race(&asked, Created::Repeat).await;
    assert_eq!(scene.listed(1, query(9)).await, [winner]);
}

/// State and event together.
pub async fn the_event_of_a_creation_is_stored_with_it(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let new = scene.draft(Kind::Group, &scene.people);
    let event = created(&new);
    assert_eq!(scene.store.create(&new, event.clone()).await.unwrap(), Created::New);
    assert_eq!(scene.events::<ConversationCreated>().await, [event]);
}

// Listing

/// Messages and changes of membership count as changes.
pub async fn the_most_recently_changed_comes_first(fixture: Fixture) {
    let scene = Scene::of(fixture, 3).await;
    let two = &scene.people[..2];
    let [a, b, c] = [scene.group(two, 0).await, scene.group(two, 2).await, scene.group(two, 1).await];
    assert_eq!(scene.listed(0, query(9)).await, [b, c, a]);
    scene.world.message(c, scene.people[1], at(3)).await;
    assert_eq!(scene.listed(0, query(9)).await, [c, b, a]);
    scene.add(a, 2, 4).await.unwrap();
    assert_eq!(scene.listed(0, query(9)).await, [a, c, b]);
    scene.remove(b, 1, 5).await.unwrap();
    assert_eq!(scene.listed(0, query(9)).await, [b, a, c]);
    for (id, changed) in [(c, 3), (a, 4), (b, 5)] {
        assert_eq!(scene.find(0, id).await.unwrap().conversation.updated_at, at(changed));
    }
}

/// One more than the page holds, if there is one; an offset skips.
pub async fn the_list_is_cut_and_one_more_than_asked_for(fixture: Fixture) {
    let scene = Scene::of(fixture, 1).await;
    let mut groups = Vec::new();
    for minutes in 0..5 {
        groups.insert(0, scene.group(&scene.people, minutes).await);
    }
    assert_eq!(scene.listed(0, query(2)).await, groups[..3]);
    assert_eq!(scene.listed(0, query(4)).await, groups);
    assert_eq!(scene.listed(0, query(5)).await, groups);
    assert_eq!(scene.listed(0, InboxPage { offset: 2, ..query(2) }).await, groups[2..]);
    assert_eq!(scene.listed(0, InboxPage { offset: 4, ..query(2) }).await, groups[4..]);
    assert_eq!(scene.listed(0, InboxPage { offset: 5, ..query(2) }).await, []);
}

/// Conversations that changed in the same microsecond are neither skipped nor repeated.
pub async fn a_page_starts_after_the_last_one_and_skips_nothing(fixture: Fixture) {
    let scene = Scene::of(fixture, 1).await;
    let mut groups = BTreeSet::new();
    for minutes in [0, 1, 1, 1, 1, 2, 2] {
        groups.insert(scene.group(&scene.people, minutes).await);
    }
    let mut seen: Vec<Conversation> = Vec::new();
    let mut after = None;
    loop {
        let (page, more) = size(2).cut(scene.list(0, InboxPage { after, ..query(2) }).await);
        seen.extend(page.into_iter().map(|stored| stored.conversation));
        let last = seen.last().unwrap();
        after = Some(InboxAfter { is_pinned: false, at: last.updated_at, id: last.id });
        if !more {
            break;
        }
    }
    assert!(seen.is_sorted_by(|a, b| a.updated_at >= b.updated_at));
    assert_eq!(seen.len(), 7);
    assert_eq!(seen.iter().map(|c| c.id).collect::<BTreeSet<_>>(), groups);
    let beyond = InboxPage { after, ..query(2) };
    assert_eq!(scene.listed(0, beyond).await, []);
}

/// Only of the kind asked for, cut after that.
pub async fn the_list_can_be_of_one_kind(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    for kind in Kind::ALL {
        for _ in 0..if kind == Kind::Direct { 1 } else { 3 } {
            scene.create(&scene.draft(kind, &scene.people)).await.unwrap();
        }
    }
    for kind in Kind::ALL {
        let page =
            scene.list(1, filtered(1, InboxFilter { kind: Some(kind), ..InboxFilter::default() })).await;
        assert_eq!(page.len(), if kind == Kind::Direct { 1 } else { 2 });
        assert!(page.iter().all(|c| c.conversation.kind == kind));
    }
}

// Membership

/// From now on they read what comes next; they MUST NOT read what came before.
pub async fn someone_added_is_in_and_reads_what_comes_next(fixture: Fixture) {
    let scene = Scene::of(fixture, 3).await;
    let group = scene.group(&scene.people[..2], 0).await;
    for minutes in 1..=3 {
        scene.world.message(group, scene.people[0], at(minutes)).await;
    }
    let before = scene.find(0, group).await.unwrap().conversation;
    assert_eq!((before.last_seq, before.message_count), (3, 3));
    scene.add(group, 2, 9).await.unwrap();

    let found = scene.find(2, group).await.expect("they are in it").conversation;
    assert_eq!(scene.listed(2, query(9)).await, [group]);
    assert!(found.members_version > before.members_version);
    let joined = *found.participant(scene.people[2]).unwrap();
    let expected = Participant {
        user_id: scene.people[2],
        role: ParticipantRole::Member,
        joined_at: at(9),
        joined_seq: 4,
    };
    assert_eq!(joined, expected);
    assert!(
        before.participants.iter().all(|p| found.participants.contains(p)),
        "the others stay as they are"
    );
    let [event] = &*scene.events::<ParticipantAdded>().await else { panic!("not one event") };
    assert_eq!(event.read::<ParticipantAdded>().unwrap().user_id, scene.people[2]);
}

/// Leaving or being removed ends all access.
pub async fn someone_removed_is_out(fixture: Fixture) {
    let scene = Scene::of(fixture, 3).await;
    let group = scene.group(&scene.people, 0).await;
    let before = scene.find(0, group).await.unwrap().conversation;
    scene.remove(group, 1, 1).await.unwrap();

    assert_eq!(scene.find(1, group).await, None);
    assert_eq!(scene.listed(1, query(9)).await, []);
    let after = scene.find(0, group).await.unwrap().conversation;
    assert!(after.members_version > before.members_version);
    assert_eq!(members(&after), BTreeSet::from([scene.people[0], scene.people[2]]));
    let [event] = &*scene.events::<ParticipantRemoved>().await else { panic!("not one event") };
    assert_eq!(event.read::<ParticipantRemoved>().unwrap().user_id, scene.people[1]);
}

/// Coming back opens neither what was said meanwhile nor what was said before, and gives no old role back.
pub async fn someone_who_comes_back_reads_from_then_on(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let mut new = scene.draft(Kind::Group, &scene.people);
    new.participants[1].1 = ParticipantRole::Moderator;
    scene.create(&new).await.unwrap();
    scene.world.message(new.id, scene.people[1], at(1)).await;
    scene.remove(new.id, 1, 2).await.unwrap();
    scene.world.message(new.id, scene.people[0], at(3)).await;
    scene.add(new.id, 1, 4).await.unwrap();

    let found = scene.find(1, new.id).await.unwrap().conversation;
    let expected = Participant {
        user_id: scene.people[1],
        role: ParticipantRole::Member,
        joined_at: at(4),
        joined_seq: 3,
    };
    assert_eq!(*found.participant(scene.people[1]).unwrap(), expected);
    assert_eq!(found.participants.len(), 2);
}

/// Not the version, not their place, and nobody is told.
pub async fn adding_someone_who_is_in_it_changes_nothing(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let group = scene.group(&scene.people, 0).await;
    scene.world.message(group, scene.people[0], at(1)).await;
    let before = scene.find(0, group).await.unwrap();
    for member in [0, 1] {
        scene.add(group, member, 2).await.unwrap();
    }
    assert_eq!(sorted(scene.find(0, group).await.unwrap()), sorted(before));
    assert_eq!(scene.events::<ParticipantAdded>().await, []);
}

/// MUST answer [`Error::Stale`] unless the members version still is the one given.
pub async fn changes_on_an_old_version_are_stale_and_store_nothing(fixture: Fixture) {
    let scene = Scene::of(fixture, 4).await;
    let group = scene.group(&scene.people[..3], 0).await;
    let old = scene.version(group).await;
    scene.remove(group, 2, 1).await.unwrap();
    let before = scene.find(0, group).await.unwrap();

    for version in [old, old + 1_000] {
        assert!(matches!(scene.add_at(version, group, 3, 2).await, Err(Error::Stale)));
        assert!(matches!(scene.remove_at(version, group, 1, 2).await, Err(Error::Stale)));
    }
    let nowhere = ConversationId::generate(&SystemIds);
    assert!(matches!(scene.add_at(old, nowhere, 3, 2).await, Err(Error::Stale)));
    assert!(matches!(scene.remove_at(old, nowhere, 1, 2).await, Err(Error::Stale)));

    assert_eq!(sorted(scene.find(0, group).await.unwrap()), sorted(before));
    assert_eq!(scene.find(3, group).await, None);
    assert_eq!(scene.events::<ParticipantAdded>().await, []);
    assert_eq!(scene.events::<ParticipantRemoved>().await.len(), 1);
}

/// Races end in [`Error::Stale`].
pub async fn of_many_parallel_changes_on_one_version_one_succeeds(fixture: Fixture) {
    let scene = Scene::of(fixture, 51).await;
    let group = scene.group(&scene.people[..1], 0).await;
    let version = scene.version(group).await;
    let outcomes = together((1..51).map(|person| scene.add_at(version, group, person, 1))).await;

    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
    assert!(outcomes.iter().all(|o| matches!(o, Ok(()) | Err(Error::Stale))), "{outcomes:?}");
    let after = scene.find(0, group).await.unwrap().conversation;
    assert_eq!(after.participants.len(), 2);
    assert!(after.members_version > version);
    assert_eq!(scene.events::<ParticipantAdded>().await.len(), 1);
}

/// The version counts changes: whoever holds a lower one knows that it is old.
pub async fn parallel_changes_that_try_again_all_succeed_and_the_version_only_grows(fixture: Fixture) {
    let scene = &Scene::of(fixture, 21).await;
    let group = scene.group(&scene.people[..11], 0).await;
    let seen = together((1..21).map(|person| async move {
        let mut seen = Vec::new();
        for _ in 0..1_000 {
            let version = scene.version(group).await;
            seen.push(version);
            // The first ten leave, the others come.
            let outcome = if person <= 10 {
                scene.remove_at(version, group, person, 1).await
            } else {
                scene.add_at(version, group, person, 1).await
            };
            match outcome {
                Ok(()) => return seen,
                Err(Error::Stale) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        panic!("always stale")
    }))
    .await;

    assert!(seen.iter().all(|versions| versions.is_sorted()), "the version went back");
    let changed_at: BTreeSet<_> = seen.iter().filter_map(|versions| versions.last()).collect();
    assert_eq!(changed_at.len(), 20, "two changes were made on one version");
    let after = scene.find(0, group).await.unwrap().conversation;
    assert!(changed_at.into_iter().all(|version| after.members_version > *version));
    let expected = scene.people[..1].iter().chain(&scene.people[11..]).copied().collect();
    assert_eq!(members(&after), expected);
    assert_eq!(scene.events::<ParticipantAdded>().await.len(), 10);
    assert_eq!(scene.events::<ParticipantRemoved>().await.len(), 10);
}

/// Those who come second find them in it already, or the version changed.
pub async fn someone_added_by_many_at_once_is_added_once(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let group = scene.group(&scene.people[..1], 0).await;
    let version = scene.version(group).await;
    let outcomes = together((0..50).map(|_| scene.add_at(version, group, 1, 1))).await;

    assert!(outcomes.iter().any(Result::is_ok));
    assert!(outcomes.iter().all(|o| matches!(o, Ok(()) | Err(Error::Stale))), "{outcomes:?}");
    assert_eq!(scene.find(0, group).await.unwrap().conversation.participants.len(), 2);
    assert_eq!(scene.events::<ParticipantAdded>().await.len(), 1);
}

/// The members, as of the version that says so. `None` if there is no such conversation.
pub async fn the_audience_is_everyone_in_it(fixture: Fixture) {
    let scene = Scene::of(fixture, 3).await;
    let group = scene.group(&scene.people[..2], 0).await;
    for (step, expected) in [vec![0, 1], vec![0, 1, 2], vec![0, 2]].into_iter().enumerate() {
        match step {
            0 => {}
            1 => scene.add(group, 2, 1).await.unwrap(),
            _ => scene.remove(group, 1, 2).await.unwrap(),
        }
        let audience = scene.audience(group).await;
        let expected: BTreeSet<_> = expected.into_iter().map(|n| scene.people[n]).collect();
        assert_eq!(audience.members.len(), expected.len());
        assert_eq!(audience.members.into_iter().collect::<BTreeSet<_>>(), expected);
        let found = scene.find(0, group).await.unwrap().conversation;
        assert_eq!(audience.members_version, found.members_version);
    }
    assert_eq!(scene.store.audience(ConversationId::generate(&SystemIds)).await.unwrap(), None);
}

/// Until they come back; and nobody of another conversation.
pub async fn those_who_have_left_are_remembered(fixture: Fixture) {
    let scene = Scene::of(fixture, 3).await;
    let (group, other) = (scene.group(&scene.people, 0).await, scene.group(&scene.people, 0).await);
    scene.remove(other, 2, 1).await.unwrap();
    let former = async || scene.store.former(group).await.unwrap();
    assert_eq!(former().await, []);
    scene.remove(group, 1, 1).await.unwrap();
    assert_eq!(former().await, [scene.people[1]]);
    scene.remove(group, 2, 2).await.unwrap();
    assert_eq!(
        former().await.into_iter().collect::<BTreeSet<_>>(),
        BTreeSet::from([scene.people[1], scene.people[2]])
    );
    scene.add(group, 1, 3).await.unwrap();
    assert_eq!(former().await, [scene.people[2]]);
    assert_eq!(scene.store.former(ConversationId::generate(&SystemIds)).await.unwrap(), []);
}

// Changing

/// Every field of the details survives; tags are found by their new digests.
pub async fn a_change_of_details_is_read_back(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let group = scene.group(&scene.people, 0).await;
    let before = scene.find(0, group).await.unwrap().conversation;
    let details = NewDetails {
        title: Some(Sealed::from_bytes(vec![1])),
        description: Some(Sealed::from_bytes(vec![2])),
        settings: Settings { joinable: true, ..Settings::default() },
        metadata: Metadata {
            related_appointment_id: Some(ConsultationId::generate(&SystemIds)),
            related_patient_id: Some(scene.people[1]),
            priority: Priority::Urgent,
            ..Metadata::default()
        },
        labels: StoredLabels { sealed: Some(Sealed::from_bytes(vec![3])), tags: vec![[9; 16]] },
        expires_at: Some(at(500)),
    };
    let change = Change::Details(Box::new(details.clone()), Some(false));
    scene.change(group, before.versions(), 0, &change, 5).await.unwrap();

    let after = scene.find(0, group).await.unwrap();
    assert_eq!(
        (after.title, after.description, after.labels),
        (details.title, details.description, details.labels.sealed)
    );
    let conversation = after.conversation;
    assert_eq!((conversation.settings, &conversation.metadata), (details.settings, &details.metadata));
    assert_eq!((conversation.expires_at, conversation.updated_at), (Some(at(500)), at(5)));
    assert_eq!(conversation.members_version, before.members_version);
    assert!(conversation.details_version > before.details_version);
    assert!(!conversation.mine.notifies(at(6)));
    assert!(scene.find(1, group).await.unwrap().conversation.mine.notifies(at(6)), "only whoever said so");
    let tagged = |tag| filtered(9, InboxFilter { tags: vec![[tag; 16]], ..InboxFilter::default() });
    assert_eq!(scene.listed(0, tagged(9)).await, [group]);
    assert_eq!(scene.listed(0, tagged(1)).await, []);
    assert_eq!(scene.events::<ConversationUpdated>().await.len(), 1);
}

/// Who closed it, when and why.
pub async fn closing_is_remembered_and_undone(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let group = scene.group(&scene.people, 0).await;
    let reason = Some(Sealed::from_bytes(vec![5]));
    scene.change(group, scene.versions(group).await, 0, &Change::Close(reason.clone()), 5).await.unwrap();
    let closed = scene.find(1, group).await.unwrap();
    assert_eq!(closed.closed_reason, reason);
    assert!(!closed.conversation.is_active);
    let by = closed.conversation.closed.unwrap();
    assert_eq!((by.at, by.by), (at(5), scene.people[0]));
    scene.change(group, scene.versions(group).await, 0, &Change::Reopen, 6).await.unwrap();
    let reopened = scene.find(1, group).await.unwrap();
    assert!(reopened.conversation.is_active && reopened.conversation.closed.is_none());
    assert_eq!(reopened.closed_reason, None);
}

/// The others MUST get [`Error::Stale`] and store nothing.
pub async fn of_many_parallel_changes_of_details_on_one_version_one_succeeds(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let group = scene.group(&scene.people, 0).await;
    let versions = scene.versions(group).await;
    let outcomes = together((0..50).map(|_| scene.change(group, versions, 0, &Change::Close(None), 1))).await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
    assert!(outcomes.iter().all(|o| matches!(o, Ok(()) | Err(Error::Stale))), "{outcomes:?}");
    assert_eq!(scene.events::<ConversationUpdated>().await.len(), 1);
}

/// A new part is a change of membership: the second of two decides on what is no longer so.
pub async fn two_moderators_who_demote_each_other_leave_one(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    for _ in 0..20 {
        let group = scene.group(&scene.people, 0).await;
        let promote = Change::Role(scene.people[1], ParticipantRole::Moderator);
        scene.change(group, scene.versions(group).await, 0, &promote, 1).await.unwrap();
        let versions = scene.versions(group).await;
        let demote = [1, 0].map(|n| Change::Role(scene.people[n], ParticipantRole::Member));
        let outcomes = together((0..2).map(|by| scene.change(group, versions, by, &demote[by], 2))).await;
        assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1, "{outcomes:?}");
        let found = scene.find(0, group).await.unwrap().conversation;
        assert_eq!(found.participants.iter().filter(|p| p.role == ParticipantRole::Moderator).count(), 1);
        assert!(found.members_version > versions.members);
    }
}

// What people keep for themselves

/// Nobody else's list changes, and neither does when it changed last.
pub async fn what_someone_keeps_is_theirs_alone(fixture: Fixture) {
    let scene = Scene::of(fixture, 3).await;
    let group = scene.group(&scene.people[..2], 0).await;
    for change in
        [PersonalChange::Archive(true), PersonalChange::Pin(true), PersonalChange::Mute(Some(at(60)))]
    {
        assert!(scene.keep(group, 0, change, 5).await);
        assert!(scene.keep(group, 0, change, 6).await, "again");
    }
    let mine = scene.find(0, group).await.unwrap().conversation;
    assert_eq!((mine.mine.archived_at, mine.mine.pinned_at), (Some(at(5)), Some(at(5))));
    assert!(!mine.mine.notifies(at(59)) && mine.mine.notifies(at(60)));
    assert_eq!(mine.updated_at, at(0));
    assert_eq!(scene.find(1, group).await.unwrap().conversation.mine, Personal::default());
    assert_eq!(scene.listed(0, query(9)).await, []);
    assert_eq!(scene.listed(1, query(9)).await, [group]);
    for change in [PersonalChange::Archive(false), PersonalChange::Pin(false), PersonalChange::Unmute] {
        assert!(scene.keep(group, 0, change, 7).await);
    }
    assert_eq!(scene.find(0, group).await.unwrap().conversation.mine, Personal::default());
    assert!(!scene.keep(group, 2, PersonalChange::Pin(true), 8).await, "they are not in it");
}

/// They come as someone new.
pub async fn someone_who_comes_back_keeps_nothing_of_before(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let group = scene.group(&scene.people, 0).await;
    for change in [PersonalChange::Archive(true), PersonalChange::Pin(true), PersonalChange::Mute(None)] {
        scene.keep(group, 1, change, 1).await;
    }
    scene.remove(group, 1, 2).await.unwrap();
    scene.add(group, 1, 3).await.unwrap();
    assert_eq!(scene.find(1, group).await.unwrap().conversation.mine, Personal::default());
}

// The inbox

/// Also across pages.
pub async fn the_pinned_stand_first_page_by_page(fixture: Fixture) {
    let scene = Scene::of(fixture, 1).await;
    let mut groups = Vec::new();
    for minutes in 0..5 {
        groups.push(scene.group(&scene.people, minutes).await);
    }
    for place in [0, 2] {
        scene.keep(groups[place], 0, PersonalChange::Pin(true), 9).await;
    }
    let expected = [2, 0, 4, 3, 1].map(|place| groups[place]);
    assert_eq!(scene.listed(0, query(9)).await, expected);
    assert_eq!(scene.walk(Ordering::PinnedThenUpdated).await, expected);
}

/// None is skipped or repeated, whichever way one goes.
pub async fn every_order_goes_through_all_once(fixture: Fixture) {
    let scene = Scene::of(fixture, 1).await;
    let mut groups = Vec::new();
    for minutes in 0..5 {
        groups.push(scene.group(&scene.people, minutes).await);
    }
    scene.world.message(groups[1], scene.people[0], at(60)).await;
    let places = |places: [usize; 5]| places.map(|place| groups[place]);
    assert_eq!(scene.walk(Ordering::Updated).await, places([0, 2, 3, 4, 1]));
    assert_eq!(scene.walk(Ordering::Created).await, places([0, 1, 2, 3, 4]));
    assert_eq!(scene.walk(Ordering::CreatedDescending).await, places([4, 3, 2, 1, 0]));
}

/// And nothing else.
pub async fn every_filter_finds_what_it_names(fixture: Fixture) {
    let scene = Scene::of(fixture, 3).await;
    let appointment = ConsultationId::generate(&SystemIds);
    let wanted = NewConversation {
        kind: Kind::Consultation,
        purpose: Purpose::Care,
        metadata: Metadata { related_appointment_id: Some(appointment), ..Metadata::default() },
        labels: StoredLabels { sealed: None, tags: vec![[8; 16], [9; 16]] },
        ..scene.draft(Kind::Group, &scene.people[..2])
    };
    scene.create(&wanted).await.unwrap();
    let other = scene.group(&[scene.people[0], scene.people[2]], 0).await;
    scene.world.message(wanted.id, scene.people[1], at(9)).await;
    let number = scene.find(0, wanted.id).await.unwrap().conversation.number;
    let all = InboxFilter::default;
    for (place, filter) in [
        InboxFilter { kind: Some(Kind::Consultation), ..all() },
        InboxFilter { purpose: Some(Purpose::Care), ..all() },
        InboxFilter { with_user: Some(scene.people[1]), ..all() },
        InboxFilter { has_unread: Some(true), ..all() },
        InboxFilter { updated_since: Some(at(9)), ..all() },
        InboxFilter { related_appointment: Some(appointment), ..all() },
        InboxFilter { tags: vec![[9; 16], [8; 16]], ..all() },
        InboxFilter { number: Some(number), ..all() },
        InboxFilter { among: Some(vec![wanted.id]), ..all() },
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(scene.listed(0, filtered(9, filter.clone())).await, [wanted.id], "filter {place}");
        assert!(
            !scene
                .listed(2, filtered(9, InboxFilter { with_user: None, ..filter }))
                .await
                .contains(&wanted.id)
        );
    }
    let read = InboxFilter { has_unread: Some(false), ..all() };
    assert_eq!(scene.listed(0, filtered(9, read)).await, [other]);
    let both = InboxFilter { tags: vec![[9; 16], [1; 16]], ..all() };
    assert_eq!(scene.listed(0, filtered(9, both)).await, [], "all of them must be there");
    scene.keep(wanted.id, 0, PersonalChange::Archive(true), 10).await;
    assert_eq!(scene.listed(0, query(9)).await, [other]);
    let archived = InboxFilter { include_archived: true, ..all() };
    assert_eq!(scene.listed(0, filtered(9, archived)).await, [wanted.id, other]);
}

/// One's own messages, and those from before one came, are not unread.
pub async fn what_is_unread_is_told_for_each_conversation(fixture: Fixture) {
    let scene = Scene::of(fixture, 3).await;
    let (group, other) = (scene.group(&scene.people[..2], 0).await, scene.group(&scene.people[..2], 0).await);
    for (sender, minutes) in [(0, 1), (1, 2), (1, 3)] {
        scene.world.message(group, scene.people[sender], at(minutes)).await;
    }
    scene.world.message(other, scene.people[1], at(4)).await;
    scene.add(group, 2, 5).await.unwrap();
    let unread = async |person: usize| {
        let unread = scene.inbox.unread(scene.people[person]).await.unwrap();
        unread.into_iter().map(|u| (u.conversation_id, u.messages)).collect::<BTreeSet<_>>()
    };
    assert_eq!(unread(0).await, BTreeSet::from([(group, 2), (other, 1)]));
    assert_eq!(unread(1).await, BTreeSet::from([(group, 1)]));
    assert_eq!(unread(2).await, BTreeSet::new());
    let lines = scene.inbox.page(scene.people[0], &query(9)).await.unwrap();
    assert_eq!(lines.iter().map(|line| line.unread).sum::<i64>(), 3, "the badge is the sum");
    let lines = scene.inbox.page(scene.people[2], &query(9)).await.unwrap();
    assert!(lines.iter().all(|line| line.last.is_none()), "nothing from before they came");
}

// Links

/// Of the conversation asked for.
pub async fn a_link_reads_back_and_is_withdrawn(fixture: Fixture) {
    let scene = Scene::of(fixture, 2).await;
    let (group, other) = (scene.group(&scene.people[..1], 0).await, scene.group(&scene.people[..1], 0).await);
    let link = scene.link(group, None, 100).await;
    assert_eq!(scene.links.of(group).await.unwrap(), std::slice::from_ref(&link));
    assert_eq!(scene.links.of(other).await.unwrap(), []);
    assert_eq!(scene.links.by_hash(&[4; 32]).await.unwrap(), Some(link.clone()));
    assert_eq!(scene.links.by_hash(&[5; 32]).await.unwrap(), None);
    assert!(!scene.revoke(other, &link, 1).await);
    for minutes in [2, 3] {
        assert!(scene.revoke(group, &link, minutes).await);
    }
    assert_eq!(scene.links.of(group).await.unwrap()[0].revoked_at, Some(at(2)));
    let mut audited = scene.world.audited().await;
    audited.sort_unstable();
    assert_eq!(audited, ["link.issued", "link.revoked"]);
}

/// However many come at once.
pub async fn a_link_lets_in_no_more_than_it_is_for(fixture: Fixture) {
    let scene = Scene::of(fixture, 201).await;
    let group = scene.group(&scene.people[..1], 0).await;
    let link = scene.link(group, Some(7), 100).await;
    let outcomes = together((1..201).map(|person| {
        let (scene, link) = (&scene, &link);
        async move {
            loop {
                match scene.admit(link, person, 1).await {
                    Err(Error::Stale) => {}
                    other => return other,
                }
            }
        }
    }))
    .await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 7);
    assert!(outcomes.iter().all(|o| matches!(o, Ok(()) | Err(Error::NotFound))), "{outcomes:?}");
    assert_eq!(scene.find(0, group).await.unwrap().conversation.participants.len(), 8);
    assert_eq!(scene.links.of(group).await.unwrap()[0].uses, 7);
    assert_eq!(scene.events::<ParticipantAdded>().await.len(), 7);
}

/// Whoever is in it already stays, and is not counted.
pub async fn a_link_that_is_not_good_lets_nobody_in(fixture: Fixture) {
    let scene = Scene::of(fixture, 3).await;
    let group = scene.group(&scene.people[..1], 0).await;
    let link = scene.link(group, Some(2), 100).await;
    assert!(matches!(scene.admit(&link, 1, 100).await, Err(Error::NotFound)), "it is over");
    scene.admit(&link, 1, 99).await.unwrap();
    scene.admit(&link, 1, 99).await.unwrap();
    assert_eq!(scene.links.of(group).await.unwrap()[0].uses, 1);
    let used = scene.world.audited().await.iter().filter(|action| *action == "link.used").count();
    assert_eq!(used, 1);
    scene.revoke(group, &link, 99).await;
    assert!(matches!(scene.admit(&link, 2, 99).await, Err(Error::NotFound)), "it was withdrawn");
    assert_eq!(scene.find(0, group).await.unwrap().conversation.participants.len(), 2);
}

// What the cases are written in

/// A store under test and some people, named by their place.
struct Scene {
    store: Arc<dyn ConversationStore>,
    inbox: Arc<dyn Inbox<()>>,
    links: Arc<dyn LinkStore>,
    world: Arc<dyn World>,
    people: Vec<UserId>,
}

impl Scene {
    async fn of(Fixture { store, inbox, links, world }: Fixture, people: usize) -> Self {
        let mut users = Vec::new();
        for _ in 0..people {
            users.push(world.user().await);
        }
        Self { store, inbox, links, world, people: users }
    }

    /// Opened by the first of `people`, who moderates.
    fn draft(&self, kind: Kind, people: &[UserId]) -> NewConversation {
        let role = |n| if n == 0 { ParticipantRole::Moderator } else { ParticipantRole::Member };
        NewConversation {
            id: ConversationId::generate(&SystemIds),
            kind,
            purpose: Purpose::Team,
            settings: Settings { read_receipts: false, auto_delete_days: Some(7), ..Settings::default() },
            title: None,
            description: None,
            metadata: Metadata {
                priority: Priority::High,
                medical_record_access: true,
                ..Metadata::default()
            },
            labels: StoredLabels {
                sealed: Some(Sealed::from_bytes(vec![7; 9])),
                tags: vec![[1; 16], [2; 16]],
            },
            expires_at: None,
            notifies_creator: true,
            participants: people.iter().enumerate().map(|(n, user)| (*user, role(n))).collect(),
            created_by: people[0],
            created_at: at(0),
            idempotency: None,
        }
    }

    async fn create(&self, new: &NewConversation) -> Result<Created, Error> {
        self.store.create(new, created(new)).await
    }

    async fn group(&self, people: &[UserId], minutes: i64) -> ConversationId {
        let new = NewConversation { created_at: at(minutes), ..self.draft(Kind::Group, people) };
        assert_eq!(self.create(&new).await.unwrap(), Created::New);
        new.id
    }

    /// Asks for all of `asked` at once: one MUST be new, and the others must answer `beaten` by it.
    async fn race(&self, asked: &[NewConversation], beaten: fn(ConversationId) -> Created) -> ConversationId {
        let outcomes: Vec<_> = together(asked.iter().map(|new| self.create(new)))
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let won = |(_, outcome): &(&NewConversation, &Created)| **outcome == Created::New;
        let winners: Vec<_> = asked.iter().zip(&outcomes).filter(won).map(|(new, _)| new.id).collect();
        let [winner] = *winners else { panic!("{} are new", winners.len()) };
        let beaten = beaten(winner);
        for outcome in outcomes.iter().filter(|outcome| **outcome != Created::New) {
            assert_eq!(*outcome, beaten);
        }
        assert_eq!(self.events::<ConversationCreated>().await.len(), 1);
        winner
    }

    async fn find(&self, viewer: usize, id: ConversationId) -> Option<StoredConversation> {
        self.store.find(self.people[viewer], id).await.unwrap()
    }

    async fn list(&self, viewer: usize, query: InboxPage) -> Vec<StoredConversation> {
        let lines = self.inbox.page(self.people[viewer], &query).await.unwrap();
        lines.into_iter().map(|line| line.stored).collect()
    }

    async fn listed(&self, viewer: usize, query: InboxPage) -> Vec<ConversationId> {
        self.list(viewer, query).await.iter().map(|stored| stored.conversation.id).collect()
    }

    async fn audience(&self, id: ConversationId) -> Audience {
        self.store.audience(id).await.unwrap().expect("a conversation")
    }

    async fn version(&self, id: ConversationId) -> i64 {
        self.audience(id).await.members_version
    }

    async fn add(&self, id: ConversationId, person: usize, minutes: i64) -> Result<(), Error> {
        self.add_at(self.version(id).await, id, person, minutes).await
    }

    async fn remove(&self, id: ConversationId, person: usize, minutes: i64) -> Result<(), Error> {
        self.remove_at(self.version(id).await, id, person, minutes).await
    }

    async fn add_at(
        &self,
        version: i64,
        id: ConversationId,
        person: usize,
        minutes: i64,
    ) -> Result<(), Error> {
        let user = self.people[person];
        let added = ParticipantAdded { conversation_id: id, user_id: user, added_by: self.people[0] };
        let event = Event::new(&SystemIds, at(minutes), &added);
        self.store.add(id, version, user, at(minutes), event).await
    }

    async fn remove_at(
        &self,
        version: i64,
        id: ConversationId,
        person: usize,
        minutes: i64,
    ) -> Result<(), Error> {
        let user = self.people[person];
        let removed = ParticipantRemoved { conversation_id: id, user_id: user, removed_by: self.people[0] };
        let event = Event::new(&SystemIds, at(minutes), &removed);
        self.store.remove(id, version, user, at(minutes), event).await
    }

    async fn versions(&self, id: ConversationId) -> Versions {
        self.find(0, id).await.unwrap().conversation.versions()
    }

    async fn change(
        &self,
        id: ConversationId,
        versions: Versions,
        by: usize,
        change: &Change,
        minutes: i64,
    ) -> Result<(), Error> {
        let by = self.people[by];
        let updated = ConversationUpdated { conversation_id: id, updated_by: by, is_personal: false };
        let event = Event::new(&SystemIds, at(minutes), &updated);
        self.store.change(id, versions, by, change, at(minutes), event).await
    }

    async fn keep(&self, id: ConversationId, person: usize, change: PersonalChange, minutes: i64) -> bool {
        let by = self.people[person];
        let updated = ConversationUpdated { conversation_id: id, updated_by: by, is_personal: true };
        let event = Event::new(&SystemIds, at(minutes), &updated);
        self.store.keep(id, by, change, at(minutes), event).await.unwrap()
    }

    /// All of the first one's, two by two.
    async fn walk(&self, ordering: Ordering) -> Vec<ConversationId> {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = InboxPage { ordering, after, ..query(2) };
            let (page, more) = size(2).cut(self.list(0, page).await);
            let last = &page.last().unwrap().conversation;
            let at = match ordering {
                Ordering::PinnedThenUpdated | Ordering::Updated => last.updated_at,
                Ordering::Created | Ordering::CreatedDescending => last.created_at,
            };
            after = Some(InboxAfter { is_pinned: last.mine.pinned_at.is_some(), at, id: last.id });
            seen.extend(page.iter().map(|stored| stored.conversation.id));
            if !more {
                return seen;
            }
        }
    }

    async fn link(&self, id: ConversationId, max_uses: Option<i32>, minutes: i64) -> InvitationLink {
        let link = InvitationLink {
            id: InvitationLinkId::generate(&SystemIds),
            conversation_id: id,
            created_by: self.people[0],
            created_at: at(0),
            expires_at: at(minutes),
            max_uses,
            uses: 0,
            revoked_at: None,
        };
        self.links.issue(&link, &[4; 32], audited("link.issued", 0)).await.unwrap();
        link
    }

    async fn revoke(&self, id: ConversationId, link: &InvitationLink, minutes: i64) -> bool {
        let effects = audited("link.revoked", minutes);
        self.links.revoke(id, link.id, at(minutes), effects).await.unwrap()
    }

    async fn admit(&self, link: &InvitationLink, person: usize, minutes: i64) -> Result<(), Error> {
        let (id, user) = (link.conversation_id, self.people[person]);
        let added = ParticipantAdded { conversation_id: id, user_id: user, added_by: self.people[0] };
        let effects = audited("link.used", minutes).event(Event::new(&SystemIds, at(minutes), &added));
        self.links.admit(link, self.version(id).await, user, at(minutes), effects).await
    }

    async fn events<E: DomainEvent>(&self) -> Vec<Event> {
        let mut events = self.world.events().await;
        events.retain(|event| event.kind == E::KIND);
        events
    }
}

fn audited(action: &'static str, minutes: i64) -> Effects {
    Effects::default().audit(AuditEntry::by_machine(&SystemIds, at(minutes), action))
}

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
        + TimeDelta::days(20_000)
        + TimeDelta::minutes(minutes)
        + TimeDelta::microseconds(123_456)
}

fn size(n: i64) -> PageSize {
    PageSize::parse(Some(n), 1).unwrap()
}

fn query(n: i64) -> InboxPage {
    InboxPage {
        filter: InboxFilter::default(),
        ordering: Ordering::default(),
        after: None,
        offset: 0,
        size: size(n),
    }
}

fn filtered(n: i64, filter: InboxFilter) -> InboxPage {
    InboxPage { filter, ..query(n) }
}

fn created(new: &NewConversation) -> Event {
    let created = ConversationCreated {
        conversation_id: new.id,
        created_by: new.created_by,
        participants: new.participants.iter().map(|(user, _)| *user).collect(),
    };
    Event::new(&SystemIds, new.created_at, &created)
}

/// The same request under the one key that the cases use.
fn keyed(new: NewConversation, fingerprint: u8) -> NewConversation {
    let key = IdempotencyKey::parse("a-key").unwrap();
    NewConversation { idempotency: Some((key, [fingerprint; 16])), ..new }
}

/// Participants come in any order.
fn sorted(mut stored: StoredConversation) -> StoredConversation {
    stored.conversation.participants.sort_by_key(|p| p.user_id);
    stored
}

fn members(conversation: &Conversation) -> BTreeSet<UserId> {
    conversation.participants.iter().map(|p| p.user_id).collect()
}

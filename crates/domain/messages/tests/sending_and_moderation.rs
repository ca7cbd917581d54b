//! What is asked of a message before it is stored, and who judges what was reported: against mocks and a clock that
//! stands still.
#![cfg(test)]

use std::sync::{Arc, Mutex};

use alivio_kernel::SequentialIds;
use alivio_kernel::ids::{MessageId, SessionId, UserId, Uuid};
use alivio_kernel::sealing::PlainSealer;
use alivio_kernel::{
    AuditEntry, AuditSink, BoxError, Caller, Clock, Denied, DomainError, ManualClock, PageSize, Role,
};
use alivio_messages::screening::{Finding, FindingKind};
use alivio_messages::testing::mocked;
use alivio_messages::{
    Appended, Automation, ClientMessageId, Content, Draft, Earlier, Error, Messages, MessagesPorts,
    MockLiveFeed, MockMessageLog, MockModerationStore, MockRooms, MockScheduledStore, Moderation,
    ModerationPorts, NewEntry, Position, ReportHeader, ReportKind, ReportReason, ReportStatus, Resolution,
    ReviewStep, Room, Scheduled, ScheduledState, StoredScheduled,
};
use async_trait::async_trait;
use chrono::TimeDelta;

mod common;

use common::{ROOM, conversation};

const STORED: Appended = Appended::Stored { seq: 1, number: 1, members_version: 1, expires_at: None };
const TEAM: Room = Room { is_care: false, ..ROOM };

fn user(n: u128) -> UserId {
    Uuid::from_u128(n).into()
}

fn caller(n: u128, role: Role) -> Caller {
    Caller { user_id: user(n), role, session_id: SessionId::from(Uuid::from_u128(0x55)), address: None }
}

fn doctor() -> Caller {
    caller(0xAA, Role::Doctor)
}

fn draft(words: &str, name: &str) -> Draft {
    Draft {
        client_message_id: Some(ClientMessageId::parse(name).unwrap()),
        ..Draft::text(Content::parse(words).unwrap())
    }
}

fn open(log: MockMessageLog, room: Room, clock: &Arc<ManualClock>) -> Messages {
    open_with(log, room, clock, MockScheduledStore::new())
}

fn open_with(
    log: MockMessageLog,
    room: Room,
    clock: &Arc<ManualClock>,
    scheduled: MockScheduledStore,
) -> Messages {
    let mut rooms = MockRooms::new();
    rooms.expect_room().returning(move |_| Ok(Some(room)));
    let mut live = MockLiveFeed::new();
    live.expect_message_created().returning(|_, _| ());
    live.expect_scheduled_changed().returning(|_, _, _| ());
    let mut correspondents = alivio_messages::MockCorrespondents::new();
    correspondents.expect_role().returning(|_| Ok(Some(Role::Doctor)));
    Messages::new(MessagesPorts {
        log: Arc::new(log),
        scheduled: Arc::new(scheduled),
        live: Arc::new(live),
        rooms: Arc::new(rooms),
        correspondents: Arc::new(correspondents),
        clock: Arc::clone(clock) as _,
        ..mocked()
    })
}

/// A log that its members write to, and all that they wrote.
fn log() -> (MockMessageLog, Arc<Mutex<Vec<NewEntry>>>) {
    let mut log = MockMessageLog::new();
    let entries = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&entries);
    log.expect_append().returning(move |entry| {
        seen.lock().unwrap().push(entry);
        Ok(STORED)
    });
    log.expect_position().returning(|_, _| {
        Ok(Some(Position {
            joined_seq: 1,
            last_seq: 1,
            last_revision: 0,
            members_version: 1,
            marks: Vec::new(),
        }))
    });
    log.expect_earlier().returning(|_, _, _, _| Ok(None));
    (log, entries)
}

#[tokio::test]
async fn the_twenty_first_in_a_minute_is_refused_and_not_stored() {
    let ((log, entries), clock) = (log(), Arc::new(ManualClock::default()));
    let messages = open(log, TEAM, &clock);
    let send =
        async |n: usize| messages.send(&doctor(), conversation(), draft("hola", &format!("m{n}"))).await;
    for n in 0..20 {
        send(n).await.unwrap();
    }
    let refused = send(20).await.unwrap_err();
    assert_eq!(refused.code(), "rate_limited");
    assert_eq!(refused.details().unwrap()["retry_after"], 60);
    assert_eq!(entries.lock().unwrap().len(), 20);
    clock.advance(TimeDelta::minutes(1));
    send(21).await.unwrap();
}

#[tokio::test]
async fn machines_and_what_was_scheduled_do_not_count() {
    let ((log, entries), clock) = (log(), Arc::new(ManualClock::default()));
    let messages = open(log, TEAM, &clock);
    for n in 0..30 {
        let by_machine = Draft { automation: Some(Automation::default()), ..draft("hola", &format!("a{n}")) };
        let due = Draft { scheduled_for: Some(clock.now()), ..draft("hola", &format!("s{n}")) };
        messages.send_automated(doctor().user_id, conversation(), by_machine).await.unwrap();
        messages.send(&doctor(), conversation(), due).await.unwrap();
    }
    assert_eq!(entries.lock().unwrap().len(), 60);
}

/// Whoever puts off what they may not send any more would send it all the same, in a burst.
#[tokio::test]
async fn what_is_put_off_counts_when_it_is_and_a_repeat_does_not() {
    let ((log, _), clock) = (log(), Arc::new(ManualClock::default()));
    let first = Arc::new(Mutex::new(None));
    let mut scheduled = MockScheduledStore::new();
    let stored = Arc::clone(&first);
    scheduled.expect_create().times(20).returning(move |new| {
        stored.lock().unwrap().get_or_insert_with(|| new.clone());
        Ok(Scheduled::New)
    });
    let stored = Arc::clone(&first);
    scheduled.expect_earlier().returning(move |sender, _, name, fingerprint| {
        let stored = stored.lock().unwrap();
        let same = stored.as_ref().filter(|new| {
            (new.sender_id, &new.client_message_id, new.fingerprint) == (sender, name, fingerprint)
        });
        Ok(same.map(|new| Earlier::Same(new.id)))
    });
    let stored = Arc::clone(&first);
    scheduled.expect_find().returning(move |_, _| {
        let new = stored.lock().unwrap().clone().unwrap();
        Ok(Some(StoredScheduled {
            id: new.id,
            conversation_id: new.conversation_id,
            sender_id: new.sender_id,
            due_at: new.due_at,
            state: ScheduledState::Pending,
            message_id: None,
            reason: None,
            created_at: new.created_at,
            updated_at: new.created_at,
            version: 1,
            draft: new.draft,
        }))
    });
    let messages = open_with(log, TEAM, &clock, scheduled);
    let later = clock.now() + TimeDelta::hours(1);
    let put_off = async |name: &str| {
        let draft = Draft { scheduled_for: Some(later), ..draft("hola", name) };
        messages.schedule(&doctor(), conversation(), draft).await
    };
    let (made, created) = put_off("m0").await.unwrap();
    assert!(created);
    for n in 1..20 {
        assert!(put_off(&format!("m{n}")).await.unwrap().1);
    }
    assert_eq!(put_off("m20").await.unwrap_err().code(), "rate_limited");
    let sent = messages.send(&doctor(), conversation(), draft("hola", "now")).await;
    assert_eq!(sent.unwrap_err().code(), "rate_limited", "it is one pace");
    let (again, created) = put_off("m0").await.unwrap();
    assert_eq!((again.id, created), (made.id, false));
    // Even when its time has come.
    clock.advance(TimeDelta::hours(2));
    let (again, created) = put_off("m0").await.unwrap();
    assert_eq!((again.id, created), (made.id, false));
}

#[tokio::test]
async fn what_is_not_stored_does_not_count() {
    let mut log = MockMessageLog::new();
    log.expect_append().returning(|_| Ok(Appended::Closed));
    let messages = open(log, TEAM, &Arc::new(ManualClock::default()));
    for n in 0..30 {
        let sent = messages.send(&doctor(), conversation(), draft("hola", &format!("m{n}"))).await;
        assert!(matches!(sent, Err(Error::Closed)));
    }
}

#[tokio::test]
async fn a_flag_names_rules_and_never_the_words() {
    let ((log, entries), clock) = (log(), Arc::new(ManualClock::default()));
    let messages = open(log, TEAM, &clock);
    let sent = messages.send(&doctor(), conversation(), draft("tel. 612345678", "m")).await.unwrap();
    let expected = [Finding { kind: FindingKind::Phi, rule: "phone" }];
    assert_eq!(sent.warnings, expected);
    let entries = entries.lock().unwrap().clone();
    assert_eq!(entries[0].flag.as_ref().unwrap().findings, expected);
    assert!(!format!("{entries:?}").contains("612345678"));
}

#[tokio::test]
async fn a_case_discussion_refuses_those_in_it_and_does_not_exist_for_others() {
    let cases = Room { is_case_discussion: true, ..TEAM };
    for (member, code) in [(true, "phi_not_allowed"), (false, "not_found")] {
        let mut log = MockMessageLog::new();
        // Nothing was provided for an append.
        log.expect_earlier().returning(move |_, _, _, _| Ok((!member).then_some(Appended::NotAMember)));
        log.expect_position().returning(move |_, _| {
            let position = Position {
                joined_seq: 1,
                last_seq: 1,
                last_revision: 0,
                members_version: 1,
                marks: Vec::new(),
            };
            Ok(member.then_some(position))
        });
        let messages = open(log, cases, &Arc::new(ManualClock::default()));
        let refused =
            messages.send(&doctor(), conversation(), draft("DNI 12345678Z", "m")).await.unwrap_err();
        assert_eq!(refused.code(), code);
    }
}

/// Where refusals go.
#[derive(Default)]
struct Sink(Mutex<Vec<AuditEntry>>);

#[async_trait]
impl AuditSink for Sink {
    async fn record(&self, entries: &[AuditEntry]) -> Result<(), BoxError> {
        self.0.lock().unwrap().extend_from_slice(entries);
        Ok(())
    }
}

fn moderation(store: MockModerationStore) -> (Moderation, Arc<Sink>) {
    let (clock, sink) = (Arc::new(ManualClock::default()), Arc::new(Sink::default()));
    let ports = ModerationPorts {
        store: Arc::new(store),
        sink: Arc::clone(&sink) as _,
        sealer: Arc::new(PlainSealer::default()),
        clock: Arc::clone(&clock) as _,
        ids: Arc::new(SequentialIds::default()),
    };
    (Moderation::new(open(MockMessageLog::new(), TEAM, &clock), ports), sink)
}

/// What user 5 reported of what user 4 said.
fn reported() -> ReportHeader {
    ReportHeader {
        id: Uuid::from_u128(1).into(),
        kind: ReportKind::Report,
        conversation_id: conversation(),
        message_id: Uuid::from_u128(3).into(),
        sender_id: user(4),
        reporter_id: Some(user(5)),
        reason: Some(ReportReason::Harassment),
        findings: Vec::new(),
        status: ReportStatus::InReview,
        resolution: None,
        decided_by: Some(user(9)),
        version: 2,
        created_at: ManualClock::default().now(),
        updated_at: ManualClock::default().now(),
    }
}

#[tokio::test]
async fn only_those_who_moderate_and_are_not_involved_judge_and_refusals_are_recorded() {
    for (who, role, denied) in [
        (8, Role::Doctor, "missing_scope"),
        (8, Role::ItAdmin, "missing_scope"),
        (4, Role::MedicalAdmin, "involved"),
        (5, Role::MedicalAdmin, "involved"),
    ] {
        let mut store = MockModerationStore::new();
        // Nothing was provided for a look or a decision.
        store.expect_find().returning(|_| Ok(Some(reported())));
        let (moderation, sink) = moderation(store);
        let (caller, id) = (caller(who, role), reported().id);
        let step = ReviewStep::Resolve(Resolution::None);
        let refused = [
            moderation.look(&caller, id).await.unwrap_err(),
            moderation.decide(&caller, id, 2, step, None).await.unwrap_err(),
        ];
        assert!(refused.iter().all(|error| error.code() == "forbidden"));
        let recorded = sink.0.lock().unwrap();
        assert!(recorded.len() == 2 && recorded.iter().all(|entry| entry.reason == Some(denied)));
    }
}

#[tokio::test]
async fn a_list_is_refused_to_those_who_do_not_moderate() {
    let (moderation, _) = moderation(MockModerationStore::new());
    let size = PageSize::parse(None, 50).unwrap();
    let refused = moderation.list(&doctor(), None, None, None, size).await.unwrap_err();
    assert!(matches!(refused, Error::Denied(Denied::MissingScope(_))));
}

#[tokio::test]
async fn who_decides_on_what_has_moved_is_stale() {
    let mut store = MockModerationStore::new();
    store.expect_find().returning(|_| Ok(Some(reported())));
    let (moderation, _) = moderation(store);
    let admin = caller(9, Role::MedicalAdmin);
    let stale = moderation.decide(&admin, reported().id, 1, ReviewStep::Dismiss, None).await.unwrap_err();
    assert!(matches!(stale, Error::Stale));
    let wrong = moderation.decide(&admin, reported().id, 2, ReviewStep::Take, None).await.unwrap_err();
    assert!(matches!(wrong, Error::NotThere));
}

#[tokio::test]
async fn ones_own_message_and_what_one_cannot_read_are_not_reported() {
    for (readable, code) in [(Some((conversation(), doctor().user_id)), "forbidden"), (None, "not_found")] {
        let mut store = MockModerationStore::new();
        store.expect_readable().returning(move |_, _| Ok(readable));
        let (moderation, _) = moderation(store);
        let message: MessageId = Uuid::from_u128(3).into();
        let refused = moderation.report(&doctor(), message, ReportReason::Spam, None).await.unwrap_err();
        assert_eq!(refused.code(), code);
    }
}

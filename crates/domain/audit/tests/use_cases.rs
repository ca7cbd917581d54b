//! What one can do with the trail and in an emergency: against mocks and a clock that stands still.
#![cfg(test)]

use std::sync::{Arc, Mutex};

use alivio_audit::{
    After, BreakGlass, BreakGlassOpened, BreakGlassPorts, Ended, Error, GRANT_LIFETIME, Members,
    MockAuditReader, MockGrantStore, MockMembership, NewGrant, Reason, StoredGrant, Trail, TrailFilter,
    TrailPorts, reason_context,
};
use alivio_kernel::audit::Outcome;
use alivio_kernel::ids::{ConversationId, GrantId, SessionId, UserId, Uuid};
use alivio_kernel::sealing::PlainSealer;
use alivio_kernel::{
    AuditEntry, AuditSink, BoxError, Caller, Clock, Denied, DomainError, Effects, ErrorKind, ManualClock,
    PageSize, Role, Sealer, SequentialIds,
};
use async_trait::async_trait;

/// Remembers what was recorded; breaks when told to.
#[derive(Default)]
struct Sink {
    entries: Mutex<Vec<AuditEntry>>,
    broken: bool,
}

#[async_trait]
impl AuditSink for Sink {
    async fn record(&self, entries: &[AuditEntry]) -> Result<(), BoxError> {
        if self.broken {
            return Err("the trail is full".into());
        }
        self.entries.lock().unwrap().extend_from_slice(entries);
        Ok(())
    }
}

fn user(n: u128) -> UserId {
    Uuid::from_u128(n).into()
}

fn caller(role: Role) -> Caller {
    Caller { user_id: user(1), role, session_id: SessionId::from(Uuid::from_u128(2)), address: None }
}

fn conversation() -> ConversationId {
    Uuid::from_u128(7).into()
}

fn size() -> PageSize {
    PageSize::parse(Some(2), 50).unwrap()
}

/// Everything around break-glass. A call that a test did not provide for is a failure.
#[derive(Default)]
struct House {
    grants: MockGrantStore,
    membership: MockMembership,
    sink: Arc<Sink>,
    sealer: Arc<PlainSealer>,
    clock: Arc<ManualClock>,
}

impl House {
    fn open(self) -> BreakGlass {
        BreakGlass::new(BreakGlassPorts {
            grants: Arc::new(self.grants),
            membership: Arc::new(self.membership),
            sink: self.sink,
            sealer: self.sealer,
            clock: self.clock,
            ids: Arc::new(SequentialIds::default()),
        })
    }

    fn members(&mut self, users: &[UserId]) {
        let users = users.to_vec();
        self.membership
            .expect_members()
            .returning(move |_| Ok(Some(Members { version: 3, users: users.clone(), former: Vec::new() })));
    }
}

fn reason() -> Reason {
    Reason::parse("Aviso de riesgo vital").unwrap()
}

#[tokio::test]
async fn breaking_the_glass_tells_everyone_in_the_conversation() {
    let mut house = House::default();
    house.members(&[user(10), user(11)]);
    let asked: Arc<Mutex<Vec<(NewGrant, Effects)>>> = Arc::default();
    let seen = Arc::clone(&asked);
    house.grants.expect_open().times(1).returning(move |grant, effects| {
        seen.lock().unwrap().push((grant.clone(), effects));
        Ok(())
    });
    let (sealer, now) = (Arc::clone(&house.sealer), house.clock.now());
    let grant = house.open().open(&caller(Role::MedicalAdmin), conversation(), &reason()).await.unwrap();

    let (new, effects) = asked.lock().unwrap().pop().unwrap();
    assert_eq!((new.admin_id, new.conversation_id, new.members_version), (user(1), conversation(), 3));
    assert_eq!((grant.opened_at, grant.expires_at), (now, now + GRANT_LIFETIME));
    assert!(grant.expires_at - grant.opened_at <= chrono::TimeDelta::minutes(60));
    let opened = sealer.open_many(&[(reason_context(new.id, conversation()), &new.reason)]).await.unwrap();
    assert_eq!(opened, [b"Aviso de riesgo vital"]);
    assert!(!new.reason.as_bytes().windows(6).any(|part| part == b"riesgo"));

    let [event] = effects.events.as_slice() else { panic!("one event") };
    let expected = BreakGlassOpened {
        grant_id: grant.id,
        admin_id: user(1),
        conversation_id: conversation(),
        participants: vec![user(10), user(11)],
    };
    assert_eq!(event.read::<BreakGlassOpened>().unwrap(), expected);
    let subjects: Vec<_> = effects.audit.iter().map(|entry| entry.subject).collect();
    assert_eq!(subjects, [Some(user(10)), Some(user(11))]);
    for entry in effects.audit {
        assert_eq!((entry.action, entry.actor), ("break_glass.opened", Some(user(1))));
        assert_eq!(entry.object, Some(("conversation", conversation().uuid())));
    }
}

#[tokio::test]
async fn whoever_may_not_is_refused_and_recorded_before_anything_is_looked_at() {
    for role in [Role::ItAdmin, Role::Doctor, Role::Patient, Role::Student] {
        let house = House::default();
        let sink = Arc::clone(&house.sink);
        let (glass, caller, grant) = (house.open(), caller(role), GrantId::from(Uuid::nil()));
        let refused = [
            glass.open(&caller, conversation(), &reason()).await.err(),
            glass.list(&caller, None, size()).await.err(),
            glass.end(&caller, grant).await.err(),
            glass.reading(&caller, grant).await.err(),
        ];
        for error in refused {
            assert!(matches!(error, Some(Error::Denied(Denied::MissingScope(_)))), "{role}: {error:?}");
        }
        let entries = sink.entries.lock().unwrap();
        assert_eq!(entries.len(), 4);
        assert!(entries.iter().all(|e| e.outcome == Outcome::Denied && e.reason == Some("missing_scope")));
    }
}

#[tokio::test]
async fn a_refusal_that_cannot_be_recorded_is_a_failure() {
    let house = House { sink: Arc::new(Sink { broken: true, ..Sink::default() }), ..House::default() };
    let error = house.open().list(&caller(Role::Doctor), None, size()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn ones_own_conversation_and_an_unknown_one_open_nothing() {
    let mut house = House::default();
    house.members(&[user(1), user(10)]);
    let error = house.open().open(&caller(Role::MedicalAdmin), conversation(), &reason()).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyParticipant), "{error:?}");
    let mut house = House::default();
    house.membership.expect_members().returning(|_| Ok(None));
    let error = house.open().open(&caller(Role::MedicalAdmin), conversation(), &reason()).await.unwrap_err();
    assert!(matches!(error, Error::NotFound), "{error:?}");
}

#[tokio::test]
async fn when_members_change_meanwhile_the_new_ones_are_told() {
    let mut house = House::default();
    let mut versions = [(1, vec![user(10)]), (2, vec![user(10), user(11)])].into_iter();
    house.membership.expect_members().times(2).returning(move |_| {
        Ok(versions.next().map(|(version, users)| Members { version, users, former: Vec::new() }))
    });
    let mut answers = [Err(Error::Stale), Ok(())].into_iter();
    let told: Arc<Mutex<usize>> = Arc::default();
    let count = Arc::clone(&told);
    house.grants.expect_open().times(2).returning(move |_, effects| {
        *count.lock().unwrap() = effects.audit.len();
        answers.next().unwrap()
    });
    house.open().open(&caller(Role::MedicalAdmin), conversation(), &reason()).await.unwrap();
    assert_eq!(*told.lock().unwrap(), 2);

    // Someone has to give up some time.
    let mut house = House::default();
    house.members(&[user(10)]);
    house.grants.expect_open().times(4).returning(|_, _| Err(Error::Stale));
    let error = house.open().open(&caller(Role::MedicalAdmin), conversation(), &reason()).await.unwrap_err();
    assert!(matches!(error, Error::Stale), "{error:?}");
}

async fn stored(sealer: &PlainSealer, clock: &ManualClock, admin: UserId) -> StoredGrant {
    let id = GrantId::from(Uuid::from_u128(9));
    StoredGrant {
        id,
        admin_id: admin,
        conversation_id: conversation(),
        reason: sealer.seal(&reason_context(id, conversation()), b"Aviso de riesgo vital").await.unwrap(),
        opened_at: clock.now(),
        expires_at: clock.now() + GRANT_LIFETIME,
        ended_at: None,
        ended_by: None,
    }
}

#[tokio::test]
async fn reading_is_for_the_one_it_was_given_to_and_recorded_for_each_person() {
    for (holder, allowed) in [(user(1), true), (user(5), false)] {
        let mut house = House::default();
        house.members(&[user(10), user(11)]);
        let grant = stored(&house.sealer, &house.clock, holder).await;
        let id = grant.id;
        house.grants.expect_find().returning(move |_| Ok(Some(grant.clone())));
        let reading = house.open().reading(&caller(Role::MedicalAdmin), id).await;
        if !allowed {
            assert!(matches!(reading, Err(Error::NotFound)), "{reading:?}");
            continue;
        }
        let reading = reading.unwrap();
        assert_eq!((reading.grant_id, reading.conversation_id), (id, conversation()));
        let subjects: Vec<_> = reading.audit.iter().map(|entry| entry.subject).collect();
        assert_eq!(subjects, [Some(user(10)), Some(user(11))]);
        assert!(reading.audit.iter().all(|entry| entry.action == "conversation.read_by_break_glass"));
    }
}

#[tokio::test]
async fn a_conversation_that_everyone_has_left_is_still_read_on_record() {
    let mut house = House::default();
    house.members(&[]);
    let grant = stored(&house.sealer, &house.clock, user(1)).await;
    let id = grant.id;
    house.grants.expect_find().returning(move |_| Ok(Some(grant.clone())));
    assert_eq!(house.open().reading(&caller(Role::MedicalAdmin), id).await.unwrap().audit.len(), 1);
}

#[tokio::test]
async fn another_administrator_sees_the_reason_and_ends_the_grant() {
    let mut house = House::default();
    let grant = stored(&house.sealer, &house.clock, user(5)).await;
    let (listed, found, id) = (grant.clone(), grant.clone(), grant.id);
    house.grants.expect_list().returning(move |_, _| Ok(vec![listed.clone()]));
    house.grants.expect_find().returning(move |_| Ok(Some(found.clone())));
    let mut outcomes = [Ended::Ended, Ended::NotOpen].into_iter();
    house.grants.expect_end().withf(|_, by, _, _| *by == user(1)).returning(move |_, _, _, effects| {
        assert_eq!(effects.audit[0].action, "break_glass.ended");
        Ok(outcomes.next().unwrap())
    });
    let glass = house.open();
    let page = glass.list(&caller(Role::MedicalAdmin), None, size()).await.unwrap();
    assert_eq!((page.items[0].reason.expose().as_str(), page.next_cursor), ("Aviso de riesgo vital", None));
    glass.end(&caller(Role::MedicalAdmin), id).await.unwrap();
    let again = glass.end(&caller(Role::MedicalAdmin), id).await.unwrap_err();
    assert!(matches!(again, Error::NotFound), "{again:?}");
}

// The trail

fn trail(reader: MockAuditReader, sink: Arc<Sink>) -> Trail {
    Trail::new(TrailPorts {
        reader: Arc::new(reader),
        sink,
        clock: Arc::new(ManualClock::default()),
        ids: Arc::new(SequentialIds::default()),
    })
}

#[tokio::test]
async fn reading_the_trail_is_recorded_first_about_whom_it_concerns() {
    let (mut reader, sink) = (MockAuditReader::new(), Arc::new(Sink::default()));
    reader.expect_entries().times(1).returning(|_, _, _| Ok(vec![]));
    let filter = TrailFilter { subject: Some(user(10)), ..TrailFilter::default() };
    trail(reader, Arc::clone(&sink)).read(&caller(Role::ItAdmin), &filter, None, size()).await.unwrap();
    let entries = sink.entries.lock().unwrap().clone();
    let [entry] = entries.as_slice() else { panic!("one entry") };
    assert_eq!((entry.action, entry.subject), ("audit_log.read", Some(user(10))));

    // Nothing is read if that fails, and nothing is asked for whoever may not.
    let broken = Arc::new(Sink { broken: true, ..Sink::default() });
    for role in [Role::ItAdmin, Role::Patient] {
        let trail = trail(MockAuditReader::new(), Arc::clone(&broken));
        let error = trail.read(&caller(role), &filter, None, size()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
    let trail = trail(MockAuditReader::new(), Arc::default());
    let refused = trail.read(&caller(Role::Doctor), &filter, None, size()).await;
    assert!(matches!(refused, Err(Error::Denied(_))), "{refused:?}");
}

#[tokio::test]
async fn the_access_log_is_ones_own_whatever_the_role() {
    for role in Role::ALL {
        let mut reader = MockAuditReader::new();
        let after = After { at: ManualClock::default().now(), id: Uuid::nil() };
        reader
            .expect_by_others()
            .withf(move |who, from, _| *who == user(1) && *from == Some(after))
            .times(1)
            .returning(|_, _, _| Ok(vec![]));
        trail(reader, Arc::default()).access_log(&caller(role), Some(after), size()).await.unwrap();
    }
}

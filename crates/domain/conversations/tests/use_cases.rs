//! What one can do with conversations: state, events and error codes, against mocks and a clock that stands
//! still.
#![cfg(test)]

use std::sync::{Arc, Mutex};

use alivio_conversations::{
    Audience, BlockedPair, Change, Conversation, ConversationCreated, ConversationUpdated, Conversations,
    ConversationsPorts, Created, DetailsPatch, Draft, Error, IdempotencyKey, Kind, Metadata,
    MockConversationStore, MockPeople, NewConversation, Participant, ParticipantAdded, ParticipantRemoved,
    ParticipantRole, Personal, Purpose, Settings, Standing, StoredConversation, StoredLabels,
};
use alivio_kernel::ids::{ConversationId, SessionId, UserId, Uuid};
use alivio_kernel::sealing::{PlainSealer, Scope, SealContext};
use alivio_kernel::{
    Caller, Clock, DomainError, ErrorKind, Event, ManualClock, Role, Sealed, Sealer, SequentialIds,
};
use serde_json::json;

/// Everything around the service. A call that a test did not provide for is a failure.
#[derive(Default)]
struct House {
    store: MockConversationStore,
    people: MockPeople,
    sealer: Arc<PlainSealer>,
    clock: Arc<ManualClock>,
}

/// What the store was asked to make.
type Asked = Arc<Mutex<Vec<(NewConversation, Event)>>>;

impl House {
    fn open(self) -> Conversations {
        Conversations::new(ConversationsPorts {
            store: Arc::new(self.store),
            people: Arc::new(self.people),
            sealer: self.sealer,
            clock: self.clock,
            ids: Arc::new(SequentialIds::default()),
        })
    }

    /// These people exist and are active, as the caller sees them, and nobody blocks anybody.
    fn knows(&mut self, standings: &[Standing]) {
        self.knows_with_blocks(standings, &[]);
    }

    /// The same, with blocks between some of them.
    fn knows_with_blocks(&mut self, standings: &[Standing], blocks: &[BlockedPair]) {
        let (standings, blocks) = (standings.to_vec(), blocks.to_vec());
        self.people.expect_blocked_among().returning(move |asked| {
            let asked_about = |pair: &&BlockedPair| asked.contains(&pair.one) && asked.contains(&pair.other);
            Ok(blocks.iter().filter(asked_about).copied().collect())
        });
        self.people.expect_standings().returning(move |asker, asked| {
            assert_eq!(asker, caller().user_id);
            Ok(standings.iter().filter(|s| asked.contains(&s.user_id)).copied().collect())
        });
    }

    /// A store that answers a creation with `answer` and afterwards finds what it was given.
    fn creates(&mut self, answer: Created) -> Asked {
        let asked = Asked::default();
        let (seen, stored) = (Arc::clone(&asked), Arc::clone(&asked));
        self.store.expect_create().returning(move |new, event| {
            seen.lock().unwrap().push((new.clone(), event));
            Ok(answer)
        });
        self.store.expect_find().returning(move |viewer, id| {
            assert_eq!(viewer, caller().user_id);
            Ok(stored.lock().unwrap().iter().map(|(new, _)| as_stored(new)).find(|c| c.conversation.id == id))
        });
        asked
    }

    /// A conversation that exists, whatever is done to it.
    async fn has(&mut self, kind: Kind, participants: &[(u128, ParticipantRole)]) {
        let stored = self.stored(1, kind, participants, Some("Seguimiento"), None).await;
        self.store.expect_find().returning(move |viewer, id| {
            let member = stored.conversation.participant(viewer).is_some();
            Ok((member && id == stored.conversation.id).then(|| stored.clone()))
        });
    }

    async fn stored(
        &self,
        n: u128,
        kind: Kind,
        participants: &[(u128, ParticipantRole)],
        title: Option<&str>,
        description: Option<&str>,
    ) -> StoredConversation {
        let new = NewConversation {
            id: conversation(n),
            kind,
            purpose: Purpose::default(),
            settings: Settings::default(),
            title: self.sealed(n, "title", title).await,
            description: self.sealed(n, "description", description).await,
            metadata: Metadata::default(),
            labels: StoredLabels::default(),
            expires_at: None,
            notifies_creator: true,
            participants: participants.iter().map(|(n, role)| (user(*n), *role)).collect(),
            created_by: user(1),
            created_at: self.clock.now(),
            idempotency: None,
        };
        as_stored(&new)
    }

    async fn sealed(&self, n: u128, column: &'static str, text: Option<&str>) -> Option<Sealed> {
        let text = text?;
        Some(self.sealer.seal(&place(conversation(n), column), text.as_bytes()).await.unwrap())
    }
}

fn as_stored(new: &NewConversation) -> StoredConversation {
    let participants = new.participants.iter().map(|(user_id, role)| Participant {
        user_id: *user_id,
        role: *role,
        joined_at: new.created_at,
        joined_seq: 1,
    });
    StoredConversation {
        conversation: Conversation {
            id: new.id,
            number: 1001,
            kind: new.kind,
            purpose: Purpose::default(),
            settings: Settings::default(),
            title: None,
            description: None,
            participants: participants.collect(),
            created_by: new.created_by,
            created_at: new.created_at,
            updated_at: new.created_at,
            metadata: new.metadata.clone(),
            is_active: true,
            expires_at: new.expires_at,
            closed: None,
            mine: Personal::default(),
            last_seq: 0,
            message_count: 0,
            members_version: 6,
            details_version: 3,
        },
        title: new.title.clone(),
        description: new.description.clone(),
        labels: new.labels.sealed.clone(),
        closed_reason: None,
    }
}

fn place(id: ConversationId, column: &'static str) -> SealContext {
    let scope = Scope::Conversation(id);
    SealContext { table: "conversations", column, row: id.uuid(), scope, version: 1 }
}

fn user(n: u128) -> UserId {
    Uuid::from_u128(n).into()
}

fn conversation(n: u128) -> ConversationId {
    Uuid::from_u128(0xC000 + n).into()
}

/// A doctor, who is user 1.
fn caller() -> Caller {
    Caller {
        user_id: user(1),
        role: Role::Doctor,
        session_id: SessionId::from(Uuid::from_u128(0x55)),
        address: None,
    }
}

fn standing(n: u128, role: Role, related: bool) -> Standing {
    Standing { user_id: user(n), role, related }
}

fn draft(kind: Kind, title: Option<&str>, others: &[u128]) -> Draft {
    let others: Vec<_> = others.iter().map(|n| user(*n)).collect();
    Draft::parse(user(1), kind, title, title.map(|_| "Control mensual"), &others).unwrap()
}

fn key(raw: &str) -> Option<IdempotencyKey> {
    Some(IdempotencyKey::parse(raw).unwrap())
}

const MEMBER: ParticipantRole = ParticipantRole::Member;
const MODERATOR: ParticipantRole = ParticipantRole::Moderator;

// Opening

#[tokio::test]
async fn an_opened_conversation_is_sealed_stored_and_told() {
    let mut house = House::default();
    house.knows(&[standing(2, Role::Patient, true), standing(3, Role::Student, false)]);
    let asked = house.creates(Created::New);
    let (sealer, now) = (Arc::clone(&house.sealer), house.clock.now());
    let group = Draft::parse(user(1), Kind::Group, Some("Hipertensión"), Some("Control mensual"), &[user(2)]);
    let opened = house.open().open(&caller(), group.unwrap(), None).await.unwrap();

    assert!(opened.created);
    assert_eq!(opened.conversation.title.as_deref(), Some("Hipertensión"));
    assert_eq!(opened.conversation.description.as_deref(), Some("Control mensual"));
    let asked = asked.lock().unwrap().clone();
    let [(new, event)] = &asked[..] else { panic!("not stored once") };
    assert_eq!((new.id, new.created_by, new.created_at), (opened.conversation.id, user(1), now));
    assert_eq!(new.participants, [(user(1), MODERATOR), (user(2), MEMBER)]);
    assert_eq!(new.idempotency, None);
    for (column, sealed, text) in
        [("title", &new.title, "Hipertensión"), ("description", &new.description, "Control mensual")]
    {
        let sealed = sealed.as_ref().unwrap();
        assert!(!contains(sealed.as_bytes(), text), "the store sees no plain text");
        let opened = sealer.open_many(&[(place(new.id, column), sealed)]).await.unwrap();
        assert_eq!(opened, [text.as_bytes()]);
    }
    let told = event.read::<ConversationCreated>().unwrap();
    let participants = vec![user(1), user(2)];
    assert_eq!(told, ConversationCreated { conversation_id: new.id, created_by: user(1), participants });
    assert_eq!(event.at, now);
    assert!(!event.payload.to_string().contains("Control"), "events hold ids, never texts");
}

#[tokio::test]
async fn a_patient_whom_the_doctor_does_not_attend_is_out_of_reach() {
    // Someone the doctor does not attend, and someone who does not exist: one answer.
    for known in [vec![standing(2, Role::Patient, false)], vec![]] {
        let mut house = House::default();
        house.knows(&known);
        let conversations = house.open();
        let errors = [
            conversations.open(&caller(), draft(Kind::Direct, None, &[2]), None).await.unwrap_err(),
            conversations.open(&caller(), draft(Kind::Group, Some("t"), &[2]), key("k")).await.unwrap_err(),
            conversations.open_direct(&caller(), user(2)).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!((error.code(), error.kind()), ("conversation_not_allowed", ErrorKind::Forbidden));
            let details = json!({
                "target_user_id": user(2),
                "reason": "no_medical_relationship",
                "suggestion": "book_an_appointment",
            });
            assert_eq!(error.details(), Some(details));
        }
    }
}

#[tokio::test]
async fn a_consultation_without_a_clinician_is_not_stored() {
    let mut house = House::default();
    house.knows(&[standing(2, Role::Patient, false)]);
    let admin = Caller { role: Role::MedicalAdmin, ..caller() };
    let error = house.open().open(&admin, draft(Kind::Consultation, None, &[2]), None).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("clinician_required", ErrorKind::Invalid));
}

#[tokio::test]
async fn a_second_direct_conversation_is_a_conflict_that_names_the_first() {
    let mut house = House::default();
    house.knows(&[standing(2, Role::Doctor, false)]);
    house.creates(Created::DirectExists(conversation(7)));
    let error = house.open().open(&caller(), draft(Kind::Direct, None, &[2]), None).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("direct_conversation_exists", ErrorKind::Conflict));
    assert_eq!(error.details(), Some(json!({"conversation_id": conversation(7)})));
}

#[tokio::test]
async fn opening_a_direct_conversation_by_its_person_finds_the_one_there_is() {
    for (answer, created) in [(None, true), (Some(1), false)] {
        let mut house = House::default();
        house.knows(&[standing(2, Role::Doctor, false)]);
        match answer {
            None => drop(house.creates(Created::New)),
            Some(n) => {
                house.store.expect_create().returning(move |_, _| Ok(Created::DirectExists(conversation(n))));
                house.has(Kind::Direct, &[(1, MODERATOR), (2, MODERATOR)]).await;
            }
        }
        let opened = house.open().open_direct(&caller(), user(2)).await.unwrap();
        assert_eq!(opened.created, created);
        assert_eq!(opened.conversation.kind, Kind::Direct);
    }
}

#[tokio::test]
async fn nobody_talks_to_themselves() {
    let error = House::default().open().open_direct(&caller(), user(1)).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("validation_failed", ErrorKind::Invalid));
    assert_eq!(error.details(), Some(json!({"field": "participants", "rule": "too_few", "min": 1})));
}

#[tokio::test]
async fn a_repeated_request_answers_the_first_result() {
    let mut house = House::default();
    house.knows(&[standing(2, Role::Doctor, false)]);
    house.store.expect_create().returning(|_, _| Ok(Created::Repeat(conversation(1))));
    house.has(Kind::Group, &[(1, MODERATOR), (2, MEMBER)]).await;
    let opened =
        house.open().open(&caller(), draft(Kind::Group, Some("Otro"), &[2]), key("k")).await.unwrap();
    assert!(!opened.created);
    assert_eq!(opened.conversation.id, conversation(1));
    assert_eq!(opened.conversation.title.as_deref(), Some("Seguimiento"), "as it was stored");
}

#[tokio::test]
async fn a_key_used_for_something_else_is_a_conflict() {
    let mut house = House::default();
    house.knows(&[standing(2, Role::Doctor, false)]);
    house.store.expect_create().returning(|_, _| Err(Error::KeyReused));
    let error = house.open().open(&caller(), draft(Kind::Group, None, &[2]), key("k")).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("idempotency_key_reused", ErrorKind::Conflict));
}

#[tokio::test]
async fn the_fingerprint_tells_a_retry_from_another_request() {
    let mut house = House::default();
    house.knows(&[standing(2, Role::Doctor, false), standing(3, Role::Doctor, false)]);
    let asked = house.creates(Created::New);
    let conversations = house.open();
    for (kind, title, others) in [
        (Kind::Group, "a", &[2, 3][..]),
        (Kind::Group, "a", &[3, 2, 3]),
        (Kind::Group, "b", &[2, 3]),
        (Kind::Consultation, "a", &[2, 3]),
        (Kind::Group, "a", &[2]),
    ] {
        conversations.open(&caller(), draft(kind, Some(title), others), key("k")).await.unwrap();
    }
    let asked = asked.lock().unwrap();
    let prints: Vec<_> = asked.iter().map(|(new, _)| new.idempotency.clone().unwrap().1).collect();
    assert_eq!(prints[0], prints[1], "the order of people and their repeats do not matter");
    assert!(prints[2..].iter().all(|print| *print != prints[0]));
}

// Reading

#[tokio::test]
async fn someone_who_is_not_in_it_finds_nothing() {
    let mut house = House::default();
    house.has(Kind::Group, &[(2, MODERATOR), (3, MEMBER)]).await;
    house.store.expect_audience().returning(|_| Ok(None));
    let conversations = house.open();
    let errors = [
        conversations.get(&caller(), conversation(1)).await.unwrap_err(),
        conversations.add(&caller(), conversation(1), user(4)).await.unwrap_err(),
        conversations.remove(&caller(), conversation(1), user(3)).await.unwrap_err(),
        conversations.audience(conversation(2)).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.code(), error.kind()), ("not_found", ErrorKind::NotFound));
    }
}

#[tokio::test]
async fn texts_moved_to_another_conversation_do_not_open() {
    let mut house = House::default();
    let mut stored = house.stored(1, Kind::Group, &[(1, MODERATOR)], Some("mine"), None).await;
    stored.title = house.sealed(2, "title", Some("another's")).await;
    house.store.expect_find().returning(move |_, _| Ok(Some(stored.clone())));
    let error = house.open().get(&caller(), conversation(1)).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("unavailable", ErrorKind::Unavailable));
}

// Membership

#[tokio::test]
async fn a_moderator_adds_someone_on_the_version_they_saw() {
    let mut house = House::default();
    house.has(Kind::Group, &[(1, MODERATOR), (2, MEMBER)]).await;
    house.knows(&[standing(3, Role::Patient, true)]);
    let now = house.clock.now();
    house.store.expect_add().times(1).returning(move |id, version, who, at, event| {
        assert_eq!((id, version, who, at), (conversation(1), 6, user(3), now));
        let added = ParticipantAdded { conversation_id: id, user_id: user(3), added_by: user(1) };
        assert_eq!(event.read::<ParticipantAdded>().unwrap(), added);
        Ok(())
    });
    let conversation = house.open().add(&caller(), conversation(1), user(3)).await.unwrap();
    assert_eq!(conversation.title.as_deref(), Some("Seguimiento"));
}

#[tokio::test]
async fn adding_someone_who_is_in_it_stores_nothing() {
    let mut house = House::default();
    house.has(Kind::Group, &[(1, MODERATOR), (2, MEMBER)]).await;
    let conversation = house.open().add(&caller(), conversation(1), user(2)).await.unwrap();
    assert_eq!(conversation.participants.len(), 2);
}

#[tokio::test]
async fn who_may_not_add_stores_nothing() {
    for (kind, role, standings, code) in [
        (Kind::Group, MEMBER, vec![standing(3, Role::Doctor, false)], "not_a_moderator"),
        (Kind::Direct, MODERATOR, vec![standing(3, Role::Doctor, false)], "direct_conversation_fixed"),
        (Kind::Group, MODERATOR, vec![standing(3, Role::Patient, false)], "conversation_not_allowed"),
        (Kind::Group, MODERATOR, vec![], "conversation_not_allowed"),
    ] {
        let mut house = House::default();
        house.has(kind, &[(1, role), (2, MODERATOR)]).await;
        house.knows(&standings);
        let error = house.open().add(&caller(), conversation(1), user(3)).await.unwrap_err();
        assert_eq!(error.code(), code);
    }
}

#[tokio::test]
async fn nobody_is_added_to_someone_with_whom_a_block_stands() {
    let block = |one, other, related| BlockedPair { one: user(one), other: user(other), related };
    for (kind, blocks, expected) in [
        (Kind::Group, vec![block(2, 3, false)], false),
        (Kind::Group, vec![block(3, 1, false)], false),
        (Kind::Consultation, vec![block(2, 3, false)], false),
        (Kind::Consultation, vec![block(2, 3, true)], true),
        (Kind::Group, vec![block(2, 3, true)], false),
        // Of those who are there already, it is not for the new one to pay.
        (Kind::Group, vec![block(1, 2, false)], true),
    ] {
        let mut house = House::default();
        house.has(kind, &[(1, MODERATOR), (2, MEMBER)]).await;
        house.knows_with_blocks(&[standing(3, Role::Doctor, false)], &blocks);
        house.store.expect_add().times(usize::from(expected)).returning(|_, _, _, _, _| Ok(()));
        match house.open().add(&caller(), conversation(1), user(3)).await {
            Ok(_) => assert!(expected, "{kind:?} {blocks:?}"),
            Err(error) => {
                assert!(!expected, "{kind:?} {blocks:?}");
                assert_eq!(error.code(), "conversation_not_allowed");
                assert_eq!(error.details().unwrap()["target_user_id"], json!(user(3)));
            }
        }
    }
}

#[tokio::test]
async fn two_of_whom_one_blocks_the_other_are_not_brought_together() {
    for (one, other) in [(2, 3), (3, 2)] {
        let mut house = House::default();
        let blocks = [BlockedPair { one: user(one), other: user(other), related: false }];
        house.knows_with_blocks(&[2, 3].map(|n| standing(n, Role::Doctor, false)), &blocks);
        let group = draft(Kind::Group, Some("t"), &[2, 3]);
        let error = house.open().open(&caller(), group, None).await.unwrap_err();
        assert_eq!(error.code(), "conversation_not_allowed");
    }
}

#[tokio::test]
async fn moderators_remove_others_and_members_leave() {
    for (role, gone) in [(MODERATOR, 3), (MEMBER, 1)] {
        let mut house = House::default();
        house.has(Kind::Group, &[(1, role), (2, MODERATOR), (3, MEMBER)]).await;
        let now = house.clock.now();
        house.store.expect_remove().times(1).returning(move |id, version, who, at, event| {
            assert_eq!((id, version, who, at), (conversation(1), 6, user(gone), now));
            let removed =
                ParticipantRemoved { conversation_id: id, user_id: user(gone), removed_by: user(1) };
            assert_eq!(event.read::<ParticipantRemoved>().unwrap(), removed);
            Ok(())
        });
        house.open().remove(&caller(), conversation(1), user(gone)).await.unwrap();
    }
}

#[tokio::test]
async fn who_may_not_remove_stores_nothing() {
    for (kind, others, gone, code) in [
        (Kind::Group, [(1, MEMBER), (2, MODERATOR)], 2, "not_a_moderator"),
        (Kind::Group, [(1, MODERATOR), (2, MEMBER)], 1, "last_moderator"),
        (Kind::Group, [(1, MODERATOR), (2, MEMBER)], 9, "not_found"),
        (Kind::Direct, [(1, MODERATOR), (2, MODERATOR)], 1, "direct_conversation_fixed"),
        (Kind::Direct, [(1, MODERATOR), (2, MODERATOR)], 2, "direct_conversation_fixed"),
    ] {
        let mut house = House::default();
        house.has(kind, &others).await;
        let error = house.open().remove(&caller(), conversation(1), user(gone)).await.unwrap_err();
        assert_eq!(error.code(), code);
    }
}

#[tokio::test]
async fn whoever_changes_it_at_the_same_time_is_told() {
    let mut house = House::default();
    house.has(Kind::Group, &[(1, MODERATOR), (2, MEMBER)]).await;
    house.knows(&[standing(3, Role::Doctor, false)]);
    house.store.expect_add().returning(|_, _, _, _, _| Err(Error::Stale));
    house.store.expect_remove().returning(|_, _, _, _, _| Err(Error::Stale));
    let conversations = house.open();
    let errors = [
        conversations.add(&caller(), conversation(1), user(3)).await.unwrap_err(),
        conversations.remove(&caller(), conversation(1), user(2)).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.code(), error.kind()), ("stale", ErrorKind::Conflict));
    }
}

#[tokio::test]
async fn the_audience_is_what_the_store_says() {
    let mut house = House::default();
    let audience = Audience { members_version: 4, members: vec![user(1), user(2)] };
    let answer = audience.clone();
    house.store.expect_audience().returning(move |_| Ok(Some(answer.clone())));
    assert_eq!(house.open().audience(conversation(1)).await.unwrap(), audience);
}

fn contains(sealed: &[u8], text: &str) -> bool {
    sealed.windows(text.len()).any(|window| window == text.as_bytes())
}

// Changing

#[tokio::test]
async fn a_change_is_sealed_and_made_on_the_versions_that_were_seen() {
    let mut house = House::default();
    house.has(Kind::Group, &[(1, MODERATOR), (2, MEMBER)]).await;
    house.store.expect_change().times(1).returning(|id, versions, by, change, _, event| {
        assert_eq!((id, versions.members, versions.details, by), (conversation(1), 6, 3, user(1)));
        let Change::Details(details, None) = change else { panic!("{change:?}") };
        assert!(!contains(details.title.as_ref().unwrap().as_bytes(), "Hipertensión"));
        let told = event.read::<ConversationUpdated>().unwrap();
        assert_eq!(told, ConversationUpdated { conversation_id: id, updated_by: by, is_personal: false });
        Ok(())
    });
    let patch = DetailsPatch { title: Some(Some("Hipertensión".to_owned())), ..DetailsPatch::default() };
    house.open().update(&caller(), conversation(1), &patch).await.unwrap();
}

#[tokio::test]
async fn a_member_changes_only_whether_they_are_told() {
    let mut house = House::default();
    house.has(Kind::Group, &[(1, MEMBER), (2, MODERATOR)]).await;
    house.store.expect_keep().times(1).returning(|_, who, _, _, event| {
        assert_eq!(who, user(1));
        assert!(event.read::<ConversationUpdated>().unwrap().is_personal);
        Ok(true)
    });
    let conversations = house.open();
    let quiet = DetailsPatch { notifications_enabled: Some(false), ..DetailsPatch::default() };
    conversations.update(&caller(), conversation(1), &quiet).await.unwrap();
    let renamed = DetailsPatch { title: Some(None), ..DetailsPatch::default() };
    let error = conversations.update(&caller(), conversation(1), &renamed).await.unwrap_err();
    assert_eq!(error.code(), "not_a_moderator");
    assert_eq!(
        conversations.close(&caller(), conversation(1), None).await.unwrap_err().code(),
        "not_a_moderator"
    );
}

/// Whoever it is: there would be a conversation that is always open, and nobody on call would hear of it.
#[tokio::test]
async fn nobody_opens_an_emergency_past_those_on_call() {
    for role in Role::ALL {
        let conversations = House::default().open();
        let draft = Draft::parse(user(1), Kind::Emergency, None, None, &[user(2)]).unwrap();
        let refused = conversations.open(&Caller { role, ..caller() }, draft, None).await.unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (ErrorKind::Invalid, "emergency_is_called"), "{role}");
        assert_eq!(refused.details().unwrap()["emergency_channel"], "/api/v1/emergencies");
    }
}

//! What is asked and stored when someone asks for a contact: against mocks and a clock that stands still.
#![cfg(test)]

use std::sync::{Arc, Mutex};

use alivio_accounts::{
    AskEffects, Asked, Block, Blocks, BlocksPorts, ContactRequested, Contacts, ContactsPorts,
    CredentialEpoch, Credentials, Email, Invitee, MockBlockStore, MockContactStore, MockUserStore,
    NewContactRequest, StoredContactRequest, StoredUser,
};
use alivio_kernel::ids::{SessionId, UserId, Uuid};
use alivio_kernel::sealing::PlainSealer;
use alivio_kernel::{
    AuditEntry, AuditSink, BoxError, Caller, DomainEvent, Effects, Language, ManualClock, Role, Sealed,
    SequentialIds,
};
use async_trait::async_trait;
use chrono::DateTime;

fn user(n: u128) -> UserId {
    Uuid::from_u128(n).into()
}

/// A doctor, who is user 1.
fn caller() -> Caller {
    let session_id = SessionId::from(Uuid::from_u128(0x55));
    Caller { user_id: user(1), role: Role::Doctor, session_id, address: None }
}

fn stored(n: u128, is_active: bool) -> StoredUser {
    StoredUser {
        id: user(n),
        identity: Sealed::from_bytes(vec![1]),
        role: Role::Doctor,
        professional_title: None,
        language: Language::Spanish,
        is_active,
        last_seen_at: None,
        created_at: DateTime::UNIX_EPOCH,
    }
}

/// By address: who has it, and whether they can be reached.
#[tokio::test]
async fn as_much_is_asked_about_an_address_that_nobody_has() {
    for (owner, reaches) in
        [(None, None), (Some(stored(2, false)), None), (Some(stored(3, true)), Some(user(3)))]
    {
        let mut users = MockUserStore::new();
        let found = owner.clone();
        users.expect_credentials().times(1).returning(move |_| {
            let credentials = |user| Credentials {
                user,
                password_hash: None,
                must_change_password: false,
                epoch: CredentialEpoch::default(),
            };
            Ok(found.clone().map(credentials))
        });
        users.expect_by_ids().times(1).returning(move |ids| {
            assert_eq!(ids.len(), 1);
            Ok(owner.clone().into_iter().filter(|owner| ids.contains(&owner.id)).collect())
        });
        users.expect_related().times(1).returning(|_, others| {
            assert_eq!(others.len(), 1);
            Ok(Vec::new())
        });
        let asked: Arc<Mutex<Vec<(NewContactRequest, AskEffects)>>> = Arc::default();
        let seen = Arc::clone(&asked);
        let mut contacts = MockContactStore::new();
        contacts.expect_ask().times(1).returning(move |new, _, effects| {
            seen.lock().unwrap().push((new.clone(), effects.clone()));
            Ok(Asked::Open(StoredContactRequest {
                id: new.id,
                from: new.from,
                named: new.named.clone(),
                nickname: None,
                created_at: new.created_at,
            }))
        });
        let service = Contacts::new(ContactsPorts {
            contacts: Arc::new(contacts),
            users: Arc::new(users),
            sealer: Arc::new(PlainSealer::default()),
            clock: Arc::new(ManualClock::default()),
            ids: Arc::new(SequentialIds::default()),
        });
        let invitee = Invitee::Email(Email::parse("eva@clinic.example").unwrap());
        service.ask(&caller(), invitee, None).await.unwrap();

        let asked = asked.lock().unwrap();
        let [(new, left)] = &asked[..] else { panic!("not stored once") };
        assert_eq!(new.reaches, reaches);
        // Whatever comes of it leaves one event and one entry; who is to hear of it is all that differs.
        let told = |effects: &Effects| effects.events[0].read::<ContactRequested>().unwrap().to;
        let mut possible = vec![(&left.unreached, None)];
        if reaches.is_some() {
            possible.extend([(&left.reached, reaches), (&left.repeated, None)]);
        }
        for (effects, to) in possible {
            assert_eq!((effects.events.len(), effects.audit.len()), (1, 1));
            assert_eq!(effects.events[0].kind, ContactRequested::KIND);
            assert_eq!(told(effects), to);
            assert_eq!(effects.audit[0].subject, None, "it is not for the other's access log");
        }
    }
}

struct NoRefusals;

#[async_trait]
impl AuditSink for NoRefusals {
    async fn record(&self, _: &[AuditEntry]) -> Result<(), BoxError> {
        panic!("nothing is refused here")
    }
}

/// Whom an entry concerns reads it in their access log.
#[tokio::test]
async fn blocks_and_removals_are_recorded_with_the_other_as_their_object() {
    let entries: Arc<Mutex<Vec<AuditEntry>>> = Arc::default();
    let recorded = |effects: &Effects, entries: &Mutex<Vec<AuditEntry>>| {
        entries.lock().unwrap().extend_from_slice(&effects.audit);
    };
    let mut users = MockUserStore::new();
    users.expect_by_ids().returning(|_| Ok(vec![stored(2, true)]));
    users.expect_related().returning(|_, _| Ok(Vec::new()));
    let users = Arc::new(users);
    let (mut blocks, mut contacts) = (MockBlockStore::new(), MockContactStore::new());
    let seen = Arc::clone(&entries);
    blocks.expect_block().returning(move |block: &Block, _, effects| {
        recorded(effects, &seen);
        Ok((*block, true))
    });
    let seen = Arc::clone(&entries);
    blocks.expect_unblock().returning(move |_, _, effects| {
        recorded(effects, &seen);
        Ok(())
    });
    let seen = Arc::clone(&entries);
    contacts.expect_remove().returning(move |_, _, effects| {
        recorded(effects, &seen);
        Ok(true)
    });
    let (clock, ids) = (Arc::new(ManualClock::default()), Arc::new(SequentialIds::default()));
    let blocks = Blocks::new(BlocksPorts {
        blocks: Arc::new(blocks),
        users: Arc::clone(&users) as _,
        audit: Arc::new(NoRefusals),
        clock: Arc::clone(&clock) as _,
        ids: Arc::clone(&ids) as _,
    });
    let contacts = Contacts::new(ContactsPorts {
        contacts: Arc::new(contacts),
        users,
        sealer: Arc::new(PlainSealer::default()),
        clock,
        ids,
    });
    blocks.block(&caller(), user(2)).await.unwrap();
    blocks.unblock(&caller(), user(2)).await.unwrap();
    contacts.remove(&caller(), user(2)).await.unwrap();
    let entries = entries.lock().unwrap();
    let actions: Vec<_> = entries.iter().map(|entry| entry.action).collect();
    assert_eq!(actions, ["block.raised", "block.lifted", "contact.removed"]);
    for entry in entries.iter() {
        assert_eq!((entry.subject, entry.object), (None, Some(("user", user(2).uuid()))), "{}", entry.action);
    }
}

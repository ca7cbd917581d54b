//! What administrators do with accounts: against mocks and a clock that stands still.
#![cfg(test)]

use std::sync::{Arc, Mutex};

use alivio_accounts::{
    AccountChange, Administration, AdministrationPorts, Changed, Email, Error, Identity, MockPasswordHasher,
    MockTokenMint, MockUserAdministration, MockUserStore, NewAdministrator, RevocationReason,
    SessionsRevoked, StoredUser, UserQuery,
};
use alivio_kernel::audit::Outcome;
use alivio_kernel::ids::{SessionId, UserId, Uuid};
use alivio_kernel::sealing::PlainSealer;
use alivio_kernel::{
    AuditEntry, AuditSink, BoxError, Caller, Clock, Denied, Effects, Language, ManualClock, PageSize, Role,
    Sealer, Sensitive, SequentialIds,
};
use async_trait::async_trait;

#[derive(Default)]
struct Sink(Mutex<Vec<AuditEntry>>);

#[async_trait]
impl AuditSink for Sink {
    async fn record(&self, entries: &[AuditEntry]) -> Result<(), BoxError> {
        self.0.lock().unwrap().extend_from_slice(entries);
        Ok(())
    }
}

/// What the store was asked to change.
type Asked = Arc<Mutex<Vec<(UserId, AccountChange, RevocationReason, Effects)>>>;

/// Everything around the service. A call that a test did not provide for is a failure.
#[derive(Default)]
struct House {
    administration: MockUserAdministration,
    users: MockUserStore,
    audit: Arc<Sink>,
    passwords: MockPasswordHasher,
    tokens: MockTokenMint,
    sealer: Arc<PlainSealer>,
    clock: Arc<ManualClock>,
}

impl House {
    fn open(self) -> Administration {
        Administration::new(AdministrationPorts {
            administration: Arc::new(self.administration),
            users: Arc::new(self.users),
            audit: self.audit,
            passwords: Arc::new(self.passwords),
            tokens: Arc::new(self.tokens),
            sealer: self.sealer,
            clock: self.clock,
            ids: Arc::new(SequentialIds::default()),
        })
    }

    /// This user, and nobody else, exists.
    async fn knows(&mut self, id: UserId, role: Role) {
        let identity = serde_json::to_vec(&identity()).unwrap();
        let user = StoredUser {
            id,
            identity: self.sealer.seal(&Identity::context(id), &identity).await.unwrap(),
            role,
            professional_title: None,
            language: Language::Spanish,
            is_active: true,
            last_seen_at: None,
            created_at: self.clock.now(),
        };
        self.users
            .expect_by_ids()
            .returning(move |ids| Ok(if ids.contains(&user.id) { vec![user.clone()] } else { vec![] }));
    }

    fn changes(&mut self, answer: Changed) -> Asked {
        let asked = Asked::default();
        let seen = Arc::clone(&asked);
        self.administration.expect_change().returning(move |user, change, reason, _, effects| {
            seen.lock().unwrap().push((user, change, reason, effects));
            Ok(answer)
        });
        asked
    }
}

fn identity() -> Identity {
    Identity {
        email: Email::parse("ana@clinic.example").unwrap(),
        full_name: "Ana López".into(),
        display_name: "Ana".into(),
    }
}

fn user(n: u128) -> UserId {
    Uuid::from_u128(n).into()
}

fn caller(role: Role) -> Caller {
    Caller { user_id: user(1), role, session_id: SessionId::from(Uuid::from_u128(2)), address: None }
}

#[tokio::test]
async fn what_ends_sessions_says_so_in_the_same_breath() {
    let it = caller(Role::ItAdmin);
    let changes = [
        (AccountChange::Deactivate, "user.deactivated", Some(RevocationReason::Deactivated)),
        (AccountChange::Activate, "user.activated", None),
        (AccountChange::Role(Role::Student), "user.role_changed", Some(RevocationReason::RoleChanged)),
        (AccountChange::EndSessions, "user.sessions_revoked", Some(RevocationReason::Administrator)),
    ];
    for (change, action, reason) in changes {
        let mut house = House::default();
        house.knows(user(5), Role::Doctor).await;
        let asked = house.changes(Changed::Done);
        let service = house.open();
        match change {
            AccountChange::Deactivate => drop(service.deactivate(&it, user(5)).await.unwrap()),
            AccountChange::Activate => drop(service.activate(&it, user(5)).await.unwrap()),
            AccountChange::Role(role) => drop(service.set_role(&it, user(5), role).await.unwrap()),
            AccountChange::EndSessions => service.revoke_sessions(&it, user(5)).await.unwrap(),
        }
        let (who, what, why, effects) = asked.lock().unwrap().pop().unwrap();
        assert_eq!((who, what), (user(5), change));
        let [entry] = effects.audit.as_slice() else { panic!("one entry") };
        assert_eq!((entry.action, entry.subject, entry.outcome), (action, Some(user(5)), Outcome::Done));
        let events: Vec<_> = effects.events.iter().map(|e| e.read::<SessionsRevoked>().unwrap()).collect();
        let expected = reason.map(|reason| SessionsRevoked { user_id: user(5), except: None, reason });
        assert_eq!(events, expected.into_iter().collect::<Vec<_>>());
        if let Some(reason) = reason {
            assert_eq!(why, reason);
        }
        if let AccountChange::Role(role) = change {
            assert_eq!(entry.reason, Some(role.as_str()));
        }
    }
}

#[tokio::test]
async fn whoever_may_not_is_refused_and_recorded_before_anything_is_looked_at() {
    let query = UserQuery {
        role: None,
        is_active: None,
        email: None,
        after: None,
        offset: 0,
        size: PageSize::parse(None, 9).unwrap(),
    };
    for role in [Role::MedicalAdmin, Role::Doctor, Role::Patient, Role::Student] {
        let house = House::default();
        let audit = Arc::clone(&house.audit);
        let (service, caller) = (house.open(), caller(role));
        let refused = [
            service.list(&caller, &query).await.err(),
            service.show(&caller, user(5)).await.err(),
            service.deactivate(&caller, user(5)).await.err(),
            service.activate(&caller, user(5)).await.err(),
            service.set_role(&caller, user(5), Role::ItAdmin).await.err(),
            service.revoke_sessions(&caller, user(5)).await.err(),
        ];
        for error in refused {
            assert!(matches!(error, Some(Error::Denied(Denied::MissingScope(_)))), "{role}: {error:?}");
        }
        let entries = audit.0.lock().unwrap();
        assert_eq!(entries.len(), 6);
        assert!(entries.iter().all(|e| e.outcome == Outcome::Denied && e.reason == Some("missing_scope")));
    }
}

#[tokio::test]
async fn nobody_changes_their_own_account() {
    let house = House::default();
    let audit = Arc::clone(&house.audit);
    let (service, it) = (house.open(), caller(Role::ItAdmin));
    let refused = [
        service.deactivate(&it, it.user_id).await.err(),
        service.activate(&it, it.user_id).await.err(),
        service.set_role(&it, it.user_id, Role::Doctor).await.err(),
        service.revoke_sessions(&it, it.user_id).await.err(),
    ];
    for error in refused {
        assert!(matches!(error, Some(Error::Denied(Denied::OwnAccount))), "{error:?}");
    }
    assert!(audit.0.lock().unwrap().iter().all(|entry| entry.reason == Some("own_account")));
}

#[tokio::test]
async fn a_patient_never_becomes_staff_nor_staff_a_patient() {
    for (from, to) in
        [(Role::Patient, Role::ItAdmin), (Role::Patient, Role::Doctor), (Role::Student, Role::Patient)]
    {
        let mut house = House::default();
        house.knows(user(5), from).await;
        let error = house.open().set_role(&caller(Role::ItAdmin), user(5), to).await.unwrap_err();
        assert!(matches!(error, Error::RoleNotAssignable), "{from} {to}: {error:?}");
    }
}

#[tokio::test]
async fn what_the_store_refuses_is_told() {
    for (answer, code) in
        [(Changed::LastAdministrator, "last_administrator"), (Changed::NoSuchUser, "not_found")]
    {
        let mut house = House::default();
        house.knows(user(5), Role::ItAdmin).await;
        house.changes(answer);
        let error = house.open().deactivate(&caller(Role::ItAdmin), user(5)).await.unwrap_err();
        assert_eq!(alivio_kernel::DomainError::code(&error), code);
    }
    let mut house = House::default();
    house.knows(user(5), Role::ItAdmin).await;
    let error = house.open().deactivate(&caller(Role::ItAdmin), user(6)).await.unwrap_err();
    assert!(matches!(error, Error::NotFound), "{error:?}");
}

#[tokio::test]
async fn a_password_that_is_made_up_must_be_changed() {
    let mut house = House::default();
    house.tokens.expect_secret().returning(|prefix| Ok(Sensitive::new(format!("{prefix}0123456789"))));
    house
        .passwords
        .expect_hash()
        .returning(|password| Ok(Sensitive::new(format!("hash of {}", password.expose()))));
    house
        .administration
        .expect_insert_administrator()
        .withf(|user, _, hash, must_change, force, effects| {
            user.role == Role::ItAdmin
                && user.is_active
                && hash.expose() == "hash of alp_0123456789"
                && *must_change
                && !*force
                && effects.audit[0].subject == Some(user.id)
        })
        .times(1)
        .returning(|_, _, _, _, _, _| Ok(()));
    let new = NewAdministrator { identity: identity(), password: None, force: false };
    let (_, shown) = house.open().create_administrator(new).await.unwrap();
    assert_eq!(shown.unwrap().expose(), "alp_0123456789");
}

//! What one can do with accounts: state, events and error codes, against mocks and a clock that stands
//! still.
#![cfg(test)]

use std::sync::{Arc, Mutex};

use alivio_accounts::{
    AccessClaims, Accounts, AccountsPorts, Attempt, Confirmed, CredentialEpoch, Credentials, Email,
    Enrolment, Error, Identity, LiveSession, MAX_SESSIONS, MockGuardStore, MockOneTimeCodes,
    MockPasswordStore, MockSecondFactorStore, MockSessionStore, MockUserStore, NewSession, NewUser,
    OneTimeCode, Password, PasswordHasher, Proof, RecoveryCode, RevocationReason, Rotation, SecondFactor,
    SecondFactorPorts, SecretHash, SessionRevoked, SessionStage, SessionsRevoked, SignInPolicy, StoredFactor,
    StoredUser, TokenMint,
};
use alivio_kernel::ids::{SessionId, UserId, Uuid};
use alivio_kernel::sealing::PlainSealer;
use alivio_kernel::{
    AuditEntry, AuditSink, BoxError, Caller, Clock, DomainError, Effects, ErrorKind, Language, ManualClock,
    Origin, Role, Sealed, Sealer, Sensitive, SequentialIds,
};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

const ADDRESS: &str = "ana@clinic.example";
/// Of Ana's credentials.
const EPOCH: CredentialEpoch = CredentialEpoch(3);

/// Everything around the service. A call that a test did not provide for is a failure.
#[derive(Default)]
struct Clinic {
    users: MockUserStore,
    password_store: MockPasswordStore,
    sessions: MockSessionStore,
    factors: MockSecondFactorStore,
    codes: MockOneTimeCodes,
    policy: SignInPolicy,
    trail: Arc<Trail>,
    hasher: Arc<Hasher>,
    mint: Arc<Mint>,
    sealer: Arc<PlainSealer>,
    clock: Arc<ManualClock>,
}

/// A session that was ended, why, and what was stored with it.
type Ended = (SessionId, RevocationReason, Effects);

/// Refusals that were recorded.
#[derive(Default)]
struct Trail(Mutex<Vec<AuditEntry>>);

impl Trail {
    fn reasons(&self) -> Vec<Option<&'static str>> {
        self.0.lock().unwrap().iter().map(|entry| entry.reason).collect()
    }
}

#[async_trait]
impl AuditSink for Trail {
    async fn record(&self, entries: &[AuditEntry]) -> Result<(), BoxError> {
        self.0.lock().unwrap().extend_from_slice(entries);
        Ok(())
    }
}

impl Clinic {
    fn open(self) -> Accounts {
        self.open_both().0
    }

    fn open_both(self) -> (Accounts, SecondFactor) {
        let passwords = self.hasher;
        let factors = Arc::new(self.factors);
        let accounts = Accounts::new(AccountsPorts {
            users: Arc::new(self.users),
            sessions: Arc::new(self.sessions),
            second_factors: Arc::clone(&factors) as _,
            policy: self.policy,
            passwords: Arc::clone(&passwords) as _,
            tokens: Arc::clone(&self.mint) as _,
            password_store: Arc::new(self.password_store),
            guards: Arc::new(open_gate()),
            sealer: Arc::clone(&self.sealer) as _,
            clock: Arc::clone(&self.clock) as _,
            ids: Arc::new(SequentialIds::default()),
        });
        let second_factor = SecondFactor::new(
            accounts.clone(),
            SecondFactorPorts {
                factors,
                codes: Arc::new(self.codes),
                passwords,
                tokens: self.mint,
                sealer: self.sealer,
                audit: self.trail,
                clock: self.clock,
                ids: Arc::new(SequentialIds::default()),
            },
        );
        (accounts, second_factor)
    }

    /// Ana, with the password `correcta`.
    async fn ana(&self, role: Role) -> StoredUser {
        let identity = serde_json::to_vec(&identity()).unwrap();
        StoredUser {
            id: ana(),
            identity: self.sealer.seal(&Identity::context(ana()), &identity).await.unwrap(),
            role,
            professional_title: Some("Cardióloga".into()),
            language: Language::Spanish,
            is_active: true,
            last_seen_at: None,
            created_at: self.clock.now(),
        }
    }

    /// The address book holds `user` under Ana's address, and nobody else.
    fn knows(&mut self, user: StoredUser) {
        let index = self.sealer.blind_index("users.email", ADDRESS.as_bytes());
        let credentials = Credentials {
            user: user.clone(),
            password_hash: Some(hash_of("correcta")),
            must_change_password: false,
            epoch: EPOCH,
        };
        let own = credentials.clone();
        self.password_store.expect_by_user().returning(move |_| Ok(Some(own.clone())));
        self.users
            .expect_credentials()
            .returning(move |asked| Ok((asked == index).then(|| credentials.clone())));
        self.users.expect_by_ids().returning(move |_| Ok(vec![user.clone()]));
    }

    /// Nobody has a second factor.
    fn has_no_factors(&mut self) {
        self.factors.expect_find().returning(|_| Ok(None));
    }

    /// Sessions can be opened, and are noted.
    fn opens_sessions(&mut self) -> Arc<Mutex<Vec<NewSession>>> {
        let opened = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&opened);
        self.sessions.expect_open().returning(move |session, admission| {
            assert_eq!(admission.max_live, MAX_SESSIONS);
            assert_eq!(admission.effects.audit[0].action, "session.opened");
            seen.lock().unwrap().push(session.clone());
            Ok(vec![])
        });
        opened
    }

    /// Sessions can be ended, and the reasons and events are noted.
    fn ends_sessions(&mut self) -> Arc<Mutex<Vec<Ended>>> {
        let ended = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&ended);
        let now = self.clock.now();
        self.sessions.expect_revoke().returning(move |session, owner, reason, at, effects| {
            assert_eq!((at, owner), (now, ana()));
            assert_eq!((effects.events[0].at, effects.audit[0].at), (now, now));
            seen.lock().unwrap().push((session, reason, effects));
            Ok(true)
        });
        ended
    }
}

/// Admits every try.
fn open_gate() -> MockGuardStore {
    let mut guards = MockGuardStore::new();
    guards.expect_admit().returning(|_, _| Ok(true));
    guards.expect_settle().returning(|_, _, _, _| Ok(()));
    guards
}

/// Finds a password right when it made the "hash", and notes whether there was one to compare with.
#[derive(Default)]
struct Hasher {
    asked: Mutex<Vec<bool>>,
}

fn hash_of(password: &str) -> Sensitive<String> {
    Sensitive::new(format!("#{}", password.chars().rev().collect::<String>()))
}

#[async_trait]
impl PasswordHasher for Hasher {
    async fn hash(&self, password: &Password) -> Result<Sensitive<String>, Error> {
        Ok(hash_of(password.expose()))
    }

    async fn verify(&self, password: &Password, hash: Option<Sensitive<String>>) -> Result<bool, Error> {
        self.asked.lock().unwrap().push(hash.is_some());
        if password.expose() == "uno más" {
            return Err(Error::Busy);
        }
        Ok(hash == Some(hash_of(password.expose())))
    }

    fn is_outdated(&self, _: &Sensitive<String>) -> bool {
        false
    }
}

/// Tokens are numbers into the list of those it has signed.
#[derive(Default)]
struct Mint {
    signed: Mutex<Vec<AccessClaims>>,
    secrets: Mutex<u32>,
}

impl Mint {
    fn claims(&self, token: &Sensitive<String>) -> AccessClaims {
        self.signed.lock().unwrap()[token.expose().parse::<usize>().unwrap()]
    }
}

impl TokenMint for Mint {
    fn access(&self, claims: &AccessClaims) -> Result<Sensitive<String>, Error> {
        let mut signed = self.signed.lock().unwrap();
        signed.push(*claims);
        Ok(Sensitive::new((signed.len() - 1).to_string()))
    }

    fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<AccessClaims, Error> {
        let number: usize = token.parse().map_err(|_| Error::InvalidToken)?;
        let claims = self.signed.lock().unwrap().get(number).copied();
        claims.filter(|claims| now < claims.expires_at).ok_or(Error::InvalidToken)
    }

    fn secret(&self, prefix: &'static str) -> Result<Sensitive<String>, Error> {
        let mut secrets = self.secrets.lock().unwrap();
        *secrets += 1;
        Ok(Sensitive::new(format!("{prefix}{secrets}")))
    }

    fn mac(&self, purpose: &'static str, bytes: &[u8]) -> [u8; 32] {
        let mut mac = [0; 32];
        mac.iter_mut().zip(purpose.bytes().chain(bytes.iter().copied())).for_each(|(to, from)| *to = from);
        mac
    }

    fn derive(&self, purpose: &'static str, id: Uuid) -> Sensitive<String> {
        Sensitive::new(format!("{purpose}{id}"))
    }

    fn digest(&self, secret: &str) -> SecretHash {
        let mut hash = [0; 32];
        hash.iter_mut().zip(secret.bytes()).for_each(|(to, from)| *to = from ^ 0xff);
        SecretHash(hash)
    }
}

fn ana() -> UserId {
    Uuid::from_u128(0xAA).into()
}

fn identity() -> Identity {
    Identity {
        email: Email::parse(ADDRESS).unwrap(),
        full_name: "Ana López Ruiz".into(),
        display_name: "Dra. Ana López".into(),
    }
}

fn password(typed: &str) -> Password {
    Password::parse(typed.into()).unwrap()
}

fn caller() -> Caller {
    Caller { user_id: ana(), role: Role::Doctor, session_id: Uuid::from_u128(0x55).into(), address: None }
}

fn live(expires_at: DateTime<Utc>) -> LiveSession {
    LiveSession {
        caller: caller(),
        stage: SessionStage::Full,
        expires_at,
        last_active_at: ManualClock::default().now(),
    }
}

// Accounts

#[tokio::test]
async fn an_account_is_made_without_showing_who_it_is_for() {
    let mut clinic = Clinic::default();
    let (sealer, now) = (Arc::clone(&clinic.sealer), clinic.clock.now());
    let stored = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&stored);
    clinic.users.expect_insert().times(1).returning(move |user, index, hash| {
        *seen.lock().unwrap() = Some((user.clone(), index, hash.clone()));
        Ok(())
    });
    let new = NewUser {
        identity: identity(),
        role: Role::Doctor,
        professional_title: None,
        language: Language::Spanish,
        password: password("correcta"),
    };
    let id = clinic.open().create(new).await.unwrap();

    let (user, index, hash) = stored.lock().unwrap().take().unwrap();
    assert_eq!((user.id, user.role, user.is_active), (id, Role::Doctor, true));
    assert_eq!((user.created_at, user.last_seen_at), (now, None));
    assert_eq!(index, sealer.blind_index("users.email", ADDRESS.as_bytes()));
    assert_eq!(hash, hash_of("correcta"));
    let bytes = user.identity.as_bytes();
    assert!(!bytes.windows(3).any(|w| w == b"ana" || w == b"Ana"), "the store sees no plain text");
    let opened = sealer.open_many(&[(Identity::context(id), &user.identity)]).await.unwrap();
    assert_eq!(serde_json::from_slice::<Identity>(&opened[0]).unwrap(), identity());
}

#[tokio::test]
async fn an_address_has_one_account() {
    let mut clinic = Clinic::default();
    clinic.users.expect_insert().returning(|_, _, _| Err(Error::EmailTaken));
    let new = NewUser {
        identity: identity(),
        role: Role::Patient,
        professional_title: None,
        language: Language::Spanish,
        password: password("correcta"),
    };
    let error = clinic.open().create(new).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("email_taken", ErrorKind::Conflict));
}

#[tokio::test]
async fn an_identity_moved_from_another_user_does_not_open() {
    let mut clinic = Clinic::default();
    let stolen = StoredUser { id: Uuid::from_u128(0xBB).into(), ..clinic.ana(Role::Doctor).await };
    clinic.knows(stolen);
    let error = clinic.open().users(&[ana()]).await.unwrap_err();
    assert_eq!(error.code(), "unavailable");
}

// Signing in

#[tokio::test]
async fn a_sign_in_opens_a_session_with_its_limits() {
    let mut clinic = Clinic::default();
    let ana_stored = clinic.ana(Role::Doctor).await;
    clinic.knows(ana_stored);
    clinic.has_no_factors();
    let opened = clinic.opens_sessions();
    let (mint, now) = (Arc::clone(&clinic.mint), clinic.clock.now());
    let sign_in = clinic
        .open()
        .login(" Ana@Clinic.EXAMPLE ", &password("correcta"), None, &Origin::default())
        .await
        .unwrap();

    let [session] = opened.lock().unwrap()[..].to_vec().try_into().unwrap();
    let NewSession { id, user_id, epoch, created_at, expires_at, stage, origin, refresh, replaces } = session;
    let refresh = refresh.unwrap();
    assert_eq!((stage, origin, replaces), (SessionStage::Full, Origin::default(), None));
    assert_eq!((user_id, epoch, created_at), (ana(), EPOCH, now));
    assert_eq!(expires_at, now + TimeDelta::hours(12), "no session is longer");
    assert_eq!(refresh.expires_at, expires_at, "the session goes idle before");
    assert!(sign_in.tokens.refresh.as_ref().unwrap().expose().starts_with("alr_"));
    assert_eq!(
        refresh.hash,
        mint.digest(sign_in.tokens.refresh.as_ref().unwrap().expose()),
        "stored as a digest only"
    );
    let claims = mint.claims(&sign_in.tokens.access);
    assert_eq!((claims.user_id, claims.session_id), (ana(), id));
    assert_eq!((claims.issued_at, claims.expires_at), (now, now + TimeDelta::minutes(10)));
    assert_eq!((sign_in.user.identity, sign_in.redirect_to), (identity(), "/doctor"));
}

#[tokio::test]
async fn failed_sign_ins_answer_alike_and_cost_alike() {
    for (address, typed, is_active, compared) in [
        ("nobody@clinic.example", "correcta", true, false),
        ("no address", "correcta", true, false),
        (ADDRESS, "equivocada", true, true),
        (ADDRESS, "correcta", false, true),
        (ADDRESS, "equivocada", false, true),
    ] {
        let mut clinic = Clinic::default();
        let user = StoredUser { is_active, ..clinic.ana(Role::Doctor).await };
        clinic.knows(user);
        let hasher = Arc::clone(&clinic.hasher);
        let error =
            clinic.open().login(address, &password(typed), None, &Origin::default()).await.unwrap_err();
        assert!(matches!(error, Error::InvalidCredentials), "{address} {typed}: {error:?}");
        assert_eq!((error.code(), error.kind()), ("invalid_credentials", ErrorKind::Unauthenticated));
        assert_eq!(error.details(), None);
        assert_eq!(*hasher.asked.lock().unwrap(), [compared], "hashed once, whatever the reason");
    }
}

#[tokio::test]
async fn too_many_sign_ins_are_told_to_come_back() {
    for address in [ADDRESS, "nobody@clinic.example"] {
        let mut clinic = Clinic::default();
        let user = clinic.ana(Role::Doctor).await;
        clinic.knows(user);
        let error =
            clinic.open().login(address, &password("uno más"), None, &Origin::default()).await.unwrap_err();
        assert_eq!((error.code(), error.kind()), ("busy", ErrorKind::Unavailable));
    }
}

// Refreshing

#[tokio::test]
async fn a_refresh_swaps_the_token_for_a_new_pair() {
    let mut clinic = Clinic::default();
    let user = clinic.ana(Role::MedicalAdmin).await;
    clinic.knows(user);
    let (mint, now) = (Arc::clone(&clinic.mint), clinic.clock.now());
    let presented = mint.digest("alr_old");
    let offered = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&offered);
    clinic.sessions.expect_rotate().times(1).returning(move |old, next, at, next_expires_at| {
        assert_eq!((old, at), (presented, now));
        assert_eq!(next_expires_at, now + TimeDelta::hours(12), "the session ends before");
        *seen.lock().unwrap() = Some(next);
        Ok(Rotation::Rotated(live(now + TimeDelta::hours(5))))
    });
    let sign_in = clinic.open().refresh("alr_old", &Origin::default()).await.unwrap();

    assert_eq!(
        *offered.lock().unwrap(),
        Some(mint.digest(sign_in.tokens.refresh.as_ref().unwrap().expose()))
    );
    assert_ne!(sign_in.tokens.refresh.as_ref().unwrap().expose(), "alr_old");
    let claims = mint.claims(&sign_in.tokens.access);
    assert_eq!((claims.user_id, claims.session_id), (ana(), caller().session_id));
    assert_eq!((claims.issued_at, claims.expires_at), (now, now + TimeDelta::minutes(10)));
    assert_eq!((sign_in.user.role, sign_in.redirect_to), (Role::MedicalAdmin, "/admin"));
}

#[tokio::test]
async fn an_access_token_never_outlives_its_session() {
    let mut clinic = Clinic::default();
    let user = clinic.ana(Role::Doctor).await;
    clinic.knows(user);
    let (mint, now) = (Arc::clone(&clinic.mint), clinic.clock.now());
    let end = now + TimeDelta::minutes(3);
    clinic.sessions.expect_rotate().returning(move |_, _, _, _| Ok(Rotation::Rotated(live(end))));
    let sign_in = clinic.open().refresh("alr_old", &Origin::default()).await.unwrap();
    assert_eq!(mint.claims(&sign_in.tokens.access).expires_at, end);
}

#[tokio::test]
async fn a_refresh_token_used_twice_ends_its_session() {
    let mut clinic = Clinic::default();
    let ended = clinic.ends_sessions();
    let session_id = caller().session_id;
    clinic
        .sessions
        .expect_rotate()
        .returning(move |_, _, _, _| Ok(Rotation::Reused { session_id, user_id: ana() }));
    let origin = Origin { address: Some([192, 0, 2, 7].into()), device: None };
    let error = clinic.open().refresh("alr_used", &origin).await.unwrap_err();

    assert_eq!((error.code(), error.kind()), ("invalid_refresh_token", ErrorKind::Unauthenticated));
    let [(session, reason, effects)] = &ended.lock().unwrap()[..] else { panic!("not ended once") };
    let reason = *reason;
    assert_eq!((*session, reason), (session_id, RevocationReason::TokenReuse));
    assert_eq!(effects.audit[0].address, origin.address);
    assert_eq!(
        effects.events[0].read::<SessionRevoked>().unwrap(),
        SessionRevoked { session_id, user_id: ana(), reason }
    );
}

#[tokio::test]
async fn a_refused_refresh_token_ends_nothing() {
    let mut clinic = Clinic::default();
    clinic.sessions.expect_rotate().returning(|_, _, _, _| Ok(Rotation::Refused));
    let error = clinic.open().refresh("alr_unknown", &Origin::default()).await.unwrap_err();
    assert_eq!(error.code(), "invalid_refresh_token", "the same answer as for a used one");
}

// Using and ending

#[tokio::test]
async fn signing_out_ends_the_session_of_the_caller() {
    let mut clinic = Clinic::default();
    let ended = clinic.ends_sessions();
    clinic.open().logout(&caller()).await.unwrap();
    let [(session, reason, effects)] = &ended.lock().unwrap()[..] else { panic!("not ended once") };
    assert_eq!((*session, *reason), (caller().session_id, RevocationReason::Logout));
    assert_eq!((effects.audit[0].action, effects.audit[0].actor), ("session.revoked", Some(ana())));
    let revoked = effects.events[0].read::<SessionRevoked>().unwrap();
    assert_eq!((revoked.session_id, revoked.user_id), (caller().session_id, ana()));
    assert_eq!(revoked.reason, RevocationReason::Logout);
}

#[tokio::test]
async fn an_access_token_is_good_for_its_live_session_until_it_expires() {
    let mut clinic = Clinic::default();
    let (mint, clock) = (Arc::clone(&clinic.mint), Arc::clone(&clinic.clock));
    let token = mint.access(&claims(ana(), clock.now())).unwrap();
    let answer = live(clock.now() + TimeDelta::hours(5));
    let now = clock.now();
    clinic
        .sessions
        .expect_live()
        .withf(move |session, at| (*session, *at) == (caller().session_id, now))
        .times(1)
        .returning(move |_, _| Ok(Some(answer)));
    let accounts = clinic.open();
    assert_eq!(accounts.authenticate(token.expose()).await.unwrap(), answer);

    clock.advance(TimeDelta::minutes(10));
    for bad in [token.expose().as_str(), "not ours"] {
        // No session is looked up for a token that proves nothing: the mock would refuse.
        let error = accounts.authenticate(bad).await.unwrap_err();
        assert_eq!((error.code(), error.kind()), ("invalid_token", ErrorKind::Unauthenticated));
    }
}

#[tokio::test]
async fn the_token_of_an_ended_session_is_refused() {
    let mut clinic = Clinic::default();
    let token = clinic.mint.access(&claims(ana(), clinic.clock.now())).unwrap();
    clinic.sessions.expect_live().returning(|_, _| Ok(None));
    let error = clinic.open().authenticate(token.expose()).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("session_ended", ErrorKind::Unauthenticated));
}

#[tokio::test]
async fn a_token_does_not_open_the_session_of_another_user() {
    let mut clinic = Clinic::default();
    let now = clinic.clock.now();
    let token = clinic.mint.access(&claims(Uuid::from_u128(0xBB).into(), now)).unwrap();
    clinic.sessions.expect_live().returning(move |_, _| Ok(Some(live(now + TimeDelta::hours(5)))));
    let error = clinic.open().authenticate(token.expose()).await.unwrap_err();
    assert_eq!(error.code(), "invalid_token");
}

fn claims(user_id: UserId, issued_at: DateTime<Utc>) -> AccessClaims {
    let expires_at = issued_at + TimeDelta::minutes(10);
    AccessClaims { user_id, session_id: caller().session_id, issued_at, expires_at }
}

// Tickets

#[tokio::test]
async fn a_ticket_is_stored_as_a_digest_for_half_a_minute() {
    let mut clinic = Clinic::default();
    let (mint, now) = (Arc::clone(&clinic.mint), clinic.clock.now());
    let stored = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&stored);
    clinic.sessions.expect_put_ticket().times(1).returning(move |ticket, session, at, expires_at| {
        assert_eq!((session, at), (caller().session_id, now));
        assert_eq!(expires_at, now + TimeDelta::seconds(30));
        *seen.lock().unwrap() = Some(ticket);
        Ok(())
    });
    let ticket = clinic.open().issue_ticket(&caller()).await.unwrap();
    assert!(ticket.expose().starts_with("alt_"));
    assert_eq!(*stored.lock().unwrap(), Some(mint.digest(ticket.expose())));
}

#[tokio::test]
async fn a_ticket_opens_the_session_it_was_issued_to() {
    let mut clinic = Clinic::default();
    let now = clinic.clock.now();
    let (digest, answer) = (clinic.mint.digest("alt_1"), live(now + TimeDelta::hours(5)));
    clinic
        .sessions
        .expect_take_ticket()
        .withf(move |ticket, at| (*ticket, *at) == (digest, now))
        .times(1)
        .returning(|_, _| Ok(Some(caller().session_id)));
    clinic
        .sessions
        .expect_live()
        .withf(move |session, at| (*session, *at) == (caller().session_id, now))
        .returning(move |_, _| Ok(Some(answer)));
    assert_eq!(clinic.open().redeem_ticket("alt_1").await.unwrap(), answer);
}

#[tokio::test]
async fn a_used_ticket_and_one_of_an_ended_session_open_nothing() {
    for (session, code) in [(None, "invalid_ticket"), (Some(caller().session_id), "session_ended")] {
        let mut clinic = Clinic::default();
        clinic.sessions.expect_take_ticket().returning(move |_, _| Ok(session));
        clinic.sessions.expect_live().returning(|_, _| Ok(None));
        let error = clinic.open().redeem_ticket("alt_1").await.unwrap_err();
        assert_eq!((error.code(), error.kind()), (code, ErrorKind::Unauthenticated));
    }
}

// Activity

/// AU-09: what is done in a session is noted, but not each time.
#[tokio::test]
async fn activity_is_noted_once_in_a_while() {
    for (idle, touches) in [(0, 0), (9, 0), (10, 1), (29 * 60 + 59, 1)] {
        let mut clinic = Clinic::default();
        let clock = Arc::clone(&clinic.clock);
        let answer = live(clock.now() + TimeDelta::hours(5));
        clock.advance(TimeDelta::seconds(idle));
        let now = clock.now();
        let token = clinic.mint.access(&claims(ana(), now)).unwrap();
        clinic.sessions.expect_live().returning(move |_, _| Ok(Some(answer)));
        clinic
            .sessions
            .expect_touch()
            .withf(move |session, at| (*session, *at) == (caller().session_id, now))
            .times(touches)
            .returning(|_, _| Ok(true));
        clinic.open().authenticate(token.expose()).await.unwrap();
    }
}

/// The session went idle between being looked up and being used.
#[tokio::test]
async fn activity_that_comes_too_late_is_refused() {
    let mut clinic = Clinic::default();
    let answer = live(clinic.clock.now() + TimeDelta::hours(5));
    clinic.clock.advance(TimeDelta::seconds(10));
    let token = clinic.mint.access(&claims(ana(), clinic.clock.now())).unwrap();
    clinic.sessions.expect_live().returning(move |_, _| Ok(Some(answer)));
    clinic.sessions.expect_touch().returning(|_, _| Ok(false));
    let error = clinic.open().authenticate(token.expose()).await.unwrap_err();
    assert_eq!(error.code(), "session_ended");
}

/// AU-09: the last moment, and the first one after.
#[test]
fn a_session_goes_idle_after_half_an_hour() {
    let live = live(ManualClock::default().now() + TimeDelta::hours(5));
    let lives_after = |seconds| live.lives(live.last_active_at + TimeDelta::seconds(seconds));
    assert!(lives_after(29 * 60 + 59) && !lives_after(30 * 60) && !lives_after(30 * 60 + 1));
}

#[tokio::test]
async fn signing_out_everywhere_ends_all_sessions() {
    for everywhere in [true, false] {
        let mut clinic = Clinic::default();
        clinic.sessions.expect_revoke_all().times(1).returning(move |user, except, reason, _, effects| {
            let expected = if everywhere {
                (ana(), None, RevocationReason::LogoutEverywhere)
            } else {
                (ana(), Some(caller().session_id), RevocationReason::RevokedByUser)
            };
            assert_eq!((user, except, reason), expected);
            let event: SessionsRevoked = effects.events[0].read().unwrap();
            assert_eq!((event.user_id, event.except, event.reason), expected);
            assert_eq!(effects.audit[0].reason, Some(reason.as_str()));
            Ok(true)
        });
        let accounts = clinic.open();
        if everywhere {
            accounts.logout_everywhere(&caller()).await.unwrap();
        } else {
            accounts.revoke_other_sessions(&caller()).await.unwrap();
        }
    }
}

#[test]
fn a_csrf_token_belongs_to_one_session() {
    let accounts = Clinic::default().open();
    let [one, other] = [1, 2].map(|n| SessionId::from(Uuid::from_u128(n)));
    let token = accounts.csrf_token(one).into_exposed();
    assert_eq!(token.len(), 32);
    assert!(accounts.is_csrf_token(one, &token));
    assert!(!accounts.is_csrf_token(other, &token));
    for bad in ["", &token[1..], &format!("{token}0"), "00000000000000000000000000000000"] {
        assert!(!accounts.is_csrf_token(one, bad), "{bad}");
    }
}

// The second factor

const CODE: &str = "123456";

fn code() -> OneTimeCode {
    OneTimeCode::parse(CODE).unwrap()
}

fn in_stage(stage: SessionStage) -> LiveSession {
    LiveSession { stage, ..live(ManualClock::default().now() + TimeDelta::minutes(10)) }
}

impl Clinic {
    /// A secret that Ana's app knows.
    async fn factor(&self, on: bool) -> StoredFactor {
        StoredFactor {
            secret: self.sealed(b"secret").await,
            confirmed_at: on.then(|| self.clock.now()),
            recovery_codes_left: 10,
        }
    }

    async fn sealed(&self, plain: &[u8]) -> Sealed {
        let context = alivio_kernel::sealing::SealContext {
            table: "second_factors",
            column: "secret",
            row: ana().uuid(),
            scope: alivio_kernel::sealing::Scope::User(ana()),
            version: 1,
        };
        self.sealer.seal(&context, plain).await.unwrap()
    }

    /// [`CODE`] is of step 7, and no other code is right.
    fn knows_the_code(&mut self) {
        self.codes.expect_step_of().returning(|secret, code, _| {
            assert_eq!(secret, b"secret");
            Ok((code.expose() == CODE).then_some(7))
        });
    }

    /// A try begins; if it is wrong, codes are refused until `locks_until`.
    async fn begins_attempts(&mut self, locks_until: Option<DateTime<Utc>>) {
        let factor = self.factor(true).await;
        let answer = Attempt::Begun { factor, locks_until };
        self.factors.expect_begin_attempt().returning(move |_, _| Ok(answer.clone()));
    }
}

#[tokio::test]
async fn a_right_password_leads_to_the_next_step() {
    let doctors = || SignInPolicy { second_factor_roles: vec![Role::Doctor], ..SignInPolicy::default() };
    for (policy, has_factor, must_change, expected) in [
        (SignInPolicy::default(), Some(true), false, SessionStage::SecondFactor),
        (SignInPolicy::default(), Some(false), false, SessionStage::Full),
        (doctors(), None, false, SessionStage::EnrolSecondFactor),
        (doctors(), Some(false), false, SessionStage::EnrolSecondFactor),
        (doctors(), Some(true), false, SessionStage::SecondFactor),
        (doctors(), Some(true), true, SessionStage::ChangePassword),
    ] {
        let mut clinic = Clinic { policy, ..Clinic::default() };
        let user = clinic.ana(Role::Doctor).await;
        let credentials = Credentials {
            user: user.clone(),
            password_hash: Some(hash_of("correcta")),
            must_change_password: must_change,
            epoch: EPOCH,
        };
        clinic.users.expect_credentials().returning(move |_| Ok(Some(credentials.clone())));
        let factor = match has_factor {
            Some(on) => Some(clinic.factor(on).await),
            None => None,
        };
        clinic.factors.expect_find().returning(move |_| Ok(factor.clone()));
        let opened = clinic.opens_sessions();
        let now = clinic.clock.now();
        let sign_in =
            clinic.open().login(ADDRESS, &password("correcta"), None, &Origin::default()).await.unwrap();
        let session = opened.lock().unwrap().pop().unwrap();
        assert_eq!((sign_in.stage, session.stage, session.epoch), (expected, expected, EPOCH));
        let full = expected == SessionStage::Full;
        assert_eq!(sign_in.device_token.is_some(), full, "a device is known once all was proved");
        assert_eq!((sign_in.tokens.refresh.is_some(), session.refresh.is_some()), (full, full));
        let lifetime = if full { TimeDelta::hours(12) } else { TimeDelta::minutes(10) };
        assert_eq!(session.expires_at, now + lifetime);
    }
}

#[tokio::test]
async fn the_right_code_completes_a_sign_in() {
    let mut clinic = Clinic::default();
    let user = clinic.ana(Role::Doctor).await;
    clinic.knows(user);
    clinic.knows_the_code();
    clinic.begins_attempts(None).await;
    clinic.factors.expect_use_step().times(1).returning(|user, step, effects| {
        assert_eq!((user, step), (ana(), 7));
        assert_eq!(effects.audit[0].action, "second_factor.proven");
        Ok(true)
    });
    let opened = clinic.opens_sessions();
    let (_, second_factor) = clinic.open_both();
    let step = in_stage(SessionStage::SecondFactor);
    let sign_in = second_factor.verify(&step, &Proof::Code(code()), &Origin::default()).await.unwrap();
    assert_eq!((sign_in.stage, sign_in.tokens.refresh.is_some()), (SessionStage::Full, true));
    assert!(sign_in.device_token.is_some());
    let session = opened.lock().unwrap().pop().unwrap();
    assert_eq!((session.epoch, session.stage), (EPOCH, SessionStage::Full));
    assert_eq!(session.replaces, Some(step.caller.session_id), "the step is over");
}

/// AU-10: the store finds that the epoch is over: for who is halfway in, the session is.
#[tokio::test]
async fn what_is_overtaken_is_no_sign_in() {
    let mut clinic = Clinic::default();
    let user = clinic.ana(Role::Doctor).await;
    clinic.knows(user);
    clinic.has_no_factors();
    clinic.knows_the_code();
    clinic.begins_attempts(None).await;
    clinic.factors.expect_use_step().returning(|_, _, _| Ok(true));
    clinic.sessions.expect_open().times(2).returning(|_, _| Err(Error::InvalidCredentials));
    let (accounts, second_factor) = clinic.open_both();
    let origin = Origin::default();
    let error = accounts.login(ADDRESS, &password("correcta"), None, &origin).await.unwrap_err();
    assert_eq!(error.code(), "invalid_credentials");
    let step = in_stage(SessionStage::SecondFactor);
    let error = second_factor.verify(&step, &Proof::Code(code()), &origin).await.unwrap_err();
    assert_eq!(error.code(), "session_ended");
}

/// Whoever has stolen a session cannot lock its owner out.
#[tokio::test]
async fn a_full_session_sets_a_factor_up_with_the_password_only() {
    for (stage, typed, refusal) in [
        (SessionStage::Full, Some("correcta"), None),
        (SessionStage::Full, Some("equivocada"), Some("invalid_credentials")),
        (SessionStage::Full, None, Some("validation_failed")),
        (SessionStage::EnrolSecondFactor, None, None),
    ] {
        let mut clinic = Clinic::default();
        let user = clinic.ana(Role::Doctor).await;
        clinic.knows(user);
        clinic.codes.expect_secret().returning(|| Ok(Sensitive::new(b"secret".to_vec())));
        clinic.codes.expect_enrolment().returning(|_, _| {
            Ok(Enrolment { secret: Sensitive::new(String::new()), url: Sensitive::new(String::new()) })
        });
        let begun = usize::from(refusal.is_none());
        clinic.factors.expect_begin().times(begun).returning(|_, _, _, _| Ok(()));
        let (_, second_factor) = clinic.open_both();
        let typed = typed.map(password);
        let outcome = second_factor.enrol(&in_stage(stage), typed.as_ref(), &Origin::default()).await;
        assert_eq!(outcome.err().map(|error| error.code()), refusal, "{stage:?}");
    }
}

/// AU-11: a code that was used, or is wrong.
#[tokio::test]
async fn a_wrong_or_used_code_completes_nothing() {
    for (typed, used) in [(CODE, true), ("654321", false)] {
        let mut clinic = Clinic::default();
        let user = clinic.ana(Role::Doctor).await;
        clinic.knows(user);
        clinic.knows_the_code();
        clinic.begins_attempts(None).await;
        if used {
            clinic.factors.expect_use_step().returning(|_, _, _| Ok(false));
        }
        let trail = Arc::clone(&clinic.trail);
        let (_, second_factor) = clinic.open_both();
        let proof = Proof::Code(OneTimeCode::parse(typed).unwrap());
        let step = in_stage(SessionStage::SecondFactor);
        let error = second_factor.verify(&step, &proof, &Origin::default()).await.unwrap_err();
        assert_eq!((error.code(), error.kind()), ("invalid_code", ErrorKind::Forbidden));
        assert_eq!(trail.reasons(), [Some("invalid_code")]);
    }
}

/// AU-11: five tries, then the sign-in ends.
#[tokio::test]
async fn too_many_wrong_codes_end_the_sign_in() {
    for begun in [true, false] {
        let mut clinic = Clinic::default();
        let user = clinic.ana(Role::Doctor).await;
        clinic.knows(user);
        let until = clinic.clock.now() + TimeDelta::seconds(30);
        clinic.knows(clinic.ana(Role::Doctor).await);
        clinic.knows_the_code();
        if begun {
            clinic.begins_attempts(Some(until)).await;
        } else {
            clinic.factors.expect_begin_attempt().returning(move |_, _| Ok(Attempt::Locked { until }));
        }
        let ended = clinic.ends_sessions();
        let (_, second_factor) = clinic.open_both();
        // Even a right one, once it is locked.
        let typed = if begun { "654321" } else { CODE };
        let proof = Proof::Code(OneTimeCode::parse(typed).unwrap());
        let step = in_stage(SessionStage::SecondFactor);
        let error = second_factor.verify(&step, &proof, &Origin::default()).await.unwrap_err();
        assert_eq!((error.code(), error.kind()), ("codes_locked", ErrorKind::RateLimited));
        assert_eq!(error.details().unwrap()["retry_after"], 30);
        let [(session, reason, _)] = &ended.lock().unwrap()[..] else { panic!("not ended once") };
        assert_eq!((*session, *reason), (step.caller.session_id, RevocationReason::TooManyTries));
    }
}

#[tokio::test]
async fn a_full_session_has_no_step_to_complete_and_a_step_leads_nowhere_else() {
    let (_, second_factor) = Clinic::default().open_both();
    let full = in_stage(SessionStage::Full);
    let error = second_factor.verify(&full, &Proof::Code(code()), &Origin::default()).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("no_step_pending", ErrorKind::Conflict));
    for stage in [SessionStage::ChangePassword, SessionStage::SecondFactor] {
        let live = in_stage(stage);
        let error = second_factor.enrol(&live, None, &Origin::default()).await.unwrap_err();
        assert_eq!(error.code(), "step_required", "a stolen password must not replace the factor");
        let error = second_factor.confirm(&live, &code(), &Origin::default()).await.unwrap_err();
        assert_eq!(error.code(), "step_required");
        assert_eq!(second_factor.status(&live).await.unwrap_err().code(), "step_required");
    }
}

#[tokio::test]
async fn confirming_gives_recovery_codes_and_stores_their_digests() {
    for stage in [SessionStage::Full, SessionStage::EnrolSecondFactor] {
        let mut clinic = Clinic::default();
        let user = clinic.ana(Role::Doctor).await;
        clinic.knows(user);
        clinic.knows_the_code();
        let pending = clinic.factor(false).await;
        clinic.factors.expect_find().returning(move |_| Ok(Some(pending.clone())));
        let mut letters = "ABCDEFGHIJ".chars();
        clinic.codes.expect_recovery_code().returning(move || {
            Ok(RecoveryCode::parse(&letters.next().unwrap().to_string().repeat(16)).unwrap())
        });
        let mint = Arc::clone(&clinic.mint);
        let goes_on = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&goes_on);
        clinic.factors.expect_confirm().times(1).returning(move |confirmed, effects| {
            assert_eq!((confirmed.user_id, confirmed.step, confirmed.codes.len()), (ana(), 7, 10));
            assert_eq!(confirmed.codes[0], mint.digest(&format!("{}:AAAAAAAAAAAAAAAA", ana())));
            assert_eq!(confirmed.session, caller().session_id);
            assert_eq!(effects.audit[0].action, "second_factor.turned_on");
            let revoked: SessionsRevoked = effects.events[0].read().unwrap();
            assert_eq!((revoked.user_id, revoked.reason), (ana(), RevocationReason::SecondFactorOn));
            *seen.lock().unwrap() = revoked.except;
            Ok(Some(CredentialEpoch(4)))
        });
        let opened = clinic.opens_sessions();
        let (_, second_factor) = clinic.open_both();
        let Confirmed { recovery_codes, sign_in } =
            second_factor.confirm(&in_stage(stage), &code(), &Origin::default()).await.unwrap();
        assert_eq!(recovery_codes.len(), 10);
        let leads_on = stage == SessionStage::EnrolSecondFactor;
        let opened = opened.lock().unwrap().pop();
        assert_eq!((sign_in.is_some(), opened.is_some()), (leads_on, leads_on));
        assert_eq!(opened.as_ref().map(|session| session.epoch), leads_on.then_some(CredentialEpoch(4)));
        let expected = opened.map_or(caller().session_id, |session| session.id);
        assert_eq!(*goes_on.lock().unwrap(), Some(expected), "all others end");
    }
}

#[tokio::test]
async fn what_the_clinic_demands_is_not_turned_off() {
    let policy = SignInPolicy { second_factor_roles: vec![Role::Doctor], ..SignInPolicy::default() };
    let clinic = Clinic { policy, ..Clinic::default() };
    let trail = Arc::clone(&clinic.trail);
    let (_, second_factor) = clinic.open_both();
    let error = second_factor.turn_off(&caller(), &Proof::Code(code())).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("second_factor_required", ErrorKind::Forbidden));
    assert_eq!(trail.reasons(), [Some("second_factor_required")]);
}

#[tokio::test]
async fn a_wrong_password_turns_nothing_off() {
    for (typed, removed) in [("correcta", true), ("equivocada", false)] {
        let mut clinic = Clinic::default();
        let user = clinic.ana(Role::Doctor).await;
        clinic.knows(user);
        clinic.begins_attempts(None).await;
        clinic.factors.expect_remove().times(usize::from(removed)).returning(|_, _| Ok(true));
        let (_, second_factor) = clinic.open_both();
        let outcome = second_factor.turn_off(&caller(), &Proof::Password(password(typed))).await;
        assert_eq!(outcome.is_ok(), removed, "{typed}");
    }
}

#[tokio::test]
async fn only_those_who_manage_users_reset_the_factor_of_others() {
    let someone = UserId::from(Uuid::from_u128(0xBB));
    for (role, user, reason) in [
        (Role::Doctor, someone, "missing_scope"),
        (Role::MedicalAdmin, someone, "missing_scope"),
        (Role::ItAdmin, ana(), "own_account"),
    ] {
        let clinic = Clinic::default();
        let trail = Arc::clone(&clinic.trail);
        let (_, second_factor) = clinic.open_both();
        let error = second_factor.reset(&Caller { role, ..caller() }, user).await.unwrap_err();
        assert_eq!((error.code(), error.details().unwrap()["reason"].as_str()), ("forbidden", Some(reason)));
        assert_eq!(trail.reasons(), [Some(reason)]);
    }
    let mut clinic = Clinic::default();
    clinic.factors.expect_reset().times(1).returning(move |user, _, effects| {
        let event: SessionsRevoked = effects.events[0].read().unwrap();
        assert_eq!((user, event.user_id, event.except), (someone, someone, None));
        assert_eq!(effects.audit[0].subject, Some(someone));
        Ok(true)
    });
    let (_, second_factor) = clinic.open_both();
    second_factor.reset(&Caller { role: Role::ItAdmin, ..caller() }, someone).await.unwrap();
}

//! What one can do with accounts: state, events and error codes, against mocks and a clock that stands
//! still.
#![cfg(test)]

use std::sync::{Arc, Mutex};

use alivio_accounts::{
    AccessClaims, Accounts, AccountsPorts, Credentials, Email, Error, Identity, LiveSession,
    MockSessionStore, MockUserStore, NewSession, NewUser, Password, PasswordHasher, RevocationReason,
    Rotation, SecretHash, SessionRevoked, StoredUser, TokenMint,
};
use alivio_kernel::ids::{SessionId, UserId, Uuid};
use alivio_kernel::sealing::PlainSealer;
use alivio_kernel::{
    Caller, Clock, DomainError, ErrorKind, Event, ManualClock, Role, Sealer, Sensitive, SequentialIds,
};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

const ADDRESS: &str = "ana@clinic.example";

/// Everything around the service. A call that a test did not provide for is a failure.
#[derive(Default)]
struct Clinic {
    users: MockUserStore,
    sessions: MockSessionStore,
    hasher: Arc<Hasher>,
    mint: Arc<Mint>,
    sealer: Arc<PlainSealer>,
    clock: Arc<ManualClock>,
}

/// A session that was ended, why, and the event.
type Ended = (SessionId, &'static str, Event);

impl Clinic {
    fn open(self) -> Accounts {
        Accounts::new(AccountsPorts {
            users: Arc::new(self.users),
            sessions: Arc::new(self.sessions),
            passwords: self.hasher,
            tokens: self.mint,
            sealer: self.sealer,
            clock: self.clock,
            ids: Arc::new(SequentialIds::default()),
        })
    }

    /// Ana, with the password `correcta`.
    async fn ana(&self, role: Role) -> StoredUser {
        let identity = serde_json::to_vec(&identity()).unwrap();
        StoredUser {
            id: ana(),
            identity: self.sealer.seal(&Identity::context(ana()), &identity).await.unwrap(),
            role,
            professional_title: Some("Cardióloga".into()),
            is_active: true,
            last_seen_at: None,
            created_at: self.clock.now(),
        }
    }

    /// The address book holds `user` under Ana's address, and nobody else.
    fn knows(&mut self, user: StoredUser) {
        let index = self.sealer.blind_index("users.email", ADDRESS.as_bytes());
        let credentials = Credentials { user: user.clone(), password_hash: hash_of("correcta") };
        self.users
            .expect_credentials()
            .returning(move |asked| Ok((asked == index).then(|| credentials.clone())));
        self.users.expect_by_ids().returning(move |_| Ok(vec![user.clone()]));
    }

    /// Sessions can be opened, and are noted.
    fn opens_sessions(&mut self) -> Arc<Mutex<Vec<NewSession>>> {
        let opened = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&opened);
        self.sessions.expect_open().returning(move |session| {
            seen.lock().unwrap().push(session.clone());
            Ok(())
        });
        opened
    }

    /// Sessions can be ended, and the reasons and events are noted.
    fn ends_sessions(&mut self) -> Arc<Mutex<Vec<Ended>>> {
        let ended = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&ended);
        let now = self.clock.now();
        self.sessions.expect_revoke().returning(move |session, reason, at, event| {
            assert_eq!((at, event.at), (now, now));
            seen.lock().unwrap().push((session, reason, event));
            Ok(())
        });
        ended
    }
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
    Caller { user_id: ana(), role: Role::Doctor, session_id: Uuid::from_u128(0x55).into() }
}

fn live(expires_at: DateTime<Utc>) -> LiveSession {
    LiveSession { caller: caller(), expires_at }
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

#[tokio::test]
async fn going_away_is_noted_at_the_present() {
    let mut clinic = Clinic::default();
    let now = clinic.clock.now();
    clinic
        .users
        .expect_record_seen()
        .withf(move |user, at| (*user, *at) == (ana(), now))
        .times(1)
        .returning(|_, _| Ok(()));
    assert_eq!(clinic.open().record_seen(ana()).await.unwrap(), now);
}

// Signing in

#[tokio::test]
async fn a_sign_in_opens_a_session_with_its_limits() {
    let mut clinic = Clinic::default();
    let ana_stored = clinic.ana(Role::Doctor).await;
    clinic.knows(ana_stored);
    let opened = clinic.opens_sessions();
    let (mint, now) = (Arc::clone(&clinic.mint), clinic.clock.now());
    let sign_in = clinic.open().login(" Ana@Clinic.EXAMPLE ", &password("correcta")).await.unwrap();

    let [session] = opened.lock().unwrap()[..].to_vec().try_into().unwrap();
    let NewSession { id, user_id, created_at, expires_at, refresh, refresh_expires_at } = session;
    assert_eq!((user_id, created_at), (ana(), now));
    assert_eq!(expires_at, now + TimeDelta::hours(12), "no session is longer");
    assert_eq!(refresh_expires_at, now + TimeDelta::minutes(30), "nor idle for longer");
    assert!(sign_in.tokens.refresh.expose().starts_with("alr_"));
    assert_eq!(refresh, mint.digest(sign_in.tokens.refresh.expose()), "stored as a digest only");
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
        let error = clinic.open().login(address, &password(typed)).await.unwrap_err();
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
        let error = clinic.open().login(address, &password("uno más")).await.unwrap_err();
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
        assert_eq!(next_expires_at, now + TimeDelta::minutes(30));
        *seen.lock().unwrap() = Some(next);
        Ok(Rotation::Rotated(live(now + TimeDelta::hours(5))))
    });
    let sign_in = clinic.open().refresh("alr_old").await.unwrap();

    assert_eq!(*offered.lock().unwrap(), Some(mint.digest(sign_in.tokens.refresh.expose())));
    assert_ne!(sign_in.tokens.refresh.expose(), "alr_old");
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
    let sign_in = clinic.open().refresh("alr_old").await.unwrap();
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
    let error = clinic.open().refresh("alr_used").await.unwrap_err();

    assert_eq!((error.code(), error.kind()), ("invalid_refresh_token", ErrorKind::Unauthenticated));
    let [(session, reason, event)] = &ended.lock().unwrap()[..] else { panic!("not ended once") };
    assert_eq!((*session, *reason), (session_id, "token_reuse"));
    let reason = RevocationReason::TokenReuse;
    assert_eq!(
        event.read::<SessionRevoked>().unwrap(),
        SessionRevoked { session_id, user_id: ana(), reason }
    );
}

#[tokio::test]
async fn a_refused_refresh_token_ends_nothing() {
    let mut clinic = Clinic::default();
    clinic.sessions.expect_rotate().returning(|_, _, _, _| Ok(Rotation::Refused));
    let error = clinic.open().refresh("alr_unknown").await.unwrap_err();
    assert_eq!(error.code(), "invalid_refresh_token", "the same answer as for a used one");
}

// Using and ending

#[tokio::test]
async fn signing_out_ends_the_session_of_the_caller() {
    let mut clinic = Clinic::default();
    let ended = clinic.ends_sessions();
    clinic.open().logout(&caller()).await.unwrap();
    let [(session, reason, event)] = &ended.lock().unwrap()[..] else { panic!("not ended once") };
    assert_eq!((*session, *reason), (caller().session_id, "logout"));
    let revoked = event.read::<SessionRevoked>().unwrap();
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

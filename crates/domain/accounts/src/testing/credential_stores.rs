//! What every [`RegistrationStore`], [`InvitationStore`] and [`PasswordStore`] MUST do, one case each. They share users and
//! sessions, so they are tried together. Run them all with
//! [`credential_stores_conformance!`](crate::credential_stores_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use alivio_kernel::ids::{InvitationId, MailedSecretId, RegistrationId, SessionId, UserId};
use alivio_kernel::testing::together;
use alivio_kernel::{
    DomainEvent, Effects, Event, IdSource, Language, Origin, Role, Sealed, Sensitive, SystemIds,
};
use chrono::{DateTime, TimeDelta, Utc};

use super::Fixture;
use super::session_store::roomy;
use crate::{
    CONFIRMATION_TRIES, CredentialEpoch, Error, InvitationStore, NewReset, NewSession, NewTemporaryPassword,
    PasswordChange, PasswordChanged, PasswordStore, PendingRegistration, RESET_PAUSE, Redemption,
    RegistrationStore, RevocationReason, SecretHash, SessionStage, SessionStore, StoredInvitation,
    StoredUser, UserStore,
};

/// All that has to do with credentials.
pub trait CredentialStores:
    RegistrationStore + InvitationStore + PasswordStore + UserStore + SessionStore
{
}
impl<S: RegistrationStore + InvitationStore + PasswordStore + UserStore + SessionStore> CredentialStores
    for S
{
}

/// Tests your stores: one `#[tokio::test]` for every case in [`testing::credential_stores`].
///
/// `$fresh` names an `async fn() -> alivio_accounts::testing::Fixture<dyn CredentialStores>` that gives each case
/// an empty, isolated instance.
///
/// [`testing::credential_stores`]: crate::testing::credential_stores
#[macro_export]
macro_rules! credential_stores_conformance {
    ($fresh:expr) => {
        mod credential_stores_conformance {
            use super::*;
            $crate::credential_stores_conformance! { @cases $fresh;
                a_registration_waits_until_it_expires
                a_registration_is_tried_five_times
                of_many_that_confirm_one_registration_one_makes_the_account
                a_registration_with_a_taken_address_is_stored_and_never_confirmed
                an_invitation_is_open_until_it_expires_or_is_taken_back
                open_invitations_are_listed_newest_first
                of_many_that_take_one_invitation_one_gets_the_account
                an_invitation_to_a_taken_address_stays_open
                an_invitation_is_worth_what_its_issuer_may_do
                of_many_that_use_one_temporary_password_one_does
                of_many_that_replace_one_password_one_does
                another_password_ends_all_that_the_old_one_opened
                a_password_is_not_replaced_after_all_sessions_ended
                no_sign_in_under_way_outlives_its_password
                a_hash_is_renewed_only_if_the_password_is_the_same
                the_newest_token_counts
                a_token_is_not_replaced_too_soon
                of_many_that_use_one_token_one_does
                a_deactivated_user_resets_nothing
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::credential_stores::$case($fresh().await).await;
            }
        )*
    };
}

// Registrations

/// By its id and by its token.
pub async fn a_registration_waits_until_it_expires(Fixture { store, world }: Fixture<dyn CredentialStores>) {
    let pending = registration();
    let effects = effects();
    store.begin(&pending, &effects).await.unwrap();
    for (minutes, expected) in [(0, Some(&pending)), (END - 1, Some(&pending)), (END, None)] {
        assert_eq!(store.pending(pending.id, at(minutes)).await.unwrap().as_ref(), expected);
        assert_eq!(store.attempt(pending.token, at(minutes)).await.unwrap().as_ref(), expected);
    }
    assert!(store.attempt(secret(), at(0)).await.unwrap().is_none());
    assert!(!store.confirm(pending.id, at(END), &self::effects()).await.unwrap());
    assert_eq!(world.events().await, effects.events);
}

/// However many ask at once; and then it waits no longer. Others are not concerned.
pub async fn a_registration_is_tried_five_times(
    Fixture { store, world: _world }: Fixture<dyn CredentialStores>,
) {
    let (pending, other) = (registration(), registration());
    for registration in [&pending, &other] {
        store.begin(registration, &Effects::default()).await.unwrap();
    }
    let tried = together((0..20).map(|_| store.attempt(pending.token, at(1)))).await;
    let admitted = tried.into_iter().filter_map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(admitted, vec![pending.clone(); CONFIRMATION_TRIES]);
    assert!(store.attempt(pending.token, at(1)).await.unwrap().is_none());
    assert!(store.pending(pending.id, at(1)).await.unwrap().is_none());
    assert!(store.attempt(other.token, at(1)).await.unwrap().is_some());
}

/// And stores what follows from it once.
pub async fn of_many_that_confirm_one_registration_one_makes_the_account(
    Fixture { store, world }: Fixture<dyn CredentialStores>,
) {
    let pending = registration();
    store.begin(&pending, &Effects::default()).await.unwrap();
    let offers: Vec<_> = (0..20).map(|_| effects()).collect();
    let confirmed = together(offers.iter().map(|offer| store.confirm(pending.id, at(1), offer))).await;
    assert_eq!(confirmed.into_iter().filter(|confirmed| *confirmed.as_ref().unwrap()).count(), 1);
    assert_eq!(world.events().await.len(), 1);
    let found = store.credentials(pending.email_index).await.unwrap().unwrap();
    assert_eq!((found.user.id, found.user.role), (pending.user_id, pending.role));
    assert_eq!(found.user.identity, pending.identity);
    assert_eq!((found.password_hash, found.must_change_password), (Some(pending.password_hash), false));
    assert!(found.user.is_active);
}

/// MUST answer [`Error::EmailTaken`], and change nothing.
pub async fn a_registration_with_a_taken_address_is_stored_and_never_confirmed(
    Fixture { store, world }: Fixture<dyn CredentialStores>,
) {
    let (user, index) = (user(), index());
    store.insert(&user, index, &hash(1)).await.unwrap();
    let pending = PendingRegistration { email_index: index, ..registration() };
    store.begin(&pending, &Effects::default()).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(store.confirm(pending.id, at(1), &effects()).await, Err(Error::EmailTaken)));
    }
    assert_eq!(world.events().await, []);
    let untouched = store.credentials(index).await.unwrap().unwrap();
    assert_eq!((untouched.user, untouched.password_hash), (user, Some(hash(1))));
}

// Invitations

/// Neither afterwards.
pub async fn an_invitation_is_open_until_it_expires_or_is_taken_back(
    Fixture { store, world }: Fixture<dyn CredentialStores>,
) {
    let invitation = invitation(world.user(Role::MedicalAdmin).await);
    store.issue(&invitation, &Effects::default()).await.unwrap();
    let open = async |minutes| InvitationStore::open(&*store, invitation.id, at(minutes)).await.unwrap();
    assert_eq!(open(END - 1).await.as_ref(), Some(&invitation));
    assert_eq!(open(END).await, None);
    assert!(!InvitationStore::revoke(&*store, invitation.id, at(END), &effects()).await.unwrap());
    let offers: Vec<_> = (0..20).map(|_| effects()).collect();
    let revoked =
        together(offers.iter().map(|offer| InvitationStore::revoke(&*store, invitation.id, at(1), offer)))
            .await;
    assert_eq!(revoked.into_iter().filter(|revoked| *revoked.as_ref().unwrap()).count(), 1);
    assert_eq!(world.events().await.len(), 1);
    assert_eq!(open(1).await, None);
    assert!(InvitationStore::by_token(&*store, invitation.token, at(1)).await.unwrap().is_none());
    assert!(!store.redeem(&redemption(&invitation), at(1), &effects()).await.unwrap());
}

/// Page by page.
pub async fn open_invitations_are_listed_newest_first(
    Fixture { store, world }: Fixture<dyn CredentialStores>,
) {
    let issuer = world.user(Role::ItAdmin).await;
    let mut all: Vec<_> = (0..5).map(|_| invitation(issuer)).collect();
    for invitation in &all {
        store.issue(invitation, &Effects::default()).await.unwrap();
    }
    all.sort_by_key(|invitation| std::cmp::Reverse(invitation.id));
    InvitationStore::revoke(&*store, all[1].id, at(1), &Effects::default()).await.unwrap();
    all.remove(1);
    assert_eq!(InvitationStore::list(&*store, None, 2, at(1)).await.unwrap(), all[..2]);
    assert_eq!(InvitationStore::list(&*store, Some(all[1].id), 9, at(1)).await.unwrap(), all[2..]);
    assert_eq!(InvitationStore::list(&*store, None, 9, at(END)).await.unwrap(), []);
}

/// With a temporary password, and no other.
pub async fn of_many_that_take_one_invitation_one_gets_the_account(
    Fixture { store, world }: Fixture<dyn CredentialStores>,
) {
    let invitation = invitation(world.user(Role::MedicalAdmin).await);
    store.issue(&invitation, &Effects::default()).await.unwrap();
    let redemption = redemption(&invitation);
    let offers: Vec<_> = (0..20).map(|_| effects()).collect();
    let redeemed = together(offers.iter().map(|offer| store.redeem(&redemption, at(1), offer))).await;
    assert_eq!(redeemed.into_iter().filter(|redeemed| *redeemed.as_ref().unwrap()).count(), 1);
    assert_eq!(world.events().await.len(), 1);
    let found = store.credentials(invitation.email_index).await.unwrap().unwrap();
    assert_eq!(found.user, redemption.user);
    assert_eq!((found.password_hash, found.must_change_password), (None, true));
    let temporary = store.temporary(invitation.email_index).await.unwrap().unwrap();
    assert_eq!((temporary.id, temporary.hash), (redemption.temporary.id, redemption.temporary.hash));
    assert_eq!(temporary.expires_at, redemption.temporary.expires_at);
}

/// MUST answer [`Error::EmailTaken`], and change nothing.
pub async fn an_invitation_to_a_taken_address_stays_open(
    Fixture { store, world }: Fixture<dyn CredentialStores>,
) {
    let invitation = invitation(world.user(Role::MedicalAdmin).await);
    store.issue(&invitation, &Effects::default()).await.unwrap();
    store.insert(&user(), invitation.email_index, &hash(1)).await.unwrap();
    let taken = store.redeem(&redemption(&invitation), at(1), &effects()).await;
    assert!(matches!(taken, Err(Error::EmailTaken)));
    assert_eq!(world.events().await, []);
    assert!(InvitationStore::open(&*store, invitation.id, at(1)).await.unwrap().is_some());
    assert!(store.temporary(invitation.email_index).await.unwrap().is_none());
}

/// By nobody who is gone, nor by those who may not invite to that role.
pub async fn an_invitation_is_worth_what_its_issuer_may_do(
    Fixture { store, world }: Fixture<dyn CredentialStores>,
) {
    let [it, gone, admin, doctor] = [
        world.user(Role::ItAdmin).await,
        world.user(Role::ItAdmin).await,
        world.user(Role::MedicalAdmin).await,
        world.user(Role::Doctor).await,
    ];
    let to = |issuer, role| StoredInvitation { role, ..invitation(issuer) };
    for (invitation, is_open) in [
        (to(it, Role::ItAdmin), true),
        (to(admin, Role::Student), true),
        (to(gone, Role::Doctor), false),
        (to(admin, Role::ItAdmin), false),
        (to(admin, Role::MedicalAdmin), false),
        (to(doctor, Role::Student), false),
    ] {
        store.issue(&invitation, &Effects::default()).await.unwrap();
        world.deactivate(gone).await;
        let found = InvitationStore::open(&*store, invitation.id, at(1)).await.unwrap();
        assert_eq!(found.is_some(), is_open, "{invitation:?}");
        let found = InvitationStore::by_token(&*store, invitation.token, at(1)).await.unwrap();
        assert_eq!(found.is_some(), is_open, "{invitation:?}");
        let listed = InvitationStore::list(&*store, None, 9, at(1)).await.unwrap();
        assert_eq!(listed.contains(&invitation), is_open, "{invitation:?}");
        let redeemed = store.redeem(&redemption(&invitation), at(1), &effects()).await.unwrap();
        assert_eq!(redeemed, is_open, "{invitation:?}");
        assert_eq!(store.credentials(invitation.email_index).await.unwrap().is_some(), is_open);
    }
    assert_eq!(world.events().await.len(), 2);
}

// Passwords

/// MUST succeed at most once, and not after its time.
pub async fn of_many_that_use_one_temporary_password_one_does(
    Fixture { store, world }: Fixture<dyn CredentialStores>,
) {
    let invitation = invitation(world.user(Role::MedicalAdmin).await);
    store.issue(&invitation, &Effects::default()).await.unwrap();
    let redemption = redemption(&invitation);
    store.redeem(&redemption, at(1), &Effects::default()).await.unwrap();
    let id = redemption.temporary.id;
    assert!(!store.take_temporary(id, at(END)).await.unwrap());
    let taken = together((0..20).map(|_| store.take_temporary(id, at(2)))).await;
    assert_eq!(taken.into_iter().filter(|taken| *taken.as_ref().unwrap()).count(), 1);
    assert!(store.temporary(invitation.email_index).await.unwrap().is_none());
}

/// The others find that it is no longer what they read.
pub async fn of_many_that_replace_one_password_one_does(
    Fixture { store, world }: Fixture<dyn CredentialStores>,
) {
    let user = user();
    store.insert(&user, index(), &hash(0)).await.unwrap();
    let session = opened(&*store, user.id, CredentialEpoch::default()).await;
    let change = |old, n| PasswordChange { session, ..change(user.id, old, n, None) };
    let changes: Vec<_> = (1..20).map(|n| (change(Some(hash(0)), n), effects())).collect();
    let replaced = together(changes.iter().map(|(change, offer)| store.replace(change, offer))).await;
    let winners: Vec<_> = (0..)
        .zip(&replaced)
        .filter(|(_, r)| r.as_ref().unwrap().is_some())
        .map(|(n, _): (usize, _)| n)
        .collect();
    let [winner] = *winners else { panic!("{} have replaced it", winners.len()) };
    assert_eq!(world.events().await, changes[winner].1.events);
    let stored = store.by_user(user.id).await.unwrap().unwrap();
    assert_eq!(stored.password_hash, Some(changes[winner].0.new.clone()));
    let session = opened(&*store, user.id, stored.epoch).await;
    let again = PasswordChange { session, epoch: stored.epoch, ..change(None, 1) };
    assert_eq!(store.replace(&again, &effects()).await.unwrap(), None, "there is one");
    let nobody = UserId::generate(&SystemIds);
    let nobodys = PasswordChange { user_id: nobody, ..again };
    assert_eq!(store.replace(&nobodys, &effects()).await.unwrap(), None);
    assert!(store.by_user(nobody).await.unwrap().is_none());
}

/// All sessions but one, the temporary password, the token to reset it; nobody else's.
pub async fn another_password_ends_all_that_the_old_one_opened(
    Fixture { store, world }: Fixture<dyn CredentialStores>,
) {
    let invitation = invitation(world.user(Role::MedicalAdmin).await);
    store.issue(&invitation, &Effects::default()).await.unwrap();
    store.redeem(&redemption(&invitation), at(1), &Effects::default()).await.unwrap();
    let (user, other) = (invitation.user_id, world.user(Role::Doctor).await);
    let [kept, ended, others] = [session(user), session(user), session(other)];
    for session in [&kept, &ended, &others] {
        SessionStore::open(&*store, session, &roomy()).await.unwrap();
    }
    let [token, others_token] = [token(1), token(1)];
    assert!(
        store.put_reset(user, &token).await.unwrap() && store.put_reset(other, &others_token).await.unwrap()
    );
    let change = PasswordChange { session: kept.id, ..change(user, None, 1, Some(kept.id)) };
    assert!(store.replace(&change, &Effects::default()).await.unwrap().is_some());
    for (session, lives) in [(&kept, true), (&ended, false), (&others, true)] {
        assert_eq!(store.live(session.id, at(3)).await.unwrap().is_some(), lives);
    }
    let changed = store.by_user(user).await.unwrap().unwrap();
    assert_eq!((changed.password_hash, changed.must_change_password), (Some(hash(1)), false));
    assert!(store.temporary(invitation.email_index).await.unwrap().is_none());
    assert!(store.reset_owner(token.token, at(3)).await.unwrap().is_none());
    assert!(store.reset_owner(others_token.token, at(3)).await.unwrap().is_some());
}

/// AU-10: nothing changes if all sessions, or the one it is made in, ended since it was proved that it may be.
pub async fn a_password_is_not_replaced_after_all_sessions_ended(
    Fixture { store, world }: Fixture<dyn CredentialStores>,
) {
    let user = user();
    store.insert(&user, index(), &hash(0)).await.unwrap();
    let before = CredentialEpoch::default();
    let session = opened(&*store, user.id, before).await;
    let reason = RevocationReason::LogoutEverywhere;
    assert!(store.revoke_all(user.id, Some(session), reason, at(1), Effects::default()).await.is_ok());
    let epoch = world.epoch(user.id).await;
    let late = PasswordChange { session, epoch: before, ..change(user.id, Some(hash(0)), 1, None) };
    assert_eq!(store.replace(&late, &effects()).await.unwrap(), None, "the epoch is over");
    let ended = SessionStore::revoke(&*store, session, user.id, reason, at(1), Effects::default()).await;
    assert!(ended.unwrap());
    let late = PasswordChange { epoch, ..late };
    assert_eq!(store.replace(&late, &effects()).await.unwrap(), None, "the session is over");
    assert_eq!(store.by_user(user.id).await.unwrap().unwrap().password_hash, Some(hash(0)));
    assert_eq!(world.events().await, []);
    let session = opened(&*store, user.id, epoch).await;
    assert!(store.replace(&PasswordChange { session, ..late }, &effects()).await.unwrap().is_some());
}

/// AU-05, AU-10: what was proved with the old one opens nothing any more, whichever comes first; what the change
/// itself opens is of the epoch that it began.
pub async fn no_sign_in_under_way_outlives_its_password(
    Fixture { store, world }: Fixture<dyn CredentialStores>,
) {
    for reset in [false, true] {
        let user = world.user(Role::Doctor).await;
        let read = store.by_user(user).await.unwrap().unwrap();
        assert_eq!(read.epoch, world.epoch(user).await);
        let mine = opened(&*store, user, read.epoch).await;
        let token = token(1);
        assert!(store.put_reset(user, &token).await.unwrap());
        let (store, admission, read, token) = (&store, &roomy(), &read, &token);
        let race = together((0..21).map(|n| async move {
            if n != 10 {
                return SessionStore::open(&**store, &session(user), admission).await.map(drop);
            }
            let change =
                PasswordChange { session: mine, ..change(user, read.password_hash.clone(), 1, None) };
            match reset {
                true => assert!(store.reset(token.token, &hash(1), at(2), &effects()).await?),
                false => assert!(store.replace(&change, &effects()).await?.is_some()),
            }
            Ok(())
        }));
        for opened in race.await {
            assert!(matches!(opened, Ok(()) | Err(Error::InvalidCredentials)), "{opened:?}");
        }
        assert!(SessionStore::list(&**store, user, at(3)).await.unwrap().is_empty(), "reset: {reset}");
        let late = SessionStore::open(&**store, &session(user), admission).await;
        assert!(matches!(late, Err(Error::InvalidCredentials)), "{late:?}");
        let epoch = world.epoch(user).await;
        assert_eq!(store.by_user(user).await.unwrap().unwrap().epoch, epoch);
        SessionStore::open(&**store, &NewSession { epoch, ..session(user) }, admission).await.unwrap();
    }
}

/// Otherwise the one who changed it would find the old one back.
pub async fn a_hash_is_renewed_only_if_the_password_is_the_same(
    Fixture { store, world: _world }: Fixture<dyn CredentialStores>,
) {
    let user = user();
    store.insert(&user, index(), &hash(0)).await.unwrap();
    for (old, expected) in [(hash(9), hash(0)), (hash(0), hash(1))] {
        store.rehash(user.id, &old, &hash(1)).await.unwrap();
        assert_eq!(store.by_user(user.id).await.unwrap().unwrap().password_hash, Some(expected));
    }
}

/// In whatever order they arrive; one that was used does not come back.
pub async fn the_newest_token_counts(Fixture { store, world }: Fixture<dyn CredentialStores>) {
    let user = world.user(Role::Patient).await;
    let [first, second, third] = [token(1), token(15), token(30)];
    let owner = async |token: &NewReset, minutes| {
        store.reset_owner(token.token, at(minutes)).await.unwrap().map(|owner| owner.id)
    };
    assert!(store.put_reset(user, &first).await.unwrap());
    assert!(store.put_reset(user, &first).await.unwrap(), "it may be sent again");
    assert_eq!(owner(&first, 4).await, Some(user));
    assert!(store.put_reset(user, &third).await.unwrap());
    assert!(!store.put_reset(user, &second).await.unwrap());
    assert_eq!(
        (owner(&first, 4).await, owner(&second, 4).await, owner(&third, 4).await),
        (None, None, Some(user))
    );
    assert_eq!(owner(&third, END).await, None);
    assert!(!store.reset(third.token, &hash(1), at(END), &effects()).await.unwrap());
    assert!(!store.reset(first.token, &hash(1), at(4), &effects()).await.unwrap());
    assert!(store.reset(third.token, &hash(1), at(4), &effects()).await.unwrap());
    assert!(!store.put_reset(user, &third).await.unwrap());
    assert_eq!(owner(&third, 4).await, None);
}

/// Whoever asks again and again sends one letter in ten minutes, and the token in it MUST stay good.
pub async fn a_token_is_not_replaced_too_soon(Fixture { store, world }: Fixture<dyn CredentialStores>) {
    let user = world.user(Role::Patient).await;
    let pause = RESET_PAUSE.num_minutes();
    let [first, soon, later] = [token(1), token(pause), token(1 + pause)];
    let owner = async |token: &NewReset| store.reset_owner(token.token, at(12)).await.unwrap();
    assert!(store.put_reset(user, &first).await.unwrap());
    assert!(!store.put_reset(user, &soon).await.unwrap());
    assert!(owner(&soon).await.is_none() && owner(&first).await.is_some());
    assert!(store.put_reset(user, &later).await.unwrap());
    assert!(owner(&first).await.is_none() && owner(&later).await.is_some());
    assert!(store.reset(later.token, &hash(1), at(12), &effects()).await.unwrap());
    assert!(store.put_reset(user, &token(2 + pause)).await.unwrap(), "the last one was used");
}

/// All sessions end with it.
pub async fn of_many_that_use_one_token_one_does(Fixture { store, world }: Fixture<dyn CredentialStores>) {
    let user = world.user(Role::Patient).await;
    let (session, token) = (session(user), token(1));
    SessionStore::open(&*store, &session, &roomy()).await.unwrap();
    store.put_reset(user, &token).await.unwrap();
    let offers: Vec<_> = (0..20).map(|n| (hash(n), effects())).collect();
    let uses = offers.iter().map(|(hash, offer)| store.reset(token.token, hash, at(2), offer));
    let used = together(uses).await;
    let winners: Vec<_> =
        (0..).zip(&used).filter(|(_, u)| *u.as_ref().unwrap()).map(|(n, _): (usize, _)| n).collect();
    let [winner] = *winners else { panic!("{} have used it", winners.len()) };
    assert_eq!(world.events().await, offers[winner].1.events);
    assert_eq!(store.by_user(user).await.unwrap().unwrap().password_hash.as_ref(), Some(&offers[winner].0));
    assert!(store.live(session.id, at(3)).await.unwrap().is_none());
}

/// Nothing changes, and nothing is stored.
pub async fn a_deactivated_user_resets_nothing(Fixture { store, world }: Fixture<dyn CredentialStores>) {
    let user = world.user(Role::Patient).await;
    let token = token(1);
    store.put_reset(user, &token).await.unwrap();
    let before = store.by_user(user).await.unwrap().unwrap().password_hash;
    world.deactivate(user).await;
    assert!(store.reset_owner(token.token, at(2)).await.unwrap().is_none());
    assert!(!store.reset(token.token, &hash(5), at(2), &effects()).await.unwrap());
    assert_eq!(store.by_user(user).await.unwrap().unwrap().password_hash, before);
    assert_eq!(world.events().await, []);
}

// What the cases are written in

/// The minute in which everything expires.
const END: i64 = 60;

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minutes)
}

/// Something that would follow.
fn effects() -> Effects {
    let changed = PasswordChanged { user_id: UserId::generate(&SystemIds) };
    let event = Event::new(&SystemIds, at(0), &changed);
    assert_eq!(event.kind, PasswordChanged::KIND);
    Effects::default().event(event)
}

fn secret() -> SecretHash {
    let mut hash = [0; 32];
    hash[..16].copy_from_slice(SystemIds.uuid().as_bytes());
    SecretHash(hash)
}

fn index() -> [u8; 16] {
    SystemIds.uuid().into_bytes()
}

fn hash(n: u8) -> Sensitive<String> {
    Sensitive::new(format!("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA${n}"))
}

fn user() -> StoredUser {
    StoredUser {
        id: UserId::generate(&SystemIds),
        identity: Sealed::from_bytes(vec![7; 40]),
        role: Role::Doctor,
        professional_title: None,
        language: Language::Spanish,
        is_active: true,
        last_seen_at: None,
        created_at: at(1),
    }
}

fn registration() -> PendingRegistration {
    PendingRegistration {
        id: RegistrationId::generate(&SystemIds),
        token: secret(),
        user_id: UserId::generate(&SystemIds),
        email_index: index(),
        identity: Sealed::from_bytes(vec![1, 2, 3]),
        password_hash: hash(3),
        role: Role::Student,
        language: Language::English,
        created_at: at(0),
        expires_at: at(END),
    }
}

fn invitation(issued_by: UserId) -> StoredInvitation {
    StoredInvitation {
        id: InvitationId::generate(&SystemIds),
        token: secret(),
        user_id: UserId::generate(&SystemIds),
        email_index: index(),
        email: Sealed::from_bytes(vec![4, 5, 6]),
        role: Role::Doctor,
        language: Language::English,
        issued_by,
        created_at: at(0),
        expires_at: at(END),
    }
}

fn redemption(invitation: &StoredInvitation) -> Redemption {
    Redemption {
        invitation: invitation.id,
        user: StoredUser { id: invitation.user_id, role: invitation.role, ..user() },
        email_index: invitation.email_index,
        license_number: Some(Sealed::from_bytes(vec![8; 8])),
        specialty: Some("Dermatología".to_owned()),
        temporary: NewTemporaryPassword {
            id: MailedSecretId::generate(&SystemIds),
            hash: secret(),
            expires_at: at(END),
        },
    }
}

fn change(user: UserId, old: Option<Sensitive<String>>, n: u8, except: Option<SessionId>) -> PasswordChange {
    let reason = RevocationReason::PasswordChanged;
    let (session, epoch) = (SessionId::generate(&SystemIds), CredentialEpoch::default());
    PasswordChange { user_id: user, session, epoch, old, new: hash(n), except, reason, at: at(2) }
}

fn session(user: UserId) -> NewSession {
    NewSession {
        id: SessionId::generate(&SystemIds),
        user_id: user,
        epoch: CredentialEpoch::default(),
        created_at: at(0),
        expires_at: at(END),
        stage: SessionStage::Full,
        origin: Origin::default(),
        refresh: None,
        replaces: None,
    }
}

/// A session that was opened under this epoch.
async fn opened(store: &dyn CredentialStores, user: UserId, epoch: CredentialEpoch) -> SessionId {
    let session = NewSession { epoch, ..session(user) };
    SessionStore::open(store, &session, &roomy()).await.unwrap();
    session.id
}

fn token(minutes: i64) -> NewReset {
    NewReset {
        id: MailedSecretId::generate(&SystemIds),
        token: secret(),
        requested_at: at(minutes),
        expires_at: at(END),
    }
}

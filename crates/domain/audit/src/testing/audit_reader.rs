//! What every [`AuditReader`] MUST do, one case each. Run them all with
//! [`audit_reader_conformance!`](crate::audit_reader_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::net::IpAddr;

use alivio_kernel::audit::Outcome;
use alivio_kernel::ids::{AuditId, SessionId, UserId, Uuid};
use alivio_kernel::{AuditEntry, Caller, IdSource, PageSize, Role, SystemIds};
use chrono::{DateTime, TimeDelta, Utc};

use super::Fixture;
use crate::{ActionPrefix, After, AuditReader, ObjectKind, Recorded, TrailFilter};

/// Tests your [`AuditReader`]: one `#[tokio::test]` for every case in [`testing::audit_reader`].
///
/// `$fresh` names an `async fn() -> alivio_audit::testing::Fixture<dyn AuditReader>` that gives each case an empty,
/// isolated instance.
///
/// [`AuditReader`]: crate::AuditReader
/// [`testing::audit_reader`]: crate::testing::audit_reader
#[macro_export]
macro_rules! audit_reader_conformance {
    ($fresh:expr) => {
        mod audit_reader_conformance {
            use super::*;
            $crate::audit_reader_conformance! { @cases $fresh;
                what_was_recorded_reads_back_unchanged
                the_newest_come_first_page_by_page
                everything_that_is_asked_for_must_hold
                a_prefix_is_no_pattern
                people_see_what_others_did_to_their_data
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::audit_reader::$case($fresh().await).await;
            }
        )*
    };
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(seconds)
}

fn someone() -> Caller {
    Caller {
        user_id: UserId::generate(&SystemIds),
        role: Role::ItAdmin,
        session_id: SessionId::generate(&SystemIds),
        address: Some(IpAddr::from([203, 0, 113, 7])),
    }
}

fn size(n: i64) -> PageSize {
    PageSize::parse(Some(n), 50).unwrap()
}

fn ids(entries: &[Recorded]) -> Vec<AuditId> {
    entries.iter().map(|entry| entry.id).collect()
}

/// Every field survives, absent ones included.
pub async fn what_was_recorded_reads_back_unchanged(Fixture { store, world }: Fixture<dyn AuditReader>) {
    let (caller, subject, object) = (someone(), UserId::generate(&SystemIds), SystemIds.uuid());
    let full = AuditEntry::by(&SystemIds, at(2), &caller, "user.deactivated")
        .about(subject)
        .on("user", object)
        .came_to(Outcome::Denied, "missing_scope");
    let bare =
        AuditEntry::from_origin(&SystemIds, at(1), &alivio_kernel::Origin::default(), "sign_in.refused");
    world.record(&[full.clone(), bare.clone()]).await;
    let found = store.entries(&TrailFilter::default(), None, size(10)).await.unwrap();
    let expected = [full, bare].map(|entry| Recorded {
        id: entry.id,
        at: entry.at,
        actor: entry.actor,
        actor_role: entry.actor_role,
        address: entry.address,
        action: entry.action.to_owned(),
        subject: entry.subject,
        object: entry.object.map(|(kind, id)| (kind.to_owned(), id)),
        outcome: entry.outcome,
        reason: entry.reason.map(str::to_owned),
    });
    assert_eq!(found, expected);
}

/// Nothing missed and nothing twice, also where several entries have one instant.
pub async fn the_newest_come_first_page_by_page(Fixture { store, world }: Fixture<dyn AuditReader>) {
    let caller = someone();
    let entries: Vec<_> =
        (0..7).map(|n| AuditEntry::by(&SystemIds, at(n / 3), &caller, "user.read")).collect();
    world.record(&entries).await;
    let mut expected: Vec<_> = entries.iter().map(|entry| (entry.at, entry.id)).collect();
    expected.sort_unstable();
    expected.reverse();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let rows = store.entries(&TrailFilter::default(), after, size(2)).await.unwrap();
        assert!(rows.len() <= 3, "one more than asked for");
        let (rows, more) = size(2).cut(rows);
        found.extend(rows.iter().map(|entry| (entry.at, entry.id)));
        after = rows.last().map(|entry| After { at: entry.at, id: entry.id.uuid() });
        if !more {
            break;
        }
    }
    assert_eq!(found, expected);
}

/// Each filter alone, and all together.
pub async fn everything_that_is_asked_for_must_hold(Fixture { store, world }: Fixture<dyn AuditReader>) {
    let (one, other) = (someone(), someone());
    let (thing, subject) = (SystemIds.uuid(), UserId::generate(&SystemIds));
    let wanted = AuditEntry::by(&SystemIds, at(5), &one, "user.deactivated")
        .about(subject)
        .on("user", thing)
        .came_to(Outcome::Failed, "x");
    let unwanted =
        AuditEntry::by(&SystemIds, at(1), &other, "session.revoked").on("session", SystemIds.uuid());
    let late = AuditEntry::by(&SystemIds, at(9), &other, "session.revoked");
    world.record(&[wanted.clone(), unwanted, late]).await;
    let filters = [
        TrailFilter { actor: Some(one.user_id), ..TrailFilter::default() },
        TrailFilter { subject: Some(subject), ..TrailFilter::default() },
        TrailFilter { action: Some(ActionPrefix::parse("user.").unwrap()), ..TrailFilter::default() },
        TrailFilter { object_kind: Some(ObjectKind::parse("user").unwrap()), ..TrailFilter::default() },
        TrailFilter { object_id: Some(thing), ..TrailFilter::default() },
        TrailFilter { outcome: Some(Outcome::Failed), ..TrailFilter::default() },
        // From is included, to is not.
        TrailFilter { from: Some(at(5)), to: Some(at(9)), ..TrailFilter::default() },
        TrailFilter {
            actor: Some(one.user_id),
            subject: Some(subject),
            action: Some(ActionPrefix::parse("user.deactivated").unwrap()),
            object_kind: Some(ObjectKind::parse("user").unwrap()),
            object_id: Some(thing),
            outcome: Some(Outcome::Failed),
            from: Some(at(5)),
            to: Some(at(6)),
        },
    ];
    for filter in filters {
        let found = store.entries(&filter, None, size(10)).await.unwrap();
        assert_eq!(ids(&found), [wanted.id], "{filter:?}");
    }
    let contradiction =
        TrailFilter { actor: Some(other.user_id), subject: Some(subject), ..TrailFilter::default() };
    assert_eq!(store.entries(&contradiction, None, size(10)).await.unwrap(), []);
    let nothing = TrailFilter { object_id: Some(Uuid::nil()), ..TrailFilter::default() };
    assert_eq!(store.entries(&nothing, None, size(10)).await.unwrap(), []);
}

/// `_` stands for itself.
pub async fn a_prefix_is_no_pattern(Fixture { store, world }: Fixture<dyn AuditReader>) {
    let caller = someone();
    let wanted = AuditEntry::by(&SystemIds, at(1), &caller, "audit_log.read");
    let other = AuditEntry::by(&SystemIds, at(2), &caller, "auditxlog.read");
    world.record(&[wanted.clone(), other]).await;
    let filter =
        TrailFilter { action: Some(ActionPrefix::parse("audit_log").unwrap()), ..TrailFilter::default() };
    assert_eq!(ids(&store.entries(&filter, None, size(10)).await.unwrap()), [wanted.id]);
}

/// MUST NOT hold what they did themselves, what nobody did, or what concerns someone else.
pub async fn people_see_what_others_did_to_their_data(Fixture { store, world }: Fixture<dyn AuditReader>) {
    let (me, other) = (someone(), someone());
    let by = |n, caller: &Caller| AuditEntry::by(&SystemIds, at(n), caller, "user.read");
    let (first, second) = (by(1, &other).about(me.user_id), by(2, &other).about(me.user_id));
    let nobody =
        AuditEntry::from_origin(&SystemIds, at(3), &alivio_kernel::Origin::default(), "sign_in.refused");
    world
        .record(&[
            first.clone(),
            second.clone(),
            by(3, &me).about(me.user_id),
            by(3, &other).about(other.user_id),
            by(3, &other),
            nobody.about(me.user_id),
        ])
        .await;
    let newest = store.by_others(me.user_id, None, size(1)).await.unwrap();
    assert_eq!(ids(&newest), [second.id, first.id], "one more than asked for");
    let after = After { at: second.at, id: second.id.uuid() };
    assert_eq!(ids(&store.by_others(me.user_id, Some(after), size(1)).await.unwrap()), [first.id]);
}

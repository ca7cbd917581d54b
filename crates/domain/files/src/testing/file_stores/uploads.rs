//! How uploads come in.

use std::sync::Arc;

use alivio_kernel::testing::together;
use alivio_kernel::{Effects, Role};
use chrono::TimeDelta;

use super::{Stores, effects, later, new, now, quota, upload};
use crate::{Admitted, BlobKey, BlobPart, NewFile, Quota, SegmentRow};

/// However many come at once.
pub async fn fifty_at_once_come_to_the_quota(stores: Stores) {
    let (uploader, other, room) = stores.room().await;
    let begun = upload(room, uploader);
    let admitted = stores.uploads.begin(&begun, quota(), effects("file.upload_begun")).await.unwrap();
    assert_eq!(admitted, Admitted::Stored(0));
    let attempts = (0..50).map(|_| {
        let uploads = Arc::clone(&stores.uploads);
        async move { uploads.admit(&new(room, uploader), quota(), effects("file.uploaded")).await.unwrap() }
    });
    let outcomes = together(attempts).await;
    let stored = outcomes.iter().filter(|outcome| matches!(outcome, Admitted::Stored(_))).count();
    assert_eq!(stored, 9, "the upload counts");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Admitted::TooMany(later())).count(), 41);
    let one_more = upload(room, uploader);
    let refused = stores.uploads.begin(&one_more, quota(), Effects::default()).await.unwrap();
    assert_eq!(refused, Admitted::TooMany(later()));
    stores.keep(&new(room, other)).await;
    let done = stores.world.audited().await;
    assert_eq!(done.iter().filter(|action| *action == "file.uploaded").count(), 10, "with each, its entry");
    // An hour later they count no more.
    let next = Quota { since: later(), ..quota() };
    assert!(matches!(
        stores.uploads.admit(&new(room, uploader), next, Effects::default()).await.unwrap(),
        Admitted::Stored(_)
    ));
}

/// Nothing to strangers; to members, what it allows, whom it is about, and how many they have uploaded.
pub async fn how_a_conversation_stands_to_someone(stores: Stores) {
    let world = &stores.world;
    let (doctor, patient) = (world.user(Role::Doctor).await, world.user(Role::Patient).await);
    let (stranger, second) = (world.user(Role::Doctor).await, world.user(Role::Patient).await);
    let since = now() - TimeDelta::hours(1);
    let standing = async |who, room| stores.uploads.standing(who, room, later(), since).await.unwrap();
    let direct = world.direct(doctor, patient).await;
    assert!(standing(stranger, direct).await.is_none());
    let open = standing(doctor, direct).await.unwrap();
    assert!(open.is_open && open.file_sharing && !open.is_blocked);
    assert_eq!((open.subject, open.recent, open.oldest), (Some(patient), 0, None));
    stores.keep(&new(direct, doctor)).await;
    let one = standing(doctor, direct).await.unwrap();
    assert_eq!((one.recent, one.oldest), (1, Some(later())));
    assert_eq!(standing(patient, direct).await.unwrap().recent, 0);
    world.block(patient, doctor).await;
    assert!(standing(doctor, direct).await.unwrap().is_blocked);
    let group = world.conversation(&[doctor, patient, second]).await;
    assert_eq!(standing(doctor, group).await.unwrap().subject, None, "of two patients, neither");
    world.remove(group, second).await;
    assert_eq!(standing(doctor, group).await.unwrap().subject, Some(patient));
    assert!(standing(second, group).await.is_none());
    world.close(group).await;
    assert!(!standing(doctor, group).await.unwrap().is_open);
}

/// [`Error::Stale`](crate::Error::Stale) for all others, and each number is given away once.
pub async fn of_pieces_for_one_place_one_is_taken(stores: Stores) {
    let (uploader, _, room) = stores.room().await;
    let begun = upload(room, uploader);
    stores.uploads.begin(&begun, quota(), Effects::default()).await.unwrap();
    let attempts = (0..20).map(|_| {
        let (uploads, id) = (Arc::clone(&stores.uploads), begun.id);
        async move {
            let number = uploads.next_segment(id).await.unwrap().unwrap();
            (number, uploads.append(id, 0, SegmentRow { number, size: 40 }).await.is_ok())
        }
    });
    let outcomes = together(attempts).await;
    let taken: Vec<_> = outcomes.iter().filter(|(_, taken)| *taken).map(|(number, _)| *number).collect();
    let [number] = &*taken else { panic!("{} taken", taken.len()) };
    let mut numbers: Vec<_> = outcomes.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 20);
    let found = stores.uploads.upload(uploader, begun.id, later()).await.unwrap().unwrap();
    assert_eq!((found.offset, found.length), (40, 100));
    assert_eq!(stores.uploads.received(begun.id).await.unwrap(), [SegmentRow { number: *number, size: 40 }]);
}

/// Without counting again; and no more once it is forgotten, or its uploader is not there.
pub async fn an_upload_becomes_a_file_once(stores: Stores) {
    let (uploader, other, room) = stores.room().await;
    let begun = upload(room, uploader);
    stores.uploads.begin(&begun, quota(), Effects::default()).await.unwrap();
    let segment = SegmentRow { number: 7, size: 100 };
    stores.uploads.append(begun.id, 0, segment).await.unwrap();
    for _ in 0..9 {
        stores.keep(&new(room, uploader)).await;
    }
    let mut file = NewFile { segments: vec![segment], is_upload: true, ..new(room, uploader) };
    file.file.header.id = begun.id;
    let attempts = (0..5).map(|_| {
        let (uploads, file) = (Arc::clone(&stores.uploads), file.clone());
        async move { uploads.admit(&file, quota(), Effects::default()).await.unwrap() }
    });
    let outcomes = together(attempts).await;
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Admitted::Stored(_))).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Admitted::NotThere).count(), 4);
    assert!(stores.uploads.upload(uploader, begun.id, later()).await.unwrap().is_none());
    assert_eq!(stores.files.segments(begun.id).await.unwrap(), [segment]);
    let theirs = upload(room, other);
    stores.uploads.begin(&theirs, quota(), Effects::default()).await.unwrap();
    stores.world.remove(room, other).await;
    assert!(stores.uploads.upload(other, theirs.id, later()).await.unwrap().is_none());
    let mut file = NewFile { is_upload: true, ..new(room, other) };
    file.file.header.id = theirs.id;
    assert_eq!(stores.uploads.admit(&file, quota(), Effects::default()).await.unwrap(), Admitted::NotThere);
    let stranger = stores.uploads.admit(&new(room, other), quota(), Effects::default()).await.unwrap();
    assert_eq!(stranger, Admitted::NotThere);
}

/// And their segments with them.
pub async fn uploads_are_forgotten_in_time(stores: Stores) {
    let (uploader, _, room) = stores.room().await;
    let (first, second) = (upload(room, uploader), upload(room, uploader));
    for begun in [&first, &second] {
        stores.uploads.begin(begun, quota(), Effects::default()).await.unwrap();
        stores.uploads.append(begun.id, 0, SegmentRow { number: 0, size: 5 }).await.unwrap();
    }
    assert!(stores.uploads.forget(first.id).await.unwrap());
    assert!(!stores.uploads.forget(first.id).await.unwrap());
    assert!(stores.uploads.received(first.id).await.unwrap().is_empty());
    assert!(stores.uploads.forget_expired(later(), 10).await.unwrap().is_empty());
    let key = BlobKey { owner: second.id.uuid(), part: BlobPart::Segment(0) };
    assert_eq!(stores.files.owned(&[key]).await.unwrap(), [key]);
    assert_eq!(stores.uploads.forget_expired(second.expires_at, 10).await.unwrap(), [second.id]);
    assert!(stores.files.owned(&[key]).await.unwrap().is_empty());
    assert!(stores.uploads.upload(uploader, second.id, later()).await.unwrap().is_none());
}

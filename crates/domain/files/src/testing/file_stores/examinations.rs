//! What is found out about files.

use std::sync::Arc;

use alivio_kernel::Effects;
use alivio_kernel::testing::together;
use chrono::TimeDelta;

use super::{Stores, clean, effects, later, new, now};
use crate::{BlobKey, BlobPart, Examined, ScanStatus, SegmentRow, State};

/// And settles it once.
pub async fn one_at_a_time_examines_a_file(stores: Stores) {
    let (uploader, _, room) = stores.room().await;
    let id = stores.keep(&new(room, uploader)).await;
    let until = later() + TimeDelta::minutes(5);
    assert!(stores.examinations.claim(None, now(), until).await.unwrap().is_none(), "not due yet");
    let attempts = (0..10).map(|n| {
        let store = Arc::clone(&stores.examinations);
        let id = (n % 2 == 0).then_some(id);
        async move { store.claim(id, later(), until).await.unwrap() }
    });
    let claimed: Vec<_> = together(attempts).await.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 1);
    assert_eq!((claimed[0].header.id, claimed[0].header.state), (id, State::Pending));
    stores.examinations.put_off(id, later()).await.unwrap();
    assert!(stores.examinations.claim(Some(id), later(), until).await.unwrap().is_some());
    let first = clean();
    assert!(stores.examinations.settle(id, &first, until, effects("file.found_clean")).await.unwrap());
    assert!(!stores.examinations.settle(id, &first, until, effects("file.found_clean")).await.unwrap());
    assert!(stores.examinations.claim(None, until + TimeDelta::days(1), until).await.unwrap().is_none());
    let found = stores.files.find(uploader, id, later()).await.unwrap().unwrap().header;
    assert_eq!(
        (found.state, found.scan, found.sha256, found.made.pages),
        (State::Active, ScanStatus::Clean, Some([3; 32]), Some(2))
    );
    assert_eq!(stores.world.audited().await.iter().filter(|action| *action == "file.found_clean").count(), 1);
}

/// With their size, and the first are nobody's.
pub async fn other_bytes_take_the_place_of_the_first(stores: Stores) {
    let (uploader, _, room) = stores.room().await;
    let id = stores.keep(&new(room, uploader)).await;
    let replaced = SegmentRow { number: 1, size: 77 };
    let examined = Examined { replaced: Some(replaced), ..clean() };
    assert!(stores.examinations.settle(id, &examined, later(), Effects::default()).await.unwrap());
    assert_eq!(stores.files.segments(id).await.unwrap(), [replaced]);
    assert_eq!(stores.files.look(id).await.unwrap().unwrap().header.size, 77);
    let key = |part| BlobKey { owner: id.uuid(), part };
    let keys = [key(BlobPart::Segment(0)), key(BlobPart::Segment(1)), key(BlobPart::Preview)];
    let mut owned = stores.files.owned(&keys).await.unwrap();
    owned.sort_unstable();
    assert_eq!(owned, keys[1..]);
}

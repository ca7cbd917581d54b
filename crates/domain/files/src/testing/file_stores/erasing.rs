//! How files go.

use alivio_kernel::ids::{DataKeyId, FileId};
use alivio_kernel::{Effects, IdSource, Role, SystemIds};
use chrono::TimeDelta;

use super::{Stores, effects, later, new, now, quota, upload};
use crate::{BlobKey, BlobPart, Erased, Erasure, State, Whose};

/// MUST reach what a patient is in and what is theirs, in whatever state, and their uploads; what must be kept is
/// withheld.
pub async fn all_files_of_a_patient_go(stores: Stores) {
    let world = &stores.world;
    let (doctor, patient) = (world.user(Role::Doctor).await, world.user(Role::Patient).await);
    let room = world.conversation(&[doctor, patient]).await;
    let (mut about, mut record, mut by, others) =
        (new(room, doctor), new(room, doctor), new(room, patient), new(room, doctor));
    for file in [&mut about, &mut record, &mut by] {
        file.file.header.patient_id = Some(patient);
    }
    record.kept_until = now() + TimeDelta::days(7 * 365);
    let mut kept = Vec::new();
    for file in [&about, &record, &by, &others] {
        kept.push(stores.keep(file).await);
        world.make_key(file.file.header.id).await;
    }
    let [about, record, by, others] = kept[..] else { panic!("four files") };
    stores.settle(about).await;
    stores.files.remove(by, patient, later(), Effects::default()).await.unwrap();
    let begun = upload(room, patient);
    stores.uploads.begin(&begun, quota(), Effects::default()).await.unwrap();
    world.make_key(begun.id).await;
    let whose = Whose::Patient(patient);
    assert_eq!(stores.uploads.unfinished(whose).await.unwrap(), [begun.id]);
    assert!(stores.uploads.forget(begun.id).await.unwrap());
    assert_eq!(world.keys(begun.id).await, 0, "what came of it opens no more");

    let erase = async |records_too| {
        let erasure = Erasure { whose, records_too, now: later(), effects: effects("files.erased") };
        stores.files.erase(&erasure).await.unwrap()
    };
    assert_eq!(erase(false).await, Erased { destroyed: 2, kept: 1 });
    let mut destroyable = stores.files.destroyable(later(), 10).await.unwrap();
    destroyable.sort_unstable();
    let mut gone = vec![about, by];
    gone.sort_unstable();
    assert_eq!(destroyable, gone);
    for id in [about, record, by] {
        assert_eq!(stores.files.look(id).await.unwrap().unwrap().header.state, State::Deleted);
    }
    assert_eq!(stores.files.look(others).await.unwrap().unwrap().header.state, State::Pending);
    let removed = async || {
        let asked = [about, record, by, others, FileId::generate(&SystemIds)];
        let removed = stores.files.removed(&asked).await.unwrap();
        [about, record, by, others].map(|id| removed.iter().filter(|other| **other == id).count())
    };
    assert_eq!(removed().await, [1, 1, 1, 0]);
    for id in gone {
        let tombstone = DataKeyId::from(SystemIds.uuid());
        stores.files.destroy(id, tombstone, later(), effects("file.destroyed")).await.unwrap();
    }
    assert_eq!(removed().await, [1, 1, 1, 0], "what is destroyed was taken away, too");
    assert_eq!((world.keys(about).await, world.keys(by).await, world.keys(record).await), (0, 0, 1));
    assert_eq!(erase(true).await, Erased { destroyed: 1, kept: 0 });
    assert_eq!(stores.files.destroyable(later(), 10).await.unwrap(), [record]);
    let done = stores.world.audited().await;
    let count = |action| done.iter().filter(|done| *done == action).count();
    assert_eq!((count("files.erased"), count("file.destroyed")), (2, 2));
    let of_room = Erasure {
        whose: Whose::Conversation(room),
        records_too: false,
        now: later(),
        effects: Effects::default(),
    };
    assert_eq!(
        stores.files.erase(&of_room).await.unwrap().destroyed,
        2,
        "the record that need not be kept, and another's"
    );
}

/// MUST leave nothing by which its content could be read.
pub async fn what_must_be_kept_is_kept_and_the_rest_is_destroyed(stores: Stores) {
    let (uploader, _, room) = stores.room().await;
    let (plain, mut record) = (new(room, uploader), new(room, uploader));
    record.kept_until = now() + TimeDelta::days(7 * 365);
    let (plain, record) = (stores.keep(&plain).await, stores.keep(&record).await);
    for id in [plain, record] {
        stores.world.make_key(id).await;
        stores.settle(id).await;
    }
    assert!(stores.files.destroyable(later(), 10).await.unwrap().is_empty());
    for id in [plain, record] {
        stores.files.remove(id, uploader, later(), Effects::default()).await.unwrap();
    }
    assert_eq!(stores.files.destroyable(later(), 10).await.unwrap(), [plain]);
    let tombstone = || DataKeyId::from(SystemIds.uuid());
    stores.files.destroy(plain, tombstone(), later(), Effects::default()).await.unwrap();
    assert_eq!((stores.world.keys(plain).await, stores.world.keys(record).await), (0, 1));
    assert!(stores.files.destroyable(later(), 10).await.unwrap().is_empty());
    assert!(stores.files.segments(plain).await.unwrap().is_empty());
    let key = |id: FileId| BlobKey { owner: id.uuid(), part: BlobPart::Thumbnail };
    assert_eq!(stores.files.owned(&[key(plain), key(record)]).await.unwrap(), [key(record)]);
    // Nothing is destroyed that was not taken away.
    let kept = stores.keep(&new(room, uploader)).await;
    stores.world.make_key(kept).await;
    stores.files.destroy(kept, tombstone(), later(), Effects::default()).await.unwrap();
    assert_eq!(stores.world.keys(kept).await, 1);
}

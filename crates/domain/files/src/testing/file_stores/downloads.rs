//! How often files are given, and by what links.

use std::sync::Arc;

use alivio_kernel::testing::together;
use alivio_kernel::{Effects, Role};
use chrono::TimeDelta;

use super::{Stores, alarm, download, effects, later, new, now};
use crate::{Alarm, Consent, Download, LinkHash, NewLink};

/// However many ask at once; with each, its entry.
pub async fn the_last_download_is_given_once(stores: Stores) {
    let (uploader, other, room) = stores.room().await;
    let mut file = new(room, uploader);
    file.file.header.max_downloads = Some(3);
    let id = stores.keep(&file).await;
    stores.settle(id).await;
    let attempts =
        (0..20).map(|_| {
            let grants = Arc::clone(&stores.grants);
            async move {
                grants.download(&download(id, other), effects("file.downloaded"), alarm(100)).await.unwrap()
            }
        });
    let given = together(attempts).await.into_iter().filter(|given| *given).count();
    assert_eq!(given, 3);
    assert_eq!(stores.world.audited().await.iter().filter(|action| *action == "file.downloaded").count(), 3);
    assert_eq!(stores.files.look(id).await.unwrap().unwrap().header.download_count, 3);
}

/// However many are taken at once; each file counts once, and an alarm is over when its time is.
pub async fn who_takes_many_raises_one_alarm(stores: Stores) {
    let (uploader, other, room) = stores.room().await;
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(stores.keep(&new(room, uploader)).await);
        stores.settle(ids[ids.len() - 1]).await;
    }
    let raised = async || stores.world.audited().await.iter().filter(|a| *a == "file.bulk_download").count();
    let take = async |download: Download, alarm| {
        assert!(stores.grants.download(&download, effects("file.downloaded"), alarm).await.unwrap());
    };
    for _ in 0..5 {
        take(download(ids[0], other), alarm(5)).await;
    }
    // What does not count as a download of its own is taken all the same.
    take(Download { counts: false, ..download(ids[1], other) }, alarm(5)).await;
    take(download(ids[2], uploader), alarm(5)).await;
    assert_eq!(raised().await, 0, "two files are not five");
    assert_eq!(stores.files.look(ids[1]).await.unwrap().unwrap().header.download_count, 0);
    let attempts = ids.iter().map(|id| {
        let (grants, download) = (Arc::clone(&stores.grants), download(*id, other));
        async move { grants.download(&download, effects("file.downloaded"), alarm(5)).await.unwrap() }
    });
    assert!(together(attempts).await.into_iter().all(|given| given));
    assert_eq!(raised().await, 1);
    take(download(ids[0], other), alarm(5)).await;
    assert_eq!(raised().await, 1);
    let since = later() + TimeDelta::minutes(10);
    let again = Alarm { since, ..alarm(5) };
    for id in &ids {
        take(Download { at: since + TimeDelta::minutes(1), ..download(*id, other) }, again.clone()).await;
    }
    assert_eq!(raised().await, 2);
}

/// Whatever they were told before: not once it is over, taken back, refused or gone.
pub async fn nobody_downloads_what_was_taken_from_them(stores: Stores) {
    let (uploader, other, room) = stores.room().await;
    let id = stores.keep(&new(room, uploader)).await;
    let take = async |who, at| {
        let download = Download { at, ..download(id, who) };
        stores.grants.download(&download, effects("file.downloaded"), alarm(100)).await.unwrap()
    };
    assert!(!take(uploader, later()).await, "nobody has looked at it yet");
    stores.settle(id).await;
    assert!(take(other, later()).await);
    let stranger = stores.world.user(Role::Doctor).await;
    assert!(!take(stranger, later()).await);
    let expired = now() + TimeDelta::days(400);
    assert_eq!((take(other, expired).await, take(uploader, expired).await), (false, true));
    assert!(stores.grants.withdraw(id, other, later(), effects("file.withdrawn")).await.unwrap());
    assert!(!take(other, later()).await);
    assert!(stores.grants.give_back(id, other, effects("file.given_back")).await.unwrap());
    assert!(take(other, later()).await);
    stores.files.remove(id, uploader, later(), Effects::default()).await.unwrap();
    assert!(!take(other, later()).await && !take(uploader, later()).await);
    let patient = stores.world.user(Role::Patient).await;
    stores.world.add(room, patient).await;
    let mut asks = new(room, uploader);
    (asks.file.header.consent, asks.file.header.patient_id) = (Consent::Denied, Some(patient));
    let asks = stores.keep(&asks).await;
    stores.settle(asks).await;
    let take = async |who| {
        stores.grants.download(&download(asks, who), effects("file.downloaded"), alarm(100)).await.unwrap()
    };
    assert_eq!((take(other).await, take(uploader).await, take(patient).await), (false, true, true));
}

/// And for its time.
pub async fn a_link_is_good_for_one_file_and_while_its_session_lives(stores: Stores) {
    let (uploader, other, room) = stores.room().await;
    let (id, second) = (stores.keep(&new(room, uploader)).await, stores.keep(&new(room, uploader)).await);
    let session = stores.world.session(other).await;
    let hash = LinkHash([9; 32]);
    let link = NewLink {
        hash,
        file_id: id,
        user_id: other,
        session_id: session,
        created_at: now(),
        expires_at: now() + TimeDelta::minutes(5),
    };
    stores.grants.put_link(&link, effects("file.linked")).await.unwrap();
    let holder = async |hash, file, at| stores.grants.link(hash, file, at).await.unwrap();
    let found = holder(hash, id, later()).await.unwrap();
    assert_eq!((found.user_id, found.role, found.session_id), (other, Role::Doctor, session));
    assert!(holder(hash, second, later()).await.is_none());
    assert!(holder(LinkHash([8; 32]), id, later()).await.is_none());
    assert!(holder(hash, id, link.expires_at).await.is_none());
    stores.world.end(session).await;
    assert!(holder(hash, id, later()).await.is_none());
}

//! Who sees which files.

use alivio_kernel::ids::{ConsultationId, FileId};
use alivio_kernel::{Effects, Role, SystemIds};
use chrono::TimeDelta;

use super::{Stores, alarm, download, effects, later, new, now};
use crate::{DocumentType, FileFilter, FileQuery, Grant, LinkHash, NewLink};

/// Not those who came later, and nobody any more who has left (AZ-04).
pub async fn those_who_were_there_see_it(stores: Stores) {
    let (uploader, other, room) = stores.room().await;
    let stranger = stores.world.user(Role::Doctor).await;
    let id = stores.keep(&new(room, uploader)).await;
    assert_eq!(
        [stores.sees(uploader, id).await, stores.sees(other, id).await, stores.sees(stranger, id).await],
        [true, true, false]
    );
    let mut viewers = stores.files.viewers(id, later()).await.unwrap();
    viewers.sort_unstable();
    let mut members = vec![uploader, other];
    members.sort_unstable();
    assert_eq!(viewers, members);
    // He joins at `now`; a file that came before is none of his, whether or not anything was said.
    let mut early = new(room, uploader);
    early.file.header.created_at = now() - TimeDelta::minutes(5);
    let early = stores.keep(&early).await;
    stores.world.add(room, stranger).await;
    assert!(!stores.sees(stranger, early).await);
    stores.world.say(room, uploader, &[]).await;
    let next = stores.keep(&new(room, uploader)).await;
    assert!(stores.sees(stranger, next).await);
    stores.world.remove(room, other).await;
    assert!(!stores.sees(other, id).await && !stores.sees(other, next).await);
    stores.world.say(room, uploader, &[]).await;
    stores.world.add(room, other).await;
    assert!(!stores.sees(other, id).await && !stores.sees(other, next).await);
}

/// Wherever it is, while it is not gone.
pub async fn readers_of_a_message_see_its_files(stores: Stores) {
    let (uploader, _, room) = stores.room().await;
    let (reader, late) = (stores.world.user(Role::Doctor).await, stores.world.user(Role::Doctor).await);
    let elsewhere = stores.world.conversation(&[uploader, reader]).await;
    let id = stores.keep(&new(room, uploader)).await;
    assert!(!stores.sees(reader, id).await);
    let message = stores.world.say(elsewhere, uploader, &[id]).await;
    stores.world.add(elsewhere, late).await;
    assert!(stores.sees(reader, id).await && !stores.sees(late, id).await);
    let found = stores.files.find(reader, id, later()).await.unwrap().unwrap();
    assert_eq!(found.header.message_id, Some(message));
    assert_eq!(
        stores.files.visible(reader, &[id, FileId::generate(&SystemIds)], later()).await.unwrap().len(),
        1
    );
    stores.world.take_back(message).await;
    assert!(!stores.sees(reader, id).await && stores.sees(uploader, id).await);
}

/// Newest first, page by page.
pub async fn lists_name_what_one_may_see(stores: Stores) {
    let (uploader, other, room) = stores.room().await;
    let patient = stores.world.user(Role::Patient).await;
    let consultation = ConsultationId::generate(&SystemIds);
    let mut ids = Vec::new();
    for n in 0..3 {
        let mut file = new(room, uploader);
        file.file.header.patient_id = (n == 1).then_some(patient);
        file.file.header.related_appointment = (n == 2).then_some(consultation);
        if n == 0 {
            file.file.header.document_type = DocumentType::Imaging;
        }
        ids.push(stores.keep(&file).await);
    }
    ids.sort_unstable();
    ids.reverse();
    let all = FileFilter { query: FileQuery::default(), after: None, limit: 10 };
    let list = async |viewer, filter: FileFilter| {
        let found = stores.files.list(viewer, &filter, later()).await.unwrap();
        found.into_iter().map(|file| file.header.id).collect::<Vec<_>>()
    };
    let of = |query| FileFilter { query, ..all };
    let of_room = of(FileQuery { conversation_id: Some(room), ..FileQuery::default() });
    let of_patient = of(FileQuery { patient_id: Some(patient), ..FileQuery::default() });
    assert_eq!((list(other, all).await, list(other, of_room).await), (ids.clone(), ids.clone()));
    assert_eq!(list(other, FileFilter { limit: 2, ..of_room }).await, ids[..2]);
    assert_eq!(list(other, FileFilter { after: Some(ids[1]), ..all }).await, ids[2..]);
    assert_eq!(list(other, of_patient).await, ids[1..2]);
    for FileFilter { query, .. } in [all, of_room] {
        let imaging = FileQuery { document_type: Some(DocumentType::Imaging), ..query };
        let of_consultation = FileQuery { related_appointment: Some(consultation), ..query };
        assert_eq!(
            (list(other, of(imaging)).await, list(other, of(of_consultation)).await),
            (ids[2..].to_vec(), ids[..1].to_vec())
        );
        let both = FileQuery { document_type: Some(DocumentType::Imaging), ..of_consultation };
        assert!(list(other, of(both)).await.is_empty());
    }
    let of_both = FileQuery { document_type: Some(DocumentType::Imaging), ..of_patient.query };
    assert!(list(other, of(of_both)).await.is_empty());
    for filter in [all, of_room, of_patient] {
        assert!(list(patient, filter).await.is_empty());
    }
    assert!(stores.files.remove(ids[0], uploader, later(), effects("file.deleted")).await.unwrap());
    assert!(!stores.files.remove(ids[0], uploader, later(), effects("file.deleted")).await.unwrap());
    assert_eq!(list(other, all).await, ids[1..]);
    assert_eq!(stores.world.audited().await.iter().filter(|action| *action == "file.deleted").count(), 1);
}

/// And it is gone from them everywhere: their links, their lists.
pub async fn what_was_taken_back_is_not_seen(stores: Stores) {
    let (uploader, other, room) = stores.room().await;
    let reader = stores.world.user(Role::Doctor).await;
    let id = stores.keep(&new(room, uploader)).await;
    stores.settle(id).await;
    let elsewhere = stores.world.conversation(&[uploader, reader]).await;
    stores.world.say(elsewhere, uploader, &[id]).await;
    let session = stores.world.session(other).await;
    let hash = LinkHash([9; 32]);
    let expires_at = now() + TimeDelta::minutes(5);
    let link =
        NewLink { hash, file_id: id, user_id: other, session_id: session, created_at: now(), expires_at };
    stores.grants.put_link(&link, Effects::default()).await.unwrap();
    stores.grants.download(&download(id, other), Effects::default(), alarm(100)).await.unwrap();

    let stranger = stores.world.user(Role::Doctor).await;
    let withdraw =
        async |from| stores.grants.withdraw(id, from, later(), effects("file.withdrawn")).await.unwrap();
    assert!(!withdraw(stranger).await);
    assert!(withdraw(other).await);
    assert!(!withdraw(other).await, "once");
    let done = stores.world.audited().await;
    assert_eq!(done.iter().filter(|action| *action == "file.withdrawn").count(), 1);
    assert!(
        !stores.sees(other, id).await && stores.sees(reader, id).await && stores.sees(uploader, id).await
    );
    let all = FileFilter { query: FileQuery::default(), after: None, limit: 10 };
    assert!(stores.files.list(other, &all, later()).await.unwrap().is_empty());
    assert!(stores.grants.link(hash, id, later()).await.unwrap().is_none());
    assert!(!stores.files.viewers(id, later()).await.unwrap().contains(&other));

    let mut granted = stores.grants.grants(id, later()).await.unwrap();
    granted.sort_by_key(|grant| [uploader, other, reader].iter().position(|who| *who == grant.user_id));
    let plain = |user_id, is_member| Grant {
        user_id,
        is_member,
        downloads: 0,
        last_download_at: None,
        withdrawn_at: None,
    };
    let taken = Grant {
        downloads: 1,
        last_download_at: Some(later()),
        withdrawn_at: Some(later()),
        ..plain(other, true)
    };
    assert_eq!(granted, [plain(uploader, true), taken, plain(reader, false)]);
    let give_back = async || stores.grants.give_back(id, other, effects("file.given_back")).await.unwrap();
    assert_eq!((give_back().await, give_back().await), (true, false));
    assert!(stores.sees(other, id).await);
}

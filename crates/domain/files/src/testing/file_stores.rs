//! What every [`UploadStore`], [`FileStore`], [`ExaminationStore`] and [`GrantStore`] MUST do, one case each. Run them all
//! with [`file_stores_conformance!`](crate::file_stores_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::sync::Arc;

use alivio_kernel::audit::AuditEntry;
use alivio_kernel::ids::{
    ConsultationId, ConversationId, DataKeyId, EventId, FileId, MessageId, SessionId, UserId,
};
use alivio_kernel::testing::together;
use alivio_kernel::{Effects, IdSource, Role, Sealed, SystemIds};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::header;
use crate::{
    Admitted, Alarm, AnnotationStore, BlobKey, BlobPart, Consent, DocumentType, Download, Erased, Erasure,
    ExaminationStore, Examined, FileFilter, FileQuery, FileStore, Grant, GrantStore, Granted, Header,
    LinkHash, Made, NewFile, NewLink, Quota, ScanStatus, SegmentRow, Signature, State, StoredFile, Upload,
    UploadStore, Whose,
};

/// Tests your stores: one `#[tokio::test]` for every case.
///
/// `$fresh` names an `async fn() -> Stores` that gives each case empty, isolated ones.
#[macro_export]
macro_rules! file_stores_conformance {
    ($fresh:expr) => {
        mod file_stores_conformance {
            use super::*;
            $crate::file_stores_conformance! { @cases $fresh;
                fifty_at_once_come_to_the_quota
                how_a_conversation_stands_to_someone
                of_pieces_for_one_place_one_is_taken
                an_upload_becomes_a_file_once
                uploads_are_forgotten_in_time
                those_who_were_there_see_it
                readers_of_a_message_see_its_files
                lists_name_what_one_may_see
                one_at_a_time_examines_a_file
                other_bytes_take_the_place_of_the_first
                the_last_download_is_given_once
                who_takes_many_raises_one_alarm
                nobody_downloads_what_was_taken_from_them
                what_was_taken_back_is_not_seen
                of_those_who_grant_at_once_one_is_first
                all_files_of_a_patient_go
                only_who_was_asked_agrees
                everyone_signs_once
                a_link_is_good_for_one_file_and_while_its_session_lives
                what_must_be_kept_is_kept_and_the_rest_is_destroyed
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::file_stores::$case($fresh().await).await;
            }
        )*
    };
}

/// What a case is given.
pub struct Stores {
    /// On trial.
    pub uploads: Arc<dyn UploadStore>,
    /// On trial.
    pub files: Arc<dyn FileStore>,
    /// On trial.
    pub examinations: Arc<dyn ExaminationStore>,
    /// On trial.
    pub grants: Arc<dyn GrantStore>,
    /// On trial.
    pub annotations: Arc<dyn AnnotationStore>,
    /// What lies around them.
    pub world: Arc<dyn World>,
}

/// What lies around the stores of files: the other stores, or plain SQL. Failures panic.
#[async_trait]
pub trait World: Send + Sync {
    /// A new active user.
    async fn user(&self, role: Role) -> UserId;
    /// A session of theirs that lives until an hour from [`now`], if it is not ended.
    async fn session(&self, user: UserId) -> SessionId;
    /// Ends a session.
    async fn end(&self, session: SessionId);
    /// A new open group, joined at [`now`].
    async fn conversation(&self, members: &[UserId]) -> ConversationId;
    /// A new direct conversation.
    async fn direct(&self, one: UserId, other: UserId) -> ConversationId;
    /// Lets `blocker` block `blocked`.
    async fn block(&self, blocker: UserId, blocked: UserId);
    /// Closes the conversation.
    async fn close(&self, conversation: ConversationId);
    /// Adds `user` at [`now`].
    async fn add(&self, conversation: ConversationId, user: UserId);
    /// Takes `user` out.
    async fn remove(&self, conversation: ConversationId, user: UserId);
    /// `sender` says something that holds `files`.
    async fn say(&self, conversation: ConversationId, sender: UserId, files: &[FileId]) -> MessageId;
    /// Takes a message back.
    async fn take_back(&self, message: MessageId);
    /// What the audit trail says was done so far, in any order.
    async fn audited(&self) -> Vec<String>;
    /// Makes a key for a file.
    async fn make_key(&self, file: FileId);
    /// How many keys of the file can still open something.
    async fn keys(&self, file: FileId) -> usize;
}

/// The time of all cases.
#[must_use]
pub fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

const QUOTA: u32 = 10;

fn quota() -> Quota {
    Quota { most: QUOTA, since: now() - TimeDelta::hours(1) }
}

pub(super) fn effects(action: &'static str) -> Effects {
    Effects::default().audit(AuditEntry::by_machine(&SystemIds, now(), action))
}

pub(super) fn later() -> DateTime<Utc> {
    now() + TimeDelta::minutes(1)
}

pub(super) fn new(conversation: ConversationId, uploader: UserId) -> NewFile {
    let header = Header {
        id: FileId::generate(&SystemIds),
        conversation_id: conversation,
        uploader_id: uploader,
        created_at: later(),
        ..header(now())
    };
    NewFile {
        kept_until: header.created_at,
        file: StoredFile { header, name: Sealed::from_bytes(vec![1]), description: None },
        segments: vec![SegmentRow { number: 0, size: 1 }],
        is_upload: false,
    }
}

fn upload(conversation: ConversationId, uploader: UserId) -> Upload {
    Upload {
        id: FileId::generate(&SystemIds),
        conversation_id: conversation,
        uploader_id: uploader,
        draft: Sealed::from_bytes(vec![1]),
        length: 100,
        offset: 0,
        created_at: later(),
        expires_at: now() + TimeDelta::days(1),
    }
}

fn clean() -> Examined {
    Examined {
        state: State::Active,
        scan: ScanStatus::Clean,
        scanner: "trial 1".to_owned(),
        finding: None,
        sha256: Some([3; 32]),
        made: Made { pages: Some(2), ..Made::default() },
        replaced: None,
    }
}

impl Stores {
    /// Two people in a conversation.
    pub(super) async fn room(&self) -> (UserId, UserId, ConversationId) {
        let (one, other) = (self.world.user(Role::Doctor).await, self.world.user(Role::Doctor).await);
        (one, other, self.world.conversation(&[one, other]).await)
    }

    pub(super) async fn keep(&self, new: &NewFile) -> FileId {
        let admitted = self.uploads.admit(new, quota(), effects("file.uploaded")).await.unwrap();
        assert!(matches!(admitted, Admitted::Stored(number) if number > 0), "{admitted:?}");
        new.file.header.id
    }

    async fn sees(&self, viewer: UserId, id: FileId) -> bool {
        self.files.find(viewer, id, later()).await.unwrap().is_some()
    }

    pub(super) async fn settle(&self, id: FileId) {
        assert!(self.examinations.settle(id, &clean(), later(), Effects::default()).await.unwrap());
    }
}

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

fn download(file: FileId, user: UserId) -> Download {
    Download { id: EventId::generate(&SystemIds), file_id: file, user_id: user, at: later(), counts: true }
}

fn alarm(most: i64) -> Alarm {
    Alarm { most, since: now(), effects: effects("file.bulk_download") }
}

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

/// MUST answer [`Error::Stale`](crate::Error::Stale) to all others.
pub async fn of_those_who_grant_at_once_one_is_first(stores: Stores) {
    let (uploader, _, room) = stores.room().await;
    let id = stores.keep(&new(room, uploader)).await;
    stores.settle(id).await;
    let seen = stores.files.look(id).await.unwrap().unwrap().header;
    let granted = Granted { max_downloads: Some(2), access_expires_at: later(), ..seen.granted() };
    let attempts = (0..10).map(|_| {
        let grants = Arc::clone(&stores.grants);
        async move { grants.regrant(id, &granted, seen.updated_at, later(), effects("file.regranted")).await }
    });
    let outcomes = together(attempts).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(()) | Err(crate::Error::Stale))));
    let done = stores.world.audited().await;
    assert_eq!(done.iter().filter(|action| *action == "file.regranted").count(), 1);
    let found = stores.files.look(id).await.unwrap().unwrap().header;
    assert_eq!(found.granted(), granted);
    assert!(found.updated_at > seen.updated_at);
    for _ in 0..2 {
        let own = download(id, uploader);
        assert!(stores.grants.download(&own, Effects::default(), alarm(100)).await.unwrap());
    }
    // Fewer than were given.
    let fewer = Granted { max_downloads: Some(1), ..granted };
    let refused = stores.grants.regrant(id, &fewer, found.updated_at, later(), Effects::default()).await;
    assert!(matches!(refused, Err(crate::Error::Stale)));
}

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
    for id in gone {
        let tombstone = DataKeyId::from(SystemIds.uuid());
        stores.files.destroy(id, tombstone, later(), effects("file.destroyed")).await.unwrap();
    }
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

/// Nothing is stored where nobody is asked.
pub async fn only_who_was_asked_agrees(stores: Stores) {
    let (uploader, _, room) = stores.room().await;
    let plain = stores.keep(&new(room, uploader)).await;
    let say = async |id, consent| {
        stores.grants.consent(id, consent, later(), effects("file.consent")).await.unwrap()
    };
    assert!(!say(plain, Consent::Granted).await);
    assert!(stores.world.audited().await.iter().all(|action| action != "file.consent"));
    let mut asks = new(room, uploader);
    asks.file.header.consent = Consent::Asked;
    let asks = stores.keep(&asks).await;
    for consent in [Consent::Granted, Consent::Denied] {
        assert!(say(asks, consent).await);
        assert_eq!(stores.files.look(asks).await.unwrap().unwrap().header.consent, consent);
    }
}

/// What they signed first stays.
pub async fn everyone_signs_once(stores: Stores) {
    let (uploader, other, room) = stores.room().await;
    let id = stores.keep(&new(room, uploader)).await;
    let signature = |user_id, byte| Signature { user_id, sha256: [byte; 32], signed_at: later() };
    assert!(stores.grants.sign(id, &signature(other, 1), effects("file.signed")).await.unwrap());
    assert!(!stores.grants.sign(id, &signature(other, 2), effects("file.signed")).await.unwrap());
    assert_eq!(stores.grants.signatures(id).await.unwrap(), [signature(other, 1)]);
    assert_eq!(stores.world.audited().await.iter().filter(|action| *action == "file.signed").count(), 1);
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

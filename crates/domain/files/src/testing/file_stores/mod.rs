//! What every [`UploadStore`], [`FileStore`], [`ExaminationStore`] and [`GrantStore`] MUST do, one case each. Run them all
//! with [`file_stores_conformance!`](crate::file_stores_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

mod downloads;
mod erasing;
mod examinations;
mod grants;
mod seeing;
mod uploads;

use std::sync::Arc;

use alivio_kernel::audit::AuditEntry;
use alivio_kernel::ids::{ConversationId, EventId, FileId, MessageId, SessionId, UserId};
use alivio_kernel::{Effects, Role, Sealed, SystemIds};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::header;
use crate::{
    Admitted, Alarm, AnnotationStore, Download, ExaminationStore, Examined, FileStore, GrantStore, Header,
    Made, NewFile, Quota, ScanStatus, SegmentRow, State, StoredFile, Upload, UploadStore,
};

pub use downloads::{
    a_link_is_good_for_one_file_and_while_its_session_lives, nobody_downloads_what_was_taken_from_them,
    the_last_download_is_given_once, who_takes_many_raises_one_alarm,
};
pub use erasing::{all_files_of_a_patient_go, what_must_be_kept_is_kept_and_the_rest_is_destroyed};
pub use examinations::{one_at_a_time_examines_a_file, other_bytes_take_the_place_of_the_first};
pub use grants::{everyone_signs_once, of_those_who_grant_at_once_one_is_first, only_who_was_asked_agrees};
pub use seeing::{
    lists_name_what_one_may_see, readers_of_a_message_see_its_files, those_who_were_there_see_it,
    what_was_taken_back_is_not_seen,
};
pub use uploads::{
    an_upload_becomes_a_file_once, fifty_at_once_come_to_the_quota, how_a_conversation_stands_to_someone,
    of_pieces_for_one_place_one_is_taken, uploads_are_forgotten_in_time,
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

fn download(file: FileId, user: UserId) -> Download {
    Download { id: EventId::generate(&SystemIds), file_id: file, user_id: user, at: later(), counts: true }
}

fn alarm(most: i64) -> Alarm {
    Alarm { most, since: now(), effects: effects("file.bulk_download") }
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

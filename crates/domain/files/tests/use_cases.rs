//! What becomes of bytes: on their way in, under examination, on their way out.
#![cfg(test)]

use std::sync::{Arc, Mutex};

use alivio_files::testing::{MemoryBlobs, PlainSegments, gathered, header};
use alivio_files::{
    Admitted, BlobKey, BlobPart, BlobStore, CHUNK, Draft, Error, Examined, Files, FilesPorts, HEADER, Header,
    MockAnnotationStore, MockExaminationStore, MockFileStore, MockGrantStore, MockLinkSecrets, MockNames,
    MockScanner, MockUploadStore, MockWorkshop, NewFile, Policy, Said, ScanError, ScanStatus, SegmentRow,
    Standing, State, StoredFile, TAG, Upload, Verdict,
};
use alivio_kernel::ids::{FileId, Uuid};
use alivio_kernel::sealing::PlainSealer;
use alivio_kernel::{Caller, Clock, DomainError, ManualClock, Role, SequentialIds};
use futures_util::{StreamExt, TryStreamExt};

/// Ports around one conversation, in which everything is allowed.
struct Desk {
    blobs: Arc<MemoryBlobs>,
    clock: Arc<ManualClock>,
    uploads: MockUploadStore,
    files: MockFileStore,
    examinations: MockExaminationStore,
    grants: MockGrantStore,
    scanner: MockScanner,
    workshop: MockWorkshop,
    kept: Arc<Mutex<Vec<NewFile>>>,
}

impl Desk {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let kept: Arc<Mutex<Vec<NewFile>>> = Arc::default();
        let mut uploads = allowed();
        let store = Arc::clone(&kept);
        uploads.expect_admit().returning(move |new, _, _| {
            store.lock().unwrap().push(new.clone());
            Ok(Admitted::Stored(3001))
        });
        Self {
            blobs: Arc::new(MemoryBlobs::new(Arc::clone(&clock) as _)),
            clock,
            uploads,
            files: MockFileStore::new(),
            examinations: MockExaminationStore::new(),
            grants: MockGrantStore::new(),
            scanner: MockScanner::new(),
            workshop: MockWorkshop::new(),
            kept,
        }
    }

    fn files(self) -> Files {
        let Self { blobs, clock, uploads, files, examinations, grants, scanner, workshop, .. } = self;
        Files::new(FilesPorts {
            uploads: Arc::new(uploads),
            files: Arc::new(files),
            examinations: Arc::new(examinations),
            grants: Arc::new(grants),
            annotations: Arc::new(MockAnnotationStore::new()),
            blobs,
            content: Arc::new(PlainSegments::default()),
            scanner: Arc::new(scanner),
            workshop: Arc::new(workshop),
            secrets: Arc::new(MockLinkSecrets::new()),
            names: Arc::new(MockNames::new()),
            policy: Policy::default(),
            sealer: Arc::new(PlainSealer::default()),
            clock,
            ids: Arc::new(SequentialIds::default()),
        })
    }
}

/// Uploads of someone who may do everything.
fn allowed() -> MockUploadStore {
    let mut uploads = MockUploadStore::new();
    uploads.expect_standing().returning(|_, _, _, _| {
        Ok(Some(Standing {
            is_open: true,
            is_blocked: false,
            file_sharing: true,
            subject: None,
            recent: 0,
            oldest: None,
        }))
    });
    uploads
}

fn caller() -> Caller {
    Caller {
        user_id: Uuid::from_u128(1).into(),
        role: Role::Doctor,
        session_id: Uuid::from_u128(2).into(),
        address: None,
    }
}

fn draft(now: chrono::DateTime<chrono::Utc>) -> Draft {
    let said = Said {
        conversation_id: Some(Uuid::from_u128(0xc0).into()),
        filename: Some("informe.pdf".to_owned()),
        ..Said::default()
    };
    Draft::parse(said, now).unwrap()
}

/// A document of so many bytes.
fn document(size: usize) -> Vec<u8> {
    let noise = (0..size).map(|n| u8::try_from(n * 7 % 251).unwrap());
    b"%PDF-1.7\n".iter().copied().chain(noise).take(size).collect()
}

/// Takes `content` in pieces of `piece` bytes.
async fn take(files: &Files, content: &[u8], piece: usize) -> Result<alivio_files::Incoming, Error> {
    let mut receiving = files.receive(None)?;
    for bytes in content.chunks(piece) {
        receiving.write(bytes).await?;
    }
    receiving.finish().await
}

async fn left(blobs: &MemoryBlobs) -> usize {
    blobs.list().await.unwrap().count().await
}

/// What a store would answer of what was kept.
fn serves(desk: &mut Desk, file: &StoredFile, segments: Vec<SegmentRow>) {
    let found = file.clone();
    desk.files.expect_find().returning(move |_, _, _| Ok(Some(found.clone())));
    desk.files.expect_segments().returning(move |_| Ok(segments.clone()));
    desk.grants.expect_download().returning(|_, _, _| Ok(true));
}

async fn kept(content: &[u8], piece: usize) -> (Arc<MemoryBlobs>, NewFile) {
    let desk = Desk::new();
    let (blobs, store, now) = (Arc::clone(&desk.blobs), Arc::clone(&desk.kept), desk.clock.now());
    let files = desk.files();
    let incoming = take(&files, content, piece).await.unwrap();
    let file = files.keep(&caller(), incoming, &draft(now)).await.unwrap();
    assert_eq!((file.number, file.name.as_str(), file.state), (3001, "informe.pdf", State::Pending));
    let new = store.lock().unwrap().pop().unwrap();
    (blobs, new)
}

#[tokio::test]
async fn any_stretch_of_what_came_in_comes_out() {
    let chunk = CHUNK;
    for size in [10, chunk - 1, chunk, chunk + 1, 3 * chunk, 3 * chunk + 17] {
        let content = document(size);
        let (blobs, new) = kept(&content, 4099).await;
        assert_eq!(left(&blobs).await, 1);
        let mut desk = Desk { blobs, ..Desk::new() };
        let mut file = new.file.clone();
        file.header.state = State::Active;
        serves(&mut desk, &file, new.segments.clone());
        let files = desk.files();
        let opened = files.opened(&caller(), file.header.id).await.unwrap();
        let ends = [0, 1, 9, chunk - 1, chunk, chunk + 1, 2 * chunk, size - 1, size];
        for start in ends {
            for end in ends.into_iter().filter(|end| start < *end && *end <= size) {
                let range = Some(start as u64..end as u64);
                let given = files.download(&caller(), &opened, range).await.unwrap();
                assert_eq!(given.size, (end - start) as u64);
                assert!(
                    gathered(given.bytes).await.unwrap() == content[start..end],
                    "{size}: {start}..{end}"
                );
            }
        }
    }
}

/// FI-09: what was cut, swapped or changed in the store breaks off, and nothing that is not the file's is given.
#[tokio::test]
async fn what_is_damaged_in_the_store_is_never_given() {
    let content = document(3 * CHUNK + 17);
    let sealed = CHUNK + TAG;
    type Change = fn(&mut Vec<u8>, usize);
    let changes: [(&str, Change); 4] = [
        ("a bit", |bytes, sealed| bytes[HEADER + sealed + 5] ^= 1),
        ("cut", |bytes, sealed| bytes.truncate(HEADER + 2 * sealed)),
        ("swapped", |bytes, sealed| {
            let (first, second) = bytes[HEADER..].split_at_mut(sealed);
            first.swap_with_slice(&mut second[..sealed]);
        }),
        ("header", |bytes, _| bytes[3] ^= 1),
    ];
    for (name, change) in changes {
        let (blobs, new) = kept(&content, 8192).await;
        let key = BlobKey { owner: new.file.header.id.uuid(), part: BlobPart::Segment(0) };
        blobs.edit(key, |bytes| change(bytes, sealed));
        let mut desk = Desk { blobs, ..Desk::new() };
        let mut file = new.file.clone();
        file.header.state = State::Active;
        serves(&mut desk, &file, new.segments.clone());
        let files = desk.files();
        let opened = files.opened(&caller(), file.header.id).await.unwrap();
        let mut seen = Vec::new();
        let failed = match files.download(&caller(), &opened, None).await {
            Err(error) => error.code() == "unavailable",
            Ok(mut given) => loop {
                match given.bytes.try_next().await {
                    Ok(Some(bytes)) => seen.extend_from_slice(&bytes),
                    Ok(None) => break false,
                    Err(_) => break true,
                }
            },
        };
        assert!(failed && content.starts_with(&seen), "{name}");
    }
}

/// Whoever sent the last piece and was answered with an error asks how far it is, and need not send it again.
#[tokio::test]
async fn an_upload_that_is_whole_becomes_a_file_when_it_is_asked_for() {
    let content = document(700);
    let mut desk = Desk::new();
    let upload: Arc<Mutex<Option<Upload>>> = Arc::default();
    let segments: Arc<Mutex<Vec<SegmentRow>>> = Arc::default();
    desk.uploads = allowed();
    let begun = Arc::clone(&upload);
    desk.uploads.expect_begin().returning(move |new, _, _| {
        *begun.lock().unwrap() = Some(new.clone());
        Ok(Admitted::Stored(1))
    });
    desk.uploads.expect_next_segment().returning(|_| Ok(Some(0)));
    let (grown, come) = (Arc::clone(&upload), Arc::clone(&segments));
    desk.uploads.expect_append().returning(move |_, _, segment| {
        grown.lock().unwrap().as_mut().unwrap().offset += segment.size;
        come.lock().unwrap().push(segment);
        Ok(())
    });
    desk.uploads.expect_received().returning(move |_| Ok(segments.lock().unwrap().clone()));
    desk.uploads.expect_upload().returning(move |_, _, _| Ok(upload.lock().unwrap().clone()));
    desk.uploads.expect_admit().once().returning(|_, _, _| Err(Error::Unavailable("a failure".into())));
    desk.uploads.expect_admit().once().returning(|_, _, _| Ok(Admitted::Stored(3001)));
    desk.files.expect_find().returning(|_, _, _| Ok(None));
    let now = desk.clock.now();
    let files = desk.files();
    let (id, _) = files.begin_upload(&caller(), &draft(now), 700).await.unwrap();
    let mut piece = files.resume(&caller(), id, 0).await.unwrap();
    piece.write(&content).await.unwrap();
    assert_eq!(piece.finish().await.unwrap_err().code(), "unavailable");
    let progress = files.upload(&caller(), id).await.unwrap();
    assert_eq!((progress.offset, progress.file.unwrap().number), (700, 3001));
}

#[tokio::test]
async fn what_is_refused_leaves_nothing() {
    let large = document(usize::try_from(Policy::AT_ONCE).unwrap() + 1);
    let page = [b"%PDF-1.7\n<script>".to_vec(), document(70_000)].concat();
    for (content, code) in [
        (&b"MZ\x90\0"[..], "file_type_not_allowed"),
        (b"", "file_refused"),
        (b"PK\x03\x04 broken", "file_refused"),
        (&page, "file_refused"),
        (&large, "file_too_large"),
    ] {
        let desk = Desk::new();
        let blobs = Arc::clone(&desk.blobs);
        let files = desk.files();
        let refused = take(&files, content, 65_536).await.unwrap_err();
        assert_eq!((refused.code(), left(&blobs).await), (code, 0));
    }
    // Refused once its bytes were safe.
    let mut desk = Desk::new();
    let blobs = Arc::clone(&desk.blobs);
    desk.uploads = MockUploadStore::new();
    desk.uploads.expect_standing().returning(|_, _, _, _| Ok(None));
    let now = desk.clock.now();
    let files = desk.files();
    let incoming = take(&files, &document(100), 10).await.unwrap();
    assert_eq!(left(&blobs).await, 1);
    assert_eq!(files.keep(&caller(), incoming, &draft(now)).await.unwrap_err().code(), "not_found");
    assert_eq!(left(&blobs).await, 0);
}

/// F07.
#[tokio::test]
async fn a_full_store_says_so_and_takes_files_again_later() {
    let desk = Desk::new();
    let blobs = Arc::clone(&desk.blobs);
    let files = desk.files();
    blobs.fill(true);
    assert_eq!(take(&files, &document(200_000), 65_536).await.unwrap_err().code(), "storage_full");
    blobs.fill(false);
    assert_eq!(left(&blobs).await, 0);
    take(&files, &document(200_000), 65_536).await.unwrap();
}

/// What an examination of `content` comes to, and whether it was put off.
async fn examined(
    content: &[u8],
    scan: impl Fn() -> Result<Verdict, ScanError> + Send + Sync + 'static,
    prepare: impl FnOnce(&mut Desk, &NewFile),
) -> (Option<Examined>, bool, Arc<MemoryBlobs>) {
    let (blobs, new) = kept(content, 8192).await;
    let mut desk = Desk { blobs: Arc::clone(&blobs), ..Desk::new() };
    prepare(&mut desk, &new);
    let (settled, put_off): (Arc<Mutex<Option<Examined>>>, Arc<Mutex<bool>>) = Default::default();
    let (claimed, segments) = (new.file.clone(), new.segments.clone());
    desk.examinations.expect_claim().returning(move |_, _, _| Ok(Some(claimed.clone())));
    let into = Arc::clone(&settled);
    desk.examinations.expect_settle().returning(move |_, examined, _, effects| {
        assert_eq!((effects.events.len(), effects.audit.len()), (1, 1));
        *into.lock().unwrap() = Some(examined.clone());
        Ok(true)
    });
    let off = Arc::clone(&put_off);
    desk.examinations.expect_put_off().returning(move |_, _| {
        *off.lock().unwrap() = true;
        Ok(())
    });
    desk.files.expect_segments().returning(move |_| Ok(segments.clone()));
    let scan = Arc::new(scan);
    desk.scanner.expect_scan().returning(move |content, _| {
        let scan = Arc::clone(&scan);
        // It looks at all of it, as it must.
        let looked = futures_util::FutureExt::now_or_never(gathered(content)).unwrap();
        looked.map_err(ScanError::Content).and_then(|_| scan())
    });
    desk.scanner.expect_version().returning(|| Ok("trial 1".to_owned()));
    desk.workshop.expect_look().returning(|_, _| Err(alivio_files::WorkshopError::Unsupported));
    let files = desk.files();
    drop(files.examine(None).await);
    let settled = settled.lock().unwrap().clone();
    let put_off = *put_off.lock().unwrap();
    (settled, put_off, blobs)
}

#[tokio::test]
async fn only_what_is_clean_and_whole_becomes_active() {
    let content = document(100_000);
    let (clean, put_off, _) = examined(&content, || Ok(Verdict::Clean), |_, _| {}).await;
    let clean = clean.unwrap();
    assert_eq!(
        (clean.state, clean.scan, clean.scanner.as_str(), put_off),
        (State::Active, ScanStatus::Clean, "trial 1", false)
    );
    let found = || Ok(Verdict::Infected { signature: "Eicar".to_owned() });
    let infected = examined(&content, found, |_, _| {}).await.0.unwrap();
    assert_eq!((infected.state, infected.scan), (State::Quarantined, ScanStatus::Infected));
    assert_eq!(infected.finding.as_deref(), Some("Eicar"));
    let locked = || Ok(Verdict::Unscannable { reason: "encrypted".to_owned() });
    let unscannable = examined(&content, locked, |_, _| {}).await.0.unwrap();
    assert_eq!((unscannable.state, unscannable.scan), (State::Quarantined, ScanStatus::Unscannable));
    // Whatever the scanner says of it.
    let damage = |desk: &mut Desk, new: &NewFile| {
        let key = BlobKey { owner: new.file.header.id.uuid(), part: BlobPart::Segment(0) };
        desk.blobs.edit(key, |bytes| bytes[HEADER + 9] ^= 1);
    };
    let damaged = examined(&content, || Ok(Verdict::Clean), damage).await.0.unwrap();
    assert_eq!((damaged.state, damaged.scan), (State::Failed, ScanStatus::Failed));
}

/// F17: never open while nobody can look.
#[tokio::test]
async fn while_the_scanner_is_away_a_file_waits() {
    let away = || Err(ScanError::Unavailable("it is away".into()));
    let (settled, put_off, _) = examined(&document(1000), away, |_, _| {}).await;
    assert!(settled.is_none() && put_off);
}

#[tokio::test]
async fn nobody_opens_what_they_may_not() {
    let now = ManualClock::default().now();
    for state in [State::Pending, State::Quarantined, State::Failed, State::Deleted] {
        let mut desk = Desk::new();
        let header = Header { state, ..header(now) };
        let sealer = PlainSealer::default();
        let name = alivio_kernel::Sealer::seal(
            &sealer,
            &alivio_kernel::sealing::SealContext {
                table: "files",
                column: "name",
                row: header.id.uuid(),
                scope: alivio_kernel::sealing::Scope::File(header.id),
                version: 1,
            },
            b"a.pdf",
        )
        .await
        .unwrap();
        let id: FileId = header.id;
        serves(&mut desk, &StoredFile { header, name, description: None }, Vec::new());
        let refused = desk.files().opened(&caller(), id).await.unwrap_err();
        assert!(["file_pending", "file_quarantined", "file_failed", "not_found"].contains(&refused.code()));
    }
}

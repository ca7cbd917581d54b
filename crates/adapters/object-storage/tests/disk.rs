//! Every MUST of a store of blobs, on a real disk, and on one that is full.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use alivio_files::testing::blob_store::{Fixture, World, key};
use alivio_files::testing::{gathered, noise};
use alivio_files::{BlobError, BlobKey, BlobStore};
use alivio_object_storage::Disk;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Arc<Self> {
        Arc::new(Self(tempfile::Builder::new().prefix("alivio-disk-").tempdir().unwrap()))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("files")
    }

    fn blob(&self, key: BlobKey) -> PathBuf {
        let owner = key.owner.to_string();
        self.path().join("blobs").join(&owner[owner.len() - 2..]).join(format!("{owner}.{}", key.part))
    }
}

#[async_trait]
impl World for Folder {
    async fn reopened(&self) -> Arc<dyn BlobStore> {
        Arc::new(Disk::open(&self.path()).unwrap())
    }

    async fn litter(&self) {
        let owner = key(1).owner;
        for name in
            ["notes.txt", ".hidden", "segment-0", &format!("{owner}.segment-07"), &format!("{owner}.x")]
        {
            std::fs::write(self.path().join("blobs/01").join(name), b"?").unwrap();
        }
        std::fs::create_dir(self.path().join("blobs/01").join(format!("{owner}.segment-3"))).unwrap();
        std::fs::write(self.path().join("lost+found"), b"?").unwrap();
    }

    async fn cut(&self, key: BlobKey, size: u64) {
        std::fs::File::options().write(true).open(self.blob(key)).unwrap().set_len(size).unwrap();
    }

    async fn unfinished(&self) -> usize {
        std::fs::read_dir(self.path().join("unfinished")).unwrap().count()
    }
}

async fn fresh() -> Option<Fixture> {
    let folder = Folder::new();
    Some(Fixture { store: folder.reopened().await, world: folder })
}
alivio_files::blob_store_conformance!(fresh);

#[tokio::test]
async fn nobody_else_may_look_into_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let disk = Disk::open(&folder.path()).unwrap();
    disk.begin(key(1)).await.unwrap().finish().await.unwrap();
    for (path, mode) in
        [(folder.path(), 0o700), (folder.path().join("blobs/01"), 0o700), (folder.blob(key(1)), 0o600)]
    {
        let found = path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{}", path.display());
    }
}

#[tokio::test]
async fn a_store_whose_folder_is_gone_has_not_lost_every_file() {
    let folder = Folder::new();
    let disk = Disk::open(&folder.path()).unwrap();
    disk.check().await.unwrap();
    std::fs::remove_dir_all(folder.path()).unwrap();
    assert!(matches!(disk.check().await, Err(BlobError::Unavailable(_))));
    assert!(matches!(disk.begin(key(1)).await.map(drop), Err(BlobError::Unavailable(_))));
    let listed: Result<Vec<_>, _> = disk.list().await.unwrap().try_collect().await;
    assert!(matches!(listed, Err(BlobError::Unavailable(_))));
}

#[test]
fn a_folder_that_cannot_be_used_is_refused_by_name() {
    let folder = Folder::new();
    std::fs::write(folder.path(), b"a file").unwrap();
    let error = Disk::open(&folder.path()).err().unwrap().to_string();
    assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
}

/// Writes until the disk is full, looks at what is left of that, and makes room again.
async fn fill(folder: &Path, room: usize) {
    let disk = Disk::open(folder).unwrap();
    let small = noise(1, room / 4);
    let store = async |n, content: &[u8]| {
        let mut writer = disk.begin(key(n)).await?;
        for piece in content.chunks(65_536) {
            writer.write(Bytes::copy_from_slice(piece)).await?;
        }
        writer.finish().await
    };
    store(1, &small).await.unwrap();

    let large = noise(2, room * 4);
    let answer = store(2, &large).await;
    assert!(matches!(answer, Err(BlobError::Full)), "{answer:?}");
    assert!(matches!(disk.look(key(2)).await, Err(BlobError::NotFound)));
    let left = std::fs::read_dir(folder.join("unfinished")).unwrap().count();
    assert_eq!(left, 0, "what did not fit takes no room");

    // Who goes on after that is not believed.
    let mut writer = disk.begin(key(3)).await.unwrap();
    let mut refused = false;
    for piece in large.chunks(65_536) {
        refused |= writer.write(Bytes::copy_from_slice(piece)).await.is_err();
    }
    assert!(refused && writer.finish().await.is_err());
    assert!(matches!(disk.look(key(3)).await, Err(BlobError::NotFound)));

    let read = gathered(disk.read(key(1), 0..small.len() as u64).await.unwrap()).await.unwrap();
    assert!(read == small, "what was there is read");
    store(4, &small).await.unwrap();
    disk.check().await.unwrap();
}

/// Of 4 MiB. Needs the right to mount one.
#[tokio::test]
async fn a_full_disk_is_told_and_nothing_is_left_of_it() {
    const ROOM: usize = 4 * 1024 * 1024;
    let folder = Folder::new();
    std::fs::create_dir(folder.path()).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={ROOM},mode=700"), "tmpfs"])
        .arg(folder.path())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        alivio_testkit::skipping::say(
            "no file system can be mounted here; a_limit_of_size_is_a_full_disk_too has run instead",
        );
        return;
    }
    let filled = tokio::spawn({
        let path = folder.path();
        async move { fill(&path, ROOM).await }
    });
    let filled = filled.await;
    assert!(Command::new("umount").arg(folder.path()).status().unwrap().success());
    filled.unwrap();
}

const LIMITED: &str = "ALIVIO_DISK_TEST_LIMITED_TO";

/// For a process that may write no larger files, which needs no right: this test once more, in such a process.
#[tokio::test]
async fn a_limit_of_size_is_a_full_disk_too() {
    const ROOM: usize = 1024 * 1024;
    if let Some(folder) = std::env::var_os(LIMITED) {
        return fill(Path::new(&folder), ROOM).await;
    }
    let folder = Folder::new();
    // Blocks of 512 bytes, or of 1024 in some shells; the signal would kill who does not expect it.
    let script = r#"trap '' XFSZ; ulimit -f 1024; exec "$0" --exact a_limit_of_size_is_a_full_disk_too"#;
    let limited = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env(LIMITED, folder.path())
        .output()
        .unwrap();
    assert!(limited.status.success(), "{}", String::from_utf8_lossy(&limited.stdout));
}

/// `cargo test -p alivio-object-storage --release --test disk -- --ignored --nocapture storing_costs`; files go to `TMPDIR`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, for a machine that does nothing else"]
async fn storing_costs_little_more_than_the_disk() {
    const SIZE: usize = 100 * 1024 * 1024;
    let folder = Folder::new();
    let disk = Disk::open(&folder.path()).unwrap();
    let piece = Bytes::from(noise(1, 65_536));
    let megabytes = |began: std::time::Instant| SIZE as f64 / began.elapsed().as_secs_f64() / 1e6;
    let (mut bare, mut storing, mut reading) = (0_f64, 0_f64, 0_f64);
    for n in 0..5 {
        let began = std::time::Instant::now();
        let mut file = std::fs::File::create(folder.path().join("bare")).unwrap();
        for _ in 0..SIZE / piece.len() {
            std::io::Write::write_all(&mut file, &piece).unwrap();
        }
        file.sync_data().unwrap();
        bare = bare.max(megabytes(began));

        let began = std::time::Instant::now();
        let mut writer = disk.begin(key(n)).await.unwrap();
        for _ in 0..SIZE / piece.len() {
            writer.write(piece.clone()).await.unwrap();
        }
        writer.finish().await.unwrap();
        storing = storing.max(megabytes(began));

        let began = std::time::Instant::now();
        let mut read = disk.read(key(n), 0..SIZE as u64).await.unwrap();
        while read.try_next().await.unwrap().is_some() {}
        reading = reading.max(megabytes(began));
    }
    println!("MB/s: written by hand {bare:.0}, stored {storing:.0}, read {reading:.0}");
    assert!(storing > 0.8 * bare);
}

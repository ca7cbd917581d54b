//! Every MUST of a store of blobs against an S3, and what becomes of it when that breaks (F18).
#![cfg(test)]

mod faults;

use std::sync::Arc;
use std::time::Duration;

use alivio_files::testing::blob_store::{Fixture, World, key};
use alivio_files::{BlobKey, BlobStore};
use alivio_kernel::Sensitive;
use alivio_object_storage::{S3, S3Credentials, S3Options};
use alivio_testkit::s3::TestBucket;
use async_trait::async_trait;

const PREFIX: &str = "clinic/files";

fn open(bucket: &TestBucket, endpoint: &str) -> S3 {
    S3::new(&S3Options {
        bucket: bucket.name().to_owned(),
        prefix: PREFIX.to_owned(),
        endpoint: Some(endpoint.to_owned()),
        credentials: Some(S3Credentials {
            key_id: "test".to_owned(),
            secret: Sensitive::new("test".to_owned()),
        }),
        silence: Duration::from_secs(2),
        ..S3Options::default()
    })
    .unwrap()
}

fn object(key: BlobKey) -> String {
    format!("{PREFIX}/{key}")
}

struct Around(TestBucket);

#[async_trait]
impl World for Around {
    async fn reopened(&self) -> Arc<dyn BlobStore> {
        Arc::new(open(&self.0, self.0.endpoint()))
    }

    async fn litter(&self) {
        let blob = key(1).to_string();
        for object in [
            format!("{PREFIX}/notes.txt"),
            format!("{PREFIX}/{blob}7x"),
            format!("{PREFIX}/{blob}/deeper"),
            format!("{PREFIX}-old/{blob}"),
            blob,
        ] {
            self.0.put(&object, b"?".to_vec()).await;
        }
    }

    async fn cut(&self, key: BlobKey, size: u64) {
        let mut content = self.0.get(&object(key)).await.unwrap();
        content.truncate(usize::try_from(size).unwrap());
        self.0.put(&object(key), content).await;
    }

    async fn unfinished(&self) -> usize {
        self.0.unfinished().await
    }
}

async fn fresh() -> Option<Fixture> {
    let world = Around(TestBucket::new().await?);
    Some(Fixture { store: world.reopened().await, world: Arc::new(world) })
}
alivio_files::blob_store_conformance!(fresh);

#[tokio::test]
async fn a_sweep_leaves_the_uploads_of_others_alone() {
    let Some(bucket) = TestBucket::new().await else { return };
    bucket.begin("elsewhere/backup.tar").await;
    bucket.begin(&format!("{PREFIX}/backup.tar")).await;
    let later = alivio_kernel::Clock::now(&alivio_kernel::SystemClock) + chrono::TimeDelta::hours(1);
    assert_eq!(open(&bucket, bucket.endpoint()).sweep(later).await.unwrap(), 0);
    assert_eq!(bucket.unfinished().await, 2);
}

#[tokio::test]
async fn nothing_shows_its_secret() {
    let Some(bucket) = TestBucket::new().await else { return };
    let options = S3Credentials { key_id: "AKIA".to_owned(), secret: Sensitive::new("hunter2".to_owned()) };
    assert!(!format!("{options:?} {:?}", open(&bucket, bucket.endpoint())).contains("hunter2"));
}

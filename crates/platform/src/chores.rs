//! What is to be done again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use alivio_files::Files;
use alivio_kernel::BoxError;
use alivio_kernel::ids::Uuid;
use alivio_messages::{Followed, Messages, Search};
use alivio_outbox::Broadcasts;
use async_trait::async_trait;
use tokio::time::Instant;

use crate::Chore;

/// Takes back the messages whose time is over. They are withheld from when it is; this tells those who look at them.
pub(crate) struct ExpireMessages(pub(crate) Messages);

#[async_trait]
impl Chore for ExpireMessages {
    fn name(&self) -> &'static str {
        "messages.expire"
    }

    fn rest(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn run(&self) -> Result<bool, BoxError> {
        Ok(self.0.expire().await?)
    }
}

/// Destroys the words of what was taken back, where they belong to no record.
pub(crate) struct PurgeMessages(pub(crate) Messages);

#[async_trait]
impl Chore for PurgeMessages {
    fn name(&self) -> &'static str {
        "messages.purge"
    }

    fn rest(&self) -> Duration {
        Duration::from_secs(5)
    }

    async fn run(&self) -> Result<bool, BoxError> {
        Ok(self.0.purge().await?)
    }
}

/// Lets messages be found by their words, moments after they were sent. Apart from the outbox, so that nobody waits for it,
/// and no more than a quarter of the time.
pub(crate) struct IndexMessages {
    search: Search,
    node: Uuid,
    failures: AtomicU32,
}

impl IndexMessages {
    /// After so many failures in a row it goes on message by message, and leaves out those that fail.
    const TRIES: u32 = 5;
    /// It rests so many times as long as it was at work.
    const CALM: u32 = 3;
    /// But no longer than so.
    const LONGEST: Duration = Duration::from_secs(1);

    pub(crate) const fn new(search: Search, node: Uuid) -> Self {
        Self { search, node, failures: AtomicU32::new(0) }
    }
}

#[async_trait]
impl Chore for IndexMessages {
    fn name(&self) -> &'static str {
        "search.index"
    }

    fn rest(&self) -> Duration {
        Duration::from_millis(100)
    }

    async fn run(&self) -> Result<bool, BoxError> {
        let began = Instant::now();
        let carefully = self.failures.load(Ordering::Relaxed) >= Self::TRIES;
        let (search, node) = (self.search.clone(), self.node);
        let followed = aside(async move { search.follow(node, carefully).await }).await?;
        if followed.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        let Followed { may_be_more, left_out } = followed?;
        self.failures.store(0, Ordering::Relaxed);
        for message in left_out {
            tracing::error!(message.id = %message, "search.message_left_out");
        }
        if may_be_more {
            tokio::time::sleep((began.elapsed() * Self::CALM).min(Self::LONGEST)).await;
        }
        Ok(may_be_more)
    }
}

/// Does work that thinks for milliseconds on end on a thread of its own. Elsewhere, nobody might hear the database's answers
/// meanwhile.
async fn aside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, BoxError> {
    let runtime = tokio::runtime::Handle::current();
    Ok(tokio::task::spawn_blocking(move || runtime.block_on(work)).await?)
}

/// Keeps what was said lately as quick to find as the rest.
pub(crate) struct TidySearchIndex(pub(crate) Search);

#[async_trait]
impl Chore for TidySearchIndex {
    fn name(&self) -> &'static str {
        "search.tidy"
    }

    fn rest(&self) -> Duration {
        Duration::from_secs(5)
    }

    async fn run(&self) -> Result<bool, BoxError> {
        self.0.tidy_index().await?;
        Ok(false)
    }
}

/// Forgets what every node has heard.
pub(crate) struct ForgetBroadcasts(pub(crate) Arc<dyn Broadcasts>);

#[async_trait]
impl Chore for ForgetBroadcasts {
    fn name(&self) -> &'static str {
        "broadcasts.forget"
    }

    fn rest(&self) -> Duration {
        Duration::from_mins(10)
    }

    async fn run(&self) -> Result<bool, BoxError> {
        self.0.forget().await?;
        Ok(false)
    }
}

/// Examines files whose examination could not come to its end when they came.
pub(crate) struct ExamineFiles(pub(crate) Files);

#[async_trait]
impl Chore for ExamineFiles {
    fn name(&self) -> &'static str {
        "files.examine"
    }

    fn rest(&self) -> Duration {
        Duration::from_secs(2)
    }

    async fn run(&self) -> Result<bool, BoxError> {
        Ok(self.0.examine(None).await?)
    }
}

/// Forgets uploads that nobody has finished.
pub(crate) struct ForgetUploads(pub(crate) Files);

#[async_trait]
impl Chore for ForgetUploads {
    fn name(&self) -> &'static str {
        "files.forget_uploads"
    }

    fn rest(&self) -> Duration {
        Duration::from_mins(5)
    }

    async fn run(&self) -> Result<bool, BoxError> {
        Ok(self.0.forget_uploads().await?)
    }
}

/// Destroys the content of files that were taken away, when it need not be kept.
pub(crate) struct DestroyFiles(pub(crate) Files);

#[async_trait]
impl Chore for DestroyFiles {
    fn name(&self) -> &'static str {
        "files.destroy"
    }

    fn rest(&self) -> Duration {
        Duration::from_secs(10)
    }

    async fn run(&self) -> Result<bool, BoxError> {
        Ok(self.0.destroy_removed().await?)
    }
}

/// Removes blobs that belong to nothing.
pub(crate) struct SweepBlobs(pub(crate) Files);

#[async_trait]
impl Chore for SweepBlobs {
    fn name(&self) -> &'static str {
        "files.sweep"
    }

    fn rest(&self) -> Duration {
        Duration::from_hours(1)
    }

    async fn run(&self) -> Result<bool, BoxError> {
        let swept = self.0.sweep().await?;
        if swept > 0 {
            tracing::info!(blobs = swept, "files.swept");
        }
        Ok(false)
    }
}

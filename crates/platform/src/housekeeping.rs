//! What is done now and then without anyone asking.

use std::sync::Arc;
use std::time::Duration;

use alivio_kernel::BoxError;
use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Something to be done again and again, a batch at a time.
///
/// Every node does every chore, and there may be many nodes. So a chore MUST claim what it works on in the statement
/// that does it (`FOR UPDATE SKIP LOCKED`, or a condition that holds only once), and leave nothing half done.
#[async_trait]
pub trait Chore: Send + Sync {
    /// Its name in the log: `messages.expire`.
    fn name(&self) -> &'static str;
    /// How long it rests when nothing is left to do.
    fn rest(&self) -> Duration;
    /// Does one batch. Whether there may be more: then it goes on at once.
    async fn run(&self) -> Result<bool, BoxError>;
}

/// Does the chores of this node, beside each other.
pub struct Housekeeping {
    chores: Vec<Arc<dyn Chore>>,
}

impl Housekeeping {
    /// Batches in a row, before a chore rests although there is more: others want the database, too.
    const STRETCH: usize = 100;

    /// What is to be done.
    pub const fn new(chores: Vec<Arc<dyn Chore>>) -> Self {
        Self { chores }
    }

    /// Runs until `stop` turns true, and lets the batches that have begun come to their end.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let mut running = JoinSet::new();
        for chore in self.chores {
            running.spawn(repeat(chore, stop.clone()));
        }
        running.join_all().await;
    }
}

async fn repeat(chore: Arc<dyn Chore>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        for _ in 0..Housekeeping::STRETCH {
            match chore.run().await {
                Ok(true) if !*stop.borrow() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(chore = chore.name(), error = %error, "housekeeping.failed");
                    break;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(chore.rest()) => {}
            changed = stop.changed() => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;

    const REST: Duration = Duration::from_secs(30);

    /// Answers as it was told, then says so; notes when it was asked.
    struct Scripted {
        answers: Mutex<Vec<Result<bool, BoxError>>>,
        asked: Mutex<Vec<Duration>>,
        began: Instant,
        finished: watch::Sender<bool>,
    }

    #[async_trait]
    impl Chore for Scripted {
        fn name(&self) -> &'static str {
            "test"
        }

        fn rest(&self) -> Duration {
            REST
        }

        async fn run(&self) -> Result<bool, BoxError> {
            self.asked.lock().unwrap().push(self.began.elapsed());
            let mut answers = self.answers.lock().unwrap();
            let answer = answers.remove(0);
            if answers.is_empty() {
                self.finished.send_replace(true);
            }
            answer
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_chore_goes_on_while_there_is_more_and_rests_when_there_is_not_or_it_failed() {
        let (stopping, stop) = watch::channel(false);
        let answers = vec![Ok(true), Ok(false), Err("down".into()), Ok(true), Ok(true), Ok(false)];
        let chore = Arc::new(Scripted {
            answers: Mutex::new(answers),
            asked: Mutex::default(),
            began: Instant::now(),
            finished: stopping,
        });
        // It ends although it says that it would rest: it was told to stop.
        Housekeeping::new(vec![Arc::clone(&chore) as _]).run(stop).await;
        let rests: Vec<_> =
            chore.asked.lock().unwrap().iter().map(|at| at.as_secs() / REST.as_secs()).collect();
        assert_eq!(rests, [0, 0, 1, 2, 2, 2]);
        assert!(chore.began.elapsed() < REST * 3);
    }
}

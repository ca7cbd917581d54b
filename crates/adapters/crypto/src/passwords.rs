use std::fmt;
use std::sync::Arc;

use alivio_accounts::{Error, Password, PasswordHasher};
use alivio_kernel::Sensitive;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use crate::random;

/// What a password is compared with when there is no account: the hash of `nobody`, made by another
/// implementation (Python's `cryptography`). A test holds its parameters to ours.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$dGEL3mMGsRmhxiESV/NLRE2mMlI73HVij9rhHMllymE";

/// Passwords hashed with Argon2id: 19 MiB, two passes, one lane, the first choice of OWASP.
///
/// A hash takes a core for tens of milliseconds, so hashing happens off the async threads, so many at a
/// time, and so many may wait; the next one is told [`Error::Busy`] at once. Memory is bounded by
/// `concurrency` × 19 MiB.
pub struct Argon2Hasher {
    /// Permits for those that hash or wait.
    admission: Arc<Semaphore>,
    /// Permits for those that hash.
    workers: Arc<Semaphore>,
}

impl Argon2Hasher {
    /// At most `concurrency` hashes at once, at least one, while at most `queue` callers wait.
    pub fn new(concurrency: usize, queue: usize) -> Self {
        let workers = concurrency.clamp(1, Semaphore::MAX_PERMITS);
        let admitted = workers.saturating_add(queue).min(Semaphore::MAX_PERMITS);
        Self { admission: Arc::new(Semaphore::new(admitted)), workers: Arc::new(Semaphore::new(workers)) }
    }

    /// Waits for a worker, or is refused a place to wait.
    async fn turn(&self) -> Result<Turn, Error> {
        let admission = Arc::clone(&self.admission).try_acquire_owned().map_err(|_| Error::Busy)?;
        let worker = Arc::clone(&self.workers).acquire_owned().await.map_err(unavailable)?;
        Ok(Turn { _admission: admission, _worker: worker })
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = self.turn().await?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            // Held to here: a caller that gives up does not stop the work, so it must not free its place.
            drop(turn);
            result
        });
        done.await.map_err(unavailable)?
    }
}

/// A place among those that hash.
struct Turn {
    _admission: OwnedSemaphorePermit,
    _worker: OwnedSemaphorePermit,
}

impl fmt::Debug for Argon2Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Argon2Hasher")
            .field("free_workers", &self.workers.available_permits())
            .field("free_places", &self.admission.available_permits())
            .finish()
    }
}

#[async_trait]
impl PasswordHasher for Argon2Hasher {
    async fn hash(&self, password: &Password) -> Result<Sensitive<String>, Error> {
        let password = bytes(password);
        self.work(move || {
            let salt = random::<16>().map_err(unavailable)?;
            let hash = argon2().hash_password_with_salt(&password, &salt).map_err(unavailable)?;
            Ok(Sensitive::new(hash.to_string()))
        })
        .await
    }

    async fn verify(&self, password: &Password, hash: Option<Sensitive<String>>) -> Result<bool, Error> {
        let password = bytes(password);
        self.work(move || {
            let text = hash.as_ref().map_or(NOBODY, |hash| hash.expose());
            if is_bcrypt(text) {
                return bcrypt::verify(&*password, text).map_err(unavailable);
            }
            let parsed = PasswordHash::new(text).map_err(unavailable)?;
            let matches = match argon2().verify_password(&password, &parsed) {
                Ok(()) => true,
                Err(password_hash::Error::PasswordInvalid) => false,
                Err(error) => return Err(unavailable(error)),
            };
            Ok(matches && hash.is_some())
        })
        .await
    }

    fn is_outdated(&self, hash: &Sensitive<String>) -> bool {
        is_bcrypt(hash.expose())
    }
}

/// Whether an older system made it (C-31). It looks at the first 72 bytes of a password only, and takes another time
/// than ours, both until its owner has signed in once.
fn is_bcrypt(hash: &str) -> bool {
    ["$2a$", "$2b$", "$2y$"].iter().any(|version| hash.starts_with(version))
}

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

/// All bytes of the password: nothing cut at 72 or at a NUL, as bcrypt would.
fn bytes(password: &Password) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(password.expose().as_bytes().to_vec())
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Unavailable(Box::new(error))
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use futures_util::FutureExt;

    use super::*;

    fn password(text: &str) -> Password {
        Password::parse(text.into()).unwrap()
    }

    fn pending<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> bool {
        future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test]
    async fn only_the_right_password_verifies() {
        let hasher = Argon2Hasher::new(2, 2);
        let hash = hasher.hash(&password("correct horse")).await.unwrap();
        for (typed, right) in [("correct horse", true), ("correct horsE", false), (" correct horse", false)] {
            let verified = hasher.verify(&password(typed), Some(hash.clone())).await.unwrap();
            assert_eq!(verified, right, "{typed}");
        }
    }

    #[tokio::test]
    async fn hashes_of_older_systems_verify_and_are_outdated() {
        let hasher = Argon2Hasher::new(1, 1);
        // Made by another implementation: the vectors of crypt_blowfish.
        let hash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        for version in ["$2a$", "$2b$", "$2y$"] {
            let hash = Sensitive::new(hash.replacen("$2a$", version, 1));
            assert!(hasher.is_outdated(&hash));
            assert!(hasher.verify(&password("U*U"), Some(hash.clone())).await.unwrap(), "{version}");
            assert!(!hasher.verify(&password("U*V"), Some(hash)).await.unwrap(), "{version}");
        }
        assert!(!hasher.is_outdated(&hasher.hash(&password("U*U")).await.unwrap()));
    }

    #[tokio::test]
    async fn hashes_are_salted_and_name_their_parameters() {
        let hasher = Argon2Hasher::new(1, 1);
        let first = hasher.hash(&password("same")).await.unwrap().into_exposed();
        let second = hasher.hash(&password("same")).await.unwrap().into_exposed();
        assert_ne!(first, second);
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
    }

    #[tokio::test]
    async fn nobody_has_no_password() {
        let hasher = Argon2Hasher::new(1, 1);
        assert!(!hasher.verify(&password("x"), None).await.unwrap());
        // Not even the password that fits the hash it is compared with.
        assert!(hasher.verify(&password("nobody"), Some(Sensitive::new(NOBODY.into()))).await.unwrap());
        assert!(!hasher.verify(&password("nobody"), None).await.unwrap());
        let fresh = hasher.hash(&password("x")).await.unwrap().into_exposed();
        let (ours, nobodys) = (PasswordHash::new(&fresh).unwrap(), PasswordHash::new(NOBODY).unwrap());
        assert_eq!(ours.algorithm, nobodys.algorithm);
        assert_eq!(ours.version, nobodys.version);
        assert_eq!(ours.params, nobodys.params, "an unknown address would answer faster or slower");
        assert_eq!(ours.salt.unwrap().len(), nobodys.salt.unwrap().len());
        assert_eq!(ours.hash.unwrap().len(), nobodys.hash.unwrap().len());
    }

    #[tokio::test]
    async fn every_byte_of_a_password_counts() {
        let hasher = Argon2Hasher::new(1, 1);
        let long = "a".repeat(72);
        for (set, typed) in [
            (format!("{long}b"), format!("{long}c")),
            (format!("{long}b"), long.clone()),
            ("a\0b".into(), "a\0c".into()),
            ("a\0b".into(), "a".into()),
            ("b".repeat(1024), "b".repeat(1023)),
            // NFC and NFD of the same text: passwords are bytes.
            ("ma\u{f1}ana".into(), "man\u{303}ana".into()),
        ] {
            let hash = hasher.hash(&password(&set)).await.unwrap();
            assert!(hasher.verify(&password(&set), Some(hash.clone())).await.unwrap());
            assert!(!hasher.verify(&password(&typed), Some(hash)).await.unwrap(), "{set:?} {typed:?}");
        }
    }

    #[tokio::test]
    async fn a_stored_hash_that_cannot_be_read_is_not_a_wrong_password() {
        let hasher = Argon2Hasher::new(1, 1);
        for broken in ["", "plain", "$2b$12$abc", "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$?"] {
            let answer = hasher.verify(&password("x"), Some(Sensitive::new(broken.into()))).await;
            assert!(matches!(answer, Err(Error::Unavailable(_))), "{broken}: {answer:?}");
        }
    }

    #[tokio::test]
    async fn whoever_finds_the_queue_full_is_turned_away_at_once() {
        let hasher = Argon2Hasher::new(1, 1);
        let typed = password("x");
        let working = hasher.turn().await.unwrap();
        let mut waiting = pin!(hasher.verify(&typed, None));
        assert!(pending(waiting.as_mut()), "the second waits");
        assert!(matches!(hasher.verify(&typed, None).now_or_never(), Some(Err(Error::Busy))));
        assert!(matches!(hasher.hash(&typed).now_or_never(), Some(Err(Error::Busy))));

        drop(working);
        assert!(!waiting.await.unwrap(), "the second got its turn");
        assert!(!hasher.verify(&typed, None).await.unwrap(), "and left its place");
    }

    #[tokio::test]
    async fn whoever_gives_up_waiting_leaves_the_queue() {
        let hasher = Argon2Hasher::new(1, 1);
        let typed = password("x");
        let working = hasher.turn().await.unwrap();
        {
            let mut waiting = pin!(hasher.verify(&typed, None));
            assert!(pending(waiting.as_mut()));
        }
        let mut next = pin!(hasher.verify(&typed, None));
        assert!(pending(next.as_mut()), "the place is free again");
        drop(working);
        assert!(!next.await.unwrap());
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_keeps_its_place() {
        let hasher = Argon2Hasher::new(1, 0);
        let (release, released) = std::sync::mpsc::channel::<()>();
        {
            let mut abandoned = pin!(hasher.work(move || {
                released.recv().ok();
                Ok(())
            }));
            assert!(pending(abandoned.as_mut()));
        }
        assert!(
            matches!(hasher.turn().now_or_never(), Some(Err(Error::Busy))),
            "the thread is still at work"
        );
        release.send(()).unwrap();
    }

    #[tokio::test]
    async fn no_concurrency_means_one() {
        let hasher = Argon2Hasher::new(0, 0);
        assert!(!hasher.verify(&password("x"), None).await.unwrap());
    }
}

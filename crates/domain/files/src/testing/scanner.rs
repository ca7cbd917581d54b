//! What every [`Scanner`] MUST do, one case each. Run them all with
//! [`scanner_conformance!`](crate::scanner_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;

use super::{noise, pieces};
use crate::{BlobError, ScanError, Scanner, Verdict, eicar};

/// Tests your [`Scanner`]: one `#[tokio::test]` for every case in [`testing::scanner`].
///
/// `$fresh` names an `async fn() -> Option<alivio_files::testing::scanner::Fixture>`; `None` skips the case.
///
/// [`Scanner`]: crate::Scanner
/// [`testing::scanner`]: crate::testing::scanner
#[macro_export]
macro_rules! scanner_conformance {
    ($fresh:expr) => {
        mod scanner_conformance {
            use super::*;
            $crate::scanner_conformance! { @cases $fresh;
                what_is_harmless_is_clean
                malware_is_found_wherever_it_is
                malware_is_found_across_any_border_of_pieces
                all_of_it_is_looked_at
                content_that_ends_early_or_late_has_no_verdict
                content_that_breaks_off_has_no_verdict
                many_are_looked_at_at_once
                it_says_who_it_is
                silence_has_an_end
                a_slow_other_side_has_an_end
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                if let Some(fixture) = $fresh().await {
                    $crate::testing::scanner::$case(fixture).await;
                }
            }
        )*
    };
}

/// What a case is given.
pub struct Fixture {
    /// The adapter on trial.
    pub scanner: Arc<dyn Scanner>,
    /// What lies around it.
    pub world: Arc<dyn World>,
}

/// The other side of a scanner. Failures panic.
#[async_trait]
pub trait World: Send + Sync {
    /// Lets the other side take connections and say nothing, and tells how long a scan may take then. `None` if there
    /// is no other side.
    async fn stall(&self) -> Option<Duration>;
}

/// Larger than any buffer on the way.
const LARGE: usize = 6 * 1024 * 1024;

async fn scan(fixture: &Fixture, content: &[u8], piece: usize) -> Verdict {
    fixture.scanner.scan(pieces(content, piece), content.len() as u64).await.unwrap()
}

async fn assert_found(fixture: &Fixture, content: &[u8], piece: usize) {
    let verdict = scan(fixture, content, piece).await;
    assert!(matches!(&verdict, Verdict::Infected { signature } if !signature.is_empty()), "{verdict:?}");
}

/// Whatever its length.
pub async fn what_is_harmless_is_clean(fixture: Fixture) {
    for size in [0, 1, 68, 65_536, LARGE] {
        assert_eq!(scan(&fixture, &noise(3, size), 65_536).await, Verdict::Clean, "{size} bytes");
    }
    let almost = &eicar()[1..];
    assert_eq!(scan(&fixture, almost, 10).await, Verdict::Clean);
}

/// By itself, and in the midst of other things.
pub async fn malware_is_found_wherever_it_is(fixture: Fixture) {
    assert_found(&fixture, &eicar(), 1_000).await;
    let text = [&eicar()[..], b"\r\n"].concat();
    assert_found(&fixture, &text, 1_000).await;
}

/// However it comes.
pub async fn malware_is_found_across_any_border_of_pieces(fixture: Fixture) {
    for size in [1, 2, 7, 33, 34, 35, 67, 68] {
        assert_found(&fixture, &eicar(), size).await;
    }
}

/// MUST have seen all of them: to the last byte.
pub async fn all_of_it_is_looked_at(fixture: Fixture) {
    let mut content = vec![b'\n'; LARGE];
    content.extend(eicar());
    assert_found(&fixture, &content, 65_536).await;
}

/// What was looked at is not the file, so nothing is said of it.
pub async fn content_that_ends_early_or_late_has_no_verdict(fixture: Fixture) {
    let content = noise(1, 200_000);
    for size in [0, 199_999, 200_001] {
        let answer = fixture.scanner.scan(pieces(&content, 65_536), size).await;
        assert!(matches!(answer, Err(ScanError::Content(BlobError::Damaged))), "{size}: {answer:?}");
    }
}

/// And says that it is the content.
pub async fn content_that_breaks_off_has_no_verdict(fixture: Fixture) {
    let broken = pieces(&noise(1, 200_000), 65_536)
        .chain(futures_util::stream::once(async { Err::<Bytes, _>(BlobError::Unavailable("gone".into())) }))
        .boxed();
    let answer = fixture.scanner.scan(broken, 300_000).await;
    assert!(matches!(answer, Err(ScanError::Content(BlobError::Unavailable(_)))), "{answer:?}");
    assert_eq!(scan(&fixture, b"harmless", 3).await, Verdict::Clean, "it goes on");
}

/// And no verdict is taken for another.
pub async fn many_are_looked_at_at_once(fixture: Fixture) {
    let content = |n: usize| if n.is_multiple_of(3) { eicar() } else { noise(n as u64, 50_000) };
    let verdicts = futures_util::future::join_all((0..24).map(|n| {
        let fixture = &fixture;
        async move { scan(fixture, &content(n), 1_000).await }
    }));
    for (n, verdict) in verdicts.await.into_iter().enumerate() {
        assert_eq!(verdict != Verdict::Clean, n % 3 == 0, "{n}: {verdict:?}");
    }
}

/// On one line, to be kept with the verdict.
pub async fn it_says_who_it_is(fixture: Fixture) {
    let version = fixture.scanner.version().await.unwrap();
    assert!(
        !version.trim().is_empty() && version.len() < 200 && !version.contains(char::is_control),
        "{version:?}"
    );
}

/// MUST answer within a bounded time.
pub async fn silence_has_an_end(fixture: Fixture) {
    let Some(bound) = fixture.world.stall().await else { return };
    for size in [10, LARGE] {
        let began = Instant::now();
        let content = noise(1, size);
        let answer = fixture.scanner.scan(pieces(&content, 65_536), size as u64).await;
        assert!(matches!(answer, Err(ScanError::Unavailable(_))), "{size} bytes: {answer:?}");
        assert!(began.elapsed() < bound, "{size} bytes took {:?}", began.elapsed());
    }
    let began = Instant::now();
    assert!(matches!(fixture.scanner.version().await, Err(ScanError::Unavailable(_))));
    assert!(began.elapsed() < bound, "{:?}", began.elapsed());
}

/// Content that never comes is no reason to wait for ever either.
pub async fn a_slow_other_side_has_an_end(fixture: Fixture) {
    let Some(bound) = fixture.world.stall().await else { return };
    let began = Instant::now();
    let endless = pieces(b"so far", 3).chain(futures_util::stream::pending()).boxed();
    assert!(fixture.scanner.scan(endless, 1_000).await.is_err());
    assert!(began.elapsed() < bound, "{:?}", began.elapsed());
}

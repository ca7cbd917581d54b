//! How long something took, on a machine that also does other things.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(5);

/// A clock that stands still while the machine does: it counts how often a thread wakes up that does nothing else.
///
/// For limits that are promises ("within a second"): what is late because a virtual machine was paused, or because
/// everything waits for a processor, breaks none. It is never ahead of the time.
#[derive(Debug)]
pub struct Stopwatch {
    ticks: Arc<AtomicU32>,
}

impl Stopwatch {
    /// Starts a new one.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "it stops a thread that has nothing else to do")]
    pub fn start() -> Self {
        let ticks = Arc::new(AtomicU32::new(0));
        let counted = Arc::downgrade(&ticks);
        thread::spawn(move || {
            loop {
                thread::sleep(TICK);
                let Some(ticks) = counted.upgrade() else { return };
                ticks.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { ticks }
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        TICK * self.ticks.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn it_goes_on_and_is_never_ahead_of_the_time() {
        let (began, watch) = (Instant::now(), Stopwatch::start());
        while watch.elapsed() < TICK * 10 {
            thread::yield_now();
        }
        let counted = watch.elapsed();
        assert!(counted <= began.elapsed());
    }
}

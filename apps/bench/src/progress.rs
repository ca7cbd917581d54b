//! How far it has come, for those who watch.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that fills as time passes, on the terminal if there is one; it is gone when the load is over.
pub(crate) fn over(what: &'static str, duration: Duration) -> impl Drop {
    let seconds = duration.as_secs().max(1);
    let bar = ProgressBar::new(seconds);
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} s") {
        bar.set_style(style);
    }
    bar.set_message(what);
    let ticking = bar.clone();
    let task = tokio::spawn(async move {
        let mut clock = tokio::time::interval(Duration::from_secs(1));
        loop {
            clock.tick().await;
            ticking.set_position(ticking.elapsed().as_secs().min(seconds));
        }
    });
    Shown { bar, task }
}

/// A bar for `count` things, to be told of each.
pub(crate) fn of(what: &'static str, count: usize) -> ProgressBar {
    let bar = ProgressBar::new(count as u64);
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len}") {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar
}

struct Shown {
    bar: ProgressBar,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}

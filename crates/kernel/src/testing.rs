//! What the conformance suites of all domains share.

use std::future::poll_fn;
use std::task::Poll;

/// Runs all `tasks` at once and returns what came of each. One task polls them all: a domain knows no
/// runtime, and adapters meet their races where they wait for I/O.
pub async fn together<F: Future>(tasks: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut tasks: Vec<_> = tasks.into_iter().map(|task| (Box::pin(task), None)).collect();
    poll_fn(|context| {
        let mut ready = true;
        for (task, output) in tasks.iter_mut().filter(|(_, output)| output.is_none()) {
            match task.as_mut().poll(context) {
                Poll::Ready(value) => *output = Some(value),
                Poll::Pending => ready = false,
            }
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    tasks.into_iter().filter_map(|(_, output)| output).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tasks_run_and_answer_in_their_order() {
        let mut tasks = std::pin::pin!(together((0..3).map(|n| async move { n })));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert_eq!(tasks.as_mut().poll(&mut context), Poll::Ready(vec![0, 1, 2]));
    }
}

use alivio_kernel::BoxError;

/// Runs `work` to its end, even if whoever waits for it gives up.
///
/// A request is dropped when its connection breaks. What it has stored by then stays stored, so those who
/// are to hear of it must hear of it.
pub(crate) async fn uninterrupted<T, E>(
    work: impl Future<Output = Result<T, E>> + Send + 'static,
    unavailable: impl FnOnce(BoxError) -> E,
) -> Result<T, E>
where
    T: Send + 'static,
    E: Send + 'static,
{
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) => Err(unavailable(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_begun_is_finished_though_nobody_waits() {
        let (begun, wait_begun) = tokio::sync::oneshot::channel();
        let (go_on, wait_go_on) = tokio::sync::oneshot::channel();
        let (done, wait_done) = tokio::sync::oneshot::channel();
        let work = uninterrupted(
            async move {
                begun.send(()).unwrap();
                wait_go_on.await.unwrap();
                done.send(()).unwrap();
                Ok::<_, BoxError>(())
            },
            |error| error,
        );
        tokio::select! {
            biased;
            _ = work => unreachable!("it waits for us"),
            begun = wait_begun => begun.unwrap(),
        }
        go_on.send(()).unwrap();
        wait_done.await.unwrap();
    }
}

//! Bodies that are too long to wait for: taken piece by piece, and given up when they hardly come (FI-10).

use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use alivio_metrics::files as metrics;
use futures_util::{Stream, StreamExt};

use crate::problem::{Problem, Result};

/// Bytes per second that must come on average.
const SLOWEST: u64 = 1024;

/// How fast a body comes.
pub(super) struct Pace {
    patience: Duration,
    began: Instant,
    received: u64,
}

impl Pace {
    /// Waits `patience` for each piece, and so long before it judges the average.
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, began: Instant::now(), received: 0 }
    }

    /// The next piece; nothing at the end.
    pub(super) async fn next<E>(
        &mut self,
        body: &mut (impl Stream<Item = std::result::Result<Bytes, E>> + Unpin),
    ) -> Result<Option<Bytes>> {
        let too_slow = || Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout");
        let next = tokio::time::timeout(self.patience, body.next()).await.map_err(|_| too_slow())?;
        let Some(piece) = next else { return Ok(None) };
        let piece = piece.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "upload_incomplete"))?;
        self.received += piece.len() as u64;
        metrics::RECEIVED.increment(piece.len() as u64);
        let elapsed = self.began.elapsed();
        if elapsed > self.patience && self.received < elapsed.as_secs() * SLOWEST {
            return Err(too_slow());
        }
        Ok(Some(piece))
    }
}

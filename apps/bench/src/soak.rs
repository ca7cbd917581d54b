//! A steady load for a long time, over connections that break.

use clap::Args;

use crate::Common;
use crate::client::BenchError;
use crate::direct::{Direct, Pattern};
use crate::stats::Report;

/// A steady load for a long time (`--seconds`), over connections that break and resume again and again.
///
/// Restart the server meanwhile, or its database, as often as you like.
#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// Conversations
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    pairs: u16,
    /// Messages per second in all
    #[arg(long, default_value_t = 500.0, value_name = "PER_SECOND", value_parser = crate::direct::positive)]
    rate: f64,
    /// How long each connection lasts, more or less
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS", value_parser = crate::direct::positive)]
    cut_every: f64,
}

impl Soak {
    /// Runs it.
    pub(crate) async fn run(&self, common: &Common) -> Result<Report, BenchError> {
        let Self { pairs, rate, cut_every } = *self;
        let direct = Direct { pairs, pattern: Pattern::OneWay, rate: Some(rate), cut_every: Some(cut_every) };
        direct.run(common).await
    }
}

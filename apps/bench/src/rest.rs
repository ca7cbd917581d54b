//! What a client without a socket does all day: the list of conversations, a page of one, a message.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use crate::client::{BenchError, CARLOS, Clinic, MARIA};
use crate::stats::{Histogram, Outcome, Times};
use crate::{Common, talk};

/// Requests over REST, one kind after the other, as many as the server can take.
///
/// `--in-flight` says how many connections ask at a time.
#[derive(Debug, Args)]
pub(crate) struct Rest {
    /// Conversations to ask for
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    conversations: u16,
}

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Inbox,
    History,
    Send,
}

#[derive(Debug, Serialize)]
struct Line {
    kind: String,
    requests: u64,
    per_second: f64,
    #[serde(flatten)]
    times: Times,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Answered {
    conversations: u16,
    in_flight: u16,
    lines: Vec<Line>,
}

impl Outcome for Answered {
    fn table(&self) -> String {
        let mut table = format!(
            "rest: {} conversations, {} in flight\n{:<10}{:>10}{:>12}{:>10}{:>10}{:>10}",
            self.conversations,
            self.in_flight,
            "what",
            "requests",
            "per second",
            "p50 ms",
            "p99 ms",
            "max ms"
        );
        for Line { kind, requests, per_second, times } in &self.lines {
            let Times { p50_ms, p99_ms, max_ms, .. } = times;
            // Writing to a String does not fail.
            write!(
                table,
                "\n{kind:<10}{requests:>10}{per_second:>12.0}{p50_ms:>10.2}{p99_ms:>10.2}{max_ms:>10.2}"
            )
            .ok();
        }
        table
    }
}

impl Rest {
    /// Runs it.
    pub(crate) async fn run(&self, common: &Common) -> Result<Answered, BenchError> {
        let clinic = Arc::new(Clinic::sign_in(&common.url, &common.password, &[MARIA, CARLOS]).await?);
        let [maria, carlos] = clinic.people.as_slice() else { return Err(BenchError::Silence) };
        let mut ids = Vec::new();
        for number in 0..self.conversations {
            let title = format!("bench: rest {number}");
            let id = clinic.open_group(&title, maria, std::slice::from_ref(carlos)).await?;
            let path = format!("/conversations/{id}/messages");
            for said in 0..50 {
                let words = talk::words(u64::from(number) << 8 | said, common.size);
                clinic.post_by(&path, carlos, &json!({"content": words})).await?;
            }
            ids.push(id);
        }
        let ids = Arc::new(ids);
        let mut lines = Vec::new();
        for kind in Kind::value_variants() {
            lines.push(measure(*kind, &clinic, &ids, common).await?);
        }
        Ok(Answered { conversations: self.conversations, in_flight: common.in_flight, lines })
    }
}

async fn measure(
    kind: Kind,
    clinic: &Arc<Clinic>,
    ids: &Arc<Vec<String>>,
    common: &Common,
) -> Result<Line, BenchError> {
    let next = Arc::new(AtomicU64::new(0));
    let from = Instant::now() + common.warmup();
    let until = from + common.measured();
    let mut askers = JoinSet::new();
    for _ in 0..common.in_flight {
        let (clinic, ids, next, size) = (Arc::clone(clinic), Arc::clone(ids), Arc::clone(&next), common.size);
        askers.spawn(async move {
            let mut times = Histogram::default();
            let maria = &clinic.people[0];
            while Instant::now() < until {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let id = &ids[usize::try_from(number).unwrap_or_default() % ids.len()];
                let began = Instant::now();
                match kind {
                    Kind::Inbox => clinic.get("/conversations?page_size=20", maria).await?,
                    Kind::History => {
                        clinic.get(&format!("/conversations/{id}/messages?page_size=50"), maria).await?;
                    }
                    Kind::Send => {
                        let path = format!("/conversations/{id}/messages");
                        clinic.post_by(&path, maria, &json!({"content": talk::words(number, size)})).await?;
                    }
                }
                if began >= from {
                    times.record(began.elapsed());
                }
            }
            Ok::<_, BenchError>(times)
        });
    }
    let mut all = Histogram::default();
    while let Some(times) = askers.join_next().await {
        all.add(&times.map_err(|error| BenchError::Refused(error.to_string()))??);
    }
    let kind = kind.to_possible_value();
    Ok(Line {
        kind: kind.as_ref().map_or("", |value| value.get_name()).to_owned(),
        requests: all.total(),
        per_second: all.total() as f64 / common.measured().as_secs_f64().max(f64::EPSILON),
        times: all.summary(),
    })
}

//! The inbox of someone with many conversations, and the history of a long one.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use crate::client::{BenchError, CARLOS, Clinic, MARIA};
use crate::stats::{Histogram, Outcome};
use crate::{Common, progress, talk};

/// The conversation that holds most of the messages.
const LONG: &str = "bench: long";
/// Requests on their way while the data is made.
const MAKING: usize = 64;

/// The inbox and the history of someone with much of both.
///
/// Makes what is missing by the API, so that all of it is sealed as ever; a second run finds it there. Start the server
/// with ALIVIO_RATE_WRITES_PER_MINUTE=100000000.
#[derive(Debug, Args)]
pub(crate) struct Inbox {
    /// Conversations
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    conversations: u64,
    /// Messages in one of them
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100..=100_000_000))]
    messages: u64,
}

#[derive(Debug, Serialize)]
struct Line {
    shape: String,
    requests: u64,
    p50_ms: f64,
    p99_ms: f64,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Seen {
    conversations: u64,
    messages: u64,
    in_flight: u16,
    lines: Vec<Line>,
}

impl Outcome for Seen {
    fn table(&self) -> String {
        let mut table = format!(
            "inbox of {}, history of {}, {} in flight\n{:<40}{:>9}{:>10}{:>10}",
            self.conversations, self.messages, self.in_flight, "what", "requests", "p50 ms", "p99 ms"
        );
        for Line { shape, requests, p50_ms, p99_ms } in &self.lines {
            write!(table, "\n{shape:<40}{requests:>9}{p50_ms:>10.2}{p99_ms:>10.2}").ok();
        }
        table
    }
}

impl Inbox {
    /// Runs it.
    pub(crate) async fn run(&self, common: &Common) -> Result<Seen, BenchError> {
        let clinic = Arc::new(Clinic::sign_in(&common.url, &common.password, &[MARIA, CARLOS]).await?);
        let long = self.make(&clinic, common).await?;
        let inbox = [
            ("inbox, first page", "/conversations"),
            ("inbox, page 30", "/conversations?page=30"),
            ("inbox, unread only", "/conversations?has_unread=true"),
            ("inbox, by tag", "/conversations?tags=bench-7"),
            ("inbox, found by title", "/conversations?search=bench+999"),
            ("inbox, ordered by title", "/conversations?ordering=title"),
            ("unread counts", "/unread"),
        ];
        let mut shapes: Vec<_> =
            inbox.into_iter().map(|(name, path)| (name.to_owned(), path.to_owned())).collect();
        shapes.push(("one conversation".to_owned(), format!("/conversations/{long}")));
        for percent in [100, 75, 50, 25, 1] {
            let before = self.messages * percent / 100;
            shapes.push((
                format!("history, 50 before {before}"),
                format!("/conversations/{long}/messages?page_size=50&before={before}"),
            ));
        }
        let lines = measure(&clinic, shapes, common).await?;
        let Self { conversations, messages } = *self;
        Ok(Seen { conversations, messages, in_flight: common.in_flight, lines })
    }

    /// Makes what is missing, and says which conversation is the long one.
    async fn make(&self, clinic: &Arc<Clinic>, common: &Common) -> Result<String, BenchError> {
        let [maria, carlos] = clinic.people.as_slice() else { return Err(BenchError::Silence) };
        let found = clinic.read("/conversations?search=bench+long", maria).await?;
        let (long, there) = match found["items"][0]["id"].as_str() {
            Some(id) => (id.to_owned(), found["items"][0]["total_messages"].as_u64().unwrap_or(0)),
            None => (clinic.open_group(LONG, maria, std::slice::from_ref(carlos)).await?, 0),
        };
        let size = common.size;
        let id = long.clone();
        self.each(there..self.messages, clinic, move |number| {
            let path = format!("/conversations/{id}/messages");
            vec![(path, json!({"content": talk::words(number, size)}))]
        })
        .await?;
        // One at a time counts on: pages of 100 until there is no more.
        let mut made = 0;
        let mut cursor = String::new();
        loop {
            let page = clinic
                .read(&format!("/conversations?page_size=100&ordering=created_at{cursor}"), maria)
                .await?;
            made += page["items"].as_array().map_or(0, Vec::len) as u64;
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        for number in made..self.conversations {
            let asked = json!({
                "type": "group", "title": format!("bench {number}"), "participants": [maria.id],
                "metadata": {"tags": [format!("bench-{}", number % 50)]},
            });
            let made = clinic.post_by("/conversations", carlos, &asked).await?;
            let path = format!("/conversations/{}/messages", made["id"].as_str().unwrap_or_default());
            for said in 0..number % 3 + 1 {
                let words = talk::words(number << 8 | said, size);
                clinic.post_by(&path, carlos, &json!({"content": words})).await?;
            }
        }
        Ok(long)
    }

    /// Has the second person send what `requests` says for each number, many at a time.
    async fn each(
        &self,
        numbers: std::ops::Range<u64>,
        clinic: &Arc<Clinic>,
        requests: impl Fn(u64) -> Vec<(String, serde_json::Value)> + Clone + Send + 'static,
    ) -> Result<(), BenchError> {
        let bar =
            progress::of("writing", usize::try_from(numbers.end.saturating_sub(numbers.start)).unwrap_or(0));
        let next = Arc::new(AtomicU64::new(numbers.start));
        let mut senders = JoinSet::new();
        for _ in 0..MAKING {
            let (clinic, next, requests) = (Arc::clone(clinic), Arc::clone(&next), requests.clone());
            let bar = bar.clone();
            senders.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= numbers.end {
                        return Ok::<_, BenchError>(());
                    }
                    for (path, body) in requests(number) {
                        clinic.post_by(&path, &clinic.people[1], &body).await?;
                    }
                    bar.inc(1);
                }
            });
        }
        while let Some(sent) = senders.join_next().await {
            sent.map_err(|error| BenchError::Refused(error.to_string()))??;
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// The times of each shape, asked in turn by `in_flight` at once.
async fn measure(
    clinic: &Arc<Clinic>,
    shapes: Vec<(String, String)>,
    common: &Common,
) -> Result<Vec<Line>, BenchError> {
    let (shapes, next) = (Arc::new(shapes), Arc::new(AtomicUsize::new(0)));
    let warm = Instant::now() + common.warmup();
    let end = warm + common.measured();
    let mut askers = JoinSet::new();
    for _ in 0..common.in_flight {
        let (clinic, shapes, next) = (Arc::clone(clinic), Arc::clone(&shapes), Arc::clone(&next));
        askers.spawn(async move {
            let mut times = vec![Histogram::default(); shapes.len()];
            while Instant::now() < end {
                let shape = next.fetch_add(1, Ordering::Relaxed) % shapes.len();
                let began = Instant::now();
                clinic.get(&shapes[shape].1, &clinic.people[0]).await?;
                if began >= warm {
                    times[shape].record(began.elapsed());
                }
            }
            Ok::<_, BenchError>(times)
        });
    }
    let mut all = vec![Histogram::default(); shapes.len()];
    while let Some(times) = askers.join_next().await {
        let times = times.map_err(|error| BenchError::Refused(error.to_string()))??;
        all.iter_mut().zip(&times).for_each(|(all, times)| all.add(times));
    }
    let line = |((shape, _), times): (&(String, String), &Histogram)| Line {
        shape: shape.clone(),
        requests: times.total(),
        p50_ms: times.quantile_ms(0.5),
        p99_ms: times.quantile_ms(0.99),
    };
    Ok(shapes.iter().zip(&all).map(line).collect())
}

//! Whether an answer's time tells if an address has an account (AU-01, AU-02).
//!
//! Each pair asks once for an address with an account and once for one without, in an order that changes, and the two
//! lists of times are compared by rank. Wrong guesses lock an address for a while without showing it, which takes the
//! same time; the comparison holds for locked ones, too.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use crate::Common;
use crate::client::{BenchError, EVERYONE};
use crate::stats::rank_test;

/// Below this the two differ by more than chance.
const SIGNIFICANT: f64 = 0.01;

/// The load.
#[derive(Debug, Clone, Args)]
pub(crate) struct Timing {
    /// Pairs of requests per comparison
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u16).range(10..=10_000))]
    pairs: u16,
    /// Addresses that have an account, one per line; by default those of the demo clinic
    #[arg(long)]
    accounts: Option<PathBuf>,
}

/// What to ask about an address.
type Body = fn(&str) -> Value;

/// What came of one comparison.
struct Compared {
    name: &'static str,
    known: f64,
    unknown: f64,
    p: f64,
}

impl Timing {
    /// Compares, and says whether no difference shows.
    pub(crate) async fn run(&self, common: &Common) -> Result<(String, bool), BenchError> {
        let known: Vec<String> = match &self.accounts {
            Some(path) => fs::read_to_string(path)?.lines().map(|line| line.trim().to_owned()).collect(),
            None => EVERYONE.map(str::to_owned).to_vec(),
        };
        let http = reqwest::Client::builder().no_proxy().build()?;
        let mut all = Vec::new();
        let bodies: [(&str, &str, Body); 3] = [
            ("login", "/auth/login", |email| json!({"email": email, "password": "a wrong password"})),
            ("forgot", "/auth/password/forgot", |email| json!({"email": email})),
            (
                "register",
                "/auth/register",
                |email| json!({"email": email, "password": "caballo correcto", "full_name": "Nadie", "role": "patient"}),
            ),
        ];
        for (name, path, body) in bodies {
            let url = format!("{}/api/v1{path}", common.url);
            let (mut taken, mut free) = (Vec::new(), Vec::new());
            for n in 0..usize::from(self.pairs) {
                let nobody = format!("nobody-{n}@nowhere.example");
                let nobody = nobody.as_str();
                let somebody = known.get(n % known.len().max(1)).map_or("", String::as_str);
                // Whoever comes second finds warmer caches.
                let order = if n % 2 == 0 {
                    [(somebody, true), (nobody, false)]
                } else {
                    [(nobody, false), (somebody, true)]
                };
                for (email, is_known) in order {
                    let time = ask(&http, &url, &body(email)).await?;
                    if is_known { taken.push(time) } else { free.push(time) }
                }
            }
            let p = rank_test(&taken, &free);
            all.push(Compared { name, known: median_ms(&mut taken), unknown: median_ms(&mut free), p });
        }
        Ok((self.table(&all), all.iter().all(|compared| compared.p > SIGNIFICANT)))
    }

    fn table(&self, all: &[Compared]) -> String {
        let mut text = format!("{} pairs         known   unknown  p (Mann-Whitney U, two-sided)", self.pairs);
        for Compared { name, known, unknown, p } in all {
            text += &format!("\n{name:<12} {known:>8.2} ms {unknown:>6.2} ms  {p:.3}");
        }
        text
    }
}

async fn ask(http: &reqwest::Client, url: &str, body: &Value) -> Result<Duration, BenchError> {
    let began = Instant::now();
    let answer = http.post(url).json(body).send().await?;
    let status = answer.status().as_u16();
    answer.bytes().await?;
    let time = began.elapsed();
    match status {
        202 | 401 => Ok(time),
        _ => Err(BenchError::Refused(format!("{url} answered {status}"))),
    }
}

fn median_ms(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

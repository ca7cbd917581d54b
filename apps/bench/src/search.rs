//! Search over many conversations among a million messages: how fast what was said is found.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use alivio_crypto::{EnvelopeSealer, KeyRing};
use alivio_kernel::ids::{ConversationId, SystemIds, Uuid};
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::{IdSource, Sealer, SystemClock};
use alivio_messages::{Search as Finder, SearchPorts};
use alivio_postgres::{Database, DatabaseOptions};
use clap::Args;
use serde::Serialize;
use tokio_postgres::NoTls;

use crate::Common;
use crate::client::{BenchError, CARLOS, Clinic, MARIA};
use crate::stats::{Histogram, Outcome};
use crate::talk::Dice;

/// Messages that are stored at once.
const BATCH: i64 = 1_000;
/// What Maria's conversations are called, to know them again.
const MARK: &str = "alivio-bench-search";

/// Search over many conversations.
///
/// Puts made-up messages straight into the database of the server, sealed and indexed as the server would, once; use one
/// that can be thrown away.
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Messages in the database
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(i64).range(1_000..=10_000_000))]
    messages: i64,
    /// Conversations in the database
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    conversations: i64,
    /// Conversations that the one who searches is in
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(i64).range(1..=1_000))]
    mine: i64,
    /// The server's database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The server's keys
    #[arg(long, env = "ALIVIO_KEYS_FILE", default_value = ".alivio/keys.json")]
    keys_file: PathBuf,
}

/// Words of which the first are common and the last are rare, as in a language.
const WORDS: [&str; 40] = [
    "dolor",
    "cabeza",
    "fiebre",
    "tos",
    "mareo",
    "presión",
    "corazón",
    "pastilla",
    "análisis",
    "receta",
    "migraña",
    "alergia",
    "vacuna",
    "insulina",
    "glucosa",
    "tensión",
    "reposo",
    "urgencia",
    "garganta",
    "espalda",
    "rodilla",
    "estómago",
    "náuseas",
    "cansancio",
    "insomnio",
    "ansiedad",
    "herida",
    "vendaje",
    "radiografía",
    "ecografía",
    "hemograma",
    "colesterol",
    "tiroides",
    "anemia",
    "asma",
    "eccema",
    "lumbalgia",
    "bronquitis",
    "sinusitis",
    "gastritis",
];

const CONVERSATIONS: &str = "
    WITH made AS (
        INSERT INTO conversations (id, kind, created_by, created_at, updated_at, creation_key, creation_fingerprint)
        SELECT c.id, 'group', $2, now(), now(), $4 || to_char(c.n, 'FM000000'), '\\x00'
        FROM unnest($1::uuid[]) WITH ORDINALITY AS c (id, n)
        RETURNING id, created_at
    )
    INSERT INTO participants (conversation_id, user_id, role, joined_at, joined_seq, delivered_up_to, read_up_to)
    SELECT c.id, who.id, 'member', now(), 1, 0, 0
    FROM unnest($1::uuid[]) WITH ORDINALITY AS c (id, n)
    JOIN made ON made.id = c.id
    CROSS JOIN LATERAL (SELECT $3::uuid AS id UNION ALL SELECT $2::uuid WHERE c.n <= $5) who";

const MESSAGES: &str = "
    INSERT INTO messages (id, ref_number, conversation_id, seq, sender_id, message_type, priority, content,
        client_message_id, fingerprint, created_at)
    SELECT m.id, nextval('message_numbers'), m.place, m.seq, $6, 'text', 'normal', m.content, m.client, '\\x00', now()
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bytea[], $5::text[]) AS m (id, place, seq, content, client)";

/// What is asked, and its name.
const SHAPES: [(&str, &str); 7] = [
    ("common word", "/search?query=dolor"),
    ("rare word", "/search?query=gastritis"),
    ("two words", "/search?query=migra%C3%B1a%20insulina"),
    ("four words", "/search?query=dolor%20cabeza%20fiebre%20tos"),
    ("phrase", "/search?query=%22dolor%20fiebre%22"),
    ("relevance", "/search?query=lumbalgia&ordering=relevance"),
    ("nothing found", "/search?query=zanahoria"),
];

#[derive(Debug, Serialize)]
struct Line {
    shape: &'static str,
    requests: u64,
    p50_ms: f64,
    p99_ms: f64,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    messages: i64,
    mine: i64,
    lines: Vec<Line>,
}

impl Outcome for Found {
    fn table(&self) -> String {
        let mut table = format!(
            "search in {} conversations among {} messages\n{:<30}{:>9}{:>10}{:>10}",
            self.mine, self.messages, "what", "requests", "p50 ms", "p99 ms"
        );
        for Line { shape, requests, p50_ms, p99_ms } in &self.lines {
            write!(table, "\n{shape:<30}{requests:>9}{p50_ms:>10.2}{p99_ms:>10.2}").ok();
        }
        table
    }
}

fn failed(error: impl std::fmt::Display) -> BenchError {
    BenchError::Refused(error.to_string())
}

impl Search {
    /// Runs it.
    pub(crate) async fn run(&self, common: &Common) -> Result<Found, BenchError> {
        let clinic = Clinic::sign_in(&common.url, &common.password, &[MARIA, CARLOS]).await?;
        self.seed(&clinic).await?;
        let mut lines = Vec::new();
        for (shape, path) in SHAPES {
            let mut times = Histogram::default();
            let warm = Instant::now() + common.warmup();
            let end = warm + common.measured();
            while Instant::now() < end {
                let began = Instant::now();
                clinic.get(path, &clinic.people[0]).await?;
                if began >= warm {
                    times.record(began.elapsed());
                }
            }
            let (p50_ms, p99_ms) = (times.quantile_ms(0.5), times.quantile_ms(0.99));
            lines.push(Line { shape, requests: times.total(), p50_ms, p99_ms });
        }
        Ok(Found { messages: self.messages, mine: self.mine, lines })
    }

    async fn seed(&self, clinic: &Clinic) -> Result<(), BenchError> {
        let id = |person: usize| clinic.people[person].id.parse::<Uuid>().map_err(failed);
        let (maria, carlos) = (id(0)?, id(1)?);
        let (client, connection) = tokio_postgres::connect(&self.database_url, NoTls).await?;
        let connection = tokio::spawn(connection);
        let there = "SELECT id FROM conversations WHERE creation_key LIKE $1 || '%' ORDER BY creation_key";
        let mut conversations: Vec<Uuid> =
            client.query(there, &[&MARK]).await?.iter().map(|row| row.get(0)).collect();
        if conversations.is_empty() {
            conversations = (0..self.conversations).map(|_| SystemIds.uuid()).collect();
            client.execute(CONVERSATIONS, &[&conversations, &maria, &carlos, &MARK, &self.mine]).await?;
        }
        let held: i64 = client
            .query_one("SELECT count(*) FROM messages WHERE conversation_id = ANY ($1)", &[&conversations])
            .await?
            .get(0);

        let ring = KeyRing::load(&self.keys_file).map_err(failed)?;
        let options = DatabaseOptions { connections: 2, ..DatabaseOptions::default() };
        let database = Arc::new(Database::new(&self.database_url, options).map_err(failed)?);
        let sealer = EnvelopeSealer::new(
            &ring,
            Arc::clone(&database) as _,
            Arc::new(SystemClock),
            Arc::new(SystemIds),
        );
        sealer.check().await.map_err(failed)?;
        let sealer = Arc::new(sealer);
        let mut dice = Dice(0x5eed);
        let mut next = held;
        while next < self.messages {
            let batch: Vec<i64> = (next..self.messages.min(next + BATCH)).collect();
            self.store(&client, &*sealer, &conversations, [maria, carlos], &batch, &mut dice).await?;
            next += BATCH;
        }
        client
            .execute(
                "UPDATE conversations c SET last_seq = m.last, message_count = m.last
                 FROM (SELECT conversation_id, max(seq) AS last FROM messages GROUP BY 1) m
                 WHERE m.conversation_id = c.id AND c.id = ANY ($1)",
                &[&conversations],
            )
            .await?;
        let finder = Finder::new(SearchPorts {
            index: Arc::clone(&database) as _,
            tokeniser: Arc::clone(&sealer) as _,
            lexicon: Arc::new(|_: &str| false),
            sealer,
            clock: Arc::new(SystemClock),
        });
        finder.complete_index().await.map_err(failed)?;
        for table in ["messages", "message_tokens", "participants", "conversations"] {
            // One by one: several statements at once would be a transaction, in which nothing is vacuumed.
            client.batch_execute(&format!("VACUUM ANALYZE {table}")).await?;
        }
        drop(client);
        // It ends with its client.
        connection.await.ok();
        Ok(())
    }

    /// Seals and stores the messages with these numbers, of which each conversation gets one in turn.
    async fn store(
        &self,
        client: &tokio_postgres::Client,
        sealer: &dyn Sealer,
        conversations: &[Uuid],
        senders: [Uuid; 2],
        numbers: &[i64],
        dice: &mut Dice,
    ) -> Result<(), BenchError> {
        let (mut ids, mut places, mut seqs) = (Vec::new(), Vec::new(), Vec::new());
        let (mut contents, mut clients) = (Vec::new(), Vec::new());
        for number in numbers {
            let at = usize::try_from(*number).map_err(failed)?;
            let (id, place) = (SystemIds.uuid(), conversations[at % conversations.len()]);
            let context = SealContext {
                table: "messages",
                column: "content",
                row: id,
                scope: Scope::Conversation(ConversationId::from(place)),
                version: 1,
            };
            let sealed = sealer.seal(&context, dice.text().as_bytes()).await.map_err(failed)?;
            ids.push(id);
            places.push(place);
            seqs.push(i64::try_from(at / conversations.len()).map_err(failed)? + 1);
            contents.push(sealed.into_bytes());
            clients.push(format!("{MARK}-{number}"));
        }
        client.execute(MESSAGES, &[&ids, &places, &seqs, &contents, &clients, &senders[0]]).await?;
        Ok(())
    }
}

impl Dice {
    /// About twelve words, the first ones of the list most often, and one that few messages have.
    fn text(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..11 {
            let word = self.below(WORDS.len()).min(self.below(WORDS.len()));
            text.push_str(WORDS[word]);
            text.push(' ');
        }
        write!(text, "palabra{}", self.below(20_000)).ok();
        text
    }
}

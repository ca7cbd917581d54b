//! The directory with as many professionals as a country has: how fast people are found.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

use crate::Common;
use crate::client::{BenchError, Clinic, MARIA};
use crate::stats::{Histogram, Outcome};

const ADMIN: &str = "admin@clinic.example";

/// Search in a large directory.
///
/// Puts made-up professionals straight into the database of the server, once; use one that can be thrown away.
#[derive(Debug, Args)]
pub(crate) struct Directory {
    /// Professionals in the directory
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
    professionals: i32,
    /// The server's database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
}

/// Names of which most are common, and a second family name that few share; folded as the server would.
const SEED: &str = "
    WITH lists AS (SELECT
        regexp_split_to_array('María José Ana Luis Carmen Carlos Lucía Jorge Elena Marta Martín Manuel Sofía Diego Paula Andrés
            Laura Javier Isabel Pablo Nuria Raúl Irene Óscar Rosa Hugo Clara Iván Julia Álvaro', '\\s+') AS given,
        regexp_split_to_array('Martínez García López Sánchez Pérez Gómez Martín Jiménez Ruiz Hernández Díaz Moreno Muñoz Álvarez
            Romero Alonso Gutiérrez Navarro Torres Domínguez Vázquez Ramos Gil Ramírez Serrano Blanco Molina Morales
            Suárez Ortega Delgado Castro Ortiz Rubio Marín Sanz Núñez Iglesias Medina Garrido', '\\s+') AS family,
        regexp_split_to_array('Cardiología Pediatría Cirugía Dermatología Neurología Oncología Psiquiatría Radiología
            Urología Ginecología Oftalmología Traumatología Endocrinología Nefrología Reumatología Geriatría', '\\s+') AS specialty,
        string_to_array('Cardiologist Pediatrician Surgeon Dermatologist Intern Resident Consultant Registrar', ' ') AS title,
        string_to_array('ba ce di fo gu ha je ki lo mu na pe qui ro su ta ve wi xo yu', ' ') AS part
    ), made AS (
        SELECT n, gen_random_uuid() AS id, h,
            given[1 + h % 30] || ' ' || family[1 + h / 31 % 40] || ' '
                || initcap(part[1 + h / 1021 % 20] || part[1 + h / 7919 % 20] || part[1 + h / 65537 % 20]
                || part[1 + h / 1299709 % 20]) AS name,
            specialty[1 + h / 13 % 16] AS specialty, title[1 + h / 17 % 8] AS title,
            CASE h / 19 % 200 WHEN 0 THEN 'Clínica Alivio'
                ELSE 'Hospital ' || initcap(part[1 + h / 19 % 200 / 20] || part[1 + h / 19 % 20]) END AS institution
        FROM lists, (SELECT n, abs(hashint4(n) % 2147483647) AS h FROM generate_series($1::int4, $2::int4) AS n) AS numbers
    ), folded AS (
        SELECT *, translate(lower(name), 'áéíóúñü', 'aeiounu') AS name_key, lower(title) AS title_key,
            translate(lower(specialty), 'áéíóúñü', 'aeiounu') AS specialty_key,
            translate(lower(institution), 'áéíóúñü', 'aeiounu') AS institution_key
        FROM made
    ), people AS (
        INSERT INTO users (id, email_index, identity, role, professional_title, created_at)
        SELECT id, decode(md5('alivio-bench-' || n), 'hex'), '\\x00', CASE WHEN h % 10 = 0 THEN 'student' ELSE 'doctor' END,
            title, now()
        FROM folded
    )
    INSERT INTO professional_profiles (user_id, full_name, display_name, specialty, institution, bio, listed,
        credential_status, updated_at, name_key, title_key, specialty_key, institution_key, words)
    SELECT id, name, name, specialty, institution, 'alivio-bench', true,
        CASE WHEN h % 3 = 0 THEN 'verified' ELSE 'unverified' END, now(), name_key, title_key, specialty_key, institution_key,
        array_to_tsvector(string_to_array(concat_ws(' ', name_key, title_key, specialty_key, institution_key), ' '))
    FROM folded";

const COUNT: &str = "SELECT count(*)::int4 FROM professional_profiles WHERE bio = 'alivio-bench'";

/// What is asked, and its name.
const SHAPES: [(&str, &str); 12] = [
    ("all, first page", "/users"),
    ("rare word", "/users?q=bacedi"),
    ("two letters", "/users?q=ma"),
    ("one letter", "/users?q=a"),
    ("nothing found", "/users?q=zzzz"),
    ("two words", "/users?q=maria+card"),
    ("common and rare word", "/users?q=garcia+bacedi"),
    ("institution and specialty", "/users?institution=clinica+alivio&specialty=cardiologia"),
    ("institution and two letters", "/users?institution=clinica+alivio&q=ma"),
    ("role, specialty, verified", "/users?role=student&specialty=pediatria&verified=true"),
    ("deep page by cursor", "/users?cursor=martin_m.00000000-0000-7000-8000-000000000000"),
    ("deep page of two letters", "/users?q=ma&cursor=martin_m.00000000-0000-7000-8000-000000000000"),
];

#[derive(Debug, Serialize)]
struct Line {
    viewer: &'static str,
    shape: &'static str,
    requests: u64,
    p50_ms: f64,
    p99_ms: f64,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    professionals: i32,
    in_flight: u16,
    lines: Vec<Line>,
}

impl Outcome for Found {
    fn table(&self) -> String {
        let mut table = format!(
            "directory of {}, {} in flight\n{:<8}{:<30}{:>9}{:>10}{:>10}",
            self.professionals, self.in_flight, "who", "what", "requests", "p50 ms", "p99 ms"
        );
        for Line { viewer, shape, requests, p50_ms, p99_ms } in &self.lines {
            write!(table, "\n{viewer:<8}{shape:<30}{requests:>9}{p50_ms:>10.2}{p99_ms:>10.2}").ok();
        }
        table
    }
}

impl Directory {
    /// Runs it.
    pub(crate) async fn run(&self, common: &Common) -> Result<Found, BenchError> {
        self.seed().await?;
        let clinic = Arc::new(Clinic::sign_in(&common.url, &common.password, &[ADMIN, MARIA]).await?);
        let mut lines = Vec::new();
        for (person, viewer) in ["admin", "doctor"].into_iter().enumerate() {
            let measured = measure(&clinic, person, common).await?;
            lines.extend(measured.into_iter().zip(SHAPES).map(|(times, (shape, _))| Line {
                viewer,
                shape,
                requests: times.total(),
                p50_ms: times.quantile_ms(0.5),
                p99_ms: times.quantile_ms(0.99),
            }));
        }
        Ok(Found { professionals: self.professionals, in_flight: common.in_flight, lines })
    }

    async fn seed(&self) -> Result<(), BenchError> {
        let (client, connection) = tokio_postgres::connect(&self.database_url, NoTls).await?;
        let connection = tokio::spawn(connection);
        let there: i32 = client.query_one(COUNT, &[]).await?.get(0);
        if there < self.professionals {
            client.execute(SEED, &[&(there + 1), &self.professionals]).await?;
        }
        for table in ["users", "professional_profiles"] {
            // One by one: several statements at once would be a transaction, in which nothing is vacuumed.
            client.batch_execute(&format!("VACUUM ANALYZE {table}")).await?;
        }
        drop(client);
        // It ends with its client.
        connection.await.ok();
        Ok(())
    }
}

/// The times of each shape, asked in turn by `in_flight` at once.
async fn measure(clinic: &Arc<Clinic>, person: usize, common: &Common) -> Result<Vec<Histogram>, BenchError> {
    let next = Arc::new(AtomicUsize::new(0));
    let warm = Instant::now() + common.warmup();
    let end = warm + common.measured();
    let mut askers = JoinSet::new();
    for _ in 0..common.in_flight {
        let (clinic, next) = (Arc::clone(clinic), Arc::clone(&next));
        askers.spawn(async move {
            let mut times = vec![Histogram::default(); SHAPES.len()];
            while Instant::now() < end {
                let shape = next.fetch_add(1, Ordering::Relaxed) % SHAPES.len();
                let began = Instant::now();
                clinic.get(SHAPES[shape].1, &clinic.people[person]).await?;
                if began >= warm {
                    times[shape].record(began.elapsed());
                }
            }
            Ok::<_, BenchError>(times)
        });
    }
    let mut all = vec![Histogram::default(); SHAPES.len()];
    while let Some(times) = askers.join_next().await {
        let times = times.map_err(|error| BenchError::Refused(error.to_string()))??;
        all.iter_mut().zip(&times).for_each(|(all, times)| all.add(times));
    }
    Ok(all)
}

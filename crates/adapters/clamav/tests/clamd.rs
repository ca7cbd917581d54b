//! Every MUST of a scanner against a real clamd, and what becomes of one that breaks (F17).
#![cfg(test)]

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alivio_clamav::{Clamd, ClamdOptions, ProofError};
use alivio_files::testing::scanner::{Fixture, World};
use alivio_files::testing::{noise, pieces};
use alivio_files::{ScanError, Scanner, Verdict, eicar};
use alivio_testkit::clamd::{OWN_MALWARE, OWN_NAME, STREAM_LIMIT, TestClamd};
use alivio_testkit::server::eventually;
use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(2);

fn scanner(address: &str) -> Clamd {
    let patience = PATIENCE;
    Clamd::new(ClamdOptions { patience, ..ClamdOptions::new(address.parse().unwrap()) })
}

/// For what is really to be looked at, on a machine that is busy.
fn patient(address: &str) -> Clamd {
    Clamd::new(ClamdOptions::new(address.parse().unwrap()))
}

struct Paused(TestClamd);

#[async_trait]
impl World for Paused {
    async fn stall(&self) -> Option<Duration> {
        self.0.pause();
        Some(PATIENCE * 5)
    }
}

async fn fresh() -> Option<Fixture> {
    let clamd = TestClamd::start().await?;
    Some(Fixture { scanner: Arc::new(scanner(&clamd.socket())), world: Arc::new(Paused(clamd)) })
}
alivio_files::scanner_conformance!(fresh);

async fn scan(scanner: &Clamd, content: &[u8]) -> Result<Verdict, ScanError> {
    scanner.scan(pieces(content, 65_536), content.len() as u64).await
}

/// A ZIP archive by the system's Python, which everyone has who builds this: compressed, as documents are.
fn zipped(name: &str, content: &[u8]) -> Vec<u8> {
    let script = "import sys, zipfile; zipfile.ZipFile(sys.stdout.buffer, 'w', zipfile.ZIP_DEFLATED)\
                  .writestr(sys.argv[1], sys.stdin.buffer.read())";
    let mut python = std::process::Command::new("python3")
        .args(["-c", script, name])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(content).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// FI-03.
#[tokio::test]
async fn malware_is_found_inside_of_what_people_send() {
    let Some(clamd) = TestClamd::start().await else { return };
    let scanner = patient(&clamd.address());
    let document = "<?xml version=\"1.0\"?><w:document><w:body/></w:document>".as_bytes();
    let macros = [&[0xd0, 0xcf, 0x11, 0xe0][..], &eicar()].concat();
    let infected = [
        ("in an archive", zipped("a.com", &eicar())),
        ("in an archive in an archive", zipped("inner.zip", &zipped("a.com", &eicar()))),
        ("in a document", zipped("word/vbaProject.bin", &macros)),
        ("as an attachment of a document", zipped("word/embeddings/oleObject1.bin", &eicar())),
        ("in a stream of a PDF", pdf(&eicar())),
        ("of our own", [&noise(1, 100_000)[..], OWN_MALWARE, &noise(2, 100_000)].concat()),
        (
            "across the border of two chunks",
            [&vec![b' '; 65_536 - 30][..], OWN_MALWARE, &vec![b' '; 70_000]].concat(),
        ),
    ];
    for (place, content) in infected {
        let verdict = scan(&scanner, &content).await.unwrap();
        assert!(matches!(verdict, Verdict::Infected { .. }), "{place}: {verdict:?}");
    }
    let named = scan(&scanner, OWN_MALWARE).await.unwrap();
    assert!(matches!(named, Verdict::Infected { signature } if signature.starts_with(OWN_NAME)));
    for harmless in [zipped("word/document.xml", document), pdf(b"BT (hola) Tj ET")] {
        assert_eq!(scan(&scanner, &harmless).await.unwrap(), Verdict::Clean);
    }
}

/// A PDF with a compressed stream.
fn pdf(stream: &[u8]) -> Vec<u8> {
    let script = "import sys, zlib; d = zlib.compress(sys.stdin.buffer.read()); \
                  sys.stdout.buffer.write(b'%PDF-1.4\\n1 0 obj\\n<< /Length ' + str(len(d)).encode() + \
                  b' /Filter /FlateDecode >>\\nstream\\n' + d + b'\\nendstream\\nendobj\\n\
                  2 0 obj\\n<< /Type /Catalog >>\\nendobj\\ntrailer\\n<< /Root 2 0 R >>\\n%%EOF\\n')";
    let mut python = std::process::Command::new("python3")
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(stream).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// FI-04: what it cannot look into is never clean.
#[tokio::test]
async fn what_is_too_large_has_no_clean_verdict() {
    let Some(clamd) = TestClamd::start().await else { return };
    for address in [clamd.address(), clamd.socket()] {
        let scanner = patient(&address);
        for size in [STREAM_LIMIT + 1, STREAM_LIMIT * 3] {
            let verdict = scan(&scanner, &noise(1, size)).await.unwrap();
            assert!(matches!(verdict, Verdict::Unscannable { .. }), "{size}: {verdict:?}");
        }
        assert_eq!(scan(&scanner, &noise(1, STREAM_LIMIT - 1)).await.unwrap(), Verdict::Clean);
    }
}

#[tokio::test]
async fn a_clamd_that_overlooks_things_is_told_from_one_that_does_not() {
    let Some(clamd) = TestClamd::start().await else { return };
    patient(&clamd.address()).prove().await.unwrap();
    drop(clamd);
    let Some(clamd) = TestClamd::start_with("AlertEncrypted yes\n").await else { return };
    assert!(matches!(patient(&clamd.address()).prove().await, Err(ProofError::OverlooksExcess)));
    drop(clamd);
    let Some(clamd) = TestClamd::start_with("AlertExceedsMax yes\n").await else { return };
    assert!(matches!(patient(&clamd.address()).prove().await, Err(ProofError::OverlooksLocks)));
}

/// F17: nothing is said of a file while clamd is gone, and things go on when it is back.
#[tokio::test]
async fn a_killed_clamd_is_unavailable_until_it_is_back() {
    let Some(clamd) = TestClamd::start().await else { return };
    let scanner = scanner(&clamd.address());
    let content = noise(1, 4_000_000);
    // Killed while it is sent something.
    let (pausing, halfway) = (pieces(&content, 65_536), Arc::new(tokio::sync::Semaphore::new(0)));
    let slow = futures_util::StreamExt::then(futures_util::StreamExt::enumerate(pausing), {
        let halfway = Arc::clone(&halfway);
        move |(n, piece)| {
            let halfway = Arc::clone(&halfway);
            async move {
                if n == 30 {
                    halfway.acquire().await.unwrap().forget();
                }
                piece
            }
        }
    });
    let scanning = scanner.scan(Box::pin(slow), content.len() as u64);
    let killing = async {
        clamd.kill();
        halfway.add_permits(1);
    };
    let (answer, ()) = tokio::join!(scanning, killing);
    assert!(matches!(answer, Err(ScanError::Unavailable(_))), "{answer:?}");
    // And while it is gone.
    let began = Instant::now();
    assert!(matches!(scan(&scanner, b"x").await, Err(ScanError::Unavailable(_))));
    assert!(matches!(scanner.version().await, Err(ScanError::Unavailable(_))));
    assert!(began.elapsed() < PATIENCE);
    clamd.restart().await;
    eventually("clamd is back", async || matches!(scan(&scanner, b"x").await, Ok(Verdict::Clean))).await;
}

/// F17: it hangs, and goes on.
#[tokio::test]
async fn a_hung_clamd_is_unavailable_until_it_goes_on() {
    let Some(clamd) = TestClamd::start().await else { return };
    let scanner = scanner(&clamd.address());
    clamd.pause();
    for content in [b"x".to_vec(), noise(1, STREAM_LIMIT - 1)] {
        let began = Instant::now();
        assert!(matches!(scan(&scanner, &content).await, Err(ScanError::Unavailable(_))));
        assert!(began.elapsed() < PATIENCE * 3, "{:?}", began.elapsed());
    }
    clamd.resume();
    eventually("clamd goes on", async || {
        matches!(scan(&scanner, &eicar()).await, Ok(Verdict::Infected { .. }))
    })
    .await;
}

/// Something that listens where clamd should, takes `appetite` bytes, and answers `answer`.
async fn impostor(appetite: usize, answer: &'static [u8]) -> Clamd {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut line, _)) = listener.accept().await {
            let mut taken = vec![0; appetite];
            line.read_exact(&mut taken).await.ok();
            line.write_all(answer).await.ok();
        }
    });
    scanner(&address)
}

/// F17: a wrong format is no verdict.
#[tokio::test]
async fn nothing_but_a_verdict_is_taken_for_one() {
    for answer in [
        "",
        "OK\0",
        "stream: OK, perhaps\0",
        "HTTP/1.1 200 OK\r\n\r\nstream: OK",
        "stream: read error ERROR\0",
    ] {
        let scanner = impostor(19, answer.as_bytes()).await;
        let told = scan(&scanner, b"x").await;
        assert!(matches!(told, Err(ScanError::Unavailable(_))), "{answer:?}: {told:?}");
        assert!(matches!(scanner.version().await, Err(ScanError::Unavailable(_))));
    }
    static ENDLESS: [u8; 1_000_000] = [b'x'; 1_000_000];
    assert!(matches!(scan(&impostor(19, &ENDLESS).await, b"x").await, Err(ScanError::Unavailable(_))));
}

/// MUST have seen all of them before it says clean.
#[tokio::test]
async fn clean_before_the_end_is_not_clean() {
    let told = scan(&impostor(1_000, b"stream: OK\0").await, &noise(1, 8_000_000)).await;
    assert!(matches!(told, Err(ScanError::Unavailable(_))), "{told:?}");
    let told =
        scan(&impostor(1_000, b"INSTREAM size limit exceeded. ERROR\0").await, &noise(1, 8_000_000)).await;
    assert!(matches!(told, Ok(Verdict::Unscannable { .. })), "{told:?}");
}

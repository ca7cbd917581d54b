//! F18: an S3 that fails, tears, lies, and takes its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use alivio_files::testing::blob_store::key;
use alivio_files::testing::{gathered, noise};
use alivio_files::{BlobError, BlobStore};
use alivio_object_storage::S3;
use alivio_testkit::s3::TestBucket;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::open;

/// Several parts.
const LARGE: usize = 12 * 1024 * 1024;
/// However it breaks, whoever asks has an answer by then.
const BOUND: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Pass,
    /// So many requests fail before one passes.
    FailFirst(u32),
    /// All requests with this method fail.
    Fail(&'static str),
    /// It has no room for what is put.
    Full,
    /// Half of what a `PUT` brings is passed on, as if it were all.
    Tear,
    /// What is read breaks off in the midst of it.
    BreakOff,
    /// It takes the request and says nothing.
    Silence,
}

/// Something between an S3 and whoever asks it.
struct Between {
    endpoint: String,
    mood: watch::Sender<Mood>,
    asked: Arc<AtomicU32>,
}

impl Between {
    async fn of(bucket: &TestBucket) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = bucket.endpoint().strip_prefix("http://").unwrap().to_owned();
        let (mood, asked) = (watch::Sender::new(Mood::Pass), Arc::new(AtomicU32::new(0)));
        let (moods, count) = (mood.subscribe(), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, moods, count) = (server.clone(), moods.clone(), Arc::clone(&count));
                tokio::spawn(async move { serve(client, &server, &moods, &count).await.ok() });
            }
        });
        Self { endpoint, mood, asked }
    }

    fn be(&self, mood: Mood) {
        self.asked.store(0, Ordering::SeqCst);
        self.mood.send_replace(mood);
    }
}

/// The head of a request or of an answer, and how long its body is.
async fn head(stream: &mut TcpStream) -> std::io::Result<(Vec<u8>, usize)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    Ok((head, length.unwrap_or(0)))
}

/// One request, and then the line is closed.
async fn serve(
    mut client: TcpStream,
    server: &str,
    moods: &watch::Receiver<Mood>,
    count: &AtomicU32,
) -> std::io::Result<()> {
    let (request, length) = head(&mut client).await?;
    let mut body = vec![0; length];
    client.read_exact(&mut body).await?;
    let method = String::from_utf8_lossy(&request).split(' ').next().unwrap_or_default().to_owned();
    let (mood, nth) = (*moods.borrow(), count.fetch_add(1, Ordering::SeqCst));
    let refuse = match mood {
        Mood::FailFirst(first) if nth < first => Some("503 Slow Down"),
        Mood::Fail(failing) if failing == method => Some("500 Internal Server Error"),
        Mood::Full if method == "PUT" => Some("507 Insufficient Storage"),
        Mood::Silence => {
            tokio::time::sleep(BOUND * 2).await;
            return Ok(());
        }
        _ => None,
    };
    if let Some(status) = refuse {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return client.write_all(answer.as_bytes()).await;
    }
    let mut request = String::from_utf8_lossy(&request).into_owned();
    if mood == Mood::Tear && method == "PUT" {
        body.truncate(length / 2);
        let lines = request.lines().filter(|line| !line.to_lowercase().starts_with("content-length:"));
        request = lines.filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect();
        request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    }
    let mut upstream = TcpStream::connect(server).await?;
    upstream.write_all(request.as_bytes()).await?;
    upstream.write_all(&body).await?;
    let (answer, length) = head(&mut upstream).await?;
    let length = if method == "HEAD" { 0 } else { length };
    let mut body = vec![0; length];
    upstream.read_exact(&mut body).await?;
    let answer = String::from_utf8_lossy(&answer).replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    client.write_all(answer.as_bytes()).await?;
    if mood == Mood::BreakOff && method == "GET" {
        body.truncate(length / 2);
    }
    client.write_all(&body).await
}

async fn store(s3: &S3, n: u128, content: &[u8]) -> Result<(), BlobError> {
    let mut writer = s3.begin(key(n)).await?;
    for piece in content.chunks(1 << 20) {
        writer.write(Bytes::copy_from_slice(piece)).await?;
    }
    writer.finish().await
}

async fn load(s3: &S3, n: u128, size: usize) -> Result<Vec<u8>, BlobError> {
    gathered(s3.read(key(n), 0..size as u64).await?).await
}

async fn setting() -> Option<(TestBucket, Between, S3)> {
    let bucket = TestBucket::new().await?;
    let between = Between::of(&bucket).await;
    let s3 = open(&bucket, &between.endpoint);
    Some((bucket, between, s3))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_failures_are_not_noticed() {
    let Some((_bucket, between, s3)) = setting().await else { return };
    between.be(Mood::FailFirst(3));
    store(&s3, 1, &noise(1, LARGE)).await.unwrap();
    between.be(Mood::FailFirst(3));
    assert!(load(&s3, 1, LARGE).await.unwrap() == noise(1, LARGE));
    between.be(Mood::FailFirst(3));
    s3.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_failing_is_told_in_bounded_time() {
    let Some((bucket, between, s3)) = setting().await else { return };
    store(&s3, 1, &noise(1, 1_000)).await.unwrap();
    for mood in [Mood::Fail("PUT"), Mood::Fail("POST"), Mood::Fail("HEAD"), Mood::Silence] {
        between.be(mood);
        let began = Instant::now();
        assert!(matches!(store(&s3, 2, &noise(1, LARGE)).await, Err(BlobError::Unavailable(_))), "{mood:?}");
        assert!(began.elapsed() < BOUND, "{mood:?} took {:?}", began.elapsed());
    }
    for mood in [Mood::Fail("GET"), Mood::Silence] {
        between.be(mood);
        let began = Instant::now();
        assert!(matches!(load(&s3, 1, 1_000).await, Err(BlobError::Unavailable(_))), "{mood:?}");
        assert!(s3.check().await.is_err() && s3.sweep(chrono::DateTime::UNIX_EPOCH).await.is_err());
        assert!(began.elapsed() < BOUND, "{mood:?} took {:?}", began.elapsed());
    }
    // It goes on when the other side does.
    between.be(Mood::Pass);
    assert!(load(&s3, 1, 1_000).await.unwrap() == noise(1, 1_000));
    let later = alivio_kernel::Clock::now(&alivio_kernel::SystemClock) + chrono::TimeDelta::hours(1);
    s3.sweep(later).await.unwrap();
    assert_eq!(bucket.unfinished().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_is_told_from_one_that_fails() {
    let Some((_bucket, between, s3)) = setting().await else { return };
    between.be(Mood::Full);
    for size in [1_000, LARGE] {
        let answer = store(&s3, 1, &noise(1, size)).await;
        assert!(matches!(answer, Err(BlobError::Full)), "{size}: {answer:?}");
    }
}

/// Whoever is told that it is stored finds all of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_torn_upload_is_not_finished() {
    let Some((_bucket, between, s3)) = setting().await else { return };
    between.be(Mood::Tear);
    for size in [1_000, LARGE] {
        assert!(store(&s3, 1, &noise(1, size)).await.is_err(), "{size} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_off_is_never_taken_for_all() {
    let Some((_bucket, between, s3)) = setting().await else { return };
    let content = noise(1, LARGE);
    store(&s3, 1, &content).await.unwrap();
    between.be(Mood::BreakOff);
    let began = Instant::now();
    match load(&s3, 1, LARGE).await {
        Ok(read) => assert!(read == content, "{} bytes", read.len()),
        Err(error) => assert!(matches!(error, BlobError::Unavailable(_)), "{error:?}"),
    }
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
}

//! An S3 that all tests of a process share, each with a bucket of its own: moto's, in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test library: a failure is a failed test"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use reqwest::{Client, Response, StatusCode};

use crate::skipping::skip;

/// It says where it is, and ends with whoever reads that. As it comes, it says of every upload that it began in 2010; of the
/// uploads of this server, that is when the server began.
const SERVER: &str = "
import datetime, logging, sys
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer
began = datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%S.000Z')
uploads = S3Response.list_multipart_uploads
def list_multipart_uploads(self):
    status, headers, body = uploads(self)
    return status, headers, body.replace('2010-11-10T20:48:33.000Z', began)
S3Response.list_multipart_uploads = list_multipart_uploads
logging.getLogger('werkzeug').setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
";

struct Server {
    /// Its standard input is closed when this process ends, whatever ends it.
    _process: Child,
    port: u16,
}

static SHARED: OnceLock<Option<Server>> = OnceLock::new();
static BUCKETS: AtomicU32 = AtomicU32::new(0);

impl Server {
    fn start() -> Option<Self> {
        let found = Command::new("python3").args(["-c", "import moto.server"]).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            skip("python3 has no moto on this machine (pip install 'moto[s3]' flask flask-cors)");
            return None;
        }
        let mut process = Command::new("python3")
            .args(["-c", SERVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3");
        let mut port = String::new();
        BufReader::new(process.stdout.take().expect("its output")).read_line(&mut port).expect("its port");
        Some(Self { port: port.trim().parse().expect("a port"), _process: process })
    }
}

/// An empty bucket that nobody else has.
#[derive(Debug)]
pub struct TestBucket {
    endpoint: String,
    name: String,
    http: Client,
}

impl TestBucket {
    /// Makes one; `None`, said loudly, on a machine whose Python has no moto.
    ///
    /// # Panics
    /// If it does not come up; if there is none, and `ALIVIO_TESTS_MUST_NOT_SKIP` is set.
    pub async fn new() -> Option<Self> {
        let port = tokio::task::spawn_blocking(|| {
            SHARED.get_or_init(Server::start).as_ref().map(|server| server.port)
        })
        .await
        .expect("a server")?;
        let name = format!("alivio-test-{}", BUCKETS.fetch_add(1, Ordering::Relaxed));
        let bucket = Self { endpoint: format!("http://127.0.0.1:{port}"), name, http: Client::new() };
        bucket.ask(bucket.http.put(bucket.url(""))).await;
        Some(bucket)
    }

    /// Where its server is.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn url(&self, rest: &str) -> String {
        format!("{}/{}{rest}", self.endpoint, self.name)
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Response {
        // It wants to know which region is meant, and looks no closer.
        let scope = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        let answer = request.header("authorization", scope).send().await.expect("an answer");
        assert!(answer.status().is_success() || answer.status() == StatusCode::NOT_FOUND, "{answer:?}");
        answer
    }

    /// Puts an object past everybody.
    ///
    /// # Panics
    /// If it cannot.
    pub async fn put(&self, key: &str, content: Vec<u8>) {
        self.ask(self.http.put(self.url(&format!("/{key}"))).body(content)).await;
    }

    /// The bytes of an object, if it is there.
    ///
    /// # Panics
    /// If it cannot be asked.
    pub async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let answer = self.ask(self.http.get(self.url(&format!("/{key}")))).await;
        if answer.status() == StatusCode::NOT_FOUND {
            None
        } else {
            Some(answer.bytes().await.unwrap().to_vec())
        }
    }

    /// Begins an upload in parts that nobody will finish.
    ///
    /// # Panics
    /// If it cannot.
    pub async fn begin(&self, key: &str) {
        self.ask(self.http.post(self.url(&format!("/{key}?uploads")))).await;
    }

    /// How many uploads are neither finished nor aborted.
    ///
    /// # Panics
    /// If it cannot be asked.
    pub async fn unfinished(&self) -> usize {
        self.ask(self.http.get(self.url("?uploads"))).await.text().await.unwrap().matches("<Upload>").count()
    }
}

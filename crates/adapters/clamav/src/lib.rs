//! Malware found by ClamAV's `clamd`, over its `INSTREAM` command.
//!
//! Content is passed on as it comes, in constant memory. One connection is one scan: nothing has to be told apart, and
//! whoever gives up hangs up.
//!
//! # What clamd must be told
//!
//! As it comes, clamd says `OK` of what it could not look into. A clinic must have in its `clamd.conf`
//!
//! ```text
//! AlertExceedsMax yes        # too large, too deep, too many, too slow
//! AlertEncrypted yes         # locked archives and documents
//! StreamMaxLength 512M       # not less than the largest upload, nor are the next two
//! MaxFileSize 512M
//! MaxScanSize 1G
//! ```
//!
//! [`Clamd::prove`] tries the first two out. What is larger than the others allow is [`Verdict::Unscannable`].
//!
//! # Why not `clamav-client`
//!
//! It reads the answer only after it has sent everything, so that it misses the one that says why clamd hung up, knows no
//! end of waiting, and takes a stream of other errors than ours. The protocol is two words and a length.

mod address;
mod answer;
mod probes;

use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use alivio_files::{BlobError, ByteStream, ScanError, Scanner, Verdict, eicar};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

pub use crate::address::{ClamdAddress, NotAnAddress};
use crate::answer::{MAX_ANSWER, verdict};

/// By default it looks at a file for two minutes at most.
const PATIENCE: Duration = Duration::from_secs(150);
/// A clamd that takes longer to say hello is as good as none.
const GREETING: Duration = Duration::from_secs(5);
/// One scan takes no longer than so many times the patience.
const WHOLE: u32 = 4;
/// What clamd said before it hung up is here by then.
const LAST_WORDS: Duration = Duration::from_secs(1);
const BUFFER: usize = 128 * 1024;

/// How to reach clamd.
#[derive(Debug, Clone)]
pub struct ClamdOptions {
    /// Where it is.
    pub address: ClamdAddress,
    /// How long it, or the content, may make us wait at any point; a scan takes four times as long at most. Longer than
    /// clamd's `MaxScanTime`.
    pub patience: Duration,
}

impl ClamdOptions {
    /// The one at `address`.
    #[must_use]
    pub const fn new(address: ClamdAddress) -> Self {
        Self { address, patience: PATIENCE }
    }
}

/// A scanner that asks clamd.
#[derive(Debug)]
pub struct Clamd {
    options: ClamdOptions,
}

/// Why a clamd cannot be relied on.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// It does not answer.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// It knows nothing.
    #[error("clamd does not find EICAR, which every scanner knows: it has no signatures; run freshclam")]
    FindsNothing,
    /// What it gave up looking at, it calls clean.
    #[error("clamd calls clean what exceeds its limits: set `AlertExceedsMax yes` in clamd.conf")]
    OverlooksExcess,
    /// What is locked, it calls clean.
    #[error("clamd calls clean what is encrypted: set `AlertEncrypted yes` in clamd.conf")]
    OverlooksLocks,
}

trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

type Line = Pin<Box<dyn Stream>>;

/// Why not all was sent.
enum Broken {
    Line(io::Error),
    Content(BlobError),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Line(error)
    }
}

impl Clamd {
    /// Over `options`. Connects when it is asked something.
    #[must_use]
    pub const fn new(options: ClamdOptions) -> Self {
        Self { options }
    }

    /// Tries out whether it finds what there is to find, and says so of what it cannot look into.
    ///
    /// # Errors
    /// If it does not, with what to do about it.
    pub async fn prove(&self) -> Result<(), ProofError> {
        let ask = async |probe: Vec<u8>| {
            let size = probe.len() as u64;
            let content = futures_util::stream::once(async { Ok(Bytes::from(probe)) }).boxed();
            self.scan(content, size).await
        };
        match ask(eicar()).await? {
            Verdict::Infected { .. } => {}
            Verdict::Clean | Verdict::Unscannable { .. } => return Err(ProofError::FindsNothing),
        }
        if ask(probes::deep()).await? == Verdict::Clean {
            return Err(ProofError::OverlooksExcess);
        }
        if ask(probes::locked()).await? == Verdict::Clean {
            return Err(ProofError::OverlooksLocks);
        }
        Ok(())
    }

    async fn connect(&self) -> io::Result<(ReadHalf<Line>, BufWriter<WriteHalf<Line>>)> {
        let connecting = async {
            Ok::<Line, io::Error>(match &self.options.address {
                ClamdAddress::Tcp(address) => {
                    let line = TcpStream::connect(address.as_str()).await?;
                    line.set_nodelay(true)?;
                    Box::pin(line)
                }
                ClamdAddress::Unix(path) => Box::pin(UnixStream::connect(path).await?),
            })
        };
        let line = timeout(self.options.patience.min(GREETING), connecting).await??;
        let (reader, writer) = tokio::io::split(line);
        Ok((reader, BufWriter::with_capacity(BUFFER, writer)))
    }

    /// Sends all of the content, and that it was all.
    async fn send(
        &self,
        mut writer: BufWriter<WriteHalf<Line>>,
        mut content: ByteStream,
        size: u64,
    ) -> Result<BufWriter<WriteHalf<Line>>, Broken> {
        let patience = self.options.patience;
        let silent = |_| Broken::Content(BlobError::Unavailable("the content does not come".into()));
        timeout(patience, writer.write_all(b"zINSTREAM\0")).await.map_err(io::Error::from)??;
        let mut left = size;
        while let Some(piece) = timeout(patience, content.next()).await.map_err(silent)? {
            let piece = piece.map_err(Broken::Content)?;
            left = left.checked_sub(piece.len() as u64).ok_or(Broken::Content(BlobError::Damaged))?;
            // An empty one would be the end.
            for piece in piece.chunks(u32::MAX as usize) {
                let sending = async {
                    writer.write_u32(u32::try_from(piece.len()).unwrap_or(u32::MAX)).await?;
                    writer.write_all(piece).await
                };
                timeout(patience, sending).await.map_err(io::Error::from)??;
            }
        }
        if left > 0 {
            return Err(Broken::Content(BlobError::Damaged));
        }
        let ending = async {
            writer.write_u32(0).await?;
            writer.flush().await
        };
        timeout(patience, ending).await.map_err(io::Error::from)??;
        Ok(writer)
    }

    async fn ask_about(&self, content: ByteStream, size: u64) -> Result<Verdict, ScanError> {
        let unavailable = |error: io::Error| ScanError::Unavailable(error.into());
        let (reader, writer) = self.connect().await.map_err(unavailable)?;
        let (mut sending, mut answer) = (pin!(self.send(writer, content, size)), pin!(answer(reader)));
        let sent = tokio::select! {
            sent = &mut sending => sent,
            early = &mut answer => {
                return match verdict(&early.map_err(unavailable)?)? {
                    Verdict::Clean => Err(ScanError::Unavailable("clamd called clean what it had not seen".into())),
                    told => Ok(told),
                };
            }
        };
        match sent {
            Ok(_open) => {
                let told = timeout(self.options.patience, answer).await.map_err(io::Error::from);
                verdict(&told.flatten().map_err(unavailable)?)
            }
            Err(Broken::Content(error)) => Err(ScanError::Content(error)),
            Err(Broken::Line(error)) => match timeout(LAST_WORDS, answer).await {
                Ok(Ok(told)) if !told.is_empty() => match verdict(&told)? {
                    Verdict::Clean => Err(unavailable(error)),
                    told => Ok(told),
                },
                _ => Err(unavailable(error)),
            },
        }
    }

    async fn ask_version(&self) -> io::Result<String> {
        let (reader, mut writer) = self.connect().await?;
        writer.write_all(b"zVERSION\0").await?;
        writer.flush().await?;
        answer(reader).await
    }
}

/// What it says until it says no more.
async fn answer(reader: ReadHalf<Line>) -> io::Result<String> {
    let mut told = Vec::new();
    let mut reader = reader.take(MAX_ANSWER);
    while !told.ends_with(b"\0") && reader.read_buf(&mut told).await? > 0 {}
    let told = String::from_utf8_lossy(&told);
    Ok(told.trim_end_matches(['\0', '\n']).replace(char::is_control, " "))
}

#[async_trait]
impl Scanner for Clamd {
    async fn scan(&self, content: ByteStream, size: u64) -> Result<Verdict, ScanError> {
        match timeout(self.options.patience * WHOLE, self.ask_about(content, size)).await {
            Ok(answer) => answer,
            Err(late) => Err(ScanError::Unavailable(late.into())),
        }
    }

    async fn version(&self) -> Result<String, ScanError> {
        let asked = timeout(self.options.patience.min(GREETING), self.ask_version()).await;
        match asked.map_err(io::Error::from).flatten() {
            Ok(version) if version.starts_with("ClamAV ") => Ok(version),
            Ok(_) => Err(ScanError::Unavailable("what answers there is not clamd".into())),
            Err(error) => Err(ScanError::Unavailable(error.into())),
        }
    }
}

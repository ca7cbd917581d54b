use alivio_kernel::BoxError;
use async_trait::async_trait;
use bytes::Bytes;

/// A picture made from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendition {
    /// As PNG or JPEG.
    pub bytes: Bytes,
    /// `image/png` or `image/jpeg`.
    pub mime: &'static str,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// What a file looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looks {
    /// At most 256 pixels a side.
    pub thumbnail: Rendition,
    /// At most 1,600 pixels a side.
    pub preview: Rendition,
    /// Pages of a document; 1 for a picture.
    pub pages: u32,
}

/// What a recording sounds like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sound {
    /// How long it takes.
    pub duration_ms: u64,
    /// Its loudness in equal stretches, 0 to 255, the loudest being 255; nothing where its codec is only measured.
    pub waveform: Vec<u8>,
}

/// What is written across a copy: who looks at it and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Short lines, the same on every page.
    pub lines: Vec<String>,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum WorkshopError {
    /// The content is not what it should be, is too large to be worked on, or asks for too much memory or time. Never
    /// tried again.
    #[error("the content cannot be worked on")]
    Unfit,
    /// Nothing of this kind can be made from such a file.
    #[error("not made from such files")]
    Unsupported,
    /// Too much waits already.
    #[error("busy")]
    Busy,
    /// The workshop itself failed.
    #[error("the workshop is unavailable")]
    Unavailable(#[source] BoxError),
}

/// Works on untrusted content where it can do no harm: in a process of its own, with little memory and time (FI-06).
/// `mime` is the content's type as sniffed, never as told.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Workshop: Send + Sync {
    /// Its thumbnail and preview: of a PNG or JPEG upright as its EXIF says, of a PDF the first page.
    async fn look(&self, mime: &str, content: Bytes) -> Result<Looks, WorkshopError>;

    /// A copy without what a camera adds: where it was taken, by what, when (FI-12). Pixels MUST stay as they are,
    /// and the way up with them.
    async fn strip(&self, mime: &str, content: Bytes) -> Result<Bytes, WorkshopError>;

    /// How long a recording is and how it looks.
    async fn listen(&self, mime: &str, content: Bytes) -> Result<Sound, WorkshopError>;

    /// A copy with `stamp` across every page or over the picture, of the same type.
    async fn stamp(&self, mime: &str, content: Bytes, stamp: &Stamp) -> Result<Bytes, WorkshopError>;
}

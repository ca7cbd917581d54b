//! The caller's side: children, so many at once.

use std::convert::Infallible;
use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use alivio_files::{Looks, Sound, Stamp, Workshop, WorkshopError};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use crate::child::{NOT_CONFINED, WORKSHOP};
use crate::frame::{self, Product, Task};
use crate::{LONGEST_CONTENT, Refusal};

/// How children are started, and how many.
#[derive(Debug, Clone)]
pub struct WorkshopOptions {
    /// The program that calls [`run_if_child`](crate::run_if_child) first of all.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Children at once, at least one. Each may use half a gibibyte.
    pub concurrency: usize,
    /// Jobs that may wait for their turn.
    pub queue: usize,
    /// How long a child may take from its start to the end of its answer.
    pub patience: Duration,
}

impl WorkshopOptions {
    /// Children of the program that runs, even if another file has its name by now.
    pub fn of_this_program(concurrency: usize, queue: usize) -> Self {
        let own = if cfg!(target_os = "linux") {
            Some(PathBuf::from("/proc/self/exe"))
        } else {
            std::env::current_exe().ok()
        };
        Self {
            program: own.unwrap_or_default(),
            arguments: vec![WORKSHOP.into()],
            concurrency,
            queue,
            patience: Duration::from_secs(30),
        }
    }
}

/// [`Workshop`] whose every job is done by a child of its own.
#[derive(Debug)]
pub struct ChildWorkshop {
    options: Arc<WorkshopOptions>,
    /// Permits for those that work or wait.
    admission: Arc<Semaphore>,
    /// Permits for those that work.
    workers: Arc<Semaphore>,
}

impl ChildWorkshop {
    /// Starts nothing yet.
    pub fn new(options: WorkshopOptions) -> Self {
        let workers = options.concurrency.clamp(1, Semaphore::MAX_PERMITS);
        let admitted = workers.saturating_add(options.queue).min(Semaphore::MAX_PERMITS);
        Self {
            options: Arc::new(options),
            admission: Arc::new(Semaphore::new(admitted)),
            workers: Arc::new(Semaphore::new(workers)),
        }
    }

    async fn have_done(&self, task: Task, mime: &str, content: Bytes) -> Result<Product, WorkshopError> {
        let head = frame::head(&task, mime, &content).ok_or(WorkshopError::Unfit)?;
        let admission = Arc::clone(&self.admission).try_acquire_owned().map_err(|_| WorkshopError::Busy)?;
        let worker = Arc::clone(&self.workers).acquire_owned().await.map_err(unavailable)?;
        let job = Job { head, longest_answer: longest_answer(&task, content.len()), content };
        let (tell, hear) = oneshot::channel();
        // A task of its own: whoever asked may go away, and then the child must be gone before its place is free.
        tokio::spawn(attend(Arc::clone(&self.options), job, tell, [admission, worker]));
        let answer = hear.await.map_err(unavailable)??;
        frame::parse_answer(answer).map_err(|refusal| match refusal {
            Refusal::Unfit => WorkshopError::Unfit,
            Refusal::Unsupported => WorkshopError::Unsupported,
        })
    }
}

#[async_trait]
impl Workshop for ChildWorkshop {
    async fn look(&self, mime: &str, content: Bytes) -> Result<Looks, WorkshopError> {
        match self.have_done(Task::Look, mime, content).await? {
            Product::Looks(looks) => Ok(looks),
            _ => Err(WorkshopError::Unfit),
        }
    }

    async fn strip(&self, mime: &str, content: Bytes) -> Result<Bytes, WorkshopError> {
        match self.have_done(Task::Strip, mime, content).await? {
            Product::Copy(copy) => Ok(copy),
            _ => Err(WorkshopError::Unfit),
        }
    }

    async fn listen(&self, mime: &str, content: Bytes) -> Result<Sound, WorkshopError> {
        match self.have_done(Task::Listen, mime, content).await? {
            Product::Sound(sound) => Ok(sound),
            _ => Err(WorkshopError::Unfit),
        }
    }

    async fn stamp(&self, mime: &str, content: Bytes, stamp: &Stamp) -> Result<Bytes, WorkshopError> {
        match self.have_done(Task::Stamp(stamp.clone()), mime, content).await? {
            Product::Copy(copy) => Ok(copy),
            _ => Err(WorkshopError::Unfit),
        }
    }
}

struct Job {
    head: Bytes,
    content: Bytes,
    longest_answer: u64,
}

/// A child may say what it likes: so much is listened to.
fn longest_answer(task: &Task, content: usize) -> u64 {
    let longest = match task {
        Task::Look => 32 << 20,
        Task::Listen => 64 << 10,
        Task::Strip => content + (1 << 10),
        Task::Stamp(_) => LONGEST_CONTENT,
    };
    longest as u64
}

type Answer = Result<Bytes, WorkshopError>;

/// Has one job done and tells its answer; the places are free when the child is gone.
async fn attend(
    options: Arc<WorkshopOptions>,
    job: Job,
    mut tell: oneshot::Sender<Answer>,
    places: [OwnedSemaphorePermit; 2],
) {
    let answer = match start(&options) {
        Err(error) => Err(unavailable(error)),
        Ok(mut child) => {
            let heard = tokio::select! {
                heard = timeout(options.patience, converse(&mut child, job)) => heard.ok().flatten(),
                () = tell.closed() => None,
            };
            // It has ended by itself, or has no more business here.
            drop(child.start_kill());
            judge(child.wait().await, heard)
        }
    };
    drop(places);
    // Nobody may be there to hear it.
    drop(tell.send(answer));
}

fn start(options: &WorkshopOptions) -> io::Result<Child> {
    Command::new(&options.program)
        .args(&options.arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}

/// What the child says until it has ended; nothing if it says too much.
async fn converse(child: &mut Child, job: Job) -> Option<Bytes> {
    let (mut input, output) = (child.stdin.take()?, child.stdout.take()?);
    let tell = async {
        // A child that does not listen is seen at what it says.
        drop(input.write_all(&job.head).await);
        drop(input.write_all(&job.content).await);
        // Held open: the child ends when its input does.
        pending::<Infallible>().await
    };
    let mut heard = Vec::new();
    let mut output = output.take(job.longest_answer + 1);
    let end = tokio::select! {
        end = output.read_to_end(&mut heard) => end,
        never = tell => match never {},
    };
    if end.is_err() || heard.len() as u64 > job.longest_answer {
        return None;
    }
    child.wait().await.ok()?;
    Some(heard.into())
}

fn judge(end: io::Result<ExitStatus>, heard: Option<Bytes>) -> Answer {
    let status = end.map_err(unavailable)?;
    if status.code() == Some(i32::from(NOT_CONFINED)) {
        return Err(unavailable("the workshop's child could not confine itself"));
    }
    heard.filter(|_| status.success()).ok_or(WorkshopError::Unfit)
}

fn unavailable(error: impl Into<alivio_kernel::BoxError>) -> WorkshopError {
    WorkshopError::Unavailable(error.into())
}

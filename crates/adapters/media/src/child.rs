//! The child's side.

use std::env;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, exit};
use std::sync::mpsc;
use std::{panic, thread};

use bytes::Bytes;

use crate::frame::{self, Product, Task};
use crate::{Refusal, confinement, listen, look, stamp, strip};

/// The first argument of a child.
pub const WORKSHOP: &str = "workshop";
/// The second one, once the limits hold.
const LIMITED: &str = "limited";
/// The exit code of a child that could not confine itself: it has not looked at its input.
pub(crate) const NOT_CONFINED: u8 = 71;
/// The exit code of one that was given no whole job, or whose caller has gone.
const NO_JOB: u8 = 74;
/// The exit code of one whose work panicked.
const PANICKED: i32 = 70;
/// Stack for the work: documents nest.
const STACK: usize = 16 << 20;

/// To be called by a program before anything else, while it has one thread and little memory.
///
/// Gives the exit code if this process is a child of the workshop, and nothing if it was started for something else.
#[must_use]
pub fn run_if_child() -> Option<ExitCode> {
    child_of(WORKSHOP, work)
}

/// As [`run_if_child`], for another first argument and another work: bytes of a job's words and its content to bytes of
/// an answer. Tests of the caller need children that misbehave.
#[doc(hidden)]
#[must_use]
pub fn child_of(word: &str, work: fn(Bytes, Bytes) -> Bytes) -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next()? != word {
        return None;
    }
    if arguments.next().is_some_and(|argument| argument == LIMITED) {
        return Some(serve(work).into());
    }
    if confinement::limit().is_ok() {
        // Only returns if it fails.
        drop(own_program().arg0(word).args([word, LIMITED]).env_clear().exec());
    }
    Some(NOT_CONFINED.into())
}

/// The program that runs, even if another file has its name by now.
fn own_program() -> Command {
    if cfg!(target_os = "linux") {
        return Command::new("/proc/self/exe");
    }
    Command::new(env::current_exe().unwrap_or_default())
}

/// Reads a job and has it worked on, while this thread watches over the input: the caller holds it open as long as it
/// wants the answer.
fn serve(work: fn(Bytes, Bytes) -> Bytes) -> u8 {
    // What a panic says could hold what is being worked on, and nobody would read it.
    panic::set_hook(Box::new(|_| {}));
    let (give, take) = mpsc::channel::<(Bytes, Bytes)>();
    let (stand_by, is_there) = mpsc::channel();
    let worker = thread::Builder::new().stack_size(STACK).spawn(move || {
        // Heard, or nobody waits any more.
        let _ = stand_by.send(());
        let Ok((words, content)) = take.recv() else { return };
        let Ok(answer) = panic::catch_unwind(|| work(words, content)) else { exit(PANICKED) };
        let mut output = io::stdout().lock();
        let is_said = output.write_all(&answer).and_then(|()| output.flush()).is_ok();
        exit(i32::from(!is_said));
    });
    // No thread is started behind closed doors, and none may be half started when they close.
    if worker.is_err() || is_there.recv().is_err() || confinement::close_doors().is_err() {
        return NOT_CONFINED;
    }
    let mut input = io::stdin().lock();
    let Ok(job) = frame::read_job(&mut input) else { return NO_JOB };
    if give.send(job).is_err() {
        return NO_JOB;
    }
    // Nothing more is sent: this returns when the caller closes its end, or is no more.
    drop(input.read(&mut [0]));
    NO_JOB
}

fn work(words: Bytes, content: Bytes) -> Bytes {
    frame::answer(&product(words, content))
}

fn product(words: Bytes, content: Bytes) -> Result<Product, Refusal> {
    let (task, mime) = frame::parse_words(words).ok_or(Refusal::Unfit)?;
    match task {
        Task::Look => look::look(&mime, content).map(Product::Looks),
        Task::Strip => strip::strip(&mime, &content).map(|copy| Product::Copy(copy.into())),
        Task::Listen => listen::listen(&mime, content).map(Product::Sound),
        Task::Stamp(lines) => stamp::stamp(&mime, content, &lines).map(|copy| Product::Copy(copy.into())),
    }
}

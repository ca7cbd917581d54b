//! [`Workshop`](alivio_files::Workshop) in processes of their own: untrusted content is taken apart where it can do no
//! harm (FI-06).
//!
//! Each job starts the server's own program once more with the word [`WORKSHOP`]. That child, see [`run_if_child`],
//! first gives up what it could do harm with, then reads one job from its input, answers on its output, and ends. The
//! caller believes nothing of the answer but its bytes, bounds its length and the time it takes, and waits until the
//! child is gone before the next one starts.
//!
//! | file | what |
//! |---|---|
//! | `workshop.rs` | the caller's side: so many children at once, so many jobs that wait |
//! | `child.rs`, `confinement.rs` | the child's side, and what it gives up |
//! | `frame.rs` | how a job and its answer look on the way |
//! | `look.rs`, `strip/`, `listen.rs`, `stamp/` | the work itself, pure functions of bytes |

mod child;
mod confinement;
mod document;
mod frame;
mod listen;
mod look;
mod picture;
mod stamp;
mod strip;
mod workshop;

pub use child::{WORKSHOP, child_of, run_if_child};
pub use workshop::{ChildWorkshop, WorkshopOptions};

/// Why a job has no result, in the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The content is not what it should be, or too large.
    Unfit,
    /// Nothing of this kind is made from such a file.
    Unsupported,
}

/// The longest content that is worked on.
const LONGEST_CONTENT: usize = 128 << 20;

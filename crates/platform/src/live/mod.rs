//! What happens, carried to whoever is connected.
//!
//! The [`Hub`] fans out what it is told, and promises nothing: queues are bounded and events may come
//! late, twice or not at all. The promise (nothing missed, nothing twice, in order, nothing that one may
//! not see) is kept per socket by its [`LiveSession`], which knows how far its device has come, in messages and in changes
//! of messages, and reads from the log whatever the hub did not bring.
//!
//! What happens on other nodes comes to the hub through `nodes`.

mod announcer;
mod desk;
mod door;
mod frame;
mod hub;
mod nodes;
mod order;
mod presence;
mod receipts;
mod session;
mod silence;

pub(crate) use announcer::{Announcing, LiveAnnouncer};
pub use desk::Desk;
pub(crate) use door::Door;
pub use door::{ComeBack, DoorPolicy, Entry};
pub use frame::{Frame, Happening, TYPING_LIFETIME, Vocabulary};
pub use hub::{Fate, Hub, Inbox};
pub use nodes::Fellowship;
pub(crate) use nodes::{EarPorts, Nodes, SharedPace, TailPorts, TellEveryNode};
pub use presence::{OwnPresence, PresenceBoard, Seen};
pub use session::{LiveSession, Resumed, Verdict};
pub(crate) use silence::Silence;

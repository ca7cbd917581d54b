//! What the product measures of itself: one table of all metrics ([`GROUPS`]), which the code, the document beside this
//! crate and the tests are made from or held against.
//!
//! Only numbers. Values of labels are words of the code, few and known beforehand: never an id, an address or anything
//! that people said. Whoever measures names a constant, `sockets::COMMANDS.of((command, outcome))`, and gets a handle
//! that was made at the start: an atomic addition, no look-up. While nobody has installed a recorder, handles do nothing.
//!
//! Domains measure nothing: what they do is measured by whoever calls them, or by whoever stores it.

mod labels;
mod measure;
mod table;

pub use labels::{
    Appending, Closing, Command, Delivery, Direction, Handling, Labels, Method, Outcome, SignInStep, Status,
    Use,
};
pub use measure::{Group, Handle, Kind, LookedUp, Measure, Measured, Names};
pub use table::{
    Build, GROUPS, Request, database, files, http, installation, messages, outbox, process, redis, search,
    sockets,
};

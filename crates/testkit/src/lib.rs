//! Test databases, a running server and typed actors.
//!
//! | module | gives |
//! |---|---|
//! | [`database`] | an empty database of one's own in 40 ms, on a cluster that all tests of a run share |
//! | [`server`] | the real binary on a free port, to be killed, stopped and started again |
//! | [`redis`] | a Redis of one's own, likewise |
//! | [`clamd`] | a clamd of one's own, likewise |
//! | [`s3`] | a bucket of one's own, on a server that all tests of a process share |
//! | [`actor`], [`socket`] | someone signed in, over HTTP and WebSocket |
//! | [`history`] | actors whose doings are written down, for the checker |
//! | [`stopwatch`] | how long something took, on a machine that also does other things |
//! | [`proxy`] | a way to something, on which things get lost |
//! | [`skipping`] | what is said of tests that a machine cannot run |
//! | [`contract`] | what the document says of the socket's frames; every frame that arrives is held against it |
//! | [`conformance`] | suites for the ports that no domain owns |

pub mod actor;
pub mod clamd;
pub mod conformance;
pub mod contract;
pub mod database;
pub mod history;
mod process;
pub mod proxy;
pub mod redis;
pub mod s3;
pub mod server;
pub mod skipping;
pub mod socket;
pub mod stopwatch;

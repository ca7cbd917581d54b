//! Test databases, a running server and typed actors.
//!
//! | module | gives |
//! |---|---|
//! | [`database`] | an empty database of one's own in 40 ms, on a cluster that all tests of a run share |
//! | [`server`] | the real binary on a free port, to be killed, stopped and started again |
//! | [`actor`], [`socket`] | someone signed in, over HTTP and WebSocket |
//! | [`contract`] | what the document says of the socket's frames; every frame that arrives is held against it |
//! | [`conformance`] | suites for the ports that no domain owns |

pub mod actor;
pub mod conformance;
pub mod contract;
pub mod database;
pub mod server;
pub mod socket;

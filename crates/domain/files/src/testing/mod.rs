//! How an adapter proves itself.

mod fixtures;

pub use fixtures::header;

//! All stores and the outbox on PostgreSQL, one file per port, and the embedded cluster.
//!
//! A store method is a transaction: one statement, or one function of the database, in one round trip
//! wherever that will do. Statements are prepared once per connection, raw SQL included
//! (`sql::prepared`).

mod administration;
mod audit;
mod blocks;
mod broadcasts;
pub mod cluster;
mod contacts;
mod conversations;
mod data_keys;
mod database;
mod directory;
mod effects;
mod emergencies;
mod epoch;
mod files;
mod guards;
mod hours;
mod inbox;
mod invitations;
mod messages;
mod moderation;
mod outbox;
mod passwords;
mod presence;
mod profiles;
mod registrations;
mod scheduled;
mod schema;
mod second_factors;
mod sessions;
mod sql;
mod titles;
mod together;
mod users;
mod vitals;

pub use database::{Database, DatabaseError, DatabaseOptions, migrate, migrations_fingerprint, revert_all};
pub use messages::GroupCommit;
pub use vitals::{PoolState, Vitals};

mod grants;
mod reader;

pub use grants::{Ended, GrantStore, Members, Membership, NewGrant, StoredGrant};
#[cfg(feature = "testing")]
pub use grants::{MockGrantStore, MockMembership};
pub use reader::AuditReader;
#[cfg(feature = "testing")]
pub use reader::MockAuditReader;

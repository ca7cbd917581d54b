mod grant;
mod trail;

pub use grant::{GRANT_LIFETIME, Grant, Reason, reason_context};
pub use trail::{ActionPrefix, After, ObjectKind, Recorded, TrailFilter};

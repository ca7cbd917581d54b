mod access;
mod content;
mod draft;
mod file;
mod format;
mod link;
mod name;
mod policy;

pub use access::*;
pub(crate) use content::TAIL;
pub use content::{Directory, check_ends, doc, docx};
pub use draft::*;
pub use file::*;
pub use format::*;
pub use link::*;
pub use name::DisplayName;
pub use policy::*;

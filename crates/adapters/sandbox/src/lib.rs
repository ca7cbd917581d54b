//! Stand-ins that let the product run with zero accounts elsewhere. They refuse to be used in production,
//! where the server does not call them.

mod demo_clinic;
mod mailbox;
mod scanner;

pub use demo_clinic::{DemoClinic, PASSWORD, demo_clinic};
pub use mailbox::SandboxMailbox;
pub use scanner::SandboxScanner;

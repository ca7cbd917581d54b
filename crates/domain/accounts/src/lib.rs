//! Who people are.
//!
//! | word | meaning |
//! |---|---|
//! | user | a person with a login; their name and address rest encrypted |
//! | session | one sign-in on one device: ends by logout, 30 idle minutes, or after 12 hours |
//! | access token | proves a session for ten minutes; every use checks that the session still lives |
//! | refresh token | swaps itself for a new pair, once; a second use ends the session |
//! | ticket | opens one WebSocket within 30 seconds, so that no token appears in an address |
//! | activity | requests, and commands on a socket that do something; pings, typing and receipts are none |
//! | second factor | codes of an authenticator app (TOTP), each good once; recovery codes for the day it is lost |
//! | invitation | lets one address register as a professional, once, within seven days |
//! | temporary password | signs in once, within a day, and only leads to another password |
//! | guard | counts wrong passwords per address, and locks for a while |
//! | known device | one that signed in before: strangers' wrong guesses do not lock it out |
//! | contact | someone one knows, by mutual consent; each side keeps its own nickname and favourite |
//! | block | one person wants nothing of another; care goes on without the direct chat |
//! | presence | whether a device is connected, and what its owner shows of that to whom |
//! | care relationship | this professional attends this patient |

mod error;
mod event;
mod model;
mod ports;
mod service;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::Error;
pub use event::*;
pub use model::*;
pub use ports::*;
pub use service::*;

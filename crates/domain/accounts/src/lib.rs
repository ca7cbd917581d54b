//! Who people are.
//!
//! | word | meaning |
//! |---|---|
//! | user | a person with a login; their name and address rest encrypted |
//! | session | one sign-in on one device: ends by logout, 30 idle minutes, or after 12 hours |
//! | access token | proves a session for ten minutes; every use checks that the session still lives |
//! | refresh token | swaps itself for a new pair, once; a second use ends the session |
//! | ticket | opens one WebSocket within 30 seconds, so that no token appears in an address |
//! | care relationship | this professional attends this patient |

mod error;
mod event;
mod model;
mod ports;
mod service;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::Error;
pub use event::SessionRevoked;
pub use model::{
    ABSOLUTE_LIFETIME, ACCESS_LIFETIME, AccessClaims, Email, IDLE_LIFETIME, Identity, Password,
    RevocationReason, SecretHash, TICKET_LIFETIME, User, UserSummary, redirect_to,
};
pub use ports::{
    Credentials, LiveSession, NewSession, PasswordHasher, Rotation, SessionStore, StoredUser, TokenMint,
    UserStore,
};
#[cfg(feature = "testing")]
pub use ports::{MockPasswordHasher, MockSessionStore, MockTokenMint, MockUserStore};
pub use service::{Accounts, AccountsPorts, NewUser, SignIn, Tokens};

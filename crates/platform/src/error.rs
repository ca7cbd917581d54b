use alivio_kernel::{DomainError, ErrorKind};
use serde_json::Value;

/// An error of one of the domains, where several work together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// From accounts.
    #[error(transparent)]
    Accounts(#[from] alivio_accounts::Error),
    /// From the audit trail.
    #[error(transparent)]
    Audit(#[from] alivio_audit::Error),
    /// From conversations.
    #[error(transparent)]
    Conversations(#[from] alivio_conversations::Error),
    /// From files.
    #[error(transparent)]
    Files(#[from] alivio_files::Error),
    /// From messages.
    #[error(transparent)]
    Messages(#[from] alivio_messages::Error),
}

impl Error {
    fn inner(&self) -> &dyn DomainError {
        match self {
            Self::Accounts(error) => error,
            Self::Audit(error) => error,
            Self::Conversations(error) => error,
            Self::Files(error) => error,
            Self::Messages(error) => error,
        }
    }
}

impl DomainError for Error {
    fn kind(&self) -> ErrorKind {
        self.inner().kind()
    }

    fn code(&self) -> &'static str {
        self.inner().code()
    }

    fn details(&self) -> Option<Value> {
        self.inner().details()
    }
}

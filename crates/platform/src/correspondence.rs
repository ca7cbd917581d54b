use alivio_accounts::{Accounts, LetterBox, OutgoingLetter, User};
use alivio_kernel::ids::{EventId, UserId, Uuid};
use alivio_kernel::{BoxError, Event, Role, Sensitive};
use alivio_notifications::{Letter, Notifications, OutgoingMail};
use async_trait::async_trait;

use crate::deliver;

/// Writes to people: for reactions, which are slow ones ([`is_slow`](alivio_outbox::Reaction::is_slow)) then.
#[derive(Clone)]
pub(crate) struct Correspondence {
    accounts: Accounts,
    notifications: Notifications,
}

impl Correspondence {
    pub(crate) const fn new(accounts: Accounts, notifications: Notifications) -> Self {
        Self { accounts, notifications }
    }

    /// Writes `letter` to each of `people` who has an active account, because of `event`. That it no longer is active
    /// is told all the same.
    pub(crate) async fn write(
        &self,
        event: &Event,
        people: &[UserId],
        letter: &Letter,
    ) -> Result<(), BoxError> {
        let users = self.accounts.users(people).await?;
        let told = |user: &User| user.is_active || matches!(letter, Letter::AccountDeactivated);
        for (id, user) in users.into_iter().filter(|(_, user)| told(user)) {
            let mail = OutgoingMail {
                id: of_person(event, id),
                to: Sensitive::new(user.identity.email.as_str().to_owned()),
                language: user.language,
                letter: letter.clone(),
            };
            deliver(&self.notifications, &mail).await?;
        }
        Ok(())
    }

    /// Those of `people` who are patients.
    pub(crate) async fn patients(&self, people: &[UserId]) -> Result<Vec<UserId>, BoxError> {
        let users = self.accounts.users(people).await?;
        Ok(users.into_values().filter(|user| user.role == Role::Patient).map(|user| user.id).collect())
    }
}

/// One event may write to several: each of their mails has an id of its own, the same at every attempt.
fn of_person(event: &Event, person: UserId) -> EventId {
    EventId::from(Uuid::from_u128(event.id.uuid().as_u128() ^ person.uuid().as_u128()))
}

/// Letters of accounts, by mail.
pub(crate) struct LettersByMail(pub(crate) Notifications);

#[async_trait]
impl LetterBox for LettersByMail {
    async fn send(&self, letter: &OutgoingLetter) -> Result<(), alivio_accounts::Error> {
        use alivio_accounts::Letter as Said;
        let words = match letter.letter.clone() {
            Said::ConfirmEmail { token } => Letter::ConfirmEmail { token },
            Said::AlreadyRegistered => Letter::AlreadyRegistered,
            Said::Invitation { token, role } => Letter::Invitation { token, role },
            Said::TemporaryPassword { password } => Letter::TemporaryPassword { password },
            Said::PasswordReset { token } => Letter::PasswordReset { token },
            Said::PasswordChanged => Letter::PasswordChanged,
        };
        let mail =
            OutgoingMail { id: letter.id, to: letter.to.clone(), language: letter.language, letter: words };
        deliver(&self.0, &mail).await.map_err(alivio_accounts::Error::Unavailable)
    }
}

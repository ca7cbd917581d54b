use alivio_kernel::BoxError;
use alivio_notifications::{MailError, Notifications, Outcome, OutgoingMail};
use alivio_outbox::NotBefore;

/// Sends a letter from within a reaction, which is a slow one
/// ([`is_slow`](alivio_outbox::Reaction::is_slow)). A refusal for good is logged by its code, and the event is done.
///
/// # Errors
/// If the mail is to be tried again, after the time that the other side asked for.
pub async fn deliver(notifications: &Notifications, mail: &OutgoingMail) -> Result<(), BoxError> {
    match notifications.send(mail).await {
        Ok(Outcome::Accepted) => Ok(()),
        Ok(Outcome::Refused { status }) => {
            tracing::error!(mail.id = %mail.id, mail.kind = mail.letter.kind(), mail.status = status, "mail.refused");
            Ok(())
        }
        Err(MailError::Unavailable { retry_after: Some(wait), source }) => {
            Err(NotBefore { wait, source }.into())
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use alivio_kernel::ids::{EventId, Uuid};
    use alivio_kernel::{Language, Sensitive};
    use alivio_notifications::{Letter, MockMailer, PublicOrigin};

    use super::*;

    async fn delivered(answer: fn() -> Result<(), MailError>) -> Result<(), BoxError> {
        let mut mailer = MockMailer::new();
        mailer.expect_send().times(1).returning(move |_| answer());
        let origin = PublicOrigin::parse("https://app.clinic.example").unwrap();
        let mail = OutgoingMail {
            id: EventId::from(Uuid::nil()),
            to: Sensitive::new("ana@clinic.example".to_owned()),
            language: Language::Spanish,
            letter: Letter::PasswordChanged,
        };
        deliver(&Notifications::new(Arc::new(mailer), origin), &mail).await
    }

    #[tokio::test]
    async fn what_was_taken_or_refused_for_good_is_done() {
        delivered(|| Ok(())).await.unwrap();
        delivered(|| Err(MailError::Refused { status: Some(550) })).await.unwrap();
    }

    #[tokio::test]
    async fn what_may_pass_comes_back_after_the_time_that_was_asked_for() {
        let failed = delivered(|| Err(MailError::unavailable("down"))).await.unwrap_err();
        assert!(failed.downcast_ref::<NotBefore>().is_none());
        let busy = || {
            Err(MailError::Unavailable { retry_after: Some(Duration::from_secs(30)), source: "busy".into() })
        };
        let failed = delivered(busy).await.unwrap_err();
        assert_eq!(failed.downcast_ref::<NotBefore>().unwrap().wait, Duration::from_secs(30));
    }
}

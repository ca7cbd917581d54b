//! What becomes of a letter.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use alivio_kernel::ids::{EventId, Uuid};
use alivio_kernel::{Language, Sensitive};
use alivio_notifications::{
    Letter, MailError, MockMailer, Notifications, Outcome, OutgoingMail, PublicOrigin, RenderedMail,
};

async fn sent(
    answer: impl Fn(&RenderedMail) -> Result<(), MailError> + Send + 'static,
) -> Result<Outcome, MailError> {
    let mut mailer = MockMailer::new();
    mailer.expect_send().times(1).returning(answer);
    let origin = PublicOrigin::parse("https://app.clinic.example").unwrap();
    let mail = OutgoingMail {
        id: EventId::from(Uuid::from_u128(7)),
        to: Sensitive::new("ana@clinic.example".to_owned()),
        language: Language::English,
        letter: Letter::PasswordReset { token: Sensitive::new("alp_1".to_owned()) },
    };
    Notifications::new(Arc::new(mailer), origin).send(&mail).await
}

#[tokio::test]
async fn a_letter_is_sent_in_its_readers_words() {
    let outcome = sent(|mail| {
        assert_eq!((mail.id, mail.kind), (EventId::from(Uuid::from_u128(7)), "password_reset"));
        assert_eq!(
            (mail.to.expose().as_str(), mail.subject.as_str()),
            ("ana@clinic.example", "Choose a new password")
        );
        assert!(mail.text.expose().contains("https://app.clinic.example/reset-password#token=alp_1"));
        Ok(())
    });
    assert_eq!(outcome.await.unwrap(), Outcome::Accepted);
}

#[tokio::test]
async fn a_refusal_for_good_is_an_outcome_and_no_error() {
    let outcome = sent(|_| Err(MailError::Refused { status: Some(550) })).await;
    assert_eq!(outcome.unwrap(), Outcome::Refused { status: Some(550) });
}

#[tokio::test]
async fn what_may_pass_is_an_error_with_the_wait_that_was_asked_for() {
    let wait = Some(Duration::from_secs(7));
    let outcome =
        sent(move |_| Err(MailError::Unavailable { retry_after: wait, source: "busy".into() })).await;
    assert!(matches!(outcome, Err(MailError::Unavailable { retry_after, .. }) if retry_after == wait));
}

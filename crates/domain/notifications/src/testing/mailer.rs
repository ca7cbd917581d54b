//! What every [`Mailer`](crate::Mailer) MUST do, one case each. Run them all with
//! [`mailer_conformance!`](crate::mailer_conformance).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking, and only tests call them"
)]

use std::time::Duration;

use alivio_kernel::ids::{EventId, Uuid};
use alivio_kernel::{Language, Sensitive};

use super::{Conduct, Fixture};
use crate::{MAIL_PATIENCE, MailError, RenderedMail};

/// Tests your [`Mailer`]: one `#[tokio::test]` for every case in [`testing::mailer`].
///
/// `$fresh` names an `async fn() -> alivio_notifications::testing::Fixture`.
///
/// [`Mailer`]: crate::Mailer
/// [`testing::mailer`]: crate::testing::mailer
#[macro_export]
macro_rules! mailer_conformance {
    ($fresh:expr) => {
        mod mailer_conformance {
            use super::*;
            $crate::mailer_conformance! { @cases $fresh;
                a_mail_arrives_as_it_is
                the_same_mail_twice_has_one_identity
                two_mails_have_two_identities
                a_refusal_for_good_is_told_and_nothing_arrives
                who_is_busy_is_to_be_asked_again
                silence_has_an_end
                an_endless_answer_has_an_end
                a_broken_connection_is_to_be_tried_again
                no_error_tells_who_or_what
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::mailer::$case($fresh().await).await;
            }
        )*
    };
}

const TO: &str = "ana.lopez+secreto@clinic.example";

fn mail(id: u128) -> RenderedMail {
    RenderedMail {
        id: EventId::from(Uuid::from_u128(id)),
        to: Sensitive::new(TO.to_owned()),
        language: Language::Spanish,
        kind: "password_reset",
        subject: "Elija una contraseña nueva — ¿sí? 🩺 «ésta»".to_owned(),
        text: Sensitive::new(
            ".\n..punto al principio\n\nhttps://app.example/reset-password#token=alp_SECRETO%22=3D\nñ 日本\n"
                .to_owned(),
        ),
        html: Sensitive::new(format!(
            "<!doctype html>\n<p>ñ &amp; \"'</p>\n<p>{}</p>\n",
            "una línea larga ".repeat(200)
        )),
    }
}

async fn send(fixture: &Fixture, mail: &RenderedMail) -> Result<(), MailError> {
    let sending = std::time::Instant::now();
    let answer = fixture.mailer.send(mail).await;
    assert!(sending.elapsed() < MAIL_PATIENCE, "it took {:?}", sending.elapsed());
    answer
}

/// Line ends are the carrier's business.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").trim_end().to_owned()
}

/// Addressee, subject and both texts, whatever characters they hold.
pub async fn a_mail_arrives_as_it_is(fixture: Fixture) {
    let mail = mail(1);
    send(&fixture, &mail).await.unwrap();
    let arrived = fixture.world.arrived().await;
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].to, TO);
    assert_eq!(arrived[0].subject, mail.subject);
    assert_eq!(lines(&arrived[0].text), lines(mail.text.expose()));
    assert_eq!(lines(&arrived[0].html), lines(mail.html.expose()));
}

/// By which the other side can tell a repeat.
pub async fn the_same_mail_twice_has_one_identity(fixture: Fixture) {
    for _ in 0..2 {
        send(&fixture, &mail(1)).await.unwrap();
    }
    let arrived = fixture.world.arrived().await;
    assert!(!arrived.is_empty() && !arrived[0].identity.is_empty());
    assert!(arrived.iter().all(|mail| mail.identity == arrived[0].identity), "{arrived:?}");
}

/// However alike they are.
pub async fn two_mails_have_two_identities(fixture: Fixture) {
    for id in [1, 2] {
        send(&fixture, &mail(id)).await.unwrap();
    }
    let arrived = fixture.world.arrived().await;
    assert_eq!(arrived.len(), 2);
    assert_ne!(arrived[0].identity, arrived[1].identity);
}

/// And the next mail is offered as if nothing had happened.
pub async fn a_refusal_for_good_is_told_and_nothing_arrives(fixture: Fixture) {
    if !fixture.world.behave(Conduct::Refuse).await {
        return;
    }
    let refused = send(&fixture, &mail(1)).await;
    assert!(matches!(refused, Err(MailError::Refused { status: Some(_) })), "{refused:?}");
    assert!(fixture.world.arrived().await.is_empty());
    fixture.world.behave(Conduct::Accept).await;
    send(&fixture, &mail(2)).await.unwrap();
    assert_eq!(fixture.world.arrived().await.len(), 1);
}

/// With the time it wants to be left alone, if its protocol can say one; and it is asked again successfully.
pub async fn who_is_busy_is_to_be_asked_again(fixture: Fixture) {
    let wait = Duration::from_secs(17);
    if !fixture.world.behave(Conduct::Busy(wait)).await {
        return;
    }
    match send(&fixture, &mail(1)).await {
        Err(MailError::Unavailable { retry_after, .. }) => {
            assert!(retry_after.is_none_or(|told| told == wait))
        }
        other => panic!("{other:?}"),
    }
    assert!(fixture.world.arrived().await.is_empty());
    fixture.world.behave(Conduct::Accept).await;
    send(&fixture, &mail(1)).await.unwrap();
    assert_eq!(fixture.world.arrived().await.len(), 1);
}

/// Nobody waits for ever.
pub async fn silence_has_an_end(fixture: Fixture) {
    unavailable_when(&fixture, Conduct::Silent).await;
}

/// Neither time nor memory is used up by an answer.
pub async fn an_endless_answer_has_an_end(fixture: Fixture) {
    unavailable_when(&fixture, Conduct::Endless).await;
}

/// Whether the mail was taken is unknown.
pub async fn a_broken_connection_is_to_be_tried_again(fixture: Fixture) {
    unavailable_when(&fixture, Conduct::HangUp).await;
}

async fn unavailable_when(fixture: &Fixture, conduct: Conduct) {
    if !fixture.world.behave(conduct).await {
        return;
    }
    let failed = send(fixture, &mail(1)).await;
    assert!(matches!(failed, Err(MailError::Unavailable { .. })), "{failed:?}");
    fixture.world.behave(Conduct::Accept).await;
    send(fixture, &mail(1)).await.unwrap();
}

/// Not even when the other side quotes it.
pub async fn no_error_tells_who_or_what(fixture: Fixture) {
    for conduct in [Conduct::Refuse, Conduct::Busy(Duration::from_secs(1)), Conduct::HangUp] {
        if !fixture.world.behave(conduct).await {
            return;
        }
        let error = send(&fixture, &mail(1)).await.expect_err("it was refused");
        let mut told = format!("{error} {error:?}");
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            told += &format!(" {error} {error:?}");
            cause = error.source();
        }
        for secret in ["ana.lopez", "SECRETO", "contrase"] {
            assert!(!told.contains(secret), "{conduct:?}: {told}");
        }
    }
}

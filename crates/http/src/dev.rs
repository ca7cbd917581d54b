//! `/dev/outbox`: the mail that the sandbox keeps. It is not part of the API: with any other mailer there is no such
//! place, and production has no sandbox.

use actix_web::{get, web};
use alivio_kernel::Sensitive;
use alivio_notifications::{KeptMail, Mailbox};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::problem::{Problem, Result};
use crate::state::State;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutboxQuery {
    /// The exact address.
    to: Option<String>,
}

#[derive(Serialize)]
struct Outbox {
    items: Vec<Mail>,
}

#[derive(Serialize)]
struct Mail {
    id: Uuid,
    to: String,
    language: &'static str,
    kind: &'static str,
    subject: String,
    text: String,
    html: String,
    at: DateTime<Utc>,
}

impl From<KeptMail> for Mail {
    fn from(KeptMail { mail, at }: KeptMail) -> Self {
        Self {
            id: mail.id.uuid(),
            to: mail.to.into_exposed(),
            language: mail.language.tag(),
            kind: mail.kind,
            subject: mail.subject,
            text: mail.text.into_exposed(),
            html: mail.html.into_exposed(),
            at,
        }
    }
}

fn list(mailbox: Option<&dyn Mailbox>, to: Option<String>) -> Result<Outbox> {
    let mails = mailbox.ok_or_else(Problem::not_found)?.mails(to.map(Sensitive::new));
    Ok(Outbox { items: mails.into_iter().map(Mail::from).collect() })
}

#[get("/dev/outbox")]
async fn outbox(state: web::Data<State>, query: web::Query<OutboxQuery>) -> Result<web::Json<Outbox>> {
    Ok(web::Json(list(state.platform.mailbox.as_deref(), query.into_inner().to)?))
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.service(outbox);
}

#[cfg(test)]
mod tests {
    use alivio_kernel::Language;
    use alivio_kernel::ids::EventId;
    use alivio_notifications::RenderedMail;
    use serde_json::json;

    use super::*;

    struct One;

    impl Mailbox for One {
        fn mails(&self, to: Option<Sensitive<String>>) -> Vec<KeptMail> {
            let mail = RenderedMail {
                id: EventId::from(Uuid::nil()),
                to: Sensitive::new("ana@clinic.example".to_owned()),
                language: Language::Spanish,
                kind: "password_changed",
                subject: "s".to_owned(),
                text: Sensitive::new("t".to_owned()),
                html: Sensitive::new("h".to_owned()),
            };
            let kept = KeptMail { mail, at: DateTime::UNIX_EPOCH };
            if to.is_none_or(|to| to == kept.mail.to) { vec![kept] } else { Vec::new() }
        }
    }

    #[test]
    fn a_mail_is_shown_whole() {
        let shown =
            serde_json::to_value(list(Some(&One), Some("ana@clinic.example".to_owned())).unwrap()).unwrap();
        let mail = json!({
            "id": Uuid::nil(), "to": "ana@clinic.example", "language": "es", "kind": "password_changed",
            "subject": "s", "text": "t", "html": "h", "at": "1970-01-01T00:00:00Z",
        });
        assert_eq!(shown, json!({"items": [mail]}));
        assert!(list(Some(&One), Some("eve@evil.example".to_owned())).unwrap().items.is_empty());
    }

    #[test]
    fn without_a_sandbox_there_is_no_such_place() {
        assert_eq!(list(None, None).err().unwrap().code(), "not_found");
    }
}

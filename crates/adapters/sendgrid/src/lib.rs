//! Mail through SendGrid's `v3/mail/send`.
//!
//! Only the status of an answer is read: its body could quote the mail, and could be of any length. Links are left as
//! they are: with click tracking, SendGrid would lead readers, and the secret in the link, through its own servers.

use std::time::Duration;

use alivio_kernel::Sensitive;
use alivio_notifications::{MailError, Mailer, RenderedMail};
use async_trait::async_trait;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, StatusCode, redirect};
use serde_json::json;

/// SendGrid itself.
pub const SENDGRID_URL: &str = "https://api.sendgrid.com";

/// One mail takes no longer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Nobody who is busy is left alone for longer.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// The list of what a key may do is not longer.
const MAX_SCOPES: usize = 64 * 1024;
/// What the key must be allowed to do.
const SCOPE: &str = "mail.send";

/// How to reach SendGrid.
pub struct SendGridOptions {
    /// The API key: it needs the right `mail.send`, and no other.
    pub api_key: Sensitive<String>,
    /// Whom mail is from: an address or domain that is verified there.
    pub from: String,
    /// Where it is; normally [`SENDGRID_URL`].
    pub base_url: String,
    /// How long one mail may take; less than [`MAIL_PATIENCE`](alivio_notifications::MAIL_PATIENCE).
    pub timeout: Duration,
}

impl SendGridOptions {
    /// SendGrid itself, with this key.
    pub fn new(api_key: Sensitive<String>, from: &str) -> Self {
        Self { api_key, from: from.to_owned(), base_url: SENDGRID_URL.to_owned(), timeout: TIMEOUT }
    }
}

/// Sends mail by SendGrid.
pub struct SendGrid {
    http: Client,
    options: SendGridOptions,
}

/// Why the key is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// SendGrid does not know it.
    #[error("SendGrid does not accept the key ({0})")]
    Refused(StatusCode),
    /// It lacks a right.
    #[error("the key may not send mail: it needs the right `{SCOPE}`")]
    MayNotSend,
    /// It cannot be asked.
    #[error("SendGrid does not answer as documented: {0}")]
    Unreachable(String),
}

impl SendGrid {
    /// Over `options`.
    ///
    /// # Errors
    /// If there is no TLS to speak.
    pub fn new(options: SendGridOptions) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .timeout(options.timeout)
            .connect_timeout(options.timeout)
            // A redirect would hand the key and the mail to whoever is named there.
            .redirect(redirect::Policy::none())
            .build()?;
        Ok(Self { http, options })
    }

    /// Asks SendGrid whether the key may send mail.
    ///
    /// # Errors
    /// If it may not, or nobody answers.
    pub async fn check(&self) -> Result<(), CheckError> {
        let unreachable = |error: reqwest::Error| CheckError::Unreachable(error.without_url().to_string());
        let url = format!("{}/v3/scopes", self.options.base_url);
        let asked = self.http.get(url).bearer_auth(self.options.api_key.expose());
        let mut answer = asked.send().await.map_err(unreachable)?;
        match answer.status() {
            StatusCode::OK => {}
            status if status.is_client_error() => return Err(CheckError::Refused(status)),
            status => return Err(CheckError::Unreachable(status.to_string())),
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_SCOPES {
                return Err(CheckError::Unreachable("the answer is too long".to_owned()));
            }
        }
        let scopes: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let may = scopes["scopes"].as_array().is_some_and(|scopes| scopes.iter().any(|scope| scope == SCOPE));
        if may { Ok(()) } else { Err(CheckError::MayNotSend) }
    }

    fn body(&self, mail: &RenderedMail) -> serde_json::Value {
        let from = &self.options.from;
        let domain = from.rsplit_once('@').map_or("alivio.invalid", |(_, domain)| domain);
        json!({
            "personalizations": [{
                "to": [{"email": mail.to.expose()}],
                "custom_args": {"mail_id": mail.id},
            }],
            "from": {"email": from},
            "subject": mail.subject,
            "content": [
                {"type": "text/plain", "value": mail.text.expose()},
                {"type": "text/html", "value": mail.html.expose()},
            ],
            "headers": {"Message-ID": format!("<{}@{domain}>", mail.id), "Auto-Submitted": "auto-generated"},
            "categories": [mail.kind],
            "tracking_settings": {
                "click_tracking": {"enable": false, "enable_text": false},
                "open_tracking": {"enable": false},
            },
        })
    }
}

#[async_trait]
impl Mailer for SendGrid {
    async fn send(&self, mail: &RenderedMail) -> Result<(), MailError> {
        let url = format!("{}/v3/mail/send", self.options.base_url);
        let request = self.http.post(url).bearer_auth(self.options.api_key.expose()).json(&self.body(mail));
        let answer = request.send().await.map_err(|error| MailError::unavailable(error.without_url()))?;
        judge(&answer)
    }
}

/// A status that is neither success nor refusal comes from whoever stands between: worth another try.
fn judge(answer: &Response) -> Result<(), MailError> {
    let status = answer.status();
    let later =
        [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    if status.is_success() {
        Ok(())
    } else if status.is_client_error() && !later {
        Err(MailError::Refused { status: Some(status.as_u16()) })
    } else {
        // The other form, a date, is not what SendGrid sends; the outbox has its own patience.
        let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
        Err(MailError::Unavailable { retry_after, source: status.to_string().into() })
    }
}

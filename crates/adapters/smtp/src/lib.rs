//! Mail through any SMTP server.
//!
//! | address | meaning |
//! |---|---|
//! | `smtps://user:password@host:465` | TLS from the first byte |
//! | `smtp://user:password@host:587?tls=required` | TLS by STARTTLS, or nothing |
//! | `smtp://host:25?tls=opportunistic` | TLS if the server offers it; no password |
//! | `smtp://host:25` | no TLS; no password, except on the loopback |

use std::net::IpAddr;
use std::time::Duration;

use alivio_kernel::Sensitive;
use alivio_notifications::{MailError, Mailer, RenderedMail};
use async_trait::async_trait;
use lettre::message::MultiPart;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error, PoolConfig};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use url::Url;

/// One mail takes no longer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach a mail server.
pub struct SmtpOptions {
    /// Its address, in one of the forms above. It may hold a password.
    pub url: Sensitive<String>,
    /// Whom mail is from.
    pub from: String,
    /// How long one mail may take; less than [`MAIL_PATIENCE`](alivio_notifications::MAIL_PATIENCE).
    pub timeout: Duration,
    /// The certificate (DER) of an authority to trust besides those of the system.
    pub extra_root: Option<Vec<u8>>,
}

impl SmtpOptions {
    /// The server at `url`.
    pub fn new(url: Sensitive<String>, from: &str) -> Self {
        Self { url, from: from.to_owned(), timeout: TIMEOUT, extra_root: None }
    }
}

/// The address of a server, or of the sender, cannot be used. It is not shown, because it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SmtpConfigError {
    /// Not of a form that is known.
    #[error("not an address like `smtps://user:password@host:465` or `smtp://host:587?tls=required`")]
    Url,
    /// Anyone on the way could read the password.
    #[error("a password needs TLS: `smtps://…`, or `smtp://…?tls=required`")]
    PasswordWithoutTls,
    /// Not an address of mail.
    #[error("the sender is not an e-mail address")]
    From,
}

/// Sends mail by SMTP.
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Address,
    timeout: Duration,
}

impl Smtp {
    /// Over `options`.
    ///
    /// # Errors
    /// If the addresses cannot be used.
    pub fn new(options: SmtpOptions) -> Result<Self, SmtpConfigError> {
        let from: Address = options.from.parse().map_err(|_| SmtpConfigError::From)?;
        let url = Url::parse(options.url.expose()).map_err(|_| SmtpConfigError::Url)?;
        let host = url.host_str().ok_or(SmtpConfigError::Url)?;
        let requires_tls = url.scheme() == "smtps" || url.query() == Some("tls=required");
        if url.password().is_some() && !requires_tls && !is_loopback(host) {
            return Err(SmtpConfigError::PasswordWithoutTls);
        }
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.as_str())
            .map_err(|_| SmtpConfigError::Url)?
            .timeout(Some(options.timeout))
            .pool_config(PoolConfig::new().min_idle(0));
        if url.path().len() <= 1 {
            // The name of this machine is nobody's business.
            builder = builder.hello_name(ClientId::Domain(from.domain().to_owned()));
        }
        if let Some(root) = options.extra_root {
            let parameters = TlsParameters::builder(host.to_owned())
                .add_root_certificate(Certificate::from_der(root).map_err(|_| SmtpConfigError::Url)?)
                .build_rustls()
                .map_err(|_| SmtpConfigError::Url)?;
            builder = match (url.scheme(), url.query()) {
                ("smtps", _) => builder.tls(Tls::Wrapper(parameters)),
                (_, Some("tls=required")) => builder.tls(Tls::Required(parameters)),
                (_, Some(_)) => builder.tls(Tls::Opportunistic(parameters)),
                (_, None) => builder,
            };
        }
        Ok(Self { transport: builder.build(), from, timeout: options.timeout })
    }

    /// Connects, signs in, and asks the server whether it is there.
    ///
    /// # Errors
    /// If that fails.
    pub async fn check(&self) -> Result<(), MailError> {
        match tokio::time::timeout(self.timeout, self.transport.test_connection()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(MailError::unavailable(Failure::Connection)),
            Ok(Err(error)) => Err(judge(&error)),
            Err(_) => Err(MailError::unavailable(Failure::Timeout)),
        }
    }

    /// `None` if there can be no such message, because of its addressee.
    fn message(&self, mail: &RenderedMail) -> Option<Message> {
        let to: Address = mail.to.expose().parse().ok()?;
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        Message::builder()
            .from(self.from.clone().into())
            .to(to.into())
            .subject(&mail.subject)
            .message_id(Some(format!("<{}@{}>", mail.id, self.from.domain())))
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .multipart(MultiPart::alternative_plain_html(
                mail.text.expose().clone(),
                mail.html.expose().clone(),
            ))
            .ok()
    }
}

/// With a scheme that is not of the web, `Url` leaves an IPv4 address a name.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[async_trait]
impl Mailer for Smtp {
    async fn send(&self, mail: &RenderedMail) -> Result<(), MailError> {
        let message = self.message(mail).ok_or(MailError::Refused { status: None })?;
        match tokio::time::timeout(self.timeout, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(judge(&error)),
            Err(_) => Err(MailError::unavailable(Failure::Timeout)),
        }
    }
}

/// What went wrong, without the server's words: those quote the addressee.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the mail server answered {0}")]
    Reply(u16),
    #[error("the mail server took too long")]
    Timeout,
    #[error("no TLS with the mail server")]
    Tls,
    #[error("the mail server does not speak SMTP as we do")]
    Protocol,
    #[error("no connection to the mail server")]
    Connection,
}

fn judge(error: &Error) -> MailError {
    let code = error.status().map(u16::from);
    if error.is_permanent() {
        return MailError::Refused { status: code };
    }
    MailError::unavailable(match code {
        Some(code) => Failure::Reply(code),
        None if error.is_timeout() => Failure::Timeout,
        None if error.is_tls() => Failure::Tls,
        None if error.is_response() || error.is_client() => Failure::Protocol,
        None => Failure::Connection,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(url: &str, from: &str) -> Result<(), SmtpConfigError> {
        Smtp::new(SmtpOptions::new(Sensitive::new(url.to_owned()), from)).map(drop)
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_used_is_told_at_once() {
        let from = "avisos@clinic.example";
        for url in [
            "smtps://user:p%40ss@mail.example:465",
            "smtp://user:pass@mail.example:587?tls=required",
            "smtp://user:pass@127.0.0.1:1025",
            "smtp://mail.example:25",
            "smtp://mail.example:25?tls=opportunistic",
        ] {
            assert_eq!(made(url, from), Ok(()), "{url}");
        }
        for url in
            ["", "mail.example", "http://mail.example", "smtp://", "smtp://h?tls=maybe", "smtps://h:99999"]
        {
            assert_eq!(made(url, from), Err(SmtpConfigError::Url), "{url}");
        }
        for url in ["smtp://user:pass@mail.example:25", "smtp://user:pass@mail.example:25?tls=opportunistic"]
        {
            assert_eq!(made(url, from), Err(SmtpConfigError::PasswordWithoutTls), "{url}");
        }
        assert_eq!(made("smtp://mail.example", "not an address"), Err(SmtpConfigError::From));
    }
}

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use alivio_kernel::{Clock, Sensitive};
use alivio_notifications::{KeptMail, MailError, Mailbox, Mailer, RenderedMail};
use async_trait::async_trait;

/// So many of the last mails are kept.
const KEPT: usize = 500;

/// A mailer that keeps its mail in memory, where it can be read.
pub struct SandboxMailbox {
    clock: Arc<dyn Clock>,
    mails: Mutex<VecDeque<KeptMail>>,
}

impl SandboxMailbox {
    /// An empty one.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, mails: Mutex::default() }
    }
}

#[async_trait]
impl Mailer for SandboxMailbox {
    async fn send(&self, mail: &RenderedMail) -> Result<(), MailError> {
        let mut mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        if mails
            .iter()
            .any(|kept| kept.mail.id == mail.id && kept.mail.kind == mail.kind && kept.mail.to == mail.to)
        {
            return Ok(());
        }
        if mails.len() == KEPT {
            mails.pop_front();
        }
        mails.push_back(KeptMail { mail: mail.clone(), at: self.clock.now() });
        Ok(())
    }
}

impl Mailbox for SandboxMailbox {
    fn mails(&self, to: Option<Sensitive<String>>) -> Vec<KeptMail> {
        let mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |kept: &&KeptMail| to.as_ref().is_none_or(|to| kept.mail.to == *to);
        mails.iter().rev().filter(wanted).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use alivio_kernel::ids::{EventId, Uuid};
    use alivio_kernel::{Language, ManualClock};
    use alivio_notifications::testing::{Arrived, Conduct, Fixture, World};

    use super::*;

    struct Inside(Arc<SandboxMailbox>);

    #[async_trait]
    impl World for Inside {
        async fn arrived(&self) -> Vec<Arrived> {
            let arrived = |kept: KeptMail| Arrived {
                identity: kept.mail.id.to_string(),
                to: kept.mail.to.into_exposed(),
                subject: kept.mail.subject,
                text: kept.mail.text.into_exposed(),
                html: kept.mail.html.into_exposed(),
            };
            self.0.mails(None).into_iter().rev().map(arrived).collect()
        }

        async fn behave(&self, _: Conduct) -> bool {
            false
        }
    }

    async fn fresh() -> Fixture {
        let mailbox = Arc::new(SandboxMailbox::new(Arc::new(ManualClock::default())));
        Fixture { mailer: Arc::clone(&mailbox) as _, world: Arc::new(Inside(mailbox)) }
    }
    alivio_notifications::mailer_conformance!(fresh);

    fn mail(id: u128, to: &str) -> RenderedMail {
        RenderedMail {
            id: EventId::from(Uuid::from_u128(id)),
            to: Sensitive::new(to.to_owned()),
            language: Language::Spanish,
            kind: "password_changed",
            subject: "s".to_owned(),
            text: Sensitive::new("t".to_owned()),
            html: Sensitive::new("h".to_owned()),
        }
    }

    #[tokio::test]
    async fn the_last_five_hundred_are_kept_newest_first() {
        let clock = Arc::new(ManualClock::default());
        let mailbox = SandboxMailbox::new(Arc::clone(&clock) as _);
        let began = clock.now();
        for id in 0..=KEPT as u128 {
            mailbox.send(&mail(id, "ana@clinic.example")).await.unwrap();
            clock.advance(chrono::TimeDelta::seconds(1));
        }
        let mails = mailbox.mails(None);
        assert_eq!(mails.len(), KEPT);
        assert_eq!(mails[0].mail.id.uuid().as_u128(), KEPT as u128);
        assert_eq!(mails[KEPT - 1].mail.id.uuid().as_u128(), 1, "the oldest has gone");
        assert_eq!(mails[KEPT - 1].at, began + chrono::TimeDelta::seconds(1));
    }

    #[tokio::test]
    async fn mail_is_found_by_its_exact_address() {
        let mailbox = SandboxMailbox::new(Arc::new(ManualClock::default()));
        mailbox.send(&mail(1, "ana@clinic.example")).await.unwrap();
        // One event, two addressees.
        mailbox.send(&mail(1, "juana@clinic.example")).await.unwrap();
        let found = |to: &str| mailbox.mails(Some(Sensitive::new(to.to_owned()))).len();
        assert_eq!((found("ana@clinic.example"), found("juana@clinic.example"), found("ana")), (1, 1, 0));
    }
}

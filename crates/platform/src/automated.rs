//! What we say in conversations ourselves, in Spanish and English. Such messages are labelled as automated wherever they
//! are shown, and belong to the person whose doing they are about.

use alivio_accounts::Accounts;
use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::{BoxError, Language};
use alivio_messages::{ClientMessageId, Content, Error, Messages, SystemEvent};

/// What to do when a life is in danger, and that this is no ambulance.
pub fn disclaimer(language: Language, number: &str) -> String {
    match language {
        Language::Spanish => format!(
            "Si hay peligro para la vida, llame ya al {number}. Este canal avisa al personal de la clínica, pero no \
             sustituye a los servicios de emergencia."
        ),
        Language::English => format!(
            "If a life is in danger, call {number} now. This channel alerts the staff of the clinic; it does not replace \
             the emergency services."
        ),
    }
}

pub(crate) fn emergency_opened(language: Language, number: &str) -> String {
    let paged = match language {
        Language::Spanish => "Hemos avisado al personal de guardia y responderá aquí.",
        Language::English => "We have alerted the people on call; they will answer here.",
    };
    format!("{paged} {}", disclaimer(language, number))
}

pub(crate) fn emergency_escalated(language: Language, number: &str) -> String {
    let paged = match language {
        Language::Spanish => "Aún no ha respondido nadie. Hemos avisado a más personas.",
        Language::English => "Nobody has answered yet. We have alerted more people.",
    };
    format!("{paged} {}", disclaimer(language, number))
}

/// `opens` is the time on the wall in `zone`, if it opens at all.
pub(crate) fn outside_hours(language: Language, opens: Option<&str>, zone: &str) -> String {
    match (language, opens) {
        (Language::Spanish, Some(opens)) => format!(
            "Respuesta automática: ahora no hay nadie. Su mensaje ha llegado y se leerá a partir del {opens} ({zone}). Si \
             es urgente, use el canal de emergencias."
        ),
        (Language::Spanish, None) => {
            "Respuesta automática: ahora no hay nadie. Su mensaje ha llegado y se leerá más \
             adelante. Si es urgente, use el canal de emergencias."
                .to_owned()
        }
        (Language::English, Some(opens)) => format!(
            "Automatic reply: nobody is here now. Your message has arrived and will be read from {opens} ({zone}) on. If \
             it is urgent, use the emergency channel."
        ),
        (Language::English, None) => {
            "Automatic reply: nobody is here now. Your message has arrived and will be read \
             later. If it is urgent, use the emergency channel."
                .to_owned()
        }
    }
}

/// Says such things.
#[derive(Clone)]
pub(crate) struct Announcements {
    accounts: Accounts,
    messages: Messages,
}

impl Announcements {
    pub(crate) const fn new(accounts: Accounts, messages: Messages) -> Self {
        Self { accounts, messages }
    }

    /// Says that `event` happened, in `words` of the language of `reader`, on behalf of `sender`. Said once under one `name`;
    /// where it no longer can be said, as they have left or it is closed, nothing is.
    pub(crate) async fn say(
        &self,
        conversation: ConversationId,
        (sender, reader): (UserId, UserId),
        name: &str,
        event: SystemEvent,
        words: impl Fn(Language) -> String + Send,
    ) -> Result<(), BoxError> {
        let people = self.accounts.users(&[reader]).await?;
        let language = people.get(&reader).map_or(Language::default(), |user| user.language);
        let (content, name) = (Content::parse(&words(language))?, ClientMessageId::parse(name)?);
        match self.messages.announce(sender, conversation, (event, content), name).await {
            // A name that was used for other words was used for this in another language.
            Ok(_)
            | Err(
                Error::NotFound
                | Error::Closed
                | Error::ContentDestroyed
                | Error::Blocked
                | Error::ClientMessageIdReused,
            ) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

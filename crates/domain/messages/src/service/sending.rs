//! What is asked of a message before it is stored: that its sender keeps a pace, and that it may be said there.

use alivio_kernel::Caller;
use alivio_kernel::ids::{ConversationId, ReportId};
use alivio_kernel::sealing::Scope;
use chrono::{DateTime, Utc};

use super::Messages;
use crate::screening::{Finding, Verdict, same_text_key, screen};
use crate::{ClientMessageId, Draft, Error, NewFlag, Room, Step, Taken};

/// A message that may be stored.
pub(super) struct Admitted {
    /// What was counted, to be given back if nothing is stored.
    pub(super) step: Option<Step>,
    /// For the sender.
    pub(super) warnings: Vec<Finding>,
    /// For those who moderate.
    pub(super) flag: Option<NewFlag>,
}

impl Messages {
    /// Admits a message. What was sent before is always admitted: it is not sent again.
    ///
    /// # Errors
    /// [`Error::TooMany`], [`Error::NotAllowed`]; [`Error::NotFound`] instead, for strangers.
    pub(super) async fn admit(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        draft: &Draft,
        client_message_id: &ClientMessageId,
        now: DateTime<Utc>,
    ) -> Result<Admitted, Error> {
        let p = &self.ports;
        let room = p.rooms.room(conversation).await?.ok_or(Error::NotFound)?;
        let refuse = async |error| {
            // Whoever may not know of the conversation learns nothing of what is allowed there.
            self.position(caller, conversation).await?;
            let known = draft.client_message_id.is_some()
                && p.log.was_sent(caller.user_id, conversation, client_message_id).await?;
            if known { Ok(Admitted { step: None, warnings: Vec::new(), flag: None }) } else { Err(error) }
        };
        let step = self.step(caller, &room, draft, now);
        let mut times = 1;
        if let Some(step) = &step {
            match p.pace.take(step).await? {
                Taken::Passed { times: said } => times = said,
                Taken::TooMany { limit, wait } => return refuse(Error::TooMany { limit, wait }).await,
            }
        }
        match p.screening.judge(&room, screen(draft.content.as_str(), times)) {
            Verdict::Sent { warnings, flags } => {
                let flag =
                    (!flags.is_empty()).then(|| NewFlag { id: ReportId::generate(&*p.ids), findings: flags });
                Ok(Admitted { step, warnings, flag })
            }
            Verdict::Refused(findings) => {
                self.give_back(step.as_ref()).await?;
                refuse(Error::NotAllowed(findings)).await
            }
        }
    }

    /// What counts for the pace: what a person sends now. Machines have their own limits, and what was scheduled was
    /// decided before.
    fn step(&self, caller: &Caller, room: &Room, draft: &Draft, at: DateTime<Utc>) -> Option<Step> {
        if draft.automation.is_some() || draft.scheduled_for.is_some() {
            return None;
        }
        let text = same_text_key(draft.content.as_str()).map(|key| {
            // Only ever compared with what the same person has said.
            self.ports.sealer.fingerprint(Scope::User(caller.user_id), key.as_bytes())
        });
        Some(Step { sender: caller.user_id, emergency: room.is_emergency, text, at })
    }

    /// Takes back what was counted for a message that was not stored.
    pub(super) async fn give_back(&self, step: Option<&Step>) -> Result<(), Error> {
        match step {
            Some(step) => self.ports.pace.give_back(step).await,
            None => Ok(()),
        }
    }
}

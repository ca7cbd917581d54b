//! What is asked of a message before it is stored: that its sender keeps a pace, and that it may be said there.

use alivio_kernel::Role;
use alivio_kernel::ids::{ConversationId, ReportId, UserId};
use alivio_kernel::sealing::Scope;
use chrono::{DateTime, Utc};

use super::{Messages, Sent};
use crate::screening::{Finding, Verdict, same_text_key, screen};
use crate::{Admission, Appended, Draft, Error, NewFlag, Quiet, Room, Step, Taken};

/// What follows from a message being one that may be stored.
#[derive(Default)]
pub(super) struct Admitted {
    /// What was counted, to be given back if nothing is stored.
    pub(super) step: Option<Step>,
    /// Whom it disturbs not.
    pub(super) quiet: Option<Quiet>,
    /// For the sender.
    pub(super) warnings: Vec<Finding>,
    /// For those who moderate.
    pub(super) flag: Option<NewFlag>,
}

impl Messages {
    /// Admits a message to the log: asks nothing of the database that is not kept in memory for seconds.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooMany`], [`Error::OutsideHours`], [`Error::NotAllowed`].
    pub(super) async fn admit(
        &self,
        sender: (UserId, Role),
        conversation: ConversationId,
        draft: &Draft,
        now: DateTime<Utc>,
    ) -> Result<Admitted, Error> {
        let p = &self.ports;
        let room = p.rooms.room(conversation).await?.ok_or(Error::NotFound)?;
        // Machines have their own limits, and what was scheduled was counted then.
        let counts = draft.automation.is_none() && draft.scheduled_for.is_none();
        let (step, times) = if counts {
            let (step, times) = self.keep_pace(sender.0, &room, draft, now).await?;
            (Some(step), times)
        } else {
            (None, 1)
        };
        let judged = self.judge(sender, conversation, draft, &room, times, now).await;
        if judged.is_err() {
            self.give_back(step.as_ref()).await?;
        }
        Ok(Admitted { step, ..judged? })
    }

    async fn judge(
        &self,
        sender: (UserId, Role),
        conversation: ConversationId,
        draft: &Draft,
        room: &Room,
        times: u32,
        now: DateTime<Utc>,
    ) -> Result<Admitted, Error> {
        let p = &self.ports;
        let quiet = match p.hours.admission(sender, conversation, now).await? {
            Admission::Open => None,
            Admission::Quietly(quiet) => Some(quiet),
            Admission::Refused(closed) => return Err(Error::OutsideHours(closed)),
        };
        match p.screening.judge(room, screen(words(draft), times)) {
            Verdict::Sent { warnings, flags } => {
                Ok(Admitted { step: None, quiet, warnings, flag: self.flag(flags) })
            }
            Verdict::Refused(findings) => Err(Error::NotAllowed(findings)),
        }
    }

    /// What those who moderate are to judge; nothing, if nothing was found.
    pub(super) fn flag(&self, findings: Vec<Finding>) -> Option<NewFlag> {
        (!findings.is_empty()).then(|| NewFlag { id: ReportId::generate(&*self.ports.ids), findings })
    }

    /// What a message that is refused was before, if it was sent already: that is no new one.
    ///
    /// # Errors
    /// `refusal`; [`Error::NotFound`] instead for strangers, who learn nothing of what is allowed there;
    /// [`Error::ClientMessageIdReused`].
    pub(super) async fn sent_before(
        &self,
        sender: UserId,
        conversation: ConversationId,
        draft: &Draft,
        refusal: Error,
    ) -> Result<Sent, Error> {
        let Some(name) = &draft.client_message_id else {
            self.position_of(sender, conversation).await?;
            return Err(refusal);
        };
        let fingerprint = self.fingerprint(conversation, draft)?;
        match self.ports.log.earlier(sender, conversation, name, fingerprint).await? {
            Some(Appended::Repeat(stored)) => self.repeated(stored, Vec::new()).await,
            Some(Appended::Reused) => Err(Error::ClientMessageIdReused),
            Some(_) => Err(Error::NotFound),
            None => Err(refusal),
        }
    }

    /// Counts what a person sends, or puts off; and says how often they have said the same.
    ///
    /// # Errors
    /// [`Error::TooMany`].
    pub(super) async fn keep_pace(
        &self,
        sender: UserId,
        room: &Room,
        draft: &Draft,
        at: DateTime<Utc>,
    ) -> Result<(Step, u32), Error> {
        let text = same_text_key(words(draft)).map(|key| {
            // Only ever compared with what the same person has said.
            self.ports.sealer.fingerprint(Scope::User(sender), key.as_bytes())
        });
        let step = Step { sender, emergency: room.is_emergency, text, at };
        match self.ports.pace.take(&step).await? {
            Taken::Passed { times } => Ok((step, times)),
            Taken::TooMany { limit, wait } => Err(Error::TooMany { limit, wait }),
        }
    }

    /// Takes back what was counted for a message that was not stored.
    pub(super) async fn give_back(&self, step: Option<&Step>) -> Result<(), Error> {
        match step {
            Some(step) => self.ports.pace.give_back(step).await,
            None => Ok(()),
        }
    }
}

/// Whether a message is refused before the log is asked for it. What made it one that may not be sent may have come after
/// it was sent: so the log is asked then.
pub(super) const fn is_before_the_log(refusal: &Error) -> bool {
    matches!(
        refusal,
        Error::TooMany { .. }
            | Error::OutsideHours(_)
            | Error::NotAllowed(_)
            | Error::CliniciansOnly
            | Error::FileSharingDisabled
            | Error::AttachmentNotFound(_)
            | Error::Field(_)
    )
}

/// The words of a draft; none, if it has none.
fn words(draft: &Draft) -> &str {
    draft.content.as_ref().map_or("", |content| content.as_str())
}

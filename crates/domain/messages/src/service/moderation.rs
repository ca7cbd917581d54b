use std::sync::Arc;

use alivio_kernel::audit::Outcome;
use alivio_kernel::ids::{IdSource, MessageId, ReportId};
use alivio_kernel::{
    AccessScope, AuditEntry, AuditSink, Caller, Clock, Denied, Effects, Event, Page, PageSize, Sealer,
};

use super::Messages;
use crate::{
    Case, Change, Decision, Error, Message, MessageDeleted, MessageReported, ModerationStore, NewReport,
    Remark, Report, ReportDecided, ReportFilter, ReportHeader, ReportKind, ReportReason, ReportStatus,
    Reported, Resolution, ReviewStep, StoredReport,
};

/// Messages that are shown before the one in question, and after it.
const AROUND: i64 = 5;

/// What [`Moderation`] needs.
#[derive(Clone)]
pub struct ModerationPorts {
    /// Reports.
    pub store: Arc<dyn ModerationStore>,
    /// Where refusals are recorded.
    pub sink: Arc<dyn AuditSink>,
    /// Encryption.
    pub sealer: Arc<dyn Sealer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
}

/// A report with what there is to judge.
#[derive(Debug, Clone, PartialEq)]
pub struct Hearing {
    /// The report.
    pub report: Report,
    /// The message with those around it, in the order of the log.
    pub messages: Vec<Message>,
}

/// Reporting messages, and judging those that were reported or flagged (S0-23, S0-235, AZ-09).
#[derive(Clone)]
pub struct Moderation {
    messages: Messages,
    ports: ModerationPorts,
}

impl Moderation {
    /// Moderation over `ports` of what `messages` hold.
    pub const fn new(messages: Messages, ports: ModerationPorts) -> Self {
        Self { messages, ports }
    }

    /// Reports a message that the caller can read. Says whether this call did it: the same person reports a message
    /// once.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Denied`] for one's own message.
    pub async fn report(
        &self,
        caller: &Caller,
        message: MessageId,
        reason: ReportReason,
        comment: Option<&Remark>,
    ) -> Result<(Report, bool), Error> {
        let p = &self.ports;
        let (conversation, sender) =
            p.store.readable(caller.user_id, message).await?.ok_or(Error::NotFound)?;
        if sender == caller.user_id {
            return Err(Denied::Involved.into());
        }
        let (id, now) = (ReportId::generate(&*p.ids), p.clock.now());
        let comment = match comment {
            Some(comment) => {
                let context = ReportHeader::comment_context(id, conversation);
                Some(p.sealer.seal(&context, comment.as_str().as_bytes()).await?)
            }
            None => None,
        };
        let report = NewReport {
            id,
            message_id: message,
            reporter_id: caller.user_id,
            reason,
            comment,
            created_at: now,
        };
        let reported = MessageReported { report_id: id, conversation_id: conversation, message_id: message };
        let entry = AuditEntry::by(&*p.ids, now, caller, "message.reported").on("message", message);
        let effects = Effects::default().event(Event::new(&*p.ids, now, &reported)).audit(entry);
        let (stored, created) = match p.store.report(&report, effects).await?.ok_or(Error::NotFound)? {
            Reported::Stored(stored) => (stored, true),
            Reported::Known(stored) => (stored, false),
        };
        Ok((self.open(stored).await?, created))
    }

    /// What there is to judge, newest first; nothing that the caller is involved in. It holds no words.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub async fn list(
        &self,
        caller: &Caller,
        status: Option<ReportStatus>,
        kind: Option<ReportKind>,
        after: Option<ReportId>,
        size: PageSize,
    ) -> Result<Page<ReportHeader>, Error> {
        const ACTION: &str = "moderation.listed";
        let p = &self.ports;
        self.authorise(caller, ACTION).await?;
        let entry = AuditEntry::by(&*p.ids, p.clock.now(), caller, ACTION);
        p.sink.record(&[entry]).await.map_err(Error::Unavailable)?;
        let filter = ReportFilter { status, kind, viewer: caller.user_id, after, size };
        let (items, more) = size.cut(p.store.list(&filter).await?);
        let next_cursor = if more { items.last().map(|report| report.id.to_string()) } else { None };
        Ok(Page { items, next_cursor })
    }

    /// The message in question with the five before and after it, and nothing else of the conversation. Each look is
    /// recorded with what was read.
    ///
    /// # Errors
    /// [`Error::Denied`], also for what the caller is involved in; [`Error::NotFound`].
    pub async fn look(&self, caller: &Caller, report: ReportId) -> Result<Hearing, Error> {
        const ACTION: &str = "moderation.viewed";
        let p = &self.ports;
        let header = self.judgeable(caller, report, ACTION).await?;
        let entry = AuditEntry::by(&*p.ids, p.clock.now(), caller, ACTION)
            .about(header.sender_id)
            .on("message", header.message_id);
        let Case { report, messages } =
            p.store.look(report, AROUND, &[entry]).await?.ok_or(Error::NotFound)?;
        Ok(Hearing { report: self.open(report).await?, messages: self.messages.unseal(messages).await? })
    }

    /// Takes a step of moderation, at the `version` that the caller has seen.
    ///
    /// # Errors
    /// [`Error::Denied`], also for what the caller is involved in; [`Error::NotFound`], [`Error::NotThere`],
    /// [`Error::Stale`].
    pub async fn decide(
        &self,
        caller: &Caller,
        report: ReportId,
        version: u32,
        step: ReviewStep,
        note: Option<&Remark>,
    ) -> Result<ReportHeader, Error> {
        const ACTION: &str = "moderation.decided";
        let p = &self.ports;
        let before = self.judgeable(caller, report, ACTION).await?;
        if before.version != version {
            return Err(Error::Stale);
        }
        let now = p.clock.now();
        let header = before.moved(step, caller.user_id, now)?;
        let sealed = match note {
            Some(note) => {
                let context = ReportHeader::note_context(report, header.conversation_id, header.version);
                Some(p.sealer.seal(&context, note.as_str().as_bytes()).await?)
            }
            None => None,
        };
        let decided = ReportDecided {
            report_id: report,
            message_id: header.message_id,
            sender_id: header.sender_id,
            status: header.status.as_str().to_owned(),
            resolution: header.resolution.map(|resolution| resolution.as_str().to_owned()),
        };
        let mut entry = AuditEntry::by(&*p.ids, now, caller, ACTION)
            .about(header.sender_id)
            .on("message", header.message_id);
        entry.reason = Some(header.resolution.map_or(header.status.as_str(), Resolution::as_str));
        let mut effects = Effects::default().event(Event::new(&*p.ids, now, &decided)).audit(entry);
        let removes = step == ReviewStep::Resolve(Resolution::MessageRemoved);
        if removes {
            let deleted = MessageDeleted {
                conversation_id: header.conversation_id,
                message_id: header.message_id,
                deleted_by: Some(caller.user_id),
            };
            effects = effects.event(Event::new(&*p.ids, now, &deleted));
        }
        let decision = Decision { header, note: sealed, removes };
        if p.store.decide(&decision, effects).await? {
            let message = decision.header.message_id;
            self.messages.tell(message, Change::Deleted, Some(caller.user_id), now).await?;
        }
        Ok(decision.header)
    }

    /// The item, if the caller may judge it.
    async fn judgeable(
        &self,
        caller: &Caller,
        report: ReportId,
        action: &'static str,
    ) -> Result<ReportHeader, Error> {
        self.authorise(caller, action).await?;
        let header = self.ports.store.find(report).await?.ok_or(Error::NotFound)?;
        if header.involves(caller.user_id) {
            return Err(self.refused(caller, action, Denied::Involved).await?);
        }
        Ok(header)
    }

    async fn authorise(&self, caller: &Caller, action: &'static str) -> Result<(), Error> {
        match caller.require(AccessScope::ModerationManage) {
            Ok(()) => Ok(()),
            Err(denied) => Err(self.refused(caller, action, denied).await?),
        }
    }

    /// Records a refusal.
    async fn refused(&self, caller: &Caller, action: &'static str, denied: Denied) -> Result<Error, Error> {
        let p = &self.ports;
        let entry =
            AuditEntry::by(&*p.ids, p.clock.now(), caller, action).came_to(Outcome::Denied, denied.reason());
        p.sink.record(&[entry]).await.map_err(Error::Unavailable)?;
        Ok(denied.into())
    }

    async fn open(&self, stored: StoredReport) -> Result<Report, Error> {
        let StoredReport { header, comment, note, note_version } = stored;
        let contexts = [
            ReportHeader::comment_context(header.id, header.conversation_id),
            ReportHeader::note_context(header.id, header.conversation_id, note_version),
        ];
        let sealed: Vec<_> = contexts
            .into_iter()
            .zip([&comment, &note])
            .filter_map(|(context, sealed)| Some((context, sealed.as_ref()?)))
            .collect();
        let mut opened = self.ports.sealer.open_remaining(&sealed).await?.into_iter();
        let mut next = |sealed: &Option<_>| {
            let plain = if sealed.is_some() { opened.next().flatten() } else { None };
            let text = plain.map(String::from_utf8).transpose();
            text.map(|text| text.map(Remark::restored)).map_err(|e| Error::Unavailable(e.into()))
        };
        let (comment, note) = (next(&comment)?, next(&note)?);
        Ok(Report { header, comment, note })
    }
}

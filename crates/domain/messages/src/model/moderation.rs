use std::str::FromStr;

use alivio_kernel::ids::{ConversationId, MessageId, ReportId, UserId};
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::text::{self, Lines};
use alivio_kernel::{FieldError, Rule};
use chrono::{DateTime, Utc};

use crate::Error;

/// Gives an enum its names in storage and JSON.
macro_rules! named {
    ($(#[$doc:meta])* $type:ident in $field:literal { $($(#[$variant_doc:meta])* $variant:ident = $name:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[$variant_doc])* $variant),* }

        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name used in storage and JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }

        impl FromStr for $type {
            type Err = FieldError;
            fn from_str(name: &str) -> Result<Self, FieldError> {
                let found = Self::ALL.iter().find(|known| known.as_str() == name);
                found.copied().ok_or(FieldError::new($field, Rule::Unknown))
            }
        }
    };
}

named!(
    /// Why people report a message.
    ReportReason in "reason" {
        /// Not fit for a conversation like this.
        Inappropriate = "inappropriate",
        /// It attacks or presses someone.
        Harassment = "harassment",
        /// Unwanted.
        Spam = "spam",
        /// It tells what nobody may tell.
        Privacy = "privacy",
        /// Someone is in danger.
        Safety = "safety",
        /// Another reason, which the comment tells.
        Other = "other",
    }
);

named!(
    /// Where an item for moderation comes from.
    ReportKind in "kind" {
        /// Someone has reported the message.
        Report = "report",
        /// The rules have found something in it when it was sent.
        Flag = "flag",
    }
);

named!(
    /// How far moderation has come.
    ReportStatus in "status" {
        /// Nobody has looked at it.
        Open = "open",
        /// Someone has taken it on.
        InReview = "in_review",
        /// It was right, and something was done or not.
        Resolved = "resolved",
        /// There was nothing to it.
        Dismissed = "dismissed",
    }
);

named!(
    /// What was done about it.
    Resolution in "resolution" {
        /// Nothing.
        None = "none",
        /// The message was taken away.
        MessageRemoved = "message_removed",
        /// The sender was warned.
        Warned = "warned",
    }
);

/// Words about a report, by whoever reports or moderates: at most 1,000 characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Remark(String);

impl Remark {
    /// The most characters.
    pub const MAX: usize = 1000;

    /// Checks what someone typed into `field`.
    pub fn parse(field: &'static str, raw: &str) -> Result<Self, FieldError> {
        text::parse(field, raw, Self::MAX, Lines::Many).map(Self)
    }

    pub(crate) const fn restored(text: String) -> Self {
        Self(text)
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Remark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Remark({} bytes)", self.0.len())
    }
}

/// All that is known of a report besides the words about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportHeader {
    /// Its id.
    pub id: ReportId,
    /// Where it comes from.
    pub kind: ReportKind,
    /// The conversation of the message.
    pub conversation_id: ConversationId,
    /// The message.
    pub message_id: MessageId,
    /// Who said it.
    pub sender_id: UserId,
    /// Who reported it, if someone did.
    pub reporter_id: Option<UserId>,
    /// Why, if someone did.
    pub reason: Option<ReportReason>,
    /// What the rules have found: kind and rule.
    pub findings: Vec<(String, String)>,
    /// How far it has come.
    pub status: ReportStatus,
    /// What was done, once it is resolved.
    pub resolution: Option<Resolution>,
    /// Who moved it last.
    pub decided_by: Option<UserId>,
    /// Counts its moves, from 1.
    pub version: u32,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
    /// When it last moved.
    pub updated_at: DateTime<Utc>,
}

impl ReportHeader {
    /// Whether it is `user`'s own matter, which they do not judge.
    pub fn involves(&self, user: UserId) -> bool {
        self.sender_id == user || self.reporter_id == Some(user)
    }

    /// The same after `step` by `user` at `now`.
    ///
    /// # Errors
    /// [`Error::NotThere`].
    pub fn moved(&self, step: ReviewStep, user: UserId, now: DateTime<Utc>) -> Result<Self, Error> {
        let (status, resolution) = match (self.status, step) {
            (ReportStatus::Open, ReviewStep::Take) => (ReportStatus::InReview, None),
            (ReportStatus::InReview, ReviewStep::Resolve(resolution)) => {
                (ReportStatus::Resolved, Some(resolution))
            }
            (ReportStatus::InReview, ReviewStep::Dismiss) => (ReportStatus::Dismissed, None),
            _ => return Err(Error::NotThere),
        };
        Ok(Self {
            status,
            resolution,
            decided_by: Some(user),
            version: self.version + 1,
            updated_at: now,
            ..self.clone()
        })
    }

    /// The place where the reporter's words are sealed.
    pub(crate) const fn comment_context(id: ReportId, conversation: ConversationId) -> SealContext {
        SealContext {
            table: "message_reports",
            column: "comment",
            row: id.uuid(),
            scope: Scope::Conversation(conversation),
            version: 1,
        }
    }

    /// The place where the moderator's words are sealed, which each move may replace.
    pub(crate) const fn note_context(
        id: ReportId,
        conversation: ConversationId,
        version: u32,
    ) -> SealContext {
        SealContext {
            table: "message_reports",
            column: "note",
            row: id.uuid(),
            scope: Scope::Conversation(conversation),
            version,
        }
    }
}

/// A step of moderation: open → in review → resolved or dismissed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewStep {
    /// Someone takes it on.
    Take,
    /// It was right.
    Resolve(Resolution),
    /// There was nothing to it.
    Dismiss,
}

impl ReviewStep {
    /// The step to `status`.
    ///
    /// # Errors
    /// Nothing goes back to open; a resolution belongs to what is resolved, and to nothing else.
    pub fn to(status: ReportStatus, resolution: Option<Resolution>) -> Result<Self, FieldError> {
        match (status, resolution) {
            (ReportStatus::InReview, None) => Ok(Self::Take),
            (ReportStatus::Resolved, Some(resolution)) => Ok(Self::Resolve(resolution)),
            (ReportStatus::Dismissed, None) => Ok(Self::Dismiss),
            (ReportStatus::Resolved, None) => Err(FieldError::new("resolution", Rule::Missing)),
            (ReportStatus::Open, _) => Err(FieldError::new("status", Rule::Unknown)),
            (_, Some(_)) => Err(FieldError::new("resolution", Rule::Malformed)),
        }
    }
}

/// A report with the words about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What is known of it.
    pub header: ReportHeader,
    /// The reporter's words.
    pub comment: Option<Remark>,
    /// The moderator's words.
    pub note: Option<Remark>,
}

#[cfg(test)]
mod tests {
    use alivio_kernel::ids::Uuid;
    use proptest::prelude::*;

    use super::*;

    fn report() -> ReportHeader {
        ReportHeader {
            id: Uuid::from_u128(1).into(),
            kind: ReportKind::Report,
            conversation_id: Uuid::from_u128(2).into(),
            message_id: Uuid::from_u128(3).into(),
            sender_id: Uuid::from_u128(4).into(),
            reporter_id: Some(Uuid::from_u128(5).into()),
            reason: Some(ReportReason::Harassment),
            findings: Vec::new(),
            status: ReportStatus::Open,
            resolution: None,
            decided_by: None,
            version: 1,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn names_are_told_apart() {
        for reason in ReportReason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
        }
        assert!("x".parse::<ReportStatus>().is_err());
    }

    #[test]
    fn a_resolution_belongs_to_what_is_resolved() {
        use ReportStatus::{Dismissed, InReview, Open, Resolved};
        assert_eq!(
            ReviewStep::to(Resolved, Some(Resolution::Warned)),
            Ok(ReviewStep::Resolve(Resolution::Warned))
        );
        for (status, resolution) in [
            (Resolved, None),
            (Open, None),
            (Dismissed, Some(Resolution::None)),
            (InReview, Some(Resolution::None)),
        ] {
            assert!(ReviewStep::to(status, resolution).is_err());
        }
    }

    proptest! {
        /// No sequence of steps reaches anything but open → in review → resolved or dismissed.
        #[test]
        fn reports_move_forward_only(steps in prop::collection::vec(0..5_usize, 0..12)) {
            use ReviewStep::{Dismiss, Resolve, Take};
            const STEPS: [ReviewStep; 5] = [
                Take, Dismiss, Resolve(Resolution::None), Resolve(Resolution::MessageRemoved),
                Resolve(Resolution::Warned),
            ];
            let mut now = report();
            for step in steps {
                let next = now.moved(STEPS[step], Uuid::from_u128(9).into(), DateTime::UNIX_EPOCH);
                let expected = match (now.status, STEPS[step]) {
                    (ReportStatus::Open, Take) => Some(ReportStatus::InReview),
                    (ReportStatus::InReview, Resolve(_)) => Some(ReportStatus::Resolved),
                    (ReportStatus::InReview, Dismiss) => Some(ReportStatus::Dismissed),
                    _ => None,
                };
                prop_assert_eq!(next.as_ref().ok().map(|next| next.status), expected);
                if let Ok(next) = next {
                    prop_assert_eq!(next.version, now.version + 1);
                    prop_assert_eq!(next.resolution.is_some(), next.status == ReportStatus::Resolved);
                    now = next;
                }
            }
        }
    }
}

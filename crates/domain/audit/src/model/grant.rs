use alivio_kernel::ids::{ConversationId, GrantId, UserId};
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::text::{self, Lines};
use alivio_kernel::{FieldError, Rule, Sensitive};
use chrono::{DateTime, TimeDelta, Utc};

/// How long a grant lasts, unless it is ended earlier (C-59). It cannot be extended.
pub const GRANT_LIFETIME: TimeDelta = TimeDelta::minutes(60);

/// Why someone must read a conversation that they are not in.
#[derive(Debug, Clone)]
pub struct Reason(Sensitive<String>);

impl Reason {
    /// A word or two explain nothing.
    const MIN: usize = 10;
    const MAX: usize = 500;

    /// Takes 10 to 500 characters.
    ///
    /// # Errors
    /// A rule of `reason`.
    pub fn parse(raw: &str) -> Result<Self, FieldError> {
        let reason = text::parse("reason", raw, Self::MAX, Lines::Many)?;
        if reason.chars().count() < Self::MIN {
            return Err(FieldError::new("reason", Rule::TooFew { min: Self::MIN }));
        }
        Ok(Self(Sensitive::new(reason)))
    }

    /// The words.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Where the reason of a grant is sealed. It speaks of those in the conversation, and goes when that goes.
pub const fn reason_context(grant: GrantId, conversation: ConversationId) -> SealContext {
    SealContext {
        table: "break_glass_grants",
        column: "reason",
        row: grant.uuid(),
        scope: Scope::Conversation(conversation),
        version: 1,
    }
}

/// A permission to read one conversation, as administrators see it.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Which.
    pub id: GrantId,
    /// Who may read.
    pub admin_id: UserId,
    /// What.
    pub conversation_id: ConversationId,
    /// Why.
    pub reason: Sensitive<String>,
    /// From when on.
    pub opened_at: DateTime<Utc>,
    /// Until when at the latest.
    pub expires_at: DateTime<Utc>,
    /// When it was ended early.
    pub ended_at: Option<DateTime<Utc>>,
    /// By whom.
    pub ended_by: Option<UserId>,
}

impl Grant {
    /// Whether one may read by it at `now`.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.ended_at.is_none() && now < self.expires_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_10_to_500_characters_and_does_not_show() {
        assert!(Reason::parse("ñandúes ok").is_ok() && Reason::parse(&"é".repeat(500)).is_ok());
        for bad in ["", "  a  b  ", "too short", &"x".repeat(501), "0123456789\0"] {
            assert!(Reason::parse(bad).is_err(), "{bad}");
        }
        assert!(!format!("{:?}", Reason::parse("suicide risk").unwrap()).contains("suicide"));
    }
}

use alivio_kernel::ids::{ConversationId, InvitationLinkId, UserId};
use alivio_kernel::{FieldError, Rule};
use chrono::{DateTime, TimeDelta, Utc};

/// The most people that one link lets in.
const MAX_USES: i32 = 1000;
/// 30 days.
const MAX_HOURS: i64 = 720;
const DEFAULT_HOURS: i64 = 72;

/// A link that lets people into a conversation (C-54). The secret in it is known to those who hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationLink {
    /// Its id.
    pub id: InvitationLinkId,
    /// Where it leads.
    pub conversation_id: ConversationId,
    /// Who made it. It is good while they moderate.
    pub created_by: UserId,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
    /// How many it lets in; as many as come if `None`.
    pub max_uses: Option<i32>,
    /// How many it has let in.
    pub uses: i32,
    /// When it was withdrawn.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl InvitationLink {
    /// Whether it lets someone in at `now`.
    pub fn is_good(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && now < self.expires_at && self.max_uses.is_none_or(|max| self.uses < max)
    }
}

/// How far a new link reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkTerms {
    pub(crate) lifetime: TimeDelta,
    pub(crate) max_uses: Option<i32>,
}

impl LinkTerms {
    /// Good for 1 to 720 hours (72 unless said otherwise), for 1 to 1,000 people or any number.
    ///
    /// # Errors
    /// Names the field and the rule.
    pub fn parse(expires_in_hours: Option<i64>, max_uses: Option<i32>) -> Result<Self, FieldError> {
        let hours = expires_in_hours.unwrap_or(DEFAULT_HOURS);
        if !(1..=MAX_HOURS).contains(&hours) {
            return Err(FieldError::new("expires_in_hours", Rule::OutOfRange { min: 1, max: MAX_HOURS }));
        }
        if max_uses.is_some_and(|uses| !(1..=MAX_USES).contains(&uses)) {
            return Err(FieldError::new("max_uses", Rule::OutOfRange { min: 1, max: i64::from(MAX_USES) }));
        }
        Ok(Self { lifetime: TimeDelta::hours(hours), max_uses })
    }
}

#[cfg(test)]
mod tests {
    use alivio_kernel::SequentialIds;

    use super::*;

    #[test]
    fn a_link_is_good_until_it_is_used_up_over_or_withdrawn() {
        let ids = SequentialIds::default();
        let now = DateTime::UNIX_EPOCH;
        let good = InvitationLink {
            id: InvitationLinkId::generate(&ids),
            conversation_id: ConversationId::generate(&ids),
            created_by: UserId::generate(&ids),
            created_at: now,
            expires_at: now + TimeDelta::hours(1),
            max_uses: Some(2),
            uses: 1,
            revoked_at: None,
        };
        assert!(good.is_good(now));
        assert!(!good.is_good(good.expires_at));
        assert!(!InvitationLink { uses: 2, ..good.clone() }.is_good(now));
        assert!(!InvitationLink { revoked_at: Some(now), ..good.clone() }.is_good(now));
        assert!(InvitationLink { uses: 2, max_uses: None, ..good }.is_good(now));
    }

    #[test]
    fn terms_are_bounded() {
        assert!(LinkTerms::parse(None, None).is_ok());
        for (hours, uses) in [(Some(0), None), (Some(721), None), (None, Some(0)), (None, Some(1001))] {
            assert!(LinkTerms::parse(hours, uses).is_err(), "{hours:?} {uses:?}");
        }
    }
}

use std::net::IpAddr;

use alivio_kernel::audit::Outcome;
use alivio_kernel::ids::{AuditId, UserId, Uuid};
use alivio_kernel::{FieldError, Role, Rule};
use chrono::{DateTime, Utc};

/// A line of the trail, as it was stored: ids and codes, never names or content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its id.
    pub id: AuditId,
    /// When.
    pub at: DateTime<Utc>,
    /// Who, if anybody was signed in.
    pub actor: Option<UserId>,
    /// The role they had.
    pub actor_role: Option<Role>,
    /// The network address it came from.
    pub address: Option<IpAddr>,
    /// `thing.what_was_done`.
    pub action: String,
    /// Whose data it concerns.
    pub subject: Option<UserId>,
    /// What it was done to: its kind and id.
    pub object: Option<(String, Uuid)>,
    /// What came of it.
    pub outcome: Outcome,
    /// Why, as a code.
    pub reason: Option<String>,
}

/// The beginning of an action's name: `user.` or `user.deactivated`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionPrefix(String);

impl ActionPrefix {
    /// Takes lower-case letters, digits, `_` and `.`: what names of actions are made of.
    ///
    /// # Errors
    /// [`Rule::Malformed`] of `action`.
    pub fn parse(raw: &str) -> Result<Self, FieldError> {
        code("action", raw, |c| c == '.').map(Self)
    }

    /// The beginning.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The kind of a thing that something was done to: `conversation`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectKind(String);

impl ObjectKind {
    /// Takes lower-case letters, digits and `_`.
    ///
    /// # Errors
    /// [`Rule::Malformed`] of `object_kind`.
    pub fn parse(raw: &str) -> Result<Self, FieldError> {
        code("object_kind", raw, |_| false).map(Self)
    }

    /// The kind.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// No code is longer.
const MAX_CODE: usize = 64;

fn code(field: &'static str, raw: &str, also: impl Fn(char) -> bool) -> Result<String, FieldError> {
    let plain = raw.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || also(c));
    if raw.is_empty() || raw.len() > MAX_CODE || !plain {
        return Err(FieldError::new(field, Rule::Malformed));
    }
    Ok(raw.to_owned())
}

/// Which part of the trail to read. Everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrailFilter {
    /// Done by them.
    pub actor: Option<UserId>,
    /// About their data.
    pub subject: Option<UserId>,
    /// Of this action, or of those whose names begin so.
    pub action: Option<ActionPrefix>,
    /// Done to a thing of this kind.
    pub object_kind: Option<ObjectKind>,
    /// Done to this thing.
    pub object_id: Option<Uuid>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// At this instant or later.
    pub from: Option<DateTime<Utc>>,
    /// Before this instant.
    pub to: Option<DateTime<Utc>>,
}

/// Where a page starts, newest first: after what happened at `at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Which it was.
    pub id: Uuid,
}

impl After {
    /// The cursor that a client sends back.
    pub fn cursor(at: DateTime<Utc>, id: Uuid) -> String {
        format!("{}.{id}", at.timestamp_micros())
    }

    /// Reads a cursor.
    ///
    /// # Errors
    /// [`Rule::Malformed`] of `cursor`.
    pub fn parse(cursor: &str) -> Result<Self, FieldError> {
        let parse = || {
            let (micros, id) = cursor.split_once('.')?;
            Some(Self { at: DateTime::from_timestamp_micros(micros.parse().ok()?)?, id: id.parse().ok()? })
        };
        parse().ok_or(FieldError::new("cursor", Rule::Malformed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_hold_nothing_that_a_pattern_would_read() {
        assert_eq!(ActionPrefix::parse("user.deactivated").unwrap().as_str(), "user.deactivated");
        assert!(ObjectKind::parse("conversation").is_ok());
        for bad in ["", "User", "a%", "a b", "ñ", "a\0", &"x".repeat(65)] {
            assert!(ActionPrefix::parse(bad).is_err(), "{bad}");
            assert!(ObjectKind::parse(bad).is_err(), "{bad}");
        }
        assert!(ObjectKind::parse("a.b").is_err());
    }

    #[test]
    fn a_cursor_reads_back() {
        let (at, id) = (DateTime::from_timestamp_micros(1_767_225_600_000_001).unwrap(), Uuid::from_u128(7));
        assert_eq!(After::parse(&After::cursor(at, id)), Ok(After { at, id }));
        for bad in ["", ".", "1", "x.y", "1.2"] {
            assert!(After::parse(bad).is_err(), "{bad}");
        }
    }
}

use serde_json::{Value, json};

/// The source of an error of the outside world. Logged once at the edge, never shown.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// How an error is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The input breaks a rule (422).
    Invalid,
    /// Good input at a time when it is not taken (400).
    NotNow,
    /// Nobody is signed in, or no longer (401).
    Unauthenticated,
    /// Seen, but not allowed (403).
    Forbidden,
    /// Does not exist, or the caller may not know that it does (404).
    NotFound,
    /// The input contradicts what is stored (409).
    Conflict,
    /// More bytes than are taken (413).
    TooLarge,
    /// Content of a type that is not taken (415).
    UnsupportedType,
    /// Too much in too short a time (429).
    RateLimited,
    /// Something we depend on does not answer; a retry may help (503).
    Unavailable,
    /// There is no room to store it (507).
    Full,
    /// Our fault (500).
    Internal,
}

/// What every domain error tells an edge. Nothing else crosses.
pub trait DomainError: std::error::Error + Send + Sync + 'static {
    /// How to answer.
    fn kind(&self) -> ErrorKind;
    /// A stable snake_case code that clients may rely on.
    fn code(&self) -> &'static str;
    /// Facts a client can act on. MUST NOT hold patient data.
    fn details(&self) -> Option<Value> {
        None
    }
}

/// The rule that a field broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Nothing but white space.
    Empty,
    /// More characters than allowed.
    TooLong {
        /// The limit in Unicode scalar values.
        max: usize,
    },
    /// A NUL or another control character that text cannot hold.
    ControlCharacter,
    /// Not of the form the field needs.
    Malformed,
    /// More elements than allowed.
    TooMany {
        /// The limit.
        max: usize,
    },
    /// Fewer elements than needed.
    TooFew {
        /// The least number.
        min: usize,
    },
    /// Below or above what is allowed.
    OutOfRange {
        /// Lowest allowed value.
        min: i64,
        /// Highest allowed value.
        max: i64,
    },
    /// Does not refer to anything the caller can use.
    Unknown,
    /// Fewer characters than needed.
    TooShort {
        /// The least number of Unicode scalar values.
        min: usize,
    },
    /// One of the first that anybody would guess.
    TooCommon,
    /// Needed here, and not there.
    Missing,
}

impl Rule {
    /// The rule's stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong { .. } => "too_long",
            Self::ControlCharacter => "control_character",
            Self::Malformed => "malformed",
            Self::TooMany { .. } => "too_many",
            Self::TooFew { .. } => "too_few",
            Self::OutOfRange { .. } => "out_of_range",
            Self::Unknown => "unknown",
            Self::TooShort { .. } => "too_short",
            Self::TooCommon => "too_common",
            Self::Missing => "missing",
        }
    }
}

/// A field of the input that breaks a rule. Holds the field's name, never its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {}", rule.name())]
pub struct FieldError {
    /// The field's name in the API.
    pub field: &'static str,
    /// The rule.
    pub rule: Rule,
}

impl FieldError {
    /// `field` breaks `rule`.
    pub const fn new(field: &'static str, rule: Rule) -> Self {
        Self { field, rule }
    }

    /// The `details` of the answer: `{field, rule, max?, min?}`.
    pub fn details(&self) -> Value {
        let mut details = json!({"field": self.field, "rule": self.rule.name()});
        match self.rule {
            Rule::TooLong { max } | Rule::TooMany { max } => details["max"] = json!(max),
            Rule::TooFew { min } => details["min"] = json!(min),
            Rule::OutOfRange { min, max } => {
                details["min"] = json!(min);
                details["max"] = json!(max);
            }
            Rule::TooShort { min } => details["min"] = json!(min),
            Rule::Empty
            | Rule::ControlCharacter
            | Rule::Malformed
            | Rule::Unknown
            | Rule::TooCommon
            | Rule::Missing => {}
        }
        details
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_carry_the_limits_and_never_the_value() {
        assert_eq!(
            FieldError::new("content", Rule::TooLong { max: 5000 }).details(),
            json!({"field": "content", "rule": "too_long", "max": 5000})
        );
        assert_eq!(
            FieldError::new("page", Rule::OutOfRange { min: 1, max: 9 }).details(),
            json!({"field": "page", "rule": "out_of_range", "min": 1, "max": 9})
        );
    }
}

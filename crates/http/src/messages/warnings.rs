//! What the rules have found in a message, for its sender.

use alivio_messages::screening::Finding;
use serde::Serialize;
use utoipa::ToSchema;

/// Something that was found in a message, without the text.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageWarning)]
pub(crate) struct WarningBody {
    /// `profanity`, `phi` (what identifies a person) or `spam`.
    #[schema(example = "phi")]
    kind: &'static str,
    /// By which rule.
    #[schema(example = "phone")]
    rule: &'static str,
}

impl WarningBody {
    pub(crate) fn all(findings: &[Finding]) -> Vec<Self> {
        findings.iter().map(|finding| Self { kind: finding.kind.as_str(), rule: finding.rule }).collect()
    }
}

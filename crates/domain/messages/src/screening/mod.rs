//! What is said of a message before it is sent: rude, identifying, unwanted (S0-174 … S0-176).
//!
//! Findings name rules and never hold the text. What follows from them is [`ScreeningPolicy`]'s to say: by default the
//! sender is warned and the message is flagged for those who moderate. Nothing is dropped in silence, and what is said
//! about the care of a patient is never refused.

mod phi;
mod policy;
mod profanity;
mod spam;

pub use policy::{ScreeningAction, ScreeningPolicy, Verdict};

/// What kind of thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingKind {
    /// Rude words.
    Profanity,
    /// What identifies a person.
    Phi,
    /// What nobody wants to read.
    Spam,
}

impl FindingKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Profanity, Self::Phi, Self::Spam];

    /// The name used in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Profanity => "profanity",
            Self::Phi => "phi",
            Self::Spam => "spam",
        }
    }
}

/// Something that was found in a text, without the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// By which rule: `email`, `link_flood`.
    pub rule: &'static str,
}

/// The same text so often within five minutes is one time too many.
pub const SAME_TEXT: u32 = 3;

/// Looks for all that the rules know in `text`, which the sender has now said `times` times in a short while.
pub fn screen(text: &str, times: u32) -> Vec<Finding> {
    let of = |kind| move |rule| Finding { kind, rule };
    let mut findings = Vec::new();
    if profanity::found(text) {
        findings.push(of(FindingKind::Profanity)("rude_word"));
    }
    findings.extend(phi::rules(text).into_iter().map(of(FindingKind::Phi)));
    findings.extend(spam::rules(text).map(of(FindingKind::Spam)));
    if times >= SAME_TEXT {
        findings.push(of(FindingKind::Spam)("same_text"));
    }
    findings
}

/// The form of a text by which the same is recognised as the same; `None` if it is too short to tell anything.
pub(crate) fn same_text_key(text: &str) -> Option<String> {
    const SHORTEST: usize = 12;
    let key = crate::words::words(text).into_iter().map(|word| word.folded).collect::<Vec<_>>().join(" ");
    (key.chars().count() >= SHORTEST).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_counts_from_the_third_time() {
        assert_eq!(screen("buenos días", 2), []);
        assert_eq!(screen("buenos días", 3), [Finding { kind: FindingKind::Spam, rule: "same_text" }]);
        assert_eq!(same_text_key("sí, gracias"), None);
        assert_eq!(same_text_key("¡Compre  AHORA, barato!"), same_text_key("compre ahora barato"));
    }

    #[test]
    fn several_things_are_found_at_once() {
        let rules: Vec<_> =
            screen("mierda, llame al 612345678", 1).into_iter().map(|f| (f.kind, f.rule)).collect();
        assert_eq!(rules, [(FindingKind::Profanity, "rude_word"), (FindingKind::Phi, "phone")]);
    }
}

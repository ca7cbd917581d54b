use std::str::FromStr;

use super::{Finding, FindingKind};
use crate::Room;

/// What follows from a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScreeningAction {
    /// Nothing.
    Off,
    /// The sender is told.
    Warn,
    /// The sender is told, and so are those who moderate.
    Flag,
    /// The message is not sent.
    Block,
}

impl FromStr for ScreeningAction {
    type Err = ();
    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "off" => Ok(Self::Off),
            "warn" => Ok(Self::Warn),
            "flag" => Ok(Self::Flag),
            "block" => Ok(Self::Block),
            _ => Err(()),
        }
    }
}

/// What follows from which finding, and where. Where the care of a patient is discussed and in an emergency nothing is
/// ever refused: there [`ScreeningAction::Block`] flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScreeningPolicy {
    /// Rude words.
    pub profanity: ScreeningAction,
    /// What identifies a person, outside care.
    pub phi: ScreeningAction,
    /// The same where care is discussed, where it is to be expected.
    pub phi_in_care: ScreeningAction,
    /// The same in discussions of cases that nobody may recognise.
    pub phi_in_cases: ScreeningAction,
    /// What nobody wants to read. Nobody is judged for how they call for help.
    pub spam: ScreeningAction,
}

impl Default for ScreeningPolicy {
    fn default() -> Self {
        Self {
            profanity: ScreeningAction::Flag,
            phi: ScreeningAction::Flag,
            phi_in_care: ScreeningAction::Off,
            phi_in_cases: ScreeningAction::Block,
            spam: ScreeningAction::Flag,
        }
    }
}

/// What is to be done with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is sent. The sender is told of `warnings`, those who moderate of `flags`.
    Sent {
        /// For the sender.
        warnings: Vec<Finding>,
        /// For those who moderate.
        flags: Vec<Finding>,
    },
    /// It is not, because of these.
    Refused(Vec<Finding>),
}

impl ScreeningPolicy {
    /// Judges what was found in a message for `room`.
    pub fn judge(&self, room: &Room, findings: Vec<Finding>) -> Verdict {
        let at_least = |action| {
            findings.iter().copied().filter(|f| self.action(room, f.kind) >= action).collect::<Vec<_>>()
        };
        let refused = at_least(ScreeningAction::Block);
        if !refused.is_empty() {
            return Verdict::Refused(refused);
        }
        Verdict::Sent { warnings: at_least(ScreeningAction::Warn), flags: at_least(ScreeningAction::Flag) }
    }

    fn action(&self, room: &Room, kind: FindingKind) -> ScreeningAction {
        let action = match kind {
            FindingKind::Profanity => self.profanity,
            FindingKind::Phi if room.is_case_discussion => self.phi_in_cases,
            FindingKind::Phi if room.is_care || room.is_emergency => self.phi_in_care,
            FindingKind::Phi => self.phi,
            FindingKind::Spam if room.is_emergency => ScreeningAction::Off,
            FindingKind::Spam => self.spam,
        };
        if room.is_care || room.is_emergency { action.min(ScreeningAction::Flag) } else { action }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) const PHI: Finding = Finding { kind: FindingKind::Phi, rule: "email" };
    const RUDE: Finding = Finding { kind: FindingKind::Profanity, rule: "rude_word" };
    const SPAM: Finding = Finding { kind: FindingKind::Spam, rule: "shouting" };

    fn room() -> Room {
        Room {
            is_direct: false,
            is_emergency: false,
            is_care: false,
            is_case_discussion: false,
            file_sharing: true,
            typing_indicators: true,
            read_receipts: true,
            message_editing: true,
            message_deletion: true,
        }
    }

    fn sent(warnings: &[Finding], flags: &[Finding]) -> Verdict {
        Verdict::Sent { warnings: warnings.to_vec(), flags: flags.to_vec() }
    }

    #[test]
    fn by_default_the_sender_is_warned_and_the_message_flagged() {
        let policy = ScreeningPolicy::default();
        assert_eq!(policy.judge(&room(), vec![PHI, RUDE]), sent(&[PHI, RUDE], &[PHI, RUDE]));
        let care = Room { is_care: true, ..room() };
        assert_eq!(policy.judge(&care, vec![PHI, RUDE]), sent(&[RUDE], &[RUDE]));
        let emergency = Room { is_emergency: true, ..room() };
        assert_eq!(policy.judge(&emergency, vec![PHI, SPAM]), sent(&[], &[]));
    }

    #[test]
    fn a_case_discussion_names_nobody() {
        let cases = Room { is_case_discussion: true, ..room() };
        let policy = ScreeningPolicy::default();
        assert_eq!(policy.judge(&cases, vec![PHI, RUDE]), Verdict::Refused(vec![PHI]));
        let lenient = ScreeningPolicy { phi_in_cases: ScreeningAction::Warn, ..policy };
        assert_eq!(lenient.judge(&cases, vec![PHI]), sent(&[PHI], &[]));
    }

    fn action() -> impl Strategy<Value = ScreeningAction> {
        use ScreeningAction::{Block, Flag, Off, Warn};
        prop::sample::select(vec![Off, Warn, Flag, Block])
    }

    proptest! {
        /// Whatever is configured, nothing about the care of a patient is refused, and whoever is flagged is warned.
        #[test]
        fn care_is_never_refused_and_nobody_is_flagged_in_silence(
            actions in (action(), action(), action(), action(), action()),
            (is_care, is_emergency, is_case_discussion) in any::<(bool, bool, bool)>(),
        ) {
            let (profanity, phi, phi_in_care, phi_in_cases, spam) = actions;
            let policy = ScreeningPolicy { profanity, phi, phi_in_care, phi_in_cases, spam };
            let room = Room { is_care, is_emergency, is_case_discussion, ..room() };
            match policy.judge(&room, vec![PHI, RUDE, SPAM]) {
                Verdict::Refused(_) => prop_assert!(!is_care && !is_emergency),
                Verdict::Sent { warnings, flags } => {
                    prop_assert!(flags.iter().all(|flag| warnings.contains(flag)));
                }
            }
        }
    }
}

use std::str::FromStr;

use alivio_kernel::ids::UserId;
use alivio_kernel::{FieldError, Role, Rule};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Kind, Schedule, Zone};

/// What becomes of what a patient writes while it is closed (C-19).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutsideHours {
    /// It is refused, and the patient is told when it opens.
    #[default]
    Reject,
    /// It is stored, and disturbs nobody: it is there when the professional looks.
    AcceptSilently,
    /// It is stored, disturbs nobody, and the first of a closed period is answered by a machine that says when it opens.
    AutoReply,
}

impl OutsideHours {
    /// The name used in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::AcceptSilently => "accept_silently",
            Self::AutoReply => "auto_reply",
        }
    }
}

impl FromStr for OutsideHours {
    type Err = FieldError;
    fn from_str(s: &str) -> Result<Self, FieldError> {
        [Self::Reject, Self::AcceptSilently, Self::AutoReply]
            .into_iter()
            .find(|outside| outside.as_str() == s)
            .ok_or(FieldError::new("outside_hours", Rule::Unknown))
    }
}

/// When patients may write to someone, and what becomes of what they write otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatHours {
    /// When.
    pub schedule: Schedule,
    /// Otherwise.
    pub outside: OutsideHours,
}

/// Whose hours hold in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attendance {
    /// How people meet in it.
    pub kind: Kind,
    /// The professionals in it, with their own hours if they have set any; those who have been in it for longest first.
    pub professionals: Vec<Attendant>,
}

/// A professional in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attendant {
    /// Who.
    pub user_id: UserId,
    /// What their account is for.
    pub role: Role,
    /// Whether they moderate.
    pub moderates: bool,
    /// Their own hours; the clinic's hold if they have set none.
    pub hours: Option<ChatHours>,
}

/// Whether a patient may write in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Availability {
    /// Whether it is open.
    pub is_open: bool,
    /// When it opens: now, if it is open; `None` if that is not within 400 days.
    pub next_open_at: Option<DateTime<Utc>>,
    /// The zone of the hours that decide.
    pub zone: Zone,
    /// The hours of the day there, `08:00-22:00`.
    pub hours: String,
    /// The time on the wall there, `HH:MM`.
    pub wall_time: String,
    /// What becomes of what a patient writes while it is closed.
    pub outside: OutsideHours,
    /// On whose behalf a machine answers; nobody's if it does not.
    pub answers_for: Option<UserId>,
}

impl ChatHours {
    /// How these hours stand at an instant.
    pub fn availability(&self, at: DateTime<Utc>) -> Availability {
        let zone = self.schedule.zone();
        Availability {
            is_open: self.schedule.is_open(at),
            next_open_at: self.schedule.next_open_at(at),
            zone,
            hours: self.schedule.hours_on(at),
            wall_time: zone.wall_time(at),
            outside: self.outside,
            answers_for: None,
        }
    }
}

impl Attendance {
    /// Whether a patient may write at this instant, where the clinic's hours are `clinic`.
    ///
    /// Emergencies are always open. Otherwise it is open if it is for any clinician who moderates; if none does, for
    /// any clinician in it; if there is none, by the hours of the clinic. Closed for all of them, the most lenient says
    /// what becomes of a message: one who takes messages at night is not kept from it by one who does not.
    pub fn availability(&self, clinic: &ChatHours, at: DateTime<Utc>) -> Availability {
        if self.kind == Kind::Emergency {
            let always = clinic.availability(at);
            return Availability { is_open: true, next_open_at: Some(at), ..always };
        }
        let clinicians = || self.professionals.iter().filter(|p| p.role.is_clinician());
        let moderated = clinicians().any(|p| p.moderates);
        let stands = clinicians().filter(|p| p.moderates || !moderated).map(|p| {
            let availability = p.hours.as_ref().unwrap_or(clinic).availability(at);
            Availability { answers_for: Some(p.user_id), ..availability }
        });
        let stands: Vec<_> = stands.collect();
        let Some(soonest) = soonest(&stands) else {
            let answers_for = self.professionals.first().map(|p| p.user_id);
            return Availability { answers_for, ..clinic.availability(at) };
        };
        let most_lenient = stands.iter().max_by_key(|stand| stand.outside).unwrap_or(soonest);
        Availability {
            outside: most_lenient.outside,
            answers_for: most_lenient.answers_for,
            ..soonest.clone()
        }
    }
}

/// The one that is open or opens first.
fn soonest(stands: &[Availability]) -> Option<&Availability> {
    stands.iter().min_by_key(|stand| stand.next_open_at.unwrap_or(DateTime::<Utc>::MAX_UTC))
}

#[cfg(test)]
mod tests {
    use alivio_kernel::ids::Uuid;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn hours(from: &str, to: &str, outside: OutsideHours) -> ChatHours {
        ChatHours { schedule: Schedule::daily("UTC".parse().unwrap(), from, to).unwrap(), outside }
    }

    fn attendant(n: u128, role: Role, moderates: bool, hours: Option<ChatHours>) -> Attendant {
        Attendant { user_id: Uuid::from_u128(n).into(), role, moderates, hours }
    }

    fn of(kind: Kind, professionals: Vec<Attendant>) -> Attendance {
        Attendance { kind, professionals }
    }

    const REJECT: OutsideHours = OutsideHours::Reject;

    #[test]
    fn the_hours_of_the_clinic_hold_for_those_who_have_set_none() {
        let clinic = hours("08:00", "22:00", REJECT);
        let direct = of(Kind::Direct, vec![attendant(1, Role::Doctor, true, None)]);
        assert!(direct.availability(&clinic, at("2026-01-15T08:00:00Z")).is_open);
        let night = direct.availability(&clinic, at("2026-01-15T22:00:00Z"));
        assert!(!night.is_open);
        assert_eq!(night.next_open_at, Some(at("2026-01-16T08:00:00Z")));
        assert_eq!((night.hours.as_str(), night.wall_time.as_str()), ("08:00-22:00", "22:00"));
    }

    #[test]
    fn emergencies_are_always_open() {
        let never = ChatHours {
            schedule: Schedule::new("UTC".parse().unwrap(), Vec::new(), Vec::new()).unwrap(),
            outside: REJECT,
        };
        let someone = vec![attendant(1, Role::Doctor, true, Some(never.clone()))];
        for kind in Kind::ALL {
            let stands = of(kind, someone.clone()).availability(&never, at("2026-01-15T03:00:00Z"));
            assert_eq!(stands.is_open, kind == Kind::Emergency, "{kind:?}");
        }
    }

    #[test]
    fn it_is_open_if_any_clinician_who_moderates_is() {
        let clinic = hours("08:00", "22:00", REJECT);
        let early = attendant(1, Role::Doctor, true, Some(hours("06:00", "07:00", REJECT)));
        let late = attendant(2, Role::Doctor, true, Some(hours("22:00", "23:00", REJECT)));
        let group = of(Kind::Group, vec![early.clone(), late.clone()]);
        for open in ["2026-01-15T06:30:00Z", "2026-01-15T22:30:00Z"] {
            assert!(group.availability(&clinic, at(open)).is_open, "{open}");
        }
        let noon = group.availability(&clinic, at("2026-01-15T12:00:00Z"));
        assert_eq!((noon.is_open, noon.next_open_at), (false, Some(at("2026-01-15T22:00:00Z"))));
        assert_eq!(noon.hours, "22:00-23:00", "of whoever is there first");
        // Who is only a member does not open it, unless no clinician moderates.
        let member = Attendant { moderates: false, ..late };
        let group = of(Kind::Group, vec![early, member.clone()]);
        assert!(!group.availability(&clinic, at("2026-01-15T22:30:00Z")).is_open);
        let admin = attendant(3, Role::MedicalAdmin, true, None);
        let group = of(Kind::Group, vec![admin, member]);
        assert!(group.availability(&clinic, at("2026-01-15T22:30:00Z")).is_open);
    }

    #[test]
    fn without_a_clinician_the_clinic_answers() {
        let clinic = hours("08:00", "22:00", OutsideHours::AutoReply);
        let own = hours("00:00", "24:00", REJECT);
        let direct = of(Kind::Direct, vec![attendant(3, Role::MedicalAdmin, true, Some(own))]);
        let night = direct.availability(&clinic, at("2026-01-15T23:00:00Z"));
        assert_eq!((night.is_open, night.outside), (false, OutsideHours::AutoReply));
        assert_eq!(night.answers_for, Some(Uuid::from_u128(3).into()));
    }

    #[test]
    fn the_most_lenient_says_what_becomes_of_a_message() {
        let clinic = hours("08:00", "22:00", REJECT);
        let strict = attendant(1, Role::Doctor, true, None);
        let kind = attendant(2, Role::Doctor, true, Some(hours("09:00", "10:00", OutsideHours::AutoReply)));
        let night = of(Kind::Group, vec![strict, kind]).availability(&clinic, at("2026-01-15T23:00:00Z"));
        assert_eq!(
            (night.outside, night.answers_for),
            (OutsideHours::AutoReply, Some(Uuid::from_u128(2).into()))
        );
        assert_eq!(night.next_open_at, Some(at("2026-01-16T08:00:00Z")), "the first who opens");
    }
}

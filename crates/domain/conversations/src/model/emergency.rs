use std::collections::BTreeSet;
use std::fmt;

use alivio_kernel::ids::{ConversationId, EmergencyId, UserId};
use alivio_kernel::{FieldError, Rule};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Schedule;

/// The most levels an on-call list can have.
const MAX_LEVELS: usize = 5;
/// The most people of one level.
const MAX_PEOPLE: usize = 20;

/// How the clinic answers emergencies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmergencyPolicy {
    /// The number that people dial when a life is in danger.
    pub number: EmergencyNumber,
    /// How long those of one level have to acknowledge before those of the next are paged.
    pub acknowledge_within: TimeDelta,
}

/// A telephone number for emergencies: `112`.
#[derive(Clone, PartialEq, Eq)]
pub struct EmergencyNumber(String);

impl EmergencyNumber {
    /// Takes 2 to 16 digits, spaces, hyphens and a plus.
    ///
    /// # Errors
    /// [`Rule::Malformed`].
    pub fn parse(raw: &str) -> Result<Self, FieldError> {
        let fits = |c: char| c.is_ascii_digit() || matches!(c, ' ' | '-' | '+');
        let digits = raw.chars().filter(char::is_ascii_digit).count();
        if digits < 2 || raw.len() > 16 || !raw.chars().all(fits) {
            return Err(FieldError::new("emergency_number", Rule::Malformed));
        }
        Ok(Self(raw.to_owned()))
    }

    /// The number.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EmergencyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Someone who answers emergencies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnCallPerson {
    /// Who.
    pub user_id: UserId,
    /// When; always, if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shifts: Option<Schedule>,
}

/// Who answers emergencies: those of the first level are paged at once, those of the next when nobody acknowledged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnCallList {
    levels: Vec<Vec<OnCallPerson>>,
}

impl OnCallList {
    /// A list of these levels. Nobody is on it twice.
    ///
    /// # Errors
    /// [`Rule::TooMany`], [`Rule::TooFew`] for a level without people, [`Rule::Malformed`] for repeated ones.
    pub fn new(levels: Vec<Vec<OnCallPerson>>) -> Result<Self, FieldError> {
        if levels.len() > MAX_LEVELS {
            return Err(FieldError::new("levels", Rule::TooMany { max: MAX_LEVELS }));
        }
        for level in &levels {
            match level.len() {
                0 => return Err(FieldError::new("people", Rule::TooFew { min: 1 })),
                1..=MAX_PEOPLE => {}
                _ => return Err(FieldError::new("people", Rule::TooMany { max: MAX_PEOPLE })),
            }
        }
        let list = Self { levels };
        let people = list.people();
        if people.iter().collect::<BTreeSet<_>>().len() < people.len() {
            return Err(FieldError::new("people", Rule::Malformed));
        }
        Ok(list)
    }

    /// The levels, the first first.
    pub fn levels(&self) -> &[Vec<OnCallPerson>] {
        &self.levels
    }

    /// Everyone on it.
    pub fn people(&self) -> Vec<UserId> {
        self.levels.iter().flatten().map(|person| person.user_id).collect()
    }

    /// Whom to page after `level`, of those who are `able`: the people of the first level above it that has someone on
    /// call at this instant. `None` if no such level is left.
    pub fn after(
        &self,
        level: i32,
        at: DateTime<Utc>,
        able: impl Fn(UserId) -> bool,
    ) -> Option<(i32, Vec<UserId>)> {
        (1..).zip(&self.levels).filter(|(number, _)| *number > level).find_map(|(number, people)| {
            let on_call = people.iter().filter(|person| able(person.user_id) && person.is_on_call(at));
            let people: Vec<_> = on_call.map(|person| person.user_id).collect();
            (!people.is_empty()).then_some((number, people))
        })
    }
}

impl OnCallPerson {
    /// Whether they are on call at this instant.
    pub fn is_on_call(&self, at: DateTime<Utc>) -> bool {
        self.shifts.as_ref().is_none_or(|shifts| shifts.is_open(at))
    }
}

/// The level of the clinic's administrators: paged when all others have been, or when nobody is on call.
pub const ADMINISTRATORS: i32 = 100;

/// Someone asked for help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emergency {
    /// Its id.
    pub id: EmergencyId,
    /// Who needs help.
    pub patient_id: UserId,
    /// Where they talk.
    pub conversation_id: ConversationId,
    /// Who asked for it.
    pub opened_by: UserId,
    /// When.
    pub opened_at: DateTime<Utc>,
    /// The level that was paged last; [`ADMINISTRATORS`] after all others.
    pub level: i32,
    /// How many people have been paged.
    pub paged: i64,
    /// Who acknowledged it first, and when.
    pub acknowledged: Option<(UserId, DateTime<Utc>)>,
    /// Who said that it is over, and when.
    pub resolved: Option<(UserId, DateTime<Utc>)>,
}

impl Emergency {
    /// `paged`, `acknowledged` or `resolved`.
    pub const fn status(&self) -> &'static str {
        match (&self.resolved, &self.acknowledged) {
            (Some(_), _) => "resolved",
            (None, Some(_)) => "acknowledged",
            (None, None) => "paged",
        }
    }
}

#[cfg(test)]
mod tests {
    use alivio_kernel::ids::Uuid;
    use proptest::prelude::*;

    use super::*;

    fn id(n: u128) -> UserId {
        Uuid::from_u128(n).into()
    }

    fn always(n: u128) -> OnCallPerson {
        OnCallPerson { user_id: id(n), shifts: None }
    }

    fn nights(n: u128) -> OnCallPerson {
        let shifts = Schedule::daily("UTC".parse().unwrap(), "22:00", "06:00").unwrap();
        OnCallPerson { user_id: id(n), shifts: Some(shifts) }
    }

    const NOON: &str = "2026-01-15T12:00:00Z";

    #[test]
    fn levels_without_anyone_on_call_are_passed_over() {
        let list =
            OnCallList::new(vec![vec![nights(1)], vec![always(2), nights(3)], vec![always(4)]]).unwrap();
        let noon = NOON.parse().unwrap();
        assert_eq!(list.after(0, noon, |_| true), Some((2, vec![id(2)])));
        assert_eq!(list.after(2, noon, |_| true), Some((3, vec![id(4)])));
        assert_eq!(list.after(3, noon, |_| true), None);
        assert_eq!(list.after(0, noon, |user| user == id(4)), Some((3, vec![id(4)])));
        let night = "2026-01-15T23:00:00Z".parse().unwrap();
        assert_eq!(list.after(0, night, |_| true), Some((1, vec![id(1)])));
    }

    #[test]
    fn a_list_has_few_levels_and_nobody_twice() {
        let field = |levels| OnCallList::new(levels).unwrap_err().rule;
        assert_eq!(field(vec![vec![always(1)], vec![always(1)]]), Rule::Malformed);
        assert_eq!(field(vec![vec![]]), Rule::TooFew { min: 1 });
        assert_eq!(field((0..6).map(|n| vec![always(n)]).collect()), Rule::TooMany { max: 5 });
        assert_eq!(field(vec![(0..21).map(always).collect()]), Rule::TooMany { max: 20 });
        assert_eq!(OnCallList::new(Vec::new()).unwrap(), OnCallList::default());
    }

    #[test]
    fn numbers_are_numbers() {
        for good in ["112", "+34 112", "061", "1-800-555"] {
            assert_eq!(EmergencyNumber::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "1", "call 112", "112<b>", "12345678901234567"] {
            assert!(EmergencyNumber::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        /// Whoever is paged, level by level, are exactly those on call, each once, and it ends.
        #[test]
        fn climbing_reaches_everyone_once(levels in prop::collection::vec(1..4_u128, 0..5), able in any::<u16>()) {
            let mut next = 0;
            let levels: Vec<Vec<_>> = levels.iter().map(|size| (0..*size).map(|_| { next += 1; always(next) }).collect()).collect();
            let is_able = |user: UserId| able & (1 << (user.uuid().as_u128() % 16)) != 0;
            let list = OnCallList::new(levels).unwrap();
            let at = NOON.parse().unwrap();
            let (mut level, mut paged) = (0, Vec::new());
            while let Some((number, people)) = list.after(level, at, is_able) {
                prop_assert!(number > level && number < ADMINISTRATORS);
                level = number;
                paged.extend(people);
            }
            let expected: Vec<_> = list.people().into_iter().filter(|user| is_able(*user)).collect();
            prop_assert_eq!(paged, expected);
        }
    }
}

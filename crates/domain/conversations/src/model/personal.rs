use chrono::{DateTime, Utc};

/// What someone keeps of a conversation for themselves. Nobody else sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Personal {
    /// Since when it is out of their inbox. A new message does not bring it back: they do (S0-203).
    pub archived_at: Option<DateTime<Utc>>,
    /// Since when it stands first.
    pub pinned_at: Option<DateTime<Utc>>,
    /// Whether they are told of what happens in it.
    pub mute: Option<Mute>,
}

impl Personal {
    /// Whether they are told of what happens in it at `now` (S0-34).
    pub fn notifies(&self, now: DateTime<Utc>) -> bool {
        self.mute.is_none_or(|mute| mute.until.is_some_and(|until| now >= until))
    }
}

/// Someone does not want to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mute {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Until when; for ever if `None`.
    pub until: Option<DateTime<Utc>>,
}

/// A change of what someone keeps of a conversation for themselves. Repeating it changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonalChange {
    /// Out of the inbox, or back.
    Archive(bool),
    /// To the top, or back.
    Pin(bool),
    /// Quiet, until then or for ever.
    Mute(Option<DateTime<Utc>>),
    /// No longer quiet.
    Unmute,
}

impl PersonalChange {
    /// What they keep after it.
    #[must_use]
    pub fn apply(self, before: Personal, now: DateTime<Utc>) -> Personal {
        match self {
            Self::Archive(on) => {
                Personal { archived_at: on.then(|| before.archived_at.unwrap_or(now)), ..before }
            }
            Self::Pin(on) => Personal { pinned_at: on.then(|| before.pinned_at.unwrap_or(now)), ..before },
            Self::Mute(until) => {
                let since = before.mute.map_or(now, |mute| mute.since);
                Personal { mute: Some(Mute { since, until }), ..before }
            }
            Self::Unmute => Personal { mute: None, ..before },
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn quiet_ends_when_it_was_to_end() {
        let now = DateTime::UNIX_EPOCH;
        let later = now + TimeDelta::hours(1);
        assert!(Personal::default().notifies(now));
        let quiet = PersonalChange::Mute(Some(later)).apply(Personal::default(), now);
        assert!(!quiet.notifies(now));
        assert!(quiet.notifies(later));
        let for_ever = PersonalChange::Mute(None).apply(quiet, now);
        assert!(!for_ever.notifies(later));
        assert!(PersonalChange::Unmute.apply(for_ever, now).notifies(now));
    }

    #[test]
    fn repeating_keeps_the_first_moment() {
        let now = DateTime::UNIX_EPOCH;
        let once = PersonalChange::Pin(true).apply(Personal::default(), now);
        assert_eq!(PersonalChange::Pin(true).apply(once, now + TimeDelta::hours(1)), once);
        assert_eq!(PersonalChange::Pin(false).apply(once, now), Personal::default());
    }
}

use alivio_kernel::ids::UserId;
use alivio_kernel::{FieldError, Rule};
use chrono::{DateTime, Utc};

/// Whether someone can be reached now (C-13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Presence {
    /// A device is connected.
    Online,
    /// A device is connected, but they are elsewhere.
    Away,
    /// A device is connected, and they do not want to be disturbed.
    Busy,
    /// No device is connected.
    Offline,
}

impl Presence {
    /// The name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Away => "away",
            Self::Busy => "busy",
            Self::Offline => "offline",
        }
    }

    /// Whether a device is connected.
    pub const fn is_online(self) -> bool {
        !matches!(self, Self::Offline)
    }
}

/// What someone shows while a device of theirs is connected. Kept over reconnects and restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChosenPresence {
    /// [`Presence::Online`].
    #[default]
    Online,
    /// [`Presence::Away`].
    Away,
    /// [`Presence::Busy`].
    Busy,
}

impl ChosenPresence {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Online, Self::Away, Self::Busy];

    /// The name used in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        self.while_connected(true).as_str()
    }

    /// What is shown, given whether a device is connected.
    pub const fn while_connected(self, connected: bool) -> Presence {
        match self {
            _ if !connected => Presence::Offline,
            Self::Online => Presence::Online,
            Self::Away => Presence::Away,
            Self::Busy => Presence::Busy,
        }
    }

    /// The choice of this name. One cannot choose to be offline: who wants to be invisible changes the privacy.
    ///
    /// # Errors
    /// That there is none.
    pub fn parse(name: &str) -> Result<Self, FieldError> {
        let unknown = FieldError::new("presence", Rule::Unknown);
        Self::ALL.into_iter().find(|choice| choice.as_str() == name).ok_or(unknown)
    }
}

/// Who sees something of a person, of those who may: who share a conversation with them, and their contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Circle {
    /// All of them.
    #[default]
    EveryoneIKnow,
    /// Contacts only.
    Contacts,
    /// Nobody.
    Nobody,
}

impl Circle {
    /// Every circle.
    pub const ALL: [Self; 3] = [Self::EveryoneIKnow, Self::Contacts, Self::Nobody];

    /// The name used in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EveryoneIKnow => "everyone_i_know",
            Self::Contacts => "contacts",
            Self::Nobody => "nobody",
        }
    }

    /// The circle of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|circle| circle.as_str() == name)
    }

    /// Whether it holds an acquaintance.
    pub const fn holds(self, is_contact: bool) -> bool {
        match self {
            Self::EveryoneIKnow => true,
            Self::Contacts => is_contact,
            Self::Nobody => false,
        }
    }
}

/// Who sees what of a person (C-41).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PresencePrivacy {
    /// Whether they are online.
    pub presence: Circle,
    /// When they were last.
    pub last_seen: Circle,
}

/// What someone has chosen to show, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PresencePreferences {
    /// What.
    pub chosen: ChosenPresence,
    /// To whom.
    pub privacy: PresencePrivacy,
}

/// What one person sees of another whom they know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresenceView {
    /// Of whom.
    pub user_id: UserId,
    /// What they have chosen to show while connected; nothing if they do not show it to the viewer.
    pub chosen: Option<ChosenPresence>,
    /// When the last of their devices went away, if they show it to the viewer.
    pub last_seen_at: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_no_device_is_offline_whatever_they_chose() {
        for choice in ChosenPresence::ALL {
            assert_eq!(choice.while_connected(false), Presence::Offline);
            assert_eq!(choice.while_connected(true).as_str(), choice.as_str());
            assert!(choice.while_connected(true).is_online());
            assert_eq!(ChosenPresence::parse(choice.as_str()), Ok(choice));
        }
        assert!(ChosenPresence::parse("offline").is_err());
    }

    #[test]
    fn circles_hold_whom_they_say() {
        let held = |is_contact| Circle::ALL.map(|circle| circle.holds(is_contact));
        assert_eq!((held(true), held(false)), ([true, true, false], [true, false, false]));
        for circle in Circle::ALL {
            assert_eq!(Circle::parse(circle.as_str()), Some(circle));
        }
    }
}

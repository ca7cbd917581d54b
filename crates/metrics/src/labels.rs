//! By what is told apart: the names of labels, and all the values that they can have.

/// What a metric is told apart by.
pub trait Labels: Copy + 'static {
    /// How many there are.
    const COUNT: usize;
    /// Which of them this is.
    fn index(self) -> usize;
    /// The names of the labels.
    fn names() -> Vec<&'static str>;
    /// The values of one of them, in the order of the names.
    fn values(index: usize) -> Vec<&'static str>;
}

impl Labels for () {
    const COUNT: usize = 1;
    fn index(self) -> usize {
        0
    }
    fn names() -> Vec<&'static str> {
        Vec::new()
    }
    fn values(_: usize) -> Vec<&'static str> {
        Vec::new()
    }
}

impl<A: Labels, B: Labels> Labels for (A, B) {
    const COUNT: usize = A::COUNT * B::COUNT;
    fn index(self) -> usize {
        self.0.index() * B::COUNT + self.1.index()
    }
    fn names() -> Vec<&'static str> {
        [A::names(), B::names()].concat()
    }
    fn values(index: usize) -> Vec<&'static str> {
        [A::values(index / B::COUNT), B::values(index % B::COUNT)].concat()
    }
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident $label:literal { $($variant:ident $value:literal),* $(,)? })*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $(#[doc = concat!("`", $value, "`.")] $variant),* }

        impl $name {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The value of the label.
            #[must_use]
            pub const fn value(self) -> &'static str {
                match self { $(Self::$variant => $value),* }
            }

            /// The one with this value.
            #[must_use]
            pub fn named(value: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.value() == value)
            }
        }

        impl Labels for $name {
            const COUNT: usize = Self::ALL.len();
            fn index(self) -> usize {
                self as usize
            }
            fn names() -> Vec<&'static str> {
                vec![$label]
            }
            fn values(index: usize) -> Vec<&'static str> {
                vec![Self::ALL[index].value()]
            }
        }
    )* };
}

labels! {
    /// Why a socket ended: that of the closing frame, or that there was none.
    Closing "reason" {
        Bye "bye", Gone "gone", TooSlow "too_slow", Restart "restart", SessionEnded "session_ended",
        SessionEvicted "session_evicted", RateLimited "rate_limited", TryAgain "try_again", TextOnly "text_only",
        NotUtf8 "not_utf8", FrameTooLarge "frame_too_large", MessageTooLarge "message_too_large",
        ProtocolError "protocol_error", Other "other",
    }

    /// What a device asks for, in whatever words.
    Command "command" {
        Subscribe "subscribe", Unsubscribe "unsubscribe", Resume "resume", Send "message.send", Edit "message.edit",
        Delete "message.delete", React "reaction", Typing "typing.set", Read "read.set", Ack "ack",
        Presence "presence.set", Ping "ping", Unknown "unknown",
    }

    /// What came of it.
    Outcome "outcome" { Done "done", Refused "refused", RateLimited "rate_limited", Failed "failed" }

    /// What was sent to a device.
    Delivery "event" { Message "message.created", Other "other" }

    /// What became of a message that was offered to the log.
    Appending "outcome" { Stored "stored", Repeated "repeated", Refused "refused", Failed "failed" }

    /// What became of an event that the relay had claimed.
    Handling "outcome" { Handled "handled", Postponed "postponed", SetAside "set_aside" }

    /// What a connection is doing.
    Use "state" { Idle "idle", Busy "busy" }

    /// Whose calls.
    Direction "direction" { Out "out", In "in" }

    /// Which secret was asked for.
    SignInStep "step" { Password "password", TemporaryPassword "temporary_password", SecondFactor "second_factor" }

    /// The method of a request; what nobody knows is `other`.
    Method "method" {
        Get "GET", Head "HEAD", Post "POST", Put "PUT", Patch "PATCH", Delete "DELETE", Options "OPTIONS", Other "other",
    }

    /// The class of an answer's status.
    Status "status" { Informational "1xx", Success "2xx", Redirection "3xx", ClientError "4xx", ServerError "5xx" }
}

impl Status {
    /// The class of `status`.
    #[must_use]
    pub const fn of(status: u16) -> Self {
        match status {
            0..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_of_labels_has_a_place_of_its_own() {
        type Pair = (Command, Outcome);
        let mut places = vec![false; Pair::COUNT];
        for &command in Command::ALL {
            for &outcome in Outcome::ALL {
                let index = (command, outcome).index();
                assert_eq!(Pair::values(index), [command.value(), outcome.value()]);
                assert!(!std::mem::replace(&mut places[index], true));
            }
        }
        assert!(places.into_iter().all(|taken| taken));
        assert_eq!(Pair::names(), ["command", "outcome"]);
    }
}

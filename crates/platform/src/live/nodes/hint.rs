use alivio_kernel::ids::{ConversationId, ScheduledMessageId, UserId, Uuid};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The version of what nodes say to each other. Of another one nothing is believed: hints are optional.
const VERSION: u8 = 1;

/// What one node says to the others: ids, numbers and small words. Never what was said, nor a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::live) enum Hint {
    /// There is something new in this conversation.
    Changed(ConversationId),
    /// There is a new broadcast.
    Broadcast,
    /// Someone types, or has stopped. Whether others may know was asked where they type.
    Typing { conversation: ConversationId, user: UserId, is_typing: bool },
    /// Of a message that waits for its time.
    Scheduled { sender: UserId, id: ScheduledMessageId, state: String },
    /// Of what someone has begun to write.
    Draft { user: UserId, conversation: ConversationId },
    /// Someone has read, and so many messages are left unread.
    Unread { user: UserId, conversation: ConversationId, unread: i64 },
    /// A block was raised or lifted.
    Blocks,
    /// So many devices of someone are connected to the node that says so. Of one that does not say how many, one.
    Came {
        user: UserId,
        #[serde(default = "one")]
        devices: usize,
    },
    /// Their last device there has gone.
    Went { user: UserId, at: DateTime<Utc> },
    /// Someone shows themselves in another way.
    Presence { user: UserId },
    /// Someone is no longer shown to these people.
    Hidden { user: UserId, from: Vec<UserId> },
    /// So many people are connected to the node that says so; `print` is made of all of their ids and
    /// of how many devices each has.
    Beat { people: usize, print: u128 },
    /// Who is connected to `node`?
    Who { node: Uuid },
    /// These people are, if it is the first part, and nobody else; more follow unless it is the last. And with how many
    /// devices each, in the same order.
    Here {
        people: Vec<UserId>,
        #[serde(default)]
        devices: Vec<usize>,
        is_first: bool,
        is_last: bool,
    },
    /// So much was sent through the node that says so, since it said so last: by whom, whether for emergencies, how many.
    Sent { sent: Vec<(UserId, bool, u32)> },
}

const fn one() -> usize {
    1
}

/// A hint, and who says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) node: Uuid,
    pub(super) hint: Hint,
}

impl Call {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        // Plain enums of ids always serialise, and a vector is always long enough.
        drop(serde_json::to_writer(&mut bytes, self));
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        if *version == VERSION { serde_json::from_slice(rest).ok() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_understood_and_another_version_is_not() {
        let user = UserId::from(Uuid::from_u128(1));
        let hints = [
            Hint::Beat { people: 3, print: u128::MAX },
            Hint::Here { people: vec![user], devices: vec![2], is_first: true, is_last: false },
            Hint::Sent { sent: vec![(user, false, 3)] },
            Hint::Went { user, at: DateTime::UNIX_EPOCH },
        ];
        for hint in hints {
            let call = Call { node: Uuid::from_u128(2), hint };
            let mut bytes = call.write();
            assert_eq!(Call::read(&bytes), Some(call));
            bytes[0] += 1;
            assert_eq!(Call::read(&bytes), None);
        }
        assert_eq!(Call::read(&[]), None);
    }
}

use alivio_kernel::Role;
use alivio_kernel::ids::{ConversationId, UserId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{Error, Quiet};

/// Whether someone may write now (C-19).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// They may.
    Open,
    /// They may, and it disturbs nobody.
    Quietly(Quiet),
    /// Not now.
    Refused(Box<ClosedHours>),
}

/// Why not now, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedHours {
    /// The time on the wall of those who are closed, `HH:MM`.
    pub wall_time: String,
    /// Their hours of the day, `08:00-22:00`.
    pub hours: String,
    /// Their IANA zone.
    pub time_zone: &'static str,
    /// When they open; `None` if that is far away.
    pub next_open_at: Option<DateTime<Utc>>,
}

impl ClosedHours {
    /// What a client is told (S0-169): the way to help that is open at any hour stands beside it.
    pub(crate) fn details(&self) -> Value {
        json!({
            "current_time": self.wall_time,
            "allowed_hours": self.hours,
            "time_zone": self.time_zone,
            "next_open_at": self.next_open_at,
            "emergency_channel": "/api/v1/emergencies",
        })
    }
}

/// A question to whoever knows when it is open.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Hours: Send + Sync {
    /// Whether `sender` may write in `conversation` at `at`. Authorises nothing else: there need not be such a
    /// conversation. May be some seconds behind those who change hours. Asked with every message: MUST NOT cost a round
    /// trip each time.
    async fn admission(
        &self,
        sender: (UserId, Role),
        conversation: ConversationId,
        at: DateTime<Utc>,
    ) -> Result<Admission, Error>;
}

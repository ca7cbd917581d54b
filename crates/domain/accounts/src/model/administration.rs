use alivio_kernel::ids::UserId;
use alivio_kernel::{PageSize, Role};

/// Whether someone with role `from` may be given role `to`. A patient never becomes staff and staff never a patient:
/// their conversations and care relationships mean something else then. Someone who is both has two accounts.
pub const fn may_become(from: Role, to: Role) -> bool {
    matches!(from, Role::Patient) == matches!(to, Role::Patient)
}

/// What an administrator does to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountChange {
    /// They may no longer sign in, and all their sessions end.
    Deactivate,
    /// They may sign in again.
    Activate,
    /// They get another role, and all their sessions end.
    Role(Role),
    /// All their sessions end.
    EndSessions,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It was done.
    Done,
    /// It was so already: nothing was stored.
    Already,
    /// There is no such user.
    NoSuchUser,
    /// They are the last active administrator of the installation: nothing was stored.
    LastAdministrator,
}

/// Which accounts to list, the newest first. Everything that is given must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserFilter {
    /// With this role.
    pub role: Option<Role>,
    /// Who may, or may not, sign in.
    pub is_active: Option<bool>,
    /// Whose address has this blind index.
    pub email_index: Option<[u8; 16]>,
    /// Older than this one.
    pub after: Option<UserId>,
    /// Skip so many.
    pub offset: i64,
    /// How many.
    pub size: PageSize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patients_stay_patients_and_staff_stays_staff() {
        for from in Role::ALL {
            for to in Role::ALL {
                assert_eq!(
                    may_become(from, to),
                    (from == Role::Patient) == (to == Role::Patient),
                    "{from} {to}"
                );
            }
        }
    }
}

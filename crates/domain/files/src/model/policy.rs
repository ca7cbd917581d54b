use chrono::TimeDelta;

use crate::{Class, Error, Format};

const MIB: u64 = 1024 * 1024;

/// In which time no more files than [`Policy::per_hour`] may come from one person.
pub const QUOTA_WINDOW: TimeDelta = TimeDelta::hours(1);
/// The longest time that a link leads to a file (C-23).
pub const LINK_LIFETIME: TimeDelta = TimeDelta::minutes(5);
/// An upload in pieces that is not finished by then is forgotten.
pub const UPLOAD_LIFETIME: TimeDelta = TimeDelta::hours(24);
/// So many different files downloaded by one person in [`BULK_WINDOW`] are noted (S0-234).
pub const BULK: i64 = 20;
/// See [`BULK`].
pub const BULK_WINDOW: TimeDelta = TimeDelta::minutes(10);

/// What may be uploaded: the one source of limits and allowed types (C-21, C-22).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Files that one person may upload in an hour (S0-182).
    pub per_hour: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self { per_hour: 10 }
    }
}

impl Policy {
    /// The most bytes that are taken in one go (S0-179).
    pub const AT_ONCE: u64 = 10 * MIB;

    /// The most bytes of this class, however they come.
    pub const fn max(class: Class) -> u64 {
        match class {
            Class::Document | Class::Image | Class::Audio => 50 * MIB,
            Class::Video => 500 * MIB,
        }
    }

    /// The most bytes of anything.
    pub fn largest() -> u64 {
        Class::ALL.into_iter().map(Self::max).max().unwrap_or(Self::AT_ONCE)
    }

    /// The formats of a class.
    pub fn formats(class: Class) -> impl Iterator<Item = Format> {
        Format::ALL.into_iter().filter(move |format| format.class() == class)
    }

    /// Checks a size.
    ///
    /// # Errors
    /// [`Error::TooLarge`] tells it.
    pub const fn check_size(size: u64, max: u64) -> Result<(), Error> {
        if size > max { Err(Error::TooLarge { size: Some(size), max }) } else { Ok(()) }
    }

    /// Checks how many bytes have come, or must come, of what may be larger.
    ///
    /// # Errors
    /// [`Error::TooLarge`] tells no size.
    pub const fn check_so_far(size: u64, max: u64) -> Result<(), Error> {
        if size > max { Err(Error::TooLarge { size: None, max }) } else { Ok(()) }
    }
}

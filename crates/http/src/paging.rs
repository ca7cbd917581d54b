//! Pages by number, for clients that do not use cursors (C-40).

use alivio_kernel::{FieldError, PageSize, Rule};
use chrono::{DateTime, Utc};

use crate::problem::{Result, invalid};

/// Deeper pages cost more and more; cursors do not.
const MAX_PAGE: i64 = 100;

/// Takes a cursor `<microseconds>.<rest>` apart: when the last entry of the page before was, and which it was.
pub(crate) fn moment(cursor: &str) -> Option<(DateTime<Utc>, &str)> {
    let (micros, rest) = cursor.split_once('.')?;
    Some((DateTime::from_timestamp_micros(micros.parse().ok()?)?, rest))
}

/// How many entries come before page `page`.
pub(crate) fn offset(page: Option<i64>, size: PageSize) -> Result<i64> {
    match page.unwrap_or(1) {
        page @ 1..=MAX_PAGE => Ok((page - 1) * size.get()),
        _ => Err(invalid(FieldError::new("page", Rule::OutOfRange { min: 1, max: MAX_PAGE }))),
    }
}

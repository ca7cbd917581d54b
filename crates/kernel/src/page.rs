use crate::{FieldError, Rule};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries, in the order asked for.
    pub items: Vec<T>,
    /// Where the next page starts; `None` on the last.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The same page of something else.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next_cursor: self.next_cursor }
    }
}

/// How many entries a page may hold: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize(u16);

impl PageSize {
    /// The most that one page may hold.
    pub const MAX: i64 = 100;

    /// Checks `size`, or takes `default` when there is none.
    pub fn parse(size: Option<i64>, default: u16) -> Result<Self, FieldError> {
        match size {
            None => Ok(Self(default)),
            Some(n) if (1..=Self::MAX).contains(&n) => Ok(Self(u16::try_from(n).unwrap_or(default))),
            Some(_) => Err(FieldError::new("page_size", Rule::OutOfRange { min: 1, max: Self::MAX })),
        }
    }

    /// The number of entries.
    pub const fn get(self) -> i64 {
        self.0 as i64
    }

    /// Cuts `rows`, of which one more than the page holds was fetched, and says whether more follow.
    pub fn cut<T>(self, mut rows: Vec<T>) -> (Vec<T>, bool) {
        let size = usize::from(self.0);
        let more = rows.len() > size;
        rows.truncate(size);
        (rows, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_outside_1_to_100_are_refused() {
        for bad in [0, -1, 101, i64::MAX] {
            assert!(PageSize::parse(Some(bad), 50).is_err(), "{bad}");
        }
        assert_eq!(PageSize::parse(None, 50).map(PageSize::get), Ok(50));
        assert_eq!(PageSize::parse(Some(100), 50).map(PageSize::get), Ok(100));
    }

    #[test]
    fn cut_reports_more_only_when_a_row_was_left_over() -> Result<(), FieldError> {
        let two = PageSize::parse(Some(2), 50)?;
        assert_eq!(two.cut(vec![1, 2]), (vec![1, 2], false));
        assert_eq!(two.cut(vec![1, 2, 3]), (vec![1, 2], true));
        Ok(())
    }
}

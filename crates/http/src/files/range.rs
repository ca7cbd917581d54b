//! `Range`: one stretch of bytes, or all of them.

use std::ops::Range;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Nothing that there is, several stretches, or nonsense.
    Unsatisfiable,
}

/// What the header `range` asks for of `size` bytes. Other units than bytes are nobody's business.
pub(super) fn wanted(range: Option<&str>, size: u64) -> Wanted {
    let Some(set) = range.and_then(|range| range.trim().strip_prefix("bytes=")) else { return Wanted::Whole };
    part(set.trim(), size).map_or(Wanted::Unsatisfiable, Wanted::Part)
}

fn part(spec: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    let number =
        |text: &str| if text.bytes().all(|b| b.is_ascii_digit()) { text.parse::<u64>().ok() } else { None };
    let range = match (first, last) {
        ("", suffix) => size.saturating_sub(number(suffix)?)..size,
        (first, "") => number(first)?..size,
        (first, last) => number(first)?..number(last)?.checked_add(1)?.min(size),
    };
    (range.start < range.end).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stretch_is_given_and_nothing_else() {
        for (asked, wanted_of_10) in [
            (None, Wanted::Whole),
            (Some("lines=1-2"), Wanted::Whole),
            (Some("bytes=0-0"), Wanted::Part(0..1)),
            (Some("bytes=2-4"), Wanted::Part(2..5)),
            (Some("bytes=7-"), Wanted::Part(7..10)),
            (Some("bytes=-3"), Wanted::Part(7..10)),
            (Some("bytes=-99"), Wanted::Part(0..10)),
            (Some("bytes=5-99"), Wanted::Part(5..10)),
            (Some("bytes=10-"), Wanted::Unsatisfiable),
            (Some("bytes=10-12"), Wanted::Unsatisfiable),
            (Some("bytes=4-2"), Wanted::Unsatisfiable),
            (Some("bytes=-0"), Wanted::Unsatisfiable),
            (Some("bytes=--1"), Wanted::Unsatisfiable),
            (Some("bytes=-1-2"), Wanted::Unsatisfiable),
            (Some("bytes=+1-2"), Wanted::Unsatisfiable),
            (Some("bytes=0-1,3-4"), Wanted::Unsatisfiable),
            (Some("bytes=0-18446744073709551615"), Wanted::Unsatisfiable),
            (Some("bytes=99999999999999999999-"), Wanted::Unsatisfiable),
            (Some("bytes="), Wanted::Unsatisfiable),
        ] {
            assert_eq!(wanted(asked, 10), wanted_of_10, "{asked:?}");
        }
    }
}

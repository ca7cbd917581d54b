//! Words, and what people take for the same word: case, accents and compatibility forms do not matter.

use std::ops::Range;

use alivio_kernel::text::fold;
use unicode_normalization::char::is_combining_mark;

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// Where it stands, in bytes.
    pub(crate) range: Range<usize>,
    /// Its folded form.
    pub(crate) folded: String,
}

/// Whether `c` is part of words.
pub(crate) fn in_word(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

/// The words of `text`: runs of letters and digits.
pub(crate) fn words(text: &str) -> Vec<Word> {
    pieces(text, in_word).map(|range| Word { folded: fold(&text[range.clone()]), range }).collect()
}

/// The longest runs of characters that `belongs` takes.
pub(crate) fn pieces(text: &str, belongs: impl Fn(char) -> bool) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text[from..].find(&belongs)?;
        let end = text[start..].find(|c| !belongs(c)).map_or(text.len(), |n| start + n);
        from = end;
        Some(start..end)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_and_accents_do_not_matter() {
        let folded: Vec<_> = words("¿PRESIÓN arterial, İzmir?").into_iter().map(|w| w.folded).collect();
        assert_eq!(folded, ["presion", "arterial", "izmir"]);
        // Typed with a combining accent.
        assert_eq!(words("presio\u{301}n")[0].folded, "presion");
    }

    proptest! {
        #[test]
        fn words_are_where_they_say(text in "\\PC{0,60}") {
            for word in words(&text) {
                prop_assert_eq!(fold(&text[word.range.clone()]), word.folded.clone());
                prop_assert!(text[word.range].chars().all(in_word));
            }
        }
    }
}

//! Text that people type: trimmed, bounded, free of what storage and screens cannot hold; and what they take for the
//! same text.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::{FieldError, Rule};

/// Whether line breaks and tabs are welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// One line: a title, a name.
    Single,
    /// Several: a message.
    Many,
}

/// Checks what someone typed into `field`: not blank, at most `max` characters (Unicode scalar
/// values), no NUL and no other control character. White space at both ends is dropped.
pub fn parse(field: &'static str, raw: &str, max: usize, lines: Lines) -> Result<String, FieldError> {
    let text = raw.trim();
    if text.is_empty() {
        return Err(FieldError::new(field, Rule::Empty));
    }
    let welcome = |c: char| lines == Lines::Many && matches!(c, '\n' | '\r' | '\t');
    if text.chars().any(|c| c.is_control() && !welcome(c)) {
        return Err(FieldError::new(field, Rule::ControlCharacter));
    }
    // A character has at most four bytes, so short text need not be counted.
    if text.len() > max && text.chars().count() > max {
        return Err(FieldError::new(field, Rule::TooLong { max }));
    }
    Ok(text.to_owned())
}

/// Checks a name that a program chose for `field`: 1 to `max` visible ASCII characters.
pub fn parse_token(field: &'static str, raw: &str, max: usize) -> Result<String, FieldError> {
    let rule = match raw.len() {
        0 => Rule::Empty,
        n if n > max => Rule::TooLong { max },
        _ if !raw.bytes().all(|b| b.is_ascii_graphic()) => Rule::Malformed,
        _ => return Ok(raw.to_owned()),
    };
    Err(FieldError::new(field, rule))
}

/// `text` as it is compared: without regard to case, accents and compatibility forms. What was folded is stored and
/// indexed: another result for the same text means to store and to index it again.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let plain: String = text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect();
    // Taking the lower case of some letters gives a mark again.
    plain.chars().filter(|c| !is_combining_mark(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_accents_and_compatibility_forms_do_not_matter() {
        assert_eq!(fold("Dra. María MARTÍNEZ-García"), "dra. maria martinez-garcia");
        assert_eq!(fold("Ñandú ﬁn İzmir"), "nandu fin izmir");
        assert_eq!(fold("presio\u{301}n"), "presion");
    }

    #[test]
    fn characters_are_counted_not_bytes() {
        assert!(parse("f", &"ñ".repeat(10), 10, Lines::Many).is_ok());
        assert_eq!(
            parse("f", &"ñ".repeat(11), 10, Lines::Many),
            Err(FieldError::new("f", Rule::TooLong { max: 10 }))
        );
    }

    #[test]
    fn nul_and_control_characters_are_refused() {
        for bad in ["a\0b", "a\u{1b}[31m", "a\u{7}"] {
            assert_eq!(
                parse("f", bad, 10, Lines::Many),
                Err(FieldError::new("f", Rule::ControlCharacter)),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn line_breaks_only_where_welcome() {
        assert_eq!(parse("f", " a\nb ", 10, Lines::Many), Ok("a\nb".to_owned()));
        assert!(parse("f", "a\nb", 10, Lines::Single).is_err());
    }

    #[test]
    fn blank_is_empty() {
        for blank in ["", " ", "\n\t "] {
            assert_eq!(parse("f", blank, 10, Lines::Many), Err(FieldError::new("f", Rule::Empty)));
        }
    }
}

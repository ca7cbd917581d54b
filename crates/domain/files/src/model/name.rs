use std::fmt;

use unicode_normalization::UnicodeNormalization;

/// More of a name is not kept.
const MAX: usize = 200;
/// A longer ending is none.
const MAX_EXTENSION: usize = 10;

/// What a file is called: for people to read, never to find it by (FI-07).
#[derive(Clone, PartialEq, Eq)]
pub struct DisplayName(String);

impl DisplayName {
    /// What is left of a name that someone gave: its last step, without what no one sees or what turns the
    /// direction of writing; `archivo` if that is nothing. Never fails: a strange name is no reason to refuse a file.
    pub fn clean(raw: &str) -> Self {
        let last = raw.rsplit(['/', '\\']).next().unwrap_or_default();
        let plain: String = last.nfc().filter(|c| !c.is_control() && !is_hidden(*c)).collect();
        let plain = plain.trim_matches(|c: char| c.is_whitespace() || c == '.');
        if plain.is_empty() {
            return Self("archivo".to_owned());
        }
        Self(shorten(plain))
    }

    /// A name as it was stored.
    pub const fn restored(name: String) -> Self {
        Self(name)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How it ends, if it has an ending.
    pub fn extension(&self) -> Option<&str> {
        let (stem, extension) = self.0.rsplit_once('.')?;
        let is_one = (1..=MAX_EXTENSION).contains(&extension.len())
            && extension.bytes().all(|b| b.is_ascii_alphanumeric());
        (is_one && !stem.is_empty()).then_some(extension)
    }

    /// The same name with this ending if it has none.
    #[must_use]
    pub fn or_ending(self, extension: &str) -> Self {
        if self.extension().is_some() { self } else { Self(format!("{}.{extension}", self.0)) }
    }
}

impl fmt::Debug for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DisplayName({} bytes)", self.0.len())
    }
}

/// Nothing to see, or what lets `fdp.exe` look like `exe.pdf`.
const fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Cuts the middle, so that the ending stays.
fn shorten(name: &str) -> String {
    let count = name.chars().count();
    if count <= MAX {
        return name.to_owned();
    }
    let tail = MAX_EXTENSION + 1;
    let head: String = name.chars().take(MAX - tail - 1).collect();
    let end: String = name.chars().skip(count - tail).collect();
    format!("{head}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(raw: &str) -> String {
        DisplayName::clean(raw).0
    }

    #[test]
    fn a_name_is_one_visible_step() {
        for (raw, clean) in [
            ("Receta de Ana.pdf", "Receta de Ana.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\ana\\foto.jpg", "foto.jpg"),
            ("a\0b\r\nSet-Cookie: x.pdf", "abSet-Cookie: x.pdf"),
            ("factura\u{202e}fdp.exe", "facturafdp.exe"),
            ("a\u{200b}\u{feff}b.png", "ab.png"),
            ("...", "archivo"),
            ("", "archivo"),
            ("..\\..\\", "archivo"),
            ("radiografi\u{301}a.png", "radiografía.png"),
        ] {
            assert_eq!(cleaned(raw), clean, "{raw:?}");
        }
    }

    #[test]
    fn a_long_name_keeps_its_ending() {
        let long = cleaned(&format!("{}.pdf", "ñ".repeat(5000)));
        assert_eq!(long.chars().count(), MAX);
        assert!(long.ends_with("ñ.pdf"), "{long}");
    }

    #[test]
    fn only_what_looks_like_an_ending_is_one() {
        for (name, extension) in
            [("a.pdf", Some("pdf")), ("a", None), ("Sr. García", None), ("informe 3.5 mg", None)]
        {
            assert_eq!(DisplayName::clean(name).extension(), extension, "{name}");
        }
        assert_eq!(DisplayName::clean("informe").or_ending("pdf").as_str(), "informe.pdf");
        assert_eq!(DisplayName::clean("informe.pdf").or_ending("pdf").as_str(), "informe.pdf");
    }
}

//! What is to be found in a run of plain text: mentions, hashtags, addresses of pages.

use alivio_kernel::ids::UserId;

use crate::words::in_word;

/// The length of `<@` + a hyphenated UUID + `>`.
const MENTION: usize = 2 + 36 + 1;
/// Longer ones are no hashtags.
const MAX_HASHTAG: usize = 100;

/// A part of a run of text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Text(&'t str),
    Mention(UserId, &'t str),
    /// Without the `#`.
    Hashtag(&'t str),
    Link(&'t str),
}

/// Takes `text` apart; the parts put together are the text. `before` is what stands in front of it.
pub(super) fn parts(text: &str, before: Option<char>) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut plain = 0;
    let mut at = 0;
    let mut before = before;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let found = match c {
            '<' => mention(rest),
            '#' if !before.is_some_and(|c| in_word(c) || matches!(c, '#' | '&' | '/')) => hashtag(rest),
            'h' | 'H' if !before.is_some_and(in_word) => link(rest),
            _ => None,
        };
        let Some((part, length)) = found else {
            at += c.len_utf8();
            before = Some(c);
            continue;
        };
        if plain < at {
            parts.push(Part::Text(&text[plain..at]));
        }
        parts.push(part);
        before = text[..at + length].chars().next_back();
        at += length;
        plain = at;
    }
    if plain < text.len() {
        parts.push(Part::Text(&text[plain..]));
    }
    parts
}

fn mention(rest: &str) -> Option<(Part<'_>, usize)> {
    let written = rest.get(..MENTION)?;
    let id = written.strip_prefix("<@")?.strip_suffix('>')?;
    Some((Part::Mention(id.parse().ok()?, written), MENTION))
}

fn hashtag(rest: &str) -> Option<(Part<'_>, usize)> {
    let word = &rest[1..];
    let word = &word[..word.find(|c| !(in_word(c) || c == '_')).unwrap_or(word.len())];
    let is_tag = word.chars().any(char::is_alphabetic) && word.chars().count() <= MAX_HASHTAG;
    is_tag.then_some((Part::Hashtag(word), 1 + word.len()))
}

fn link(rest: &str) -> Option<(Part<'_>, usize)> {
    let ends = |c: char| c.is_whitespace() || c.is_control() || "<>\"'`«»“”|\\^{}".contains(c);
    let url = &rest[..rest.find(ends).unwrap_or(rest.len())];
    let mut url = url.trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_', '~', '…']);
    while url.ends_with(')') && url.matches(')').count() > url.matches('(').count() {
        url = &url[..url.len() - 1];
    }
    is_page(url).then_some((Part::Link(url), url.len()))
}

/// Whether `url` is the address of a page: `http` or `https`, with a host.
pub(super) fn is_page(url: &str) -> bool {
    let after = |scheme: &str| {
        let start = url.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then(|| &url[scheme.len()..])
    };
    let host = after("https://").or_else(|| after("http://"));
    host.is_some_and(|host| host.starts_with(|c: char| c.is_alphanumeric() || c == '['))
        && !url.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(part: &Part<'_>) -> String {
        match part {
            Part::Text(text) | Part::Mention(_, text) | Part::Link(text) => (*text).to_owned(),
            Part::Hashtag(word) => format!("#{word}"),
        }
    }

    fn hashtags(text: &str) -> Vec<String> {
        let tag = |part: &Part<'_>| matches!(part, Part::Hashtag(_)).then(|| written(part));
        parts(text, None).iter().filter_map(tag).collect()
    }

    fn links(text: &str) -> Vec<String> {
        let link = |part: &Part<'_>| matches!(part, Part::Link(_)).then(|| written(part));
        parts(text, None).iter().filter_map(link).collect()
    }

    #[test]
    fn hashtags_are_words_of_any_language() {
        assert_eq!(
            hashtags("#diabetes, #Presión_arterial y (#niño)."),
            ["#diabetes", "#Presión_arterial", "#niño"]
        );
        assert_eq!(hashtags("#covid19 #19 #_ # a#b ##c &#39; http://x/#y"), ["#covid19"]);
        assert!(hashtags(&format!("#{}", "a".repeat(101))).is_empty());
    }

    #[test]
    fn addresses_end_where_a_sentence_does() {
        assert_eq!(
            links("Ver https://a.example/x?y=1&z=2. (http://b.example/c_(d)) xhttp://no HTTPS://B.example!"),
            ["https://a.example/x?y=1&z=2", "http://b.example/c_(d)", "HTTPS://B.example"]
        );
        assert!(links("http:// https:///x http://\\x hola").is_empty());
    }

    #[test]
    fn a_mention_is_an_id_in_brackets() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let text = format!("hola <@{id}>: <@x> <@{}>", &id[1..]);
        let found: Vec<_> = parts(&text, None);
        assert_eq!(found[1], Part::Mention(id.parse().unwrap(), &text[5..44]));
        assert_eq!(found.len(), 3);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text in "(\\PC|<@01890a5d-ac96-774b-bcce-b302099a8057>|https://a.example|#){0,30}") {
            let again: String = parts(&text, None).iter().map(written).collect();
            prop_assert_eq!(again, text);
        }
    }
}

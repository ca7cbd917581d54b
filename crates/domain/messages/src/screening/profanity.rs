//! Rude words in Spanish and English (S0-174), also when some letters are digits, doubled or set apart.

use std::collections::HashSet;
use std::sync::LazyLock;

use alivio_kernel::text::fold;

use crate::words::{in_word, pieces};

/// Words of one term.
const LONGEST: usize = 5;

static TERMS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let lines = include_str!("profanity.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(fold).collect()
});

/// The words that those of several begin with.
static BEGINNINGS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| TERMS.iter().filter_map(|term| Some(term.split_once(' ')?.0)).collect());

/// Whether `text` holds a rude word.
pub(super) fn found(text: &str) -> bool {
    let belongs = |c: char| in_word(c) || matches!(c, '@' | '$' | '!');
    let ranges: Vec<_> = pieces(text, belongs).collect();
    let words: Vec<Vec<String>> = ranges.iter().map(|range| readings(&text[range.clone()])).collect();
    words.iter().flatten().any(|word| TERMS.contains(word)) || phrase(&words) || spelled(text, &ranges)
}

/// What a word may stand for: as it is, with its digits as letters, without letters that are drawn out. Mostly that is one
/// thing only.
fn readings(word: &str) -> Vec<String> {
    let plain = fold(word.trim_matches('!'));
    if !plain.chars().any(char::is_alphabetic) {
        return Vec::new();
    }
    let letters: Vec<char> = plain.chars().map(letter).collect();
    let is_other = !plain.chars().eq(letters.iter().copied());
    let mut readings = vec![plain];
    if letters.chunk_by(|a, b| a == b).any(|run| run.len() > 2) {
        readings.extend([1, 2].map(|keep| drawn_out(&letters, keep)));
    }
    if is_other {
        readings.push(letters.into_iter().collect());
    }
    readings
}

const fn letter(c: char) -> char {
    match c {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        c => c,
    }
}

/// A word with at most `keep` of a letter that comes three times or more in a row.
fn drawn_out(letters: &[char], keep: usize) -> String {
    let runs = letters.chunk_by(|a, b| a == b);
    runs.flat_map(|run| if run.len() > 2 { &run[..keep] } else { run }).collect()
}

fn phrase(words: &[Vec<String>]) -> bool {
    let first: Vec<&str> = words.iter().map(|readings| readings.first().map_or("", String::as_str)).collect();
    let begins = |at: &usize| BEGINNINGS.contains(first[*at]);
    let is_one = |at: usize| {
        (2..=LONGEST).filter_map(|n| first.get(at..at + n)).any(|of| TERMS.contains(&of.join(" ")))
    };
    (0..first.len()).filter(begins).any(is_one)
}

/// Letters one by one: `p u t a`, `p.u.t.a`.
fn spelled(text: &str, ranges: &[std::ops::Range<usize>]) -> bool {
    let single = |range: &std::ops::Range<usize>| text[range.clone()].chars().count() == 1;
    ranges
        .chunk_by(|a, b| single(a) && single(b) && text[a.end..b.start].chars().count() == 1)
        .filter(|run| run.len() > 2)
        .any(|run| {
            let word: String = run.iter().flat_map(|range| text[range.clone()].chars()).collect();
            readings(&word).iter().any(|word| TERMS.contains(word))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rude_words_are_found_however_they_are_written() {
        for text in [
            "¡Eres un IMBÉCIL!",
            "imbecil",
            "vaya m1erd@",
            "puuuuta",
            "p u t a",
            "p.u.t.a",
            "what the f u c k",
            "fuuuck you",
            "$h!t",
            "son of a BITCH",
            "vete a la mierda",
            "no mames!",
            "pendej0",
        ] {
            assert!(found(text), "{text}");
        }
    }

    #[test]
    fn words_that_only_contain_one_are_not() {
        for text in [
            "disputa",
            "computadora",
            "Scunthorpe",
            "assessment",
            "shitake no, shiitake",
            "pene, vagina y ano",
            "dolor de culo",
            "Dick Cheney",
            "análisis",
            "tome 5 mg a las 8",
            "cuenta 1 2 3",
            "a b c d",
            "",
            "!!!",
            "Disputan",
        ] {
            assert!(!found(text), "{text}");
        }
    }
}

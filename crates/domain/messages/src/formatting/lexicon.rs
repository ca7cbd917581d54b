//! Medical terms, found by a closed list per language (S0-55, S0-155).

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use crate::words::{Word, words};

/// The version of the lists, told with what they found. Goes up when `lexicon/*.txt` change.
pub const LEXICON_VERSION: u32 = 1;

/// One term a line; `#` begins a remark.
const LISTS: [&str; 2] = [include_str!("lexicon/es.txt"), include_str!("lexicon/en.txt")];

/// The stems of the terms by their first one; the longest first.
static LEXICON: LazyLock<HashMap<String, Vec<Vec<String>>>> = LazyLock::new(|| {
    let mut lexicon: HashMap<String, Vec<Vec<String>>> = HashMap::new();
    for term in LISTS.into_iter().flat_map(str::lines).filter(|line| !line.starts_with('#')) {
        let stems: Vec<_> = words(term).into_iter().map(|word| stem(word.folded)).collect();
        if let Some(first) = stems.first() {
            lexicon.entry(first.clone()).or_default().push(stems);
        }
    }
    for terms in lexicon.values_mut() {
        terms.sort_unstable_by_key(|stems| std::cmp::Reverse(stems.len()));
        terms.dedup();
    }
    lexicon
});

/// The medical terms in `text`, in lower case and otherwise as written, each once, in the order of the text.
///
/// Case, accents and the plural do not matter; of terms that overlap the longest counts.
pub fn medical_terms(text: &str) -> Vec<String> {
    let words: Vec<Word> = words(text);
    let stems: Vec<String> = words.iter().map(|word| stem(word.folded.clone())).collect();
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        // The words of a term stand on one line, with one space, hyphen or apostrophe between them.
        let joined = |n: usize| {
            let gap = &text[words[n].range.end..words[n + 1].range.start];
            matches!(gap, " " | "-" | "'" | "’")
        };
        let fits =
            |term: &&Vec<String>| stems[at..].starts_with(term) && (at..at + term.len() - 1).all(joined);
        let Some(term) = LEXICON.get(&stems[at]).and_then(|terms| terms.iter().find(fits)) else {
            at += 1;
            continue;
        };
        let end = at + term.len();
        if seen.insert(&stems[at..end]) {
            found.push(text[words[at].range.start..words[end - 1].range.end].to_lowercase());
        }
        at = end;
    }
    found
}

/// Brings the singular and the plural of a folded word together, in both languages: `dolores` and `dolor`, `allergies`
/// and `allergy`. Short words stay.
fn stem(mut word: String) -> String {
    if !word.is_ascii() || word.len() <= 4 {
        return word;
    }
    if word.ends_with('s') && !word.ends_with("ss") {
        word.pop();
    }
    if word.len() > 4 && word.ends_with('e') {
        word.pop();
    }
    if word.len() > 4 && word.ends_with('y') {
        word.pop();
        word.push('i');
    }
    word
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_documented_message_has_the_documented_terms() {
        let text = "He revisado sus últimos **estudios de laboratorio**. ¿Cómo se ha sentido con la nueva medicación \
                    para la presión arterial?";
        assert_eq!(medical_terms(text), ["estudios de laboratorio", "medicación", "presión arterial"]);
    }

    #[test]
    fn case_accents_plural_and_language_do_not_matter() {
        assert_eq!(medical_terms("PRESION ARTERIAL"), ["presion arterial"]);
        assert_eq!(medical_terms("Sus alergias y her allergies"), ["alergias", "allergies"]);
        assert_eq!(medical_terms("blood pressure, Blood-Pressure"), ["blood pressure"]);
    }

    #[test]
    fn the_longest_term_counts_and_words_stay_whole() {
        assert_eq!(medical_terms("diabetes mellitus"), ["diabetes mellitus"]);
        assert_eq!(medical_terms("presión\narterial"), Vec::<String>::new());
        assert_eq!(medical_terms("Mañana a las ocho en la puerta, gracias."), Vec::<String>::new());
    }

    #[test]
    fn the_lists_are_long_and_hold_no_term_twice() {
        for list in LISTS {
            let terms: Vec<_> = list.lines().filter(|line| !line.starts_with('#')).collect();
            assert!(terms.len() >= 250, "{}", terms.len());
            let mut seen = HashSet::new();
            for term in terms {
                assert_eq!(term, term.trim().to_lowercase());
                let stems: Vec<_> = words(term).into_iter().map(|word| stem(word.folded)).collect();
                assert!(seen.insert(stems), "{term} is there twice");
                assert_eq!(medical_terms(term), [term]);
            }
        }
    }

    proptest! {
        #[test]
        fn terms_are_parts_of_the_text(text in "(\\PC|presión arterial|Fiebre| ){0,30}") {
            let lower = text.to_lowercase();
            for term in medical_terms(&text) {
                prop_assert!(lower.contains(&term));
            }
        }
    }
}

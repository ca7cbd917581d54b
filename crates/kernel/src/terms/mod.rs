//! What can be looked for in a text: its words without regard to case, accents and endings, in Spanish and English.
//!
//! Each word is normalised (NFKC, lower case), and its stems are taken: of the word as it is by the rules of both
//! languages, and by the Spanish ones of the word without accents, since people leave those out. Two words are the
//! same if they share a stem. Stop words, numbers of five digits and more (telephone and record numbers), and words
//! of more than 64 characters are not looked for by themselves; a phrase may hold stop words.
//!
//! An index holds keyed digests of [`terms_of`] a text (see [`Tokeniser`](crate::sealing::Tokeniser)); a
//! [`Pattern`] says which of them must be there, and finds them in the text itself.

mod pattern;
mod stop_words;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use snowball_stemmers_rs::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

pub use pattern::{Found, MAX_QUERY, MAX_WORDS, Pattern};

use crate::text::fold;

/// Changes whenever the same text gives other terms: what was indexed by another version is indexed again.
pub const VERSION: i16 = 1;

const MAX_WORD: usize = 64;
/// Numbers of so many digits tell who someone is.
const MAX_DIGITS: usize = 4;

/// A word of a text.
#[derive(Clone, PartialEq, Eq)]
struct Word {
    /// Where it stands, in bytes.
    range: Range<usize>,
    /// In lower case, without accents.
    folded: String,
    /// What it is looked for by; nothing, if it is not looked for.
    stems: Arc<[String]>,
    is_hashtag: bool,
}

/// Takes texts apart, and remembers the stems of words it has met.
struct Analyser {
    spanish: Stemmer,
    english: Stemmer,
    known: HashMap<String, Arc<[String]>>,
}

impl Analyser {
    fn new() -> Self {
        Self {
            spanish: Stemmer::create(Algorithm::Spanish),
            english: Stemmer::create(Algorithm::English),
            known: HashMap::new(),
        }
    }

    fn words(&mut self, text: &str) -> Vec<Word> {
        let mut words = Vec::new();
        for (start, piece) in text.unicode_word_indices() {
            let is_hashtag = text.get(..start).is_some_and(|before| before.ends_with('#'));
            let range = start..start + piece.len();
            let lower: String = piece.nfkc().flat_map(char::to_lowercase).collect();
            // What looks like one word may be several once it is normalised.
            for word in lower.unicode_words() {
                let stems = self.stems(word);
                words.push(Word { range: range.clone(), folded: fold(word), stems, is_hashtag });
            }
        }
        words
    }

    fn stems(&mut self, lower: &str) -> Arc<[String]> {
        if let Some(known) = self.known.get(lower) {
            return Arc::clone(known);
        }
        let folded = fold(lower);
        let digits = folded.chars().filter(|c| c.is_numeric()).count();
        let too_long = folded.chars().nth(MAX_WORD).is_some();
        let stems: Arc<[String]> = if too_long || digits > MAX_DIGITS || stop_words::is_stop_word(&folded) {
            Arc::default()
        } else {
            let stems = BTreeSet::from([
                fold(&self.spanish.stem(lower)),
                self.spanish.stem(&folded).into_owned(),
                fold(&self.english.stem(lower)),
            ]);
            stems.into_iter().collect()
        };
        self.known.insert(lower.to_owned(), Arc::clone(&stems));
        stems
    }
}

/// What `text` can be found by: stems of its words, and hashtags. Each once, sorted.
pub fn terms_of(text: &str) -> BTreeSet<String> {
    let mut terms = BTreeSet::new();
    for word in Analyser::new().words(text) {
        if word.is_hashtag {
            terms.insert(hashtag(&word.folded));
        }
        terms.extend(word.stems.iter().map(|stem| format!("t:{stem}")));
    }
    terms
}

fn hashtag(folded: &str) -> String {
    format!("h:{folded}")
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Word({:?})", self.range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share_a_stem(one: &str, other: &str) -> bool {
        let (one, other) = (terms_of(one), terms_of(other));
        !one.is_disjoint(&other)
    }

    #[test]
    fn people_find_medical_words_however_they_write_them() {
        let pairs = [
            ("migraña", "migranas"),
            ("medicación", "medicaciones"),
            ("análisis", "analisis"),
            ("diagnóstico", "diagnosticos"),
            ("corazón", "corazones"),
            ("presión", "presion"),
            ("riñón", "riñones"),
            ("lesión", "lesiones"),
            ("alergia", "alergias"),
            ("alérgico", "alergica"),
            ("inflamación", "inflamaciones"),
            ("cirugía", "cirugias"),
            ("vacunación", "vacunaciones"),
            ("infección", "infecciones"),
            ("respiración", "respiraciones"),
            ("pulmón", "pulmones"),
            ("embarazada", "embarazadas"),
            ("dolor", "dolores"),
            ("hipertensión", "HIPERTENSION"),
            ("año", "anos"),
        ];
        let found = pairs.iter().filter(|(one, other)| share_a_stem(one, other)).count();
        assert!(found >= 19, "{found} of 20");
        for (one, other) in
            [("headache", "headaches"), ("prescribed", "prescribing"), ("allergy", "allergies")]
        {
            assert!(share_a_stem(one, other), "{one} {other}");
        }
        for (one, other) in [("dolor", "color"), ("riñón", "pulmón"), ("heart", "hearing")] {
            assert!(!share_a_stem(one, other), "{one} {other}");
        }
    }

    #[test]
    fn what_says_little_or_who_someone_is_is_no_term() {
        assert!(terms_of("de la que y the of").is_empty());
        assert!(terms_of("612345678 12345 1.2345").is_empty());
        assert_eq!(terms_of("1234").len(), 1);
        assert!(terms_of(&"ñ".repeat(65)).is_empty());
        assert!(terms_of("🤒 — … !").is_empty());
        assert_eq!(terms_of("#Dolor"), BTreeSet::from(["h:dolor".to_owned(), "t:dolor".to_owned()]));
    }
}

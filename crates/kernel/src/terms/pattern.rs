use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Analyser, Word, hashtag};
use crate::{FieldError, Rule};

/// The most characters of what someone looks for.
pub const MAX_QUERY: usize = 200;
/// The most words of it.
pub const MAX_WORDS: usize = 16;

/// What someone looks for: words, phrases in quotes, hashtags. All of them must be there.
pub struct Pattern {
    /// The stems of each word, of which one must be there.
    words: Vec<Arc<[String]>>,
    /// Words in a row, without regard to case and accents only.
    phrases: Vec<Vec<Word>>,
    hashtags: Vec<String>,
    // Behind a lock because it remembers what it has met; held while one text is taken apart.
    analyser: Mutex<Analyser>,
}

/// Where what someone looks for stands in a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// In bytes, in order, without overlaps.
    pub highlights: Vec<Range<usize>>,
    /// The higher, the more the text is about it.
    pub score: f32,
}

impl Pattern {
    /// Takes 1 to 200 characters and at most 16 words, of which at least one is looked for.
    ///
    /// # Errors
    /// On the field `query`.
    pub fn parse(field: &'static str, raw: &str) -> Result<Self, FieldError> {
        if raw.trim().is_empty() {
            return Err(FieldError::new(field, Rule::Empty));
        }
        if raw.chars().nth(MAX_QUERY).is_some() {
            return Err(FieldError::new(field, Rule::TooLong { max: MAX_QUERY }));
        }
        if raw.contains('\0') {
            return Err(FieldError::new(field, Rule::ControlCharacter));
        }
        let mut analyser = Analyser::new();
        let (mut words, mut phrases, mut hashtags, mut count) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for (n, part) in raw.split(['"', '“', '”', '«', '»']).enumerate() {
            let found = analyser.words(part);
            count += found.len();
            // What stands between an odd and an even quote is a phrase; of one word it is that word as it is.
            if n % 2 == 1 && !found.is_empty() {
                phrases.push(found);
                continue;
            }
            for word in found {
                if word.is_hashtag {
                    hashtags.push(word.folded);
                } else if !word.stems.is_empty() && !words.contains(&word.stems) {
                    words.push(word.stems);
                }
            }
        }
        if count > MAX_WORDS {
            return Err(FieldError::new(field, Rule::TooMany { max: MAX_WORDS }));
        }
        let pattern = Self { words, phrases, hashtags, analyser: Mutex::new(analyser) };
        if pattern.required().is_empty() {
            return Err(FieldError::new(field, Rule::TooCommon));
        }
        Ok(pattern)
    }

    /// Terms of which a text that matches has at least one each; the most telling ones first.
    pub fn required(&self) -> Vec<Vec<String>> {
        let tagged = |stems: &Arc<[String]>| stems.iter().map(|stem| format!("t:{stem}")).collect::<Vec<_>>();
        let mut required: Vec<Vec<String>> = self.hashtags.iter().map(|tag| vec![hashtag(tag)]).collect();
        let phrases = self.phrases.iter().flatten().map(|word| &word.stems);
        required.extend(self.words.iter().chain(phrases).filter(|stems| !stems.is_empty()).map(tagged));
        required.sort_by_key(|terms| std::cmp::Reverse(terms.iter().map(String::len).max()));
        required.dedup();
        required
    }

    /// Whether words must stand beside each other, which [`required`](Self::required) does not tell.
    pub const fn has_phrases(&self) -> bool {
        !self.phrases.is_empty()
    }

    /// Where it stands in `text`; `None` if not all of it is there.
    pub fn find(&self, text: &str) -> Option<Found> {
        let words = self.analyser.lock().unwrap_or_else(PoisonError::into_inner).words(text);
        let mut hits: Vec<Range<usize>> = Vec::new();
        let mut score = 0.0;
        let mut all = |found: Vec<Range<usize>>, weight: f32| {
            let times = u16::try_from(found.len()).unwrap_or(u16::MAX);
            score += weight * (1.0 + f32::from(times).ln());
            hits.extend(found);
            times > 0
        };
        for stems in &self.words {
            let same = |word: &&Word| word.stems.iter().any(|stem| stems.contains(stem));
            all(words.iter().filter(same).map(|word| word.range.clone()).collect(), 1.0).then_some(())?;
        }
        for tag in &self.hashtags {
            let same = |word: &&Word| word.is_hashtag && word.folded == *tag;
            all(words.iter().filter(same).map(|word| word.range.clone()).collect(), 2.0).then_some(())?;
        }
        for phrase in &self.phrases {
            let same =
                |row: &&[Word]| row.iter().zip(phrase).all(|(here, asked)| here.folded == asked.folded);
            let range = |row: &[Word]| Some(row.first()?.range.start..row.last()?.range.end);
            let found = words.windows(phrase.len()).filter(same).filter_map(range).collect();
            all(found, 3.0).then_some(())?;
        }
        hits.sort_unstable_by_key(|range| (range.start, range.end));
        let mut highlights: Vec<Range<usize>> = Vec::new();
        for hit in hits {
            match highlights.last_mut() {
                Some(last) if hit.start < last.end => last.end = last.end.max(hit.end),
                _ => highlights.push(hit),
            }
        }
        let length = u16::try_from(words.len()).unwrap_or(u16::MAX);
        Some(Found { highlights, score: score / f32::from(length).max(1.0).sqrt() })
    }

    /// Whether each of its words is in `title`, or begins one there.
    pub fn fits_title(&self, title: &str) -> bool {
        let words = self.analyser.lock().unwrap_or_else(PoisonError::into_inner).words(title);
        let begins = |stems: &Arc<[String]>| {
            words.iter().any(|word| {
                stems.iter().any(|stem| word.stems.contains(stem) || word.folded.starts_with(stem.as_str()))
            })
        };
        self.words.iter().all(begins)
            && self.hashtags.iter().all(|tag| words.iter().any(|word| word.folded == *tag))
            && self.phrases.iter().all(|phrase| {
                words
                    .windows(phrase.len())
                    .any(|row| row.iter().zip(phrase).all(|(a, b)| a.folded == b.folded))
            })
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({} words, {} phrases)", self.words.len(), self.phrases.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(raw: &str) -> Pattern {
        Pattern::parse("query", raw).unwrap()
    }

    fn shown(raw: &str, text: &str) -> Option<String> {
        let found = pattern(raw).find(text)?;
        Some(found.highlights.into_iter().map(|range| &text[range]).collect::<Vec<_>>().join("|"))
    }

    #[test]
    fn all_words_must_be_there_in_any_order_and_form() {
        let text = "Tomó la medicación para los dolores de cabeza.";
        assert_eq!(shown("cabeza dolor", text).as_deref(), Some("dolores|cabeza"));
        assert_eq!(shown("MEDICACION", text).as_deref(), Some("medicación"));
        assert_eq!(shown("dolor pecho", text), None);
        assert_eq!(shown("de dolor", text).as_deref(), Some("dolores"), "stop words are passed over");
    }

    #[test]
    fn phrases_stand_in_a_row_as_they_are() {
        let text = "El dolor de cabeza va y viene: cabeza, dolor.";
        assert_eq!(shown("\"dolor de cabeza\"", text).as_deref(), Some("dolor de cabeza"));
        assert_eq!(shown("«Dólor de Cabeza»", text).as_deref(), Some("dolor de cabeza"));
        assert_eq!(shown("\"cabeza de dolor\"", text), None);
        assert_eq!(shown("\"dolores de cabeza\"", text), None, "endings count");
        assert_eq!(shown("\"dolor de cabeza\" viene", text).as_deref(), Some("dolor de cabeza|viene"));
        assert_eq!(shown("viene \"va y\"", text).as_deref(), Some("va y|viene"));
    }

    #[test]
    fn hashtags_are_found_as_such() {
        assert_eq!(shown("#urgente", "Es #Urgente, doctor").as_deref(), Some("Urgente"));
        assert_eq!(shown("#urgente", "Es urgente, doctor"), None);
        assert_eq!(shown("urgente", "Es #Urgente, doctor").as_deref(), Some("Urgente"));
    }

    #[test]
    fn highlights_stand_where_the_words_do() {
        // Characters that change their length when they are normalised.
        let text = "ﬁebre İ ﬁebre Ｄｏｌｏｒ 🤒 dolor";
        assert_eq!(shown("fiebre", text).as_deref(), Some("ﬁebre|ﬁebre"));
        assert_eq!(shown("dolor", text).as_deref(), Some("Ｄｏｌｏｒ|dolor"));
    }

    #[test]
    fn what_is_more_about_it_scores_higher() {
        let score = |text| pattern("dolor").find(text).unwrap().score;
        assert!(score("dolor y dolor") > score("un poco de dolor ayer por la tarde"));
    }

    #[test]
    fn what_cannot_be_looked_for_is_refused() {
        for bad in ["", "  ", "de la", "612345678", "!!!", "\"de la\"", "a\0dolor", &"x".repeat(201)] {
            assert!(Pattern::parse("query", bad).is_err(), "{bad:?}");
        }
        let words = |n: usize| (0..n).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
        assert!(Pattern::parse("query", &words(16)).is_ok());
        assert!(Pattern::parse("query", &words(17)).is_err());
    }

    #[test]
    fn titles_are_found_by_how_their_words_begin() {
        let fits = |raw, title| pattern(raw).fits_title(title);
        assert!(fits("cardio", "Equipo de Cardiología"));
        assert!(fits("cardiologia equipo", "Equipo de Cardiología"));
        assert!(!fits("neuro", "Equipo de Cardiología"));
    }

    #[test]
    fn debug_shows_no_words() {
        assert_eq!(format!("{:?}", pattern("sífilis \"dolor de cabeza\"")), "Pattern(1 words, 1 phrases)");
    }
}

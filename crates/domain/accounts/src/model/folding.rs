//! How words are compared when people look for each other: without case, accents and punctuation.

use alivio_kernel::text::fold;

/// The words of `text`, folded; a word is a run of letters and digits.
pub fn fold_words(text: &str) -> Vec<String> {
    fold(text)
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The folded words of `text` in one line: equal for what people take for the same, and good to sort by.
pub fn fold_key(text: &str) -> String {
    fold_words(text).join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_accents_and_punctuation_do_not_matter() {
        assert_eq!(fold_words("Dra. María  MARTÍNEZ-García"), ["dra", "maria", "martinez", "garcia"]);
        assert_eq!(fold_key("Clínica «San José»"), fold_key("clinica san jose"));
        assert_eq!(fold_key("Ñandú ﬁn İzmir"), "nandu fin izmir");
        assert_eq!(fold_key("  ... "), "");
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing_and_leaves_nothing_to_quote(text in "\\PC{0,40}") {
            let key = fold_key(&text);
            prop_assert_eq!(fold_key(&key), key.clone());
            prop_assert!(key.chars().all(|c| c.is_alphanumeric() || c == ' '));
        }
    }
}

/// Words that say too little to be looked for, in Spanish and English, folded and sorted.
const STOP_WORDS: &[&str] = &[
    "a", "about", "al", "algo", "am", "an", "and", "ante", "antes", "are", "as", "asi", "at", "aun",
    "aunque", "be", "because", "been", "but", "by", "cada", "can", "como", "con", "contra", "could", "cual",
    "cuando", "de", "del", "desde", "did", "do", "does", "donde", "e", "el", "ella", "ellas", "ellos", "en",
    "entre", "era", "es", "esa", "esas", "ese", "eso", "esos", "esta", "estaba", "estan", "estas", "este",
    "esto", "estos", "estoy", "for", "from", "fue", "ha", "had", "han", "has", "hasta", "have", "hay", "he",
    "her", "him", "his", "how", "i", "if", "in", "is", "it", "its", "la", "las", "le", "les", "lo", "los",
    "mas", "me", "mi", "mis", "muy", "my", "ni", "no", "nos", "not", "o", "of", "on", "or", "os", "our",
    "para", "pero", "por", "porque", "pues", "que", "quien", "se", "ser", "she", "si", "sin", "so", "sobre",
    "solo", "son", "su", "sus", "tan", "te", "that", "the", "their", "them", "then", "there", "these",
    "they", "this", "those", "ti", "tiene", "to", "tu", "tus", "u", "un", "una", "unas", "uno", "unos", "us",
    "was", "we", "were", "what", "when", "which", "who", "will", "with", "would", "y", "ya", "yo", "you",
    "your",
];

/// Whether `folded` says too little to be looked for.
pub(super) fn is_stop_word(folded: &str) -> bool {
    STOP_WORDS.binary_search(&folded).is_ok()
}

#[cfg(test)]
mod tests {
    use super::STOP_WORDS;

    #[test]
    fn they_are_sorted_and_folded() {
        assert!(STOP_WORDS.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(STOP_WORDS.iter().all(|word| crate::text::fold(word) == *word));
    }
}

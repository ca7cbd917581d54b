//! What nobody wants to read (S0-176): floods of links, shouting, the same over and over.

use crate::words::words;

/// More links than this in one message flood it.
const MAX_LINKS: usize = 5;
/// Shorter texts may be in capitals: abbreviations, a name.
const SHOUTED_LETTERS: usize = 30;
/// The same letter or sign so often in a row.
const SAME_LETTER: usize = 12;
/// The same word so often in a row.
const SAME_WORD: usize = 8;

/// The rules that `text` breaks.
pub(super) fn rules(text: &str) -> impl Iterator<Item = &'static str> {
    let rules = [("link_flood", floods(text)), ("shouting", shouts(text)), ("repetition", repeats(text))];
    rules.into_iter().filter_map(|(rule, broken)| broken.then_some(rule))
}

fn floods(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.matches("://").count().max(lower.matches("www.").count()) > MAX_LINKS
}

fn shouts(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let capitals = text.chars().filter(|c| c.is_uppercase()).count();
    letters >= SHOUTED_LETTERS && capitals * 10 >= letters * 9
}

fn repeats(text: &str) -> bool {
    let signs: Vec<char> = text.chars().collect();
    let loud =
        |run: &[char]| run.len() >= SAME_LETTER && (run[0].is_alphabetic() || matches!(run[0], '!' | '?'));
    let words = words(text);
    signs.chunk_by(|a, b| a == b).any(loud)
        || words.chunk_by(|a, b| a.folded == b.folded).any(|run| run.len() >= SAME_WORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_edge() {
        let broken = |text: &str| rules(text).collect::<Vec<_>>();
        assert_eq!(broken(&"http://a.example/1 ".repeat(5)), Vec::<&str>::new());
        assert_eq!(broken(&"ver https://a.example ahora ".repeat(6)), ["link_flood"]);
        assert_eq!(broken("COMPRE AHORA ESTE PRODUCTO INCREÍBLE"), ["shouting"]);
        assert_eq!(broken("TA, FC y SatO2 normales; ECG en ritmo sinusal"), Vec::<&str>::new());
        assert_eq!(broken("INR 2,5 TTPA OK"), Vec::<&str>::new());
        assert_eq!(broken("nooooooooooooo"), ["repetition"]);
        assert_eq!(broken("------------------------ 1000000000000000"), Vec::<&str>::new());
        assert_eq!(broken(&"gana ".repeat(8)), ["repetition"]);
        assert_eq!(broken(&"gana ".repeat(7)), Vec::<&str>::new());
    }
}

//! What identifies a person (S0-175): found by form, and by check digits where there are any.

use std::ops::Range;

use alivio_kernel::text::fold;

use crate::words::{in_word, pieces};

/// The rules that `text` breaks, each once, sorted.
pub(super) fn rules(text: &str) -> Vec<&'static str> {
    let mut rules = Vec::new();
    if text.contains('@') && text.split(is_gap).any(is_email) {
        rules.push("email");
    }
    let words: Vec<Range<usize>> = pieces(text, in_word).collect();
    let upper = text.to_ascii_uppercase();
    for (n, range) in words.iter().enumerate() {
        let word = &upper[range.clone()];
        let next = words.get(n + 1).filter(|next| upper[range.end..next.start].len() == 1);
        let joined = next.map(|next| format!("{word}{}", &upper[next.clone()]));
        for word in std::iter::once(word).chain(joined.as_deref()) {
            if is_dni(word) {
                rules.push("dni");
            }
            if is_nie(word) {
                rules.push("nie");
            }
        }
        if is_curp(word) {
            rules.push("curp");
        }
        if is_iban(&upper[range.start..]) {
            rules.push("iban");
        }
    }
    for run in digit_runs(text) {
        rules.extend(run.rule());
    }
    if tells_birth_date(text) {
        rules.push("birth_date");
    }
    // 12.345.678-Z
    let dotless = upper.replace('.', "");
    if dotless != upper {
        let words: Vec<Range<usize>> = pieces(&dotless, in_word).collect();
        let joined = |pair: &[Range<usize>]| {
            let gap = pair[1].start - pair[0].end;
            gap == 1 && is_dni(&format!("{}{}", &dotless[pair[0].clone()], &dotless[pair[1].clone()]))
        };
        if words.iter().any(|word| is_dni(&dotless[word.clone()])) || words.windows(2).any(joined) {
            rules.push("dni");
        }
    }
    rules.sort_unstable();
    rules.dedup();
    rules
}

fn is_gap(c: char) -> bool {
    c.is_whitespace() || "<>()[]{},;:\"'«»“”|".contains(c)
}

fn is_email(token: &str) -> bool {
    let Some((local, domain)) = token.trim_end_matches(['.', '!', '?']).rsplit_once('@') else {
        return false;
    };
    let named = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '%');
    let label = |label: &str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    let top = domain.rsplit('.').next().unwrap_or_default();
    !local.is_empty()
        && local.chars().all(named)
        && domain.contains('.')
        && domain.split('.').all(label)
        && top.len() > 1
        && top.chars().all(char::is_alphabetic)
}

/// The letter that a Spanish number has.
fn spanish_letter(number: u32) -> char {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    char::from(LETTERS[number as usize % LETTERS.len()])
}

fn is_dni(word: &str) -> bool {
    if word.len() != 9 || !word.is_ascii() {
        return false;
    }
    let (digits, letter) = word.split_at(8);
    let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    number.is_some_and(|number| letter.starts_with(spanish_letter(number)))
}

fn is_nie(word: &str) -> bool {
    let digit = match word.chars().next() {
        Some('X') => '0',
        Some('Y') => '1',
        Some('Z') => '2',
        _ => return false,
    };
    is_dni(&format!("{digit}{}", &word[1..]))
}

/// The population registry code of Mexico, by its last digit.
fn is_curp(word: &str) -> bool {
    const SIGNS: &str = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ";
    let bytes = word.as_bytes();
    if bytes.len() != 18 || !word.is_ascii() {
        return false;
    }
    let letters = |range: Range<usize>| bytes[range].iter().all(u8::is_ascii_alphabetic);
    let digits = |range: Range<usize>| bytes[range].iter().all(u8::is_ascii_digit);
    if !(letters(0..4) && digits(4..10) && b"HMX".contains(&bytes[10]) && letters(11..16) && digits(17..18)) {
        return false;
    }
    let value = |c: char| SIGNS.chars().position(|sign| sign == c).unwrap_or_default();
    let sum: usize = word.chars().take(17).enumerate().map(|(n, c)| value(c) * (18 - n)).sum();
    (10 - sum % 10) % 10 == usize::from(bytes[17] - b'0')
}

/// Whether `rest` begins with an IBAN: the length of its country, and a remainder of 1.
fn is_iban(rest: &str) -> bool {
    #[rustfmt::skip]
    const LENGTHS: &[(&str, usize)] = &[
        ("AD", 24), ("AT", 20), ("BE", 16), ("BG", 22), ("BR", 29), ("CH", 21), ("CR", 22), ("CY", 28), ("CZ", 24),
        ("DE", 22), ("DK", 18), ("DO", 28), ("EE", 20), ("ES", 24), ("FI", 18), ("FR", 27), ("GB", 22), ("GI", 23),
        ("GR", 27), ("GT", 28), ("HR", 21), ("HU", 28), ("IE", 22), ("IS", 26), ("IT", 27), ("LI", 21), ("LT", 20),
        ("LU", 20), ("LV", 21), ("MC", 27), ("MT", 31), ("NL", 18), ("NO", 15), ("PL", 28), ("PT", 25), ("RO", 24),
        ("SE", 24), ("SI", 19), ("SK", 24), ("SV", 28),
    ];
    let country = rest.get(..2);
    let Some((_, length)) = LENGTHS.iter().find(|(name, _)| Some(*name) == country) else { return false };
    let mut signs = Vec::with_capacity(*length);
    let mut gap = false;
    let mut rest = rest.chars().peekable();
    while signs.len() < *length {
        match rest.next() {
            Some(c) if c.is_ascii_alphanumeric() => {
                signs.push(c);
                gap = false;
            }
            Some(' ' | '-') if !gap => gap = true,
            _ => return false,
        }
    }
    if rest.peek().is_some_and(|c| in_word(*c)) || !signs[2..4].iter().all(char::is_ascii_digit) {
        return false;
    }
    let (head, tail) = signs.split_at(4);
    let remainder = tail
        .iter()
        .chain(head)
        .filter_map(|c| c.to_digit(36))
        .fold(0, |sum, value| (if value < 10 { sum * 10 + value } else { sum * 100 + value }) % 97);
    remainder == 1
}

/// Digits with few signs between them.
struct DigitRun {
    groups: Vec<String>,
    international: bool,
    dashes: bool,
}

fn digit_runs(text: &str) -> Vec<DigitRun> {
    let groups: Vec<Range<usize>> = pieces(text, |c| c.is_ascii_digit()).collect();
    let joined = |a: &Range<usize>, b: &Range<usize>| {
        let gap = &text[a.end..b.start];
        gap.len() <= 2 && gap.chars().all(|c| matches!(c, ' ' | '-' | '.' | '(' | ')'))
    };
    let run = |run: &[Range<usize>]| {
        let (first, last) = (run.first()?, run.last()?);
        let before = text[..first.start].chars().next_back();
        let after = text[last.end..].chars().next();
        // Part of a word or of a decimal number.
        if before.is_some_and(|c| in_word(c) || c == ',') || after.is_some_and(in_word) {
            return None;
        }
        Some(DigitRun {
            groups: run.iter().map(|group| text[group.clone()].to_owned()).collect(),
            international: before == Some('+')
                || (text[first.clone()].starts_with("00") && !text[first.clone()].starts_with("000")),
            dashes: run.windows(2).all(|pair| &text[pair[0].end..pair[1].start] == "-"),
        })
    };
    groups.chunk_by(joined).filter_map(run).collect()
}

impl DigitRun {
    fn rule(&self) -> Option<&'static str> {
        let digits = self.groups.concat();
        let lengths: Vec<usize> = self.groups.iter().map(String::len).collect();
        if self.dashes && lengths == [3, 2, 4] && self.is_ssn() {
            return Some("ssn");
        }
        if (13..=19).contains(&digits.len()) && digits.starts_with(['2', '3', '4', '5', '6']) && luhn(&digits)
        {
            return Some("card");
        }
        let is_phone = if self.international {
            (8..=15).contains(&digits.len())
        } else {
            let spanish = digits.starts_with(['6', '7', '8', '9'])
                && matches!(lengths[..], [9] | [3, 3, 3] | [3, 2, 2, 2] | [2, 3, 2, 2] | [3, 6]);
            spanish || matches!(lengths[..], [10] | [3, 3, 4] | [2, 4, 4] | [3, 7] | [2, 8])
        };
        is_phone.then_some("phone")
    }

    fn is_ssn(&self) -> bool {
        let area = &self.groups[0];
        area != "000"
            && area != "666"
            && !area.starts_with('9')
            && self.groups[1] != "00"
            && self.groups[2] != "0000"
    }
}

fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(n, b)| {
            let digit = u32::from(b - b'0') * (1 + n as u32 % 2);
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Words that announce a date of birth, with a date close behind.
fn tells_birth_date(text: &str) -> bool {
    const WORDS: [&str; 11] = [
        "fecha de nacimiento",
        "naci el",
        "nacio el",
        "nacido el",
        "nacida el",
        "f. nac",
        "fnac",
        "date of birth",
        "born on",
        "dob",
        "birthdate",
    ];
    let folded = fold(text);
    WORDS.iter().any(|words| {
        folded.match_indices(words).any(|(at, _)| {
            let before = folded[..at].chars().next_back();
            let behind: String = folded[at + words.len()..].chars().take(30).collect();
            let groups: Vec<_> = pieces(&behind, |c| c.is_ascii_digit()).map(|range| range.len()).collect();
            !before.is_some_and(in_word) && (groups.contains(&4) || groups.len() > 2)
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_identifies_a_person_is_found() {
        for (text, rule) in [
            ("escríbame a ana.lopez+1@correo.example.", "email"),
            ("<ana@a.example>", "email"),
            ("llame al 612 345 678", "phone"),
            ("tel. 91-345-67-89", "phone"),
            ("+34 612345678", "phone"),
            ("0034 91 345 67 89", "phone"),
            ("(555) 123-4567", "phone"),
            ("55 1234 5678 en CDMX", "phone"),
            ("mi DNI es 12345678Z", "dni"),
            ("12345678-z", "dni"),
            ("12.345.678-Z", "dni"),
            ("NIE X1234567L", "nie"),
            ("Y-1234567-X no; X-1234567L", "nie"),
            ("CURP HEGG560427MVZRRL04", "curp"),
            ("SSN 123-45-6789", "ssn"),
            ("4111 1111 1111 1111", "card"),
            ("5500-0055-5555-5559", "card"),
            ("ES91 2100 0418 4502 0005 1332", "iban"),
            ("de89370400440532013000", "iban"),
            ("nací el 12 de mayo de 1980", "birth_date"),
            ("Fecha de nacimiento: 12/05/80", "birth_date"),
            ("DOB 1980-05-12", "birth_date"),
        ] {
            assert_eq!(rules(text), [rule], "{text}");
        }
    }

    #[test]
    fn clinical_numbers_and_wrong_check_digits_are_not() {
        for text in [
            "TA 120/80, FC 72, SatO2 98 %",
            "el 12-05-2026 10:30 y el 2026-05-12 a las 10",
            "12345678A",
            "X1234567A",
            "HEGG560427MVZRRL05",
            "4111 1111 1111 1112",
            "ES91 2100 0418 4502 0005 1333",
            "000-12-3456",
            "glucosa 110, 98, 102 y 130 mg/dl",
            "120 80 36 98 75",
            "metformina 850 mg 1-0-1",
            "a@b, @maria, 3@x",
            "mi hija nació el martes",
            "12345678",
            "folio 1234567890123",
        ] {
            assert_eq!(rules(text), Vec::<&str>::new(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_searched(text in "(\\PC|[0-9@. +-]|ES|dob|X){0,60}") {
            let _ = rules(&text);
        }
    }
}

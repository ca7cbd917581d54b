//! What is written across a page, in the page's own language: light letters with a dark edge, half transparent, so that
//! they show on paper as on an X-ray; slanted, and again and again, so that no part can be cut out without them.

use std::fmt::Write;

use lopdf::{Dictionary, dictionary};

/// Where the lines go: the part of a page that shows, in its own units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) bottom: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Letters go into the side of a page so many times, if it were a square.
const LETTERS_A_SIDE: f64 = 38.0;
/// The longest line takes at most this part of that side.
const LONGEST_LINE: f64 = 0.65;
/// No page counts as thinner than this, of its diagonal, or letters on a strip would be without number.
const THINNEST: f64 = 1.0 / 6.0;
/// Width of a letter, and height of a line, by the size of letters: a little more than most have.
const LETTER: f64 = 0.58;
const LINE: f64 = 1.25;
/// Room between one copy of the lines and the next, by the size of letters.
const GAP: (f64, f64) = (3.0, 3.5);
/// How much the lines rise, in degrees.
const SLANT: f64 = 30.0;
/// How light letters are, and how much of them shows, of 1: on white as on black.
const FILL: f32 = 0.7;
const OPACITY: f32 = 0.45;

/// A text in the encoding of the fonts that every reader has (Windows-1252); `?` for what they do not have.
pub(super) fn encoded(text: &str) -> Vec<u8> {
    text.chars().map(|letter| win_ansi(letter).unwrap_or(b'?')).collect()
}

fn win_ansi(letter: char) -> Option<u8> {
    const FROM_0X80: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";
    match letter {
        ' '..='~' | '\u{a0}'..='\u{ff}' => u8::try_from(u32::from(letter)).ok(),
        '\u{80}'..='\u{9f}' => None,
        _ => FROM_0X80.chars().zip(0x80..).find_map(|(other, code)| (other == letter).then_some(code)),
    }
}

/// What [`content`] refers to.
pub(super) fn resources() -> Dictionary {
    let font = dictionary! {
        "Type" => "Font",
        "Subtype" => "Type1",
        "BaseFont" => "Helvetica-Bold",
        "Encoding" => "WinAnsiEncoding",
    };
    let opacity = dictionary! { "Type" => "ExtGState", "ca" => OPACITY, "CA" => OPACITY };
    dictionary! {
        "Font" => dictionary! { "F" => font },
        "ExtGState" => dictionary! { "G" => opacity },
    }
}

/// The lines all over `area`, to be read upright on a page that is turned `turn` degrees clockwise when it is shown.
///
/// Lines are written as hexadecimal strings: whatever is in them, it is text (IN-03).
pub(super) fn content(area: Area, turn: i64, lines: &[Vec<u8>]) -> Vec<u8> {
    let longest = lines.iter().map(Vec::len).max().unwrap_or(0).max(1) as f64;
    let diagonal = area.width.hypot(area.height);
    let side = (area.width * area.height).sqrt().max(diagonal * THINNEST);
    let size = (side / LETTERS_A_SIDE).min(side * LONGEST_LINE / (longest * LETTER));
    let (right, up) = (size * (longest * LETTER + GAP.0), size * (lines.len() as f64 * LINE + GAP.1));
    let (sin, cos) = (SLANT + turn as f64).to_radians().sin_cos();
    let (middle_x, middle_y) = (area.left + area.width / 2.0, area.bottom + area.height / 2.0);
    let hex: Vec<String> = lines.iter().map(|line| hex(line)).collect();
    let mut text = format!("/G gs {FILL} g 0 G {:.3} w BT /F {size:.3} Tf 2 Tr\n", size / 24.0);
    // A circle around the area, in rows along the slant; every other row is shifted.
    let (columns, rows) = (steps(diagonal, right), steps(diagonal, up));
    for row in -rows..=rows {
        for column in -columns..=columns {
            let shift = if row % 2 == 0 { 0.25 } else { -0.25 };
            let along = (f64::from(column) + shift) * right - right / 2.0;
            for (number, line) in hex.iter().enumerate() {
                let across = f64::from(row) * up - number as f64 * size * LINE;
                let x = middle_x + along * cos - across * sin;
                let y = middle_y + along * sin + across * cos;
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{cos:.5} {sin:.5} {:.5} {cos:.5} {x:.2} {y:.2} Tm <{line}> Tj", -sin);
            }
        }
    }
    text.push_str("ET\n");
    text.into_bytes()
}

/// How many steps go from the middle of a circle to beyond its edge.
fn steps(diameter: f64, step: f64) -> i32 {
    (diameter / 2.0 / step).ceil() as i32
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

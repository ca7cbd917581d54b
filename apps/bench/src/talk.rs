//! What is said: ordinary words, never the same twice in a row, so that nothing is taken for a flood of repetitions.

use std::iter;

const WORDS: [&str; 64] = [
    "hoy",
    "ayer",
    "mañana",
    "tarde",
    "noche",
    "semana",
    "agua",
    "comida",
    "paseo",
    "casa",
    "dolor",
    "cabeza",
    "fiebre",
    "tos",
    "pecho",
    "brazo",
    "pierna",
    "espalda",
    "rodilla",
    "garganta",
    "mejor",
    "peor",
    "igual",
    "mucho",
    "poco",
    "nada",
    "siempre",
    "nunca",
    "desde",
    "hasta",
    "cuando",
    "donde",
    "tomar",
    "dormir",
    "comer",
    "andar",
    "subir",
    "bajar",
    "descansar",
    "respirar",
    "pastilla",
    "jarabe",
    "crema",
    "dosis",
    "receta",
    "análisis",
    "presión",
    "pulso",
    "azúcar",
    "peso",
    "cita",
    "consulta",
    "doctora",
    "enfermera",
    "familia",
    "hija",
    "hermano",
    "madre",
    "trabajo",
    "escuela",
    "gracias",
    "bien",
    "regular",
    "todavía",
];

/// Numbers that look random and are the same each time.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // Knuth's MMIX; the high bits are the random ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % end
    }
}

/// The words of the message with this number, so many characters of them.
pub(crate) fn words(number: u64, size: u16) -> String {
    let mut dice = Dice(number);
    let words = iter::from_fn(|| Some(WORDS[dice.below(WORDS.len())]));
    let characters = words.flat_map(|word| word.chars().chain(iter::once(' ')));
    let text: String = characters.take(usize::from(size)).collect();
    // A text has no space at its end; the length stays as asked for.
    text.strip_suffix(' ').map_or_else(|| text.clone(), |cut| format!("{cut}."))
}

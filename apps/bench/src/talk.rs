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

/// The words of the message with this number, so many characters of them.
pub(crate) fn words(number: u64, size: u16) -> String {
    // Knuth's multiplier: neighbouring numbers share nothing.
    let mut state = number.wrapping_add(1);
    let words = iter::from_fn(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(WORDS[(state >> 58) as usize])
    });
    let characters = words.flat_map(|word| word.chars().chain(iter::once(' ')));
    let text: String = characters.take(usize::from(size)).collect();
    // A text has no space at its end; the length stays as asked for.
    text.strip_suffix(' ').map_or_else(|| text.clone(), |cut| format!("{cut}."))
}

//! What clamd's words mean.

use alivio_files::{ScanError, Verdict};

/// A signature's name is not longer.
pub(crate) const MAX_ANSWER: u64 = 4096;
/// Of a name or a reason, to be stored.
const MAX_NAME: usize = 200;

/// By these names it says that it has not looked at everything.
const UNSEEN: [&str; 2] = ["Heuristics.Limits.Exceeded", "Heuristics.Encrypted"];

/// The verdict, if it is one.
pub(crate) fn verdict(answer: &str) -> Result<Verdict, ScanError> {
    let strange = || ScanError::Unavailable(format!("clamd answers {:?}", short(answer)).into());
    if answer.starts_with("INSTREAM size limit exceeded") {
        return Ok(Verdict::Unscannable { reason: "INSTREAM size limit exceeded".to_owned() });
    }
    let told = answer.strip_prefix("stream: ").ok_or_else(strange)?;
    if told == "OK" {
        return Ok(Verdict::Clean);
    }
    let name = told.strip_suffix(" FOUND").filter(|name| !name.trim().is_empty()).ok_or_else(strange)?;
    let name = short(name);
    Ok(if UNSEEN.iter().any(|unseen| name.starts_with(unseen)) {
        Verdict::Unscannable { reason: name }
    } else {
        Verdict::Infected { signature: name }
    })
}

fn short(text: &str) -> String {
    text.chars().take(MAX_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ok_is_clean() {
        assert_eq!(verdict("stream: OK").unwrap(), Verdict::Clean);
        let found = |name: &str| Verdict::Infected { signature: name.to_owned() };
        let unseen = |name: &str| Verdict::Unscannable { reason: name.to_owned() };
        for (answer, expected) in [
            ("stream: Eicar-Signature FOUND", found("Eicar-Signature")),
            (
                "stream: Win.Test.EICAR_HDB-1(44d88612fea8a8f3:68) FOUND",
                found("Win.Test.EICAR_HDB-1(44d88612fea8a8f3:68)"),
            ),
            ("stream: OK FOUND", found("OK")),
            (
                "stream: Heuristics.Limits.Exceeded.MaxRecursion FOUND",
                unseen("Heuristics.Limits.Exceeded.MaxRecursion"),
            ),
            ("stream: Heuristics.Encrypted.Zip FOUND", unseen("Heuristics.Encrypted.Zip")),
            ("INSTREAM size limit exceeded. ERROR", unseen("INSTREAM size limit exceeded")),
        ] {
            assert_eq!(verdict(answer).unwrap(), expected, "{answer}");
        }
        let strange = [
            "",
            "OK",
            "stream: ",
            "stream: OK ",
            "stream: ok",
            "stream:  FOUND",
            "stream: Can't allocate memory ERROR",
            "COMMAND READ TIMED OUT",
            "UNKNOWN COMMAND",
            "HTTP/1.1 200 OK",
        ];
        for answer in strange {
            assert!(matches!(verdict(answer), Err(ScanError::Unavailable(_))), "{answer}");
        }
    }

    #[test]
    fn no_name_is_too_long_to_be_stored() {
        let answer = format!("stream: {} FOUND", "ñ".repeat(1000));
        let Verdict::Infected { signature } = verdict(&answer).unwrap() else { panic!() };
        assert_eq!(signature.chars().count(), MAX_NAME);
    }
}

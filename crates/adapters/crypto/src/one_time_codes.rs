use alivio_accounts::{Enrolment, Error, OneTimeCode, OneTimeCodes, RecoveryCode};
use alivio_kernel::Sensitive;
use chrono::{DateTime, Utc};
use totp_rs::{Algorithm, Builder, Secret, Totp};

use crate::random;

/// What authenticator apps show above a code.
const ISSUER: &str = "Alivio";
/// Seconds per code.
const STEP: u64 = 30;
/// Steps before and after the present one that are looked at.
const SKEW: u16 = 1;

/// TOTP (RFC 6238) as every authenticator app understands it: SHA-1, six digits, 30 seconds.
#[derive(Debug, Default, Clone, Copy)]
pub struct TotpCodes;

fn totp(secret: &[u8], account: &str) -> Result<Totp, Error> {
    Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_step_duration(STEP)
        .with_skew(SKEW)
        .with_secret(secret)
        .with_issuer(Some(ISSUER))
        // A colon would end the issuer's name.
        .with_account_name(account.replace(':', "."))
        .build()
        .map_err(|error| Error::Unavailable(error.to_string().into()))
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Unavailable(Box::new(error))
}

impl OneTimeCodes for TotpCodes {
    fn secret(&self) -> Result<Sensitive<Vec<u8>>, Error> {
        Ok(Sensitive::new(random::<20>().map_err(unavailable)?.to_vec()))
    }

    fn enrolment(&self, secret: &[u8], account: &str) -> Result<Enrolment, Error> {
        let totp = totp(secret, account)?;
        let url = totp.to_url().map_err(|error| Error::Unavailable(error.to_string().into()))?;
        Ok(Enrolment { secret: Sensitive::new(totp.secret().to_base32()), url: Sensitive::new(url) })
    }

    fn step_of(&self, secret: &[u8], code: &OneTimeCode, now: DateTime<Utc>) -> Result<Option<i64>, Error> {
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        let step = totp(secret, "")?.check(code.expose(), seconds);
        Ok(step.and_then(|step| i64::try_from(step).ok()))
    }

    fn recovery_code(&self) -> Result<RecoveryCode, Error> {
        let text = Secret::from(random::<10>().map_err(unavailable)?.to_vec()).to_base32();
        Ok(RecoveryCode::parse(&text)?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// RFC 6238, appendix B: the secret of its SHA-1 vectors, whose codes have eight digits; ours are the last six.
    const SECRET: &[u8] = b"12345678901234567890";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn step(code: &str, seconds: i64) -> Option<i64> {
        TotpCodes.step_of(SECRET, &OneTimeCode::parse(code).unwrap(), at(seconds)).unwrap()
    }

    #[test]
    fn the_vectors_of_the_standard_hold() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
        ] {
            assert_eq!(step(code, seconds), Some(seconds / 30), "{seconds}");
        }
    }

    /// AU-11.
    #[test]
    fn a_code_is_good_one_step_early_or_late_and_not_two() {
        let (code, now) = ("005924", 1_234_567_890);
        let good: Vec<_> = (-3..=3).map(|steps| step(code, now + 30 * steps).is_some()).collect();
        assert_eq!(good, [false, false, true, true, true, false, false]);
        assert_eq!(step(code, now + 30), Some(now / 30), "the step is the code's, not the clock's");
    }

    #[test]
    fn an_app_learns_the_secret_from_the_address() {
        let Enrolment { secret, url } = TotpCodes.enrolment(SECRET, "ana:x@clinic.example").unwrap();
        assert_eq!(secret.expose(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let url = url.into_exposed();
        assert!(url.starts_with("otpauth://totp/Alivio:ana.x%40clinic.example?secret=GEZD"), "{url}");
        assert!(url.contains("issuer=Alivio"), "{url}");
    }

    #[test]
    fn secrets_and_recovery_codes_are_random_and_long_enough() {
        let secrets: HashSet<_> = (0..50).map(|_| TotpCodes.secret().unwrap().into_exposed()).collect();
        assert!(secrets.len() == 50 && secrets.iter().all(|secret| secret.len() == 20));
        let codes: HashSet<_> =
            (0..50).map(|_| TotpCodes.recovery_code().unwrap().expose().to_owned()).collect();
        assert!(codes.len() == 50 && codes.iter().all(|code| code.len() == 16));
    }
}

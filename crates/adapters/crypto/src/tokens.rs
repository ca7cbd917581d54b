use std::collections::HashMap;
use std::fmt;

use alivio_accounts::{AccessClaims, Error, SecretHash, TokenMint};
use alivio_kernel::Sensitive;
use alivio_kernel::ids::{SessionId, UserId, Uuid};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::{KeyRing, random};

/// Who our access tokens are for.
pub const AUDIENCE: &str = "alivio";
/// Type of an access token (RFC 9068 §2.1): no other kind of token passes for one.
const TYPE: &str = "at+jwt";
/// Ours have some 450 bytes. Checked before anything is parsed.
const MAX_TOKEN_BYTES: usize = 4096;
/// How far the clocks of two nodes may be apart. Never extends a token's life.
const LEEWAY: TimeDelta = TimeDelta::seconds(60);

/// Access tokens as JWT (RFC 9068) signed with Ed25519, and random secrets.
///
/// The algorithm is pinned and the key is one of the ring, found by its `kid`; keys and addresses of
/// keys in a header (`jwk`, `jku`, `x5u`) are never looked at. Times are whole seconds, cut off: a token
/// ends up to a second early, never late.
pub struct EddsaTokens {
    signing_key: EncodingKey,
    header: Header,
    verifying_keys: HashMap<String, DecodingKey>,
    validation: Validation,
    issuer: String,
    secrets: hmac::Key,
}

impl EddsaTokens {
    /// Tokens issued by `issuer`, signed by the current key of `ring`; those signed by its other keys
    /// are accepted.
    pub fn new(ring: &KeyRing, issuer: &str) -> Self {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(ring.current_token_key().kid.clone());

        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "exp", "nbf", "sub"]);
        // The library would ask the system's clock. Times are compared in `verify`.
        validation.validate_exp = false;
        validation.validate_nbf = false;

        Self {
            signing_key: EncodingKey::from_ed_der(ring.current_token_key().pkcs8()),
            header,
            verifying_keys: ring
                .token_keys()
                .iter()
                .map(|key| (key.kid.clone(), DecodingKey::from_ed_der(&key.public)))
                .collect(),
            validation,
            issuer: issuer.to_owned(),
            // HKDF-Extract (RFC 5869 §2.2) with a salt of its own: nothing in common with the blind index.
            secrets: hmac::Key::new(
                hmac::HMAC_SHA256,
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"alivio secrets v1"), ring.index_root())
                    .as_ref(),
            ),
        }
    }

    fn read(&self, token: &str) -> Option<Claims> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        // RFC 7515 §4.1.11: what is critical and not understood must not be ignored. `decode` holds the
        // algorithm to the one of `validation`.
        if header.typ.as_deref() != Some(TYPE) || header.crit.is_some() {
            return None;
        }
        let key = self.verifying_keys.get(header.kid.as_deref()?)?;
        Some(jsonwebtoken::decode(token, key, &self.validation).ok()?.claims)
    }
}

impl fmt::Debug for EddsaTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EddsaTokens")
            .field("issuer", &self.issuer)
            .field("kid", &self.header.kid)
            .finish_non_exhaustive()
    }
}

impl TokenMint for EddsaTokens {
    fn access(&self, claims: &AccessClaims) -> Result<Sensitive<String>, Error> {
        let issued_at = claims.issued_at.timestamp();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub: claims.user_id,
            sid: claims.session_id,
            iat: issued_at,
            nbf: issued_at,
            exp: claims.expires_at.timestamp(),
            jti: URL_SAFE_NO_PAD.encode(random::<16>().map_err(unavailable)?),
        };
        jsonwebtoken::encode(&self.header, &claims, &self.signing_key)
            .map(Sensitive::new)
            .map_err(unavailable)
    }

    fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<AccessClaims, Error> {
        let claims = self.read(token).ok_or(Error::InvalidToken)?;
        let instant = |seconds| DateTime::from_timestamp(seconds, 0).ok_or(Error::InvalidToken);
        let (issued_at, not_before, expires_at) =
            (instant(claims.iat)?, instant(claims.nbf)?, instant(claims.exp)?);
        if now >= expires_at || not_before > now + LEEWAY || issued_at > now + LEEWAY {
            return Err(Error::InvalidToken);
        }
        Ok(AccessClaims { user_id: claims.sub, session_id: claims.sid, issued_at, expires_at })
    }

    fn secret(&self, prefix: &'static str) -> Result<Sensitive<String>, Error> {
        let bytes = random::<32>().map_err(unavailable)?;
        Ok(Sensitive::new(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    fn mac(&self, purpose: &'static str, bytes: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.secrets);
        // The length keeps apart what would run together.
        context.update(&(purpose.len() as u64).to_be_bytes());
        context.update(purpose.as_bytes());
        context.update(bytes);
        let mut mac = [0; 32];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }

    fn derive(&self, purpose: &'static str, id: Uuid) -> Sensitive<String> {
        let secret = self.mac(purpose, id.as_bytes());
        Sensitive::new(format!("{purpose}{}", URL_SAFE_NO_PAD.encode(secret)))
    }

    fn digest(&self, secret: &str) -> SecretHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
        SecretHash(hash)
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    sid: SessionId,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Unavailable(Box::new(error))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://chat.clinic.example";

    fn now() -> DateTime<Utc> {
        "2027-01-01T12:00:00.123456Z".parse().unwrap()
    }

    fn claims() -> AccessClaims {
        AccessClaims {
            user_id: Uuid::from_u128(1).into(),
            session_id: Uuid::from_u128(2).into(),
            issued_at: now(),
            expires_at: now() + TimeDelta::minutes(10),
        }
    }

    fn ring() -> KeyRing {
        KeyRing::generate().unwrap()
    }

    fn body() -> Value {
        let iat = now().timestamp();
        json!({
            "iss": ISSUER, "aud": "alivio", "sub": Uuid::from_u128(1), "sid": Uuid::from_u128(2),
            "iat": iat, "nbf": iat, "exp": iat + 600, "jti": "x",
        })
    }

    fn head(ring: &KeyRing) -> Value {
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid(ring)})
    }

    fn kid(ring: &KeyRing) -> &str {
        &ring.current_token_key().kid
    }

    /// A token of any header and claims, properly signed with the current key of `ring`.
    fn signed(ring: &KeyRing, head: &Value, body: &Value) -> String {
        let message = unsigned(head, body);
        let key = EncodingKey::from_ed_der(ring.current_token_key().pkcs8());
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::EdDSA).unwrap();
        format!("{message}.{signature}")
    }

    fn unsigned(head: &Value, body: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", part(head), part(body))
    }

    fn with(mut value: Value, name: &str, other: impl Into<Value>) -> Value {
        value[name] = other.into();
        value
    }

    fn without(mut value: Value, name: &str) -> Value {
        value.as_object_mut().unwrap().remove(name).unwrap();
        value
    }

    #[track_caller]
    fn assert_refused(tokens: &EddsaTokens, token: &str, why: &str) {
        let answer = tokens.verify(token, now());
        assert!(matches!(answer, Err(Error::InvalidToken)), "{why}: {answer:?}");
    }

    #[test]
    fn a_token_says_what_it_was_made_of() {
        let tokens = EddsaTokens::new(&ring(), ISSUER);
        let token = tokens.access(&claims()).unwrap().into_exposed();
        let read = tokens.verify(&token, now()).unwrap();
        assert_eq!((read.user_id, read.session_id), (claims().user_id, claims().session_id));
        assert_eq!(read.issued_at.timestamp(), claims().issued_at.timestamp());
        assert_eq!(read.expires_at.timestamp(), claims().expires_at.timestamp());

        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::EdDSA, Some("at+jwt")));
        assert!(token.len() < 600, "{}", token.len());
        assert_ne!(token, tokens.access(&claims()).unwrap().into_exposed(), "jti is random");
    }

    #[test]
    fn the_token_that_the_cases_below_vary_is_good() {
        let ring = ring();
        let tokens = EddsaTokens::new(&ring, ISSUER);
        tokens.verify(&signed(&ring, &head(&ring), &body()), now()).unwrap();
    }

    #[test]
    fn a_token_is_good_until_it_expires_and_not_a_moment_longer() {
        let tokens = EddsaTokens::new(&ring(), ISSUER);
        let token = tokens.access(&claims()).unwrap().into_exposed();
        let end = DateTime::from_timestamp(claims().expires_at.timestamp(), 0).unwrap();
        let good = |at| tokens.verify(&token, at).is_ok();
        assert!(good(end - TimeDelta::microseconds(1)));
        assert!(!good(end));
        assert!(!good(end + TimeDelta::seconds(1)));
    }

    #[test]
    fn derived_secrets_repeat_for_the_same_id_purpose_and_ring_only() {
        let (ring, id) = (ring(), Uuid::from_u128(7));
        let tokens = EddsaTokens::new(&ring, ISSUER);
        let secret = tokens.derive("ali_", id).into_exposed();
        assert_eq!(secret, EddsaTokens::new(&ring, "another issuer").derive("ali_", id).into_exposed());
        assert!(secret.starts_with("ali_") && secret.len() == 4 + 43, "256 bits: {}", secret.len());
        let bare = |prefix, id| tokens.derive(prefix, id).into_exposed()[4..].to_owned();
        for other in [
            bare("alp_", id),
            bare("ali_", Uuid::from_u128(8)),
            EddsaTokens::new(&self::ring(), ISSUER).derive("ali_", id).into_exposed()[4..].to_owned(),
        ] {
            assert_ne!(other, secret[4..]);
        }
        assert_ne!(tokens.mac("ab", b"c"), tokens.mac("a", b"bc"));
    }

    #[test]
    fn what_time_it_is_the_caller_says() {
        let tokens = EddsaTokens::new(&ring(), ISSUER);
        for year in [1980, 2101] {
            let now = format!("{year}-06-01T00:00:00Z").parse().unwrap();
            let claims =
                AccessClaims { issued_at: now, expires_at: now + TimeDelta::minutes(10), ..claims() };
            let token = tokens.access(&claims).unwrap().into_exposed();
            tokens.verify(&token, now).unwrap();
        }
    }

    #[test]
    fn a_clock_that_lags_a_minute_is_tolerated_and_no_more() {
        let ring = ring();
        let tokens = EddsaTokens::new(&ring, ISSUER);
        for name in ["nbf", "iat"] {
            let from =
                |seconds: i64| signed(&ring, &head(&ring), &with(body(), name, now().timestamp() + seconds));
            tokens.verify(&from(60), now()).unwrap();
            assert_refused(&tokens, &from(61), name);
        }
    }

    #[test]
    fn the_algorithm_is_pinned() {
        let ring = ring();
        let tokens = EddsaTokens::new(&ring, ISSUER);
        for none in ["none", "None", "NONE", "", "EdDSA "] {
            let message = unsigned(&with(head(&ring), "alg", none), &body());
            assert_refused(&tokens, &format!("{message}."), none);
            assert_refused(&tokens, &signed(&ring, &with(head(&ring), "alg", none), &body()), none);
        }
        // The public key is public: it must not serve as a shared secret.
        let public = &ring.token_keys()[0].public;
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            URL_SAFE_NO_PAD.encode(public)
        );
        for secret in [public.as_slice(), pem.as_bytes(), URL_SAFE_NO_PAD.encode(public).as_bytes()] {
            let message = unsigned(&with(head(&ring), "alg", "HS256"), &body());
            let key = EncodingKey::from_secret(secret);
            let mac = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
            assert_refused(&tokens, &format!("{message}.{mac}"), "HS256");
        }
        for other in ["ES256", "RS256", "HS512", "PS256", "XX"] {
            assert_refused(&tokens, &signed(&ring, &with(head(&ring), "alg", other), &body()), other);
        }
    }

    #[test]
    fn only_keys_of_the_ring_count() {
        let (ring, foreign) = (ring(), ring());
        let tokens = EddsaTokens::new(&ring, ISSUER);
        assert_refused(&tokens, &signed(&foreign, &head(&foreign), &body()), "foreign kid and key");
        assert_refused(&tokens, &signed(&foreign, &head(&ring), &body()), "foreign key under our kid");
        assert_refused(&tokens, &signed(&ring, &head(&foreign), &body()), "our key under a foreign kid");
        assert_refused(&tokens, &signed(&ring, &without(head(&ring), "kid"), &body()), "no kid");

        let x = URL_SAFE_NO_PAD.encode(&foreign.token_keys()[0].public);
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid(&foreign)});
        for (name, value) in [
            ("jwk", jwk),
            ("jku", json!("https://evil.example/jwks.json")),
            ("x5u", json!("https://evil.example/cert.pem")),
        ] {
            for kid in [kid(&ring), kid(&foreign)] {
                let head = with(with(head(&ring), name, value.clone()), "kid", kid);
                assert_refused(&tokens, &signed(&foreign, &head, &body()), name);
            }
        }
    }

    #[test]
    fn tokens_of_an_older_key_are_accepted_until_it_is_taken_out() {
        let old = ring();
        let rotated = old.with_newer_token_key();
        let token = EddsaTokens::new(&old, ISSUER).access(&claims()).unwrap().into_exposed();
        let tokens = EddsaTokens::new(&rotated, ISSUER);
        tokens.verify(&token, now()).unwrap();
        let fresh = tokens.access(&claims()).unwrap().into_exposed();
        assert_eq!(jsonwebtoken::decode_header(&fresh).unwrap().kid.as_deref(), Some(kid(&rotated)));
        assert_refused(&EddsaTokens::new(&old, ISSUER), &fresh, "a key it has not got yet");
    }

    #[test]
    fn every_claim_must_be_there_and_be_ours() {
        let ring = ring();
        let tokens = EddsaTokens::new(&ring, ISSUER);
        for name in ["iss", "aud", "sub", "sid", "iat", "nbf", "exp", "jti"] {
            assert_refused(&tokens, &signed(&ring, &head(&ring), &without(body(), name)), name);
            assert_refused(&tokens, &signed(&ring, &head(&ring), &with(body(), name, Value::Null)), name);
        }
        let iat = now().timestamp();
        for (name, value) in [
            ("iss", json!("https://evil.example")),
            ("iss", json!(format!("{ISSUER}/"))),
            ("iss", json!([ISSUER])),
            ("aud", json!("alivio-admin")),
            ("aud", json!("jitsi")),
            ("aud", json!([])),
            ("sub", json!("1")),
            ("sub", json!(1)),
            ("exp", json!(iat - 1)),
            ("exp", json!(iat)),
            ("exp", json!("9999999999")),
            ("exp", json!(i64::MAX)),
            ("exp", json!(u64::MAX)),
            ("exp", json!(1e300)),
            ("exp", json!(-1)),
            ("nbf", json!(iat + 3600)),
            ("nbf", json!(i64::MAX)),
            ("iat", json!(i64::MIN)),
        ] {
            let why = format!("{name} = {value}");
            assert_refused(&tokens, &signed(&ring, &head(&ring), &with(body(), name, value)), &why);
        }
    }

    #[test]
    fn no_other_type_of_token_passes() {
        let ring = ring();
        let tokens = EddsaTokens::new(&ring, ISSUER);
        for typ in ["JWT", "AT+JWT", "rt+jwt", ""] {
            assert_refused(&tokens, &signed(&ring, &with(head(&ring), "typ", typ), &body()), typ);
        }
        assert_refused(&tokens, &signed(&ring, &without(head(&ring), "typ"), &body()), "no typ");
        let critical = with(head(&ring), "crit", json!(["b64"]));
        assert_refused(&tokens, &signed(&ring, &critical, &body()), "crit");
    }

    #[test]
    fn a_token_of_another_installation_is_refused() {
        let ring = ring();
        let token = EddsaTokens::new(&ring, "https://other.example").access(&claims()).unwrap();
        assert_refused(&EddsaTokens::new(&ring, ISSUER), token.expose(), "another issuer");
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let tokens = EddsaTokens::new(&ring(), ISSUER);
        let token = tokens.access(&claims()).unwrap().into_exposed();
        for at in 0..token.len() {
            let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
            let mut changed = token.clone();
            changed.replace_range(at..=at, other);
            assert_refused(&tokens, &changed, &format!("character {at}"));
            assert_refused(&tokens, &token[..at], &format!("cut at {at}"));
        }
        for longer in [format!("{token}A"), format!("{token}="), format!("{token}."), format!(" {token}")] {
            assert_refused(&tokens, &longer, &longer);
        }
    }

    #[test]
    fn size_is_checked_before_anything_else() {
        let ring = ring();
        let tokens = EddsaTokens::new(&ring, ISSUER);
        let padded = |bytes: usize| signed(&ring, &head(&ring), &with(body(), "x", "x".repeat(bytes)));
        // Correctly signed: only its size is wrong.
        assert_refused(&tokens, &padded(48 * 1024), "64 KB");
        let (fits, too_long) = (padded(2600), padded(2900));
        assert!(fits.len() <= MAX_TOKEN_BYTES && too_long.len() > MAX_TOKEN_BYTES);
        tokens.verify(&fits, now()).unwrap();
        assert_refused(&tokens, &too_long, "over 4 KiB");
    }

    #[test]
    fn garbage_is_refused() {
        let tokens = EddsaTokens::new(&ring(), ISSUER);
        let refresh = tokens.secret("alr_").unwrap().into_exposed();
        let deep = URL_SAFE_NO_PAD.encode("[".repeat(2000));
        for garbage in
            ["", ".", "..", "...", "a.b.c", "ñ.ñ.ñ", "\0", "eyJ9.e30.", &refresh, &format!("{deep}.{deep}.x")]
        {
            assert_refused(&tokens, garbage, garbage);
        }
    }

    #[test]
    fn secrets_are_long_random_and_recognisable() {
        let tokens = EddsaTokens::new(&ring(), ISSUER);
        let secret = tokens.secret("alr_").unwrap().into_exposed();
        let random = URL_SAFE_NO_PAD.decode(secret.strip_prefix("alr_").unwrap()).unwrap();
        assert_eq!(random.len(), 32);
        let many: std::collections::HashSet<_> =
            (0..1000).map(|_| tokens.secret("alr_").unwrap().into_exposed()).collect();
        assert_eq!(many.len(), 1000);
    }

    #[test]
    fn digests_are_sha_256() {
        // FIPS 180-2, appendix B.1.
        let digest = EddsaTokens::new(&ring(), ISSUER).digest("abc").0;
        assert_eq!(digest[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(digest[28..], [0xf2, 0x00, 0x15, 0xad]);
    }

    #[test]
    fn debug_shows_no_secret() {
        let ring = ring();
        let shown = format!("{:?}", EddsaTokens::new(&ring, ISSUER));
        assert!(shown.contains(ISSUER));
        let key = format!("{:?}", &ring.current_token_key().pkcs8()[20..]);
        assert!(!shown.contains(key.trim_matches(['[', ']'])), "{shown}");
    }
}

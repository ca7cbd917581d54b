//! Trying passwords: how often, from which device, and with the same answer in the same time whatever is wrong.

use alivio_kernel::audit::Outcome;
use alivio_kernel::ids::{SessionId, UserId, Uuid};
use alivio_kernel::{AuditEntry, Origin, Sensitive};
use chrono::{DateTime, Utc};

use super::sign_in::Accounts;
use crate::{
    CredentialEpoch, Credentials, DEVICE_LIFETIME, Email, Error, GuardKey, Password, SecretHash, TryResult,
};

/// How the tokens of known devices begin.
const DEVICE_PREFIX: &str = "ald_";

/// A try at a password, before it is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    /// The blind index of the address; of what was typed, if that is none.
    pub(crate) email_index: [u8; 16],
    /// The device that has signed in before.
    pub(crate) device: Option<Uuid>,
    /// Whose address it is, as it was before the password was looked at.
    found: Option<Credentials>,
    key: GuardKey,
    /// Whether the password will be looked at. What must not show.
    pub(crate) admitted: bool,
}

impl Accounts {
    /// Begins a try at the password of `email`, which is to end with [`Accounts::settle`].
    pub(crate) async fn knock(&self, email: &str, device_token: Option<&str>) -> Result<Gate, Error> {
        let p = &self.ports;
        let email_index = match Email::parse(email) {
            Ok(email) => self.email_index(&email),
            // What cannot be an address costs as much as one, and is no key of one.
            Err(_) => p.sealer.blind_index("users.email.malformed", email.as_bytes()),
        };
        let now = p.clock.now();
        // For an address without an account it costs the same: nothing was ever made known to it.
        let found = p.users.credentials(email_index).await?;
        let epoch = found.as_ref().map_or_else(CredentialEpoch::default, |found| found.epoch);
        let device = device_token.and_then(|token| self.known_device(&email_index, epoch, token, now));
        let key = match device {
            Some(device) => {
                first_half(p.tokens.mac("device guard", &[&email_index[..], device.as_bytes()].concat()))
            }
            None => GuardKey(email_index),
        };
        Ok(Gate { email_index, device, found, key, admitted: p.guards.admit(key, now).await? })
    }

    /// Begins a try of someone who is signed in already: strangers cannot lock them out of it.
    async fn knock_again(&self, user: UserId) -> Result<Gate, Error> {
        let p = &self.ports;
        let key = first_half(p.tokens.mac("password change guard", user.uuid().as_bytes()));
        let admitted = p.guards.admit(key, p.clock.now()).await?;
        Ok(Gate { email_index: key.0, device: None, found: None, key, admitted })
    }

    /// Refuses whoever is signed in as the owner of `credentials` and does not know the password.
    pub(crate) async fn prove_again(
        &self,
        credentials: Credentials,
        password: &Password,
        origin: &Origin,
    ) -> Result<(), Error> {
        let gate = self.knock_again(credentials.user.id).await?;
        self.prove(&gate, Some(credentials), password, origin, "password.proved").await.map(drop)
    }

    /// Whose address it is, if the password is theirs.
    pub(crate) async fn prove_password(
        &self,
        gate: &Gate,
        password: &Password,
        origin: &Origin,
    ) -> Result<Credentials, Error> {
        self.prove(gate, gate.found.clone(), password, origin, "sign_in.password").await
    }

    /// The same for credentials that are known.
    async fn prove(
        &self,
        gate: &Gate,
        found: Option<Credentials>,
        password: &Password,
        origin: &Origin,
        action: &'static str,
    ) -> Result<Credentials, Error> {
        let hash = found.as_ref().and_then(|c| c.password_hash.clone());
        let matches = self.compare(gate, password, hash.clone(), origin, action).await?;
        let (subject, failure) = match &found {
            None => (None, Some("unknown_address")),
            Some(found) if !matches => (Some(found.user.id), Some("wrong_password")),
            Some(found) if !found.user.is_active => (Some(found.user.id), Some("deactivated")),
            Some(found) => (Some(found.user.id), None),
        };
        let proved = self.settle(gate, subject, failure, origin, action).await?;
        let credentials = found.filter(|_| proved).ok_or(Error::InvalidCredentials)?;
        self.renew_hash(credentials.user.id, password, hash).await;
        Ok(credentials)
    }

    /// Whether `password` made `hash`, in the same time without one. What cannot be found out does not count as a try.
    pub(crate) async fn compare(
        &self,
        gate: &Gate,
        password: &Password,
        hash: Option<Sensitive<String>>,
        origin: &Origin,
        action: &'static str,
    ) -> Result<bool, Error> {
        let p = &self.ports;
        let compared = p.passwords.verify(password, hash).await;
        if compared.is_err() && gate.admitted {
            let now = p.clock.now();
            let entry = AuditEntry::from_origin(&*p.ids, now, origin, action);
            let entry = entry.came_to(Outcome::Failed, "not_compared");
            p.guards.settle(gate.key, TryResult::Withdrawn, now, &[entry]).await?;
        }
        compared
    }

    /// Ends a try, which was right unless there is a `failure`. Whether it was right and admitted.
    pub(crate) async fn settle(
        &self,
        gate: &Gate,
        subject: Option<UserId>,
        failure: Option<&'static str>,
        origin: &Origin,
        action: &'static str,
    ) -> Result<bool, Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let mut entry = AuditEntry::from_origin(&*p.ids, now, origin, action);
        entry.subject = subject;
        let result = match failure {
            _ if !gate.admitted => {
                entry = entry.came_to(Outcome::Failed, "locked");
                TryResult::Refused
            }
            Some(reason) => {
                entry = entry.came_to(Outcome::Failed, reason);
                TryResult::Wrong
            }
            None => TryResult::Right,
        };
        p.guards.settle(gate.key, result, now, &[entry]).await?;
        Ok(result == TryResult::Right)
    }

    /// Replaces a hash of an older kind, now that the password is at hand (C-31). The next sign-in tries again if
    /// that fails.
    async fn renew_hash(&self, user: UserId, password: &Password, hash: Option<Sensitive<String>>) {
        let p = &self.ports;
        if let Some(old) = hash.filter(|hash| p.passwords.is_outdated(hash))
            && let Ok(new) = p.passwords.hash(password).await
        {
            p.password_store.rehash(user, &old, &new).await.ok();
        }
    }

    /// What makes a device known to the address for [`DEVICE_LIFETIME`], or until another epoch begins.
    pub(crate) fn device_token(
        &self,
        email: &Email,
        device: Option<Uuid>,
        epoch: CredentialEpoch,
    ) -> Sensitive<String> {
        let p = &self.ports;
        let device = device.unwrap_or_else(|| p.ids.uuid());
        let expires_at = (p.clock.now() + DEVICE_LIFETIME).timestamp();
        let proof = self.device_proof(&self.email_index(email), epoch, device, expires_at);
        Sensitive::new(format!("{DEVICE_PREFIX}{}{expires_at:016x}{}", device.simple(), hex(&proof.0)))
    }

    /// The device of `token`, if it is known to the address.
    fn known_device(
        &self,
        email_index: &[u8; 16],
        epoch: CredentialEpoch,
        token: &str,
        now: DateTime<Utc>,
    ) -> Option<Uuid> {
        let rest = token.strip_prefix(DEVICE_PREFIX).filter(|rest| rest.is_ascii())?;
        let device = Uuid::try_parse(rest.get(..32)?).ok()?;
        let expires_at = i64::from_str_radix(rest.get(32..48)?, 16).ok()?;
        let expected = hex(&self.device_proof(email_index, epoch, device, expires_at).0);
        // Both are digested, so that the time tells nothing about what is expected.
        let tokens = &self.ports.tokens;
        let genuine = tokens.digest(rest.get(48..)?).matches(&tokens.digest(&expected));
        (genuine && now.timestamp() < expires_at).then_some(device)
    }

    fn device_proof(
        &self,
        email_index: &[u8; 16],
        epoch: CredentialEpoch,
        device: Uuid,
        expires_at: i64,
    ) -> SecretHash {
        let (epoch, expires_at) = (epoch.0.to_be_bytes(), expires_at.to_be_bytes());
        let bytes = [&email_index[..], device.as_bytes(), &expires_at, &epoch].concat();
        SecretHash(self.ports.tokens.mac("known device", &bytes))
    }

    /// An id for a session that is about to begin.
    pub(crate) fn next_session(&self) -> SessionId {
        SessionId::generate(&*self.ports.ids)
    }
}

fn first_half(mac: [u8; 32]) -> GuardKey {
    let mut key = [0; 16];
    key.copy_from_slice(&mac[..16]);
    GuardKey(key)
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// The bytes of hexadecimal digits, if they are those of a blind index.
pub(crate) fn index_from_hex(text: &str) -> Option<[u8; 16]> {
    let value = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
    Some(value.to_be_bytes())
}

//! What people say of themselves, and what of it is published.
//!
//! A patient's names, address and telephone rest encrypted, like everybody's [`Identity`](crate::Identity) (S3-125).
//! A professional also has an [`Entry`] in the directory, in plain text by purpose: a directory is there to be
//! searched and sorted by name, title, specialty and institution. Only the licence number in it is sealed. Patients
//! and those who run the installation never have an entry.

use alivio_kernel::ids::UserId;
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::text::{self, Lines};
use alivio_kernel::{AccessScope, FieldError, Language, Role, Rule, Sensitive};
use chrono::{DateTime, Utc};

use crate::{CredentialStatus, LicenseNumber, User, fold_words};

/// Whether people of this role have an entry in the directory.
pub fn has_entry(role: Role) -> bool {
    AccessScope::ProfessionalProfile.roles().contains(&role)
}

/// The most characters of a name.
const NAME_MAX: usize = 120;
/// The most characters of a title, a specialty or an institution.
const LINE_MAX: usize = 160;
/// The most characters of what someone tells about themselves.
const BIO_MAX: usize = 2000;

/// Whether `c` hides, or turns round what stands beside it: a name with it can pass for another one (IN-04).
const fn is_deceptive(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    )
}

fn parse_open(field: &'static str, raw: &str, max: usize, lines: Lines) -> Result<String, FieldError> {
    if raw.chars().any(is_deceptive) {
        return Err(FieldError::new(field, Rule::ControlCharacter));
    }
    text::parse(field, raw, max, lines)
}

fn parse_line(field: &'static str, raw: &str, max: usize) -> Result<String, FieldError> {
    let line = parse_open(field, raw, max, Lines::Single)?;
    if fold_words(&line).is_empty() { Err(FieldError::new(field, Rule::Malformed)) } else { Ok(line) }
}

/// Checks a name of a person for `field`: one line of at most 120 characters with a letter or digit in it, and no
/// character that hides or reorders others.
///
/// # Errors
/// The rule it breaks.
pub fn parse_name(field: &'static str, raw: &str) -> Result<String, FieldError> {
    parse_line(field, raw, NAME_MAX)
}

/// Checks a title, a specialty or an institution for `field`: one line of at most 160 characters, as in
/// [`parse_name`].
pub(crate) fn parse_published(field: &'static str, raw: &str) -> Result<String, FieldError> {
    parse_line(field, raw, LINE_MAX)
}

/// A telephone number: 6 to 15 digits, written as people do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phone(Sensitive<String>);

impl Phone {
    /// Checks what someone typed, and keeps digits and a leading `+` (E.164 has at most 15 digits).
    ///
    /// # Errors
    /// The rule it breaks.
    pub fn parse(raw: &str) -> Result<Self, FieldError> {
        let malformed = FieldError::new("phone", Rule::Malformed);
        let raw = text::parse("phone", raw, 40, Lines::Single)?;
        let (plus, rest) = raw.strip_prefix('+').map_or(("", raw.as_str()), |rest| ("+", rest));
        if !rest.chars().all(|c| c.is_ascii_digit() || " -.()/".contains(c)) {
            return Err(malformed);
        }
        let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
        if !(6..=15).contains(&digits.len()) {
            return Err(malformed);
        }
        Ok(Self(Sensitive::new(format!("{plus}{digits}"))))
    }

    /// A number that was checked when it was stored.
    pub(crate) const fn restored(number: String) -> Self {
        Self(Sensitive::new(number))
    }

    /// The number.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The place where `user`'s number is sealed.
    pub(crate) const fn context(user: UserId) -> SealContext {
        SealContext {
            table: "users",
            column: "phone",
            row: user.uuid(),
            scope: Scope::User(user),
            version: 1,
        }
    }
}

/// What the directory publishes of a professional. The title stands with the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The full name.
    pub full_name: String,
    /// The name shown in a chat.
    pub display_name: String,
    /// What they are specialised in.
    pub specialty: Option<String>,
    /// Where they work or study.
    pub institution: Option<String>,
    /// What they tell about themselves.
    pub bio: Option<String>,
    /// Whether strangers find them in the directory.
    pub listed: bool,
    /// What is known of their credentials.
    pub credential_status: CredentialStatus,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Someone's profile, as they and those who manage professionals see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The account.
    pub user: User,
    /// Where to call them. Only they themselves see it.
    pub phone: Option<Phone>,
    /// Counts their pictures; none if they have none.
    pub avatar_version: Option<i64>,
    /// What the directory says of them, if they are professionals.
    pub entry: Option<Entry>,
    /// Their licence to practise.
    pub license_number: Option<LicenseNumber>,
}

/// A change of a profile: `None` leaves a field as it is; `Some(None)` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfilePatch {
    /// The full name.
    pub full_name: Option<Sensitive<String>>,
    /// The name shown in a chat.
    pub display_name: Option<Sensitive<String>>,
    /// The language to write to them in.
    pub language: Option<Language>,
    /// Where to call them.
    pub phone: Option<Option<Phone>>,
    /// Title among professionals.
    pub professional_title: Option<Option<String>>,
    /// What they are specialised in.
    pub specialty: Option<Option<String>>,
    /// Where they work or study.
    pub institution: Option<Option<String>>,
    /// What they tell about themselves.
    pub bio: Option<Option<String>>,
    /// Whether strangers find them in the directory.
    pub listed: Option<bool>,
    /// Their licence to practise.
    pub license_number: Option<Option<LicenseNumber>>,
}

impl ProfilePatch {
    /// Sets the full name.
    ///
    /// # Errors
    /// The rule it breaks; so with all that follow.
    pub fn full_name(mut self, raw: Option<&str>) -> Result<Self, FieldError> {
        self.full_name = raw.map(|raw| parse_name("full_name", raw).map(Sensitive::new)).transpose()?;
        Ok(self)
    }

    /// Sets the name shown in a chat.
    pub fn display_name(mut self, raw: Option<&str>) -> Result<Self, FieldError> {
        self.display_name = raw.map(|raw| parse_name("display_name", raw).map(Sensitive::new)).transpose()?;
        Ok(self)
    }

    /// Sets what is published besides the names. An inner `None` clears.
    pub fn published(
        mut self,
        professional_title: Option<Option<&str>>,
        specialty: Option<Option<&str>>,
        institution: Option<Option<&str>>,
        bio: Option<Option<&str>>,
    ) -> Result<Self, FieldError> {
        let line = |field, raw: Option<Option<&str>>| {
            raw.map(|raw| raw.map(|raw| parse_published(field, raw)).transpose()).transpose()
        };
        self.professional_title = line("professional_title", professional_title)?;
        self.specialty = line("specialty", specialty)?;
        self.institution = line("institution", institution)?;
        self.bio = bio
            .map(|raw| raw.map(|raw| parse_open("bio", raw, BIO_MAX, Lines::Many)).transpose())
            .transpose()?;
        Ok(self)
    }

    /// Sets what stays sealed: telephone and licence number. An inner `None` clears.
    pub fn confidential(
        mut self,
        phone: Option<Option<&str>>,
        license_number: Option<Option<&str>>,
    ) -> Result<Self, FieldError> {
        self.phone = phone.map(|raw| raw.map(Phone::parse).transpose()).transpose()?;
        self.license_number =
            license_number.map(|raw| raw.map(LicenseNumber::parse).transpose()).transpose()?;
        Ok(self)
    }
}

impl Profile {
    /// The profile after `patch`, made at `at`; an entry is there afterwards if the role has one. What was verified is
    /// to be looked at again if it is now [someone else's](Self::is_same_professional).
    ///
    /// # Errors
    /// A field that people of this role do not have.
    pub fn patched(self, patch: ProfilePatch, at: DateTime<Utc>) -> Result<Self, FieldError> {
        let before = self.clone();
        let mut changed = self.patched_by_verifier(patch, at)?;
        let is_same = before.is_same_professional(&changed);
        if let Some(entry) = changed.entry.as_mut().filter(|_| !is_same) {
            entry.credential_status = entry.credential_status.with_another_name();
        }
        Ok(changed)
    }

    /// Whether those who verified the credentials of one have seen what the other says: full name, title, specialty and
    /// institution.
    pub fn is_same_professional(&self, other: &Self) -> bool {
        fn seen(profile: &Profile) -> [Option<&str>; 4] {
            let entry = profile.entry.as_ref();
            [
                Some(&*profile.user.identity.full_name),
                profile.user.professional_title.as_deref(),
                entry.and_then(|entry| entry.specialty.as_deref()),
                entry.and_then(|entry| entry.institution.as_deref()),
            ]
        }
        seen(self) == seen(other)
    }

    /// The same by someone who may verify credentials, and so vouches for what they change. Another licence still counts
    /// as unverified.
    ///
    /// # Errors
    /// As [`patched`](Self::patched).
    pub fn patched_by_verifier(mut self, patch: ProfilePatch, at: DateTime<Utc>) -> Result<Self, FieldError> {
        if !has_entry(self.user.role) {
            let professional = [
                ("professional_title", matches!(patch.professional_title, Some(Some(_)))),
                ("specialty", matches!(patch.specialty, Some(Some(_)))),
                ("institution", matches!(patch.institution, Some(Some(_)))),
                ("bio", matches!(patch.bio, Some(Some(_)))),
                ("listed", patch.listed.is_some()),
                ("license_number", matches!(patch.license_number, Some(Some(_)))),
            ];
            if let Some((field, _)) = professional.into_iter().find(|(_, given)| *given) {
                return Err(FieldError::new(field, Rule::Unknown));
            }
        }
        let identity = &mut self.user.identity;
        replace(&mut identity.full_name, patch.full_name.map(Sensitive::into_exposed));
        replace(&mut identity.display_name, patch.display_name.map(Sensitive::into_exposed));
        replace(&mut self.user.language, patch.language);
        replace(&mut self.phone, patch.phone);
        if !has_entry(self.user.role) {
            self.entry = None;
            return Ok(self);
        }
        replace(&mut self.user.professional_title, patch.professional_title);
        let mut entry = self.entry.take().unwrap_or_else(|| Entry::of(&self.user, at));
        entry.full_name.clone_from(&self.user.identity.full_name);
        entry.display_name.clone_from(&self.user.identity.display_name);
        replace(&mut entry.specialty, patch.specialty);
        replace(&mut entry.institution, patch.institution);
        replace(&mut entry.bio, patch.bio);
        replace(&mut entry.listed, patch.listed);
        entry.updated_at = at;
        if let Some(number) = patch.license_number
            && number != self.license_number
        {
            self.license_number = number;
            entry.credential_status = entry.credential_status.with_another_license();
        }
        self.entry = Some(entry);
        Ok(self)
    }
}

fn replace<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

impl Entry {
    /// The first entry of a professional: their names.
    pub fn of(user: &User, at: DateTime<Utc>) -> Self {
        Self {
            full_name: user.identity.full_name.clone(),
            display_name: user.identity.display_name.clone(),
            specialty: None,
            institution: None,
            bio: None,
            listed: true,
            credential_status: CredentialStatus::default(),
            updated_at: at,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Email, Identity};

    use super::*;

    fn profile(role: Role) -> Profile {
        let identity = Identity {
            email: Email::parse("x@clinic.example").unwrap(),
            full_name: "María Martínez".into(),
            display_name: "Dra. María".into(),
        };
        Profile {
            user: User {
                id: UserId::from(alivio_kernel::ids::Uuid::nil()),
                identity,
                role,
                professional_title: None,
                language: Language::Spanish,
                is_active: true,
                last_seen_at: None,
                created_at: DateTime::UNIX_EPOCH,
            },
            phone: None,
            avatar_version: None,
            entry: None,
            license_number: None,
        }
    }

    #[test]
    fn names_that_hide_or_turn_characters_are_refused() {
        for bad in [
            "Mar\u{202e}ía",
            "A\u{200b}na",
            "\u{2066}Ana",
            "Ana\u{feff}",
            "An\u{ad}a",
            "A\u{e0041}na",
            "...",
            "",
            "a\nb",
        ] {
            assert!(parse_name("full_name", bad).is_err(), "{bad:?}");
        }
        for good in ["José Ñandú", "O’Brien-Smith", "李小龍", "عائشة", "Zoë 2"] {
            assert_eq!(parse_name("full_name", good).unwrap(), good);
        }
    }

    #[test]
    fn telephones_lose_their_decoration() {
        assert_eq!(Phone::parse(" +34 (600) 12-34-56 ").unwrap().expose(), "+34600123456");
        for bad in ["", "12345", "+34x600123456", "1234567890123456", "6001+23456"] {
            assert!(Phone::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn patients_have_no_entry_and_nothing_to_put_into_one() {
        let at = DateTime::UNIX_EPOCH;
        let names = ProfilePatch::default().full_name(Some("Ana")).unwrap();
        for role in [Role::Patient, Role::ItAdmin] {
            let changed = profile(role).patched(names.clone(), at).unwrap();
            assert_eq!((changed.entry, changed.user.identity.full_name.as_str()), (None, "Ana"));
            let specialty =
                ProfilePatch::default().published(None, Some(Some("Cardiología")), None, None).unwrap();
            assert!(profile(role).patched(specialty, at).is_err());
        }
    }

    #[test]
    fn another_licence_is_not_verified() {
        let at = DateTime::UNIX_EPOCH;
        let licence = |number| ProfilePatch::default().confidential(None, Some(Some(number))).unwrap();
        let mut verified = profile(Role::Doctor).patched(licence("CMP-123"), at).unwrap();
        verified.entry.as_mut().unwrap().credential_status = CredentialStatus::Verified;
        let status = |profile: Profile| profile.entry.unwrap().credential_status;
        assert_eq!(
            status(verified.clone().patched(licence("cmp-123"), at).unwrap()),
            CredentialStatus::Verified
        );
        assert_eq!(
            status(verified.clone().patched(licence("CMP-124"), at).unwrap()),
            CredentialStatus::Unverified
        );
        let cleared = ProfilePatch { license_number: Some(None), ..ProfilePatch::default() };
        assert_eq!(status(verified.patched(cleared, at).unwrap()), CredentialStatus::Unverified);
    }

    #[test]
    fn what_was_verified_of_someone_is_not_of_someone_else() {
        let at = DateTime::UNIX_EPOCH;
        let published = |title, specialty, institution, bio| {
            ProfilePatch::default().published(title, specialty, institution, bio).unwrap()
        };
        let mut verified = profile(Role::Doctor).patched(ProfilePatch::default(), at).unwrap();
        verified.entry.as_mut().unwrap().credential_status = CredentialStatus::Verified;
        let status = |profile: Profile| profile.entry.unwrap().credential_status;
        for patch in [
            ProfilePatch::default().full_name(Some("Gregory House")).unwrap(),
            published(Some(Some("Surgeon")), None, None, None),
            published(None, Some(Some("Cirugía")), None, None),
            published(None, None, Some(Some("Clínica Alivio")), None),
        ] {
            let changed = verified.clone().patched(patch.clone(), at).unwrap();
            assert_eq!(status(changed), CredentialStatus::Submitted, "{patch:?}");
            let vouched = verified.clone().patched_by_verifier(patch.clone(), at).unwrap();
            assert_eq!(status(vouched), CredentialStatus::Verified, "{patch:?}");
            let mut unverified = verified.clone();
            unverified.entry.as_mut().unwrap().credential_status = CredentialStatus::Rejected;
            assert_eq!(status(unverified.patched(patch, at).unwrap()), CredentialStatus::Rejected);
        }
        for patch in [
            ProfilePatch::default().full_name(Some("María Martínez")).unwrap(),
            ProfilePatch::default().display_name(Some("María")).unwrap(),
            published(None, None, None, Some(Some("Bio"))),
        ] {
            assert_eq!(status(verified.clone().patched(patch, at).unwrap()), CredentialStatus::Verified);
        }
    }
}

//! Who finds whom in the directory (C-41), and how they search it.

use alivio_kernel::ids::UserId;
use alivio_kernel::{Caller, FieldError, PageSize, Role, Rule, Sensitive};

use crate::{CredentialStatus, Entry, User, fold_key, fold_words};

/// How far professionals see each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DirectoryPolicy {
    /// Within their institution, and those they are related to.
    #[default]
    Related,
    /// Everyone who is listed.
    Open,
}

/// Whose entries someone sees, besides their own and those of people they are related to: who share a conversation
/// with them, or a care relationship.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Every entry, listed or not.
    All,
    /// Every listed entry.
    Listed,
    /// The listed entries of their own institution.
    Institution,
    /// No other.
    Related,
}

/// Someone who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewer {
    /// Who.
    pub user_id: UserId,
    /// How far they see.
    pub sight: Sight,
}

impl Viewer {
    /// The caller under `policy`.
    pub const fn new(caller: &Caller, policy: DirectoryPolicy) -> Self {
        let sight = match (caller.role, policy) {
            (Role::MedicalAdmin | Role::ItAdmin, _) => Sight::All,
            (Role::Patient, _) => Sight::Related,
            (Role::Doctor | Role::Student, DirectoryPolicy::Open) => Sight::Listed,
            (Role::Doctor | Role::Student, DirectoryPolicy::Related) => Sight::Institution,
        };
        Self { user_id: caller.user_id, sight }
    }
}

/// The entry after which a page starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryAfter {
    /// Its folded name.
    pub name_key: String,
    /// Whose it is.
    pub user_id: UserId,
}

/// What someone looks for. All that is given must fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryQuery {
    /// Folded beginnings of words in name, title, specialty or institution.
    pub words: Vec<String>,
    /// The role.
    pub role: Option<Role>,
    /// The folded title.
    pub title: Option<String>,
    /// The folded specialty.
    pub specialty: Option<String>,
    /// The folded institution.
    pub institution: Option<String>,
    /// What is known of their credentials.
    pub credential_status: Option<CredentialStatus>,
    /// Whether they may sign in.
    pub is_active: Option<bool>,
    /// Where the page starts.
    pub after: Option<DirectoryAfter>,
    /// How many entries to leave out first.
    pub offset: i64,
    /// How many to give.
    pub size: PageSize,
}

impl DirectoryQuery {
    /// More words narrow a search no further.
    const MAX_WORDS: usize = 8;
    /// The most characters of what is looked for.
    const MAX_TEXT: usize = 160;

    /// Everyone who may sign in.
    pub const fn new(size: PageSize) -> Self {
        Self {
            words: Vec::new(),
            role: None,
            title: None,
            specialty: None,
            institution: None,
            credential_status: None,
            is_active: Some(true),
            after: None,
            offset: 0,
            size,
        }
    }

    /// Looks for words that begin so, in any order, without case and accents.
    ///
    /// # Errors
    /// `q` is too long, or has nothing in it to look for; so with the filters below.
    pub fn words(mut self, q: Option<&str>) -> Result<Self, FieldError> {
        let Some(q) = q else { return Ok(self) };
        Self::check("q", q)?;
        self.words = fold_words(q);
        match self.words.len() {
            0 => Err(FieldError::new("q", Rule::Empty)),
            n if n > Self::MAX_WORDS => Err(FieldError::new("q", Rule::TooMany { max: Self::MAX_WORDS })),
            _ => Ok(self),
        }
    }

    /// Keeps those of this title, specialty and institution, compared without case and accents.
    ///
    /// # Errors
    /// The one that cannot be looked for.
    pub fn of(
        mut self,
        title: Option<&str>,
        specialty: Option<&str>,
        institution: Option<&str>,
    ) -> Result<Self, FieldError> {
        let key = |field, raw: Option<&str>| {
            raw.map(|raw| {
                Self::check(field, raw)?;
                let key = fold_key(raw);
                if key.is_empty() { Err(FieldError::new(field, Rule::Empty)) } else { Ok(key) }
            })
            .transpose()
        };
        self.title = key("title", title)?;
        self.specialty = key("specialty", specialty)?;
        self.institution = key("institution", institution)?;
        Ok(self)
    }

    fn check(field: &'static str, raw: &str) -> Result<(), FieldError> {
        let max = Self::MAX_TEXT;
        if raw.chars().count() > max { Err(FieldError::new(field, Rule::TooLong { max })) } else { Ok(()) }
    }
}

/// The folded forms of an entry: what it is found and sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryKeys {
    /// Of the full name: the order of the directory.
    pub name: String,
    /// Of the title.
    pub title: Option<String>,
    /// Of the specialty.
    pub specialty: Option<String>,
    /// Of the institution.
    pub institution: Option<String>,
    /// Every word of names, title, specialty and institution, once.
    pub words: Vec<String>,
}

impl EntryKeys {
    /// The keys of `entry`, of someone with this title.
    pub fn of(entry: &Entry, professional_title: Option<&str>) -> Self {
        let texts = [
            Some(entry.full_name.as_str()),
            Some(entry.display_name.as_str()),
            professional_title,
            entry.specialty.as_deref(),
            entry.institution.as_deref(),
        ];
        let mut words: Vec<_> = texts.into_iter().flatten().flat_map(fold_words).collect();
        words.sort_unstable();
        words.dedup();
        Self {
            name: fold_key(&entry.full_name),
            title: professional_title.map(fold_key),
            specialty: entry.specialty.as_deref().map(fold_key),
            institution: entry.institution.as_deref().map(fold_key),
            words,
        }
    }
}

/// A person as those who may see them do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Who.
    pub id: UserId,
    /// The name shown in a chat.
    pub display_name: Sensitive<String>,
    /// The full name.
    pub full_name: Sensitive<String>,
    /// What the account is for.
    pub role: Role,
    /// Title among professionals.
    pub professional_title: Option<String>,
    /// What they are specialised in.
    pub specialty: Option<String>,
    /// Where they work or study.
    pub institution: Option<String>,
    /// What they tell about themselves.
    pub bio: Option<String>,
    /// Counts their pictures; none if they have none.
    pub avatar_version: Option<i64>,
    /// Whether their credentials were found genuine.
    pub is_verified: bool,
}

impl Card {
    /// The card of someone with an entry.
    pub(crate) fn of_entry(
        id: UserId,
        role: Role,
        professional_title: Option<String>,
        entry: Entry,
        avatar_version: Option<i64>,
    ) -> Self {
        Self {
            id,
            display_name: Sensitive::new(entry.display_name),
            full_name: Sensitive::new(entry.full_name),
            role,
            professional_title,
            specialty: entry.specialty,
            institution: entry.institution,
            bio: entry.bio,
            avatar_version,
            is_verified: entry.credential_status == CredentialStatus::Verified,
        }
    }

    /// The card of someone without one.
    pub(crate) fn of_user(user: User, avatar_version: Option<i64>) -> Self {
        Self {
            id: user.id,
            display_name: Sensitive::new(user.identity.display_name),
            full_name: Sensitive::new(user.identity.full_name),
            role: user.role,
            professional_title: user.professional_title,
            specialty: None,
            institution: None,
            bio: None,
            avatar_version,
            is_verified: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use alivio_kernel::ids::Uuid;

    use super::*;

    fn sight(role: Role, policy: DirectoryPolicy) -> Sight {
        let id = Uuid::nil();
        Viewer::new(&Caller { user_id: id.into(), role, session_id: id.into(), address: None }, policy).sight
    }

    #[test]
    fn patients_never_browse_and_admins_always_do() {
        for policy in [DirectoryPolicy::Related, DirectoryPolicy::Open] {
            assert_eq!(sight(Role::Patient, policy), Sight::Related);
            assert_eq!(sight(Role::ItAdmin, policy), Sight::All);
            assert_eq!(sight(Role::MedicalAdmin, policy), Sight::All);
        }
        assert_eq!(sight(Role::Doctor, DirectoryPolicy::Related), Sight::Institution);
        assert_eq!(sight(Role::Student, DirectoryPolicy::Open), Sight::Listed);
    }

    #[test]
    fn what_holds_nothing_to_look_for_is_refused() {
        let query = || DirectoryQuery::new(PageSize::parse(None, 20).unwrap());
        assert_eq!(query().words(Some("Dr. MARTÍ")).unwrap().words, ["dr", "marti"]);
        for bad in ["", "  ", "':*&", "a b c d e f g h i", &"a".repeat(161)] {
            assert!(query().words(Some(bad)).is_err(), "{bad}");
        }
        assert!(query().of(None, Some("--"), None).is_err());
    }
}

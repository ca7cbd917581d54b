mod details;
mod emergency;
mod hours;
mod links;
mod metadata;
mod personal;
mod schedule;
mod settings;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::text::{self, Lines};
use alivio_kernel::{FieldError, Role, Rule};
use chrono::{DateTime, Datelike, Utc};

use crate::{DenialReason, Error};

pub use details::*;
pub use emergency::*;
pub use hours::*;
pub use links::*;
pub(crate) use metadata::tag_key;
pub use metadata::{MAX_TAGS, Metadata, MetadataPatch, Priority};
pub use personal::*;
pub use schedule::*;
pub use settings::*;

/// The most people a conversation can hold.
pub const MAX_PARTICIPANTS: usize = 1000;
const MAX_TITLE: usize = 200;
const MAX_DESCRIPTION: usize = 1000;

/// What a conversation is for (C-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Exactly two people; the same two always get the same one.
    Direct,
    /// Several people.
    Group,
    /// Follow-up of a patient by a clinician.
    Consultation,
    /// Urgent help.
    Emergency,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Direct, Self::Group, Self::Consultation, Self::Emergency];

    /// Whether it is there to treat a patient.
    pub const fn is_clinical(self) -> bool {
        matches!(self, Self::Consultation | Self::Emergency)
    }

    /// The name used in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
            Self::Consultation => "consultation",
            Self::Emergency => "emergency",
        }
    }
}

impl FromStr for Kind {
    type Err = FieldError;
    fn from_str(s: &str) -> Result<Self, FieldError> {
        Self::ALL.into_iter().find(|k| k.as_str() == s).ok_or(FieldError::new("type", Rule::Unknown))
    }
}

/// What a participant may do in the conversation (C-5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParticipantRole {
    /// Reads and writes.
    Member,
    /// Also adds and removes people.
    Moderator,
}

impl ParticipantRole {
    /// The name used in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Moderator => "moderator",
        }
    }
}

// With the names of the source documents (C-5).
impl FromStr for ParticipantRole {
    type Err = FieldError;
    fn from_str(s: &str) -> Result<Self, FieldError> {
        match s {
            "member" | "participant" => Ok(Self::Member),
            "moderator" | "admin" => Ok(Self::Moderator),
            _ => Err(FieldError::new("role", Rule::Unknown)),
        }
    }
}

/// Someone who is in a conversation now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Participant {
    /// Who.
    pub user_id: UserId,
    /// What they may do.
    pub role: ParticipantRole,
    /// Since when.
    pub joined_at: DateTime<Utc>,
    /// They read from this sequence number on.
    pub joined_seq: i64,
}

/// A conversation.
#[derive(Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// Its number among all conversations, for [`Conversation::reference`].
    pub number: i64,
    /// How people meet in it.
    pub kind: Kind,
    /// What they talk about.
    pub purpose: Purpose,
    /// What it allows.
    pub settings: Settings,
    /// Its title, if it has one.
    pub title: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// Who is in it now.
    pub participants: Vec<Participant>,
    /// Who opened it.
    pub created_by: UserId,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it last changed, messages included.
    pub updated_at: DateTime<Utc>,
    /// What it refers to.
    pub metadata: Metadata,
    /// Whether messages can be sent, unless it has ended by itself.
    pub is_active: bool,
    /// When it ends by itself. What belongs to the care of a patient never does.
    pub expires_at: Option<DateTime<Utc>>,
    /// When and by whom it was closed, and why.
    pub closed: Option<Closed>,
    /// What the viewer keeps of it for themselves.
    pub mine: Personal,
    /// The sequence number of its newest entry; 0 while it is empty.
    pub last_seq: i64,
    /// How many messages it holds.
    pub message_count: i64,
    /// Counts changes of membership.
    pub members_version: i64,
    /// Counts changes of what it is and allows.
    pub details_version: i64,
}

/// How a conversation came to its end.
#[derive(Clone, PartialEq, Eq)]
pub struct Closed {
    /// When.
    pub at: DateTime<Utc>,
    /// By whom.
    pub by: UserId,
    /// Why, if they said so.
    pub reason: Option<String>,
}

/// The state of a conversation that something was decided upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// [`Conversation::members_version`].
    pub members: i64,
    /// [`Conversation::details_version`].
    pub details: i64,
}

impl Conversation {
    /// The number people quote to support: `CONV-2026-001001`. It authorises nothing (C-1).
    pub fn reference(&self) -> String {
        format!("CONV-{}-{:06}", self.created_at.year(), self.number)
    }

    /// The participant `user`, if they are in it.
    pub fn participant(&self, user: UserId) -> Option<&Participant> {
        self.participants.iter().find(|p| p.user_id == user)
    }

    /// What it is now.
    pub const fn versions(&self) -> Versions {
        Versions { members: self.members_version, details: self.details_version }
    }

    /// Whether messages can be sent at `now`.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.is_active && self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether its words belong to a patient's record.
    pub fn is_care(&self) -> bool {
        Facts { kind: self.kind, purpose: self.purpose, settings: self.settings }.is_care()
    }

    /// Whether it is there to treat a patient, so that a clinician moderates it.
    pub const fn is_clinical(&self) -> bool {
        self.kind.is_clinical()
    }

    /// Whether `user` may go: nobody leaves a direct conversation, nor the last moderator any other.
    pub fn can_leave(&self, user: UserId, is_clinician: impl Fn(UserId) -> bool) -> bool {
        self.check_removal(user, is_clinician).is_ok()
    }

    /// Checks that `by` may add people.
    ///
    /// # Errors
    /// [`Error::DirectIsFixed`], [`Error::NotAModerator`], [`Error::Closed`], a field error if the room is full.
    pub fn check_addition(&self, by: UserId, now: DateTime<Utc>) -> Result<(), Error> {
        self.check_moderator(by)?;
        self.check_room(now)
    }

    /// Checks that someone may come in, by whatever way.
    ///
    /// # Errors
    /// [`Error::DirectIsFixed`], [`Error::Closed`], a field error if the room is full.
    pub fn check_room(&self, now: DateTime<Utc>) -> Result<(), Error> {
        if self.kind == Kind::Direct {
            return Err(Error::DirectIsFixed);
        }
        self.check_open(now)?;
        if self.participants.len() >= MAX_PARTICIPANTS {
            return Err(FieldError::new("participants", Rule::TooMany { max: MAX_PARTICIPANTS }).into());
        }
        Ok(())
    }

    /// Checks that `user` may be removed by `by`, who may be the same. `is_clinician` is asked about moderators of
    /// clinical conversations.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAModerator`], [`Error::DirectIsFixed`], [`Error::LastModerator`].
    pub fn check_removal_by(
        &self,
        by: UserId,
        user: UserId,
        is_clinician: impl Fn(UserId) -> bool,
    ) -> Result<(), Error> {
        if by != user {
            self.check_moderator(by)?;
        }
        self.check_removal(user, is_clinician)
    }

    /// Checks that `by` may give `user` that part, who has the account role `account`.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAModerator`], [`Error::DirectIsFixed`], [`Error::PatientsDoNotModerate`],
    /// [`Error::LastModerator`].
    pub fn check_role(
        &self,
        by: UserId,
        (user, account): (UserId, Role),
        role: ParticipantRole,
        is_clinician: impl Fn(UserId) -> bool,
    ) -> Result<(), Error> {
        self.check_moderator(by)?;
        let before = self.participant(user).ok_or(Error::NotFound)?.role;
        if self.kind == Kind::Direct {
            return Err(Error::DirectIsFixed);
        }
        match role {
            ParticipantRole::Moderator if account == Role::Patient => Err(Error::PatientsDoNotModerate),
            ParticipantRole::Member if before == ParticipantRole::Moderator => {
                self.check_moderated_without(user, is_clinician)
            }
            _ => Ok(()),
        }
    }

    /// Checks that `user` moderates.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAModerator`].
    pub fn check_moderator(&self, user: UserId) -> Result<(), Error> {
        match self.participant(user) {
            None => Err(Error::NotFound),
            Some(p) if p.role == ParticipantRole::Moderator => Ok(()),
            Some(_) => Err(Error::NotAModerator),
        }
    }

    /// Checks that it goes on.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn check_open(&self, now: DateTime<Utc>) -> Result<(), Error> {
        if self.is_open(now) { Ok(()) } else { Err(Error::Closed) }
    }

    fn check_removal(&self, user: UserId, is_clinician: impl Fn(UserId) -> bool) -> Result<(), Error> {
        let leaving = self.participant(user).ok_or(Error::NotFound)?;
        if self.kind == Kind::Direct {
            return Err(Error::DirectIsFixed);
        }
        match leaving.role {
            ParticipantRole::Member => Ok(()),
            ParticipantRole::Moderator => self.check_moderated_without(user, is_clinician),
        }
    }

    /// Someone else moderates; where a patient is treated, a clinician if `user` is one (C-5).
    fn check_moderated_without(
        &self,
        user: UserId,
        is_clinician: impl Fn(UserId) -> bool,
    ) -> Result<(), Error> {
        let needs_clinician = self.is_clinical() && is_clinician(user);
        let moderated = self
            .participants
            .iter()
            .filter(|p| p.user_id != user && p.role == ParticipantRole::Moderator)
            .any(|p| !needs_clinician || is_clinician(p.user_id));
        if moderated { Ok(()) } else { Err(Error::LastModerator) }
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Conversation({}, {})", self.id, self.kind.as_str())
    }
}

/// The place where a conversation's `column` is sealed.
pub(crate) const fn context(id: ConversationId, column: &'static str) -> SealContext {
    SealContext { table: "conversations", column, row: id.uuid(), scope: Scope::Conversation(id), version: 1 }
}

/// Who receives what is said in a conversation, as of a members version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// The version.
    pub members_version: i64,
    /// Everyone in it.
    pub members: Vec<UserId>,
}

/// A key by which a client marks retries of one and the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    const MAX: usize = 255;

    /// Takes 1 to 255 visible ASCII characters.
    pub fn parse(raw: &str) -> Result<Self, FieldError> {
        text::parse_token("Idempotency-Key", raw, Self::MAX).map(Self)
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A conversation that someone wants to open, checked for form.
#[derive(Clone, PartialEq, Eq)]
pub struct Draft {
    pub(crate) kind: Kind,
    pub(crate) purpose: Purpose,
    pub(crate) settings: Settings,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Metadata,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// The others: no repeats, not the creator.
    pub(crate) others: Vec<UserId>,
    /// The parts that some of them are to have.
    pub(crate) roles: Vec<(UserId, ParticipantRole)>,
    /// Whether the creator is told of what happens in it.
    pub(crate) notifies_creator: bool,
}

impl Draft {
    /// Checks the form. Repeated participants and the creator themselves count once.
    ///
    /// # Errors
    /// Names the field and the rule.
    pub fn parse(
        creator: UserId,
        kind: Kind,
        title: Option<&str>,
        description: Option<&str>,
        participants: &[UserId],
    ) -> Result<Self, FieldError> {
        let mut others: Vec<_> = participants.iter().copied().filter(|id| *id != creator).collect();
        others.sort_unstable();
        others.dedup();
        let max = if kind == Kind::Direct { 1 } else { MAX_PARTICIPANTS - 1 };
        if others.is_empty() {
            return Err(FieldError::new("participants", Rule::TooFew { min: 1 }));
        }
        if others.len() > max {
            return Err(FieldError::new("participants", Rule::TooMany { max }));
        }
        Ok(Self {
            kind,
            purpose: Purpose::default(),
            settings: Settings::default(),
            title: title.map(|t| text::parse("title", t, MAX_TITLE, Lines::Single)).transpose()?,
            description: description
                .map(|d| text::parse("description", d, MAX_DESCRIPTION, Lines::Many))
                .transpose()?,
            metadata: Metadata::default(),
            expires_at: None,
            others,
            roles: Vec::new(),
            notifies_creator: true,
        })
    }

    /// The same with a purpose, settings and all else that `details` names. Whether it ends in the future is checked when
    /// it is opened.
    ///
    /// # Errors
    /// A field error, or [`Error::NotForThisPurpose`].
    pub fn with_details(self, purpose: Purpose, details: &DetailsPatch) -> Result<Self, Error> {
        if self.kind.is_clinical() && purpose != Purpose::Care {
            return Err(Error::NotForThisPurpose { field: "type" });
        }
        let before = Details {
            title: self.title.clone(),
            description: self.description.clone(),
            ..Details::default()
        };
        let Details { title, description, settings, metadata, expires_at } =
            details.apply(&before, self.kind, purpose, DateTime::<Utc>::MIN_UTC)?;
        let notifies_creator = details.notifications_enabled.unwrap_or(true);
        Ok(Self { purpose, title, description, settings, metadata, expires_at, notifies_creator, ..self })
    }

    /// The same with parts for some of the participants; of two for one person the last counts.
    #[must_use]
    pub fn with_roles(self, roles: Vec<(UserId, ParticipantRole)>) -> Self {
        Self { roles, ..self }
    }

    fn role(&self, user: UserId) -> Option<ParticipantRole> {
        self.roles.iter().rev().find(|(id, _)| *id == user).map(|(_, role)| *role)
    }
}

/// What the relation rule needs to know about a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Who.
    pub user_id: UserId,
    /// What their account is for.
    pub role: Role,
    /// Whether they stand in a care relationship with the asker.
    pub related: bool,
}

/// Two people between whom a block stands, whoever raised it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockedPair {
    /// One of them.
    pub one: UserId,
    /// The other.
    pub other: UserId,
    /// Whether they stand in a care relationship with each other.
    pub related: bool,
}

/// The relation rule (S0-105, S0-113): among staff and students anyone may talk; a patient talks with a
/// doctor who attends them, and with a clinic admin who writes first. Nobody else reaches a patient.
pub const fn may_talk(asker: Role, other: &Standing) -> bool {
    match (asker, other.role) {
        (Role::Patient, Role::Doctor) | (Role::Doctor, Role::Patient) => other.related,
        (Role::MedicalAdmin, Role::Patient) => true,
        (Role::Patient, _) | (_, Role::Patient) => false,
        _ => true,
    }
}

/// Whether a block keeps `user` out of a conversation of this `kind` with those who are there, whoever brings them
/// together. A block is as good as no relation (C-42), but care goes on: a patient and a professional who attends them
/// still meet in consultations and emergencies.
pub fn kept_apart(
    kind: Kind,
    user: UserId,
    is_there: impl Fn(UserId) -> bool,
    blocks: &[BlockedPair],
) -> bool {
    let is_care = kind.is_clinical();
    blocks
        .iter()
        .filter(|pair| !(is_care && pair.related))
        .any(|pair| (pair.one == user && is_there(pair.other)) || (pair.other == user && is_there(pair.one)))
}

/// Who may be in one conversation with a patient: doctors and the clinic's administration, and no second patient.
/// The first of `people`, in their order, that may not.
pub fn out_of_place(people: &[(UserId, Role)]) -> Option<UserId> {
    let mut patients = people.iter().filter(|(_, role)| *role == Role::Patient);
    let (patient, _) = patients.next()?;
    let fits = |id: &UserId, role: Role| match role {
        Role::Doctor | Role::MedicalAdmin => true,
        Role::Patient => id == patient,
        Role::Student | Role::ItAdmin => false,
    };
    people.iter().find(|(id, role)| !fits(id, *role)).map(|(id, _)| *id)
}

/// Decides whether `creator` may open `draft` with the people in `standings`, and who moderates.
///
/// # Errors
/// [`Error::NotAllowed`] for the first person the creator may not talk to, known or not, or whom one of `blocks` keeps
/// apart from those before them;
/// [`Error::ClinicianRequired`], [`Error::ModeratorRequired`], [`Error::PatientsDoNotModerate`].
pub fn assign_roles(
    creator: (UserId, Role),
    draft: &Draft,
    standings: &[Standing],
    blocks: &[BlockedPair],
) -> Result<Vec<(UserId, ParticipantRole)>, Error> {
    let (creator_id, creator_role) = creator;
    let mut people = vec![(creator_id, creator_role)];
    for other in &draft.others {
        let is_there = |id| people.iter().any(|(person, _)| *person == id);
        let kept_apart = kept_apart(draft.kind, *other, is_there, blocks);
        match standings.iter().find(|s| s.user_id == *other) {
            Some(standing) if may_talk(creator_role, standing) && !kept_apart => {
                people.push((*other, standing.role));
            }
            _ => {
                return Err(Error::NotAllowed {
                    target_user_id: *other,
                    reason: DenialReason::NoMedicalRelationship,
                });
            }
        }
    }
    if let Some(target_user_id) = out_of_place(&people) {
        return Err(Error::NotAllowed { target_user_id, reason: DenialReason::NoMedicalRelationship });
    }
    if let Some(target_user_id) = out_of_purpose(draft.purpose, &people) {
        return Err(Error::NotAllowed { target_user_id, reason: DenialReason::NoMedicalRelationship });
    }
    if people
        .iter()
        .any(|(id, role)| *role == Role::Patient && draft.role(*id) == Some(ParticipantRole::Moderator))
    {
        return Err(Error::PatientsDoNotModerate);
    }
    // Whoever opens it moderates, unless that is a patient; outside groups every professional does.
    let only_creator_moderates = draft.kind == Kind::Group && creator_role != Role::Patient;
    let role_of = |(id, role): (UserId, Role)| {
        let moderates = role != Role::Patient && (id == creator_id || !only_creator_moderates);
        let usual = if moderates { ParticipantRole::Moderator } else { ParticipantRole::Member };
        // Whoever opens it keeps their part, and the two of a direct conversation theirs.
        let is_fixed = id == creator_id || draft.kind == Kind::Direct;
        (id, if is_fixed { usual } else { draft.role(id).unwrap_or(usual) })
    };
    let roles: Vec<_> = people.iter().copied().map(role_of).collect();
    let moderates = |id: UserId| roles.contains(&(id, ParticipantRole::Moderator));
    if draft.kind.is_clinical() && !people.iter().any(|(id, role)| role.is_clinician() && moderates(*id)) {
        return Err(Error::ClinicianRequired);
    }
    if !people.iter().any(|(id, _)| moderates(*id)) {
        return Err(Error::ModeratorRequired);
    }
    Ok(roles)
}

/// Who has no place in a conversation for that `purpose`: patients, where staff and students are among themselves.
pub fn out_of_purpose(purpose: Purpose, people: &[(UserId, Role)]) -> Option<UserId> {
    let mut patients = people.iter().filter(|(_, role)| purpose.is_among_staff() && *role == Role::Patient);
    patients.next().map(|(id, _)| *id)
}

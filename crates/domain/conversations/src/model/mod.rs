mod settings;

use std::fmt;
use std::str::FromStr;

use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::text::{self, Lines};
use alivio_kernel::{FieldError, Role, Rule};
use chrono::{DateTime, Datelike, Utc};

use crate::{DenialReason, Error};

pub use settings::{Facts, Purpose, Settings};

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

impl FromStr for ParticipantRole {
    type Err = FieldError;
    fn from_str(s: &str) -> Result<Self, FieldError> {
        match s {
            "member" => Ok(Self::Member),
            "moderator" => Ok(Self::Moderator),
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
    /// Whether messages can be sent.
    pub is_active: bool,
    /// The sequence number of its newest entry; 0 while it is empty.
    pub last_seq: i64,
    /// How many messages it holds.
    pub message_count: i64,
    /// Counts changes of membership.
    pub members_version: i64,
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

    /// Whether `user` may go: nobody leaves a direct conversation, nor the last moderator any other.
    pub fn can_leave(&self, user: UserId) -> bool {
        self.check_removal(user).is_ok()
    }

    /// Checks that `by` may add people.
    ///
    /// # Errors
    /// [`Error::DirectIsFixed`], [`Error::NotAModerator`], a field error if the room is full.
    pub fn check_addition(&self, by: UserId) -> Result<(), Error> {
        self.check_moderator(by)?;
        if self.kind == Kind::Direct {
            return Err(Error::DirectIsFixed);
        }
        if self.participants.len() >= MAX_PARTICIPANTS {
            return Err(FieldError::new("participants", Rule::TooMany { max: MAX_PARTICIPANTS }).into());
        }
        Ok(())
    }

    /// Checks that `user` may be removed by `by`, who may be the same.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAModerator`], [`Error::DirectIsFixed`], [`Error::LastModerator`].
    pub fn check_removal_by(&self, by: UserId, user: UserId) -> Result<(), Error> {
        if by != user {
            self.check_moderator(by)?;
        }
        self.check_removal(user)
    }

    fn check_moderator(&self, user: UserId) -> Result<(), Error> {
        match self.participant(user) {
            None => Err(Error::NotFound),
            Some(p) if p.role == ParticipantRole::Moderator => Ok(()),
            Some(_) => Err(Error::NotAModerator),
        }
    }

    fn check_removal(&self, user: UserId) -> Result<(), Error> {
        let leaving = self.participant(user).ok_or(Error::NotFound)?;
        if self.kind == Kind::Direct {
            return Err(Error::DirectIsFixed);
        }
        let others_moderate =
            self.participants.iter().any(|p| p.user_id != user && p.role == ParticipantRole::Moderator);
        if leaving.role == ParticipantRole::Moderator && !others_moderate {
            return Err(Error::LastModerator);
        }
        Ok(())
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
    /// The others: no repeats, not the creator.
    pub(crate) others: Vec<UserId>,
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
            others,
        })
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
    let is_care = matches!(kind, Kind::Consultation | Kind::Emergency);
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
/// [`Error::ClinicianRequired`].
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
    let clinical = matches!(draft.kind, Kind::Consultation | Kind::Emergency);
    if clinical && !people.iter().any(|(_, role)| role.is_clinician()) {
        return Err(Error::ClinicianRequired);
    }
    // Whoever opens it moderates, unless that is a patient; outside groups every professional does.
    let only_creator_moderates = draft.kind == Kind::Group && creator_role != Role::Patient;
    let role_of = |(id, role): (UserId, Role)| {
        let moderates = role != Role::Patient && (id == creator_id || !only_creator_moderates);
        (id, if moderates { ParticipantRole::Moderator } else { ParticipantRole::Member })
    };
    Ok(people.into_iter().map(role_of).collect())
}

#[cfg(test)]
mod tests {
    use alivio_kernel::SequentialIds;
    use alivio_kernel::ids::Uuid;
    use proptest::prelude::*;

    use super::*;

    fn id(n: u128) -> UserId {
        UserId::from(Uuid::from_u128(n))
    }

    fn standing(n: u128, role: Role, related: bool) -> Standing {
        Standing { user_id: id(n), role, related }
    }

    fn draft(kind: Kind, others: &[u128]) -> Draft {
        let others: Vec<_> = others.iter().map(|n| id(*n)).collect();
        Draft::parse(id(1), kind, None, None, &others).unwrap()
    }

    #[test]
    fn a_patient_reaches_only_a_doctor_who_attends_them() {
        for role in Role::ALL {
            for related in [false, true] {
                let allowed = may_talk(Role::Patient, &standing(2, role, related));
                assert_eq!(allowed, role == Role::Doctor && related, "{role} related={related}");
            }
        }
    }

    #[test]
    fn only_a_related_doctor_or_a_clinic_admin_reaches_a_patient() {
        for role in Role::ALL {
            for related in [false, true] {
                let allowed = may_talk(role, &standing(2, Role::Patient, related));
                let expected = role == Role::MedicalAdmin || (role == Role::Doctor && related);
                assert_eq!(allowed, expected, "{role} related={related}");
            }
        }
    }

    #[test]
    fn a_block_is_as_good_as_no_relation_except_for_care() {
        for (kind, related, expected) in [
            (Kind::Direct, true, false),
            (Kind::Group, true, false),
            (Kind::Consultation, true, true),
            (Kind::Emergency, true, true),
            (Kind::Consultation, false, false),
        ] {
            let other = if related { Role::Patient } else { Role::Doctor };
            let standings = [standing(2, other, related)];
            let open = |blocks: &[BlockedPair]| {
                assign_roles((id(1), Role::Doctor), &draft(kind, &[2]), &standings, blocks)
            };
            for (one, other) in [(id(1), id(2)), (id(2), id(1))] {
                let opened = open(&[BlockedPair { one, other, related }]);
                assert_eq!(opened.is_ok(), expected, "{kind:?} related={related}");
            }
            assert!(open(&[]).is_ok());
        }
    }

    #[test]
    fn nobody_brings_together_two_of_whom_one_blocks_the_other() {
        let standings = [2, 3, 4].map(|n| standing(n, Role::Doctor, false));
        for (one, other) in [(id(2), id(4)), (id(4), id(2))] {
            let blocks = [BlockedPair { one, other, related: false }];
            for kind in [Kind::Group, Kind::Consultation, Kind::Emergency] {
                let creator = (id(1), Role::Doctor);
                let refused = assign_roles(creator, &draft(kind, &[2, 3, 4]), &standings, &blocks);
                assert!(matches!(
                    refused,
                    Err(Error::NotAllowed { target_user_id, reason: DenialReason::NoMedicalRelationship })
                        if target_user_id == id(4)
                ));
                assert!(assign_roles(creator, &draft(kind, &[2, 3]), &standings, &blocks).is_ok());
            }
        }
    }

    #[test]
    fn people_who_do_not_exist_are_denied_like_strangers() {
        let stranger = assign_roles(
            (id(1), Role::Patient),
            &draft(Kind::Direct, &[2]),
            &[standing(2, Role::Doctor, false)],
            &[],
        );
        let nobody = assign_roles((id(1), Role::Patient), &draft(Kind::Direct, &[2]), &[], &[]);
        for denied in [stranger, nobody] {
            assert!(matches!(
                denied,
                Err(Error::NotAllowed { target_user_id, reason: DenialReason::NoMedicalRelationship })
                    if target_user_id == id(2)
            ));
        }
    }

    #[test]
    fn a_patient_shares_a_conversation_with_doctors_and_administration_only() {
        for role in Role::ALL {
            let people = [(id(1), Role::Doctor), (id(2), Role::Patient), (id(3), role)];
            let fits = matches!(role, Role::Doctor | Role::MedicalAdmin);
            assert_eq!(out_of_place(&people), (!fits).then(|| id(3)), "{role}");
        }
        assert_eq!(out_of_place(&[(id(1), Role::Student), (id(2), Role::ItAdmin)]), None);
    }

    #[test]
    fn consultations_need_a_clinician() {
        let result = assign_roles(
            (id(1), Role::MedicalAdmin),
            &draft(Kind::Consultation, &[2]),
            &[standing(2, Role::Patient, false)],
            &[],
        );
        assert!(matches!(result, Err(Error::ClinicianRequired)));
    }

    #[test]
    fn a_patient_who_opens_a_conversation_does_not_moderate_it() {
        for kind in Kind::ALL {
            let attending = [standing(2, Role::Doctor, true)];
            let roles = assign_roles((id(1), Role::Patient), &draft(kind, &[2]), &attending, &[]).unwrap();
            assert_eq!(roles, [(id(1), ParticipantRole::Member), (id(2), ParticipantRole::Moderator)]);
        }
    }

    #[test]
    fn repeats_and_the_creator_count_once() {
        assert_eq!(draft(Kind::Direct, &[2, 2, 1]).others, [id(2)]);
        assert!(Draft::parse(id(1), Kind::Direct, None, None, &[id(1)]).is_err());
        assert!(Draft::parse(id(1), Kind::Direct, None, None, &[id(2), id(3)]).is_err());
    }

    fn conversation(kind: Kind, roles: &[ParticipantRole]) -> Conversation {
        let at = DateTime::UNIX_EPOCH;
        let participants = (1..).zip(roles).map(|(n, role)| Participant {
            user_id: id(n),
            role: *role,
            joined_at: at,
            joined_seq: 1,
        });
        Conversation {
            id: ConversationId::generate(&SequentialIds::default()),
            number: 1001,
            kind,
            title: None,
            description: None,
            participants: participants.collect(),
            created_by: id(1),
            created_at: at,
            updated_at: at,
            is_active: true,
            last_seq: 0,
            message_count: 0,
            members_version: 1,
        }
    }

    #[test]
    fn the_reference_is_for_people() {
        let reference = conversation(Kind::Group, &[ParticipantRole::Moderator]).reference();
        assert_eq!(reference, "CONV-1970-001001");
    }

    fn any_kind() -> impl Strategy<Value = Kind> {
        prop::sample::select(Kind::ALL.to_vec())
    }

    proptest! {
        /// No sequence of removals leaves a conversation without a moderator or changes a direct one.
        #[test]
        fn no_removals_take_the_last_moderator(
            kind in any_kind(),
            moderators in prop::collection::vec(any::<bool>(), 1..8),
            removals in prop::collection::vec((1_u128..9, 1_u128..9), 0..30),
        ) {
            let mut roles: Vec<_> = moderators.iter().map(|m| {
                if *m { ParticipantRole::Moderator } else { ParticipantRole::Member }
            }).collect();
            roles[0] = ParticipantRole::Moderator;
            let mut conversation = conversation(kind, &roles);
            let before = conversation.participants.len();
            for (by, user) in removals {
                if conversation.check_removal_by(id(by), id(user)).is_ok() {
                    conversation.participants.retain(|p| p.user_id != id(user));
                }
                prop_assert!(conversation.participants.iter().any(|p| p.role == ParticipantRole::Moderator));
            }
            prop_assert!(kind != Kind::Direct || conversation.participants.len() == before);
        }

        /// Whoever is let in, patients never moderate and someone always does.
        #[test]
        fn patients_never_moderate(kind in any_kind(), creator in 0..5_usize, other in 0..5_usize) {
            let (creator, other) = (Role::ALL[creator], Role::ALL[other]);
            let standings = [standing(2, other, true)];
            if let Ok(roles) = assign_roles((id(1), creator), &draft(kind, &[2]), &standings, &[]) {
                let moderates = |n: u128| roles.contains(&(id(n), ParticipantRole::Moderator));
                prop_assert!(moderates(1) || moderates(2));
                prop_assert!(!(moderates(1) && creator == Role::Patient));
                prop_assert!(!(moderates(2) && other == Role::Patient));
            }
        }
    }
}

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
        purpose: Purpose::default(),
        settings: Settings::default(),
        title: None,
        description: None,
        participants: participants.collect(),
        created_by: id(1),
        created_at: at,
        updated_at: at,
        metadata: Metadata::default(),
        is_active: true,
        expires_at: None,
        closed: None,
        mine: Personal::default(),
        last_seq: 0,
        last_revision: 0,
        message_count: 0,
        members_version: 1,
        details_version: 1,
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
            if conversation.check_removal_by(id(by), id(user), |_| false).is_ok() {
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

    /// Whatever people do, in whatever order: someone moderates, where a patient is treated a clinician, and a patient
    /// never.
    #[test]
    fn somebody_always_moderates(
        kind in any_kind(),
        steps in prop::collection::vec((0..4_u8, 1_u128..9, 1_u128..9), 0..60),
    ) {
        // 1 and 2 are clinicians, 3 and 4 the administration, the others patients.
        let account = |user: UserId| match user.uuid().as_u128() {
            1 | 2 => Role::Doctor,
            3 | 4 => Role::MedicalAdmin,
            _ => Role::Patient,
        };
        let is_clinician = |user: UserId| account(user).is_clinician();
        let now = DateTime::UNIX_EPOCH;
        let mut conversation = conversation(kind, &[ParticipantRole::Moderator, ParticipantRole::Member]);
        for (what, by, user) in steps {
            let (by, user) = (id(by), id(user));
            match what {
                0 if conversation.check_addition(by, now).is_ok() && conversation.participant(user).is_none() => {
                    let role = ParticipantRole::Member;
                    let comes = Participant { user_id: user, role, joined_at: now, joined_seq: 1 };
                    conversation.participants.push(comes);
                }
                1 if conversation.check_removal_by(by, user, is_clinician).is_ok() => {
                    conversation.participants.retain(|p| p.user_id != user);
                }
                2 | 3 => {
                    let role = if what == 2 { ParticipantRole::Moderator } else { ParticipantRole::Member };
                    if conversation.check_role(by, (user, account(user)), role, is_clinician).is_ok() {
                        let theirs = conversation.participants.iter_mut().find(|p| p.user_id == user);
                        theirs.unwrap().role = role;
                    }
                }
                _ => {}
            }
            let mut moderators =
                conversation.participants.iter().filter(|p| p.role == ParticipantRole::Moderator);
            prop_assert!(moderators.clone().all(|p| account(p.user_id) != Role::Patient));
            prop_assert!(moderators.any(|p| !kind.is_clinical() || is_clinician(p.user_id)));
        }
    }
}

fn detailed(kind: Kind, purpose: Purpose, details: &DetailsPatch) -> Result<Draft, Error> {
    draft(kind, &[2]).with_details(purpose, details)
}

#[test]
fn what_belongs_to_care_never_ends_by_itself_and_lets_nobody_in() {
    let ends = DetailsPatch { expires_at: Some(Some(DateTime::UNIX_EPOCH)), ..DetailsPatch::default() };
    let settings = SettingsPatch { joinable: Some(true), ..SettingsPatch::default() };
    let joinable = DetailsPatch { settings, ..DetailsPatch::default() };
    for patch in [ends, joinable] {
        let refused = detailed(Kind::Group, Purpose::Care, &patch);
        assert!(matches!(refused, Err(Error::NotForThisPurpose { .. })));
        assert!(detailed(Kind::Group, Purpose::Team, &patch).is_ok());
        assert!(detailed(Kind::Consultation, Purpose::Care, &patch).is_err());
    }
    assert!(detailed(Kind::Consultation, Purpose::Team, &DetailsPatch::default()).is_err());
}

#[test]
fn where_nobody_is_to_be_recognised_no_patient_is_named() {
    let metadata = MetadataPatch { related_patient_id: Some(Some(id(9))), ..MetadataPatch::default() };
    let patch = DetailsPatch { metadata, ..DetailsPatch::default() };
    for purpose in Purpose::ALL {
        assert_eq!(detailed(Kind::Group, purpose, &patch).is_ok(), !purpose.is_anonymous(), "{purpose:?}");
    }
}

#[test]
fn patients_stay_out_of_what_staff_and_students_have_among_themselves() {
    for purpose in Purpose::ALL {
        let draft = detailed(Kind::Group, purpose, &DetailsPatch::default()).unwrap();
        let with_patient =
            assign_roles((id(1), Role::Doctor), &draft, &[standing(2, Role::Patient, true)], &[]);
        assert_eq!(with_patient.is_ok(), !purpose.is_among_staff(), "{purpose:?}");
        let with_student =
            assign_roles((id(1), Role::Doctor), &draft, &[standing(2, Role::Student, false)], &[]);
        assert!(with_student.is_ok());
    }
}

#[test]
fn a_second_moderator_can_be_named_and_is_never_a_patient() {
    for (role, expected) in [(Role::Doctor, true), (Role::Patient, false)] {
        let draft = draft(Kind::Group, &[2]).with_roles(vec![(id(2), ParticipantRole::Moderator)]);
        let roles = assign_roles((id(1), Role::Doctor), &draft, &[standing(2, role, true)], &[]);
        assert_eq!(roles.is_ok(), expected);
    }
    let draft = draft(Kind::Consultation, &[2]).with_roles(vec![(id(2), ParticipantRole::Member)]);
    let opened = assign_roles((id(1), Role::Patient), &draft, &[standing(2, Role::Doctor, true)], &[]);
    assert!(matches!(opened, Err(Error::ClinicianRequired)));
}

#[test]
fn only_moderators_change_more_than_their_own() {
    let group = conversation(Kind::Group, &[ParticipantRole::Moderator, ParticipantRole::Member]);
    let now = DateTime::UNIX_EPOCH;
    let quiet = DetailsPatch { notifications_enabled: Some(false), ..DetailsPatch::default() };
    let renamed = DetailsPatch { title: Some(Some("Otro".to_owned())), ..DetailsPatch::default() };
    assert!(matches!(group.amended(id(2), &quiet, now), Ok((_, false))));
    assert!(matches!(group.amended(id(2), &renamed, now), Err(Error::NotAModerator)));
    assert!(matches!(group.amended(id(1), &renamed, now), Ok((_, true))));
    assert!(matches!(group.amended(id(3), &quiet, now), Err(Error::NotFound)));
    let closed = Conversation { is_active: false, ..group };
    assert!(matches!(closed.amended(id(1), &renamed, now), Err(Error::Closed)));
}

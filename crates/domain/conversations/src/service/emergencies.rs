use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, EmergencyId, IdSource, UserId};
use alivio_kernel::{
    AccessScope, AuditEntry, Caller, Clock, DomainEvent, Effects, Event, FieldError, Page, PageSize, Role,
    Rule,
};
use chrono::{DateTime, Utc};

use crate::{
    ADMINISTRATORS, AcknowledgementDue, Administrators, ConversationCreated, DenialReason, Emergency,
    EmergencyAcknowledged, EmergencyOpened, EmergencyPaged, EmergencyPolicy, EmergencyQuery,
    EmergencyResolved, EmergencyStore, Error, NewEmergency, OnCallList, OpenedEmergency, ParticipantAdded,
    People, SeenEmergency, may_talk,
};

/// What [`Emergencies`] needs.
#[derive(Clone)]
pub struct EmergenciesPorts {
    /// Emergencies, and who answers them.
    pub store: Arc<dyn EmergencyStore>,
    /// Who people are to each other.
    pub people: Arc<dyn People>,
    /// Who runs the clinic.
    pub administrators: Arc<dyn Administrators>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
    /// How the clinic answers.
    pub policy: EmergencyPolicy,
}

/// A call for help, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Called {
    /// The emergency.
    pub emergency: Emergency,
    /// Whether this call opened it.
    pub created: bool,
}

/// Urgent help at any hour (S0-24, S0-117, S0-208, S1-37).
///
/// A patient calls, whoever attends them or nobody. Those on call are paged; when nobody acknowledges in time, those of
/// the next level are, and in the end everyone who runs the clinic.
#[derive(Clone)]
pub struct Emergencies {
    ports: EmergenciesPorts,
}

impl Emergencies {
    /// Emergencies over `ports`.
    pub const fn new(ports: EmergenciesPorts) -> Self {
        Self { ports }
    }

    /// How the clinic answers.
    pub const fn policy(&self) -> &EmergencyPolicy {
        &self.ports.policy
    }

    /// Opens the emergency of a patient, or continues the one that is open. A professional who may talk to a patient may
    /// do so for them, and then takes part.
    ///
    /// Who calls again when it was acknowledged longer ago than one may take for that is heard again: those on call are
    /// paged anew, as whoever acknowledged may be gone.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] for another's emergency; a field error if a professional names no patient;
    /// [`Error::Stale`] if it was ended at that very moment.
    pub async fn call(&self, caller: &Caller, patient: Option<UserId>) -> Result<Called, Error> {
        let p = &self.ports;
        let patient_id = self.patient(caller, patient).await?;
        let now = p.clock.now();
        let paged = self.next(patient_id, 0, now).await?;
        let new = NewEmergency {
            id: EmergencyId::generate(&*p.ids),
            conversation_id: ConversationId::generate(&*p.ids),
            patient_id,
            opened_by: caller.user_id,
            opened_at: now,
            paged,
        };
        let (id, conversation_id, opened_by) = (new.id, new.conversation_id, caller.user_id);
        let mut participants = vec![patient_id];
        participants.extend((opened_by != patient_id).then_some(opened_by));
        let created = ConversationCreated { conversation_id, created_by: opened_by, participants };
        let effects =
            Effects::default()
                .event(self.event(now, &created))
                .event(self.event(
                    now,
                    &EmergencyOpened { emergency_id: id, conversation_id, patient_id, opened_by },
                ))
                .audit(self.entry(now, caller, "emergency.opened", id, patient_id));
        let effects =
            self.page(effects, &new.paged, (id, conversation_id, patient_id, opened_by), now, false);
        let effects = effects.audit(self.entry(now, caller, "emergency.paged", id, patient_id));
        match p.store.open(&new, effects).await? {
            OpenedEmergency::New(emergency) => Ok(Called { emergency, created: true }),
            OpenedEmergency::Continues(emergency) => self.call_again(caller, emergency, new.paged, now).await,
        }
    }

    /// Says that the caller takes care of it, and brings them into its conversation. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] for those who are not on call, were not paged and do not attend the patient;
    /// [`Error::EmergencyOver`].
    pub async fn acknowledge(&self, caller: &Caller, id: EmergencyId) -> Result<Emergency, Error> {
        let p = &self.ports;
        caller.require(AccessScope::EmergenciesAnswer)?;
        let seen = self.seen(caller, id).await?;
        let (now, conversation_id) = (p.clock.now(), seen.emergency.conversation_id);
        let paged = p.store.paged(id).await?;
        let acknowledged = EmergencyAcknowledged {
            emergency_id: id,
            conversation_id,
            acknowledged_by: caller.user_id,
            paged,
        };
        let patient = seen.emergency.patient_id;
        let acknowledged = Effects::default().event(self.event(now, &acknowledged)).audit(self.entry(
            now,
            caller,
            "emergency.acknowledged",
            id,
            patient,
        ));
        let joined = self.joined(caller, &seen.emergency, now);
        let done = p.store.acknowledge(id, caller.user_id, now, acknowledged, joined).await?;
        Ok(done.ok_or(Error::EmergencyOver)?.emergency)
    }

    /// Ends it and closes its conversation.
    ///
    /// # Errors
    /// [`Error::NotFound`] as for [`Self::acknowledge`]; [`Error::NotAModerator`] for those of them who have not
    /// acknowledged and do not run the clinic; [`Error::EmergencyOver`].
    pub async fn resolve(&self, caller: &Caller, id: EmergencyId) -> Result<Emergency, Error> {
        let p = &self.ports;
        caller.require(AccessScope::EmergenciesAnswer)?;
        let seen = self.seen(caller, id).await?;
        if seen.moderates != Some(true) && caller.role != Role::MedicalAdmin {
            return Err(Error::NotAModerator);
        }
        let (now, conversation_id) = (p.clock.now(), seen.emergency.conversation_id);
        let resolved = EmergencyResolved { emergency_id: id, conversation_id, resolved_by: caller.user_id };
        let effects = Effects::default().event(self.event(now, &resolved)).audit(self.entry(
            now,
            caller,
            "emergency.resolved",
            id,
            seen.emergency.patient_id,
        ));
        if !p.store.resolve(id, caller.user_id, now, effects).await? {
            return Err(Error::EmergencyOver);
        }
        Ok(Emergency { resolved: Some((caller.user_id, now)), ..seen.emergency })
    }

    /// The emergencies that concern the caller, newest first: all for those who run the clinic or are on call, for other
    /// doctors those to which they were paged or in whose conversation they are.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub async fn list(
        &self,
        caller: &Caller,
        open: Option<bool>,
        after: Option<EmergencyId>,
        size: PageSize,
    ) -> Result<Page<Emergency>, Error> {
        caller.require(AccessScope::EmergenciesAnswer)?;
        let sees_all = caller.role == Role::MedicalAdmin || self.is_listed(caller.user_id).await?;
        let query =
            EmergencyQuery { of: (!sees_all).then_some(caller.user_id), open, after, limit: size.get() + 1 };
        let (items, more) = size.cut(self.ports.store.list(&query).await?);
        let next_cursor = if more { items.last().map(|e| e.id.to_string()) } else { None };
        Ok(Page { items, next_cursor })
    }

    /// Who answers emergencies.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub async fn on_call(&self, caller: &Caller) -> Result<OnCallList, Error> {
        caller.require(AccessScope::PoliciesManage)?;
        self.ports.store.on_call().await
    }

    /// Decides who answers emergencies: active doctors.
    ///
    /// # Errors
    /// [`Error::Forbidden`]; a field error for those who are none.
    pub async fn set_on_call(&self, caller: &Caller, list: OnCallList) -> Result<OnCallList, Error> {
        caller.require(AccessScope::PoliciesManage)?;
        let p = &self.ports;
        let people = list.people();
        let able = self.able(caller.user_id, &people).await?;
        if people.iter().any(|user| !able.contains(user)) {
            return Err(FieldError::new("user_id", Rule::Unknown).into());
        }
        let now = p.clock.now();
        let effects = Effects::default().audit(AuditEntry::by(&*p.ids, now, caller, "on_call.changed"));
        p.store.set_on_call(&list, now, effects).await?;
        Ok(list)
    }

    /// Pages the next level, if those of `due` have not acknowledged. For the timer; doing it again changes nothing.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn escalate(&self, due: &AcknowledgementDue) -> Result<(), Error> {
        let p = &self.ports;
        let id = due.emergency_id;
        // Nobody in particular looks at it.
        let nobody = UserId::from(alivio_kernel::ids::Uuid::nil());
        let Some(SeenEmergency { emergency, .. }) = p.store.find(nobody, id).await? else { return Ok(()) };
        let waits = emergency.acknowledged.is_none() && emergency.resolved.is_none();
        if !waits || emergency.level != due.level || due.level >= ADMINISTRATORS {
            return Ok(());
        }
        let now = p.clock.now();
        let paged = self.next(emergency.patient_id, due.level, now).await?;
        let what = (id, emergency.conversation_id, emergency.patient_id, emergency.opened_by);
        let mut effects = self.page(Effects::default(), &paged, what, now, true);
        for action in ["emergency.escalated", "emergency.paged"] {
            let entry = AuditEntry::by_machine(&*p.ids, now, action);
            effects = effects.audit(entry.on("emergency", id).about(emergency.patient_id));
        }
        p.store.escalate(id, due.level, &paged, now, effects).await?;
        Ok(())
    }

    async fn call_again(
        &self,
        caller: &Caller,
        emergency: Emergency,
        paged: (i32, Vec<UserId>),
        now: DateTime<Utc>,
    ) -> Result<Called, Error> {
        let p = &self.ports;
        let (id, patient_id) = (emergency.id, emergency.patient_id);
        if let Some((_, at)) = emergency.acknowledged
            && now - at > p.policy.acknowledge_within
        {
            let what = (id, emergency.conversation_id, patient_id, caller.user_id);
            let effects = self.page(Effects::default(), &paged, what, now, false);
            let effects = effects.audit(self.entry(now, caller, "emergency.paged", id, patient_id));
            p.store.call_again(id, at, &paged, now, effects).await?;
        }
        let seen = p.store.find(caller.user_id, id).await?.ok_or(Error::Stale)?;
        if seen.emergency.resolved.is_some() {
            return Err(Error::Stale);
        }
        if caller.user_id != patient_id && seen.moderates != Some(true) {
            // Whoever calls for a patient takes part, and has seen to it.
            return Ok(Called { emergency: self.acknowledge(caller, id).await?, created: false });
        }
        Ok(Called { emergency: seen.emergency, created: false })
    }

    /// Whose emergency it is.
    async fn patient(&self, caller: &Caller, patient: Option<UserId>) -> Result<UserId, Error> {
        let denied = |target_user_id| {
            let reason = DenialReason::NoMedicalRelationship;
            Error::NotAllowed { target_user_id, reason }
        };
        if caller.role == Role::Patient {
            return match patient {
                Some(other) if other != caller.user_id => Err(denied(other)),
                _ => Ok(caller.user_id),
            };
        }
        let patient = patient.ok_or(FieldError::new("patient_id", Rule::Missing))?;
        let standings = self.ports.people.standings(caller.user_id, &[patient]).await?;
        let reaches = standings.iter().any(|s| s.role == Role::Patient && may_talk(caller.role, s));
        if reaches { Ok(patient) } else { Err(denied(patient)) }
    }

    /// Who is paged after `level`: those on call, or in the end those who run the clinic.
    async fn next(&self, asker: UserId, level: i32, now: DateTime<Utc>) -> Result<(i32, Vec<UserId>), Error> {
        let list = self.ports.store.on_call().await?;
        let able = self.able(asker, &list.people()).await?;
        match list.after(level, now, |user| able.contains(&user)) {
            Some(next) => Ok(next),
            None => Ok((ADMINISTRATORS, self.ports.administrators.clinic_administrators().await?)),
        }
    }

    /// Those of `people` who are doctors, and active.
    async fn able(&self, asker: UserId, people: &[UserId]) -> Result<Vec<UserId>, Error> {
        if people.is_empty() {
            return Ok(Vec::new());
        }
        let standings = self.ports.people.standings(asker, people).await?;
        Ok(standings.iter().filter(|s| s.role.is_clinician()).map(|s| s.user_id).collect())
    }

    async fn is_listed(&self, user: UserId) -> Result<bool, Error> {
        Ok(self.ports.store.on_call().await?.people().contains(&user))
    }

    /// The emergency, for those who may answer it.
    async fn seen(&self, caller: &Caller, id: EmergencyId) -> Result<SeenEmergency, Error> {
        let seen = self.ports.store.find(caller.user_id, id).await?.ok_or(Error::NotFound)?;
        let concerned = seen.was_paged
            || seen.moderates == Some(true)
            || caller.role == Role::MedicalAdmin
            || self.is_listed(caller.user_id).await?
            || self.attends(caller.user_id, seen.emergency.patient_id).await?;
        if concerned { Ok(seen) } else { Err(Error::NotFound) }
    }

    async fn attends(&self, doctor: UserId, patient: UserId) -> Result<bool, Error> {
        Ok(self.ports.people.standings(doctor, &[patient]).await?.iter().any(|s| s.related))
    }

    /// Adds the page, and the timer unless nobody is left to page after these.
    fn page(
        &self,
        effects: Effects,
        paged: &(i32, Vec<UserId>),
        (emergency_id, conversation_id, patient_id, opened_by): (EmergencyId, ConversationId, UserId, UserId),
        now: DateTime<Utc>,
        escalated: bool,
    ) -> Effects {
        let (level, people) = (paged.0, paged.1.clone());
        let page =
            EmergencyPaged { emergency_id, conversation_id, patient_id, opened_by, level, people, escalated };
        let effects = effects.event(self.event(now, &page));
        if level >= ADMINISTRATORS {
            return effects;
        }
        let due = now + self.ports.policy.acknowledge_within;
        effects.event(self.event(now, &AcknowledgementDue { emergency_id, level }).due(due))
    }

    fn joined(&self, caller: &Caller, emergency: &Emergency, now: DateTime<Utc>) -> Effects {
        let joined = ParticipantAdded {
            conversation_id: emergency.conversation_id,
            user_id: caller.user_id,
            added_by: caller.user_id,
        };
        let entry = self.entry(now, caller, "emergency.joined", emergency.id, emergency.patient_id);
        Effects::default().event(self.event(now, &joined)).audit(entry)
    }

    fn event<E: DomainEvent>(&self, now: DateTime<Utc>, event: &E) -> Event {
        Event::new(&*self.ports.ids, now, event)
    }

    fn entry(
        &self,
        now: DateTime<Utc>,
        caller: &Caller,
        action: &'static str,
        id: EmergencyId,
        patient: UserId,
    ) -> AuditEntry {
        AuditEntry::by(&*self.ports.ids, now, caller, action).on("emergency", id).about(patient)
    }
}

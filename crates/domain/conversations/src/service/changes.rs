//! Changing a conversation that is there.

use std::collections::HashSet;

use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::text::{self, Lines};
use alivio_kernel::{Caller, FieldError, Role, Rule};

use super::{Conversations, texts};
use crate::model::context;
use crate::{
    Change, Conversation, ConversationUpdated, DenialReason, DetailsPatch, Error, Kind, ParticipantAdded,
    ParticipantRole, PersonalChange, Standing, kept_apart, out_of_place, out_of_purpose,
};

const MAX_REASON: usize = 500;
/// How often someone tries to come in while others do.
pub(super) const ATTEMPTS: usize = 8;

impl Conversations {
    /// Changes what it is and allows: for moderators. Whether the caller is told of what happens in it anyone changes for
    /// themselves.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAModerator`], [`Error::Closed`], [`Error::NotForThisPurpose`], a field error,
    /// [`Error::Stale`].
    pub async fn update(
        &self,
        caller: &Caller,
        id: ConversationId,
        patch: &DetailsPatch,
    ) -> Result<(), Error> {
        let conversation = self.get(caller, id).await?;
        let now = self.ports.clock.now();
        let (details, is_changed) = conversation.amended(caller.user_id, patch, now)?;
        let mine = patch.notifications_enabled.filter(|on| *on != conversation.mine.notifies(now));
        if !is_changed {
            return match mine {
                Some(true) => self.keep(caller, id, PersonalChange::Unmute).await,
                Some(false) => self.keep(caller, id, PersonalChange::Mute(None)).await,
                None => Ok(()),
            };
        }
        if let Some(patient) = details.metadata.related_patient_id
            && conversation.metadata.related_patient_id != Some(patient)
        {
            let present: Vec<_> = conversation.participants.iter().map(|p| p.user_id).collect();
            self.check_patient(caller, patient, &present).await?;
        }
        let sealed = texts::seal_details(&*self.ports.sealer, id, &details).await?;
        self.change(caller, &conversation, &Change::Details(Box::new(sealed), mine)).await
    }

    /// Gives a participant another part: for moderators.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAModerator`], [`Error::DirectIsFixed`], [`Error::PatientsDoNotModerate`],
    /// [`Error::LastModerator`], [`Error::Stale`].
    pub async fn set_role(
        &self,
        caller: &Caller,
        id: ConversationId,
        user: UserId,
        role: ParticipantRole,
    ) -> Result<(), Error> {
        let conversation = self.get(caller, id).await?;
        conversation.check_moderator(caller.user_id)?;
        let before = conversation.participant(user).ok_or(Error::NotFound)?.role;
        let everyone: Vec<_> = conversation.participants.iter().map(|p| p.user_id).collect();
        let standings = self.ports.people.standings(caller.user_id, &everyone).await?;
        let account = standings.iter().find(|s| s.user_id == user).map(|s| s.role);
        // Nobody who cannot sign in is put in charge.
        let account = match (account, role) {
            (Some(account), _) => account,
            (None, ParticipantRole::Member) => Role::Patient,
            (None, ParticipantRole::Moderator) => return Err(Error::NotFound),
        };
        let clinicians = clinicians(&standings);
        conversation.check_role(caller.user_id, (user, account), role, |id| clinicians.contains(&id))?;
        if before == role {
            return Ok(());
        }
        self.change(caller, &conversation, &Change::Role(user, role)).await
    }

    /// Closes it: nothing more can be said in it. For moderators; closing what is closed changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAModerator`], a field error, [`Error::Stale`].
    pub async fn close(
        &self,
        caller: &Caller,
        id: ConversationId,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let conversation = self.get(caller, id).await?;
        conversation.check_moderator(caller.user_id)?;
        let reason = reason.map(|r| text::parse("reason", r, MAX_REASON, Lines::Many)).transpose()?;
        if !conversation.is_active {
            return Ok(());
        }
        let reason = match reason {
            Some(r) => Some(self.ports.sealer.seal(&context(id, "closed_reason"), r.as_bytes()).await?),
            None => None,
        };
        self.change(caller, &conversation, &Change::Close(reason)).await
    }

    /// Lets a closed conversation go on. For moderators; of one that goes on it changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAModerator`], [`Error::Stale`].
    pub async fn reopen(&self, caller: &Caller, id: ConversationId) -> Result<(), Error> {
        let conversation = self.get(caller, id).await?;
        conversation.check_moderator(caller.user_id)?;
        if conversation.is_active {
            return Ok(());
        }
        self.change(caller, &conversation, &Change::Reopen).await
    }

    /// Closes it for everyone if the caller moderates, and else leaves it (C-53).
    ///
    /// # Errors
    /// As [`Conversations::close`] and [`Conversations::remove`].
    pub async fn close_or_leave(&self, caller: &Caller, id: ConversationId) -> Result<(), Error> {
        match self.close(caller, id, None).await {
            Err(Error::NotAModerator) => self.remove(caller, id, caller.user_id).await,
            other => other,
        }
    }

    /// Changes what the caller keeps of it for themselves.
    ///
    /// # Errors
    /// [`Error::NotFound`]; a field error if it is to be quiet until a time that has passed.
    pub async fn keep(
        &self,
        caller: &Caller,
        id: ConversationId,
        change: PersonalChange,
    ) -> Result<(), Error> {
        if let PersonalChange::Mute(Some(until)) = change
            && until <= self.ports.clock.now()
        {
            return Err(FieldError::new("until", Rule::Malformed).into());
        }
        let updated =
            ConversationUpdated { conversation_id: id, updated_by: caller.user_id, is_personal: true };
        let (now, event) = self.event(&updated);
        let is_there = self.ports.store.keep(id, caller.user_id, change, now, event).await?;
        if is_there { Ok(()) } else { Err(Error::NotFound) }
    }

    /// Comes into a conversation that lets people of the clinic in (C-54). Coming in again changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it does not; [`Error::NotAllowed`], [`Error::Closed`], [`Error::Stale`].
    pub async fn join(&self, caller: &Caller, id: ConversationId) -> Result<Conversation, Error> {
        for _ in 0..ATTEMPTS {
            let conversation = self.ports.store.look(id).await?.ok_or(Error::NotFound)?.conversation;
            if conversation.participant(caller.user_id).is_some() {
                return self.get(caller, id).await;
            }
            let is_open_to_all = conversation.settings.joinable && conversation.kind == Kind::Group;
            if !is_open_to_all || conversation.is_care() || caller.role == Role::Patient {
                return Err(Error::NotFound);
            }
            conversation.check_room(self.ports.clock.now())?;
            self.check_fits(&conversation, caller.user_id, caller.user_id, |_| true).await?;
            let added =
                ParticipantAdded { conversation_id: id, user_id: caller.user_id, added_by: caller.user_id };
            let (now, event) = self.event(&added);
            let version = conversation.members_version;
            match self.ports.store.add(id, version, caller.user_id, now, event).await {
                Err(Error::Stale) => {}
                Err(other) => return Err(other),
                Ok(()) => return self.get(caller, id).await,
            }
        }
        Err(Error::Stale)
    }

    /// Checks that `user` may be together with those in `conversation`, as `asker` sees them, who also `welcomes` them.
    pub(super) async fn check_fits(
        &self,
        conversation: &Conversation,
        asker: UserId,
        user: UserId,
        welcomes: impl Fn(&[Standing]) -> bool + Send,
    ) -> Result<(), Error> {
        let everyone: Vec<_> = conversation.participants.iter().map(|p| p.user_id).chain([user]).collect();
        let standings = self.ports.people.standings(asker, &everyone).await?;
        let blocks = self.ports.people.blocked_among(&everyone).await?;
        let is_there = |id| conversation.participant(id).is_some();
        let people: Vec<_> = standings.iter().map(|s| (s.user_id, s.role)).collect();
        let fits = standings.iter().any(|s| s.user_id == user)
            && welcomes(&standings)
            && !kept_apart(conversation.kind, user, is_there, &blocks)
            && out_of_place(&people).is_none()
            && out_of_purpose(conversation.purpose, &people).is_none();
        let denied = Error::NotAllowed { target_user_id: user, reason: DenialReason::NoMedicalRelationship };
        if fits { Ok(()) } else { Err(denied) }
    }

    /// Checks that `patient` is one, and among those `present` or attended by the caller. Nobody learns who exists.
    pub(super) async fn check_patient(
        &self,
        caller: &Caller,
        patient: UserId,
        present: &[UserId],
    ) -> Result<(), Error> {
        let standings = self.ports.people.standings(caller.user_id, &[patient]).await?;
        let is_theirs = |s: &Standing| s.role == Role::Patient && (s.related || present.contains(&s.user_id));
        if standings.iter().any(is_theirs) {
            Ok(())
        } else {
            Err(FieldError::new("metadata.related_patient_id", Rule::Unknown).into())
        }
    }

    /// The clinicians among those who moderate, where that matters.
    pub(super) async fn moderating_clinicians(
        &self,
        caller: &Caller,
        conversation: &Conversation,
    ) -> Result<HashSet<UserId>, Error> {
        if !conversation.is_clinical() {
            return Ok(HashSet::new());
        }
        let moderators = conversation.participants.iter().filter(|p| p.role == ParticipantRole::Moderator);
        let moderators: Vec<_> = moderators.map(|p| p.user_id).collect();
        Ok(clinicians(&self.ports.people.standings(caller.user_id, &moderators).await?))
    }

    async fn change(
        &self,
        caller: &Caller,
        conversation: &Conversation,
        change: &Change,
    ) -> Result<(), Error> {
        let updated = ConversationUpdated {
            conversation_id: conversation.id,
            updated_by: caller.user_id,
            is_personal: false,
        };
        let (now, event) = self.event(&updated);
        let store = &self.ports.store;
        store.change(conversation.id, conversation.versions(), caller.user_id, change, now, event).await
    }
}

fn clinicians(standings: &[Standing]) -> HashSet<UserId> {
    standings.iter().filter(|s| s.role.is_clinician()).map(|s| s.user_id).collect()
}

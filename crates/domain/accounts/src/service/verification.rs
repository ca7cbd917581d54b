//! How a professional's credentials come to be verified.

use std::collections::HashMap;

use alivio_kernel::ids::{UserId, Uuid};
use alivio_kernel::{AccessScope, Caller, Denied, Event, Page, Sensitive};

use super::profiles::{Profiles, text};
use crate::{
    CredentialStatus, CredentialStep, CredentialsDecided, Decision, DirectoryAfter, DirectoryQuery, Error,
    LicenseNumber, Profile, ProfilePatch, StepKind, fold_key,
};

/// Someone's credentials and how they came to be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentialing {
    /// Whose, and what is known of them now.
    pub profile: Profile,
    /// Every step, oldest first.
    pub history: Vec<CredentialStep>,
}

impl Credentialing {
    /// What is known of them now.
    pub fn status(&self) -> CredentialStatus {
        self.profile.entry.as_ref().map_or(CredentialStatus::Unverified, |entry| entry.credential_status)
    }

    /// The submission that waits for a decision.
    pub fn submission(&self) -> Option<&CredentialStep> {
        let last = self.history.iter().rfind(|step| step.kind == StepKind::Submitted);
        last.filter(|_| self.status() == CredentialStatus::Submitted)
    }
}

impl Profiles {
    /// The caller's own credentials.
    ///
    /// # Errors
    /// [`Error::Denied`] for those who have none.
    pub async fn own_credentials(&self, caller: &Caller) -> Result<Credentialing, Error> {
        caller.require(AccessScope::ProfessionalProfile)?;
        self.with_history(self.own(caller).await?).await
    }

    /// Submits the caller's licence for verification; `patch` holds the number, and may hold specialty and
    /// institution.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::AlreadyVerified`], [`Error::Stale`], [`Error::Field`].
    pub async fn submit_credentials(
        &self,
        caller: &Caller,
        number: LicenseNumber,
        patch: ProfilePatch,
        note: Option<String>,
    ) -> Result<Credentialing, Error> {
        caller.require(AccessScope::ProfessionalProfile)?;
        let (user, now) = (caller.user_id, self.ports.clock.now());
        let read = self.read(user).await?;
        let before =
            read.profile.entry.as_ref().map_or(CredentialStatus::Unverified, |e| e.credential_status);
        let status = before.submit(read.profile.license_number.as_ref() == Some(&number))?;
        let patch = ProfilePatch { license_number: Some(Some(number)), ..patch };
        let mut changed = read.profile.clone().patched(patch, now)?;
        if let Some(entry) = changed.entry.as_mut() {
            entry.credential_status = status;
        }
        let step = CredentialStep::new(&*self.ports.ids, StepKind::Submitted, user, now, None, note);
        let audit = self.entry(caller, now, "credentials.submitted", user).on("credential_step", step.id);
        let effects = self.effects(now, user).audit(audit);
        self.save(&read, &changed, Some(step), effects).await?;
        self.with_history(changed).await
    }

    /// A page of professionals by what is known of their credentials, with their history. That it was done is
    /// recorded.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub async fn credentials_by_status(
        &self,
        caller: &Caller,
        query: &DirectoryQuery,
        cursor: impl Fn(&DirectoryAfter) -> String,
    ) -> Result<Page<Credentialing>, Error> {
        if let Err(denied) = caller.require(AccessScope::CredentialsVerify) {
            return Err(self.ports.deny(caller, "credentials.listed", caller.user_id, denied).await);
        }
        self.ports.record_reading(caller, "credentials.listed").await?;
        let (profiles, next_cursor) = self.page_of_profiles(caller, query, cursor).await?;
        let items = self.with_histories(profiles).await?;
        Ok(Page { items, next_cursor })
    }

    /// Decides what `user` has submitted, if it is still `submission`: nobody decides what they have not seen.
    ///
    /// # Errors
    /// [`Error::Denied`] (nobody decides about themselves), [`Error::NotFound`], [`Error::NothingToDecide`],
    /// [`Error::Stale`].
    pub async fn decide_credentials(
        &self,
        caller: &Caller,
        user: UserId,
        decision: Decision,
        submission: Uuid,
        note: Option<String>,
    ) -> Result<Credentialing, Error> {
        const DECIDED: &str = "credentials.decided";
        if let Err(denied) = caller.require(AccessScope::CredentialsVerify) {
            return Err(self.ports.deny(caller, DECIDED, user, denied).await);
        }
        if caller.user_id == user {
            return Err(self.ports.deny(caller, DECIDED, user, Denied::OwnAccount).await);
        }
        let read = self.read(user).await?;
        let Some(entry) = &read.profile.entry else { return Err(Error::NotFound) };
        let status = entry.credential_status.decide(decision)?;
        // Read after the profile: a later submission changes its version, and then nothing is stored.
        let shown = self.with_history(read.profile.clone()).await?;
        if shown.submission().is_none_or(|step| step.id != submission) {
            return Err(Error::Stale);
        }
        let now = self.ports.clock.now();
        let mut changed = read.profile.clone();
        if let Some(entry) = changed.entry.as_mut() {
            (entry.credential_status, entry.updated_at) = (status, now);
        }
        let kind = if status == CredentialStatus::Verified { StepKind::Verified } else { StepKind::Rejected };
        let ids = &*self.ports.ids;
        let step = CredentialStep::new(ids, kind, caller.user_id, now, decision.reason(), note);
        let mut audit = self.entry(caller, now, kind_action(kind), user).on("credential_step", step.id);
        audit.reason = decision.reason().map(|reason| reason.as_str());
        let decided = CredentialsDecided { user_id: user, status };
        let effects = self.effects(now, user).event(Event::new(ids, now, &decided)).audit(audit);
        self.save(&read, &changed, Some(step), effects).await?;
        self.with_history(Profile { phone: None, ..changed }).await
    }

    /// A page of professionals for those who manage them, deactivated ones too. That it was done is recorded.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub async fn professionals(
        &self,
        caller: &Caller,
        query: &DirectoryQuery,
        cursor: impl Fn(&DirectoryAfter) -> String,
    ) -> Result<Page<Profile>, Error> {
        if let Err(denied) = caller.require(AccessScope::ProfessionalsManage) {
            return Err(self.ports.deny(caller, "professionals.listed", caller.user_id, denied).await);
        }
        self.ports.record_reading(caller, "professionals.listed").await?;
        let (items, next_cursor) = self.page_of_profiles(caller, query, cursor).await?;
        Ok(Page { items, next_cursor })
    }

    async fn page_of_profiles(
        &self,
        caller: &Caller,
        query: &DirectoryQuery,
        cursor: impl Fn(&DirectoryAfter) -> String,
    ) -> Result<(Vec<Profile>, Option<String>), Error> {
        let found = self.ports.directory.search(&self.ports.viewer(caller), query).await?;
        let (found, more) = query.size.cut(found);
        let profiles = self.ports.open_all(&found).await?;
        let profiles: Vec<_> =
            profiles.into_iter().map(|profile| Profile { phone: None, ..profile }).collect();
        let next = profiles.last().filter(|_| more).and_then(|last| {
            let name_key = fold_key(&last.entry.as_ref()?.full_name);
            Some(cursor(&DirectoryAfter { name_key, user_id: last.user.id }))
        });
        Ok((profiles, next))
    }

    async fn with_history(&self, profile: Profile) -> Result<Credentialing, Error> {
        Ok(self.with_histories(vec![profile]).await?.remove(0))
    }

    async fn with_histories(&self, profiles: Vec<Profile>) -> Result<Vec<Credentialing>, Error> {
        let users: Vec<UserId> = profiles.iter().map(|profile| profile.user.id).collect();
        let steps = self.ports.profiles.credential_steps(&users).await?;
        let sealed: Vec<_> = steps
            .iter()
            .filter_map(|(user, step)| {
                Some((CredentialStep::note_context(*user, step.id), step.note.as_ref()?))
            })
            .collect();
        let mut notes = self.ports.sealer.open_many(&sealed).await?.into_iter();
        let mut histories: HashMap<UserId, Vec<CredentialStep>> = HashMap::new();
        for (user, step) in &steps {
            let note = match &step.note {
                Some(_) => Some(Sensitive::new(text(notes.next().unwrap_or_default())?)),
                None => None,
            };
            let step = CredentialStep {
                id: step.id,
                kind: step.kind,
                by: step.by,
                at: step.at,
                reason: step.reason,
                note,
            };
            histories.entry(*user).or_default().push(step);
        }
        let with = |profile: Profile| {
            let history = histories.remove(&profile.user.id).unwrap_or_default();
            Credentialing { profile, history }
        };
        Ok(profiles.into_iter().map(with).collect())
    }
}

const fn kind_action(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Verified => "credentials.verified",
        _ => "credentials.rejected",
    }
}

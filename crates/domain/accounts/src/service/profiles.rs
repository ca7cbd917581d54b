use std::sync::Arc;

use alivio_kernel::ids::{IdSource, UserId};
use alivio_kernel::sealing::{Scope, SealContext};
use alivio_kernel::{
    AccessScope, AuditEntry, AuditSink, Caller, Clock, Denied, Effects, Event, FieldError, Role, Rule,
    Sealed, Sealer,
};
use chrono::{DateTime, Utc};

use super::refusal::refusal;
use super::sign_in::restore;
use crate::{
    CredentialStatus, CredentialStep, DirectoryPolicy, DirectoryStore, Entry, EntryKeys, Error, Identity,
    ImageForm, ImageResizer, LicenseNumber, Phone, Profile, ProfileChange, ProfileChanged, ProfilePatch,
    ProfileStore, PublishedEntry, StepKind, StoredProfile, StoredStep, Viewer, has_entry,
};

/// What [`Profiles`] and [`Directory`](crate::Directory) need.
#[derive(Clone)]
pub struct ProfilesPorts {
    /// Profiles, entries, credentials and pictures.
    pub profiles: Arc<dyn ProfileStore>,
    /// Who finds whom.
    pub directory: Arc<dyn DirectoryStore>,
    /// Small pictures.
    pub images: Arc<dyn ImageResizer>,
    /// Refusals worth remembering.
    pub audit: Arc<dyn AuditSink>,
    /// Encryption.
    pub sealer: Arc<dyn Sealer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
    /// How far professionals see each other.
    pub policy: DirectoryPolicy,
}

impl ProfilesPorts {
    pub(crate) fn viewer(&self, caller: &Caller) -> Viewer {
        Viewer::new(caller, self.policy)
    }

    /// Remembers that `caller` was denied `action`, and why.
    pub(crate) async fn deny(
        &self,
        caller: &Caller,
        action: &'static str,
        about: UserId,
        denied: Denied,
    ) -> Error {
        let entry = AuditEntry::by(&*self.ids, self.clock.now(), caller, action).about(about);
        refusal(&*self.audit, entry, denied).await
    }

    /// Remembers that `caller` is about to be shown what concerns others.
    pub(crate) async fn record_reading(&self, caller: &Caller, action: &'static str) -> Result<(), Error> {
        let entry = AuditEntry::by(&*self.ids, self.clock.now(), caller, action);
        self.audit.record(&[entry]).await.map_err(Error::Unavailable)
    }

    /// The profile in `stored`, readable.
    pub(crate) async fn open(&self, stored: &StoredProfile) -> Result<Profile, Error> {
        Ok(self.open_all(std::slice::from_ref(stored)).await?.remove(0))
    }

    /// The profiles in `stored`, in that order, with one look at the keys.
    pub(crate) async fn open_all(&self, stored: &[StoredProfile]) -> Result<Vec<Profile>, Error> {
        let mut sealed = Vec::new();
        for profile in stored {
            let id = profile.user.id;
            sealed.push((Identity::context(id), &profile.user.identity));
            sealed.extend(profile.phone.as_ref().map(|phone| (Phone::context(id), phone)));
            let number = profile.license_number.as_ref();
            sealed.extend(number.map(|number| (LicenseNumber::context(id), number)));
        }
        let mut opened = self.sealer.open_many(&sealed).await?.into_iter();
        let mut next = || opened.next().unwrap_or_default();
        stored
            .iter()
            .map(|profile| {
                Ok(Profile {
                    user: restore(&profile.user, &next())?,
                    phone: profile.phone.as_ref().map(|_| text(next())).transpose()?.map(Phone::restored),
                    avatar_version: profile.avatar_version,
                    entry: profile.entry.clone(),
                    license_number: (profile.license_number.as_ref())
                        .map(|_| text(next()))
                        .transpose()?
                        .map(LicenseNumber::restored),
                })
            })
            .collect()
    }
}

pub(crate) fn text(bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|error| Error::Unavailable(error.into()))
}

/// A profile that was read and is about to be replaced.
pub(crate) struct Read {
    pub(crate) stored: StoredProfile,
    pub(crate) profile: Profile,
}

/// What the first entry of a professional says besides names and title, which stand with the account.
#[derive(Debug, Clone, Default)]
pub struct NewProfessional {
    /// What they are specialised in.
    pub specialty: Option<String>,
    /// Where they work or study.
    pub institution: Option<String>,
    /// Their licence to practise: submitted for verification by being given.
    pub license_number: Option<String>,
    /// Who has found their credentials genuine already, for those who make accounts and know.
    pub verified_by: Option<UserId>,
}

/// The step that follows when someone changes a profile. Whoever decides about a submission names it, so that what they
/// saw of it must not change under it: another name makes another submission.
fn step_after(before: &Profile, after: &Profile, vouches: bool) -> Option<StepKind> {
    let status = |profile: &Profile| profile.entry.as_ref().map(|entry| entry.credential_status);
    match (status(before)?, status(after)?) {
        (CredentialStatus::Unverified, CredentialStatus::Unverified) => None,
        (_, CredentialStatus::Unverified) => Some(StepKind::Withdrawn),
        (CredentialStatus::Verified, CredentialStatus::Submitted) => Some(StepKind::Submitted),
        (CredentialStatus::Submitted, CredentialStatus::Submitted)
            if !vouches && !before.is_same_professional(after) =>
        {
            Some(StepKind::Submitted)
        }
        _ => None,
    }
}

/// A picture to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Avatar {
    /// The bytes.
    pub image: Vec<u8>,
    /// Their form.
    pub form: ImageForm,
    /// Counts the person's pictures.
    pub version: i64,
}

/// What people say of themselves.
#[derive(Clone)]
pub struct Profiles {
    pub(crate) ports: ProfilesPorts,
}

impl Profiles {
    /// Profiles over `ports`.
    pub const fn new(ports: ProfilesPorts) -> Self {
        Self { ports }
    }

    /// The caller's own profile.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`], unless the account has just gone.
    pub async fn own(&self, caller: &Caller) -> Result<Profile, Error> {
        Ok(self.read(caller.user_id).await?.profile)
    }

    /// Changes the profile of `id`: one's own, or a professional's by those who manage them. Credentials that were
    /// verified wait for a decision again once they are of someone with another name, title, specialty or institution,
    /// unless someone else changed that who may verify them (who has looked at both by then).
    ///
    /// # Errors
    /// [`Error::NotFound`] for whom the caller may not see, [`Error::Denied`], [`Error::Stale`], [`Error::Field`].
    pub async fn change(&self, caller: &Caller, id: UserId, patch: ProfilePatch) -> Result<Profile, Error> {
        let own = caller.user_id == id;
        if !own && let Err(denied) = caller.require(AccessScope::ProfessionalsManage) {
            if !self.ports.directory.sees(&self.ports.viewer(caller), id).await? {
                return Err(Error::NotFound);
            }
            return Err(self.ports.deny(caller, CHANGED, id, denied).await);
        }
        let read = self.read(id).await?;
        let role = read.profile.user.role;
        if !own {
            if !has_entry(role) {
                return Err(Error::NotFound);
            }
            if role == Role::MedicalAdmin && caller.require(AccessScope::UsersManage).is_err() {
                return Err(self.ports.deny(caller, CHANGED, id, Denied::RoleTooHigh).await);
            }
            if patch.phone.is_some() {
                return Err(FieldError::new("phone", Rule::Unknown).into());
            }
        }
        let now = self.ports.clock.now();
        let vouches = !own && caller.require(AccessScope::CredentialsVerify).is_ok();
        let changed = if vouches {
            read.profile.clone().patched_by_verifier(patch, now)?
        } else {
            read.profile.clone().patched(patch, now)?
        };
        let step = step_after(&read.profile, &changed, vouches)
            .map(|kind| CredentialStep::new(&*self.ports.ids, kind, caller.user_id, now, None, None));
        let effects = self.effects(now, id).audit(self.entry(caller, now, CHANGED, id));
        self.save(&read, &changed, step, effects).await?;
        Ok(if own { changed } else { Profile { phone: None, ..changed } })
    }

    /// Changes the profile of a professional, for those who manage them.
    ///
    /// # Errors
    /// As [`change`](Self::change), but [`Error::Denied`] at once without the scope.
    pub async fn manage(&self, caller: &Caller, id: UserId, patch: ProfilePatch) -> Result<Profile, Error> {
        if let Err(denied) = caller.require(AccessScope::ProfessionalsManage) {
            return Err(self.ports.deny(caller, CHANGED, id, denied).await);
        }
        self.change(caller, id, patch).await
    }

    /// Gives the professional `user` their first entry, or completes it. For those who make accounts: it authorises
    /// nothing, and the audit trail is theirs to write. Repeating it changes nothing that was not said.
    ///
    /// # Errors
    /// [`Error::NotFound`] unless `user` is a professional; [`Error::Field`].
    pub async fn publish(&self, user: UserId, new: NewProfessional) -> Result<(), Error> {
        let patch = ProfilePatch::default()
            .published(None, new.specialty.as_deref().map(Some), new.institution.as_deref().map(Some), None)?
            .confidential(None, new.license_number.as_deref().map(Some))?;
        let read = self.read(user).await?;
        if !has_entry(read.profile.user.role) {
            return Err(Error::NotFound);
        }
        let now = self.ports.clock.now();
        let submits = patch.license_number.is_some();
        let same = patch.license_number == Some(read.profile.license_number.clone());
        let mut changed = read.profile.clone().patched(patch, now)?;
        let mut step = None;
        if let Some(entry) = changed.entry.as_mut() {
            let done = match new.verified_by {
                Some(by) => Some((CredentialStatus::Verified, StepKind::Verified, by)),
                None if submits && !same => Some((CredentialStatus::Submitted, StepKind::Submitted, user)),
                None => None,
            };
            if let Some((status, kind, by)) = done.filter(|(status, ..)| *status != entry.credential_status) {
                entry.credential_status = status;
                step = Some(CredentialStep::new(&*self.ports.ids, kind, by, now, None, None));
            }
        }
        if unchanged(&read.profile, &changed) {
            return Ok(());
        }
        let effects = self.effects(now, user);
        self.save(&read, &changed, step, effects).await
    }

    /// Gives every professional without an entry their first one, and says how many there were. For start-up:
    /// names rest encrypted, so that no migration could do it. Repeating it does nothing.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn publish_missing(&self) -> Result<u64, Error> {
        const BATCH: i64 = 200;
        let (mut after, mut count) = (None, 0);
        loop {
            let batch = self.ports.profiles.unpublished(after, BATCH).await?;
            let profiles = self.ports.open_all(&batch).await?;
            for (stored, profile) in batch.iter().zip(profiles) {
                let read = Read { stored: stored.clone(), profile: profile.clone() };
                let now = self.ports.clock.now();
                let changed = profile.patched(ProfilePatch::default(), now)?;
                match self.save(&read, &changed, None, Effects::default()).await {
                    Ok(()) => count += 1,
                    // Another node, or the professional, was faster.
                    Err(Error::Stale) => {}
                    Err(error) => return Err(error),
                }
            }
            match batch.last() {
                Some(last) if batch.len() as i64 == BATCH => after = Some(last.user.id),
                _ => return Ok(count),
            }
        }
    }

    /// Takes `bytes` as the caller's picture, made small, instead of any other.
    ///
    /// # Errors
    /// [`Error::UnsupportedImage`], [`Error::Busy`].
    pub async fn put_avatar(&self, caller: &Caller, bytes: Vec<u8>) -> Result<Profile, Error> {
        let p = &self.ports;
        let (image, form) = p.images.shrink(bytes).await?;
        let (user, now) = (caller.user_id, p.clock.now());
        let sealed = p.sealer.seal(&avatar_context(user), &image).await?;
        let effects = self.effects(now, user).audit(self.entry(caller, now, "avatar.changed", user));
        p.profiles.put_avatar(user, sealed, form, now.timestamp_micros(), now, effects).await?;
        self.own(caller).await
    }

    /// Removes the caller's picture, if they have one.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn remove_avatar(&self, caller: &Caller) -> Result<(), Error> {
        let (user, now) = (caller.user_id, self.ports.clock.now());
        let effects = self.effects(now, user).audit(self.entry(caller, now, "avatar.removed", user));
        self.ports.profiles.remove_avatar(user, effects).await
    }

    /// The picture of `id`, for whoever may see them.
    ///
    /// # Errors
    /// [`Error::NotFound`], also if there is none.
    pub async fn avatar(&self, caller: &Caller, id: UserId) -> Result<Avatar, Error> {
        let p = &self.ports;
        if !p.directory.sees(&p.viewer(caller), id).await? {
            return Err(Error::NotFound);
        }
        let (sealed, form, version) = p.profiles.avatar(id).await?.ok_or(Error::NotFound)?;
        let image = p.sealer.open_many(&[(avatar_context(id), &sealed)]).await?.pop().unwrap_or_default();
        Ok(Avatar { image, form, version })
    }

    pub(crate) async fn read(&self, user: UserId) -> Result<Read, Error> {
        let stored = self.ports.profiles.load(user).await?.ok_or(Error::NotFound)?;
        let profile = self.ports.open(&stored).await?;
        Ok(Read { stored, profile })
    }

    /// Stores `changed` instead of what was read; what has not changed keeps its seal.
    pub(crate) async fn save(
        &self,
        read: &Read,
        changed: &Profile,
        step: Option<CredentialStep>,
        effects: Effects,
    ) -> Result<(), Error> {
        let (before, id) = (&read.profile, read.stored.user.id);
        let identity = if changed.user.identity == before.user.identity {
            read.stored.user.identity.clone()
        } else {
            let plain = serde_json::to_vec(&changed.user.identity);
            let plain = plain.map_err(|error| Error::Unavailable(error.into()))?;
            self.ports.sealer.seal(&Identity::context(id), &plain).await?
        };
        let phone = if changed.phone == before.phone {
            read.stored.phone.clone()
        } else {
            self.seal(Phone::context(id), changed.phone.as_ref().map(Phone::expose)).await?
        };
        let license_number = if changed.license_number == before.license_number {
            read.stored.license_number.clone()
        } else {
            let number = changed.license_number.as_ref().map(LicenseNumber::expose);
            self.seal(LicenseNumber::context(id), number).await?
        };
        let title = changed.user.professional_title.clone();
        let entry = changed.entry.clone().map(|entry: Entry| PublishedEntry {
            keys: EntryKeys::of(&entry, title.as_deref()),
            entry,
            license_number,
        });
        let step = match step {
            Some(step) => Some(self.seal_step(id, step).await?),
            None => None,
        };
        let change = ProfileChange {
            user_id: id,
            read_version: read.stored.version,
            read_identity: read.stored.user.identity.clone(),
            identity,
            language: changed.user.language,
            phone,
            professional_title: title,
            entry,
            step,
        };
        self.ports.profiles.save(&change, effects).await
    }

    async fn seal(&self, context: SealContext, plain: Option<&str>) -> Result<Option<Sealed>, Error> {
        match plain {
            Some(plain) => Ok(Some(self.ports.sealer.seal(&context, plain.as_bytes()).await?)),
            None => Ok(None),
        }
    }

    async fn seal_step(&self, user: UserId, step: CredentialStep) -> Result<StoredStep, Error> {
        let CredentialStep { id, kind, by, at, reason, note } = step;
        let note = note.as_ref().map(|note| note.expose().as_str());
        let note = self.seal(CredentialStep::note_context(user, id), note).await?;
        Ok(StoredStep { id, kind, by, at, reason, note })
    }

    pub(crate) fn effects(&self, now: DateTime<Utc>, user_id: UserId) -> Effects {
        Effects::default().event(Event::new(&*self.ports.ids, now, &ProfileChanged { user_id }))
    }

    pub(crate) fn entry(
        &self,
        caller: &Caller,
        now: DateTime<Utc>,
        action: &'static str,
        about: UserId,
    ) -> AuditEntry {
        AuditEntry::by(&*self.ports.ids, now, caller, action).about(about)
    }
}

const CHANGED: &str = "profile.changed";

/// The place where `user`'s picture is sealed.
const fn avatar_context(user: UserId) -> SealContext {
    SealContext { table: "avatars", column: "image", row: user.uuid(), scope: Scope::User(user), version: 1 }
}

/// Whether two profiles say the same, whenever they did.
fn unchanged(before: &Profile, after: &Profile) -> bool {
    let mut after = after.clone();
    if let (Some(before), Some(after)) = (&before.entry, &mut after.entry) {
        after.updated_at = before.updated_at;
    }
    *before == after
}

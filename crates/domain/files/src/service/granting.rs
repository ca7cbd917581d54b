//! What people say to files: that others may see them, that they stand for them, that they shall go.

use alivio_kernel::audit::Outcome;
use alivio_kernel::ids::{FileId, UserId};
use alivio_kernel::{Caller, Effects, Event};
use chrono::{DateTime, Utc};

use super::Files;
use crate::{Consent, Error, File, FileChanged, FileDeleted, FileWithdrawn, Grant, Regrant, Signature};

impl Files {
    /// The patient says whether others may see a file that is about them (S0-98). They can change their mind.
    ///
    /// # Errors
    /// [`Error::NotFound`] unless they were asked.
    pub async fn consent(&self, caller: &Caller, id: FileId, is_granted: bool) -> Result<File, Error> {
        let p = &self.ports;
        let file = self.file(caller, id).await?;
        if file.patient_id != Some(caller.user_id) || file.consent == Consent::NotNeeded {
            return Err(Error::NotFound);
        }
        let consent = if is_granted { Consent::Granted } else { Consent::Denied };
        let now = p.clock.now();
        let mut entry = self.entry(caller, &file, "file.consent", now);
        entry.reason = Some(consent.as_str());
        let effects = self.changed(caller, &file, now).audit(entry);
        if !p.grants.consent(id, consent, now, effects).await? {
            return Err(Error::NotFound);
        }
        self.file(caller, id).await
    }

    /// Signs a file: that it is the one with this digest, which the caller has seen. Whoever signs again changes nothing.
    ///
    /// # Errors
    /// As [`Files::opened`]; [`Error::SignatureNotAsked`], [`Error::ChecksumMismatch`].
    pub async fn sign(&self, caller: &Caller, id: FileId, sha256: [u8; 32]) -> Result<Vec<Signature>, Error> {
        let p = &self.ports;
        let file = self.opened(caller, id).await?.file;
        if !file.terms.requires_signature {
            return Err(Error::SignatureNotAsked);
        }
        if file.sha256 != Some(sha256) {
            return Err(Error::ChecksumMismatch);
        }
        let now = p.clock.now();
        let signature = Signature { user_id: caller.user_id, sha256, signed_at: now };
        let effects = self.changed(caller, &file, now).audit(self.entry(caller, &file, "file.signed", now));
        p.grants.sign(id, &signature, effects).await?;
        p.grants.signatures(id).await
    }

    /// Who has signed a file, in that order.
    ///
    /// # Errors
    /// [`Error::NotFound`] unless the caller may see it.
    pub async fn signatures(&self, caller: &Caller, id: FileId) -> Result<Vec<Signature>, Error> {
        self.file(caller, id).await?;
        self.ports.grants.signatures(id).await
    }

    /// Everyone whom a file came to, for whoever uploaded it and for the patient whom it is about.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotTheUploader`].
    pub async fn grants(&self, caller: &Caller, id: FileId) -> Result<Vec<Grant>, Error> {
        let p = &self.ports;
        let file = self.file(caller, id).await?;
        if caller.user_id != file.uploader_id && file.patient_id != Some(caller.user_id) {
            return Err(Error::NotTheUploader);
        }
        p.grants.grants(id, p.clock.now()).await
    }

    /// Changes what others may do with a file (S0-97, S0-99).
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotTheUploader`]; a field error; [`Error::Unfit`] if no mark can be drawn into it;
    /// [`Error::Stale`] if it has changed at the same time.
    pub async fn regrant(&self, caller: &Caller, id: FileId, change: &Regrant) -> Result<File, Error> {
        let p = &self.ports;
        let file = self.own(caller, id).await?;
        let granted = file.regranted(change)?;
        if granted == file.granted() {
            return Ok(file);
        }
        let now = p.clock.now();
        let entry = self.entry(caller, &file, "file.regranted", now);
        let effects = self.changed(caller, &file, now).audit(entry);
        p.grants.regrant(id, &granted, file.updated_at, now, effects).await?;
        self.file(caller, id).await
    }

    /// Takes a file back from one person: for them there is none from then on, and their links lead nowhere.
    ///
    /// # Errors
    /// [`Error::NotFound`] also if they do not have it; [`Error::NotTheUploader`].
    pub async fn withdraw(&self, caller: &Caller, id: FileId, from: UserId) -> Result<(), Error> {
        let p = &self.ports;
        let file = self.own(caller, id).await?;
        if from == caller.user_id {
            return Err(Error::NotFound);
        }
        let now = p.clock.now();
        let event = FileWithdrawn {
            file_id: id,
            conversation_id: file.conversation_id,
            user_id: from,
            withdrawn_by: caller.user_id,
        };
        let entry = self.entry(caller, &file, "file.withdrawn", now).about(from);
        let effects = Effects::default().event(Event::new(&*p.ids, now, &event)).audit(entry);
        if p.grants.withdraw(id, from, now, effects).await? { Ok(()) } else { Err(Error::NotFound) }
    }

    /// Gives a file back to someone.
    ///
    /// # Errors
    /// [`Error::NotFound`] also if it was not taken from them; [`Error::NotTheUploader`].
    pub async fn grant_again(&self, caller: &Caller, id: FileId, to: UserId) -> Result<(), Error> {
        let p = &self.ports;
        let file = self.own(caller, id).await?;
        let now = p.clock.now();
        let entry = self.entry(caller, &file, "file.given_back", now).about(to);
        let effects = self.changed(caller, &file, now).audit(entry);
        if p.grants.give_back(id, to, effects).await? { Ok(()) } else { Err(Error::NotFound) }
    }

    /// A file that the caller has uploaded.
    async fn own(&self, caller: &Caller, id: FileId) -> Result<File, Error> {
        let file = self.file(caller, id).await?;
        if caller.user_id == file.uploader_id { Ok(file) } else { Err(Error::NotTheUploader) }
    }

    /// Tells those who see a file that it has changed.
    fn changed(&self, caller: &Caller, file: &File, now: DateTime<Utc>) -> Effects {
        let event = FileChanged {
            file_id: file.id,
            conversation_id: file.conversation_id,
            changed_by: caller.user_id,
        };
        Effects::default().event(Event::new(&*self.ports.ids, now, &event))
    }

    /// Takes a file away: its uploader does, or a clinician who refuses what a patient handed over (C-60). What belongs to
    /// a record is withheld from then on and destroyed when it need not be kept any more; all else at once.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotTheUploader`].
    pub async fn delete(&self, caller: &Caller, id: FileId) -> Result<(), Error> {
        let p = &self.ports;
        let file = self.file(caller, id).await?;
        let now = p.clock.now();
        let is_refused = caller.role.is_clinician() && file.patient_id == Some(file.uploader_id);
        if caller.user_id != file.uploader_id && !is_refused {
            let entry =
                self.entry(caller, &file, "file.deleted", now).came_to(Outcome::Denied, "not_the_uploader");
            p.grants.note(&[entry]).await?;
            return Err(Error::NotTheUploader);
        }
        let event =
            FileDeleted { file_id: id, conversation_id: file.conversation_id, deleted_by: caller.user_id };
        let action = if caller.user_id == file.uploader_id { "file.deleted" } else { "file.rejected" };
        let effects = Effects::default()
            .event(Event::new(&*p.ids, now, &event))
            .audit(self.entry(caller, &file, action, now));
        if p.files.remove(id, caller.user_id, now, effects).await? { Ok(()) } else { Err(Error::NotFound) }
    }
}

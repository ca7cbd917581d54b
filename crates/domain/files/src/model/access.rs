use alivio_kernel::Role;
use alivio_kernel::ids::UserId;
use chrono::{DateTime, Utc};

use crate::{Consent, Draft, Error, Header, State};

/// How a conversation stands to someone who wants to hand over a file there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// It goes on.
    pub is_open: bool,
    /// A block stands between the two of a direct conversation.
    pub is_blocked: bool,
    /// Files may be shared.
    pub file_sharing: bool,
    /// The patient it is about: the one it names, or the only patient in it.
    pub subject: Option<UserId>,
    /// How many files they have uploaded within [`QUOTA_WINDOW`](crate::QUOTA_WINDOW).
    pub recent: u32,
    /// When the first of those came.
    pub oldest: Option<DateTime<Utc>>,
}

impl Standing {
    /// Whom a file of `uploader` is about, if they may hand it over (C-60).
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Blocked`], [`Error::FileSharingDisabled`], [`Error::NotTheSubject`].
    pub fn admit(&self, uploader: (UserId, Role), draft: &Draft) -> Result<Option<UserId>, Error> {
        if !self.is_open {
            return Err(Error::Closed);
        }
        if self.is_blocked {
            return Err(Error::Blocked);
        }
        if !self.file_sharing {
            return Err(Error::FileSharingDisabled);
        }
        let (uploader, role) = uploader;
        if role == Role::Patient && self.subject != Some(uploader) {
            return Err(Error::NotTheSubject);
        }
        if draft.patient_id.is_some() && draft.patient_id != self.subject {
            return Err(Error::NotTheSubject);
        }
        // Nobody could agree.
        if draft.terms.requires_consent && self.subject.is_none() {
            return Err(Error::NotTheSubject);
        }
        Ok(self.subject)
    }
}

impl Consent {
    /// What is asked of the patient when `uploader` hands over a file about `subject`: who hands over their own agrees.
    pub fn asked_for(is_required: bool, uploader: UserId, subject: Option<UserId>) -> Self {
        match is_required {
            false => Self::NotNeeded,
            true if subject == Some(uploader) => Self::Granted,
            true => Self::Asked,
        }
    }
}

impl Header {
    /// Whether `viewer`, who may see that there is such a file, may open it at `now`.
    ///
    /// # Errors
    /// [`Error::NotFound`] once it was taken away; [`Error::NotActive`], [`Error::ConsentRequired`], [`Error::Expired`].
    pub fn check_opening(&self, viewer: UserId, now: DateTime<Utc>) -> Result<(), Error> {
        match self.state {
            State::Active => {}
            State::Deleted => return Err(Error::NotFound),
            other => return Err(Error::NotActive(other)),
        }
        if viewer == self.uploader_id {
            return Ok(());
        }
        if self.is_expired(now) {
            return Err(Error::Expired);
        }
        if !self.consent.allows() && self.patient_id != Some(viewer) {
            return Err(Error::ConsentRequired);
        }
        Ok(())
    }

    /// Whether others can look at it no more.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.access_expires_at <= now
    }

    /// Whether it may be downloaded once more.
    pub fn has_downloads_left(&self) -> bool {
        self.max_downloads.is_none_or(|most| self.download_count < most)
    }

    /// Whether `viewer` is drawn into the copy that they get.
    pub fn is_stamped_for(&self, viewer: UserId) -> bool {
        self.terms.watermark && viewer != self.uploader_id
    }

    /// Whether the patient allows and its terms let it be sent on elsewhere.
    pub fn can_go_on(&self, now: DateTime<Utc>) -> bool {
        self.state == State::Active
            && self.terms.can_forward
            && self.consent.allows()
            && !self.is_expired(now)
    }

    /// What others are told of it (S0-101): `pending` and `failed` are words of ours.
    pub fn status(&self, now: DateTime<Utc>) -> &'static str {
        if self.state == State::Active && self.is_expired(now) { "expired" } else { self.state.as_str() }
    }

    /// Until when its content is kept though it is taken away.
    pub fn kept_until(&self) -> DateTime<Utc> {
        match self.terms.retention_years {
            Some(years) => self
                .created_at
                .checked_add_months(chrono::Months::new(years * 12))
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
            None => self.created_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use alivio_kernel::ids::Uuid;
    use alivio_kernel::{Clock, ManualClock};
    use chrono::TimeDelta;

    use super::*;
    use crate::testing::header;
    use crate::{Said, Terms};

    fn user(n: u128) -> UserId {
        Uuid::from_u128(n).into()
    }

    fn draft(said: Said) -> Draft {
        let said = Said { conversation_id: Some(Uuid::nil().into()), ..said };
        Draft::parse(said, ManualClock::default().now()).unwrap()
    }

    const OPEN: Standing = Standing {
        is_open: true,
        is_blocked: false,
        file_sharing: true,
        subject: None,
        recent: 0,
        oldest: None,
    };

    fn code(result: Result<Option<UserId>, Error>) -> &'static str {
        use alivio_kernel::DomainError;
        result.err().map_or("fine", |error| error.code())
    }

    #[test]
    fn patients_hand_over_their_own_only() {
        let of_ana = Standing { subject: Some(user(1)), ..OPEN };
        let plain = || draft(Said::default());
        assert_eq!(of_ana.admit((user(1), Role::Patient), &plain()).unwrap(), Some(user(1)));
        assert_eq!(of_ana.admit((user(2), Role::Doctor), &plain()).unwrap(), Some(user(1)));
        assert_eq!(OPEN.admit((user(2), Role::Doctor), &plain()).unwrap(), None);
        assert_eq!(code(of_ana.admit((user(3), Role::Patient), &plain())), "not_the_patient");
        assert_eq!(code(OPEN.admit((user(1), Role::Patient), &plain())), "not_the_patient");
        let of_luis = draft(Said { patient_id: Some(user(3)), ..Said::default() });
        assert_eq!(code(of_ana.admit((user(2), Role::Doctor), &of_luis)), "not_the_patient");
        let asks = draft(Said { requires_consent: Some(true), ..Said::default() });
        assert_eq!(code(OPEN.admit((user(2), Role::Doctor), &asks)), "not_the_patient");
    }

    #[test]
    fn what_the_conversation_does_not_allow_is_refused() {
        let plain = || draft(Said::default());
        for (standing, expected) in [
            (Standing { is_open: false, ..OPEN }, "conversation_closed"),
            (Standing { is_blocked: true, ..OPEN }, "direct_chat_blocked"),
            (Standing { file_sharing: false, ..OPEN }, "file_sharing_disabled"),
        ] {
            assert_eq!(code(standing.admit((user(2), Role::Doctor), &plain())), expected);
        }
    }

    #[test]
    fn only_what_is_clean_is_opened_and_by_whom_it_is_meant_for() {
        let now = ManualClock::default().now();
        let code = |header: &Header, viewer| code(header.check_opening(viewer, now).map(|()| None));
        let (uploader, patient, other) = (user(1), user(2), user(3));
        let file =
            Header { uploader_id: uploader, patient_id: Some(patient), state: State::Active, ..header(now) };
        assert_eq!(code(&file, other), "fine");
        for (state, expected) in [
            (State::Pending, "file_pending"),
            (State::Quarantined, "file_quarantined"),
            (State::Failed, "file_failed"),
            (State::Deleted, "not_found"),
        ] {
            for viewer in [uploader, patient, other] {
                assert_eq!(code(&Header { state, ..file.clone() }, viewer), expected);
            }
        }
        for consent in [Consent::Asked, Consent::Denied] {
            let file = Header { consent, ..file.clone() };
            assert_eq!(
                [uploader, patient, other].map(|who| code(&file, who)),
                ["fine", "fine", "consent_required"]
            );
            assert!(!file.can_go_on(now));
        }
        let expired = Header { access_expires_at: now, ..file.clone() };
        assert_eq!(
            [uploader, patient, other].map(|who| code(&expired, who)),
            ["fine", "file_expired", "file_expired"]
        );
        assert_eq!((expired.status(now), file.status(now)), ("expired", "active"));
    }

    #[test]
    fn whoever_is_not_the_uploader_gets_a_marked_copy() {
        let now = ManualClock::default().now();
        let file = header(now);
        let marked = Header { terms: Terms { watermark: true, ..file.terms }, ..file.clone() };
        assert!(!file.is_stamped_for(user(9)) && marked.is_stamped_for(user(9)));
        assert!(!marked.is_stamped_for(marked.uploader_id));
        let kept = Header { terms: Terms { retention_years: Some(7), ..file.terms }, ..file };
        assert!(kept.kept_until() > now + TimeDelta::days(7 * 365));
    }
}

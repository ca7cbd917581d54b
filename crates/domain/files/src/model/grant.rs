use alivio_kernel::ids::UserId;
use alivio_kernel::{FieldError, Rule};
use chrono::{DateTime, Utc};

use super::draft::MAX_DOWNLOADS;
use crate::{Error, Header, Terms, Unfit};

/// What whoever uploaded a file lets others do from now on. What is not said stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Regrant {
    /// When others can look at it no more: at once, if that is over.
    pub access_expires_at: Option<DateTime<Utc>>,
    /// How often it may be downloaded altogether; nothing: as often as anyone likes.
    pub max_downloads: Option<Option<i64>>,
    /// It may be sent on elsewhere.
    pub can_forward: Option<bool>,
    /// It may be printed.
    pub can_print: Option<bool>,
    /// Whoever looks at it is drawn into their copy.
    pub watermark: Option<bool>,
}

/// What others may do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// What is asked of them.
    pub terms: Terms,
    /// How often it may be downloaded.
    pub max_downloads: Option<u32>,
    /// When they can look at it no more.
    pub access_expires_at: DateTime<Utc>,
}

impl Header {
    /// What is granted of it now.
    pub const fn granted(&self) -> Granted {
        Granted {
            terms: self.terms,
            max_downloads: self.max_downloads,
            access_expires_at: self.access_expires_at,
        }
    }

    /// What is granted of it after `change`. What was downloaded already counts.
    ///
    /// # Errors
    /// A field error; [`Error::Unfit`] if no mark can be drawn into it.
    pub fn regranted(&self, change: &Regrant) -> Result<Granted, Error> {
        let watermark = change.watermark.unwrap_or(self.terms.watermark);
        if watermark && !self.format.takes_watermark() {
            return Err(Error::Unfit(Unfit::NoWatermark));
        }
        let max_downloads = match change.max_downloads {
            None => self.max_downloads,
            Some(None) => None,
            Some(Some(most)) => {
                let rule = Rule::OutOfRange { min: 1, max: MAX_DOWNLOADS };
                let most = u32::try_from(most).ok().filter(|n| (1..=MAX_DOWNLOADS).contains(&i64::from(*n)));
                Some(most.ok_or(FieldError::new("max_downloads", rule))?.max(self.download_count))
            }
        };
        Ok(Granted {
            terms: Terms {
                can_forward: change.can_forward.unwrap_or(self.terms.can_forward),
                can_print: change.can_print.unwrap_or(self.terms.can_print),
                watermark,
                ..self.terms
            },
            max_downloads,
            access_expires_at: change.access_expires_at.unwrap_or(self.access_expires_at),
        })
    }
}

/// Someone whom a file came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub user_id: UserId,
    /// They were in its conversation when it came; else they read a message that holds it.
    pub is_member: bool,
    /// How often they have downloaded it.
    pub downloads: u32,
    /// When they last did.
    pub last_download_at: Option<DateTime<Utc>>,
    /// When it was taken back from them.
    pub withdrawn_at: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;
    use crate::testing::header;

    #[test]
    fn what_is_not_said_stays() {
        let file = Header { max_downloads: Some(5), download_count: 3, ..header(DateTime::UNIX_EPOCH) };
        assert_eq!(file.regranted(&Regrant::default()).unwrap(), file.granted());
        let change = |max| Regrant { max_downloads: Some(max), can_print: Some(false), ..Regrant::default() };
        let granted = |max| file.regranted(&change(max)).unwrap();
        assert_eq!((granted(None).max_downloads, granted(Some(9)).max_downloads), (None, Some(9)));
        assert_eq!(granted(Some(1)).max_downloads, Some(3), "those that were given");
        let terms = granted(None).terms;
        assert!(!terms.can_print && terms.can_forward && !terms.watermark);
        for max in [0, -1, MAX_DOWNLOADS + 1, i64::MAX] {
            assert!(matches!(file.regranted(&change(Some(max))), Err(Error::Field(_))));
        }
    }

    #[test]
    fn a_mark_is_asked_for_only_where_one_can_be_drawn() {
        let mark = Regrant { watermark: Some(true), ..Regrant::default() };
        let of = |format| Header { format, ..header(DateTime::UNIX_EPOCH) }.regranted(&mark);
        assert!(of(Format::Pdf).unwrap().terms.watermark);
        assert!(matches!(of(Format::Mp3), Err(Error::Unfit(Unfit::NoWatermark))));
    }
}

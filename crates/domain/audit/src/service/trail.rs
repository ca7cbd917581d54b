use std::sync::Arc;

use alivio_kernel::audit::Outcome;
use alivio_kernel::{AccessScope, AuditEntry, AuditSink, Caller, Clock, IdSource, Origin, Page, PageSize};

use super::authorise;
use crate::{After, AuditReader, Error, Recorded, TrailFilter};

/// What [`Trail`] needs.
#[derive(Clone)]
pub struct TrailPorts {
    /// The trail.
    pub reader: Arc<dyn AuditReader>,
    /// Where the reading of it is recorded.
    pub sink: Arc<dyn AuditSink>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
}

/// What one can read of the trail.
#[derive(Clone)]
pub struct Trail {
    ports: TrailPorts,
}

impl Trail {
    /// The trail over `ports`.
    pub const fn new(ports: TrailPorts) -> Self {
        Self { ports }
    }

    /// Reads the trail, newest first. That it was read is recorded first, or nothing is shown.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub async fn read(
        &self,
        caller: &Caller,
        filter: &TrailFilter,
        after: Option<After>,
        size: PageSize,
    ) -> Result<Page<Recorded>, Error> {
        const ACTION: &str = "audit_log.read";
        let p = &self.ports;
        authorise(&*p.sink, &*p.ids, &*p.clock, caller, AccessScope::AuditRead, ACTION).await?;
        let mut entry = AuditEntry::by(&*p.ids, p.clock.now(), caller, ACTION);
        if let Some(subject) = filter.subject {
            entry = entry.about(subject);
        }
        p.sink.record(&[entry]).await.map_err(Error::Unavailable)?;
        Ok(page(p.reader.entries(filter, after, size).await?, size))
    }

    /// Records that someone who is not signed in was refused `action` because of `reason`.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn refused(
        &self,
        origin: &Origin,
        action: &'static str,
        reason: &'static str,
    ) -> Result<(), Error> {
        let p = &self.ports;
        let entry = AuditEntry::from_origin(&*p.ids, p.clock.now(), origin, action);
        p.sink.record(&[entry.came_to(Outcome::Denied, reason)]).await.map_err(Error::Unavailable)
    }

    /// What others did to the caller's data, newest first.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn access_log(
        &self,
        caller: &Caller,
        after: Option<After>,
        size: PageSize,
    ) -> Result<Page<Recorded>, Error> {
        Ok(page(self.ports.reader.by_others(caller.user_id, after, size).await?, size))
    }
}

fn page(rows: Vec<Recorded>, size: PageSize) -> Page<Recorded> {
    let (items, more) = size.cut(rows);
    let next_cursor =
        if more { items.last().map(|entry| After::cursor(entry.at, entry.id.uuid())) } else { None };
    Page { items, next_cursor }
}

//! Drawings over files.

use alivio_kernel::ids::{AnnotationId, FileId};
use alivio_kernel::{Caller, Effects, Event, FieldError, Rule};
use chrono::{DateTime, Utc};

use super::Files;
use crate::model::drawing_context;
use crate::{
    Drawing, Error, File, FileAnnotated, Layer, LayerVersion, MAX_LAYERS, MAX_VERSIONS, StoredLayer,
};

impl Files {
    /// What is drawn over a file, the oldest layer first. That it was looked at is recorded.
    ///
    /// # Errors
    /// As [`Files::opened`]: what is drawn tells what it is drawn on.
    pub async fn annotations(&self, caller: &Caller, id: FileId) -> Result<Vec<Layer>, Error> {
        self.looked_at(caller, id).await?;
        let stored = self.ports.annotations.layers(id).await?;
        self.drawn(stored).await
    }

    /// A version of a layer, or its newest. Those of a layer that was taken away stay readable. Recorded.
    ///
    /// # Errors
    /// As [`Files::opened`]; [`Error::NotFound`] if there is none.
    pub async fn annotation(
        &self,
        caller: &Caller,
        id: FileId,
        layer: AnnotationId,
        version: Option<u32>,
    ) -> Result<Layer, Error> {
        self.looked_at(caller, id).await?;
        let stored = self.ports.annotations.layer(id, layer, version).await?.ok_or(Error::NotFound)?;
        self.drawn(vec![stored]).await?.pop().ok_or(Error::NotFound)
    }

    /// Who drew which version of a layer, the newest first.
    ///
    /// # Errors
    /// As [`Files::annotation`].
    pub async fn annotation_history(
        &self,
        caller: &Caller,
        id: FileId,
        layer: AnnotationId,
    ) -> Result<Vec<LayerVersion>, Error> {
        self.opened(caller, id).await?;
        let versions = self.ports.annotations.versions(id, layer).await?;
        if versions.is_empty() { Err(Error::NotFound) } else { Ok(versions) }
    }

    /// Lays a new layer over a file (S4-151).
    ///
    /// # Errors
    /// As [`Files::opened`]; [`Error::CliniciansOnly`], [`Error::TooManyAnnotations`], a field error for a page that is
    /// not there.
    pub async fn annotate(&self, caller: &Caller, id: FileId, drawing: Drawing) -> Result<Layer, Error> {
        let file = self.to_draw_on(caller, id).await?;
        let layer = AnnotationId::generate(&*self.ports.ids);
        let (stored, effects) = self.sheet(caller, &file, layer, 1, &drawing).await?;
        self.ports.annotations.add(&stored, MAX_LAYERS, effects).await?;
        Ok(layer_of(stored, drawing))
    }

    /// Draws a layer anew. `seen` is the version that the caller has drawn on.
    ///
    /// # Errors
    /// As [`Files::annotate`]; [`Error::NotFound`] if there is no such layer, [`Error::Stale`] if it has another version
    /// by now or was taken away.
    pub async fn redraw(
        &self,
        caller: &Caller,
        id: FileId,
        layer: AnnotationId,
        seen: u32,
        drawing: Drawing,
    ) -> Result<Layer, Error> {
        let file = self.to_draw_on(caller, id).await?;
        self.check_layer(id, layer).await?;
        if seen >= MAX_VERSIONS {
            return Err(Error::TooManyAnnotations);
        }
        let (stored, effects) = self.sheet(caller, &file, layer, seen + 1, &drawing).await?;
        self.ports.annotations.redraw(&stored, effects).await?;
        Ok(layer_of(stored, drawing))
    }

    /// Takes a layer away. `seen` is the version that the caller has seen. Its versions stay readable.
    ///
    /// # Errors
    /// As [`Files::redraw`].
    pub async fn remove_annotation(
        &self,
        caller: &Caller,
        id: FileId,
        layer: AnnotationId,
        seen: u32,
    ) -> Result<(), Error> {
        let p = &self.ports;
        let file = self.to_draw_on(caller, id).await?;
        self.check_layer(id, layer).await?;
        let now = p.clock.now();
        let effects = self.annotated(caller, &file, layer, seen, true, now);
        p.annotations.withdraw(id, layer, seen, now, effects).await
    }

    /// A file that the caller may draw on.
    async fn to_draw_on(&self, caller: &Caller, id: FileId) -> Result<File, Error> {
        let file = self.opened(caller, id).await?.file;
        if caller.role.is_clinician() { Ok(file) } else { Err(Error::CliniciansOnly) }
    }

    async fn check_layer(&self, id: FileId, layer: AnnotationId) -> Result<(), Error> {
        self.ports.annotations.layer(id, layer, None).await?.map(drop).ok_or(Error::NotFound)
    }

    /// Records that the caller looks at what is drawn over a file.
    async fn looked_at(&self, caller: &Caller, id: FileId) -> Result<(), Error> {
        let file = self.opened(caller, id).await?.file;
        let entry = self.entry(caller, &file, "file.annotations_read", self.ports.clock.now());
        self.ports.grants.note(&[entry]).await
    }

    /// A version about to be stored, with what it leaves behind.
    async fn sheet(
        &self,
        caller: &Caller,
        file: &File,
        layer: AnnotationId,
        version: u32,
        drawing: &Drawing,
    ) -> Result<(StoredLayer, Effects), Error> {
        let p = &self.ports;
        let pages = file.drawable_pages();
        if drawing.page > pages {
            let rule = Rule::OutOfRange { min: 1, max: pages.into() };
            return Err(FieldError::new("page", if pages == 0 { Rule::Unknown } else { rule }).into());
        }
        let plain = serde_json::to_vec(drawing).map_err(|error| Error::Unavailable(error.into()))?;
        let drawing = p.sealer.seal(&drawing_context(file.id, layer, version), &plain).await?;
        let now = p.clock.now();
        let effects = self.annotated(caller, file, layer, version, false, now);
        let stored = StoredLayer {
            id: layer,
            file_id: file.id,
            version,
            newest: version,
            author_id: caller.user_id,
            drawn_at: now,
            removed_at: None,
            drawing,
        };
        Ok((stored, effects))
    }

    /// What is left behind when a layer is drawn or taken away.
    fn annotated(
        &self,
        caller: &Caller,
        file: &File,
        annotation_id: AnnotationId,
        version: u32,
        is_removed: bool,
        now: DateTime<Utc>,
    ) -> Effects {
        let action = if is_removed { "file.annotation_removed" } else { "file.annotated" };
        let event = FileAnnotated {
            file_id: file.id,
            conversation_id: file.conversation_id,
            annotation_id,
            version,
            author_id: caller.user_id,
            is_removed,
        };
        Effects::default()
            .event(Event::new(&*self.ports.ids, now, &event))
            .audit(self.entry(caller, file, action, now))
    }

    /// Opens drawings. Those whose keys were destroyed are left out.
    async fn drawn(&self, stored: Vec<StoredLayer>) -> Result<Vec<Layer>, Error> {
        let sealed: Vec<_> =
            stored.iter().map(|s| (drawing_context(s.file_id, s.id, s.version), &s.drawing)).collect();
        let opened = self.ports.sealer.open_remaining(&sealed).await?;
        let layer = |(stored, plain): (StoredLayer, Option<Vec<u8>>)| {
            let drawing = serde_json::from_slice(&plain?);
            let unreadable = |error: serde_json::Error| Error::Unavailable(error.into());
            Some(drawing.map(|drawing| layer_of(stored, drawing)).map_err(unreadable))
        };
        stored.into_iter().zip(opened).filter_map(layer).collect()
    }
}

fn layer_of(stored: StoredLayer, drawing: Drawing) -> Layer {
    let StoredLayer { id, file_id, version, newest, author_id, drawn_at, removed_at, .. } = stored;
    Layer { id, file_id, version, newest, author_id, drawn_at, removed_at, drawing }
}

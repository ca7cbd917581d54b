//! What every [`AnnotationStore`](crate::AnnotationStore) MUST do, one case each. Run them all with
//! [`annotation_store_conformance!`](crate::annotation_store_conformance).
#![allow(clippy::unwrap_used, reason = "a case fails by panicking, and only tests call them")]

use std::sync::Arc;

use alivio_kernel::ids::{AnnotationId, DataKeyId, FileId, UserId};
use alivio_kernel::testing::together;
use alivio_kernel::{Effects, IdSource, Sealed, SystemIds};

use super::file_stores::{Stores, effects, later, new, now};
use crate::{Error, LayerVersion, StoredLayer};

/// Tests your store: one `#[tokio::test]` for every case.
///
/// `$fresh` names an `async fn() -> Stores` that gives each case empty, isolated ones.
#[macro_export]
macro_rules! annotation_store_conformance {
    ($fresh:expr) => {
        mod annotation_store_conformance {
            use super::*;
            $crate::annotation_store_conformance! { @cases $fresh;
                each_version_stays
                of_versions_drawn_at_once_one_is_taken
                there_are_no_more_layers_than_may_be
                what_was_taken_away_stays_readable
                layers_are_of_one_file
                nothing_is_left_of_what_is_drawn_over_a_destroyed_file
            }
        }
    };
    (@cases $fresh:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::annotations::$case($fresh().await).await;
            }
        )*
    };
}

const MOST: i64 = 50;

fn layer(file: FileId, author: UserId, version: u32) -> StoredLayer {
    StoredLayer {
        id: AnnotationId::generate(&SystemIds),
        file_id: file,
        version,
        newest: version,
        author_id: author,
        drawn_at: later(),
        removed_at: None,
        drawing: Sealed::from_bytes(vec![7, u8::try_from(version).unwrap()]),
    }
}

fn drawn() -> Effects {
    effects("file.annotated")
}

impl Stores {
    /// A clean file, whoever uploaded it, and someone else who sees it.
    async fn picture(&self) -> (UserId, UserId, FileId) {
        let (one, other, room) = self.room().await;
        let id = self.keep(&new(room, one)).await;
        self.settle(id).await;
        (one, other, id)
    }

    async fn annotated(&self) -> usize {
        self.world.audited().await.iter().filter(|action| *action == "file.annotated").count()
    }
}

/// Newest first, with who drew it; and the newest is what is shown.
pub async fn each_version_stays(stores: Stores) {
    let (one, other, file) = stores.picture().await;
    let first = layer(file, one, 1);
    stores.annotations.add(&first, MOST, drawn()).await.unwrap();
    let second = StoredLayer { author_id: other, id: first.id, ..layer(file, other, 2) };
    stores.annotations.redraw(&second, drawn()).await.unwrap();
    assert_eq!(stores.annotations.layers(file).await.unwrap(), std::slice::from_ref(&second));
    let of = async |version| stores.annotations.layer(file, first.id, version).await.unwrap();
    assert_eq!(of(None).await, Some(second));
    assert_eq!(of(Some(1)).await, Some(StoredLayer { newest: 2, ..first.clone() }));
    assert_eq!((of(Some(3)).await, of(Some(0)).await, of(Some(u32::MAX)).await), (None, None, None));
    let line = |version, author_id| LayerVersion { version, author_id, drawn_at: later() };
    let versions = stores.annotations.versions(file, first.id).await.unwrap();
    assert_eq!(versions, [line(2, other), line(1, one)]);
    let next = layer(file, one, 1);
    stores.annotations.add(&next, MOST, drawn()).await.unwrap();
    let ids: Vec<_> = stores.annotations.layers(file).await.unwrap().iter().map(|layer| layer.id).collect();
    assert_eq!(ids, [first.id, next.id]);
    assert_eq!(stores.annotated().await, 3);
}

/// [`Error::Stale`] for all others, and for whoever drew on an older one.
pub async fn of_versions_drawn_at_once_one_is_taken(stores: Stores) {
    let (one, other, file) = stores.picture().await;
    let first = layer(file, one, 1);
    stores.annotations.add(&first, MOST, drawn()).await.unwrap();
    let attempts = (0..20).map(|_| {
        let next = StoredLayer { id: first.id, ..layer(file, other, 2) };
        let annotations = Arc::clone(&stores.annotations);
        async move { annotations.redraw(&next, drawn()).await }
    });
    let outcomes = together(attempts).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(()) | Err(Error::Stale))), "{outcomes:?}");
    assert_eq!(
        (stores.annotations.versions(file, first.id).await.unwrap().len(), stores.annotated().await),
        (2, 2)
    );
    let ahead = StoredLayer { id: first.id, ..layer(file, other, 4) };
    assert!(matches!(stores.annotations.redraw(&ahead, drawn()).await, Err(Error::Stale)));
}

/// However many come at once; nor any over what is not open.
pub async fn there_are_no_more_layers_than_may_be(stores: Stores) {
    let (one, _, file) = stores.picture().await;
    let attempts = (0..12).map(|_| {
        let (annotations, layer) = (Arc::clone(&stores.annotations), layer(file, one, 1));
        async move { annotations.add(&layer, 5, drawn()).await }
    });
    let outcomes = together(attempts).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
    assert_eq!(
        outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::TooManyAnnotations))).count(),
        7
    );
    assert_eq!((stores.annotations.layers(file).await.unwrap().len(), stores.annotated().await), (5, 5));
    stores.files.remove(file, one, later(), Effects::default()).await.unwrap();
    let late = stores.annotations.add(&layer(file, one, 1), MOST, drawn()).await;
    assert!(matches!(late, Err(Error::NotFound)));
    let unknown = layer(FileId::generate(&SystemIds), one, 1);
    assert!(matches!(stores.annotations.add(&unknown, MOST, drawn()).await, Err(Error::NotFound)));
}

/// It is drawn on no more, and not shown with the others.
pub async fn what_was_taken_away_stays_readable(stores: Stores) {
    let (one, other, file) = stores.picture().await;
    let first = layer(file, one, 1);
    stores.annotations.add(&first, MOST, drawn()).await.unwrap();
    let withdraw = async |version| {
        stores
            .annotations
            .withdraw(file, first.id, version, later(), effects("file.annotation_removed"))
            .await
    };
    assert!(matches!(withdraw(2).await, Err(Error::Stale)));
    withdraw(1).await.unwrap();
    assert!(matches!(withdraw(1).await, Err(Error::Stale)), "once");
    let again = StoredLayer { id: first.id, ..layer(file, other, 2) };
    assert!(matches!(stores.annotations.redraw(&again, drawn()).await, Err(Error::Stale)));
    assert!(stores.annotations.layers(file).await.unwrap().is_empty());
    let found = stores.annotations.layer(file, first.id, None).await.unwrap();
    assert_eq!(found, Some(StoredLayer { removed_at: Some(later()), ..first.clone() }));
    assert_eq!(stores.annotations.versions(file, first.id).await.unwrap().len(), 1);
    let done = stores.world.audited().await;
    assert_eq!(done.iter().filter(|action| *action == "file.annotation_removed").count(), 1);
}

/// By another one nothing is found, changed or taken away.
pub async fn layers_are_of_one_file(stores: Stores) {
    let (one, _, file) = stores.picture().await;
    let (_, _, other) = stores.picture().await;
    let first = layer(file, one, 1);
    stores.annotations.add(&first, MOST, drawn()).await.unwrap();
    assert!(stores.annotations.layers(other).await.unwrap().is_empty());
    assert_eq!(stores.annotations.layer(other, first.id, None).await.unwrap(), None);
    assert!(stores.annotations.versions(other, first.id).await.unwrap().is_empty());
    let next = StoredLayer { id: first.id, ..layer(other, one, 2) };
    assert!(matches!(stores.annotations.redraw(&next, drawn()).await, Err(Error::Stale)));
    let gone = stores.annotations.withdraw(other, first.id, 1, now(), Effects::default()).await;
    assert!(matches!(gone, Err(Error::Stale)));
    assert_eq!(stores.annotations.layers(file).await.unwrap(), [first]);
}

/// Not even who drew it.
pub async fn nothing_is_left_of_what_is_drawn_over_a_destroyed_file(stores: Stores) {
    let (one, _, file) = stores.picture().await;
    let first = layer(file, one, 1);
    stores.annotations.add(&first, MOST, drawn()).await.unwrap();
    stores.files.remove(file, one, later(), Effects::default()).await.unwrap();
    assert_eq!(stores.annotations.versions(file, first.id).await.unwrap().len(), 1, "it may have to be kept");
    stores.files.destroy(file, DataKeyId::from(SystemIds.uuid()), later(), Effects::default()).await.unwrap();
    assert!(stores.annotations.versions(file, first.id).await.unwrap().is_empty());
    assert_eq!(stores.annotations.layer(file, first.id, None).await.unwrap(), None);
}

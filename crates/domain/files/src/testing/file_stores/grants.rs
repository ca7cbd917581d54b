//! Who agrees, grants and signs.

use std::sync::Arc;

use alivio_kernel::Effects;
use alivio_kernel::testing::together;

use super::{Stores, alarm, download, effects, later, new};
use crate::{Consent, Granted, Signature};

/// MUST answer [`Error::Stale`](crate::Error::Stale) to all others.
pub async fn of_those_who_grant_at_once_one_is_first(stores: Stores) {
    let (uploader, _, room) = stores.room().await;
    let id = stores.keep(&new(room, uploader)).await;
    stores.settle(id).await;
    let seen = stores.files.look(id).await.unwrap().unwrap().header;
    let granted = Granted { max_downloads: Some(2), access_expires_at: later(), ..seen.granted() };
    let attempts = (0..10).map(|_| {
        let grants = Arc::clone(&stores.grants);
        async move { grants.regrant(id, &granted, seen.updated_at, later(), effects("file.regranted")).await }
    });
    let outcomes = together(attempts).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(()) | Err(crate::Error::Stale))));
    let done = stores.world.audited().await;
    assert_eq!(done.iter().filter(|action| *action == "file.regranted").count(), 1);
    let found = stores.files.look(id).await.unwrap().unwrap().header;
    assert_eq!(found.granted(), granted);
    assert!(found.updated_at > seen.updated_at);
    for _ in 0..2 {
        let own = download(id, uploader);
        assert!(stores.grants.download(&own, Effects::default(), alarm(100)).await.unwrap());
    }
    // Fewer than were given.
    let fewer = Granted { max_downloads: Some(1), ..granted };
    let refused = stores.grants.regrant(id, &fewer, found.updated_at, later(), Effects::default()).await;
    assert!(matches!(refused, Err(crate::Error::Stale)));
}

/// Nothing is stored where nobody is asked.
pub async fn only_who_was_asked_agrees(stores: Stores) {
    let (uploader, _, room) = stores.room().await;
    let plain = stores.keep(&new(room, uploader)).await;
    let say = async |id, consent| {
        stores.grants.consent(id, consent, later(), effects("file.consent")).await.unwrap()
    };
    assert!(!say(plain, Consent::Granted).await);
    assert!(stores.world.audited().await.iter().all(|action| action != "file.consent"));
    let mut asks = new(room, uploader);
    asks.file.header.consent = Consent::Asked;
    let asks = stores.keep(&asks).await;
    for consent in [Consent::Granted, Consent::Denied] {
        assert!(say(asks, consent).await);
        assert_eq!(stores.files.look(asks).await.unwrap().unwrap().header.consent, consent);
    }
}

/// What they signed first stays.
pub async fn everyone_signs_once(stores: Stores) {
    let (uploader, other, room) = stores.room().await;
    let id = stores.keep(&new(room, uploader)).await;
    let signature = |user_id, byte| Signature { user_id, sha256: [byte; 32], signed_at: later() };
    assert!(stores.grants.sign(id, &signature(other, 1), effects("file.signed")).await.unwrap());
    assert!(!stores.grants.sign(id, &signature(other, 2), effects("file.signed")).await.unwrap());
    assert_eq!(stores.grants.signatures(id).await.unwrap(), [signature(other, 1)]);
    assert_eq!(stores.world.audited().await.iter().filter(|action| *action == "file.signed").count(), 1);
}

//! Recordings listened to, by real children.
#![cfg(test)]

mod common;

use alivio_files::{Sound, Workshop, WorkshopError};
use bytes::Bytes;
use common::sound::{mp3, ogg, packets, webm};
use common::workshop;

async fn sound(mime: &str, content: Bytes) -> Sound {
    workshop().listen(mime, content).await.unwrap()
}

#[tokio::test]
async fn voice_messages_of_browsers_are_measured_and_heard() {
    for (mime, content) in [
        ("audio/ogg", ogg(&packets(1_000, 2_000))),
        ("audio/webm", webm(&packets(1_000, 2_000))),
        ("video/webm", webm(&packets(1_000, 2_000))),
    ] {
        let sound = sound(mime, content).await;
        assert!(sound.duration_ms.abs_diff(3_000) <= 20, "{mime}: {} ms", sound.duration_ms);
        let waveform = sound.waveform;
        assert_eq!((waveform.len(), waveform.iter().max()), (100, Some(&255)), "{mime}");
        // A third of silence, and then noise.
        assert!(waveform[..32].iter().all(|loudness| *loudness < 5), "{mime}: {waveform:?}");
        assert!(waveform[36..].iter().all(|loudness| *loudness > 20), "{mime}: {waveform:?}");
    }
}

#[tokio::test]
async fn silence_is_silent() {
    let sound = sound("audio/mpeg", mp3(100)).await;
    assert!(sound.duration_ms.abs_diff(2_612) <= 60, "{} ms", sound.duration_ms);
    assert!(
        sound.waveform.iter().all(|loudness| *loudness == 0) && sound.waveform.len() == 100,
        "{:?}",
        sound.waveform
    );
}

#[tokio::test]
async fn what_breaks_off_is_as_long_as_what_there_is_of_it() {
    let whole = ogg(&packets(0, 4_000));
    let sound = sound("audio/ogg", whole.slice(..whole.len() / 2)).await;
    assert!(sound.duration_ms.abs_diff(2_000) < 100, "{} ms", sound.duration_ms);
}

#[tokio::test]
async fn what_is_no_recording_is_unfit_and_other_files_are_not_listened_to() {
    let head = ogg(&[]);
    for content in [Bytes::new(), Bytes::from_static(b"<html></html>"), Bytes::from(vec![0; 5_000]), head] {
        let sound = workshop().listen("audio/ogg", content.clone()).await;
        assert!(
            matches!(sound, Err(WorkshopError::Unfit)),
            "{:?}: {sound:?}",
            content.slice(..content.len().min(9))
        );
    }
    for mime in ["image/png", "application/pdf", ""] {
        let sound = workshop().listen(mime, mp3(9)).await;
        assert!(matches!(sound, Err(WorkshopError::Unsupported)), "{mime}: {sound:?}");
    }
}

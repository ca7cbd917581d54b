//! Recordings listened to, by real children.
#![cfg(test)]

mod common;

use alivio_files::{Sound, Workshop, WorkshopError};
use bytes::Bytes;
use common::sound::{TONES, mp3};
use common::workshop;

async fn sound(mime: &str, content: Bytes) -> Sound {
    workshop().listen(mime, content).await.unwrap()
}

#[tokio::test]
async fn recordings_are_measured_and_heard() {
    for (what, mime, content) in TONES {
        let Sound { duration_ms, waveform } = sound(mime, content).await;
        // Encoders pad.
        assert!(duration_ms.abs_diff(3_000) < 150, "{what}: {duration_ms} ms");
        assert_eq!((waveform.len(), waveform.iter().max()), (100, Some(&255)), "{what}");
        assert!(waveform[..30].iter().all(|loudness| *loudness < 5), "{what}: {waveform:?}");
        assert!(waveform[40..95].iter().all(|loudness| *loudness > 100), "{what}: {waveform:?}");
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
    let (_, mime, whole) = &TONES[0];
    let sound = sound(mime, whole.slice(..whole.len() * 2 / 3)).await;
    assert!((1_200..2_900).contains(&sound.duration_ms), "{} ms", sound.duration_ms);
}

#[tokio::test]
async fn what_is_no_recording_is_unfit_and_other_files_are_not_listened_to() {
    let head = TONES[0].2.slice(..80);
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

//! Recordings: a second of silence and two of a tone at 440 Hz, as `ffmpeg` wrote them from
//! `aevalsrc=if(lt(t\\,1)\\,0\\,0.5*sin(2*PI*440*t)):d=3`.

use bytes::Bytes;

/// What each is, and its content.
pub(crate) const TONES: [(&str, &str, Bytes); 6] = [
    ("Opus in Ogg", "audio/ogg", Bytes::from_static(include_bytes!("../sounds/tone.ogg"))),
    ("Opus in WebM", "audio/webm", Bytes::from_static(include_bytes!("../sounds/tone.webm"))),
    ("a film's type", "video/webm", Bytes::from_static(include_bytes!("../sounds/tone.webm"))),
    ("MP3", "audio/mpeg", Bytes::from_static(include_bytes!("../sounds/tone.mp3"))),
    ("AAC in MP4", "audio/mp4", Bytes::from_static(include_bytes!("../sounds/tone.m4a"))),
    ("Vorbis in Ogg", "audio/ogg", Bytes::from_static(include_bytes!("../sounds/vorbis.ogg"))),
];

/// Silence in MP3: frames of 1,152 samples at 44.1 kHz and 128 kbit/s.
pub(crate) fn mp3(frames: usize) -> Bytes {
    let mut frame = b"\xff\xfb\x90\xc4".to_vec();
    frame.resize(417, 0);
    frame.repeat(frames).into()
}

//! What a recording sounds like.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use alivio_files::Sound;
use bytes::Bytes;
use opus_decoder::OpusDecoder;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use crate::Refusal;

/// What is listened to, films for their sound.
const RECORDINGS: [&str; 10] = [
    "audio/mpeg",
    "audio/mp4",
    "audio/m4a",
    "audio/x-m4a",
    "audio/ogg",
    "audio/opus",
    "audio/webm",
    "application/ogg",
    "video/mp4",
    "video/webm",
];
/// Stretches of a waveform.
const STRETCHES: usize = 100;
/// How finely loudness is noted before it is known how long a stretch is.
const NOTES_A_SECOND: u32 = 100;
/// Longer recordings are only measured.
const LONGEST_HEARD_MS: u64 = 30 * 60 * 1000;
/// So are those that take longer to decode, well before the child's own limit.
const PATIENCE: Duration = Duration::from_secs(8);
/// The rate that Opus is decoded at, and the most of one channel that a packet holds: 120 ms.
const OPUS_RATE: u32 = 48_000;
const OPUS_PACKET: usize = 5_760;

pub(crate) fn listen(mime: &str, content: Bytes) -> Result<Sound, Refusal> {
    if !RECORDINGS.contains(&mime) {
        return Err(Refusal::Unsupported);
    }
    let (started, mut duration_ms) = (Instant::now(), 0);
    let mut reader = open(content).ok_or(Refusal::Unfit)?;
    let track = reader.default_track(TrackType::Audio);
    let mut ear = track.and_then(Ear::for_track);
    let tracks = reader.tracks().to_vec();
    // What breaks off is as long as what there was of it.
    while let Ok(Some(packet)) = reader.next_packet() {
        let Some(track) = tracks.iter().find(|track| track.id == packet.track_id) else { continue };
        duration_ms = duration_ms.max(end_ms(track, &packet).unwrap_or(0));
        ear = ear.filter(|_| duration_ms <= LONGEST_HEARD_MS && started.elapsed() < PATIENCE);
        ear = ear.and_then(|ear| if ear.track == packet.track_id { ear.after(&packet) } else { Some(ear) });
    }
    if duration_ms == 0 {
        return Err(Refusal::Unfit);
    }
    Ok(Sound { duration_ms, waveform: ear.map(|ear| ear.waveform()).unwrap_or_default() })
}

fn open(content: Bytes) -> Option<Box<dyn FormatReader>> {
    let stream = MediaSourceStream::new(Box::new(Cursor::new(content)), Default::default());
    let (format, metadata) = (FormatOptions::default(), MetadataOptions::default());
    symphonia::default::get_probe().probe(&Hint::new(), stream, format, metadata).ok()
}

/// When a packet ends.
fn end_ms(track: &Track, packet: &Packet) -> Option<u64> {
    let end = packet.pts.checked_add(packet.dur)?;
    let since = track.time_base?.calc_time(end)?.as_millis();
    u64::try_from(since).ok()
}

/// Turns packets into samples from -1 to 1, all channels mixed or one after the other.
enum Decoder {
    Opus(Box<OpusDecoder>),
    Other(Box<dyn AudioDecoder>),
}

impl Decoder {
    /// Nothing for what cannot be decoded here: that is only measured.
    fn new(parameters: &AudioCodecParameters) -> Option<Self> {
        if parameters.codec != CODEC_ID_OPUS {
            let options = AudioDecoderOptions::default();
            let decoder = symphonia::default::get_codecs().make_audio_decoder(parameters, &options).ok()?;
            return Some(Self::Other(decoder));
        }
        // More than two channels are several streams in one.
        let is_one_stream = parameters.channels.as_ref().is_none_or(|channels| channels.count() <= 2);
        let decoder = OpusDecoder::new(OPUS_RATE, 1).ok().filter(|_| is_one_stream)?;
        Some(Self::Opus(Box::new(decoder)))
    }

    /// Samples into `into`; how many there are of them in a second. What is broken is silence.
    fn decode(&mut self, packet: &Packet, into: &mut Vec<f32>) -> Option<u32> {
        into.clear();
        match self {
            Self::Opus(decoder) => {
                into.resize(OPUS_PACKET, 0.0);
                let samples = decoder.decode_float(&packet.data, into, false).ok()?;
                into.truncate(samples);
                Some(OPUS_RATE)
            }
            Self::Other(decoder) => {
                let decoded = decoder.decode(packet).ok()?;
                decoded.copy_to_vec_interleaved(into);
                let channels = u32::try_from(decoded.spec().channels().count()).ok()?;
                decoded.spec().rate().checked_mul(channels)
            }
        }
    }
}

/// Listens to one track, and notes how loud it is every hundredth of a second.
struct Ear {
    track: u32,
    decoder: Decoder,
    samples: Vec<f32>,
    /// Mean squares.
    notes: Vec<f32>,
    /// The sum of the squares that are not yet noted, and how many they are.
    pending: (f32, u32),
}

impl Ear {
    fn for_track(track: &Track) -> Option<Self> {
        let decoder = Decoder::new(track.codec_params.as_ref()?.audio()?)?;
        Some(Self { track: track.id, decoder, samples: Vec::new(), notes: Vec::new(), pending: (0.0, 0) })
    }

    /// Having heard `packet`. Decoders may panic on what no encoder makes: then there is nothing left to hear with.
    fn after(mut self, packet: &Packet) -> Option<Self> {
        catch_unwind(AssertUnwindSafe(|| self.hear(packet))).ok()?;
        Some(self)
    }

    fn hear(&mut self, packet: &Packet) {
        let Some(rate) = self.decoder.decode(packet, &mut self.samples) else { return };
        let enough = (rate / NOTES_A_SECOND).max(1);
        for sample in &self.samples {
            let (sum, count) = (self.pending.0 + sample * sample, self.pending.1 + 1);
            self.pending = (sum, count);
            if count >= enough {
                self.notes.push(sum / count as f32);
                self.pending = (0.0, 0);
            }
        }
    }

    /// Loudness in equal stretches, the loudest being 255.
    fn waveform(&self) -> Vec<u8> {
        let stretches = STRETCHES.min(self.notes.len());
        let loudness: Vec<f32> = (0..stretches)
            .map(|stretch| {
                let at = |stretch: usize| stretch * self.notes.len() / stretches;
                let notes = &self.notes[at(stretch)..at(stretch + 1)];
                (notes.iter().sum::<f32>() / notes.len() as f32).sqrt()
            })
            .collect();
        let loudest = loudness.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        // A cast keeps to 0 and 255, whatever a broken recording makes of it.
        loudness.iter().map(|loudness| (loudness / loudest * 255.0).round() as u8).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ear(notes: Vec<f32>) -> Ear {
        let decoder = Decoder::Opus(Box::new(OpusDecoder::new(OPUS_RATE, 1).unwrap()));
        Ear { track: 0, decoder, samples: Vec::new(), notes, pending: (0.0, 0) }
    }

    #[test]
    fn a_waveform_is_as_long_as_it_can_be() {
        assert_eq!(ear(Vec::new()).waveform(), Vec::<u8>::new());
        assert_eq!(ear(vec![0.0; 3]).waveform(), [0; 3], "silence");
        assert_eq!(ear(vec![0.01, 0.04]).waveform(), [128, 255]);
        let long = ear((0..12_345).map(|note| if note < 6_000 { 0.0 } else { 0.5 }).collect()).waveform();
        assert_eq!(long.len(), STRETCHES);
        assert!(
            long[..48].iter().all(|loudness| *loudness == 0)
                && long[49..].iter().all(|loudness| *loudness == 255)
        );
        drop(ear(vec![f32::NAN, f32::INFINITY, 0.1]).waveform());
    }
}

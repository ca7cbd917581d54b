//! How a job and its answer look between caller and child: numbers big-endian, texts and bytes after their length.

use std::io::{self, Read};

use alivio_files::{Looks, Rendition, Sound, Stamp};
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{LONGEST_CONTENT, Refusal};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task {
    Look,
    Strip,
    Listen,
    Stamp(Stamp),
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Product {
    Looks(Looks),
    Copy(Bytes),
    Sound(Sound),
}

const LOOK: u8 = 1;
const STRIP: u8 = 2;
const LISTEN: u8 = 3;
const STAMP: u8 = 4;

const LOOKS: u8 = 1;
const COPY: u8 = 2;
const SOUND: u8 = 3;
const UNFIT: u8 = 4;
const UNSUPPORTED: u8 = 5;

const PNG: u8 = 1;
const JPEG: u8 = 2;

/// The longest part of a job besides its content.
const LONGEST_WORDS: usize = 64 << 10;

/// What goes before the content; nothing if it is too long to be a job.
pub(crate) fn head(task: &Task, mime: &str, content: &[u8]) -> Option<Bytes> {
    let mut words = BytesMut::new();
    let lines: &[String] = match task {
        Task::Look => put_kind(&mut words, LOOK),
        Task::Strip => put_kind(&mut words, STRIP),
        Task::Listen => put_kind(&mut words, LISTEN),
        Task::Stamp(stamp) => {
            words.put_u8(STAMP);
            &stamp.lines
        }
    };
    put_bytes(&mut words, mime.as_bytes());
    words.put_u64(lines.len() as u64);
    for line in lines {
        put_bytes(&mut words, line.as_bytes());
    }
    if words.len() > LONGEST_WORDS || content.len() > LONGEST_CONTENT {
        return None;
    }
    let mut head = BytesMut::new();
    put_bytes(&mut head, &words);
    head.put_u64(content.len() as u64);
    Some(head.freeze())
}

fn put_kind(words: &mut BytesMut, kind: u8) -> &'static [String] {
    words.put_u8(kind);
    &[]
}

/// Reads one job to its last byte: its words, and its content.
pub(crate) fn read_job(from: &mut impl Read) -> io::Result<(Bytes, Bytes)> {
    let words = read_part(from, LONGEST_WORDS)?;
    Ok((words.into(), read_part(from, LONGEST_CONTENT)?.into()))
}

fn read_part(from: &mut impl Read, longest: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u64::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > longest {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut part = vec![0; length];
    from.read_exact(&mut part)?;
    Ok(part)
}

/// The task and the content's type.
pub(crate) fn parse_words(mut words: Bytes) -> Option<(Task, String)> {
    let kind = words.try_get_u8().ok()?;
    let mime = take_text(&mut words)?;
    let mut lines = Vec::new();
    for _ in 0..words.try_get_u64().ok()? {
        lines.push(take_text(&mut words)?);
    }
    let task = match kind {
        LOOK => Task::Look,
        STRIP => Task::Strip,
        LISTEN => Task::Listen,
        STAMP => Task::Stamp(Stamp { lines }),
        _ => return None,
    };
    Some((task, mime))
}

/// An answer as the child writes it.
pub(crate) fn answer(product: &Result<Product, Refusal>) -> Bytes {
    let mut bytes = BytesMut::new();
    match product {
        Ok(Product::Looks(looks)) => {
            bytes.put_u8(LOOKS);
            bytes.put_u32(looks.pages);
            put_rendition(&mut bytes, &looks.thumbnail);
            put_rendition(&mut bytes, &looks.preview);
        }
        Ok(Product::Copy(copy)) => {
            bytes.put_u8(COPY);
            put_bytes(&mut bytes, copy);
        }
        Ok(Product::Sound(sound)) => {
            bytes.put_u8(SOUND);
            bytes.put_u64(sound.duration_ms);
            put_bytes(&mut bytes, &sound.waveform);
        }
        Err(Refusal::Unfit) => bytes.put_u8(UNFIT),
        Err(Refusal::Unsupported) => bytes.put_u8(UNSUPPORTED),
    }
    bytes.freeze()
}

/// Reads an answer; one that is no whole answer, as of a child that died over it, is [`Refusal::Unfit`].
pub(crate) fn parse_answer(mut bytes: Bytes) -> Result<Product, Refusal> {
    if bytes.as_ref() == [UNSUPPORTED] {
        return Err(Refusal::Unsupported);
    }
    let product = parse_product(&mut bytes).ok_or(Refusal::Unfit)?;
    if bytes.is_empty() { Ok(product) } else { Err(Refusal::Unfit) }
}

fn parse_product(bytes: &mut Bytes) -> Option<Product> {
    Some(match bytes.try_get_u8().ok()? {
        LOOKS => {
            let pages = bytes.try_get_u32().ok()?;
            let (thumbnail, preview) = (take_rendition(bytes)?, take_rendition(bytes)?);
            Product::Looks(Looks { thumbnail, preview, pages })
        }
        COPY => Product::Copy(take_bytes(bytes)?),
        SOUND => {
            let duration_ms = bytes.try_get_u64().ok()?;
            Product::Sound(Sound { duration_ms, waveform: take_bytes(bytes)?.to_vec() })
        }
        _ => return None,
    })
}

fn put_rendition(bytes: &mut BytesMut, rendition: &Rendition) {
    bytes.put_u8(if rendition.mime == "image/png" { PNG } else { JPEG });
    bytes.put_u32(rendition.width);
    bytes.put_u32(rendition.height);
    put_bytes(bytes, &rendition.bytes);
}

fn take_rendition(bytes: &mut Bytes) -> Option<Rendition> {
    let mime = match bytes.try_get_u8().ok()? {
        PNG => "image/png",
        JPEG => "image/jpeg",
        _ => return None,
    };
    let (width, height) = (bytes.try_get_u32().ok()?, bytes.try_get_u32().ok()?);
    Some(Rendition { bytes: take_bytes(bytes)?, mime, width, height })
}

fn put_bytes(bytes: &mut BytesMut, part: &[u8]) {
    bytes.put_u64(part.len() as u64);
    bytes.put_slice(part);
}

fn take_bytes(bytes: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(bytes.try_get_u64().ok()?).ok()?;
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

fn take_text(bytes: &mut Bytes) -> Option<String> {
    String::from_utf8(take_bytes(bytes)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendition(mime: &'static str) -> Rendition {
        Rendition { bytes: Bytes::from_static(b"pixels"), mime, width: 3, height: 2 }
    }

    #[test]
    fn jobs_arrive_as_they_were_sent() {
        let stamp = Stamp { lines: vec!["Dra. Núñez".to_owned(), String::new()] };
        for task in [Task::Look, Task::Strip, Task::Listen, Task::Stamp(stamp)] {
            let content = b"content".to_vec();
            let sent = [&head(&task, "image/png", &content).unwrap()[..], &content].concat();
            let (words, read) = read_job(&mut &sent[..]).unwrap();
            assert_eq!(parse_words(words), Some((task, "image/png".to_owned())));
            assert_eq!(read, content);
            for end in 0..sent.len() {
                assert!(read_job(&mut &sent[..end]).is_err(), "cut at {end}");
            }
        }
    }

    #[test]
    fn what_is_too_long_is_no_job() {
        let stamp = Stamp { lines: vec!["x".repeat(LONGEST_WORDS)] };
        assert!(head(&Task::Stamp(stamp), "image/png", b"").is_none());
        assert!(head(&Task::Look, "image/png", &vec![0; LONGEST_CONTENT + 1]).is_none());
    }

    #[test]
    fn answers_arrive_as_they_were_given_and_cut_ones_are_none() {
        let looks = Looks { thumbnail: rendition("image/png"), preview: rendition("image/jpeg"), pages: 7 };
        for product in [
            Ok(Product::Looks(looks)),
            Ok(Product::Copy(Bytes::from_static(b"copy"))),
            Ok(Product::Sound(Sound { duration_ms: 1_234, waveform: vec![0, 255] })),
            Err(Refusal::Unfit),
            Err(Refusal::Unsupported),
        ] {
            let sent = answer(&product);
            assert_eq!(parse_answer(sent.clone()), product);
            for end in 0..sent.len() {
                assert_eq!(parse_answer(sent.slice(..end)), Err(Refusal::Unfit));
            }
            let longer = Bytes::from([&sent[..], b"x"].concat());
            assert_eq!(parse_answer(longer), Err(Refusal::Unfit));
        }
    }

    /// A child that was taken over may say anything.
    #[test]
    fn no_answer_harms() {
        for kind in 0..=6 {
            for length in [0, 1, 255, u64::MAX] {
                for end in 0..40 {
                    let said = [&[kind], &[0; 4][..], &[JPEG; 9], &length.to_be_bytes(), &[7; 18]].concat();
                    drop(parse_answer(Bytes::from(said).slice(..end)));
                }
            }
        }
    }
}

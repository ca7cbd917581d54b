use alivio_kernel::{FieldError, Rule};

use crate::{Error, FileKind};

/// So many bytes at the beginning tell what something is.
pub const HEAD: usize = 4096;

/// What the bytes of a file are (C-21). The only list of allowed types there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Portable document.
    Pdf,
    /// Photo.
    Jpeg,
    /// Picture.
    Png,
    /// Word document of old.
    Doc,
    /// Word document.
    Docx,
    /// Sound.
    Mp3,
    /// Moving pictures.
    Mp4,
    /// Sound in the same container, as telephones record it.
    M4a,
    /// Moving pictures, or sound as browsers record it.
    Webm,
    /// Sound, as browsers record it.
    Ogg,
}

/// What limits and previews go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// To be read.
    Document,
    /// To be looked at.
    Image,
    /// To be listened to.
    Audio,
    /// To be watched.
    Video,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 4] = [Self::Document, Self::Image, Self::Audio, Self::Video];

    /// Its name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

impl Format {
    /// Every format that is taken.
    pub const ALL: [Self; 10] = [
        Self::Pdf,
        Self::Jpeg,
        Self::Png,
        Self::Doc,
        Self::Docx,
        Self::Mp3,
        Self::Mp4,
        Self::M4a,
        Self::Webm,
        Self::Ogg,
    ];

    /// The usual ending of its names: also its name in storage and JSON.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Doc => "doc",
            Self::Docx => "docx",
            Self::Mp3 => "mp3",
            Self::Mp4 => "mp4",
            Self::M4a => "m4a",
            Self::Webm => "webm",
            Self::Ogg => "ogg",
        }
    }

    /// The endings of all that is taken.
    pub fn extensions() -> Vec<&'static str> {
        Self::ALL.map(Self::extension).to_vec()
    }

    /// The format of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.extension() == name)
    }

    /// Its media type; that of sound if it `is_audio`.
    pub const fn mime(self, is_audio: bool) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Doc => "application/msword",
            Self::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            Self::Mp3 => "audio/mpeg",
            Self::Mp4 if is_audio => "audio/mp4",
            Self::Mp4 => "video/mp4",
            Self::M4a => "audio/mp4",
            Self::Webm if is_audio => "audio/webm",
            Self::Webm => "video/webm",
            Self::Ogg => "audio/ogg",
        }
    }

    /// What it is if nothing else is said.
    pub const fn class(self) -> Class {
        match self {
            Self::Pdf | Self::Doc | Self::Docx => Class::Document,
            Self::Jpeg | Self::Png => Class::Image,
            Self::Mp3 | Self::M4a | Self::Ogg => Class::Audio,
            Self::Mp4 | Self::Webm => Class::Video,
        }
    }

    /// Its class as `kind`: containers of moving pictures may hold sound alone.
    pub fn class_as(self, kind: FileKind) -> Class {
        if kind == FileKind::Audio { Class::Audio } else { self.class() }
    }

    /// Whether a file of this format can be of `kind`.
    pub const fn suits(self, kind: FileKind) -> bool {
        match kind {
            FileKind::LabResult | FileKind::Prescription => {
                matches!(self.class(), Class::Document | Class::Image)
            }
            FileKind::Document => matches!(self.class(), Class::Document),
            FileKind::Image => matches!(self.class(), Class::Image),
            FileKind::Audio => matches!(self.class(), Class::Audio | Class::Video),
            FileKind::Video => matches!(self.class(), Class::Video),
        }
    }

    /// Whether something can be drawn into it.
    pub const fn takes_watermark(self) -> bool {
        matches!(self, Self::Pdf | Self::Jpeg | Self::Png)
    }

    /// Whether it tells where and by what a photo was taken.
    pub const fn has_camera_data(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png)
    }

    /// Other endings of its names.
    const fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Pdf => &["pdf"],
            Self::Jpeg => &["jpg", "jpeg", "jpe", "jfif"],
            Self::Png => &["png"],
            Self::Doc => &["doc"],
            Self::Docx => &["docx"],
            Self::Mp3 => &["mp3"],
            Self::Mp4 => &["mp4", "m4v", "m4a"],
            Self::M4a => &["m4a", "mp4"],
            Self::Webm => &["webm", "weba"],
            Self::Ogg => &["ogg", "oga", "opus"],
        }
    }

    /// What senders call it.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Pdf => &["application/pdf"],
            Self::Jpeg => &["image/jpeg", "image/jpg", "image/pjpeg"],
            Self::Png => &["image/png", "image/x-png"],
            Self::Doc => &["application/msword"],
            Self::Docx => &["application/vnd.openxmlformats-officedocument.wordprocessingml.document"],
            Self::Mp3 => &["audio/mpeg", "audio/mp3", "audio/x-mp3", "audio/mpeg3"],
            Self::Mp4 => &["video/mp4", "audio/mp4", "video/x-m4v", "application/mp4"],
            Self::M4a => &["audio/mp4", "audio/x-m4a", "audio/m4a", "audio/aac", "video/mp4"],
            Self::Webm => &["video/webm", "audio/webm"],
            Self::Ogg => &["audio/ogg", "audio/opus", "audio/vorbis", "application/ogg"],
        }
    }

    /// Checks that neither the ending of a name nor the type that its sender says it has contradicts the content (FI-01).
    ///
    /// # Errors
    /// [`Error::TypeNotAllowed`].
    pub fn check_words(self, extension: Option<&str>, mime: Option<&str>) -> Result<(), Error> {
        let is_other = |extension: &str| !self.endings().contains(&extension.to_ascii_lowercase().as_str());
        let mime = mime.map(|mime| mime.split(';').next().unwrap_or("").trim().to_ascii_lowercase());
        // What says nothing contradicts nothing.
        let mime = mime.filter(|mime| !mime.is_empty() && mime != "application/octet-stream");
        let is_misnamed = mime.is_some_and(|mime| !self.names().contains(&&*mime));
        if extension.is_some_and(is_other) || is_misnamed {
            return Err(Error::TypeNotAllowed { found: "mismatch" });
        }
        Ok(())
    }
}

/// What the beginning of something tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guess {
    /// What it is.
    Format(Format),
    /// An archive, which may be a [`Format::Docx`].
    Archive,
    /// Streams in a file, which may be a [`Format::Doc`].
    Streams,
}

impl Guess {
    /// What it is if it is allowed at all.
    pub const fn at_best(self) -> Format {
        match self {
            Self::Format(format) => format,
            Self::Archive => Format::Docx,
            Self::Streams => Format::Doc,
        }
    }
}

/// What something is that begins with `head`: its first [`HEAD`] bytes, or all of it.
///
/// # Errors
/// [`Error::TypeNotAllowed`] names what it looks like.
pub fn sniff(head: &[u8]) -> Result<Guess, Error> {
    use Guess::{Archive, Streams};
    let refused = |found| Err(Error::TypeNotAllowed { found });
    let of = |format| Ok(Guess::Format(format));
    match head {
        [b'%', b'P', b'D', b'F', b'-', ..] => of(Format::Pdf),
        [0xff, 0xd8, 0xff, ..] => of(Format::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => of(Format::Png),
        [b'P', b'K', 3, 4, ..] => Ok(Archive),
        [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1, ..] => Ok(Streams),
        [b'O', b'g', b'g', b'S', ..] => of(Format::Ogg),
        [b'I', b'D', b'3', ..] => of(Format::Mp3),
        [0x1a, 0x45, 0xdf, 0xa3, rest @ ..] if contains(&rest[..rest.len().min(64)], b"webm") => {
            of(Format::Webm)
        }
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => brand_of(brand),
        [0xff, second, third, ..] if is_mp3(*second, *third) => of(Format::Mp3),
        [b'M', b'Z', ..]
        | [0x7f, b'E', b'L', b'F', ..]
        | [b'#', b'!', ..]
        | [0xca, 0xfe, 0xba, 0xbe, ..]
        | [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] => refused("executable"),
        [b'G', b'I', b'F', b'8', ..]
        | [b'B', b'M', ..]
        | [b'I', b'I', b'*', 0, ..]
        | [b'M', b'M', 0, b'*', ..] => refused("image"),
        [b'R', b'I', b'F', b'F', ..] => refused("media"),
        [0x1f, 0x8b, ..] | [b'7', b'z', 0xbc, 0xaf, ..] | [b'R', b'a', b'r', b'!', ..] | [b'P', b'K', ..] => {
            refused("archive")
        }
        _ if has_markup(head) => refused("markup"),
        _ => refused("unknown"),
    }
}

fn brand_of(brand: &[u8]) -> Result<Guess, Error> {
    const PICTURES: [&[u8]; 6] = [b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis"];
    match brand.get(..4) {
        Some(b"M4A " | b"M4B ") => Ok(Guess::Format(Format::M4a)),
        Some(brand) if PICTURES.contains(&brand) => Err(Error::TypeNotAllowed { found: "image" }),
        Some(b"qt  ") => Err(Error::TypeNotAllowed { found: "media" }),
        Some(_) => Ok(Guess::Format(Format::Mp4)),
        None => Err(Error::TypeNotAllowed { found: "unknown" }),
    }
}

/// The first bytes of a frame of MPEG audio, layer III, with rates that exist.
const fn is_mp3(second: u8, third: u8) -> bool {
    second & 0xe0 == 0xe0
        && second & 0x18 != 0x08
        && second & 0x06 == 0x02
        && third & 0xf0 != 0xf0
        && third & 0xf0 != 0
        && third & 0x0c != 0x0c
}

/// Whether a browser that guesses might take it for a page or a drawing.
pub(crate) fn has_markup(head: &[u8]) -> bool {
    const WORDS: [&[u8]; 7] = [b"<!doctype", b"<html", b"<script", b"<svg", b"<body", b"<iframe", b"<?php"];
    let lower = head.to_ascii_lowercase();
    WORDS.iter().any(|word| contains(&lower, word))
}

pub(crate) fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

impl std::str::FromStr for Class {
    type Err = FieldError;
    fn from_str(s: &str) -> Result<Self, FieldError> {
        Self::ALL.into_iter().find(|c| c.as_str() == s).ok_or(FieldError::new("class", Rule::Unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(head: &[u8]) -> &'static str {
        match sniff(head) {
            Err(Error::TypeNotAllowed { found }) => found,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn content_tells_what_it_is() {
        let cases: [(&[u8], Format); 11] = [
            (b"%PDF-1.7\n", Format::Pdf),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", Format::Jpeg),
            (b"\x89PNG\r\n\x1a\n\0\0", Format::Png),
            (b"PK\x03\x04\x14\0", Format::Docx),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", Format::Doc),
            (b"ID3\x04\0", Format::Mp3),
            (b"\xff\xfb\x90\x64", Format::Mp3),
            (b"\0\0\0\x20ftypisom\0\0", Format::Mp4),
            (b"\0\0\0\x20ftypM4A \0\0", Format::M4a),
            (b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1f\x42\x82\x84webm", Format::Webm),
            (b"OggS\0\x02", Format::Ogg),
        ];
        for (head, format) in cases {
            assert_eq!(sniff(head).unwrap().at_best(), format);
        }
    }

    #[test]
    fn what_is_not_listed_is_refused_by_its_name() {
        for (head, name) in [
            (&b"MZ\x90\0"[..], "executable"),
            (b"\x7fELF\x02", "executable"),
            (b"#!/bin/sh\n", "executable"),
            (b"<svg xmlns=", "markup"),
            (b"\xef\xbb\xbf <!DOCTYPE html>", "markup"),
            (b"<?xml version='1.0'?><SVG>", "markup"),
            (b"GIF89a", "image"),
            (b"\0\0\0\x20ftypheic\0\0", "image"),
            (b"\x1a\x45\xdf\xa3\x01\0\0\0\x42\x82\x88matroska", "unknown"),
            (b"\x1f\x8b\x08", "archive"),
            (b"hola", "unknown"),
            (b"\xff\xf1\x50\x80", "unknown"),
            (b"", "unknown"),
        ] {
            assert_eq!(found(head), name, "{head:?}");
        }
    }

    #[test]
    fn words_about_a_file_must_not_contradict_it() {
        Format::Jpeg.check_words(Some("JPEG"), Some("image/jpeg")).unwrap();
        Format::Pdf.check_words(None, Some("application/octet-stream")).unwrap();
        Format::Webm.check_words(Some("webm"), Some("audio/webm;codecs=opus")).unwrap();
        for (extension, mime) in [
            (Some("exe"), None),
            (Some("pdf"), None),
            (None, Some("text/html")),
            (Some("png"), Some("image/jpeg")),
        ] {
            assert!(Format::Jpeg.check_words(extension, mime).is_err(), "{extension:?} {mime:?}");
        }
    }

    #[test]
    fn every_format_suits_some_kind_and_every_kind_some_format() {
        for format in Format::ALL {
            assert!(FileKind::ALL.iter().any(|kind| format.suits(*kind)));
            assert_eq!(Format::parse(format.extension()), Some(format));
            assert!(
                format.names().contains(&format.mime(false)) && format.names().contains(&format.mime(true))
            );
        }
        for kind in FileKind::ALL {
            assert!(Format::ALL.iter().any(|format| format.suits(kind)));
        }
    }
}

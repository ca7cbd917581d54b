//! What a file's structure tells beyond its first bytes. Nothing here unpacks anything.

use std::ops::Range;

use super::format::{contains, has_markup};
use crate::{Error, Format, Unfit};

/// So far from the end an archive's directory is announced at the latest.
pub(crate) const TAIL: u64 = END as u64 + 0xffff;

const END: usize = 22;
const END_SIGNATURE: &[u8] = b"PK\x05\x06";
const ENTRY: usize = 46;
const ENTRY_SIGNATURE: &[u8] = b"PK\x01\x02";
/// A larger directory has more entries than anybody needs.
const MAX_DIRECTORY: u64 = 512 * 1024;
const MAX_ENTRIES: usize = 1000;
/// What all entries unpack to at most.
const MAX_UNPACKED: u64 = 200 * 1024 * 1024;
/// What an entry unpacks to at most, times its packed size. Small ones compress well and do no harm.
const MAX_RATIO: u64 = 100;
const SMALL: u64 = 1024 * 1024;

/// Where the directory of an archive is, and how many entries it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Within the file.
    pub place: Range<u64>,
    entries: usize,
}

fn broken<T>() -> Result<T, Error> {
    Err(Error::Unfit(Unfit::Broken))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Where the announcement of a directory begins in the end of a file, if there is one that reaches exactly to it.
fn announcement(tail: &[u8]) -> Option<usize> {
    let last = tail.len().checked_sub(END)?;
    (0..=last).rev().find(|at| {
        tail[*at..].starts_with(END_SIGNATURE)
            && u16_at(tail, at + 20).is_some_and(|comment| usize::from(comment) == tail.len() - at - END)
    })
}

/// Refuses what begins as `format` and is something else as well (FI-02): a page in its beginning, an archive at its end.
///
/// # Errors
/// [`Unfit::Polyglot`].
pub fn check_ends(format: Format, head: &[u8], tail: &[u8]) -> Result<(), Error> {
    let is_archive = format != Format::Docx && announcement(tail).is_some();
    // A page may call its drawings what it likes; only what stands at the beginning is guessed by.
    let is_page = has_markup(&head[..head.len().min(1024)]);
    if is_archive || is_page { Err(Error::Unfit(Unfit::Polyglot)) } else { Ok(()) }
}

/// Word documents, which are archives (FI-05).
pub mod docx {
    use super::*;

    /// Where the directory of an archive of `size` bytes is that ends with `tail`.
    ///
    /// # Errors
    /// [`Unfit::Broken`], [`Unfit::Bomb`].
    pub fn directory(tail: &[u8], size: u64) -> Result<Directory, Error> {
        let Some(at) = announcement(tail) else { return broken() };
        let number = |offset| u32_at(tail, at + offset).map(u64::from);
        let (Some(entries), Some(length), Some(start)) = (u16_at(tail, at + 10), number(12), number(16))
        else {
            return broken();
        };
        let announced_at = size - (tail.len() - at) as u64;
        // Of several volumes, or with 64-bit fields: no document is.
        if u32_at(tail, at + 4) != Some(0) || start + length != announced_at {
            return broken();
        }
        if usize::from(entries) > MAX_ENTRIES || length > MAX_DIRECTORY {
            return Err(Error::Unfit(Unfit::Bomb));
        }
        Ok(Directory { place: start..start + length, entries: entries.into() })
    }

    /// Judges the entries of an archive.
    ///
    /// # Errors
    /// [`Error::TypeNotAllowed`] for archives that are no documents; [`Error::Unfit`].
    pub fn judge(directory: &Directory, bytes: &[u8]) -> Result<(), Error> {
        let (mut rest, mut spans, mut unpacked) = (bytes, Vec::new(), 0_u64);
        let (mut has_types, mut has_words) = (false, false);
        while !rest.is_empty() {
            let (entry, after) = Entry::read(rest).map_or_else(broken, Ok)?;
            rest = after;
            if entry.flags & 1 != 0 {
                return Err(Error::Unfit(Unfit::Encrypted));
            }
            if !matches!(entry.method, 0 | 8) || entry.is_wide() {
                return broken();
            }
            unpacked += entry.unpacked;
            let is_bomb = entry.unpacked > SMALL && entry.unpacked / entry.packed.max(1) > MAX_RATIO;
            if is_bomb || unpacked > MAX_UNPACKED || entry.is_archive() {
                return Err(Error::Unfit(Unfit::Bomb));
            }
            if entry.name.ends_with("vbaproject.bin") {
                return Err(Error::Unfit(Unfit::Macros));
            }
            has_types |= entry.name == "[content_types].xml";
            has_words |= entry.name == "word/document.xml";
            spans.push(entry.start..entry.start + 30 + entry.name.len() as u64 + entry.packed);
        }
        if !has_types || !has_words {
            return Err(Error::TypeNotAllowed { found: "archive" });
        }
        check_spans(directory, spans)
    }

    /// Entries stand one behind the other from the beginning on, so that none is unpacked twice.
    fn check_spans(directory: &Directory, mut spans: Vec<Range<u64>>) -> Result<(), Error> {
        if spans.len() != directory.entries {
            return broken();
        }
        spans.sort_unstable_by_key(|span| span.start);
        if spans.first().is_some_and(|span| span.start != 0) {
            return Err(Error::Unfit(Unfit::Polyglot));
        }
        let ends = spans.iter().skip(1).map(|span| span.start).chain([directory.place.start]);
        let overlaps = spans.iter().zip(ends).any(|(span, end)| span.end > end);
        if overlaps { Err(Error::Unfit(Unfit::Bomb)) } else { Ok(()) }
    }

    struct Entry {
        flags: u16,
        method: u16,
        packed: u64,
        unpacked: u64,
        start: u64,
        name: String,
    }

    impl Entry {
        /// The first entry, and what stands behind it.
        fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
            if !bytes.starts_with(ENTRY_SIGNATURE) {
                return None;
            }
            let length = |at| u16_at(bytes, at).map(usize::from);
            let name_end = ENTRY + length(28)?;
            let entry = Self {
                flags: u16_at(bytes, 8)?,
                method: u16_at(bytes, 10)?,
                packed: u32_at(bytes, 20)?.into(),
                unpacked: u32_at(bytes, 24)?.into(),
                start: u32_at(bytes, 42)?.into(),
                name: String::from_utf8_lossy(bytes.get(ENTRY..name_end)?).to_lowercase(),
            };
            Some((entry, bytes.get(name_end + length(30)? + length(32)?..)?))
        }

        /// Whether the true numbers stand elsewhere.
        const fn is_wide(&self) -> bool {
            let wide = u32::MAX as u64;
            self.packed == wide || self.unpacked == wide || self.start == wide
        }

        fn is_archive(&self) -> bool {
            const ENDINGS: [&str; 12] = [
                ".zip", ".docx", ".xlsx", ".pptx", ".jar", ".7z", ".rar", ".gz", ".bz2", ".xz", ".tar",
                ".cab",
            ];
            ENDINGS.iter().any(|ending| self.name.ends_with(ending))
        }
    }
}

/// Word documents of old, which are streams in a file.
pub mod doc {
    use super::*;

    /// Where the list of streams begins.
    ///
    /// # Errors
    /// [`Unfit::Broken`].
    pub fn directory(head: &[u8], size: u64) -> Result<Range<u64>, Error> {
        let (Some(shift @ (9 | 12)), Some(sector)) = (u16_at(head, 0x1e), u32_at(head, 0x30)) else {
            return broken();
        };
        let start = (u64::from(sector) + 1) << shift;
        if start + 128 > size {
            return broken();
        }
        Ok(start..size.min(start + 4096))
    }

    /// Judges the first streams.
    ///
    /// # Errors
    /// [`Error::TypeNotAllowed`] for what is no Word document: tables, installers.
    pub fn judge(directory: &[u8]) -> Result<(), Error> {
        let name = |stream: &str| stream.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        if !contains(directory, &name("WordDocument")) {
            return Err(Error::TypeNotAllowed { found: "document" });
        }
        if contains(directory, &name("_VBA_PROJECT")) {
            return Err(Error::Unfit(Unfit::Macros));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry: name, packed and unpacked size, flags; and where it says that it begins, if not where it does.
    type Planned<'a> = (&'a str, u32, u32, u16, Option<u32>);

    const TYPES: Planned<'_> = ("[Content_Types].xml", 100, 300, 0, None);
    const WORDS: Planned<'_> = ("word/document.xml", 200, 900, 0, None);

    fn archive(entries: &[Planned<'_>]) -> Vec<u8> {
        let (mut file, mut directory) = (Vec::new(), Vec::new());
        for (name, packed, unpacked, flags, start) in entries {
            let start = start.unwrap_or_else(|| u32::try_from(file.len()).unwrap());
            let length = u16::try_from(name.len()).unwrap();
            file.extend(b"PK\x03\x04");
            file.extend([0; 26]);
            file.extend(name.as_bytes());
            file.extend(vec![0; (*packed).min(4096) as usize]);
            directory.extend(ENTRY_SIGNATURE);
            directory.extend([0; 4]);
            directory.extend(flags.to_le_bytes());
            directory.extend(8_u16.to_le_bytes());
            directory.extend([0; 8]);
            directory.extend(packed.to_le_bytes());
            directory.extend(unpacked.to_le_bytes());
            directory.extend(length.to_le_bytes());
            directory.extend([0; 12]);
            directory.extend(start.to_le_bytes());
            directory.extend(name.as_bytes());
        }
        let (start, length) = (u32::try_from(file.len()).unwrap(), u32::try_from(directory.len()).unwrap());
        let count = u16::try_from(entries.len()).unwrap();
        file.extend(directory);
        file.extend(END_SIGNATURE);
        file.extend([0; 4]);
        file.extend(count.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(length.to_le_bytes());
        file.extend(start.to_le_bytes());
        file.extend([0; 2]);
        file
    }

    fn judged(file: &[u8]) -> Result<(), Error> {
        let directory = docx::directory(file, file.len() as u64)?;
        let place =
            usize::try_from(directory.place.start).unwrap()..usize::try_from(directory.place.end).unwrap();
        docx::judge(&directory, &file[place])
    }

    fn reason(result: Result<(), Error>) -> &'static str {
        match result {
            Ok(()) => "fine",
            Err(Error::Unfit(why)) => why.as_str(),
            Err(Error::TypeNotAllowed { found }) => found,
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_document_is_an_archive_with_words_in_it() {
        assert_eq!(reason(judged(&archive(&[TYPES, WORDS]))), "fine");
        assert_eq!(reason(judged(&archive(&[TYPES, ("xl/workbook.xml", 10, 10, 0, None)]))), "archive");
        assert_eq!(reason(judged(&archive(&[WORDS]))), "archive");
        assert_eq!(reason(judged(b"PK\x03\x04 and nothing more")), "broken");
    }

    #[test]
    fn bombs_are_seen_by_their_directory() {
        let with = |entry| reason(judged(&archive(&[TYPES, WORDS, entry])));
        assert_eq!(with(("word/media/a.bin", 4000, 4_000_000_000, 0, None)), "bomb", "ratio");
        assert_eq!(with(("word/embeddings/inner.zip", 10, 10, 0, None)), "bomb", "nested");
        assert_eq!(with(("word/media/again.bin", 300, 300, 0, Some(0))), "bomb", "overlapping");
        assert_eq!(with(("word/vbaProject.bin", 10, 10, 0, None)), "macros");
        assert_eq!(with(("word/secret.xml", 10, 10, 1, None)), "encrypted");
        let many: Vec<_> = (0..1001).map(|n| format!("word/{n}.xml")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), 1, 1, 0, None)).collect();
        assert_eq!(reason(judged(&archive(&many))), "bomb", "entries");
    }

    #[test]
    fn what_stands_before_or_behind_an_archive_makes_it_two_things() {
        let document = archive(&[TYPES, WORDS]);
        assert_eq!(reason(judged(&[b"%PDF-1.7\n", &*document].concat())), "broken");
        let hidden = [b"%PDF-1.7\n", &*document].concat();
        assert_eq!(reason(check_ends(Format::Pdf, &hidden, &hidden)), "polyglot");
        assert_eq!(reason(check_ends(Format::Docx, &document, &document)), "fine");
        let page = b"%PDF-1.7\n<HTML><script>alert(1)</script>";
        assert_eq!(reason(check_ends(Format::Pdf, page, page)), "polyglot");
        let photo = b"\xff\xd8\xff\xfe\0\x20*/=1;<script src=x>";
        assert_eq!(reason(check_ends(Format::Jpeg, photo, photo)), "polyglot");
        assert_eq!(reason(check_ends(Format::Pdf, b"%PDF-1.7\n%%EOF", b"%PDF-1.7\n%%EOF")), "fine");
    }

    #[test]
    fn cut_anywhere_an_archive_is_refused_and_nothing_breaks() {
        let document = archive(&[TYPES, WORDS]);
        for length in 0..document.len() {
            assert!(judged(&document[..length]).is_err(), "{length}");
        }
        for at in 0..document.len() {
            let mut changed = document.clone();
            changed[at] ^= 0xff;
            drop(judged(&changed));
        }
    }

    #[test]
    fn of_streams_only_those_of_a_document_will_do() {
        let mut file = vec![0; 4096];
        file[0x1e] = 9;
        file[0x30] = 2;
        let place = doc::directory(&file, 4096).unwrap();
        assert_eq!(place, 1536..4096);
        let stream = |name: &str| name.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        assert_eq!(reason(doc::judge(&stream("Root Entry WordDocument"))), "fine");
        assert_eq!(reason(doc::judge(&stream("Workbook"))), "document");
        assert_eq!(reason(doc::judge(&stream("WordDocument _VBA_PROJECT"))), "macros");
        file[0x30..0x34].copy_from_slice(&[0xfe, 0xff, 0xff, 0xff]);
        assert!(doc::directory(&file, 4096).is_err());
    }
}

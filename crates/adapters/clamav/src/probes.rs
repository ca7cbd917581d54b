//! Small files by which a scanner shows what it does.

/// So many archives one in another are more than any clamd unpacks.
const DEPTH: usize = 128;
/// Of an entry of an archive: it is encrypted.
const LOCKED: u16 = 1;

/// An archive in an archive, and so on.
pub(crate) fn deep() -> Vec<u8> {
    (0..DEPTH).fold(b"nothing".to_vec(), |inside, _| zip(&inside, 0))
}

/// An archive that only its owner can open.
pub(crate) fn locked() -> Vec<u8> {
    // Twelve bytes of the cipher come first.
    zip(&[0x5a; 12 + 64], LOCKED)
}

/// A ZIP archive with one entry that is not compressed (APPNOTE 4.3). Nobody checks its sum.
fn zip(content: &[u8], flags: u16) -> Vec<u8> {
    const NAME: &[u8] = b"a.zip";
    let size = u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes();
    // Version, flags, stored, no time, no sum, size twice, lengths of name and extra field.
    let entry =
        [&[20, 0][..], &flags.to_le_bytes(), &[0; 10], &size, &size, &[NAME.len() as u8, 0, 0, 0]].concat();
    let local = [b"PK\x03\x04", &entry[..], NAME, content].concat();
    let central = [b"PK\x01\x02\x14\x00", &entry[..], &[0; 14], NAME].concat();
    let [offset, length] =
        [local.len(), central.len()].map(|n| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes());
    let end = [b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &length[..], &offset, &[0; 2]].concat();
    [local, central, end].concat()
}

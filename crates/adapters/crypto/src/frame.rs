//! What is authenticated without being stored: fields in a row, each after its length.

/// `parts` such that no other parts give the same bytes: `ab|c` is not `a|bc`.
pub(crate) fn frame(parts: &[&[u8]]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(parts.iter().map(|part| 8 + part.len()).sum());
    for part in parts {
        framed.extend_from_slice(&(part.len() as u64).to_be_bytes());
        framed.extend_from_slice(part);
    }
    framed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_between_parts_count() {
        assert_ne!(frame(&[b"ab", b"c"]), frame(&[b"a", b"bc"]));
        assert_ne!(frame(&[b"a", b""]), frame(&[b"a"]));
        assert_eq!(frame(&[b"a"]), [0, 0, 0, 0, 0, 0, 0, 1, b'a']);
    }
}

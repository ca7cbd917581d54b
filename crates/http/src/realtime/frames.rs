//! What a device announces, before it has sent it.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures_util::{Stream, StreamExt};

/// The largest frame, and the largest message in several frames.
pub(super) const MAX_FRAME: usize = 64 * 1024;
/// Frames of one message. Each is kept until the message is whole, however small it is.
const MAX_PARTS: u32 = 1024;

/// The bytes of a socket, until a frame announces more than [`MAX_FRAME`], or a message has too many parts (WS-06).
///
/// What decodes the frames keeps all that comes of one until it is whole, and refuses it only then.
pub(super) fn guarded(bytes: Payload) -> Payload {
    Payload::Stream { payload: Box::pin(Guarded { bytes, frames: Frames::default(), is_over: false }) }
}

struct Guarded {
    bytes: Payload,
    frames: Frames,
    is_over: bool,
}

impl Stream for Guarded {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let next = self.bytes.poll_next_unpin(context);
        if let Poll::Ready(Some(Ok(bytes))) = &next
            && !self.frames.accept(bytes)
        {
            self.is_over = true;
            return Poll::Ready(Some(Err(PayloadError::Overflow)));
        }
        next
    }
}

/// Where a stream of bytes is in its frames (RFC 6455, section 5.2).
#[derive(Default)]
struct Frames {
    /// What is known of the head of a frame, without its mask.
    head: [u8; 10],
    known: usize,
    /// What is left of a frame after its head.
    rest: u64,
    /// Of the message that has begun.
    parts: u32,
}

impl Frames {
    /// Goes on by these bytes; whether all frames that begin in them may.
    fn accept(&mut self, mut bytes: &[u8]) -> bool {
        while let Some((first, others)) = bytes.split_first() {
            if self.rest > 0 {
                let skipped = usize::try_from(self.rest).unwrap_or(usize::MAX).min(bytes.len());
                self.rest -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            self.head[self.known] = *first;
            self.known += 1;
            bytes = others;
            if let Some(length) = self.length() {
                if length > MAX_FRAME as u64 || !self.count_part() {
                    return false;
                }
                let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
                (self.rest, self.known) = (length + mask, 0);
            }
        }
        true
    }

    /// How much follows, once it is known.
    fn length(&self) -> Option<u64> {
        let [_, code, long @ ..] = &self.head;
        match (code & 0x7f, self.known) {
            (126, 4) => Some(u64::from(u16::from_be_bytes([long[0], long[1]]))),
            (127, 10) => Some(u64::from_be_bytes(*long)),
            (length @ 0..=125, 2) => Some(length.into()),
            _ => None,
        }
    }

    /// Counts a frame; whether its message may have as many.
    fn count_part(&mut self) -> bool {
        match self.head[0] & 0x0f {
            0 => self.parts += 1,
            1 | 2 => self.parts = 1,
            _ => {}
        }
        self.parts <= MAX_PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(first: u8, length: u64) -> Vec<u8> {
        let length = match u8::try_from(length) {
            Ok(length @ 0..=125) => vec![0x80 | length],
            _ if length <= u64::from(u16::MAX) => {
                [&[0x80 | 126], u16::try_from(length).unwrap().to_be_bytes().as_slice()].concat()
            }
            _ => [&[0x80 | 127], length.to_be_bytes().as_slice()].concat(),
        };
        [&[first], length.as_slice(), &[1, 2, 3, 4]].concat()
    }

    fn frame(first: u8, length: usize) -> Vec<u8> {
        [head(first, length as u64), vec![b'x'; length]].concat()
    }

    #[test]
    fn frames_are_followed_however_they_are_cut() {
        let lengths = [0, 1, 125, 126, 127, 65_535, 65_536];
        let all: Vec<u8> = lengths.into_iter().flat_map(|length| frame(0x81, length)).collect();
        for size in [1, 2, 3, 7, 1000, all.len()] {
            let mut frames = Frames::default();
            assert!(all.chunks(size).all(|bytes| frames.accept(bytes)), "in pieces of {size}");
            assert_eq!((frames.known, frames.rest), (0, 0));
            assert!(!frames.accept(&head(0x81, 65_537)), "in pieces of {size}");
        }
        for length in [65_537, u64::from(u32::MAX), u64::MAX] {
            assert!(!Frames::default().accept(&head(0x82, length)), "{length}");
        }
    }

    #[test]
    fn a_message_has_so_many_parts_and_no_more() {
        let mut frames = Frames::default();
        for _ in 0..3 {
            assert!(frames.accept(&frame(0x01, 1)));
            assert!((1..MAX_PARTS).all(|_| frames.accept(&frame(0x00, 1))));
            // What is said between them is none of it.
            assert!((0..2 * MAX_PARTS).all(|_| frames.accept(&frame(0x89, 0))));
        }
        assert!(!frames.accept(&frame(0x00, 0)));
    }
}

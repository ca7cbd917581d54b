//! Recordings, made packet by packet: any bytes are a sound to Opus, a loud one if there are enough of them.

use bytes::Bytes;

/// 20 ms each.
const PACKET_MS: u64 = 20;

/// Packets of Opus that last `quiet_ms`, then others that last `loud_ms`: CELT, full band, one channel, one frame.
pub fn packets(quiet_ms: u64, loud_ms: u64) -> Vec<Vec<u8>> {
    // A frame without data is silence.
    let quiet = (0..quiet_ms / PACKET_MS).map(|_| vec![0xf8]);
    let loud = (0..loud_ms / PACKET_MS).map(|number| {
        let noise = (0..120_u64).map(|at| ((number * 131 + at * at * 7 + at * 89) % 251) as u8);
        std::iter::once(0xf8).chain(noise).collect()
    });
    quiet.chain(loud).collect()
}

fn head() -> Vec<u8> {
    // Version 1, one channel, no pre-skip, 48 kHz, no gain, the usual mapping.
    [b"OpusHead\x01\x01\0\0", &48_000_u32.to_le_bytes()[..], &[0, 0, 0]].concat()
}

/// In Ogg.
pub fn ogg(packets: &[Vec<u8>]) -> Bytes {
    let tags = [b"OpusTags", &4_u32.to_le_bytes()[..], b"test", &0_u32.to_le_bytes()].concat();
    let mut file = page(2, 0, 0, &head());
    file.extend(page(0, 0, 1, &tags));
    for (packet, number) in packets.iter().zip(1_u32..) {
        let last = if number as usize == packets.len() { 4 } else { 0 };
        file.extend(page(last, u64::from(number) * PACKET_MS * 48, number + 1, packet));
    }
    file.into()
}

/// A page of one packet.
fn page(flags: u8, granule: u64, sequence: u32, packet: &[u8]) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend(granule.to_le_bytes());
    page.extend(7_u32.to_le_bytes());
    page.extend(sequence.to_le_bytes());
    page.extend([0; 4]);
    let lacing: Vec<u8> =
        std::iter::repeat_n(255, packet.len() / 255).chain([(packet.len() % 255) as u8]).collect();
    page.push(lacing.len() as u8);
    page.extend(lacing);
    page.extend(packet);
    let crc = page.iter().fold(0_u32, |crc, byte| {
        (0..8).fold(crc ^ (u32::from(*byte) << 24), |crc, _| {
            (crc << 1) ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    });
    page[22..26].copy_from_slice(&crc.to_le_bytes());
    page
}

/// In WebM as browsers record it: of no known size, and without a duration.
pub fn webm(packets: &[Vec<u8>]) -> Bytes {
    let top = [element(&[0x42, 0x82], b"webm"), element(&[0x42, 0x87], &[4]), element(&[0x42, 0x85], &[2])]
        .concat();
    let audio = [element(&[0xb5], &48_000_f32.to_be_bytes()), element(&[0x9f], &[1])].concat();
    let track = [
        element(&[0xd7], &[1]),
        element(&[0x73, 0xc5], &[1]),
        element(&[0x83], &[2]),
        element(&[0x86], b"A_OPUS"),
        element(&[0x63, 0xa2], &head()),
        element(&[0xe1], &audio),
    ]
    .concat();
    let info = [
        element(&[0x2a, 0xd7, 0xb1], &1_000_000_u32.to_be_bytes()),
        element(&[0x4d, 0x80], b"t"),
        element(&[0x57, 0x41], b"t"),
    ]
    .concat();
    let unknown = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let mut file = element(&[0x1a, 0x45, 0xdf, 0xa3], &top);
    file.extend([&[0x18, 0x53, 0x80, 0x67], &unknown[..]].concat());
    file.extend(element(&[0x15, 0x49, 0xa9, 0x66], &info));
    file.extend(element(&[0x16, 0x54, 0xae, 0x6b], &element(&[0xae], &track)));
    // A second a cluster.
    for (cluster, number) in packets.chunks(50).zip(0_u32..) {
        file.extend([&[0x1f, 0x43, 0xb6, 0x75], &unknown[..]].concat());
        file.extend(element(&[0xe7], &(number * 1_000).to_be_bytes()));
        for (packet, at) in cluster.iter().zip(0_u16..) {
            let block = [&[0x81], &(at * PACKET_MS as u16).to_be_bytes()[..], &[0x80], packet].concat();
            file.extend(element(&[0xa3], &block));
        }
    }
    file.into()
}

fn element(id: &[u8], data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u32 | 0x1000_0000).to_be_bytes();
    [id, &length, data].concat()
}

/// Silence in MP3: frames of 1,152 samples at 44.1 kHz and 128 kbit/s.
pub fn mp3(frames: usize) -> Bytes {
    let mut frame = b"\xff\xfb\x90\xc4".to_vec();
    frame.resize(417, 0);
    frame.repeat(frames).into()
}

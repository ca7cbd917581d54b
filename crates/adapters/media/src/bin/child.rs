//! A child for the tests of this crate: the workshop, and what untrusted content could make of it.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs, hint, io, thread};

use alivio_media::{child_of, run_if_child};
use bytes::Bytes;

type Work = fn(Bytes, Bytes) -> Bytes;

fn main() -> ExitCode {
    let misbehaviours: [(&str, Work); 8] = [
        ("spin", |_, _| {
            loop {
                hint::spin_loop();
            }
        }),
        ("sleep", |_, _| {
            loop {
                thread::park();
            }
        }),
        ("eat", |_, _| {
            let mut eaten = Vec::new();
            loop {
                eaten.push(vec![1_u8; 1 << 20]);
            }
        }),
        ("dive", |_, _| Bytes::from(vec![dive(1)])),
        ("panic", |_, content| content.slice(content.len() + 1..)),
        ("flood", |_, _| {
            loop {
                drop(io::stdout().write_all(&[3; 1 << 16]));
            }
        }),
        ("lie", |_, content| content),
        ("pry", |_, _| copy(&pry())),
    ];
    let misbehave = || misbehaviours.into_iter().find_map(|(word, work)| child_of(word, work));
    run_if_child().or_else(misbehave).unwrap_or(ExitCode::FAILURE)
}

fn dive(depth: u8) -> u8 {
    let room = hint::black_box([depth; 1 << 10]);
    // Never 0: nobody but the compiler may think that this ends.
    if room[9] == 0 { 0 } else { dive(room[9] | 1).wrapping_add(room[5]) }
}

/// An answer that is a copy.
fn copy(bytes: &[u8]) -> Bytes {
    let length = (bytes.len() as u64).to_be_bytes();
    [&[2], &length[..], bytes].concat().into()
}

/// What could be done that should not.
fn pry() -> Vec<u8> {
    let local = (Ipv4Addr::LOCALHOST, 0);
    let tries = [
        ("reads", fs::read("/etc/passwd").is_ok()),
        ("lists", fs::read_dir("/").is_ok()),
        ("writes", fs::write(env::temp_dir().join("alivio-media-was-here"), "x").is_ok()),
        ("listens", TcpListener::bind(local).is_ok()),
        ("connects", TcpStream::connect((Ipv4Addr::LOCALHOST, 9)).is_ok()),
        ("sends", UdpSocket::bind(local).is_ok()),
        ("talks", UnixStream::pair().is_ok()),
        ("starts", Command::new("/bin/true").spawn().is_ok()),
        ("threads", thread::Builder::new().spawn(|| {}).is_ok()),
        ("environment", env::vars_os().next().is_some()),
        ("elsewhere", env::current_dir().is_ok_and(|folder| folder != Path::new("/"))),
    ];
    let done: Vec<&str> = tries.into_iter().filter(|(_, is_done)| *is_done).map(|(what, _)| what).collect();
    done.join(" ").into_bytes()
}

//! Attacks upon the WebSocket below the level of commands: frames that are none, floods, those who never read, never
//! answer, or never say what they want.

use std::time::Duration;

use alivio_testkit::actor::Actor;
use alivio_testkit::server::{ANA, CARLOS, MARIA, PATIENCE, POLL};
use alivio_testkit::socket::send_command;
use alivio_testkit::stopwatch::Stopwatch;
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::sockets::subscribed_to;
use crate::{FAST, World};

/// Without a session, a socket that says what it likes.
async fn raw(world: &World, actor: &Actor) -> WebSocketStream<TcpStream> {
    actor.knock().open(&world.url()).await.expect("a socket").0
}

/// A masked frame with a short payload, whose mask changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short payload");
    assert!(length < 126, "a short payload");
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

/// The code that the socket is closed with; `None` if it ends without one.
async fn close_code(socket: &mut WebSocketStream<TcpStream>) -> Option<u16> {
    let reading = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(reason) = message {
                return reason.map(|reason| u16::from(reason.code));
            }
        }
        None
    };
    timeout(PATIENCE, reading).await.expect("it is not closed")
}

/// WS-06.
#[tokio::test]
async fn frames_that_break_the_protocol_end_the_socket() {
    let world = World::new().await;
    let ana = world.sign_in(ANA).await;
    let mut at_ana = ana.connect().await;
    let ping = br#"{"type": "ping"}"#;
    let long_ping = [&[0x89, 0xfe, 0, 126, 0, 0, 0, 0], [b'x'; 126].as_slice()].concat();
    let attacks: [(&str, Vec<u8>, u16); 24] = [
        ("the first reserved bit", frame(0xc1, ping), 1002),
        ("the second", frame(0xa1, ping), 1002),
        ("the third", frame(0x91, ping), 1002),
        ("all of them, on a pong", frame(0xfa, b""), 1002),
        ("an opcode that is reserved", frame(0x83, ping), 1002),
        ("one for control", frame(0x8b, b""), 1002),
        ("no mask", [&[0x81, 16], ping.as_slice()].concat(), 1002),
        ("a continuation of nothing", frame(0x80, ping), 1002),
        ("one that goes on", frame(0x00, ping), 1002),
        ("a message within another", [frame(0x01, b"a"), frame(0x81, ping)].concat(), 1002),
        ("a beginning after a beginning", [frame(0x01, b"a"), frame(0x01, ping)].concat(), 1002),
        ("bytes within text", [frame(0x01, b"a"), frame(0x82, ping)].concat(), 1002),
        ("a ping in parts", frame(0x09, b""), 1002),
        ("a close in parts", frame(0x08, b""), 1002),
        ("a ping that is too long", long_ping, 1002),
        ("bytes in parts", [frame(0x02, b"a"), frame(0x80, b"b")].concat(), 1003),
        ("text that is none", frame(0x81, b"{\"type\": \"\xff\"}"), 1007),
        ("half a letter", frame(0x81, b"\xc3"), 1007),
        ("an overlong letter", frame(0x81, b"\xc0\xaf"), 1007),
        ("half of a pair", frame(0x81, b"\xed\xa0\x80"), 1007),
        ("half a letter in each part", [frame(0x01, b"\xc3"), frame(0x80, b"\xc3")].concat(), 1007),
        // What is announced is refused, before any of it has come.
        ("a terabyte", vec![0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1009),
        ("more than there can be", [&[0x81], [0xff; 9].as_slice(), &[0; 4]].concat(), 1009),
        ("64 KiB and one", vec![0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0], 1009),
    ];
    let mut wrong = Vec::new();
    for (what, bytes, expected) in attacks {
        let mut socket = raw(&world, &ana).await;
        socket.get_mut().write_all(&bytes).await.expect("sent");
        let code = close_code(&mut socket).await;
        if code != Some(expected) {
            wrong.push(format!("{what}: {code:?} instead of {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    // Between the parts of a message one may be pinged, and a letter may be in two of them.
    let mut socket = raw(&world, &ana).await;
    let parts = [
        frame(0x01, b"{\"type\": \"ping\", \"ref\": \"\xc3"),
        frame(0x89, b"between"),
        frame(0x00, b""),
        frame(0x80, b"\xb1\"}"),
    ];
    socket.get_mut().write_all(&parts.concat()).await.expect("sent");
    let (mut ponged, mut acknowledged) = (false, false);
    let reading = async {
        while let Some(Ok(message)) = socket.next().await {
            ponged |= matches!(&message, Message::Pong(bytes) if bytes.as_ref() == b"between");
            acknowledged |=
                message.to_text().is_ok_and(|text| text.contains(r#""ack""#) && text.contains('ñ'));
            if ponged && acknowledged {
                break;
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("a pong and an ack");
    assert!(ponged && acknowledged);
    at_ana.call(json!({"type": "ping"})).await;
    assert!(!world.logs().contains("panicked"), "{}", world.logs());
}

/// WS-06: whoever begins a message and never ends it, in parts as small as can be or as large as was announced.
#[tokio::test]
async fn messages_that_never_end_cost_little() {
    const SOCKETS: usize = 20;
    let world = World::new().await;
    let ana = world.sign_in(ANA).await;
    let sockets = join_all((0..SOCKETS).map(|_| raw(&world, &ana))).await;
    let before = world.memory();
    let small = [frame(0x01, b"["), [frame(0x00, b"x"), frame(0x00, b"")].concat().repeat(500)].concat();
    // All but the last byte of the largest frame.
    let large = [&[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], vec![b'x'; 65_535].as_slice()].concat();
    let mut sockets: Vec<_> = join_all(sockets.into_iter().enumerate().map(|(n, mut socket)| {
        let bytes = if n % 2 == 0 { &small } else { &large };
        async move {
            socket.get_mut().write_all(bytes).await.expect("sent");
            socket
        }
    }))
    .await;
    let mut at_ana = ana.connect().await;
    at_ana.call(json!({"type": "ping"})).await;
    let each = world.memory().saturating_sub(before) / SOCKETS as u64;
    assert!(each <= 1024 * 1024, "{each} bytes each");
    // One part too many.
    for socket in sockets.iter_mut().step_by(2) {
        socket.get_mut().write_all(&frame(0x00, b"").repeat(24)).await.expect("sent");
        assert_eq!(close_code(socket).await, Some(1009));
    }
    // The last byte, of a frame that is no command.
    for socket in sockets.iter_mut().skip(1).step_by(2) {
        socket.get_mut().write_all(b"x").await.expect("sent");
        let refused = async {
            while let Some(Ok(message)) = socket.next().await {
                if message.to_text().is_ok_and(|text| text.contains("malformed_json")) {
                    return true;
                }
            }
            false
        };
        assert!(timeout(PATIENCE, refused).await.expect("an answer"));
    }
}

/// WS-07: a flood is dammed, be it of pings below the commands, and others hardly notice.
#[tokio::test(flavor = "multi_thread")]
async fn others_go_on_while_some_flood() {
    const FLOODS: usize = 6;
    let world = World::new().await;
    let [ana, maria, carlos] = world.sign_in_all([ANA, MARIA, CARLOS]).await;
    let group = maria.open_group("Guardia", &[&carlos]).await;
    let (mut at_maria, mut at_carlos) = (maria.connect_to(&group).await, carlos.connect_to(&group).await);
    let over = tokio::sync::watch::Sender::new(false);
    let floods = (0..FLOODS).map(|n| {
        let (world, ana, mut over) = (&world, &ana, over.subscribe());
        let flood = match n % 3 {
            0 => frame(0x81, br#"{"type": "ping"}"#),
            1 => frame(0x81, b"{"),
            _ => frame(0x89, b"ping"),
        };
        let flood = flood.repeat(1000);
        async move {
            let mut dammed = 0;
            while !*over.borrow_and_update() {
                let mut socket = raw(world, ana).await;
                // Until it is closed in the middle.
                let (mut reader, mut writer) = socket.get_mut().split();
                let pouring = async { while writer.write_all(&flood).await.is_ok() {} };
                let mut heard = Vec::new();
                let hearing = reader.read_to_end(&mut heard);
                let ended = timeout(PATIENCE, async { tokio::join!(pouring, hearing) }).await;
                assert!(ended.is_ok(), "a flood is not dammed");
                // The reason comes last, if the connection was not reset before it was read.
                dammed += usize::from(heard.windows(12).any(|part| part == b"rate_limited"));
            }
            dammed
        }
    });
    let talk = async {
        let mut slowest = Duration::ZERO;
        for n in 0..100 {
            let began = Stopwatch::start();
            at_maria.send(&group, &format!("m-{n}"), "sigo aquí").await;
            at_carlos.next_event("message.created").await;
            slowest = slowest.max(began.elapsed());
        }
        over.send_replace(true);
        slowest
    };
    let (slowest, dammed) = tokio::join!(talk, join_all(floods));
    assert!(slowest < Duration::from_secs(2), "the slowest message took {slowest:?}");
    assert!(dammed.iter().sum::<usize>() > 0, "nobody was told why");
}

/// WS-08: those who never read cost little, and are gone even if they never do.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_never_read_cost_little_and_are_let_go() {
    const STUCK: usize = 100;
    let world = World::with(&FAST).await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let mut writer = ana.connect().await;
    let files = world.open_files();
    let stuck = join_all((0..STUCK).map(|_| subscribed_to(&world, &maria, &conversation))).await;
    let before = world.memory();
    // More than the kernel and the queues hold: 45 MB for each of them.
    let content = "€".repeat(5000);
    let mut most = 0;
    for batch in 0..48 {
        let mut references = Vec::new();
        for n in 0..64 {
            references
                .push(writer.command(send_command(&conversation, &format!("m-{batch}-{n}"), &content)).await);
        }
        for reference in references {
            writer.expect_ack(&reference).await;
        }
        most = most.max(world.memory().saturating_sub(before));
    }
    let each = most / STUCK as u64;
    assert!(each <= 2 * 1024 * 1024, "{each} bytes each");
    // Nobody has read a byte more. The system has patience with them for half a minute.
    let gone = async {
        while world.open_files() > files + 10 {
            tokio::time::sleep(POLL).await
        }
    };
    timeout(Duration::from_secs(60), gone).await.expect("they are gone");
    drop(stuck);
    writer.call(json!({"type": "ping"})).await;
}

/// WS-09: whoever connects and does not say what they want is let go within ten seconds.
#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_are_never_finished_are_reaped() {
    const EACH: usize = 100;
    let world = World::new().await;
    let ana = world.sign_in(ANA).await;
    let url = world.url();
    let authority = url.strip_prefix("http://").expect("an address");
    let halves: [&[u8]; 3] = [
        b"",
        b"GET /api/v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upg",
        b"GET /api/v1/ws HTTP/1.1\r\nHost: x\r\nX-Padding: ",
    ];
    let began = &Stopwatch::start();
    let reaped = (0..EACH * halves.len()).map(|n| async move {
        let mut stream = TcpStream::connect(authority).await.expect("a connection");
        stream.write_all(halves[n % halves.len()]).await.expect("sent");
        let mut answer = Vec::new();
        // Whether it is told why or not.
        let ended = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "still there after {:?}", began.elapsed());
    });
    // Meanwhile others come and go.
    let others = async {
        for _ in 0..5 {
            ana.connect().await.close().await;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    };
    tokio::join!(join_all(reaped), others);
    ana.connect().await.close().await;
}

/// WS-09: a device that is gone without a word is noticed by its silence.
#[tokio::test]
async fn a_socket_without_a_sign_of_life_is_closed() {
    let world = World::with(&[("ALIVIO_SOCKET_HEARTBEAT_SECONDS", "1")]).await;
    let ana = world.sign_in(ANA).await;
    let mut alive = ana.connect().await;
    let mut mute = raw(&world, &ana).await;
    let began = Instant::now();
    let mut heard = Vec::new();
    // Reads, and answers no ping.
    let ended = timeout(PATIENCE, mute.get_mut().read_to_end(&mut heard)).await;
    assert!(ended.is_ok(), "it is still there");
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}: it had three seconds", began.elapsed());
    assert!(heard.windows(2).filter(|bytes| *bytes == [0x89, 0]).count() >= 2, "it was pinged");
    alive.call(json!({"type": "ping"})).await;
}

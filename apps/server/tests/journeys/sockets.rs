//! The WebSocket itself: how it is opened, what it refuses, how it ends.

use std::time::Duration;

use alivio_testkit::actor::Actor;
use alivio_testkit::server::{ANA, CARLOS, MARIA, PATIENCE};
use alivio_testkit::socket::{Connect, send_command};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::{FAST, World, list, number, seqs, text, unused_id};

fn plain() -> Connect {
    Connect::new("/api/v1/ws")
}

#[tokio::test]
async fn three_ways_in() {
    let world = World::new().await;
    let ana = world.sign_in(ANA).await;
    let bearer = format!("alivio.v1, bearer.{}", ana.token());
    let ticket_as_protocol = format!("alivio.v1, ticket.{}", ana.ticket().await);
    let ticket_in_query = Connect::new(format!("/api/v1/ws?ticket={}", ana.ticket().await));
    let ways = [
        plain().bearer(ana.token()),
        plain().protocols(&bearer),
        plain().protocols(&ticket_as_protocol),
        ticket_in_query,
    ];
    for way in ways {
        let offered = format!("{way:?}").contains("alivio.v1");
        let mut socket =
            ana.try_connect(way.clone()).await.unwrap_or_else(|refused| panic!("{way:?}: {refused}"));
        assert_eq!(socket.ready["user_id"], ana.id);
        assert!(socket.ready["session_id"].is_string(), "{}", socket.ready);
        let chosen =
            socket.headers.get("sec-websocket-protocol").map(|v| v.to_str().expect("ASCII").to_owned());
        assert_eq!(chosen, offered.then(|| "alivio.v1".to_owned()), "never the one with the secret");
        socket.call(json!({"type": "ping"})).await;
    }
}

#[tokio::test]
async fn a_ticket_is_good_for_one_socket_of_its_owner() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let ticket = ana.ticket().await;
    let with_ticket = || Connect::new(format!("/api/v1/ws?ticket={ticket}"));
    // Presented by anyone it opens a socket of hers, once; twenty at the same time included.
    let tries = futures_util::future::join_all((0..20).map(|_| maria.try_connect(with_ticket()))).await;
    let (opened, refused): (Vec<_>, Vec<_>) = tries.into_iter().partition(Result::is_ok);
    assert_eq!(opened.len(), 1);
    for socket in opened.into_iter().flatten() {
        assert_eq!(socket.ready["user_id"], ana.id);
    }
    assert!(refused.into_iter().filter_map(Result::err).all(|refused| refused.status == Some(401)));
    // It is no token for anything else.
    maria.with_token(&ticket).get("/auth/me").await.problem(401, "invalid_token");
}

#[tokio::test]
async fn whoever_cannot_say_who_they_are_stays_out() {
    let world = World::new().await;
    let ana = world.sign_in(ANA).await;
    let token = ana.token();
    let ways = [
        plain(),
        plain().bearer("nonsense"),
        plain().bearer(&ana.refresh_token),
        plain().header("Authorization", "Basic YTpi"),
        plain().protocols("alivio.v1"),
        plain().protocols("alivio.v1, bearer.nonsense"),
        plain().protocols("alivio.v1, ticket.nonsense"),
        Connect::new("/api/v1/ws?ticket=nonsense"),
        // WS-02: access tokens do not belong into addresses.
        Connect::new(format!("/api/v1/ws?ticket={token}")),
        Connect::new(format!("/api/v1/ws?token={token}")),
    ];
    for way in ways {
        let refused = ana.try_connect(way.clone()).await.expect_err("refused");
        // An unknown parameter of the query may be refused as such.
        let expected = if format!("{way:?}").contains("?token=") { &[401, 422][..] } else { &[401] };
        assert!(refused.status.is_some_and(|s| expected.contains(&s)), "{way:?}: {refused}");
    }
    // A plain request for it is told what it is.
    let answer = ana.get("/ws").await;
    assert!(matches!(answer.status, 400 | 426), "{}: {}", answer.status, answer.text);
    answer.clone().any_problem(answer.status);
}

/// WS-01: pages of others cannot open a socket in the name of whoever looks at them.
#[tokio::test]
async fn pages_of_others_stay_out() {
    let world =
        World::with(&[("ALIVIO_CORS_ORIGINS", "https://app.clinic.example,https://admin.clinic.example")])
            .await;
    let ana = world.sign_in(ANA).await;
    let own = world.url();
    for origin in [own.as_str(), "https://app.clinic.example", "https://admin.clinic.example"] {
        ana.try_connect(ana.knock().header("Origin", origin))
            .await
            .unwrap_or_else(|r| panic!("{origin}: {r}"));
    }
    let evil = [
        "null",
        "https://evil.example",
        "https://app.clinic.example.evil.example",
        "https://evil-app.clinic.example",
        "http://app.clinic.example",
        "https://app.clinic.example:8443",
        "https://clinic.example",
        "http://127.0.0.1:1",
        "http://localhost",
        "file://",
    ];
    for origin in evil {
        let refused = ana.try_connect(ana.knock().header("Origin", origin)).await.expect_err(origin);
        assert_eq!(refused.status, Some(403), "{origin}: {refused}");
        // The ticket stays good: a stranger's page cannot even waste it.
        let ticket = ana.ticket().await;
        let with_ticket = || Connect::new(format!("/api/v1/ws?ticket={ticket}"));
        ana.try_connect(with_ticket().header("Origin", origin)).await.expect_err(origin);
        ana.try_connect(with_ticket()).await.unwrap_or_else(|r| panic!("after {origin}: {r}"));
    }
}

/// WS-12: nobody can send a small frame that unpacks to a big one.
#[tokio::test]
async fn compression_is_not_negotiated() {
    let world = World::new().await;
    let ana = world.sign_in(ANA).await;
    let offer = ana.knock().header("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits");
    let socket = ana.try_connect(offer).await.expect("a socket");
    assert!(!socket.headers.contains_key("sec-websocket-extensions"), "{:?}", socket.headers);
}

#[tokio::test]
async fn subscriptions_are_all_or_nothing() {
    let world = World::new().await;
    let [ana, maria, carlos] = world.sign_in_all([ANA, MARIA, CARLOS]).await;
    let hers = ana.open_direct(&maria.id).await;
    let theirs = maria.open_direct(&carlos.id).await;
    ana.send(&hers, "una").await;
    let mut at_ana = ana.connect().await;

    // WS-05: a stranger's conversation, one that is not, and the two mixed with one's own: one answer.
    for ids in [json!([theirs]), json!([unused_id()]), json!([hers, theirs]), json!([unused_id(), hers])] {
        let reference = at_ana.command(json!({"type": "subscribe", "conversation_ids": ids})).await;
        let error = at_ana.expect_error(&reference).await;
        assert_eq!(error["error"], "not_found");
        assert!(!error.to_string().contains(&theirs), "{error}");
    }
    maria.send(&hers, "dos").await;
    let heard = at_ana.settled().await;
    assert!(
        heard.iter().all(|frame| frame["type"] != "message.created"),
        "subscribed nevertheless: {heard:#?}"
    );

    let ack = at_ana.subscribe(&[&hers]).await;
    let subscription = &list(&ack, "subscriptions")[0];
    assert_eq!((text(subscription, "conversation_id"), number(subscription, "last_seq")), (hers.as_str(), 2));
    assert_eq!(list(subscription, "marks").len(), 2);
    // Twice is once.
    at_ana.subscribe(&[&hers, &hers]).await;
    maria.send(&hers, "tres").await;
    let heard = at_ana.settled().await;
    assert_eq!(seqs(heard.iter().filter(|f| f["type"] == "message.created")), [3]);

    at_ana.call(json!({"type": "unsubscribe", "conversation_ids": [hers]})).await;
    maria.send(&hers, "cuatro").await;
    let heard = at_ana.settled().await;
    assert!(heard.iter().all(|frame| frame["type"] != "message.created"), "{heard:#?}");

    let many: Vec<_> = (0..101).map(|_| hers.clone()).collect();
    for bad in [json!(many), json!([]), json!(["x"]), json!("all"), json!(null), json!(["*"])] {
        let error = at_ana.call_refused(json!({"type": "subscribe", "conversation_ids": bad})).await;
        assert_ne!(error, "not_found", "{bad}");
    }
    at_ana.call(json!({"type": "ping"})).await;
}

#[tokio::test]
async fn resume_replays_more_than_a_page() {
    const MESSAGES: i64 = 450;
    let world = World::with(&FAST).await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let mut at_ana = ana.connect().await;
    let mut references = Vec::new();
    for n in 1..=MESSAGES {
        references.push(at_ana.command(send_command(&conversation, &format!("m-{n}"), &n.to_string())).await);
    }
    for reference in references {
        at_ana.expect_ack(&reference).await;
    }
    let mut at_maria = maria.connect().await;
    for from in [0, 1, 199, 200, MESSAGES - 1, MESSAGES] {
        let ack =
            at_maria.call(json!({"type": "resume", "conversation_id": conversation, "last_seq": from})).await;
        assert_eq!(
            (number(&ack, "replayed"), number(&ack, "last_seq")),
            (MESSAGES - from, MESSAGES),
            "from {from}"
        );
        let replayed = at_maria.take_kept();
        let replayed = seqs(replayed.iter().filter(|f| f["type"] == "message.created"));
        assert_eq!(replayed, (from + 1..=MESSAGES).collect::<Vec<_>>(), "from {from}");
    }
    for bad in [json!(-1), json!(MESSAGES + 1), json!("1"), json!(1.5), json!(null), json!(i64::MAX)] {
        let command = json!({"type": "resume", "conversation_id": conversation, "last_seq": bad});
        let reference = at_maria.command(command).await;
        // A client from the future is told so; it gets nothing either way.
        if let Ok(ack) = at_maria.answer(&reference).await {
            assert!(bad.as_i64().is_some_and(|n| n > MESSAGES), "accepted {bad}: {ack}");
            assert_eq!((number(&ack, "replayed"), &ack["gap"]), (0, &json!(true)));
        }
    }
    let told = at_maria.settled().await;
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told.iter().all(|frame| frame["type"] == "sync.gap"), "{told:#?}");
}

/// Between asking where the log is and listening to it, nothing can fall through. No later message covers it up.
#[tokio::test]
async fn a_message_sent_while_one_begins_to_listen_is_not_missed() {
    const ROUNDS: i64 = 150;
    let world = World::with(&FAST).await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let mut at_ana = ana.connect().await;
    let mut at_maria = maria.connect().await;
    let (mut live, mut replayed) = (0, 0);
    for n in 1..=ROUNDS {
        let begin = if n % 2 == 0 {
            json!({"type": "subscribe", "conversation_ids": [conversation]})
        } else {
            json!({"type": "resume", "conversation_id": conversation, "last_seq": n - 1})
        };
        let name = format!("m-{n}");
        let listening = async {
            // A different moment in each round.
            for _ in 0..n % 16 {
                tokio::task::yield_now().await;
            }
            at_maria.call(begin).await
        };
        let (ack, sent) = tokio::join!(listening, at_ana.send(&conversation, &name, "¿Me oye?"));
        assert_eq!(number(&sent, "seq"), n);
        let told = match ack.get("subscriptions") {
            Some(subscriptions) => number(&subscriptions[0], "last_seq"),
            None => n - 1,
        };
        if told < n {
            assert_eq!(number(&at_maria.next_event("message.created").await, "seq"), n, "round {n}: {ack}");
        }
        let again = at_maria.settled().await;
        assert!(again.iter().all(|f| f["type"] != "message.created"), "round {n}: {again:#?}");
        if told == n || ack["replayed"] == 1 {
            replayed += 1
        } else {
            live += 1
        }
        at_maria.call(json!({"type": "unsubscribe", "conversation_ids": [conversation]})).await;
    }
    assert!(live > 0 && replayed > 0, "{live} live, {replayed} replayed: the test tests nothing");
}

#[tokio::test]
async fn a_server_that_stops_says_come_back() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let mut at_ana = ana.connect_to(&conversation).await;
    let mut at_maria = maria.connect_to(&conversation).await;
    let dialect = Connect::new(format!("/ws/chat/{conversation}/?token={}", ana.token()));
    let mut in_dialect = ana.try_connect(dialect).await.expect("a socket");
    at_ana.send(&conversation, "m-1", "antes").await;

    let status = world.terminate().await;
    assert!(status.success(), "{status}");
    for socket in [&mut at_ana, &mut at_maria, &mut in_dialect] {
        assert_eq!(socket.close_code().await, Some(1012));
    }
    assert!(!world.logs().contains("panicked"), "{}", world.logs());

    // Everyone comes back, with what they had.
    world.restart().await;
    let mut at_maria = maria.connect().await;
    at_maria.call(json!({"type": "resume", "conversation_id": conversation, "last_seq": 0})).await;
    assert_eq!(at_maria.next_event("message.created").await["data"]["content"], "antes");
    assert_eq!(seqs(&ana.history(&conversation).await), [1]);
}

/// Who reads as fast as it can is not too slow, however much it says and however much is said around it.
#[tokio::test]
async fn a_client_that_talks_a_lot_is_not_let_go() {
    const SOCKETS: usize = 8;
    const EACH: usize = 120;
    let world = World::with(&FAST).await;
    let [maria, carlos] = world.sign_in_all([MARIA, CARLOS]).await;
    let group = maria.open_group("Todos a la vez", &[&carlos]).await;
    let mut sockets = Vec::new();
    for n in 0..SOCKETS {
        let actor = if n % 2 == 0 { &maria } else { &carlos };
        sockets.push(actor.connect_to(&group).await);
    }
    let total = i64::try_from(SOCKETS * EACH).expect("a small number");
    let talking = sockets.into_iter().enumerate().map(|(number, mut socket)| {
        let group = &group;
        async move {
            let mut references = Vec::new();
            for n in 0..EACH {
                let name = format!("s{number}-{n}");
                references.push(socket.command(send_command(group, &name, &name)).await);
            }
            for reference in references {
                socket.expect_ack(&reference).await;
            }
            for seq in 1..=total {
                let event = socket.next_event("message.created").await;
                assert_eq!(event["seq"], seq, "at socket {number}");
            }
        }
    });
    futures_util::future::join_all(talking).await;
}

/// A raw socket with little room for what it is sent, which hears of a conversation.
pub(crate) async fn subscribed_to(
    world: &World,
    actor: &Actor,
    conversation: &str,
) -> WebSocketStream<TcpStream> {
    let small = actor.knock().receive_buffer(4096);
    let (mut socket, _) = small.open(&world.url()).await.expect("a socket");
    let subscribe = json!({"type": "subscribe", "ref": "s", "conversation_ids": [conversation]});
    futures_util::SinkExt::send(&mut socket, Message::text(subscribe.to_string())).await.expect("sent");
    let acknowledged = async {
        while let Some(Ok(frame)) = socket.next().await {
            if frame.to_text().is_ok_and(|text| text.contains("\"ack\"")) {
                break;
            }
        }
    };
    timeout(PATIENCE, acknowledged).await.expect("an ack");
    socket
}

/// WS-08: whoever does not read is let go, and nobody else notices.
#[tokio::test]
async fn a_client_that_stops_reading_is_let_go() {
    const BATCH: usize = 64;
    let world = World::with(&FAST).await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let mut good = maria.connect_to(&conversation).await;
    let mut writer = ana.connect().await;

    let mut stuck = subscribed_to(&world, &maria, &conversation).await;

    // More than the kernel and the queue hold: 24 MiB.
    let content = "€".repeat(5000);
    let mut sent = 0;
    while sent < 1600 {
        let mut references = Vec::new();
        for _ in 0..BATCH {
            sent += 1;
            references
                .push(writer.command(send_command(&conversation, &format!("m-{sent}"), &content)).await);
        }
        for reference in references {
            writer.expect_ack(&reference).await;
        }
    }
    let total = i64::from(sent);
    for n in 1..=total {
        assert_eq!(
            number(&good.next_event("message.created").await, "seq"),
            n,
            "the other client misses nothing"
        );
    }

    // What the stuck one finds when it reads at last: a part, in order, and the reason.
    let (mut last, mut code) = (0, None);
    let reading = async {
        while let Some(Ok(frame)) = stuck.next().await {
            match frame {
                Message::Text(frame) => {
                    let frame: Value = serde_json::from_str(&frame).expect("JSON");
                    if frame["type"] == "message.created" {
                        assert_eq!(number(&frame, "seq"), last + 1);
                        last += 1;
                    }
                }
                Message::Close(frame) => code = frame.map(|frame| u16::from(frame.code)),
                _ => {}
            }
        }
    };
    timeout(Duration::from_secs(30), reading).await.expect("an end");
    assert!(last < total, "it was not let go, so this tests nothing");
    assert!(matches!(code, Some(4008) | None), "{code:?}");

    let mut back = maria.connect().await;
    let ack = back.call(json!({"type": "resume", "conversation_id": conversation, "last_seq": last})).await;
    assert_eq!(number(&ack, "replayed"), total - last);
}

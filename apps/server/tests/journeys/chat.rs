//! Two people talk: the story this product is made for.

use alivio_testkit::server::{ANA, CARLOS, MARIA};
use alivio_testkit::socket::send_command;
use serde_json::json;

use crate::{FAST, World, list, number, seqs, text};

#[tokio::test]
async fn a_patient_and_her_doctor_talk() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    assert_eq!(maria.open_direct(&ana.id).await, conversation, "both open the same one");

    let mut at_ana = ana.connect_to(&conversation).await;
    let mut at_maria = maria.connect_to(&conversation).await;
    let online = at_ana.find(|f| f["type"] == "presence.changed" && f["data"]["user_id"] == maria.id).await;
    assert_eq!(online["data"]["presence"], "online");
    assert_eq!(online["data"]["is_online"], true);

    // Ana asks. The acknowledgement says where it stands, and both screens show it.
    let words = "Doctora, ¿puedo tomar ibuprofeno? 🤒";
    let sent = at_ana.send(&conversation, "ana-1", words).await;
    assert_eq!((number(&sent, "seq"), &sent["created"]), (1, &json!(true)));
    let seen = at_maria.next_event("message.created").await;
    assert_eq!(seen["seq"], 1);
    assert_eq!(seen["conversation_id"], conversation);
    assert_eq!(seen["data"]["id"], sent["message_id"]);
    assert_eq!(seen["data"]["content"], words);
    assert_eq!(seen["data"]["sender"]["id"], ana.id);
    assert_eq!(seen["data"]["client_message_id"], "ana-1");
    assert_eq!(at_ana.next_event("message.created").await["data"], seen["data"]);
    assert_eq!(
        maria.history(&conversation).await,
        [seen["data"].clone()],
        "REST and WebSocket tell the same"
    );
    assert_eq!(maria.conversation(&conversation).await["unread_count"], 1);

    // It reaches María's device.
    let delivered = json!({"type": "ack", "conversation_id": conversation, "up_to_seq": 1});
    let marks = at_maria.call(delivered).await;
    assert_eq!(
        (&marks["delivered_up_to"], &marks["read_up_to"], &marks["unread_count"]),
        (&json!(1), &json!(0), &json!(1))
    );
    let receipt = at_ana.next_event("receipt.delivered").await;
    assert_eq!(receipt["data"]["user_id"], maria.id);
    assert_eq!(receipt["data"]["message_id"], sent["message_id"]);
    assert_eq!(receipt["data"]["delivered_up_to"], 1);
    assert_eq!(ana.history(&conversation).await[0]["delivery_status"], "delivered");

    // She reads it.
    let read = json!({"type": "read.set", "conversation_id": conversation, "message_id": sent["message_id"]});
    let marks = at_maria.call(read).await;
    assert_eq!((&marks["read_up_to"], &marks["unread_count"]), (&json!(1), &json!(0)));
    let receipt = at_ana.next_event("receipt.read").await;
    assert_eq!(receipt["data"]["user_id"], maria.id);
    assert_eq!(receipt["data"]["message_id"], sent["message_id"]);
    assert_eq!(receipt["data"]["read_up_to"], 1);
    assert_eq!(ana.history(&conversation).await[0]["delivery_status"], "read");

    // She types, which Ana sees and she herself does not.
    let typing = |is_typing: bool| json!({"type": "typing.set", "conversation_id": conversation, "is_typing": is_typing});
    at_maria.call(typing(true)).await;
    let event = at_ana.next_event("typing").await;
    assert_eq!((&event["data"]["user_id"], &event["data"]["is_typing"]), (&json!(maria.id), &json!(true)));
    assert!(number(&event["data"], "expires_in_ms") > 0);
    at_maria.call(typing(false)).await;
    assert_eq!(at_ana.next_event("typing").await["data"]["is_typing"], false);
    let echoes = at_maria.settled().await;
    assert!(echoes.iter().all(|frame| frame["type"] != "typing"), "{echoes:#?}");

    // Her train enters a tunnel.
    at_maria.close().await;
    let offline =
        at_ana.find(|f| f["type"] == "presence.changed" && f["data"]["presence"] == "offline").await;
    assert_eq!(
        (&offline["data"]["user_id"], &offline["data"]["is_online"]),
        (&json!(maria.id), &json!(false))
    );
    assert!(offline["data"]["last_seen_at"].is_string(), "{offline}");
    at_ana.send(&conversation, "ana-2", "Tengo 38,5").await;
    ana.send(&conversation, "y me duele la cabeza").await;

    // Back again, she gets what she missed, in order, then what comes next.
    let mut at_maria = maria.connect().await;
    let resume =
        at_maria.command(json!({"type": "resume", "conversation_id": conversation, "last_seq": 1})).await;
    let resumed = at_maria.expect_ack(&resume).await;
    assert_eq!((number(&resumed, "replayed"), number(&resumed, "last_seq")), (2, 3));
    assert!(list(&resumed, "marks").iter().any(|m| m["user_id"] == maria.id && m["read_up_to"] == 1));
    let replayed = at_maria.take_kept();
    let replayed: Vec<_> = replayed.iter().filter(|f| f["type"] == "message.created").collect();
    assert_eq!(seqs(replayed.iter().copied()), [2, 3]);
    assert_eq!(text(&replayed[1]["data"], "content"), "y me duele la cabeza");
    at_ana.send(&conversation, "ana-4", "¿Está ahí?").await;
    assert_eq!(at_maria.next_event("message.created").await["seq"], 4);
    at_maria.send(&conversation, "maria-1", "Aquí estoy. Paracetamol, no ibuprofeno.").await;

    // Nothing missing, nothing double, on either side.
    let rest: Vec<_> =
        at_maria.settled().await.into_iter().filter(|f| f["type"] == "message.created").collect();
    assert_eq!(seqs(&rest), [5]);
    let rest: Vec<_> =
        at_ana.settled().await.into_iter().filter(|f| f["type"] == "message.created").collect();
    assert_eq!(seqs(&rest), [2, 3, 4, 5]);
    assert_eq!(seqs(&maria.history(&conversation).await), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn every_device_of_a_person_gets_everything() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let mut at_ana = ana.connect_to(&conversation).await;
    let mut phone = maria.connect_to(&conversation).await;
    let mut desk = maria.connect_to(&conversation).await;
    at_ana.find(|f| f["type"] == "presence.changed" && f["data"]["is_online"] == true).await;

    phone.send(&conversation, "phone-1", "Escribo desde el móvil").await;
    for device in [&mut at_ana, &mut phone, &mut desk] {
        assert_eq!(device.next_event("message.created").await["data"]["client_message_id"], "phone-1");
    }

    // She is online as long as one of them is.
    phone.close().await;
    let seen = at_ana.settled().await;
    assert!(seen.iter().all(|f| f["data"]["presence"] != "offline"), "{seen:#?}");
    desk.close().await;
    at_ana.find(|f| f["type"] == "presence.changed" && f["data"]["presence"] == "offline").await;
}

#[tokio::test]
async fn a_connection_that_breaks_again_and_again_misses_nothing() {
    const MESSAGES: i64 = 400;
    let world = World::with(&FAST).await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let mut at_ana = ana.connect().await;

    let talking = async {
        for n in 1..=MESSAGES {
            let ack = at_ana.send(&conversation, &format!("m-{n}"), &format!("Número {n}")).await;
            assert_eq!(number(&ack, "seq"), n);
        }
    };
    let listening = async {
        let (mut last, mut connections) = (0, 0);
        while last < MESSAGES {
            let mut socket = maria.connect().await;
            socket
                .command(json!({"type": "resume", "conversation_id": conversation, "last_seq": last}))
                .await;
            connections += 1;
            // Each connection carries a little more than the one before, and then breaks without a goodbye.
            for _ in 0..connections * 3 {
                let event = socket.next_event("message.created").await;
                assert_eq!(number(&event, "seq"), last + 1, "connection {connections}");
                assert_eq!(event["data"]["content"], format!("Número {}", last + 1));
                last += 1;
                if last == MESSAGES {
                    break;
                }
            }
        }
        assert!(connections > 10, "only {connections} connections: the test tests nothing");
    };
    tokio::join!(talking, listening);
}

#[tokio::test]
async fn what_one_socket_sends_in_one_go_keeps_its_order() {
    const MESSAGES: i64 = 300;
    let world = World::with(&FAST).await;
    let [carlos, maria] = world.sign_in_all([CARLOS, MARIA]).await;
    let conversation = carlos.open_direct(&maria.id).await;
    let mut at_carlos = carlos.connect_to(&conversation).await;
    let mut at_maria = maria.connect_to(&conversation).await;

    let mut references = Vec::new();
    for n in 1..=MESSAGES {
        references
            .push(at_carlos.command(send_command(&conversation, &format!("m-{n}"), &n.to_string())).await);
    }
    for (n, reference) in (1..).zip(references) {
        assert_eq!(number(&at_carlos.expect_ack(&reference).await, "seq"), n);
    }
    for n in 1..=MESSAGES {
        let event = at_maria.next_event("message.created").await;
        assert_eq!((number(&event, "seq"), text(&event["data"], "content")), (n, n.to_string().as_str()));
    }
}

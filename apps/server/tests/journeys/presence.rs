//! Who is here, and who may know (C-13, C-41, PR-03).

use alivio_testkit::actor::Actor;
use alivio_testkit::server::{AISHA, ANA, CARLOS, LUIS, MARIA, eventually};
use alivio_testkit::socket::Socket;
use serde_json::{Value, json};

use crate::{World, fields, list, text, unused_id};

/// Longer than any journey: whoever goes, stays online.
const PATIENT: [(&str, &str); 1] = [("ALIVIO_PRESENCE_GRACE_SECONDS", "600")];

async fn presence_of(viewer: &Actor, user: &Actor) -> Value {
    viewer.get(&format!("/users/{}/presence", user.id)).await.expect(200)
}

/// The next that is heard of `user`.
async fn hear(socket: &mut Socket, user: &Actor) -> Value {
    let event = socket.find(|f| f["type"] == "presence.changed" && f["data"]["user_id"] == user.id).await;
    assert_eq!(fields(&event["data"]), ["is_online", "last_seen_at", "presence", "user_id"]);
    assert_eq!(event["data"]["is_online"], event["data"]["presence"] != "offline");
    assert_eq!((&event["actor"], &event["conversation_id"]), (&json!(user.id), &Value::Null));
    event["data"].clone()
}

#[tokio::test]
async fn comings_and_goings_are_told_to_those_who_know_each_other() {
    let world = World::new().await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let mut at_ana = ana.connect().await;
    let mut at_carlos = carlos.connect().await;

    // Ana need not listen to anything, and Carlos has nothing to do with either.
    let mut at_maria = maria.connect().await;
    assert_eq!(hear(&mut at_ana, &maria).await["presence"], "online");
    assert_eq!(presence_of(&ana, &maria).await["presence"], "online");
    let subscribed = at_ana.subscribe(&[&conversation]).await;
    let online = list(&subscribed["subscriptions"][0], "online");
    assert!(online.contains(&json!(maria.id)) && online.contains(&json!(ana.id)), "{online:?}");

    // What she chooses is told once, by whichever way, and outlives her devices.
    assert_eq!(at_maria.call(json!({"type": "presence.set", "presence": "busy"})).await["presence"], "busy");
    assert_eq!(hear(&mut at_ana, &maria).await["presence"], "busy");
    maria.put("/me/presence", &json!({"presence": "busy"})).await.expect(200);
    let away =
        maria.put(&format!("/users/{}/presence", maria.id), &json!({"presence": "away"})).await.expect(200);
    assert_eq!(
        (&away["presence"], &away["chosen"], &away["is_online"]),
        (&json!("away"), &json!("away"), &json!(true))
    );
    assert_eq!(hear(&mut at_ana, &maria).await["presence"], "away", "busy twice is told once");
    at_maria.close().await;
    let gone = hear(&mut at_ana, &maria).await;
    assert_eq!(gone["presence"], "offline");
    let seen = presence_of(&ana, &maria).await;
    assert_eq!((&seen["presence"], &seen["last_seen_at"]), (&json!("offline"), &gone["last_seen_at"]));
    assert!(seen["last_seen_at"].is_string(), "{seen}");
    assert_eq!(maria.get("/me/presence").await.expect(200)["chosen"], "away");
    let _at_maria = maria.connect().await;
    assert_eq!(hear(&mut at_ana, &maria).await["presence"], "away");

    for bad in [
        json!({"presence": "offline"}),
        json!({"presence": "x"}),
        json!({}),
        json!({"presence": "busy", "x": 1}),
    ] {
        maria.put("/me/presence", &bad).await.problem(422, "validation_failed");
    }
    let busy = json!({"presence": "busy"});
    ana.put(&format!("/users/{}/presence", maria.id), &busy).await.problem(404, "not_found");
    assert_eq!(
        at_ana.call_refused(json!({"type": "presence.set", "presence": "offline"})).await,
        "validation_failed"
    );
    let heard = at_carlos.settled().await;
    assert!(heard.is_empty(), "{heard:#?}");
}

#[tokio::test]
async fn a_reconnect_does_not_flicker() {
    let world = World::with(&PATIENT).await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    ana.open_direct(&maria.id).await;
    let mut at_ana = ana.connect().await;
    let at_maria = maria.connect().await;
    assert_eq!(hear(&mut at_ana, &maria).await["presence"], "online");
    at_maria.close().await;
    for _ in 0..3 {
        assert_eq!(presence_of(&ana, &maria).await["presence"], "online", "she may come back");
        maria.connect().await.close().await;
    }
    let heard = at_ana.settled().await;
    assert!(heard.iter().all(|frame| frame["type"] != "presence.changed"), "{heard:#?}");
    assert_eq!(presence_of(&ana, &maria).await["last_seen_at"], Value::Null, "nothing was written down");
}

#[tokio::test]
async fn strangers_learn_nothing() {
    let world = World::new().await;
    let [maria, ana, carlos, luis] = world.sign_in_all([MARIA, ANA, CARLOS, LUIS]).await;
    let _sockets = (maria.connect().await, luis.connect().await);
    let nobody = ana.get(&format!("/users/{}/presence", unused_id())).await;
    for user in [&luis, &maria, &carlos] {
        let answer = ana.get(&format!("/users/{}/presence", user.id)).await;
        assert_eq!(answer.comparable(), nobody.comparable());
        answer.problem(404, "not_found");
    }
    assert_eq!(list(&ana.get("/presence").await.expect(200), "items").len(), 0);

    // A shared conversation changes that, and a contact does.
    ana.open_direct(&maria.id).await;
    maria.post("/contact-requests", &json!({"user_id": carlos.id})).await.expect(202);
    carlos.post("/contact-requests", &json!({"user_id": maria.id})).await.expect(201);
    for (viewer, known) in
        [(&ana, vec![&maria]), (&carlos, vec![&maria]), (&maria, vec![&ana, &carlos]), (&luis, vec![])]
    {
        let mut expected: Vec<_> = known.iter().map(|actor| actor.id.as_str()).collect();
        expected.sort_unstable();
        let page = viewer.get("/presence").await.expect(200);
        let seen: Vec<_> = list(&page, "items").iter().map(|seen| text(seen, "user_id")).collect();
        assert_eq!(seen, expected);
    }
    let first = maria.get("/presence?page_size=1").await.expect(200);
    let cursor = text(&first, "next_cursor");
    let second = maria.get(&format!("/presence?page_size=1&cursor={cursor}")).await.expect(200);
    assert_ne!(first["items"], second["items"]);
    assert_eq!(second["next_cursor"], Value::Null);
    let contact = carlos.get(&format!("/contacts/{}", maria.id)).await.expect(200);
    assert_eq!((&contact["presence"], &contact["is_online"]), (&json!("online"), &json!(true)));
}

#[tokio::test]
async fn everyone_decides_who_sees_them() {
    let world = World::new().await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let conversation = ana.open_direct(&maria.id).await;
    carlos.open_direct(&maria.id).await;
    carlos.post("/contact-requests", &json!({"user_id": maria.id})).await.expect(202);
    maria.post("/contact-requests", &json!({"user_id": carlos.id})).await.expect(201);
    let defaults = json!({"presence": "everyone_i_know", "last_seen": "everyone_i_know"});
    assert_eq!(maria.get("/me/privacy").await.expect(200), defaults);
    let contacts_only = json!({"presence": "contacts", "last_seen": "nobody"});
    assert_eq!(maria.put("/me/privacy", &contacts_only).await.expect(200), contacts_only);
    assert_eq!(maria.get("/me/privacy").await.expect(200), contacts_only);

    let mut at_ana = ana.connect().await;
    let mut at_carlos = carlos.connect().await;
    let at_maria = maria.connect().await;
    assert_eq!(hear(&mut at_carlos, &maria).await["presence"], "online");
    assert_eq!(presence_of(&carlos, &maria).await["presence"], "online");
    ana.get(&format!("/users/{}/presence", maria.id)).await.problem(404, "not_found");
    let shown = ana.conversation(&conversation).await;
    let shown =
        list(&shown, "participants").iter().find(|p| p["user_id"] == maria.id).expect("María").clone();
    assert_eq!(shown["is_online"], false);
    let subscribed = at_ana.subscribe(&[&conversation]).await;
    assert!(!list(&subscribed["subscriptions"][0], "online").contains(&json!(maria.id)));
    at_maria.close().await;
    let gone = hear(&mut at_carlos, &maria).await;
    assert_eq!((&gone["presence"], &gone["last_seen_at"]), (&json!("offline"), &Value::Null));
    assert_eq!(presence_of(&carlos, &maria).await["last_seen_at"], Value::Null);
    let own = maria.get("/me/presence").await.expect(200);
    assert!(own["last_seen_at"].is_string(), "her own: {own}");
    let heard = at_ana.settled().await;
    assert!(heard.iter().all(|frame| frame["data"]["user_id"] != maria.id), "{heard:#?}");

    let nobody = json!({"presence": "nobody", "last_seen": "nobody"});
    maria.put("/me/privacy", &nobody).await.expect(200);
    carlos.get(&format!("/users/{}/presence", maria.id)).await.problem(404, "not_found");
    for bad in [json!({"presence": "nobody"}), json!({"presence": "x", "last_seen": "nobody"}), json!({})] {
        maria.put("/me/privacy", &bad).await.problem(422, "validation_failed");
    }
}

#[tokio::test]
async fn whoever_loses_sight_of_someone_sees_them_go() {
    let world = World::with(&PATIENT).await;
    let [maria, ana, carlos, aisha] = world.sign_in_all([MARIA, ANA, CARLOS, AISHA]).await;
    ana.open_direct(&maria.id).await;
    carlos.open_direct(&maria.id).await;
    carlos.post("/contact-requests", &json!({"user_id": maria.id})).await.expect(202);
    maria.post("/contact-requests", &json!({"user_id": carlos.id})).await.expect(201);
    let (mut at_ana, mut at_carlos) = (ana.connect().await, carlos.connect().await);
    let mut at_aisha = aisha.connect().await;
    let mut at_maria = maria.connect().await;
    for socket in [&mut at_ana, &mut at_carlos] {
        assert_eq!(hear(socket, &maria).await["presence"], "online");
    }
    let contacts_only = json!({"presence": "contacts", "last_seen": "contacts"});
    maria.put("/me/privacy", &contacts_only).await.expect(200);
    let gone = hear(&mut at_ana, &maria).await;
    assert_eq!((&gone["presence"], &gone["last_seen_at"]), (&json!("offline"), &Value::Null));
    let heard = at_carlos.settled().await;
    assert!(heard.iter().all(|frame| frame["data"]["user_id"] != maria.id), "he still sees her: {heard:#?}");
    at_maria.settled().await;

    maria.post(&format!("/blocks/{}", carlos.id), &json!({})).await.expect(201);
    assert_eq!(hear(&mut at_carlos, &maria).await["presence"], "offline");
    assert_eq!(hear(&mut at_maria, &carlos).await["presence"], "offline");
    // Whoever saw nothing before hears nothing now.
    maria.post(&format!("/blocks/{}", aisha.id), &json!({})).await.expect(201);
    for socket in [&mut at_ana, &mut at_aisha, &mut at_maria] {
        let heard = socket.settled().await;
        assert!(heard.iter().all(|frame| frame["type"] != "presence.changed"), "{heard:#?}");
    }
}

#[tokio::test]
async fn what_was_chosen_survives_a_restart_and_being_connected_does_not() {
    let world = World::with(&PATIENT).await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    ana.open_direct(&maria.id).await;
    maria.put("/me/presence", &json!({"presence": "busy"})).await.expect(200);
    let at_maria = maria.connect().await;
    assert_eq!(presence_of(&ana, &maria).await["presence"], "busy");
    drop(at_maria);
    world.restart().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    assert_eq!(presence_of(&ana, &maria).await["presence"], "offline", "nobody is connected to the new one");
    let _at_maria = maria.connect().await;
    eventually("she is back, and busy still", async || presence_of(&ana, &maria).await["presence"] == "busy")
        .await;
}

//! People get to know each other, by mutual consent.

use alivio_testkit::actor::{Actor, Request};
use alivio_testkit::server::{ADMIN, AISHA, ANA, CARLOS, LUIS, MARIA, eventually};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::audit::sql;
use crate::credentials::outbox;
use crate::{World, fields, list, text, unused_id};

async fn accept(actor: &Actor, request: &str) -> Value {
    actor.request(Request::new(Method::POST, format!("/contact-requests/{request}/accept"))).await.expect(200)
}

async fn requests(actor: &Actor, direction: &str) -> Vec<Value> {
    list(&actor.get(&format!("/contact-requests?direction={direction}")).await.expect(200), "items").to_vec()
}

/// Who is in their list, in its order.
async fn contacts(actor: &Actor) -> Vec<String> {
    let page = actor.get("/contacts").await.expect(200);
    list(&page, "items").iter().map(|contact| text(&contact["user"], "id").to_owned()).collect()
}

async fn become_contacts(one: &Actor, other: &Actor) {
    one.post("/contact-requests", &json!({"user_id": other.id})).await.expect(202);
    other.post("/contact-requests", &json!({"user_id": one.id})).await.expect(201);
}

#[tokio::test]
async fn two_colleagues_get_to_know_each_other() {
    let world = World::new().await;
    let [maria, carlos] = world.sign_in_all([MARIA, CARLOS]).await;

    let asked =
        maria.post("/contacts", &json!({"user_id": carlos.id, "nickname": "Carlitos"})).await.expect(202);
    assert_eq!((text(&asked, "direction"), text(&asked, "user_id")), ("outgoing", carlos.id.as_str()));
    assert_eq!(requests(&maria, "outgoing").await, std::slice::from_ref(&asked));
    let incoming = requests(&carlos, "incoming").await;
    assert_eq!(incoming.len(), 1);
    assert_eq!((&incoming[0]["id"], &incoming[0]["from"]["id"]), (&asked["id"], &json!(maria.id)));
    assert!(!incoming[0].to_string().contains("Carlitos"), "her name for him is hers: {}", incoming[0]);
    assert_eq!((contacts(&maria).await, contacts(&carlos).await), (vec![], vec![]));

    let contact = accept(&carlos, text(&asked, "id")).await;
    assert_eq!(
        fields(&contact),
        [
            "created_at",
            "is_blocked",
            "is_favorite",
            "is_online",
            "last_seen_at",
            "nickname",
            "presence",
            "user"
        ]
    );
    assert_eq!((&contact["user"]["id"], &contact["nickname"]), (&json!(maria.id), &Value::Null));
    assert_eq!(
        (contacts(&maria).await, contacts(&carlos).await),
        (vec![carlos.id.clone()], vec![maria.id.clone()])
    );
    assert_eq!(requests(&maria, "outgoing").await, [Value::Null; 0]);
    let path = format!("/contacts/{}", carlos.id);
    assert_eq!(maria.get(&path).await.expect(200)["nickname"], "Carlitos");

    let changed = maria.put(&path, &json!({"nickname": " Dr. C ", "is_favorite": true})).await.expect(200);
    assert_eq!((&changed["nickname"], &changed["is_favorite"]), (&json!("Dr. C"), &json!(true)));
    let his = carlos.get(&format!("/contacts/{}", maria.id)).await.expect(200);
    assert_eq!((&his["nickname"], &his["is_favorite"]), (&Value::Null, &json!(false)), "his own");
    let favorite = format!("{path}/favorite");
    assert_eq!(maria.delete(&favorite).await.expect(200)["is_favorite"], false);
    let favored = maria.request(Request::new(Method::PUT, &*favorite)).await.expect(200);
    assert_eq!((&favored["nickname"], &favored["is_favorite"]), (&json!("Dr. C"), &json!(true)));
    assert_eq!(maria.put(&path, &json!({"is_favorite": false})).await.expect(200)["nickname"], Value::Null);
    for bad in [
        json!({"nickname": "x"}),
        json!({"is_favorite": true, "nickname": "a\nb"}),
        json!({"is_favorite": 1}),
    ] {
        maria.put(&path, &bad).await.problem(422, "validation_failed");
    }

    // It ends for both, and nothing is left for strangers.
    carlos.delete(&format!("/contacts/{}", maria.id)).await.expect(204);
    carlos.delete(&format!("/contacts/{}", maria.id)).await.problem(404, "not_found");
    maria.get(&path).await.problem(404, "not_found");
    assert_eq!((contacts(&maria).await, contacts(&carlos).await), (vec![], vec![]));
}

#[tokio::test]
async fn favourites_come_first_and_pages_follow_each_other() {
    let world = World::new().await;
    let [maria, carlos, admin, aisha] = world.sign_in_all([MARIA, CARLOS, ADMIN, AISHA]).await;
    for other in [&carlos, &admin, &aisha] {
        become_contacts(&maria, other).await;
    }
    maria.request(Request::new(Method::PUT, format!("/contacts/{}/favorite", carlos.id))).await.expect(200);
    let expected = [&carlos, &aisha, &admin].map(|actor| actor.id.clone());
    assert_eq!(contacts(&maria).await, expected);
    let mut seen = Vec::new();
    let mut query = "?page_size=1".to_owned();
    loop {
        let page = maria.get(&format!("/contacts{query}")).await.expect(200);
        seen.extend(list(&page, "items").iter().map(|contact| text(&contact["user"], "id").to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => query = format!("?page_size=1&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, expected);
    let favorites = maria.get("/contacts?favorite=true").await.expect(200);
    assert_eq!(list(&favorites, "items").len(), 1);
    maria.get("/contacts?cursor=x").await.problem(422, "validation_failed");
}

#[tokio::test]
async fn people_who_cannot_be_asked_all_look_the_same() {
    let world = World::new().await;
    let [maria, ana, carlos, luis, aisha] = world.sign_in_all([MARIA, ANA, CARLOS, LUIS, AISHA]).await;
    maria.post(&format!("/blocks/{}", aisha.id), &json!({})).await.expect(201);
    let nobody = unused_id();
    // Patients reach only those who attend them, students never patients; who blocks is not told either.
    for (asker, others) in [
        (&ana, vec![&carlos.id, &luis.id, &aisha.id, &nobody]),
        (&aisha, vec![&ana.id, &maria.id, &nobody]),
        (&carlos, vec![&ana.id, &nobody]),
    ] {
        let mut answers = Vec::new();
        for other in others {
            let answer = asker.post("/contact-requests", &json!({"user_id": other})).await.expect(202);
            let mut answer = answer.to_string();
            for varies in [text(&requests(asker, "outgoing").await[0], "id"), other] {
                answer = answer.replace(varies, "<id>");
            }
            let shape: Value = serde_json::from_str(&answer).unwrap();
            answers.push((fields(&shape).join(","), shape["user_id"].clone(), shape["direction"].clone()));
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");
        assert_eq!(requests(asker, "outgoing").await.len(), answers.len(), "as they made them");
    }
    for other in [&maria, &ana, &carlos, &luis, &aisha] {
        assert_eq!(requests(other, "incoming").await, [Value::Null; 0]);
    }
    // By address: a colleague, a patient of others, nobody, oneself, a contact.
    become_contacts(&maria, &ana).await;
    for email in [CARLOS, LUIS, "nobody@clinic.example", MARIA, ANA] {
        let answer =
            maria.post("/contact-requests", &json!({"email": email.to_uppercase()})).await.expect(202);
        assert_eq!((&answer["user_id"], &answer["email"]), (&Value::Null, &json!(email)));
    }
    assert_eq!(requests(&maria, "outgoing").await.len(), 5);
    assert_eq!(requests(&carlos, "incoming").await[0]["from"]["id"], maria.id);
    for actor in [&luis, &ana] {
        assert_eq!(requests(actor, "incoming").await, [Value::Null; 0]);
    }
    for bad in [
        json!({}),
        json!({"user_id": ana.id, "email": ANA}),
        json!({"email": "x"}),
        json!({"user_id": maria.id}),
    ] {
        maria.post("/contact-requests", &bad).await.problem(422, "validation_failed");
    }
}

#[tokio::test]
async fn of_twenty_requests_at_once_one_arrives_and_crossing_ones_meet() {
    let world = World::new().await;
    let [maria, carlos, aisha] = world.sign_in_all([MARIA, CARLOS, AISHA]).await;
    let ask = |from: &Actor, to: &Actor| {
        let (from, body) = (from.clone(), json!({"user_id": to.id}));
        async move { from.post("/contact-requests", &body).await }
    };
    let answers = join_all((0..20).map(|_| ask(&maria, &carlos))).await;
    assert!(answers.iter().all(|answer| answer.status == 202 && answer.json["id"] == answers[0].json["id"]));
    assert_eq!(requests(&carlos, "incoming").await.len(), 1);

    let crossing = (0..20).map(|n| if n % 2 == 0 { ask(&maria, &aisha) } else { ask(&aisha, &maria) });
    let answers = join_all(crossing).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert!(answers.iter().all(|answer| matches!(answer.status, 200..=202)));
    assert_eq!(
        (contacts(&maria).await, contacts(&aisha).await),
        (vec![aisha.id.clone()], vec![maria.id.clone()])
    );
    assert_eq!(requests(&aisha, "incoming").await, [Value::Null; 0]);
}

#[tokio::test]
async fn a_request_is_answered_once_and_a_refusal_is_not_told() {
    let world = World::new().await;
    let [maria, carlos, aisha] = world.sign_in_all([MARIA, CARLOS, AISHA]).await;
    let asked = maria.post("/contact-requests", &json!({"user_id": carlos.id})).await.expect(202);
    let path = format!("/contact-requests/{}", text(&asked, "id"));
    let post = |actor: &Actor, what: &str| {
        let (actor, request) = (actor.clone(), Request::new(Method::POST, format!("{path}/{what}")));
        async move { actor.request(request).await }
    };
    for stranger in [&aisha, &maria] {
        post(stranger, "accept").await.problem(404, "not_found");
        post(stranger, "decline").await.problem(404, "not_found");
    }
    carlos.delete(&path).await.problem(404, "not_found");
    post(&carlos, "decline").await.expect(204);
    post(&carlos, "accept").await.problem(404, "not_found");
    assert_eq!(requests(&maria, "outgoing").await, [asked], "as before");
    maria.delete(&path).await.expect(204);
    maria.delete(&path).await.problem(404, "not_found");

    let asked = aisha.post("/contact-requests", &json!({"user_id": carlos.id})).await.expect(202);
    let path = format!("/contact-requests/{}", text(&asked, "id"));
    let both = (0..20).map(|n| {
        let what = if n % 2 == 0 { "accept" } else { "decline" };
        carlos.request(Request::new(Method::POST, format!("{path}/{what}")))
    });
    let answers = join_all(both).await;
    assert_eq!(answers.iter().filter(|answer| answer.status < 300).count(), 1);
}

#[tokio::test]
async fn a_refusal_holds_and_people_are_written_to_once() {
    let world = World::new().await;
    let [maria, carlos, aisha] = world.sign_in_all([MARIA, CARLOS, AISHA]).await;
    let ask = async |named: Value| maria.post("/contact-requests", &named).await.expect(202);
    let withdraw = async |asked: &Value| {
        maria.delete(&format!("/contact-requests/{}", text(asked, "id"))).await.expect(204);
    };
    let (by_id, by_address) = (json!({"user_id": carlos.id}), json!({"email": CARLOS}));
    // She cannot make up her mind, and he hears of it by one letter.
    for _ in 0..3 {
        let asked = ask(by_id.clone()).await;
        assert_eq!(requests(&carlos, "incoming").await[0]["id"], asked["id"]);
        withdraw(&asked).await;
    }
    let asked = ask(by_id.clone()).await;
    carlos
        .request(Request::new(Method::POST, format!("/contact-requests/{}/decline", text(&asked, "id"))))
        .await
        .expect(204);
    withdraw(&asked).await;
    // However she asks him again, it looks the same to her, and does not reach him.
    for named in [&by_id, &by_address] {
        let again = ask(named.clone()).await;
        assert_eq!(fields(&again), fields(&asked));
        assert_eq!(requests(&maria, "outgoing").await, std::slice::from_ref(&again));
        assert_eq!(requests(&carlos, "incoming").await, [Value::Null; 0]);
        withdraw(&again).await;
    }
    // When no letter is waiting any more, one has come from each of those who asked.
    aisha.post("/contact-requests", &by_id).await.expect(202);
    let letters = async || {
        let items = outbox(&world, CARLOS).await;
        items.iter().filter(|item| item["kind"] == "contact_requested").count()
    };
    eventually("the letters have left", async || {
        let pending = sql(&world).await.query_one("SELECT count(*) FROM outbox", &[]).await.expect("a count");
        pending.get::<_, i64>(0) == 0 || letters().await > 2
    })
    .await;
    assert_eq!(letters().await, 2);
}

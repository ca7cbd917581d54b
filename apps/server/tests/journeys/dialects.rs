//! Clients written from the source documents: each document's paths, bodies and answers (S0, S1, S2, S4).

use alivio_testkit::actor::{Actor, Answer, Request};
use alivio_testkit::server::{ANA, MARIA};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{World, fields, list, text};

/// Asks by a documented path, with the slash at its end that some documents have.
async fn ask(actor: &Actor, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    // Absolute: a second slash says so.
    let request = Request::new(method, format!("/{path}"));
    let answer = actor.request(match body {
        Some(body) => request.json(body),
        None => request,
    });
    let answer = answer.await;
    assert!(answer.header("deprecation").is_some(), "{path}");
    assert!(answer.header("link").is_some_and(|link| link.contains("successor-version")), "{path}");
    answer
}

async fn get(actor: &Actor, path: &str) -> Value {
    ask(actor, "GET", path, None).await.expect(200)
}

#[tokio::test]
async fn a_client_of_s0_works() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let asked = json!({
        "type": "consultation", "title": "Seguimiento - Hipertensión Arterial",
        "description": "Canal para seguimiento post-consulta", "participants": [ana.id],
    });
    let created = ask(&maria, "POST", "/api/chat/conversations/", Some(&asked)).await.expect(201);
    let expected = ["conversation_id", "id", "participants_notified", "status", "websocket_channel"];
    assert_eq!(fields(&created), expected);
    let id = text(&created, "id");
    assert_eq!(text(&created, "websocket_channel"), format!("conversation_{id}"));
    assert!(text(&created, "conversation_id").starts_with("CONV-"));
    assert_eq!((&created["status"], &created["participants_notified"]), (&json!("created"), &json!(true)));

    let said = json!({"message_type": "text", "content": "Hola Ana", "priority": "normal"});
    let path = format!("/api/chat/conversations/{id}/messages/");
    let said = ask(&maria, "POST", &path, Some(&said)).await.expect(201);
    assert!(text(&said, "message_id").starts_with("MSG-"), "{said}");
    assert_eq!((text(&said, "conversation_id"), text(&said, "content")), (id, "Hola Ana"));
    assert_eq!(fields(&said["sender"]), ["avatar", "full_name", "id", "user_type"]);
    assert_eq!(said["timestamp"], said["created_at"]);
    let page = get(&ana, &path).await;
    assert_eq!(list(&page, "items")[0]["id"], said["id"]);

    let conversation = get(&ana, &format!("/api/chat/conversations/{id}/")).await;
    assert_eq!(conversation["conversation_id"], created["conversation_id"]);
    let [one, other] = list(&conversation, "participants") else { panic!("{conversation}") };
    let roles: Vec<_> = [one, other].iter().map(|person| text(person, "role")).collect();
    assert!(roles.contains(&"participant") && roles.contains(&"moderator"), "{roles:?}");
    assert!([one, other].iter().all(|person| person["status"] == "active"));
    let last = &conversation["last_message"];
    assert_eq!(fields(last), ["content", "id", "is_read", "message_type", "sender", "timestamp"]);
    assert_eq!(fields(&last["sender"]), ["id", "name", "user_type"]);
    assert_eq!(list(&get(&ana, "/api/chat/conversations/").await, "items"), [conversation]);

    let change =
        json!({"title": "Seguimiento", "settings": {"read_receipts": false}, "metadata": {"tags": ["hta"]}});
    let path_of_it = format!("/api/chat/conversations/{id}/");
    let changed = ask(&maria, "PUT", &path_of_it, Some(&change)).await.expect(200);
    assert_eq!(
        (text(&changed, "title"), &changed["settings"]["read_receipts"]),
        ("Seguimiento", &json!(false))
    );
    assert_eq!(changed["metadata"]["tags"], json!(["hta"]));
    assert_eq!(get(&ana, "/api/chat/unread-count/").await["messages"], 1);
    assert_eq!(ask(&ana, "DELETE", &path_of_it, None).await.status, 204, "a member leaves");

    // Problems are the same in all words (S0-167).
    let unknown = ask(&ana, "GET", "/api/chat/conversations/7/", None).await;
    let problem = unknown.any_problem(422);
    assert!(problem["error"].is_string() && problem["message"].is_string() && problem["details"].is_object());
    let nobody = world.anonymous();
    assert_eq!(ask(&nobody, "POST", &path, Some(&json!({}))).await.status, 401);
}

#[tokio::test]
async fn a_client_of_s1_works() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let send = json!({"conversation_id": conversation, "content": "Buenos días"});
    let said = ask(&ana, "POST", "/api/messages/send", Some(&send)).await.expect(201);
    let page = get(&maria, &format!("/api/messages/conversation/{conversation}")).await;
    assert_eq!(list(&page, "items")[0]["id"], said["id"]);

    // An id in the body becomes part of an address: nothing else may.
    for id in [json!(null), json!(7), json!("../auth/logout-all"), json!("x"), json!("")] {
        let send = json!({"conversation_id": id, "content": "x"});
        let refused =
            ask(&ana, "POST", "/api/messages/send", Some(&send)).await.problem(422, "validation_failed");
        assert_eq!(refused["details"]["field"], "conversation_id");
        let nobody = world.anonymous();
        assert_eq!(ask(&nobody, "POST", "/api/messages/send", Some(&send)).await.status, 401);
    }
    let missing = ask(&ana, "POST", "/api/messages/send", Some(&json!({"content": "x"}))).await;
    assert_eq!(missing.problem(422, "validation_failed")["details"]["rule"], "missing");
    let surplus = json!({"conversation_id": conversation, "content": "x", "sender_id": maria.id});
    ask(&ana, "POST", "/api/messages/send", Some(&surplus)).await.problem(422, "validation_failed");
    let broken = Request::new(Method::POST, "//api/messages/send").raw("application/json", "{");
    ana.request(broken).await.problem(400, "malformed_json");
    let words = Request::new(Method::POST, "//api/messages/send").raw("text/plain", "hola");
    ana.request(words).await.problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn a_client_of_s2_works() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let user = json!({"user_id": maria.id});
    let path = "/api/v1/chat/rooms/direct_chat/";
    let direct = ask(&ana, "POST", path, Some(&user)).await.expect(201);
    let again = ask(&ana, "POST", path, Some(&user)).await.expect(200);
    assert_eq!(direct["id"], again["id"], "create or find");
    assert_eq!((&direct["room_type"], &direct["name"]), (&json!("direct"), &Value::Null));

    let group = json!({"name": "Equipo", "room_type": "group", "participants": [ana.id]});
    let group = ask(&maria, "POST", "/api/v1/chat/rooms/", Some(&group)).await.expect(201);
    assert_eq!((text(&group, "name"), text(&group, "room_type")), ("Equipo", "group"));
    assert_eq!((text(&group, "created_by"), &group["is_active"]), (&*maria.id, &json!(true)));
    let people = list(&group, "participants");
    assert!(
        people
            .iter()
            .all(|person| fields(person) == ["full_name", "id", "is_online", "last_seen", "username"])
    );

    let send = json!({"room": direct["id"], "content": "Hola mundo!", "message_type": "text"});
    let said = ask(&ana, "POST", "/api/v1/chat/messages/", Some(&send)).await.expect(201);
    assert_eq!((&said["room"], text(&said, "content")), (&direct["id"], "Hola mundo!"));
    assert_eq!(text(&said["sender"], "id"), ana.id);
    let id = text(&direct, "id");
    let page = get(&maria, &format!("/api/v1/chat/rooms/{id}/messages/")).await;
    assert_eq!(list(&page, "items")[0]["id"], said["id"]);
    let rooms = get(&maria, "/api/v1/chat/rooms/?room_type=direct").await;
    assert_eq!(list(&rooms, "items").len(), 1);
    assert_eq!(list(&rooms, "items")[0]["last_message"]["id"], said["id"]);
}

#[tokio::test]
async fn a_client_of_s4_works() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let group = json!({"name": "Equipo", "type": "group", "participants": [ana.id]});
    let room = ask(&maria, "POST", "/api/chat/rooms", Some(&group)).await.expect(201);
    assert_eq!((text(&room, "name"), text(&room, "type")), ("Equipo", "group"));
    let id = text(&room, "id");
    let said = json!({"content": "Hello! How are you doing?"});
    let said = ask(&maria, "POST", &format!("/api/chat/rooms/{id}/messages"), Some(&said)).await.expect(201);
    assert_eq!((text(&said, "room_id"), text(&said, "status")), (id, "sent"));
    assert_eq!(fields(&said["sender"]), ["full_name", "id", "profile_image", "username"]);
    let page = get(&ana, &format!("/api/chat/rooms/{id}/messages")).await;
    assert_eq!(list(&page, "items")[0]["id"], said["id"]);

    let room = get(&ana, &format!("/api/chat/rooms/{id}")).await;
    assert_eq!(fields(&room["last_message"]), ["content", "created_at", "id", "sender"]);
    assert_eq!((&room["last_message"]["sender"], &room["unread_count"]), (&json!(maria.id), &json!(1)));
    let roles: Vec<_> = list(&room, "participants").iter().map(|person| text(person, "role")).collect();
    assert!(roles.contains(&"admin") && roles.contains(&"member"), "{roles:?}");
    let person = &list(&room, "participants")[0];
    assert_eq!(fields(person), ["id", "is_online", "last_seen", "role", "user"]);
    assert_eq!(fields(&person["user"]), ["full_name", "id", "profile_image", "username"]);
    assert_eq!(list(&get(&ana, "/api/chat/rooms").await, "items"), std::slice::from_ref(&room));
    let people = get(&ana, &format!("/api/chat/rooms/{id}/participants")).await;
    assert_eq!(people["items"], room["participants"]);
    let path = format!("/api/chat/rooms/{id}");
    let renamed = ask(&maria, "PUT", &path, Some(&json!({"name": "Otro"}))).await.expect(200);
    assert_eq!(text(&renamed, "name"), "Otro");

    let answer = json!({"content": "Fine, thank you!"});
    let message = format!("/api/chat/rooms/{id}/messages/{}", text(&said, "id"));
    let answer = ask(&ana, "POST", &format!("{message}/reply"), Some(&answer)).await.expect(201);
    assert_eq!(answer["reply_to"], said["id"]);
    let edited = ask(&maria, "PUT", &message, Some(&json!({"content": "Hi"}))).await.expect(200);
    assert_eq!((text(&edited, "content"), &edited["is_edited"]), ("Hi", &json!(true)));
    let status = format!("/api/chat/messages/{}/status", text(&said, "id"));
    ask(&ana, "PUT", &status, Some(&json!({"status": "delivered"}))).await.expect(200);
    let statuses = get(&maria, &status).await;
    assert_eq!(fields(&list(&statuses, "items")[0]), ["status", "updated_at", "user_id"]);
    assert_eq!(list(&statuses, "items")[0]["status"], "delivered");
    let read = format!("/api/chat/messages/{}/mark-read", text(&said, "id"));
    ask(&ana, "POST", &read, None).await.expect(200);
    assert_eq!(text(&get(&maria, &message).await, "status"), "read");
    // A message is found in its own room only, and changed there only.
    let elsewhere = maria.open_direct(&ana.id).await;
    let elsewhere = format!("/api/chat/rooms/{elsewhere}/messages/{}", text(&said, "id"));
    for (method, body) in [("GET", None), ("PUT", Some(json!({"content": "x"}))), ("DELETE", None)] {
        assert_eq!(ask(&maria, method, &elsewhere, body.as_ref()).await.status, 404, "{method}");
    }
    ask(&maria, "POST", &format!("/api/chat/rooms/{id}/mark-all-read"), None).await.expect(200);
    assert_eq!(ask(&maria, "DELETE", &message, None).await.status, 204);

    let gone = format!("/api/chat/rooms/{id}/participants/{}", ana.id);
    assert_eq!(ask(&maria, "DELETE", &gone, None).await.status, 204);
    assert_eq!(ask(&ana, "GET", &format!("/api/chat/rooms/{id}"), None).await.status, 404);
}

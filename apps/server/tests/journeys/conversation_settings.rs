//! What a conversation is and allows, and how it ends.

use alivio_testkit::actor::{Actor, Answer, Request};
use alivio_testkit::server::{ADMIN, AISHA, ANA, CARLOS, MARIA, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{World, list, number, text, unused_id};

async fn patch(actor: &Actor, conversation: &str, body: Value) -> Answer {
    actor.request(Request::new(Method::PATCH, format!("/conversations/{conversation}")).json(&body)).await
}

#[tokio::test]
async fn all_that_the_documents_say_of_a_conversation_is_kept() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let appointment = unused_id();
    let asked = json!({
        "type": "consultation",
        "title": "Seguimiento",
        "purpose": "care",
        "participants": [{"user_id": ana.id, "role": "participant"}],
        "settings": {
            "is_encrypted": true, "auto_delete_messages": true, "auto_delete_days": 30,
            "file_sharing_enabled": false, "video_calls_enabled": false, "notifications_enabled": false,
            "typing_indicators": false, "read_receipts": false, "message_editing": false,
            "message_deletion": false, "joinable": false,
        },
        "metadata": {
            "related_appointment_id": appointment, "related_patient_id": ana.id, "medical_record_access": true,
            "consultation_type": "follow_up", "priority": "high", "tags": ["hipertensión", "medicación"],
        },
    });
    let made = maria.post("/conversations", &asked).await.expect(201);
    assert_eq!(made["settings"], asked["settings"]);
    assert_eq!(made["metadata"], asked["metadata"]);
    assert_eq!((&made["purpose"], &made["expires_at"]), (&json!("care"), &Value::Null));
    let read = ana.conversation(text(&made, "id")).await;
    assert_eq!(read["metadata"], asked["metadata"]);
    assert_eq!(read["settings"]["notifications_enabled"], true, "everyone has their own");
}

#[tokio::test]
async fn moderators_change_it_and_everyone_only_what_is_theirs() {
    let world = World::new().await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let group = maria.open_group("Seguimiento", &[&ana]).await;
    let mut socket = ana.connect().await;
    let changed = patch(
        &maria,
        &group,
        json!({
            "title": "Otro", "settings": {"read_receipts": false}, "metadata": {"tags": ["hta"]},
        }),
    );
    let changed = changed.await.expect(200);
    assert_eq!((&changed["title"], &changed["settings"]["read_receipts"]), (&json!("Otro"), &json!(false)));
    assert_eq!(changed["settings"]["typing_indicators"], true, "what is not named stays");
    let told = socket.next_event("conversation.updated").await;
    assert_eq!(told["conversation_id"], *group);
    let cleared = patch(&maria, &group, json!({"title": null, "metadata": {"tags": []}})).await.expect(200);
    assert_eq!((&cleared["title"], &cleared["metadata"]["tags"]), (&Value::Null, &json!([])));

    patch(&ana, &group, json!({"title": "Mío"})).await.problem(403, "not_a_moderator");
    patch(&carlos, &group, json!({"title": "Mío"})).await.problem(404, "not_found");
    let quiet = patch(&ana, &group, json!({"settings": {"notifications_enabled": false}})).await.expect(200);
    assert_eq!(quiet["settings"]["notifications_enabled"], false);
    assert_eq!(maria.conversation(&group).await["settings"]["notifications_enabled"], true);
    for bad in [
        json!({"settings": {"is_encrypted": false}}),
        json!({"settings": {"auto_delete_messages": true}}),
        json!({"settings": {"auto_delete_days": 0}}),
        json!({"settings": {"colour": true}}),
        json!({"metadata": {"priority": "now"}}),
        json!({"metadata": {"tags": ["a,b"]}}),
    ] {
        patch(&maria, &group, bad).await.problem(422, "validation_failed");
    }
}

#[tokio::test]
async fn care_never_ends_by_itself_and_nobody_comes_into_it() {
    let world = World::new().await;
    let [maria, carlos] = world.sign_in_all([MARIA, CARLOS]).await;
    let group = maria.open_group("Equipo", &[&carlos]).await;
    for body in [json!({"expires_at": "2999-01-01T00:00:00Z"}), json!({"settings": {"joinable": true}})] {
        patch(&maria, &group, body.clone()).await.problem(422, "not_for_this_purpose");
        let mut asked = json!({"type": "group", "purpose": "team", "participants": [carlos.id]});
        asked.as_object_mut().expect("an object").extend(body.as_object().expect("an object").clone());
        maria.post("/conversations", &asked).await.expect(201);
    }
    let past = json!({
        "type": "group", "purpose": "team", "participants": [carlos.id], "expires_at": "2020-01-01T00:00:00Z",
    });
    maria.post("/conversations", &past).await.problem(422, "validation_failed");
}

#[tokio::test]
async fn study_groups_and_case_discussions_are_without_patients() {
    let world = World::new().await;
    let [maria, ana, aisha] = world.sign_in_all([MARIA, ANA, AISHA]).await;
    for purpose in ["team", "study_group", "case_discussion"] {
        let with = |id: &str| json!({"type": "group", "purpose": purpose, "participants": [id]});
        maria.post("/conversations", &with(&ana.id)).await.problem(403, "conversation_not_allowed");
        let group = text(&maria.post("/conversations", &with(&aisha.id)).await.expect(201), "id").to_owned();
        let (path, body) = (format!("/conversations/{group}/participants"), json!({"user_id": ana.id}));
        maria.post(&path, &body).await.problem(403, "conversation_not_allowed");
        let about = patch(&maria, &group, json!({"metadata": {"related_patient_id": ana.id}})).await;
        if purpose == "team" {
            about.expect(200);
        } else {
            about.problem(422, "not_for_this_purpose");
        }
    }
    let unknown = json!({"type": "group", "purpose": "party", "participants": [aisha.id]});
    maria.post("/conversations", &unknown).await.problem(422, "validation_failed");
}

#[tokio::test]
async fn the_patient_it_is_about_is_in_it_or_attended_by_whoever_says_so() {
    let world = World::new().await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let about = |patient: &str| json!({"type": "group", "participants": [maria.id], "metadata": {"related_patient_id": patient}});
    let of_others = carlos.post("/conversations", &about(&ana.id)).await.problem(422, "validation_failed");
    let of_nobody =
        carlos.post("/conversations", &about(&unused_id())).await.problem(422, "validation_failed");
    assert_eq!(of_others["details"], of_nobody["details"]);
    let own =
        json!({"type": "group", "participants": [carlos.id], "metadata": {"related_patient_id": ana.id}});
    maria.post("/conversations", &own).await.expect(201);
}

#[tokio::test]
async fn a_closed_conversation_is_silent_until_it_is_reopened() {
    let world = World::new().await;
    let [maria, ana, admin] = world.sign_in_all([MARIA, ANA, ADMIN]).await;
    let group = maria.open_group("Seguimiento", &[&ana]).await;
    let at = |what: &str| format!("/conversations/{group}/{what}");
    ana.post(&at("close"), &json!({})).await.problem(403, "not_a_moderator");
    let closed = maria.post(&at("close"), &json!({"reason": "Alta médica"})).await.expect(200);
    assert_eq!((&closed["is_active"], &closed["closed_by"]), (&json!(false), &json!(maria.id)));
    assert_eq!(closed["closed_reason"], "Alta médica");
    ana.post(&at("messages"), &json!({"content": "¿Hola?"})).await.problem(409, "conversation_closed");
    maria.post(&at("participants"), &json!({"user_id": admin.id})).await.problem(409, "conversation_closed");
    patch(&maria, &group, json!({"title": "Otro"})).await.problem(409, "conversation_closed");
    let reopened = maria.request(Request::new(Method::POST, at("reopen"))).await.expect(200);
    assert_eq!((&reopened["is_active"], &reopened["closed_at"]), (&json!(true), &Value::Null));
    ana.send(&group, "¿Hola?").await;

    // A member who deletes it leaves; a moderator closes it.
    ana.delete(&format!("/conversations/{group}")).await.expect(204);
    ana.get(&format!("/conversations/{group}")).await.problem(404, "not_found");
    maria.delete(&format!("/conversations/{group}")).await.expect(204);
    assert_eq!(maria.conversation(&group).await["is_active"], false);
}

#[tokio::test]
async fn moderators_are_made_and_one_remains() {
    let world = World::new().await;
    let [maria, ana, carlos] = world.sign_in_all([MARIA, ANA, CARLOS]).await;
    let group = maria.open_group("Equipo", &[&ana, &carlos]).await;
    let give = async |by: &Actor, to: &Actor, role: &str| {
        let path = format!("/conversations/{group}/participants/{}", to.id);
        by.request(Request::new(Method::PATCH, path).json(&json!({"role": role}))).await
    };
    give(&ana, &carlos, "moderator").await.problem(403, "not_a_moderator");
    give(&maria, &ana, "moderator").await.problem(422, "patients_do_not_moderate");
    give(&maria, &maria, "member").await.problem(409, "last_moderator");
    give(&maria, &carlos, "owner").await.problem(422, "validation_failed");
    give(&maria, &carlos, "admin").await.expect(200);
    give(&carlos, &maria, "member").await.expect(200);
    maria.request(Request::new(Method::POST, format!("/conversations/{group}/leave"))).await.expect(204);
    let people = carlos.get(&format!("/conversations/{group}/participants")).await.expect(200);
    let roles: Vec<_> =
        list(&people, "items").iter().map(|p| (text(p, "user_id"), text(p, "role"))).collect();
    assert_eq!(roles.len(), 2);
    assert!(roles.contains(&(&*carlos.id, "moderator")) && roles.contains(&(&*ana.id, "member")));
}

/// From the answer on, on this node, what was allowed before is not any more: in what is told and in what is shown.
#[tokio::test]
async fn without_read_receipts_nobody_learns_what_others_read() {
    let world = World::new().await;
    let [maria, ana] = world.sign_in_all([MARIA, ANA]).await;
    let group = maria.open_group("Seguimiento", &[&ana]).await;
    let said = maria.send(&group, "Buenos días").await;
    let read_by_ana = |conversation: &Value| {
        let people = list(conversation, "participants");
        number(people.iter().find(|p| p["user_id"] == ana.id).expect("Ana"), "read_up_to")
    };
    ana.read_up_to(&group, text(&said, "id")).await;
    eventually("Ana's mark shows", async || read_by_ana(&maria.conversation(&group).await) == 1).await;
    patch(&maria, &group, json!({"settings": {"read_receipts": false}})).await.expect(200);
    assert_eq!(read_by_ana(&maria.conversation(&group).await), 0);
    assert_eq!(read_by_ana(&ana.conversation(&group).await), 1, "her own she sees");
    let page = maria.page(&group, "").await;
    assert_ne!(list(&page, "items")[0]["status"], "read");
}

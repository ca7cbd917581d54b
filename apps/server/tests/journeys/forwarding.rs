//! Forwarding, and where it ends (S0-69, S4-154).

use alivio_testkit::server::{AISHA, ANA, CARLOS, LUIS, MARIA};
use serde_json::{Value, json};

use crate::{World, list, text, unused_id};

#[tokio::test]
async fn a_doctor_asks_a_colleague_and_nobody_else() {
    let world = World::new().await;
    let [ana, maria, carlos, aisha, luis] = world.sign_in_all([ANA, MARIA, CARLOS, AISHA, LUIS]).await;
    let care = ana.open_direct(&maria.id).await;
    let said = ana.send(&care, "Me duele el pecho").await;
    let colleagues = maria.open_direct(&carlos.id).await;
    let with_student = maria.open_group("Sesión", &[&carlos, &aisha]).await;
    let foreign = carlos.open_group("Otros", &[&aisha]).await;
    let path = format!("/messages/{}/forward", text(&said, "id"));
    let mut at_carlos = carlos.connect_to(&colleagues).await;
    let body = json!({
        "conversation_ids": [colleagues, with_student, foreign, unused_id()], "client_message_id": "fw-1",
    });
    let done = maria.post(&path, &body).await.expect(200);
    let items = list(&done, "items");
    let errors: Vec<_> = items.iter().map(|item| item["error"].clone()).collect();
    let expected = [Value::Null, json!("forwarding_not_allowed"), json!("not_found"), json!("not_found")];
    assert_eq!(errors, expected);
    let copy = &items[0]["message"];
    assert_eq!((&copy["content"], &copy["sender"]["id"]), (&said["content"], &json!(maria.id)));
    assert_eq!(copy["metadata"]["forwarded_from"], said["id"]);
    // Carlos sees that it was forwarded, but not from where.
    let seen = at_carlos.next_event("message.created").await["data"]["metadata"].clone();
    assert_eq!((&seen["is_forwarded"], &seen["forwarded_from"]), (&json!(true), &Value::Null));
    let metadata = carlos.history(&colleagues).await[0]["metadata"].clone();
    assert_eq!((&metadata["is_forwarded"], &metadata["forwarded_from"]), (&json!(true), &Value::Null));

    // Once, however often, and even if it was reworded in between.
    let again = maria.post(&path, &body).await.expect(200);
    assert_eq!(list(&again, "items")[0]["message"]["id"], copy["id"]);
    assert_eq!(maria.history(&colleagues).await.len(), 1);
    assert!(maria.history(&with_student).await.is_empty());

    // Who cannot read it forwards nothing; who has it taken back neither.
    luis.post(&path, &body).await.problem(404, "not_found");
    carlos.post(&path, &body).await.problem(404, "not_found");
    world.execute("UPDATE messages SET deleted_at = now() WHERE id = $1", text(&said, "id")).await;
    maria.post(&path, &body).await.problem(404, "not_found");
    for bad in [json!({"conversation_ids": []}), json!({"conversation_ids": vec![colleagues; 21]})] {
        maria.post(&path, &bad).await.problem(422, "validation_failed");
    }
}

#[tokio::test]
async fn a_case_stays_where_it_is_discussed() {
    let world = World::new().await;
    let [maria, carlos] = world.sign_in_all([MARIA, CARLOS]).await;
    let case = maria.open_group("Caso", &[&carlos]).await;
    let there = "UPDATE conversations SET purpose = 'case_discussion' WHERE id = $1";
    world.execute(there, &case).await;
    let said = maria.send(&case, "Varón de 54 años").await;
    let direct = maria.open_direct(&carlos.id).await;
    let path = format!("/messages/{}/forward", text(&said, "id"));
    let body = json!({"conversation_ids": [direct]});
    maria.post(&path, &body).await.problem(403, "forwarding_not_allowed");
    assert!(maria.history(&direct).await.is_empty());
}

//! What is said of a message before it is sent, and how often one may send (S0-174 … S0-176, S0-181, RL-01).

use alivio_testkit::server::{ADMIN, ANA, CARLOS, MARIA};
use alivio_testkit::socket::send_command;
use serde_json::{Value, json};

use crate::{World, list, text};

const PURPOSE: &str = "UPDATE conversations SET purpose = 'team' WHERE id = $1";
const CASES: &str = "UPDATE conversations SET purpose = 'case_discussion' WHERE id = $1";

fn rules(warnings: &Value) -> Vec<&str> {
    list(warnings, "warnings").iter().map(|warning| text(warning, "rule")).collect()
}

#[tokio::test]
async fn the_sender_is_warned_and_those_who_moderate_see_a_flag_without_the_words() {
    let world = World::new().await;
    let [maria, carlos, admin] = world.sign_in_all([MARIA, CARLOS, ADMIN]).await;
    let team = maria.open_group("Guardia", &[&carlos]).await;
    assert_eq!(world.execute(PURPOSE, &team).await, 1);

    assert_eq!(rules(&maria.send(&team, "Nos vemos a las ocho").await), Vec::<&str>::new());
    let sent = maria.send(&team, "Qué mierda, llame al 612 345 678").await;
    assert_eq!(rules(&sent), ["rude_word", "phone"]);
    // Over a socket, too.
    let mut socket = maria.connect().await;
    let command = send_command(&team, "by-socket", "mi correo es maria@clinic.example");
    let ack = socket.call(command).await;
    assert_eq!(ack["warnings"], json!([{"kind": "phi", "rule": "email"}]));

    // It was sent all the same: nothing is dropped.
    assert_eq!(carlos.history(&team).await.len(), 3);
    let flags = admin.get("/moderation/reports?kind=flag").await.expect(200);
    let seen: Vec<_> = list(&flags, "items").iter().map(|flag| flag["findings"].clone()).collect();
    assert_eq!(
        seen,
        [
            json!([{"kind": "phi", "rule": "email"}]),
            json!([{"kind": "profanity", "rule": "rude_word"}, {"kind": "phi", "rule": "phone"}]),
        ]
    );
    let flag = &list(&flags, "items")[1];
    assert_eq!((&flag["message_id"], &flag["sender_id"]), (&sent["id"], &json!(maria.id)));
    assert!(!flags.to_string().contains("612") && !world.logs().contains("mierda"), "codes only");
}

#[tokio::test]
async fn where_care_is_discussed_people_are_named_and_nothing_is_refused() {
    let strict = [("ALIVIO_SCREENING_PROFANITY", "block"), ("ALIVIO_SCREENING_PHI", "block")];
    let world = World::with(&strict).await;
    let [ana, maria, carlos] = world.sign_in_all([ANA, MARIA, CARLOS]).await;
    let care = ana.open_direct(&maria.id).await;
    assert_eq!(rules(&ana.send(&care, "Soy Ana, DNI 12345678Z, tel. 612345678").await), Vec::<&str>::new());
    assert_eq!(rules(&ana.send(&care, "Qué mierda de dolor").await), ["rude_word"]);

    let team = maria.open_group("Guardia", &[&carlos]).await;
    world.execute(PURPOSE, &team).await;
    let path = format!("/conversations/{team}/messages");
    let problem =
        maria.post(&path, &json!({"content": "Qué mierda"})).await.problem(422, "content_not_allowed");
    assert_eq!(problem["details"], json!({"findings": [{"kind": "profanity", "rule": "rude_word"}]}));
    assert_eq!(carlos.history(&team).await.len(), 0);
}

#[tokio::test]
async fn a_discussion_of_a_case_names_nobody() {
    let world = World::new().await;
    let [maria, carlos, ana] = world.sign_in_all([MARIA, CARLOS, ANA]).await;
    let cases = maria.open_group("Caso 7", &[&carlos]).await;
    world.execute(CASES, &cases).await;
    let path = format!("/conversations/{cases}/messages");
    let asked = json!({"content": "La paciente con DNI 12345678Z, tel. 612345678"});
    let problem = maria.post(&path, &asked).await.problem(422, "phi_not_allowed");
    assert_eq!(
        problem["details"],
        json!({"findings": [{"kind": "phi", "rule": "dni"}, {"kind": "phi", "rule": "phone"}]})
    );
    assert!(!problem.to_string().contains("12345678"));
    maria.send(&cases, "Mujer de 45 años con cefalea").await;
    assert_eq!(carlos.history(&cases).await.len(), 1);
    // A stranger learns nothing of it.
    ana.post(&path, &asked).await.problem(404, "not_found");
}

#[tokio::test]
async fn the_same_text_again_and_again_is_noticed() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let words = "¿Me puede llamar alguien?";
    for expected in [&[][..], &[], &["same_text"]] {
        assert_eq!(rules(&ana.send(&conversation, words).await), expected);
    }
}

#[tokio::test]
async fn twenty_a_minute_pass_and_repeats_do_not_count() {
    let world = World::with(&[("ALIVIO_RATE_MESSAGES_PER_MINUTE", "20")]).await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let path = format!("/conversations/{conversation}/messages");
    let message = |n: usize| json!({"content": format!("Mensaje {n}"), "client_message_id": format!("m{n}")});
    for n in 1..=20 {
        ana.post(&path, &message(n)).await.expect(201);
        ana.post(&path, &message(n)).await.expect(200);
    }
    let refused = ana.post(&path, &message(21)).await;
    let wait: i64 = refused.header("retry-after").expect("how long to wait").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    let problem = refused.problem(429, "rate_limited");
    assert_eq!(problem["details"], json!({"limit": 20, "window_seconds": 60, "retry_after": wait}));
    // What was sent before is told again, also now; María has her own twenty.
    ana.post(&path, &message(7)).await.expect(200);
    maria.post(&path, &message(1)).await.expect(201);
    assert_eq!(maria.history(&conversation).await.len(), 21);
    // A conversation that is none of hers stays unknown.
    let path = format!("/conversations/{}/messages", crate::unused_id());
    ana.post(&path, &message(22)).await.problem(404, "not_found");
}

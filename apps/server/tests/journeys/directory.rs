//! Finding professionals, and nobody else.

use alivio_testkit::actor::{Actor, Request};
use alivio_testkit::server::{ADMIN, AISHA, ANA, CARLOS, IT, LUIS, MARIA};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::{World, fields, list, text, unused_id};

const OPEN: [(&str, &str); 1] = [("ALIVIO_DIRECTORY", "open")];

/// The names that `actor` finds.
async fn found(actor: &Actor, query: &str) -> Vec<String> {
    let page = actor.get(&format!("/users{query}")).await.expect(200);
    list(&page, "items").iter().map(|card| text(card, "full_name").to_owned()).collect()
}

const CARLOS_NAME: &str = "Carlos Ruiz Ortega";
const MARIA_NAME: &str = "María Martínez García";
const ELENA_NAME: &str = "Elena Vidal Romero";
const AISHA_NAME: &str = "Aisha Rehman";

#[tokio::test]
async fn professionals_find_those_of_their_institution_and_those_they_talk_to() {
    let world = World::new().await;
    let [maria, aisha, ana, luis, admin, it] = world.sign_in_all([MARIA, AISHA, ANA, LUIS, ADMIN, IT]).await;
    assert_eq!(found(&maria, "").await, [CARLOS_NAME, ELENA_NAME, MARIA_NAME]);
    assert_eq!(found(&aisha, "").await, [AISHA_NAME]);
    for manager in [&admin, &it] {
        assert_eq!(found(manager, "").await, [AISHA_NAME, CARLOS_NAME, ELENA_NAME, MARIA_NAME]);
    }
    // Patients find who attends them, and are found by nobody.
    assert_eq!(found(&ana, "").await, [MARIA_NAME]);
    assert_eq!(found(&luis, "").await, [""; 0]);
    assert_eq!(found(&admin, "?role=patient").await, [""; 0]);
    assert_eq!(found(&admin, "?q=ana").await, [""; 0]);

    let conversation = aisha.open_direct(&maria.id).await;
    assert_eq!(found(&aisha, "").await, [AISHA_NAME, MARIA_NAME]);
    assert_eq!(found(&maria, "?q=aisha").await, [AISHA_NAME]);
    // A conversation with everyone in it ends what it began.
    let group = maria.open_group("Turno", &[&aisha, &admin]).await;
    assert_eq!(found(&aisha, "?q=elena").await, [ELENA_NAME]);
    aisha.delete(&format!("/conversations/{group}/participants/{}", aisha.id)).await.expect(204);
    assert_eq!(found(&aisha, "?q=elena").await, [""; 0]);
    assert!(!conversation.is_empty());
}

/// C-41: where one works is what one says. It opens nothing before someone has found it true.
#[tokio::test]
async fn nobody_gets_into_an_institution_by_saying_so() {
    let world = World::new().await;
    let [maria, aisha, admin] = world.sign_in_all([MARIA, AISHA, ADMIN]).await;
    let path = format!("/users/{}", aisha.id);
    let join = Request::new(Method::PATCH, path.as_str()).json(&json!({"institution": "Clínica Alivio"}));
    let changed = aisha.request(join).await.expect(200);
    assert_eq!(
        (&changed["credential_status"], &changed["is_verified"]),
        (&json!("submitted"), &json!(false))
    );
    assert_eq!(found(&aisha, "").await, [AISHA_NAME]);
    aisha.get(&format!("/users/{}", maria.id)).await.problem(404, "not_found");
    assert_eq!(list(&aisha.get("/users/institutions").await.expect(200), "items").len(), 1);

    let credentials = aisha.get("/me/credentials").await.expect(200);
    let decide = json!({"decision": "verify", "submission_id": credentials["submission_id"]});
    admin.post(&format!("/admin/credentials/{}/decision", aisha.id), &decide).await.expect(200);
    assert_eq!(found(&aisha, "").await, [AISHA_NAME, CARLOS_NAME, ELENA_NAME, MARIA_NAME]);
    aisha.get(&format!("/users/{}", maria.id)).await.expect(200);
}

#[tokio::test]
async fn an_open_directory_shows_all_who_are_listed() {
    let world = World::with(&OPEN).await;
    let [maria, aisha, ana] = world.sign_in_all([MARIA, AISHA, ANA]).await;
    assert_eq!(found(&aisha, "").await, [AISHA_NAME, CARLOS_NAME, ELENA_NAME, MARIA_NAME]);
    assert_eq!(found(&ana, "").await, [MARIA_NAME]);

    let path = format!("/users/{}", maria.id);
    let hide = Request::new(Method::PATCH, path.as_str()).json(&json!({"listed": false}));
    assert_eq!(maria.request(hide).await.expect(200)["listed"], false);
    assert_eq!(found(&aisha, "?q=marti").await, [""; 0]);
    aisha.get(&path).await.problem(404, "not_found");
    // Not for those who know her.
    assert_eq!(found(&ana, "").await, [MARIA_NAME]);
    assert_eq!(found(&maria, "?q=marti").await, [MARIA_NAME]);
    aisha.open_direct(&maria.id).await;
    assert_eq!(found(&aisha, "?q=marti").await, [MARIA_NAME]);
    aisha.get(&path).await.expect(200);
}

#[tokio::test]
async fn words_are_found_by_their_beginnings_whatever_their_case_and_accents() {
    let world = World::new().await;
    let admin = world.sign_in(ADMIN).await;
    for query in [
        "marti",
        "MARTÍ",
        "Martínez",
        "garc%C3%ADa",
        "maria%20martinez",
        "martinez%20dra",
        "cardiologist",
        "cardiologia",
        "card%20alivio%20mar",
    ] {
        assert_eq!(found(&admin, &format!("?q={query}")).await, [MARIA_NAME], "{query}");
    }
    for query in ["artinez", "marti%20carlos", "zzz", "mart%C3%ADnez%20general"] {
        assert_eq!(found(&admin, &format!("?q={query}")).await, [""; 0], "{query}");
    }
    assert_eq!(found(&admin, "?role=doctor").await, [CARLOS_NAME, MARIA_NAME]);
    assert_eq!(found(&admin, "?role=student&title=mbbs%20student").await, [AISHA_NAME]);
    assert_eq!(found(&admin, "?specialty=CARDIOLOGIA").await, [MARIA_NAME]);
    assert_eq!(found(&admin, "?institution=clinica+alivio&q=r").await, [CARLOS_NAME, ELENA_NAME]);
    assert_eq!(found(&admin, "?verified=true&role=doctor").await, [CARLOS_NAME, MARIA_NAME]);
    for (query, field) in [
        ("q=", "q"),
        ("q=%27%3A*%20%26", "q"),
        ("q=a+b+c+d+e+f+g+h+i", "q"),
        ("role=nurse", "role"),
        ("institution=--", "institution"),
        ("cursor=x", "cursor"),
        ("page=0", "page"),
        ("page_size=101", "page_size"),
        ("email=x", "email"),
        ("verified=perhaps", "query"),
    ] {
        let problem = admin.get(&format!("/users?{query}")).await.problem(422, "validation_failed");
        if field != "query" {
            assert_eq!(problem["details"]["field"], field, "{query}");
        }
    }
}

#[tokio::test]
async fn pages_follow_each_other_by_cursor_and_by_number() {
    let world = World::new().await;
    let admin = world.sign_in(ADMIN).await;
    let all = [AISHA_NAME, CARLOS_NAME, ELENA_NAME, MARIA_NAME];
    let (mut seen, mut query) = (Vec::new(), "?page_size=1".to_owned());
    loop {
        let page = admin.get(&format!("/users{query}")).await.expect(200);
        seen.extend(list(&page, "items").iter().map(|card| text(card, "full_name").to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?page_size=1&cursor={cursor}");
        assert!(seen.len() < 5, "no end");
    }
    assert_eq!(seen, all);
    assert_eq!(found(&admin, "?page=2&page_size=3").await, [MARIA_NAME]);
    assert_eq!(found(&admin, "?page=3&page_size=3").await, [""; 0]);
}

#[tokio::test]
async fn institutions_are_counted_as_far_as_one_sees() {
    let world = World::new().await;
    let [admin, maria, luis] = world.sign_in_all([ADMIN, MARIA, LUIS]).await;
    let clinic = json!({"institution": "Clínica Alivio", "count": 3});
    let college = json!({"institution": "Rehman Medical College", "count": 1});
    let groups = async |actor: &Actor| actor.get("/users/institutions").await.expect(200)["items"].clone();
    assert_eq!(groups(&admin).await, json!([clinic, college]));
    assert_eq!(groups(&maria).await, json!([clinic]));
    assert_eq!(groups(&luis).await, json!([]));
    let page = admin.get("/users/institutions?page_size=1").await.expect(200);
    assert_eq!((&page["items"], &page["next_cursor"]), (&json!([clinic]), &json!("2")));
    admin.post("/users/institutions", &json!({})).await.problem(405, "method_not_allowed");
}

/// PR-03: a stranger learns nothing, not even that someone exists.
#[tokio::test]
async fn a_card_is_for_those_who_may_see_the_person() {
    let world = World::new().await;
    let [maria, ana, carlos, luis, admin, it, aisha] =
        world.sign_in_all([MARIA, ANA, CARLOS, LUIS, ADMIN, IT, AISHA]).await;
    let card = async |actor: &Actor, id: &str| actor.get(&format!("/users/{id}")).await;

    let seen = card(&ana, &maria.id).await.expect(200);
    let names = [
        "avatar_url",
        "bio",
        "display_name",
        "full_name",
        "id",
        "institution",
        "is_verified",
        "professional_title",
        "role",
        "specialty",
    ];
    assert_eq!(fields(&seen), names);
    assert_eq!((&seen["specialty"], &seen["is_verified"]), (&json!("Cardiología"), &json!(true)));
    assert_eq!(card(&carlos, &maria.id).await.expect(200), seen);
    // Her patient, and everyone themselves.
    assert_eq!(card(&maria, &ana.id).await.expect(200)["full_name"], "Ana López García");
    for actor in [&ana, &luis, &it, &aisha] {
        assert_eq!(card(actor, &actor.id).await.expect(200)["id"], actor.id);
    }
    let nobody = card(&luis, &unused_id()).await;
    let unknown = nobody.comparable();
    nobody.problem(404, "not_found");
    for (actor, stranger) in [
        (&luis, &ana),
        (&luis, &maria),
        (&carlos, &ana),
        (&admin, &ana),
        (&it, &luis),
        (&maria, &it),
        (&aisha, &maria),
        (&ana, &carlos),
    ] {
        for path in ["", "/avatar"] {
            let answer = actor.get(&format!("/users/{}{path}", stranger.id)).await;
            assert_eq!(answer.comparable(), unknown, "{}", answer.asked);
            answer.problem(404, "not_found");
        }
    }
    card(&luis, "x").await.problem(422, "validation_failed");

    // In a conversation they see each other, and only while it lasts.
    let group = maria.open_group("Sesión", &[&carlos, &ana]).await;
    assert_eq!(card(&carlos, &ana.id).await.expect(200)["institution"], Value::Null);
    carlos.delete(&format!("/conversations/{group}/participants/{}", carlos.id)).await.expect(204);
    card(&carlos, &ana.id).await.problem(404, "not_found");
}

#[tokio::test]
async fn the_deactivated_are_not_found_but_by_those_who_manage_them() {
    let world = World::new().await;
    let [maria, ana, admin, carlos] = world.sign_in_all([MARIA, ANA, ADMIN, CARLOS]).await;
    let (client, connection) =
        tokio_postgres::connect(world.database.url(), NoTls).await.expect("the database");
    tokio::spawn(connection);
    let sql = format!("UPDATE users SET is_active = false WHERE id = '{}'", maria.id);
    client.batch_execute(&sql).await.expect("deactivated");
    for actor in [&ana, &carlos, &admin] {
        actor.get(&format!("/users/{}", maria.id)).await.problem(404, "not_found");
        assert!(!found(actor, "").await.contains(&MARIA_NAME.to_owned()));
    }
    let inactive = admin.get("/admin/medical-professionals?is_active=false").await.expect(200);
    assert_eq!(list(&inactive, "items").len(), 1);
    assert_eq!(inactive["items"][0]["id"], maria.id);
    let active = admin.get("/admin/medical-professionals?is_active=true").await.expect(200);
    assert_eq!(list(&active, "items").len(), 3);
}

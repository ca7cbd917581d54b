//! Finding what was said: by words in any form, by phrases, with filters, and never what one may not read.

use std::collections::HashSet;

use alivio_testkit::actor::Actor;
use alivio_testkit::server::{AISHA, ANA, CARLOS, LUIS, MARIA, eventually};
use serde_json::{Value, json};

use crate::{World, list, seqs, text};

async fn find(actor: &Actor, query: &str) -> Value {
    actor.get(&format!("/search?{query}")).await.expect(200)
}

fn words(found: &Value) -> Vec<&str> {
    list(found, "items").iter().map(|item| text(&item["message"], "content")).collect()
}

/// Sends, and waits until all of it is found by `#todo`.
async fn say(actor: &Actor, conversation: &str, texts: &[&str]) {
    let mut said = HashSet::new();
    for words in texts {
        let sent = actor.send(conversation, &format!("{words} #todo")).await;
        said.insert(text(&sent, "id").to_owned());
    }
    let path = format!("in_conversations={conversation}&query=%23todo&page_size=100");
    eventually("what was said is found", async || {
        let found = find(actor, &path).await;
        let found: HashSet<_> =
            list(&found, "items").iter().map(|item| text(&item["message"], "id").to_owned()).collect();
        said.is_subset(&found)
    })
    .await;
}

#[tokio::test]
async fn what_was_said_is_found_in_any_form() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let texts = [
        "Tengo dolores de cabeza desde ayer",
        "Tomé la medicación <b>y</b> \"nada\"",
        "The headaches are getting worse",
        "Mi cabeza, sin dolor",
    ];
    say(&ana, &conversation, &texts).await;

    let found = find(&maria, "query=dolor%20cabeza").await;
    assert_eq!(words(&found), ["Mi cabeza, sin dolor #todo", "Tengo dolores de cabeza desde ayer #todo"]);
    assert_eq!(words(&find(&maria, "query=MEDICACION").await).len(), 1);
    assert_eq!(words(&find(&maria, "query=headache").await).len(), 1);
    assert_eq!(words(&find(&maria, "query=%22dolores%20de%20cabeza%22").await).len(), 1);
    assert_eq!(words(&find(&maria, "query=%22cabeza%20de%20dolores%22").await).len(), 0);
    assert_eq!(words(&find(&maria, "query=fiebre").await).len(), 0);

    let item = &find(&maria, "query=medicaciones").await["items"][0];
    assert_eq!(item["highlights"], json!([{"start": 8, "end": 18}]));
    let snippet = text(item, "snippet");
    assert_eq!(snippet, "Tomé la <mark>medicación</mark> &lt;b&gt;y&lt;/b&gt; &quot;nada&quot; #todo");
    assert_eq!(text(&item["conversation"], "id"), conversation);
    assert_eq!(item["message"], maria.history(&conversation).await[1]);

    // Relevance: what is about nothing else comes first.
    let found = find(&maria, "query=cabeza&ordering=relevance").await;
    assert_eq!(words(&found)[0], "Mi cabeza, sin dolor #todo");

    // In the conversation itself it is the same.
    let page = maria.page(&conversation, "?search=cabeza&page_size=1").await;
    assert_eq!(seqs(list(&page, "items")), [4]);
    let next = text(&page, "next_cursor").to_owned();
    let page = maria.page(&conversation, &format!("?search=cabeza&page_size=1&before={next}")).await;
    assert_eq!(seqs(list(&page, "items")), [1]);
}

#[tokio::test]
async fn nobody_finds_what_they_may_not_read() {
    let world = World::new().await;
    let [ana, maria, carlos, luis, aisha] = world.sign_in_all([ANA, MARIA, CARLOS, LUIS, AISHA]).await;
    let direct = ana.open_direct(&maria.id).await;
    let group = maria.open_group("Casos de migraña", &[&carlos]).await;
    say(&ana, &direct, &["migraña en privado"]).await;
    say(&maria, &group, &["migraña antes de Aisha"]).await;
    maria
        .post(&format!("/conversations/{group}/participants"), &json!({"user_id": aisha.id}))
        .await
        .expect(200);
    say(&maria, &group, &["migraña con Aisha"]).await;

    let people = [&ana, &maria, &carlos, &luis, &aisha];
    for (person, expected) in people.into_iter().zip([1, 3, 2, 0, 1]) {
        let found = find(person, "query=migra%C3%B1a&page_size=100").await;
        assert_eq!(words(&found).len(), expected);
        // Whatever is found can be read where it was said.
        for item in list(&found, "items") {
            let conversation = text(&item["message"], "conversation_id");
            let readable: HashSet<_> =
                person.history(conversation).await.iter().map(|m| text(m, "id").to_owned()).collect();
            assert!(readable.contains(text(&item["message"], "id")));
        }
        let titles = list(&found, "conversations").len();
        assert_eq!(titles, usize::from([&maria.id, &carlos.id, &aisha.id].contains(&&person.id)));
    }
    // Naming a conversation opens none.
    let found = find(&luis, &format!("query=migra%C3%B1a&in_conversations={direct},{group}")).await;
    assert_eq!(found, json!({"items": [], "next_cursor": null, "conversations": []}));
    luis.get(&format!("/conversations/{direct}/messages?search=migra%C3%B1a"))
        .await
        .problem(404, "not_found");

    maria.delete(&format!("/conversations/{group}/participants/{}", carlos.id)).await.expect(204);
    assert!(words(&find(&carlos, "query=migra%C3%B1a").await).is_empty());
}

#[tokio::test]
async fn filters_and_pages_leave_nothing_out() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = ana.open_direct(&maria.id).await;
    let texts: Vec<String> = (1..=25).map(|n| format!("fiebre n.º {n}")).collect();
    say(&ana, &conversation, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    say(&maria, &conversation, &["fiebre mía"]).await;

    for ordering in ["-timestamp", "relevance"] {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = find(&ana, &format!("query=fiebre&page_size=7&ordering={ordering}{cursor}")).await;
            all.extend(list(&page, "items").iter().map(|item| text(&item["message"], "id").to_owned()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!((all.len(), all.iter().collect::<HashSet<_>>().len()), (26, 26), "{ordering}");
    }
    let second = find(&ana, "query=fiebre&page=2").await;
    assert_eq!(words(&second).len(), 6);
    assert_eq!(
        words(&find(&ana, &format!("query=fiebre&from_user={}", maria.id)).await),
        ["fiebre mía #todo"]
    );
    assert_eq!(words(&find(&ana, "query=fiebre&message_types=text&page_size=100").await).len(), 26);
    assert_eq!(words(&find(&ana, "query=fiebre&file_types=image").await).len(), 0);
    assert_eq!(words(&find(&ana, "query=fiebre&date_from=2020-01-01&page_size=100").await).len(), 26);
    assert_eq!(words(&find(&ana, "query=fiebre&date_to=2020-01-01").await).len(), 0);

    let many = vec![conversation.as_str(); 101].join(",");
    let long = "x".repeat(201);
    for bad in [
        "query=".to_owned(),
        "query=de%20la".to_owned(),
        format!("query={long}"),
        "query=a%00b".to_owned(),
        "query=fiebre&ordering=timestamp".to_owned(),
        "query=fiebre&cursor=x".to_owned(),
        "query=fiebre&page_size=101".to_owned(),
        "query=fiebre&page=1000000".to_owned(),
        "query=fiebre&message_types=telegram".to_owned(),
        "query=fiebre&date_from=ayer".to_owned(),
        "query=fiebre&colour=red".to_owned(),
        format!("query=fiebre&in_conversations={many}"),
    ] {
        ana.get(&format!("/search?{bad}")).await.any_problem(422);
    }
}

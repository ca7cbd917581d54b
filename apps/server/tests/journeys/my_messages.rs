//! The messages of all one's conversations (S2-33).

use std::collections::BTreeSet;

use alivio_testkit::server::{ANA, CARLOS, MARIA};
use serde_json::{Value, json};

use crate::{World, list, text};

fn ids<'a>(messages: impl IntoIterator<Item = &'a Value>) -> Vec<String> {
    messages.into_iter().map(|message| text(message, "id").to_owned()).collect()
}

#[tokio::test]
async fn all_that_one_can_read_comes_newest_first() {
    let world = World::new().await;
    let [ana, maria, carlos] = world.sign_in_all([ANA, MARIA, CARLOS]).await;
    let one = ana.open_direct(&maria.id).await;
    let two = maria.open_group("Equipo", &[&carlos]).await;
    let mut said = Vec::new();
    for n in 0..12 {
        let (sender, place) =
            if n % 3 == 0 { (&carlos, &two) } else { (&maria, if n % 3 == 1 { &one } else { &two }) };
        said.push(sender.send(place, &format!("n.º {n}")).await);
    }
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = maria.get(&format!("/messages?page_size=5{cursor}")).await.expect(200);
        all.extend(list(&page, "items").to_vec());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    said.reverse();
    assert_eq!(ids(&all), ids(&said));
    assert_eq!(
        all.iter().find(|m| m["conversation_id"] == one.as_str()).expect("one")["delivery_status"],
        "sent"
    );
    let by = |query: String| {
        let maria = &maria;
        async move { ids(list(&maria.get(&format!("/messages{query}")).await.expect(200), "items")) }
    };
    let where_it_is = |place: &str| ids(said.iter().filter(|m| m["conversation_id"] == place));
    assert_eq!(by(format!("?conversation={one}")).await, where_it_is(&one));
    let of_carlos = ids(said.iter().filter(|m| m["sender"]["id"] == carlos.id.as_str()));
    assert_eq!(by(format!("?sender={}", carlos.id)).await, of_carlos);
    assert!(by("?message_type=prescription".to_owned()).await.is_empty());
    let middle = text(&said[5], "created_at");
    assert_eq!(by(format!("?before={middle}")).await, ids(&said[6..]));
    assert_eq!(by(format!("?after={middle}")).await, ids(&said[..5]));

    // Nobody sees what they could not read where it stands.
    let seen: BTreeSet<_> = ids(list(&ana.get("/messages").await.expect(200), "items")).into_iter().collect();
    assert_eq!(seen, where_it_is(&one).into_iter().collect());
    let path = format!("/conversations/{two}/participants/{}", carlos.id);
    maria.delete(&path).await.expect(204);
    assert!(list(&carlos.get("/messages").await.expect(200), "items").is_empty());
    let back = json!({"user_id": carlos.id});
    maria.post(&format!("/conversations/{two}/participants"), &back).await.expect(200);
    let news = maria.send(&two, "Bienvenido").await;
    assert_eq!(ids(list(&carlos.get("/messages").await.expect(200), "items")), ids([&news]));
    for bad in ["?cursor=x", "?page_size=0", "?before=ayer", "?message_type=x", "?what=1"] {
        maria.get(&format!("/messages{bad}")).await.any_problem(422);
    }
}

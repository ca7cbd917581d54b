//! Going offline and back: one stream of what happened meanwhile (S0-211).

use std::collections::BTreeMap;

use alivio_testkit::actor::Actor;
use alivio_testkit::server::{ANA, CARLOS, MARIA, eventually};
use serde_json::{Value, json};

use crate::{World, list, number, text};

/// Where to go on from now.
async fn cursor(actor: &Actor) -> String {
    let page = actor.get("/changes").await.expect(200);
    assert_eq!(
        (list(&page, "items").len(), &page["gap"], &page["has_more"]),
        (0, &json!(false), &json!(false))
    );
    text(&page, "next_cursor").to_owned()
}

/// All that happened since, page by page, once `enough` holds of it: what others have not finished is not told yet.
async fn catch_up(actor: &Actor, since: &str, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    follow(actor, since, enough).await.0
}

/// Where to go on once the feed has told of `kind`: a cursor of now may lie before what others hold up.
async fn cursor_after(actor: &Actor, since: &str, kind: &str) -> String {
    follow(actor, since, |changes| kinds(changes).contains(&kind)).await.1
}

/// What [`catch_up`] gives, and where to go on.
async fn follow(actor: &Actor, since: &str, enough: impl Fn(&[Value]) -> bool) -> (Vec<Value>, String) {
    let (mut since, mut changes) = (since.to_owned(), Vec::new());
    eventually("it has caught up", async || {
        let page = actor.get(&format!("/changes?limit=4&since={since}")).await.expect(200);
        assert_eq!(page["gap"], false);
        changes.extend(list(&page, "items").iter().cloned());
        text(&page, "next_cursor").clone_into(&mut since);
        page["has_more"] == false && enough(&changes)
    })
    .await;
    (changes, since)
}

fn kinds(changes: &[Value]) -> Vec<&str> {
    changes.iter().map(|change| text(change, "type")).collect()
}

#[tokio::test]
async fn whoever_comes_back_learns_what_happened_in_order() {
    let world = World::new().await;
    let [ana, maria, carlos] = world.sign_in_all([ANA, MARIA, CARLOS]).await;
    let (of_ana, of_carlos) = (cursor(&ana).await, cursor(&carlos).await);
    let conversation = maria.open_group("Equipo", &[&ana]).await;
    let since = cursor_after(&ana, &of_ana, "conversation.created").await;

    let said = maria.send(&conversation, "¿Cómo se encuentra?").await;
    maria.read_up_to(&conversation, text(&said, "id")).await;
    let joins = json!({"user_id": carlos.id});
    maria.post(&format!("/conversations/{conversation}/participants"), &joins).await.expect(200);
    let other = maria.open_direct(&ana.id).await;

    let changes = catch_up(&ana, &since, |changes| changes.len() >= 4).await;
    assert_eq!(
        kinds(&changes),
        ["message.created", "receipt.read", "participant.joined", "conversation.created"]
    );
    let [message, receipt, joined, opened] = &*changes else { panic!("{changes:?}") };
    assert_eq!(message["message"], list(&ana.page(&conversation, "").await, "items")[0]);
    let expected = json!({"user_id": maria.id, "delivered_up_to": 1, "read_up_to": 1});
    assert_eq!(receipt["receipt"], expected);
    assert_eq!(
        (text(joined, "user_id"), text(&joined["participant"], "user_id")),
        (&*carlos.id, &*carlos.id)
    );
    assert_eq!((text(opened, "conversation_id"), text(&opened["conversation"], "id")), (&*other, &*other));

    // Carlos learns of himself, and of nothing that was said before.
    let since_ever = cursor_after(&carlos, &of_carlos, "participant.joined").await;
    let later = maria.send(&conversation, "Bienvenido").await;
    let told = catch_up(&carlos, &since_ever, |changes| !changes.is_empty()).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["message"]["id"], later["id"]);
}

#[tokio::test]
async fn whoever_was_removed_learns_that_and_no_more() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let conversation = maria.open_group("Equipo", &[&ana]).await;
    let since = cursor(&ana).await;
    maria.send(&conversation, "antes").await;
    maria.delete(&format!("/conversations/{conversation}/participants/{}", ana.id)).await.expect(204);
    maria.send(&conversation, "después").await;
    let changes = catch_up(&ana, &since, |changes| !changes.is_empty()).await;
    assert_eq!(kinds(&changes), ["participant.removed"]);
    assert_eq!(text(&changes[0], "user_id"), ana.id);
    for hidden in ["message", "participant", "conversation"] {
        assert!(changes[0].get(hidden).is_none(), "{}", changes[0]);
    }

    // Back again, it is as if it were new.
    maria
        .post(&format!("/conversations/{conversation}/participants"), &json!({"user_id": ana.id}))
        .await
        .expect(200);
    let said = maria.send(&conversation, "otra vez").await;
    let changes = catch_up(&ana, &since, |changes| kinds(changes).contains(&"message.created")).await;
    assert_eq!(kinds(&changes), ["participant.joined", "message.created"]);
    assert_eq!(text(&changes[0]["conversation"], "id"), conversation);
    assert_eq!(changes[1]["message"]["id"], said["id"]);
}

#[tokio::test]
async fn a_cursor_that_is_not_known_is_a_gap() {
    let world = World::new().await;
    let [ana, maria] = world.sign_in_all([ANA, MARIA]).await;
    let theirs = cursor(&maria).await;
    for since in [&*theirs, "x", "1.2.3.4", ""] {
        let page = ana.get(&format!("/changes?since={since}")).await.expect(200);
        assert_eq!((&page["gap"], list(&page, "items").len()), (&json!(true), 0), "{since}");
        let next = text(&page, "next_cursor");
        let page = ana.get(&format!("/changes?since={next}")).await.expect(200);
        assert_eq!(page["gap"], false, "a gap leads nowhere");
    }
    for limit in ["0", "101", "x"] {
        ana.get(&format!("/changes?limit={limit}")).await.any_problem(422);
    }
}

/// What a client keeps of its conversations.
#[derive(Clone, Default, PartialEq, Debug)]
struct Copy {
    /// By conversation: what it is, who is in it and how far they are, and what was said.
    conversations: BTreeMap<String, Kept>,
}

#[derive(Clone, Default, PartialEq, Debug)]
struct Kept {
    details: BTreeMap<&'static str, Value>,
    people: BTreeMap<String, Value>,
    messages: BTreeMap<String, Value>,
}

/// What of a conversation does not follow from what else a client has.
const DETAILS: [&str; 4] = ["title", "description", "is_active", "settings"];

fn details(conversation: &Value) -> BTreeMap<&'static str, Value> {
    DETAILS.into_iter().map(|name| (name, conversation[name].clone())).collect()
}

/// Someone's part, without what their presence changes.
fn part(participant: &Value) -> Value {
    let names = ["role", "joined_at", "delivered_up_to", "read_up_to"];
    names
        .into_iter()
        .map(|name| (name.to_owned(), participant[name].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A message, without what follows from receipts.
fn message(value: &Value) -> Value {
    let mut value = value.clone();
    for derived in ["delivery_status", "read_by", "sender"] {
        value.as_object_mut().expect("an object").remove(derived);
    }
    value
}

impl Copy {
    /// Reads everything anew.
    async fn of(actor: &Actor) -> Self {
        let mut copy = Self::default();
        let inbox = actor.get("/conversations?page_size=100").await.expect(200);
        for conversation in list(&inbox, "items") {
            let id = text(conversation, "id");
            let kept = copy.conversations.entry(id.to_owned()).or_default();
            kept.take(conversation);
            for said in actor.history(id).await {
                kept.messages.insert(text(&said, "id").to_owned(), message(&said));
            }
        }
        copy
    }

    /// Does what the changes say.
    fn replay(&mut self, changes: &[Value], me: &str) {
        for change in changes {
            let (kind, id) = (text(change, "type"), text(change, "conversation_id"));
            let who = change["user_id"].as_str().unwrap_or_default();
            if kind == "participant.joined" && who == me {
                self.conversations.remove(id);
            }
            let is_gone = matches!(kind, "participant.removed" | "participant.left");
            if is_gone && who == me {
                self.conversations.remove(id);
                continue;
            }
            let kept = self.conversations.entry(id.to_owned()).or_default();
            if let Some(conversation) = change.get("conversation") {
                kept.take(conversation);
            }
            if let Some(said) = change.get("message") {
                kept.messages.insert(text(said, "id").to_owned(), message(said));
            }
            if let Some(receipt) = change.get("receipt") {
                let part = kept.people.entry(text(receipt, "user_id").to_owned()).or_insert(json!({}));
                for mark in ["delivered_up_to", "read_up_to"] {
                    part[mark] = receipt[mark].clone();
                }
            }
            if is_gone {
                kept.people.remove(who);
            } else if let Some(participant) = change.get("participant") {
                kept.people.insert(text(participant, "user_id").to_owned(), part(participant));
            }
        }
    }
}

impl Kept {
    fn take(&mut self, conversation: &Value) {
        self.details = details(conversation);
        let people = list(conversation, "participants").iter();
        self.people = people.map(|person| (text(person, "user_id").to_owned(), part(person))).collect();
    }
}

/// Replaying the changes since any moment over a copy of that moment yields what reading everything anew yields.
#[tokio::test]
async fn replaying_over_an_old_copy_yields_the_present() {
    let world = World::new().await;
    let [ana, maria, carlos] = world.sign_in_all([ANA, MARIA, CARLOS]).await;
    let group = maria.open_group("Equipo", &[&ana, &carlos]).await;
    let direct = maria.open_direct(&ana.id).await;
    let everyone = [&ana, &maria, &carlos];
    let mut moments = Vec::new();
    // Not random: every kind of step after every other, in an order that repeats only after all of them.
    for step in 0_u32..36 {
        if step % 6 == 0 {
            for actor in everyone {
                // The cursor first: what happens in between comes twice, which does no harm.
                let since = cursor(actor).await;
                moments.push((actor, since, Copy::of(actor).await));
            }
        }
        let conversation = if step % 4 == 3 { &direct } else { &group };
        let people = format!("/conversations/{group}/participants");
        match (step * 7 + step / 6) % 6 {
            0 | 3 => drop(maria.send(conversation, &format!("número {step}")).await),
            1 => drop(ana.send(conversation, &format!("respuesta {step}")).await),
            2 => {
                let newest = ana.page(conversation, "?page_size=1").await;
                if let Some(newest) = list(&newest, "items").first() {
                    ana.read_up_to(conversation, text(newest, "id")).await;
                }
            }
            4 => drop(maria.delete(&format!("{people}/{}", carlos.id)).await),
            _ => drop(maria.post(&people, &json!({"user_id": carlos.id})).await),
        }
    }
    let last = maria.send(&group, "fin").await;
    let last = [text(&last, "id").to_owned(), text(&maria.send(&direct, "fin").await, "id").to_owned()];
    let carlos_is_in = list(&maria.conversation(&group).await, "participants").len() == 3;
    for (actor, since, mut copy) in moments {
        let sees = match actor.id == carlos.id {
            true if carlos_is_in => &last[..1],
            true => &[],
            false => &last[..],
        };
        let changes = catch_up(actor, &since, |changes| {
            sees.iter().all(|id| changes.iter().any(|change| change["message"]["id"] == **id))
        });
        copy.replay(&changes.await, &actor.id);
        assert_eq!(copy, Copy::of(actor).await, "{} since {since}", actor.user["display_name"]);
    }
    assert!(number(&maria.conversation(&group).await, "last_seq") > 10);
}

//! Actors whose doings are written down, for the [checker](alivio_checker).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test library: a failure is a failed test"
)]

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use alivio_checker::{
    Action, AuditRow, ConversationEnd, Digest, Indexed, Mark, MarksEnd, MarksNow, Membership, Message, Note,
    Reaction, Reader, Recorder, Seen, Stored, Who, Wording,
};
use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_postgres::{Client, Error, NoTls, Row};

use crate::actor::{Actor, Answer, Request};
use crate::socket::{Refused, Socket, send_command};

/// Before the server is asked again after it could not answer.
const REST: Duration = Duration::from_millis(20);
/// Before someone who is not in a conversation asks for it again, unless they are told that they are.
const AWAY: Duration = Duration::from_millis(500);

/// An answer that has not come by then is lost. The server itself gives up earlier.
const LOST: Duration = Duration::from_secs(20);

/// What came of something.
#[derive(Debug, Clone, PartialEq)]
pub enum Came {
    /// It happened; this is the answer.
    Done(Value),
    /// It was refused, with this status.
    Refused(u16),
    /// Nobody knows.
    Unknown,
}

/// Someone at one device, whose doings are written down.
#[derive(Debug, Clone)]
pub struct Scribe {
    /// The person.
    pub actor: Actor,
    who: Who,
    recorder: Recorder,
}

impl Scribe {
    /// `process` is the number of the device.
    #[must_use]
    pub fn new(recorder: &Recorder, process: u64, actor: &Actor) -> Self {
        let who = Who { process, user: actor.id.clone() };
        Self { actor: actor.clone(), who, recorder: recorder.clone() }
    }

    /// The number of the device.
    #[must_use]
    pub const fn process(&self) -> u64 {
        self.who.process
    }

    /// Sends a message over REST.
    pub async fn send(&self, conversation: &str, client_id: &str, content: &str) -> Came {
        let path = format!("/conversations/{conversation}/messages");
        let body = json!({"content": content, "client_message_id": client_id});
        let request = Request::new(Method::POST, path).json(&body);
        self.perform(conversation, sending(client_id, content), request, sent).await
    }

    /// Sends a message that puts `message` right.
    pub async fn correct(&self, conversation: &str, message: &str, client_id: &str, content: &str) -> Came {
        let body = json!({"content": content, "client_message_id": client_id});
        let request = Request::new(Method::POST, format!("/messages/{message}/corrections")).json(&body);
        self.perform(conversation, sending(client_id, content), request, sent).await
    }

    /// Puts a message off until `due`.
    pub async fn put_off(
        &self,
        conversation: &str,
        client_id: &str,
        content: &str,
        due: DateTime<Utc>,
    ) -> Came {
        let path = format!("/conversations/{conversation}/messages");
        let body = json!({"content": content, "client_message_id": client_id, "scheduled_for": due});
        let request = Request::new(Method::POST, path).json(&body);
        let (client_id, digest) = (client_id.to_owned(), Digest::of(content));
        let action = Action::PutOff { client_id, digest, sent_as: None };
        self.perform(conversation, action, request, |action, answer| {
            if let Action::PutOff { sent_as, .. } = action {
                *sent_as = Some(format!("scheduled-{}", text(&answer.json["id"])));
            }
        })
        .await
    }

    /// Reports a message to those who moderate.
    pub async fn report(&self, conversation: &str, message: &str) -> Came {
        let path = format!("/messages/{message}/reports");
        let request = Request::new(Method::POST, path).json(&json!({"reason": "other"}));
        let action = Action::Report { message: message.to_owned() };
        self.perform(conversation, action, request, |_, _| ()).await
    }

    /// Gives a message other words.
    pub async fn edit(&self, conversation: &str, message: &str, content: &str) -> Came {
        let request =
            Request::new(Method::PATCH, format!("/messages/{message}")).json(&json!({"content": content}));
        let action = Action::Edit { message: message.to_owned(), digest: Digest::of(content), version: None };
        self.perform(conversation, action, request, |action, answer| {
            if let Action::Edit { version, .. } = action {
                *version = u32::try_from(number(&answer.json["version"])).ok();
            }
        })
        .await
    }

    /// Takes a message back.
    pub async fn delete(&self, conversation: &str, message: &str, by_moderator: bool) -> Came {
        let request = Request::new(Method::DELETE, format!("/messages/{message}"));
        let action = Action::Delete { message: message.to_owned(), by_moderator };
        self.perform(conversation, action, request, |_, _| ()).await
    }

    /// Sets or clears a thumb up.
    pub async fn react(&self, conversation: &str, message: &str, is_set: bool) -> Came {
        let path = format!("/messages/{message}/reactions/%F0%9F%91%8D");
        let request = if is_set {
            Request::new(Method::PUT, path).json(&json!({}))
        } else {
            Request::new(Method::DELETE, path)
        };
        let action = Action::React { message: message.to_owned(), emoji: "👍".to_owned(), is_set };
        self.perform(conversation, action, request, |_, _| ()).await
    }

    /// Marks everything up to `message`, which is at `seq`, as read.
    pub async fn read_up_to(&self, conversation: &str, message: &str, seq: i64) -> Came {
        let path = format!("/conversations/{conversation}/read-marker");
        let request = Request::new(Method::PUT, path).json(&json!({"message_id": message}));
        let action = Action::Advance { mark: Mark::Read, up_to: seq, now: None };
        self.perform(conversation, action, request, |action, answer| {
            if let Action::Advance { now, .. } = action {
                let delivered = number(&answer.json["delivered_up_to"]);
                *now = Some(MarksNow { delivered, read: number(&answer.json["read_up_to"]) });
            }
        })
        .await
    }

    /// Adds someone to a conversation, or removes them.
    pub async fn change_membership(&self, conversation: &str, member: &str, is_in: bool) -> Came {
        let path = format!("/conversations/{conversation}/participants");
        let member = member.to_owned();
        let (request, action) = if is_in {
            let request = Request::new(Method::POST, path).json(&json!({"user_id": member}));
            (request, Action::Join { member })
        } else {
            (Request::new(Method::DELETE, format!("{path}/{member}")), Action::Leave { member })
        };
        self.perform(conversation, action, request, |_, _| ()).await
    }

    async fn perform(
        &self,
        conversation: &str,
        action: Action,
        request: Request,
        complete: impl FnOnce(&mut Action, &Answer),
    ) -> Came {
        let mut done = action.clone();
        let ticket = self.recorder.invoke(&self.who, conversation, action);
        match self.actor.try_request(request).await {
            Ok(answer) if (200..300).contains(&answer.status) => {
                complete(&mut done, &answer);
                self.recorder.ok(ticket, done);
                Came::Done(answer.json)
            }
            // Says itself that it does not know.
            Ok(answer) if answer.status == 503 => {
                self.recorder.info(ticket);
                Came::Unknown
            }
            Ok(answer) => {
                self.recorder.fail(ticket);
                Came::Refused(answer.status)
            }
            Err(_) => {
                self.recorder.info(ticket);
                Came::Unknown
            }
        }
    }

    /// A WebSocket, whose very many frames are not held against the document.
    async fn connect(&self) -> Result<Socket, Refused> {
        self.actor.try_connect(self.actor.knock().unchecked()).await
    }

    /// Sends messages, `(client_id, content)`, over a WebSocket, `window` at a time. What is on its way when the
    /// connection ends is sent again in its order, until all are acknowledged or refused. `acknowledged` is told of
    /// each.
    pub async fn write(
        &self,
        conversation: &str,
        window: usize,
        mut messages: impl Iterator<Item = (String, String)> + Send,
        acknowledged: impl Fn(&Value) + Send,
    ) {
        let mut unsent: VecDeque<(String, String)> = VecDeque::new();
        let mut is_over = false;
        while !(is_over && unsent.is_empty()) {
            let Ok(mut socket) = self.connect().await else {
                sleep(REST).await;
                continue;
            };
            let mut on_their_way = VecDeque::new();
            loop {
                while on_their_way.len() < window {
                    let next = unsent.pop_front().or_else(|| if is_over { None } else { messages.next() });
                    let Some((client_id, content)) = next else {
                        is_over = true;
                        break;
                    };
                    let ticket = self.recorder.invoke(&self.who, conversation, sending(&client_id, &content));
                    // If it cannot be sent, that shows when its answer is waited for.
                    let command = send_command(conversation, &client_id, &content);
                    let reference = socket.try_command(command).await.unwrap_or_default();
                    on_their_way.push_back((reference, ticket, (client_id, content)));
                }
                let Some((reference, ticket, message)) = on_their_way.pop_front() else { break };
                match answer(&mut socket, &reference).await {
                    Some(Ok(ack)) => {
                        let mut done = ticket.action().clone();
                        if let Action::Send { stored, .. } = &mut done {
                            let message = text(&ack["message_id"]);
                            let is_new = ack["created"].as_bool();
                            *stored = Some(Stored { message, seq: number(&ack["seq"]), is_new });
                        }
                        self.recorder.ok(ticket, done);
                        acknowledged(&ack);
                    }
                    Some(Err(error)) if error["error"] != "unavailable" => self.recorder.fail(ticket),
                    _ => {
                        on_their_way.push_front((reference, ticket, message));
                        break;
                    }
                }
            }
            for (_, ticket, message) in on_their_way.into_iter().rev() {
                self.recorder.info(ticket);
                unsent.push_front(message);
            }
        }
    }

    /// Follows a conversation from its beginning over all interruptions, until it has come to its end; or, when that
    /// is known, until nothing has come for `patience`.
    pub async fn follow(
        &self,
        conversation: &str,
        mut end: watch::Receiver<Option<i64>>,
        patience: Duration,
    ) -> Reader {
        let reader = Reader { process: self.who.process, user: self.who.user.clone(), from: 0 };
        let mut cursor = 0;
        'connections: loop {
            let Ok(mut socket) = self.connect().await else {
                sleep(REST).await;
                continue;
            };
            // When someone who is away asks again.
            let mut again: Option<Instant> = None;
            // What was asked and not answered yet: asking twice would be to be told twice.
            let mut asked = self.resume(&mut socket, conversation, cursor).await;
            loop {
                let known = *end.borrow_and_update();
                if known.is_some_and(|end| cursor >= end) {
                    return reader;
                }
                if asked.is_none() && again.is_some_and(|again| again <= Instant::now()) {
                    again = None;
                    asked = self.resume(&mut socket, conversation, cursor).await;
                }
                let next = async {
                    tokio::select! {
                        frame = socket.next() => frame,
                        changed = end.changed() => changed.ok().map(|()| Value::Null),
                        () = passes(again), if asked.is_none() => Some(Value::Null),
                    }
                };
                let frame = match known {
                    None => next.await,
                    Some(_) => match timeout(patience, next).await {
                        Ok(frame) => frame,
                        Err(_) => return reader,
                    },
                };
                let Some(frame) = frame else { continue 'connections };
                // People hear of all their conversations.
                let is_mine =
                    frame["data"]["user_id"] == self.who.user && frame["conversation_id"] == conversation;
                match frame["type"].as_str() {
                    Some("message.created") => {
                        let seen = seen(&frame["data"]);
                        cursor = cursor.max(seen.seq);
                        self.recorder.happened(&self.who, conversation, Action::Deliver(seen));
                    }
                    Some("message.updated" | "message.deleted" | "message.reacted" | "message.corrected") => {
                        self.recorder.happened(&self.who, conversation, Action::Look(seen(&frame["data"])))
                    }
                    Some("ack") if frame["ref"].as_str() == asked.as_deref() => (asked, again) = (None, None),
                    Some("participant.joined") if is_mine && asked.is_none() => again = Some(Instant::now()),
                    Some("participant.removed") if is_mine => again = Some(Instant::now() + AWAY),
                    Some("error") if frame["ref"].as_str() == asked.as_deref() => {
                        asked = None;
                        if frame["data"]["error"] != "not_found" {
                            sleep(REST).await;
                            continue 'connections;
                        }
                        if known.is_some() {
                            return reader;
                        }
                        again = Some(Instant::now() + AWAY);
                    }
                    _ => {}
                }
            }
        }
    }

    async fn resume(&self, socket: &mut Socket, conversation: &str, from: i64) -> Option<String> {
        self.recorder.happened(&self.who, conversation, Action::Listen { from });
        socket.try_command(json!({"type": "resume", "conversation_id": conversation, "last_seq": from})).await
    }
}

/// Notes what the answer to a sent message says.
fn sent(action: &mut Action, answer: &Answer) {
    if let Action::Send { stored, .. } = action {
        let (message, seq) = (text(&answer.json["id"]), number(&answer.json["seq"]));
        *stored = Some(Stored { message, seq, is_new: Some(answer.status == 201) });
    }
}

/// Waits for a moment, for ever if there is none.
async fn passes(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The answer to a command of a socket that listens to nothing; `None` if there will be none.
async fn answer(socket: &mut Socket, reference: &str) -> Option<Result<Value, Value>> {
    loop {
        let frame = timeout(LOST, socket.next()).await.ok()??;
        if frame["ref"] == reference {
            let data = frame["data"].clone();
            return Some(if frame["type"] == "ack" { Ok(data) } else { Err(data) });
        }
    }
}

fn sending(client_id: &str, content: &str) -> Action {
    Action::Send { client_id: client_id.to_owned(), digest: Digest::of(content), stored: None }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// A message as the API shows it.
fn seen(message: &Value) -> Seen {
    Seen {
        seq: number(&message["seq"]),
        message: text(&message["id"]),
        sender: text(&message["sender"]["id"]),
        client_id: text(&message["client_message_id"]),
        version: u32::try_from(number(&message["version"])).expect("a version"),
        digest: message["content"].as_str().map(Digest::of),
    }
}

/// Has the database remember from now on who was in which conversation from where to where: what is stored forgets the time
/// before when someone comes back.
///
/// # Panics
/// If it cannot.
pub async fn remember_memberships(database_url: &str) {
    const SQL: &str = "
        CREATE TABLE remembered_memberships (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            conversation_id uuid NOT NULL, user_id uuid NOT NULL, joined_at timestamptz NOT NULL,
            joined_seq bigint NOT NULL, left_seq bigint
        );
        CREATE FUNCTION remember_membership() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'INSERT' OR (OLD.left_seq IS NOT NULL AND NEW.left_seq IS NULL) THEN
                INSERT INTO remembered_memberships (conversation_id, user_id, joined_at, joined_seq)
                VALUES (NEW.conversation_id, NEW.user_id, NEW.joined_at, NEW.joined_seq);
            ELSE
                UPDATE remembered_memberships SET left_seq = NEW.left_seq WHERE id = (
                    SELECT max(id) FROM remembered_memberships
                    WHERE conversation_id = NEW.conversation_id AND user_id = NEW.user_id);
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER remember_membership AFTER INSERT OR UPDATE OF joined_seq, left_seq ON participants
            FOR EACH ROW EXECUTE FUNCTION remember_membership();";
    let client = connect(database_url).await.expect("a connection");
    client.batch_execute(SQL).await.expect("a memory");
}

/// Waits until all events were handled, all timers have run out, and the index has followed all changes; no longer than
/// `patience`.
///
/// # Panics
/// If that cannot be found out.
pub async fn all_is_handled(database_url: &str, patience: Duration) {
    const WAITING: &str = "SELECT EXISTS (SELECT FROM outbox) OR EXISTS (
        SELECT FROM search_progress p JOIN changes c ON (c.xid, c.id) > (p.xid, p.id))";
    let client = connect(database_url).await.expect("a connection");
    let began = Instant::now();
    loop {
        let is_waiting: bool = client.query_one(WAITING, &[]).await.expect("an answer").get(0);
        if !is_waiting || began.elapsed() > patience {
            return;
        }
        sleep(REST).await;
    }
}

/// Reads what is stored of a conversation, when all is quiet. `everyone` are all who were ever in it, the first one
/// from its beginning to its end, since memberships are [remembered](remember_memberships).
///
/// # Panics
/// If something cannot be read.
pub async fn read_end(
    database_url: &str,
    conversation: &str,
    everyone: &[&Scribe],
    readers: Vec<Reader>,
) -> ConversationEnd {
    let client = connect(database_url).await.expect("a connection");
    let reader = &everyone[0].actor;
    let log = reader.log(conversation).await;
    let memberships = memberships(&client, conversation).await;
    let mut unread = HashMap::new();
    for scribe in everyone {
        let present = memberships.iter().find(|m| m.user == scribe.who.user && m.until.is_none());
        let first = present.and_then(|m| log.iter().find(|message| number(&message["seq"]) >= m.from));
        if let Some(first) = first {
            // Nothing moves, unless they have read nothing; it says what is unread.
            let answer = scribe.read_up_to(conversation, &text(&first["id"]), number(&first["seq"])).await;
            if let Came::Done(answer) = answer {
                unread.insert(scribe.who.user.clone(), number(&answer["unread_count"]));
            }
        }
    }
    let mut messages = Vec::with_capacity(log.len());
    let mut reactions = Vec::new();
    for message in &log {
        let Seen { seq, message: id, sender, client_id, version, digest } = seen(message);
        let wordings = match digest {
            Some(digest) if version == 1 => Some(vec![Wording { version, digest }]),
            Some(_) => {
                let said = reader.get(&format!("/messages/{id}/history")).await.expect(200);
                let said = said["items"].as_array().expect("wordings");
                Some(said.iter().map(wording).collect())
            }
            None => None,
        };
        for reaction in message["reactions"].as_array().expect("reactions") {
            let users = reaction["users"].as_array().expect("users").iter().map(|user| text(&user["id"]));
            reactions.push(Reaction {
                message: id.clone(),
                emoji: text(&reaction["emoji"]),
                count: number(&reaction["count"]).unsigned_abs(),
                users: users.collect(),
            });
        }
        let is_deleted = message["is_deleted"] == true;
        let corrects = message["corrects"].as_str().map(str::to_owned);
        messages.push(Message { seq, id, sender, client_id, version, is_deleted, corrects, wordings });
    }
    ConversationEnd {
        id: conversation.to_owned(),
        messages,
        memberships,
        marks: marks(&client, conversation, &unread).await,
        readers,
        notes: Some(notes(&client, conversation).await),
        index: Some(index(&client, conversation).await),
        unhandled: Some(unhandled(&client, conversation).await),
        reactions: Some(reactions),
        audit: Some(audit(&client, conversation).await),
    }
}

fn wording(said: &Value) -> Wording {
    let version = u32::try_from(number(&said["version"])).expect("a version");
    Wording { version, digest: Digest::of(said["content"].as_str().expect("words")) }
}

async fn memberships(client: &Client, conversation: &str) -> Vec<Membership> {
    const SQL: &str = "SELECT r.user_id::text, r.joined_seq, r.left_seq, r.joined_at = c.created_at
        FROM remembered_memberships r JOIN conversations c ON c.id = r.conversation_id
        WHERE c.id = $1::text::uuid ORDER BY r.id";
    let rows = client.query(SQL, &[&conversation]).await.expect("the memberships");
    let membership = |row: &Row| Membership {
        user: row.get(0),
        from: row.get(1),
        until: row.get(2),
        is_founder: row.get(3),
    };
    rows.iter().map(membership).collect()
}

async fn index(client: &Client, conversation: &str) -> Vec<Indexed> {
    const SQL: &str =
        "SELECT message_id::text, version FROM message_tokens WHERE conversation_id = $1::text::uuid";
    let rows = client.query(SQL, &[&conversation]).await.expect("the index");
    let entry = |row: &Row| Indexed { message: row.get(0), version: row.get::<_, i32>(1).unsigned_abs() };
    rows.iter().map(entry).collect()
}

async fn unhandled(client: &Client, conversation: &str) -> u64 {
    const SQL: &str = "SELECT count(*) FROM outbox o
        LEFT JOIN scheduled_messages s ON s.id::text = o.payload ->> 'id'
        WHERE coalesce(o.payload ->> 'conversation_id', s.conversation_id::text) = $1";
    let row = client.query_one(SQL, &[&conversation]).await.expect("the events");
    row.get::<_, i64>(0).unsigned_abs()
}

async fn marks(client: &Client, conversation: &str, unread: &HashMap<String, i64>) -> Vec<MarksEnd> {
    const SQL: &str = "SELECT user_id::text, delivered_up_to, read_up_to FROM participants
        WHERE conversation_id = $1::text::uuid AND left_seq IS NULL";
    let rows = client.query(SQL, &[&conversation]).await.expect("the marks");
    let of = |row: &Row| {
        let user: String = row.get(0);
        MarksEnd { unread: unread.get(&user).copied(), user, delivered: row.get(1), read: row.get(2) }
    };
    rows.iter().map(of).collect()
}

async fn notes(client: &Client, conversation: &str) -> Vec<Note> {
    const SQL: &str = "SELECT kind, coalesce(message_id, user_id)::text, count(*) FROM changes
        WHERE conversation_id = $1::text::uuid AND coalesce(message_id, user_id) IS NOT NULL GROUP BY 1, 2";
    let rows = client.query(SQL, &[&conversation]).await.expect("the notes of changes");
    let note =
        |row: &Row| Note { kind: row.get(0), about: row.get(1), times: row.get::<_, i64>(2).unsigned_abs() };
    rows.iter().map(note).collect()
}

async fn audit(client: &Client, conversation: &str) -> Vec<AuditRow> {
    const SQL: &str = "SELECT a.action, a.object_id::text, coalesce(a.actor_id::text, '') FROM audit_log a
        JOIN messages m ON m.id = a.object_id WHERE m.conversation_id = $1::text::uuid";
    let rows = client.query(SQL, &[&conversation]).await.expect("the audit trail");
    let entry = |row: &Row| AuditRow { action: row.get(0), object: row.get(1), actor: row.get(2) };
    rows.iter().map(entry).collect()
}

/// A connection to the database itself.
///
/// # Errors
/// If there is none.
pub async fn connect(database_url: &str) -> Result<Client, Error> {
    let (client, connection) = tokio_postgres::connect(database_url, NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ended");
        }
    });
    Ok(client)
}

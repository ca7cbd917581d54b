//! What members do and see, written down for the checker.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use alivio_checker::{
    Action, ConversationEnd, Digest, End, Membership, Message, Reader, Recorder, Seen, Stored, Ticket, Who,
    check, write,
};
use serde_json::Value;

use crate::client::{BenchError, Clinic, Frame, Person};

/// Writes down what one member does.
#[derive(Debug)]
pub(crate) struct Scribe {
    recorder: Recorder,
    who: Who,
    conversation: String,
    /// What is on its way, by its reference.
    tickets: HashMap<String, Ticket>,
}

impl Scribe {
    /// For the member of this number, who has been connected since the conversation began.
    pub(crate) fn new(recorder: &Recorder, number: usize, person: &Person, conversation: &str) -> Self {
        let who = Who { process: number as u64, user: person.id.clone() };
        let scribe = Self {
            recorder: recorder.clone(),
            who,
            conversation: conversation.to_owned(),
            tickets: HashMap::new(),
        };
        scribe.listens(0);
        scribe
    }

    /// A message is about to be sent.
    pub(crate) fn sends(&mut self, reference: &str, client_id: &str, content: &str) {
        let (client_id, digest) = (client_id.to_owned(), Digest::of(content));
        let action = Action::Send { client_id, digest, stored: None };
        let ticket = self.recorder.invoke(&self.who, &self.conversation, action);
        self.tickets.insert(reference.to_owned(), ticket);
    }

    /// A message was acknowledged.
    pub(crate) fn acknowledged(&mut self, reference: &str, ack: &Frame<'_>) {
        let Some(ticket) = self.tickets.remove(reference) else { return };
        let mut done = ticket.action().clone();
        if let (Action::Send { stored, .. }, Some(message), Some(seq)) =
            (&mut done, ack.data.message_id, ack.data.seq)
        {
            *stored = Some(Stored { message: message.to_owned(), seq: place(seq), is_new: None });
        }
        self.recorder.ok(ticket, done);
    }

    /// The connection was lost, and there is another one; `on_their_way` is sent again.
    pub(crate) fn comes_back<'a>(&mut self, from: u64, on_their_way: impl Iterator<Item = &'a str>) {
        let mut lost = Vec::new();
        for reference in on_their_way {
            if let Some(ticket) = self.tickets.remove(reference) {
                lost.push((reference, ticket.action().clone()));
                self.recorder.info(ticket);
            }
        }
        self.listens(place(from));
        for (reference, action) in lost {
            let ticket = self.recorder.invoke(&self.who, &self.conversation, action);
            self.tickets.insert(reference.to_owned(), ticket);
        }
    }

    /// A message was delivered.
    pub(crate) fn received(&self, event: &Frame<'_>) {
        let data = &event.data;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let seen = Seen {
            seq: place(event.seq.unwrap_or_default()),
            message: text(data.id),
            sender: text(data.sender.as_ref().map(|sender| sender.id)),
            client_id: text(data.client_message_id),
            version: data.version.unwrap_or_default(),
            digest: None,
        };
        self.recorder.happened(&self.who, &self.conversation, Action::Deliver(seen));
    }

    fn listens(&self, from: i64) {
        self.recorder.happened(&self.who, &self.conversation, Action::Listen { from });
    }
}

fn place(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// Reads what is stored, writes everything to `file` and checks it. How many rules were broken how often, of which the
/// first are shown.
pub(crate) async fn verdict(
    file: &Path,
    recorder: &Recorder,
    clinic: &Clinic,
    readers: Vec<(String, Reader)>,
) -> Result<Vec<String>, BenchError> {
    let mut conversations: Vec<ConversationEnd> = Vec::new();
    for (id, reader) in readers {
        match conversations.iter_mut().find(|conversation| conversation.id == id) {
            Some(conversation) => conversation.readers.push(reader),
            None => conversations.push(ConversationEnd {
                messages: log(clinic, &id).await?,
                memberships: clinic.people.iter().map(member).collect(),
                id,
                readers: vec![reader],
                ..ConversationEnd::default()
            }),
        }
    }
    let (lines, end) = (recorder.lines(), End { conversations });
    write(&lines, &end, BufWriter::new(File::create(file)?))?;
    Ok(check(&lines, &end).iter().map(ToString::to_string).collect())
}

/// All are in the conversation from its beginning to its end.
fn member(person: &Person) -> Membership {
    Membership { user: person.id.clone(), from: 1, until: None, is_founder: true }
}

async fn log(clinic: &Clinic, conversation: &str) -> Result<Vec<Message>, BenchError> {
    let person = clinic.people.first().ok_or(BenchError::Silence)?;
    let path = format!("/conversations/{conversation}/messages?page_size=100");
    let (mut messages, mut query) = (Vec::new(), String::new());
    loop {
        let page = clinic.read(&format!("{path}{query}"), person).await?;
        let items = page["items"].as_array().ok_or(BenchError::Silence)?;
        messages.extend(items.iter().map(message));
        match page["next_cursor"].as_str() {
            Some(cursor) => query = format!("&before={cursor}"),
            None => break,
        }
    }
    messages.reverse();
    Ok(messages)
}

fn message(shown: &Value) -> Message {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Message {
        seq: shown["seq"].as_i64().unwrap_or_default(),
        id: text(&shown["id"]),
        sender: text(&shown["sender"]["id"]),
        client_id: text(&shown["client_message_id"]),
        version: 1,
        is_deleted: false,
        corrects: None,
        wordings: None,
    }
}

//! The AsyncAPI document of the canonical socket, made from the types that the socket reads and writes.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::answers::{AckFrame, ErrorFrame, ReadyFrame};
use super::canonical::VERSION;
use super::commands::commands;
use super::events::{Event, events};

const ABOUT: &str = "Secure conversations between patients and professionals, as they happen. One socket per device, many \
    conversations. All frames are JSON text of at most 64 KiB.\n\n\
    Sign in as `openSocket` in `openapi.json` says: by `Authorization: Bearer …`, by the subprotocols `alivio.v1, \
    bearer.<access token>` or `alivio.v1, ticket.<ticket>`, or by `?ticket=…`. `ready` comes first.\n\n\
    Every command is answered by `ack` or `error` with its `ref`. Every event about a message carries the message's \
    `seq`; after a reconnect, `resume` with the last one you have: nothing is missing and nothing comes twice.\n\n\
    A person has 10 sockets open at most; the next is refused with 429 `too_many_sockets`.\n\n\
    Close codes: 4401 the session has ended; 4429 too many commands; 4008 you read too slowly, resume; 1009 the frame is \
    too large, or in too many parts; 1003 not text; 1012 the server restarts, come back and resume; 1013 too much \
    is asked for at once: the reason, `try_again retry_after=7`, says after how many seconds to come back and resume.";

/// Something with a name and a type.
pub(super) struct Described {
    name: &'static str,
    summary: &'static str,
    schema: Value,
    needed: Vec<(String, Value)>,
    title: String,
}

/// `T` under `name`.
pub(super) fn described<T: ToSchema>(name: &'static str, summary: &'static str) -> Described {
    let mut needed = Vec::new();
    T::schemas(&mut needed);
    let needed = needed.into_iter().map(|(name, schema)| (name, as_value(&schema)));
    Described {
        name,
        summary,
        schema: as_value(&T::schema()),
        needed: needed.collect(),
        title: T::name().into(),
    }
}

/// The document, as committed and as served at `/asyncapi.json`.
pub(crate) fn document() -> Value {
    let mut parts = Parts::default();
    let (ready, ack, error, event) = (
        described::<ReadyFrame>("ready", "Comes first: who you are."),
        described::<AckFrame>("ack", "A command was done."),
        described::<ErrorFrame>("error", "A command was refused."),
        described::<Event>("event", "Something happened."),
    );
    for frame in [&ready, &ack, &error, &event] {
        parts.need(frame);
    }
    parts.said("ready", "ready", ready.summary, typed(&ready.schema, "ready", None));
    parts.operation("ready", "send", None);
    parts.said("error", "error", error.summary, typed(&error.schema, "error", None));
    for (command, answer) in commands() {
        parts.need(&command);
        parts.need(&answer);
        let acknowledged = format!("{}.ack", command.name);
        parts.said(command.name, command.name, command.summary, typed(&command.schema, command.name, None));
        let data = parts.reference(&answer);
        parts.said(&acknowledged, "ack", answer.summary, typed(&ack.schema, "ack", Some(data)));
        parts.operation(command.name, "receive", Some(&acknowledged));
    }
    for told in events() {
        parts.need(&told);
        let data = parts.reference(&told);
        parts.said(told.name, told.name, told.summary, typed(&event.schema, told.name, Some(data)));
        parts.operation(told.name, "send", None);
    }
    let Parts { schemas, messages, operations } = parts;
    let in_channel =
        messages.keys().map(|key| (key.clone(), json!({"$ref": format!("#/components/messages/{key}")})));
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Alivio: what happens, as it happens",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "socket": {
                "address": "/api/v1/ws",
                "title": "The socket",
                "messages": in_channel.collect::<Map<_, _>>(),
                "bindings": {"ws": {
                    "method": "GET",
                    "query": {"type": "object", "properties": {
                        "ticket": {"type": "string", "description": "A ticket, instead of a header."},
                    }},
                }},
            },
        },
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    })
}

#[derive(Default)]
struct Parts {
    schemas: Map<String, Value>,
    messages: Map<String, Value>,
    operations: Map<String, Value>,
}

impl Parts {
    /// Adds the types that `it` refers to.
    fn need(&mut self, it: &Described) {
        for (name, schema) in &it.needed {
            self.schemas.insert(name.clone(), schema.clone());
        }
    }

    /// Adds the type of `it` and refers to it.
    fn reference(&mut self, it: &Described) -> Value {
        self.schemas.insert(it.title.clone(), it.schema.clone());
        json!({"$ref": format!("#/components/schemas/{}", it.title)})
    }

    /// Adds a message.
    fn said(&mut self, key: &str, name: &str, summary: &str, payload: Value) {
        let message = json!({"name": name, "title": key, "summary": summary, "payload": payload});
        self.messages.insert(key.to_owned(), message);
    }

    /// Adds what the server does with a message.
    fn operation(&mut self, key: &str, action: &str, answer: Option<&str>) {
        let message = |key: &str| json!({"$ref": format!("#/channels/socket/messages/{key}")});
        let channel = json!({"$ref": "#/channels/socket"});
        let mut operation = json!({"action": action, "channel": channel, "messages": [message(key)]});
        if let Some(answer) = answer {
            operation["reply"] = json!({"channel": channel, "messages": [message(answer), message("error")]});
        }
        self.operations.insert(key.to_owned(), operation);
    }
}

/// A frame whose `type` is `name`, with this data.
fn typed(frame: &Value, name: &str, data: Option<Value>) -> Value {
    let mut frame = frame.clone();
    frame["properties"]["type"] = json!({"const": name, "description": "What it is."});
    if !frame["properties"]["v"].is_null() {
        frame["properties"]["v"] = json!({"const": VERSION, "description": "The version of the envelope."});
    }
    if let Some(data) = data {
        frame["properties"]["data"] = data;
    }
    frame
}

/// The schema in JSON, with `examples` as JSON Schema has them.
fn as_value(schema: &impl serde::Serialize) -> Value {
    let mut value = serde_json::to_value(schema).unwrap_or_default();
    plural(&mut value);
    value
}

/// OpenAPI's `example` becomes JSON Schema's `examples`.
fn plural(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(example) = fields.remove("example") {
                fields.insert("examples".to_owned(), json!([example]));
            }
            for (key, inner) in fields.iter_mut() {
                match (key.as_str(), inner) {
                    // Names of fields, which are no words of a schema.
                    ("properties", Value::Object(properties)) => properties.values_mut().for_each(plural),
                    ("examples" | "enum" | "const" | "default" | "required", _) => {}
                    (_, inner) => plural(inner),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plural),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_committed_document_is_the_one_that_is_served() {
        let written = serde_json::to_string_pretty(&document()).unwrap();
        let committed = include_str!("../../../../openapi/asyncapi.json");
        assert!(committed.trim_end() == written, "run `just openapi`");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, into: &mut BTreeSet<String>) {
            match value {
                Value::Object(fields) => {
                    into.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    fields.values().for_each(|value| references(value, into));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, into)),
                _ => {}
            }
        }
        let (document, mut all) = (document(), BTreeSet::new());
        references(&document, &mut all);
        assert!(all.len() > 50, "{all:?}");
        for reference in all {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    /// Two types of one name would overwrite each other, here as in the other document.
    #[test]
    fn types_that_both_documents_have_are_the_same() {
        let (mut api, mut shared) = (serde_json::to_value(crate::openapi()).unwrap(), 0);
        plural(&mut api);
        for (name, schema) in document()["components"]["schemas"].as_object().unwrap() {
            if let Some(other) = api["components"]["schemas"].get(name) {
                assert_eq!(schema, other, "{name}");
                shared += 1;
            }
        }
        assert!(shared > 5, "{shared}");
    }
}

//! Frames of the canonical socket against the document of it: every journey's, so what the server really says and what
//! it says that it says cannot part.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test library: a failure is a failed test"
)]

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

/// The committed document, which a test holds to the code.
const DOCUMENT: &str = include_str!("../../../openapi/asyncapi.json");

static MESSAGES: LazyLock<HashMap<String, Validator>> = LazyLock::new(|| {
    let mut document: Value = serde_json::from_str(DOCUMENT).expect("openapi/asyncapi.json is JSON");
    let (mut parts, components) = (BTreeSet::new(), &mut document["components"]);
    collect_parts(components, &mut parts);
    close(components, &parts, "");
    let messages = components["messages"].as_object().expect("messages").clone();
    let compiled = messages.keys().map(|name| {
        let schema =
            json!({"$ref": format!("#/components/messages/{name}/payload"), "components": components});
        let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
        (name.clone(), options.build(&schema).unwrap_or_else(|error| panic!("{name}: {error}")))
    });
    compiled.collect()
});

/// The names of all messages that the document knows.
pub fn known() -> impl Iterator<Item = &'static str> {
    MESSAGES.keys().map(String::as_str)
}

/// Whether `frame` is what the document says of `message`.
///
/// # Panics
/// If it is not, or the document knows nothing of it.
#[track_caller]
pub fn check(message: &str, frame: &Value) {
    let Some(validator) = MESSAGES.get(message) else {
        panic!("openapi/asyncapi.json knows no {message}: {frame}");
    };
    let wrong: Vec<_> =
        validator.iter_errors(frame).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{message} is not as documented: {wrong:#?}\n{frame:#}");
}

/// Types that others consist of, which therefore have to bear further fields.
fn collect_parts(schema: &Value, parts: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for part in fields.get("allOf").and_then(Value::as_array).into_iter().flatten() {
                parts.extend(
                    part["$ref"].as_str().and_then(|path| path.rsplit('/').next()).map(str::to_owned),
                );
            }
            fields.values().for_each(|inner| collect_parts(inner, parts));
        }
        Value::Array(items) => items.iter().for_each(|inner| collect_parts(inner, parts)),
        _ => {}
    }
}

/// A field that is not in the document is a fault, too.
fn close(schema: &mut Value, parts: &BTreeSet<String>, name: &str) {
    match schema {
        Value::Object(fields) => {
            let is_whole = fields.contains_key("properties") && !fields.contains_key("allOf");
            if is_whole && !parts.contains(name) {
                fields.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            for (name, inner) in fields.iter_mut().filter(|(name, _)| *name != "allOf") {
                close(inner, parts, name);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| close(inner, parts, "")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Value {
        let id = "0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e";
        json!({
            "v": 1, "id": id, "type": "participant.joined", "conversation_id": id, "at": "2026-01-01T08:00:00Z",
            "actor": id, "data": {"user_id": id},
        })
    }

    #[test]
    fn what_is_as_documented_passes() {
        check("participant.joined", &frame());
        check("ping", &json!({"type": "ping", "ref": "1"}));
        assert!(known().count() > 40);
    }

    #[test]
    #[should_panic(expected = "not as documented")]
    fn a_field_too_many_does_not() {
        let mut frame = frame();
        frame["data"]["name"] = json!("Ana");
        check("participant.joined", &frame);
    }

    #[test]
    #[should_panic(expected = "not as documented")]
    fn a_field_too_few_does_not() {
        let mut frame = frame();
        frame["data"] = json!({});
        check("participant.joined", &frame);
    }

    #[test]
    #[should_panic(expected = "knows no")]
    fn what_is_not_documented_does_not() {
        check("participant.sneezed", &frame());
    }
}

//! One documented method and path, and what it stands for.

use std::collections::BTreeMap;

use actix_web::http::Method;
use alivio_kernel::{FieldError, Rule};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Puts a documented request into canonical words.
pub(super) type Ask = fn(&mut Asked) -> Result<(), FieldError>;
/// Puts a canonical answer into documented words.
pub(super) type Show = fn(&Value) -> Value;

/// A documented method and path, the canonical ones, and how their JSON differs. It decides nothing: the request goes on
/// to the canonical route, whose checks all hold (C-2).
pub(super) struct Row {
    /// Which document says so.
    pub(super) source: &'static str,
    /// The documented method and path; `{name}` stands for one segment.
    pub(super) from: (Method, &'static str),
    /// The canonical ones. Names stand for the segments of the same name, or for what `ask` adds.
    pub(super) to: (Method, &'static str),
    /// How the request differs, if it does.
    pub(super) ask: Option<Ask>,
    /// How a good answer differs, if it does.
    pub(super) show: Option<Show>,
    /// A documented body, where it differs from the canonical one.
    pub(super) body: Option<&'static str>,
    /// Whether `ask` writes a body though the documented request has none.
    pub(super) writes: bool,
    /// What is worth knowing.
    pub(super) note: &'static str,
}

impl Row {
    pub(super) const fn new(
        source: &'static str,
        from: (Method, &'static str),
        to: (Method, &'static str),
    ) -> Self {
        Self { source, from, to, ask: None, show: None, body: None, writes: false, note: "" }
    }

    pub(super) const fn ask(mut self, ask: Ask) -> Self {
        self.ask = Some(ask);
        self
    }

    pub(super) const fn show(mut self, show: Show) -> Self {
        self.show = Some(show);
        self
    }

    pub(super) const fn body(mut self, body: &'static str) -> Self {
        self.body = Some(body);
        self
    }

    pub(super) const fn writes(mut self) -> Self {
        self.writes = true;
        self
    }

    pub(super) const fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    /// Whether `ask` reads a body: where the document shows one.
    pub(super) const fn reads_body(&self) -> bool {
        self.ask.is_some() && self.body.is_some()
    }
}

/// A documented request on its way.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Asked {
    /// The segments that have names.
    pub(super) path: BTreeMap<String, String>,
    /// The query as it was written: percent-encoded.
    pub(super) query: Vec<(String, String)>,
    /// The body, if the row reads one.
    pub(super) body: Map<String, Value>,
}

impl Asked {
    pub(super) fn parse_query(query: &str) -> Vec<(String, String)> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let split = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.to_owned())
        };
        pairs.map(split).collect()
    }

    pub(super) fn write_query(&self) -> String {
        let pairs = self.query.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("&")
    }

    /// Calls a query's parameter by its canonical name.
    pub(super) fn rename_query(&mut self, documented: &str, canonical: &str) {
        for (name, _) in self.query.iter_mut().filter(|(name, _)| name == documented) {
            canonical.clone_into(name);
        }
    }

    /// Calls a field of the body by its canonical name.
    pub(super) fn rename(&mut self, documented: &str, canonical: &str) {
        if let Some(value) = self.body.remove(documented) {
            self.body.insert(canonical.to_owned(), value);
        }
    }

    /// Moves an id from the body into the path. Nothing but an id: it becomes part of an address.
    pub(super) fn id_into_path(&mut self, field: &'static str, name: &str) -> Result<(), FieldError> {
        let id = self.body.remove(field).ok_or(FieldError::new(field, Rule::Missing))?;
        let id: Uuid =
            id.as_str().and_then(|id| id.parse().ok()).ok_or(FieldError::new(field, Rule::Malformed))?;
        self.path.insert(name.to_owned(), id.to_string());
        Ok(())
    }

    /// The canonical path, if nothing that it needs is missing.
    pub(super) fn fill(&self, template: &str) -> String {
        self.path
            .iter()
            .fold(template.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value))
    }
}

/// The fields of `from` in documented words: their name there, and where they stand here. What a canonical answer does not
/// have is left out.
pub(super) fn pick(from: &Value, fields: &[(&str, &str)]) -> Map<String, Value> {
    let found = |(name, path): &(&str, &str)| {
        let value = path.split('.').try_fold(from, |value, part| match value {
            Value::Null => Some(value),
            value => value.get(part),
        })?;
        Some(((*name).to_owned(), value.clone()))
    };
    fields.iter().filter_map(found).collect()
}

/// What `show` makes of something that may not be there.
pub(super) fn if_there(value: &Value, show: impl FnOnce(&Value) -> Value) -> Value {
    if value.is_null() { Value::Null } else { show(value) }
}

/// The same of each in a list.
pub(super) fn each(list: &Value, show: impl Fn(&Value) -> Value) -> Value {
    list.as_array().map_or(Value::Null, |items| items.iter().map(show).collect())
}

/// A page whose items are shown by `show`; the documents show no envelope of their own.
pub(super) fn page(canonical: &Value, show: Show) -> Value {
    let mut page = canonical.clone();
    page["items"] = each(&canonical["items"], show);
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_there_is_shown() {
        let canonical = json!({"id": 1, "reply_to": null, "sender": {"id": 2}});
        let fields =
            [("id", "id"), ("reply_to", "reply_to.id"), ("from", "sender.id"), ("x", "y"), ("z", "sender.z")];
        assert_eq!(Value::from(pick(&canonical, &fields)), json!({"id": 1, "reply_to": null, "from": 2}));
    }

    #[test]
    fn nothing_but_an_id_goes_into_a_path() {
        let asked = |id: Value| Asked {
            body: json!({"room": id, "content": "x"}).as_object().unwrap().clone(),
            ..Asked::default()
        };
        let id = "0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e";
        let mut good = asked(json!(id));
        good.id_into_path("room", "room").unwrap();
        assert_eq!(good.fill("/rooms/{room}/messages"), format!("/rooms/{id}/messages"));
        assert_eq!(Value::from(good.body), json!({"content": "x"}));
        for bad in [json!(null), json!(7), json!(""), json!("x"), json!("../x"), json!([id])] {
            assert!(asked(bad).id_into_path("room", "room").is_err());
        }
        assert!(Asked::default().id_into_path("room", "room").is_err());
    }
}

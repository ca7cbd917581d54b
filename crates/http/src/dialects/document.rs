//! What the dialects are, as a document of its own. Made from the table; examples of answers are made by the same
//! functions that make the answers.

use serde_json::{Map, Value, json};

use super::row::Row;
use super::table::ROWS;

/// Where the canonical types are described.
const CANONICAL: &str = "openapi.json";
/// No type is nested deeper; a circle ends here.
const DEPTH: usize = 12;

/// The dialects in the form of an OpenAPI document. What it refers to stands in the canonical one, `api`.
pub(crate) fn document(api: &Value) -> Value {
    let mut paths = Map::new();
    for row in ROWS {
        let (method, path) = &row.from;
        let item = paths.entry(*path).or_insert_with(|| json!({}));
        item[method.as_str().to_lowercase()] = operation(api, row);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Alivio: documented dialects",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Paths of earlier documents, for clients that were written from them. Each stands for a \
                canonical route (`x-canonical`), whose rules, errors and rights hold here too; new clients use that one. \
                Answers carry `Deprecation` and `Link: rel=\"successor-version\"`. Slashes at the end do not matter. \
                Lists answer `{items, next_cursor}`, as none of the documents shows an envelope.",
        },
        "paths": paths,
    })
}

fn operation(api: &Value, row: &Row) -> Value {
    let (to_method, to_path) = &row.to;
    let canonical = canonical(api, row);
    let mut operation = json!({
        "summary": canonical["summary"],
        "deprecated": true,
        "x-source": row.source,
        "x-canonical": format!("{to_method} {to_path}"),
        "responses": responses(api, row, canonical),
    });
    if !row.note.is_empty() {
        operation["description"] = json!(row.note);
    }
    let names = row.from.1.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path =
        |name: &str| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}});
    let parameters: Vec<_> = names.map(in_path).collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = row.body {
        let example: Value = serde_json::from_str(body).unwrap_or_default();
        operation["requestBody"] =
            json!({"required": true, "content": {"application/json": {"example": example}}});
    } else if let Some(content) = canonical.pointer("/requestBody/content").filter(|_| !row.writes) {
        let content = content.as_object().into_iter().flatten();
        let content =
            content.map(|(kind, body)| (kind.clone(), json!({"schema": elsewhere(&body["schema"])})));
        operation["requestBody"] = json!({"required": true, "content": content.collect::<Map<_, _>>()});
    }
    operation
}

/// The good answers; problems are those of the canonical route.
fn responses(api: &Value, row: &Row, canonical: &Value) -> Value {
    let mut responses = Map::new();
    let all = canonical["responses"].as_object().into_iter().flatten();
    for (status, response) in all.filter(|(status, _)| status.starts_with('2')) {
        let mut shown = json!({"description": response["description"]});
        if let Some(schema) = response.pointer("/content/application~1json/schema") {
            let content = match row.show.filter(|_| status != "202") {
                Some(show) => json!({"example": show(&example(api, schema, 0))}),
                None => json!({"schema": elsewhere(schema)}),
            };
            shown["content"] = json!({"application/json": content});
        }
        responses.insert(status.clone(), shown);
    }
    let problem = json!({"$ref": format!("{CANONICAL}#/components/schemas/Problem")});
    responses.insert(
        "default".to_owned(),
        json!({
            "description": "A problem, as the canonical route answers it.",
            "content": {"application/problem+json": {"schema": problem}},
        }),
    );
    responses.into()
}

/// The canonical operation of a row.
pub(super) fn canonical<'a>(api: &'a Value, row: &Row) -> &'a Value {
    let anonymous = |path: &str| {
        let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
        parts.collect::<Vec<_>>().join("/")
    };
    let (method, path) = &row.to;
    let paths = api["paths"].as_object().into_iter().flatten();
    let item = paths.into_iter().find(|(other, _)| anonymous(other) == anonymous(path));
    item.map_or(&Value::Null, |(_, item)| &item[method.as_str().to_lowercase()])
}

/// A schema, with its references into the canonical document.
fn elsewhere(schema: &Value) -> Value {
    let text = schema.to_string().replace("\"#/components/", &format!("\"{CANONICAL}#/components/"));
    serde_json::from_str(&text).unwrap_or_default()
}

/// Something of the form that `schema` describes.
pub(super) fn example(api: &Value, schema: &Value, depth: usize) -> Value {
    if depth > DEPTH {
        return Value::Null;
    }
    if let Some(given) =
        schema.get("example").or_else(|| schema["examples"].get(0)).or_else(|| schema.get("const"))
    {
        return given.clone();
    }
    let deeper = |schema: &Value| example(api, schema, depth + 1);
    if let Some(reference) = schema["$ref"].as_str() {
        return deeper(api.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null));
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let parts = parts.iter().map(deeper).filter_map(|part| part.as_object().cloned());
        return parts.flatten().collect::<Map<_, _>>().into();
    }
    for choice in ["oneOf", "anyOf"] {
        let choices = schema[choice].as_array().into_iter().flatten();
        if let Some(some) = choices.into_iter().find(|choice| choice["type"] != "null") {
            return deeper(some);
        }
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    let kind = &schema["type"];
    let kinds = kind.as_array().into_iter().flatten().chain([kind]).filter_map(Value::as_str);
    match kinds.into_iter().find(|kind| *kind != "null") {
        Some("object") => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            properties.map(|(name, schema)| (name.clone(), deeper(schema))).collect::<Map<_, _>>().into()
        }
        Some("array") => json!([deeper(&schema["items"])]),
        Some("string") => match schema["format"].as_str() {
            Some("uuid") => json!("0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e"),
            Some("date-time") => json!("2026-01-01T08:00:00Z"),
            _ => json!(""),
        },
        Some("integer") => json!(1),
        Some("number") => json!(0.5),
        Some("boolean") => json!(true),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_the_one_that_is_served() {
        let written = serde_json::to_string_pretty(&crate::dialects()).unwrap();
        let committed = include_str!("../../../../openapi/dialects.json");
        assert!(committed.trim_end() == written, "run `just openapi`");
    }

    /// Fields that the document promises and no canonical answer has would always be null.
    #[test]
    fn what_is_shown_is_there() {
        let document = crate::dialects();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                for response in operation["responses"].as_object().unwrap().values() {
                    let shown = &response["content"]["application/json"]["example"];
                    assert!(!has_null(shown), "{method} {path}: {shown:#}");
                }
            }
        }
    }

    fn has_null(value: &Value) -> bool {
        match value {
            Value::Object(fields) => fields.values().any(|field| field.is_null() || has_null(field)),
            Value::Array(items) => items.iter().any(|item| item.is_null() || has_null(item)),
            _ => false,
        }
    }
}

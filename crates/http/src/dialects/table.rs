//! Every documented method and path: one row each (C-2).
//!
//! None of the documents shows an envelope for its lists, so lists keep the canonical `{items, next_cursor}`, and their
//! items take the documented form. What a document shows no JSON for is answered as by the canonical route.

use actix_web::http::Method;

use super::row::{Asked, Row};
use super::{s0, s1, s2, s4};

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

/// The documents.
pub(super) const S0: &str = "S0";
const S1: &str = "S1";
const S2: &str = "S2";
const S4: &str = "S4";

/// The rows, the more special paths first.
#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Accounts
    Row::new(S4, (POST, "/api/auth/register"), (POST, "/api/v1/auth/register")),
    Row::new(S4, (POST, "/api/auth/login"), (POST, "/api/v1/auth/login")),
    Row::new(S4, (POST, "/api/auth/logout"), (POST, "/api/v1/auth/logout")),
    Row::new(S4, (POST, "/api/auth/refresh"), (POST, "/api/v1/auth/refresh")),
    Row::new(S4, (GET, "/api/auth/profile"), (GET, "/api/v1/me/profile")),
    Row::new(S4, (PUT, "/api/auth/profile"), (PUT, "/api/v1/me/profile")),
    Row::new(S4, (POST, "/api/auth/forgot-password"), (POST, "/api/v1/auth/password/forgot")),
    Row::new(S4, (POST, "/api/auth/reset-password"), (POST, "/api/v1/auth/reset-password"))
        .note("With a `token` it sets the password; without one it asks for the letter (C-30)."),

    // People
    Row::new(S4, (GET, "/api/chat/users"), (GET, "/api/v1/users")).ask(titles)
        .note("`role` is what someone's title says (C-6)."),
    Row::new(S4, (GET, "/api/chat/users/search"), (GET, "/api/v1/users")),
    Row::new(S4, (GET, "/api/chat/users/filter"), (GET, "/api/v1/users")).ask(titles)
        .note("`role` is what someone's title says (C-6)."),
    Row::new(S4, (GET, "/api/chat/users/{id}"), (GET, "/api/v1/users/{id}")),
    Row::new(S4, (PUT, "/api/chat/users/{id}"), (PATCH, "/api/v1/users/{id}")),
    Row::new(S4, (GET, "/api/chat/users/{id}/status"), (GET, "/api/v1/users/{id}/presence")),
    Row::new(S4, (PUT, "/api/chat/users/{id}/status"), (PUT, "/api/v1/users/{id}/presence")),
    Row::new(S4, (GET, "/api/chat/contacts"), (GET, "/api/v1/contacts")),
    Row::new(S4, (POST, "/api/chat/contacts"), (POST, "/api/v1/contacts")),
    Row::new(S4, (GET, "/api/chat/contacts/{id}"), (GET, "/api/v1/contacts/{id}")),
    Row::new(S4, (PUT, "/api/chat/contacts/{id}"), (PUT, "/api/v1/contacts/{id}")),
    Row::new(S4, (DELETE, "/api/chat/contacts/{id}"), (DELETE, "/api/v1/contacts/{id}")),
    Row::new(S4, (POST, "/api/chat/contacts/{id}/favorite"), (PUT, "/api/v1/contacts/{id}/favorite")),
    Row::new(S4, (DELETE, "/api/chat/contacts/{id}/favorite"), (DELETE, "/api/v1/contacts/{id}/favorite")),
    Row::new(S4, (POST, "/api/chat/contacts/{id}/block"), (POST, "/api/v1/blocks/{id}")),
    Row::new(S4, (DELETE, "/api/chat/contacts/{id}/block"), (DELETE, "/api/v1/blocks/{id}")),
    Row::new(S0, (POST, "/api/chat/block-user"), (POST, "/api/v1/blocks/{user_id}")).ask(s0::block)
        .body(r#"{"user_id": "{user_id}"}"#).show(s0::blocked)
        .note("The document shows no JSON for it."),
    Row::new(S2, (GET, "/api/v1/chat/online-status"), (GET, "/api/v1/presence")),
    Row::new(S2, (GET, "/api/v1/chat/online-status/my_status"), (GET, "/api/v1/me/presence")),

    // Conversations
    Row::new(S0, (GET, "/api/chat/conversations"), (GET, "/api/v1/conversations")).show(s0::conversations),
    Row::new(S0, (POST, "/api/chat/conversations"), (POST, "/api/v1/conversations")).show(s0::created),
    Row::new(S0, (GET, "/api/chat/conversations/{id}"), (GET, "/api/v1/conversations/{id}")).show(s0::conversation),
    Row::new(S0, (PUT, "/api/chat/conversations/{id}"), (PATCH, "/api/v1/conversations/{id}")).show(s0::conversation),
    Row::new(S0, (DELETE, "/api/chat/conversations/{id}"), (DELETE, "/api/v1/conversations/{id}"))
        .note("Closes it for a moderator, and leaves it for others (C-53)."),
    Row::new(S0, (GET, "/api/chat/unread-count"), (GET, "/api/v1/unread"))
        .note("The document shows no JSON for it."),
    Row::new(S2, (POST, "/api/v1/chat/rooms/{id}/join"), (POST, "/api/v1/conversations/{id}/join")).show(s2::room),
    Row::new(S2, (POST, "/api/v1/chat/rooms/{id}/leave"), (POST, "/api/v1/conversations/{id}/leave")),
    Row::new(S2, (GET, "/api/v1/chat/rooms"), (GET, "/api/v1/conversations")).ask(s2::kinds).show(s2::rooms),
    Row::new(S2, (POST, "/api/v1/chat/rooms"), (POST, "/api/v1/conversations")).ask(s2::room_to_open).show(s2::room)
        .body(r#"{"name": "Equipo", "room_type": "group", "participants": ["{user_id}"]}"#),
    Row::new(S2, (POST, "/api/v1/chat/rooms/direct_chat"), (POST, "/api/v1/conversations/direct")).show(s2::room),
    Row::new(S4, (GET, "/api/chat/rooms"), (GET, "/api/v1/conversations")).show(s4::rooms),
    Row::new(S4, (POST, "/api/chat/rooms"), (POST, "/api/v1/conversations")).ask(s4::room_to_open).show(s4::room)
        .body(r#"{"name": "Equipo", "type": "group", "participants": ["{user_id}"]}"#),
    Row::new(S4, (GET, "/api/chat/rooms/{id}"), (GET, "/api/v1/conversations/{id}")).show(s4::room),
    Row::new(S4, (PUT, "/api/chat/rooms/{id}"), (PATCH, "/api/v1/conversations/{id}"))
        .ask(s4::room_to_open).show(s4::room).body(r#"{"name": "Equipo de cardiología"}"#),
    Row::new(S4, (DELETE, "/api/chat/rooms/{id}"), (DELETE, "/api/v1/conversations/{id}"))
        .note("Closes it for a moderator, and leaves it for others (C-53)."),
    Row::new(S4, (GET, "/api/chat/rooms/{id}/participants"), (GET, "/api/v1/conversations/{id}/participants"))
        .show(s4::participants),
    Row::new(S4, (POST, "/api/chat/rooms/{id}/participants"), (POST, "/api/v1/conversations/{id}/participants"))
        .show(s4::room),
    Row::new(S4, (DELETE, "/api/chat/rooms/{id}/participants/{user_id}"),
        (DELETE, "/api/v1/conversations/{id}/participants/{user_id}")),

    // Messages
    Row::new(S0, (GET, "/api/chat/conversations/{id}/messages"), (GET, "/api/v1/conversations/{id}/messages"))
        .show(s0::messages),
    Row::new(S0, (POST, "/api/chat/conversations/{id}/messages"), (POST, "/api/v1/conversations/{id}/messages"))
        .show(s0::message),
    Row::new(S0, (GET, "/api/chat/messages/{id}"), (GET, "/api/v1/messages/{id}")).show(s0::message),
    Row::new(S0, (PUT, "/api/chat/messages/{id}"), (PATCH, "/api/v1/messages/{id}")).show(s0::message),
    Row::new(S0, (DELETE, "/api/chat/messages/{id}"), (DELETE, "/api/v1/messages/{id}")),
    Row::new(S0, (POST, "/api/chat/messages/{id}/read"), (PUT, "/api/v1/messages/{id}/receipts/me"))
        .ask(s0::read).writes(),
    Row::new(S1, (POST, "/api/messages/send"), (POST, "/api/v1/conversations/{conversation_id}/messages"))
        .ask(s1::message_to_send).body(r#"{"conversation_id": "{conversation_id}", "content": "Buenos días"}"#)
        .note("The document shows no JSON for it: the body is the canonical one with `conversation_id`."),
    Row::new(S1, (GET, "/api/messages/conversation/{id}"), (GET, "/api/v1/conversations/{id}/messages"))
        .note("The document shows no JSON for it."),
    Row::new(S2, (GET, "/api/v1/chat/rooms/{id}/messages"), (GET, "/api/v1/conversations/{id}/messages"))
        .show(s2::messages),
    Row::new(S2, (GET, "/api/v1/chat/messages"), (GET, "/api/v1/messages")).ask(s2::rooms_to_read).show(s2::messages),
    Row::new(S2, (POST, "/api/v1/chat/messages"), (POST, "/api/v1/conversations/{room}/messages"))
        .ask(s2::message_to_send).show(s2::message)
        .body(r#"{"room": "{room}", "content": "Hola mundo!", "message_type": "text"}"#),
    Row::new(S2, (PUT, "/api/v1/chat/messages/{id}"), (PATCH, "/api/v1/messages/{id}")).show(s2::message),
    Row::new(S2, (DELETE, "/api/v1/chat/messages/{id}"), (DELETE, "/api/v1/messages/{id}")),
    Row::new(S2, (POST, "/api/v1/chat/messages/mark_read"), (POST, "/api/v1/messages/mark-read")),
    Row::new(S2, (POST, "/api/v1/chat/rooms/{id}/mark_all_read"), (PUT, "/api/v1/conversations/{id}/read-marker"))
        .ask(s0::read_all).writes(),
    Row::new(S4, (GET, "/api/chat/messages/{id}/status"), (GET, "/api/v1/messages/{id}/receipts")).show(s4::statuses),
    Row::new(S4, (PUT, "/api/chat/messages/{id}/status"), (PUT, "/api/v1/messages/{id}/receipts/me")),
    Row::new(S4, (POST, "/api/chat/messages/{id}/mark-read"), (PUT, "/api/v1/messages/{id}/receipts/me"))
        .ask(s0::read).writes(),
    Row::new(S4, (POST, "/api/chat/rooms/{room_id}/mark-all-read"),
        (PUT, "/api/v1/conversations/{room_id}/read-marker")).ask(s0::read_all).writes(),
    Row::new(S0, (GET, "/api/chat/search"), (GET, "/api/v1/search"))
        .note("The document shows no JSON for it."),
    Row::new(S2, (GET, "/api/v1/chat/messages/search"), (GET, "/api/v1/search")).ask(words)
        .note("The document names no parameter: `q` and `query` are taken."),
    Row::new(S4, (GET, "/api/chat/rooms/{room_id}/messages/search"), (GET, "/api/v1/search")).ask(words_in_room)
        .note("The document shows no JSON for it."),
    Row::new(S0, (POST, "/api/chat/report-message"), (POST, "/api/v1/messages/{message_id}/reports"))
        .ask(s0::report).show(s0::reported).body(r#"{"message_id": "{message_id}", "reason": "spam"}"#)
        .note("The document shows no JSON for it."),
    Row::new(S0, (POST, "/api/chat/emergency"), (POST, "/api/v1/emergencies"))
        .note("The document shows no method and no JSON for it."),
    Row::new(S4, (PUT, "/api/chat/rooms/{room_id}/messages/{id}"), (PATCH, "/api/v1/messages/{id}")).show(s4::message),
    Row::new(S4, (DELETE, "/api/chat/rooms/{room_id}/messages/{id}"), (DELETE, "/api/v1/messages/{id}")),
    Row::new(S4, (GET, "/api/chat/rooms/{room_id}/messages"), (GET, "/api/v1/conversations/{room_id}/messages"))
        .show(s4::messages),
    Row::new(S4, (POST, "/api/chat/rooms/{room_id}/messages"), (POST, "/api/v1/conversations/{room_id}/messages"))
        .show(s4::message),
    Row::new(S4, (GET, "/api/chat/rooms/{room_id}/messages/{id}"), (GET, "/api/v1/conversations/{room_id}/messages/{id}"))
        .show(s4::message),
    Row::new(S4, (POST, "/api/chat/rooms/{room_id}/messages/{id}/reply"),
        (POST, "/api/v1/conversations/{room_id}/messages")).ask(s4::reply).show(s4::message)
        .body(r#"{"content": "Fine, thank you!"}"#),
    // Files
    Row::new(S0, (POST, "/api/chat/upload-file"), (POST, "/api/v1/files")).show(s0::uploaded),
    Row::new(S1, (POST, "/api/messages/upload-attachment"), (POST, "/api/v1/files"))
        .note("The document shows no JSON for it."),
    Row::new(S4, (POST, "/api/chat/upload/image"), (POST, "/api/v1/files")).ask(s4::image)
        .note("The document shows no JSON for it."),
    Row::new(S4, (POST, "/api/chat/upload/file"), (POST, "/api/v1/files"))
        .note("The document shows no JSON for it."),
    Row::new(S4, (POST, "/api/chat/upload/audio"), (POST, "/api/v1/files")).ask(s4::audio)
        .note("The document shows no JSON for it."),
    Row::new(S4, (POST, "/api/chat/upload/video"), (POST, "/api/v1/files")).ask(s4::video)
        .note("The document shows no JSON for it."),
    Row::new(S4, (DELETE, "/api/chat/upload/{file_id}"), (DELETE, "/api/v1/files/{file_id}")),
];

/// There, a role is what someone's title says.
fn titles(asked: &mut Asked) -> Result<(), alivio_kernel::FieldError> {
    asked.rename_query("role", "title");
    Ok(())
}

/// What is looked for.
fn words(asked: &mut Asked) -> Result<(), alivio_kernel::FieldError> {
    asked.rename_query("q", "query");
    Ok(())
}

/// What is looked for in one room.
fn words_in_room(asked: &mut Asked) -> Result<(), alivio_kernel::FieldError> {
    words(asked)?;
    let room = asked.path.get("room_id").cloned().unwrap_or_default();
    asked.query.push(("in_conversations".to_owned(), room));
    Ok(())
}

#[cfg(test)]
mod tests {
    use actix_router::ResourceDef;

    use super::*;

    /// What the documents say of conversations, messages and files, without calls, notifications and analytics.
    const DOCUMENTED: &str = "
        GET /api/chat/conversations        POST /api/chat/conversations       GET /api/chat/conversations/x
        PUT /api/chat/conversations/x      DELETE /api/chat/conversations/x
        GET /api/chat/conversations/x/messages  POST /api/chat/conversations/x/messages
        GET /api/chat/messages/x           PUT /api/chat/messages/x           DELETE /api/chat/messages/x
        POST /api/chat/messages/x/read     GET /api/chat/search               GET /api/chat/unread-count
        POST /api/chat/block-user          POST /api/chat/report-message
        POST /api/messages/send            GET /api/messages/conversation/x
        GET /api/v1/chat/rooms             POST /api/v1/chat/rooms            POST /api/v1/chat/rooms/direct_chat
        GET /api/v1/chat/rooms/x/messages  POST /api/v1/chat/rooms/x/join     POST /api/v1/chat/rooms/x/leave
        POST /api/v1/chat/rooms/x/mark_all_read
        GET /api/v1/chat/messages          POST /api/v1/chat/messages         PUT /api/v1/chat/messages/x
        DELETE /api/v1/chat/messages/x     POST /api/v1/chat/messages/mark_read
        GET /api/v1/chat/messages/search   GET /api/v1/chat/online-status     GET /api/v1/chat/online-status/my_status
        GET /api/chat/rooms                POST /api/chat/rooms               GET /api/chat/rooms/x
        PUT /api/chat/rooms/x              DELETE /api/chat/rooms/x           GET /api/chat/rooms/x/participants
        POST /api/chat/rooms/x/participants  DELETE /api/chat/rooms/x/participants/y
        GET /api/chat/rooms/x/messages     POST /api/chat/rooms/x/messages    GET /api/chat/rooms/x/messages/y
        PUT /api/chat/rooms/x/messages/y   DELETE /api/chat/rooms/x/messages/y
        POST /api/chat/rooms/x/messages/y/reply  GET /api/chat/rooms/x/messages/search
        GET /api/chat/messages/x/status    PUT /api/chat/messages/x/status    POST /api/chat/messages/x/mark-read
        POST /api/chat/rooms/x/mark-all-read
        POST /api/chat/upload-file         POST /api/messages/upload-attachment
        POST /api/chat/upload/image        POST /api/chat/upload/file         POST /api/chat/upload/audio
        POST /api/chat/upload/video        DELETE /api/chat/upload/x";

    /// Those of them whose canonical routes there are not yet.
    #[test]
    fn every_documented_path_is_served() {
        let pairs = |words: &'static str| {
            let words: Vec<_> = words.split_whitespace().collect();
            words.chunks(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>()
        };
        for (method, path) in pairs(DOCUMENTED) {
            // `search` is no message: a row for any message must not answer for it.
            let row = ROWS
                .iter()
                .find(|row| row.from.0.as_str() == method && ResourceDef::new(row.from.1).is_match(path));
            let is_served = row.is_some_and(|row| row.from.1.ends_with("search") == path.ends_with("search"));
            assert!(is_served, "{method} {path}");
        }
    }

    #[test]
    fn every_row_leads_to_a_route_of_the_document() {
        let document = serde_json::to_value(crate::openapi()).unwrap();
        for row in ROWS {
            let paths = document["paths"].as_object().unwrap();
            let served = paths.iter().any(|(canonical, item)| {
                ResourceDef::new(canonical.as_str()).is_match(&row.to.1.replace(['{', '}'], ""))
                    && item.get(row.to.0.as_str().to_lowercase()).is_some()
            });
            assert!(served, "{} leads to {} {}, which there is not", row.from.1, row.to.0, row.to.1);
        }
    }

    #[test]
    fn the_documented_role_of_a_professional_is_their_title() {
        let mut asked = Asked { query: Asked::parse_query("role=GP&institution=Sur"), ..Asked::default() };
        titles(&mut asked).unwrap();
        assert_eq!(asked.write_query(), "title=GP&institution=Sur");
    }
}

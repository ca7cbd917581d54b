//! S4: `/api/chat/rooms` and `/api/chat/messages`.

use alivio_kernel::FieldError;
use serde_json::{Value, json};

use super::row::{Asked, each, if_there, page, pick};
use super::s2::kind;

/// A room to open (S4-17).
pub(super) fn room_to_open(asked: &mut Asked) -> Result<(), FieldError> {
    asked.rename("name", "title");
    Ok(())
}

/// An answer to the message in the path (S4-60).
pub(super) fn reply(asked: &mut Asked) -> Result<(), FieldError> {
    let message = asked.path.get("id").cloned().unwrap_or_default();
    asked.body.insert("reply_to".to_owned(), message.into());
    Ok(())
}

/// A page of rooms.
pub(super) fn rooms(canonical: &Value) -> Value {
    page(canonical, room)
}

/// A room (S4-77).
pub(super) fn room(canonical: &Value) -> Value {
    let fields = [
        ("id", "id"),
        ("name", "title"),
        ("created_by", "created_by"),
        ("unread_count", "unread_count"),
        ("created_at", "created_at"),
        ("updated_at", "updated_at"),
    ];
    let mut shown = pick(canonical, &fields);
    shown.insert("type".to_owned(), kind(&canonical["type"]));
    shown.insert("participants".to_owned(), each(&canonical["participants"], participant));
    let last = &canonical["last_message"];
    let fields =
        [("id", "id"), ("content", "content"), ("sender", "sender.id"), ("created_at", "created_at")];
    let last = if_there(last, |last| pick(last, &fields).into());
    shown.insert("last_message".to_owned(), last);
    shown.into()
}

/// Everyone in a room.
pub(super) fn participants(canonical: &Value) -> Value {
    page(canonical, participant)
}

fn participant(canonical: &Value) -> Value {
    let mut user = user(canonical);
    user["id"] = canonical["user_id"].clone();
    let role = if canonical["role"] == "moderator" { "admin" } else { "member" };
    // Someone is in a room once, so who they are also names their part in it.
    json!({
        "id": canonical["user_id"], "user": user, "role": role, "is_online": canonical["is_online"],
        "last_seen": canonical["last_seen"],
    })
}

/// A person: {id, username, full_name, profile_image}.
fn user(canonical: &Value) -> Value {
    let fields = [
        ("id", "id"),
        ("username", "display_name"),
        ("full_name", "full_name"),
        ("profile_image", "avatar_url"),
    ];
    pick(canonical, &fields).into()
}

/// How far a message has come to each person (S4-62).
pub(super) fn statuses(canonical: &Value) -> Value {
    page(canonical, |receipt| {
        let mut shown = pick(receipt, &[("user_id", "user.id"), ("status", "delivery_status")]);
        let moments = ["read_at", "delivered_at"].map(|moment| receipt[moment].clone());
        let newest = moments.into_iter().find(|at| !at.is_null()).unwrap_or_default();
        shown.insert("updated_at".to_owned(), newest);
        shown.into()
    })
}

/// A page of messages.
pub(super) fn messages(canonical: &Value) -> Value {
    page(canonical, message)
}

/// A message (S4-78).
pub(super) fn message(canonical: &Value) -> Value {
    let fields = [
        ("id", "id"),
        ("room_id", "conversation_id"),
        ("content", "content"),
        ("reply_to", "reply_to.message_id"),
        ("is_edited", "is_edited"),
        ("edited_at", "edited_at"),
        ("status", "delivery_status"),
        ("created_at", "created_at"),
        ("updated_at", "updated_at"),
    ];
    let mut shown = pick(canonical, &fields);
    shown.insert("sender".to_owned(), user(&canonical["sender"]));
    // The document knows five types; the others are words.
    let message_type = canonical["message_type"].as_str().unwrap_or("text");
    shown.insert("message_type".to_owned(), json!(message_type));
    // The document knows one file.
    if let Some(attachments) = canonical.get("attachments") {
        let first = attachments.get(0).unwrap_or(&Value::Null);
        let fields = [("media_url", "url"), ("file_name", "original_filename"), ("file_size", "size")];
        shown.extend(pick(first, &fields));
    }
    shown.into()
}

/// A picture (S4-71).
pub(super) fn image(asked: &mut Asked) -> Result<(), FieldError> {
    of_type(asked, "image")
}

/// Sound (S4-73).
pub(super) fn audio(asked: &mut Asked) -> Result<(), FieldError> {
    of_type(asked, "audio")
}

/// Moving pictures (S4-74).
pub(super) fn video(asked: &mut Asked) -> Result<(), FieldError> {
    of_type(asked, "video")
}

/// The path says what the file is.
fn of_type(asked: &mut Asked, file_type: &str) -> Result<(), FieldError> {
    asked.query.push(("file_type".to_owned(), file_type.to_owned()));
    Ok(())
}

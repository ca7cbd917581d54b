//! S2: `/api/v1/chat/rooms` and `/api/v1/chat/messages`.

use alivio_kernel::FieldError;
use serde_json::{Value, json};

use super::row::{Asked, each, if_there, page, pick};

/// A room to open (S2-13 … S2-16).
pub(super) fn room_to_open(asked: &mut Asked) -> Result<(), FieldError> {
    asked.rename("name", "title");
    asked.rename("room_type", "type");
    Ok(())
}

/// The list's filter by kind.
pub(super) fn kinds(asked: &mut Asked) -> Result<(), FieldError> {
    asked.rename_query("room_type", "type");
    Ok(())
}

/// The list of one's messages, of one room.
pub(super) fn rooms_to_read(asked: &mut Asked) -> Result<(), FieldError> {
    asked.rename_query("room", "conversation");
    Ok(())
}

/// A message to send, with its room in the body (S2-18).
pub(super) fn message_to_send(asked: &mut Asked) -> Result<(), FieldError> {
    asked.id_into_path("room", "room")
}

/// A page of rooms.
pub(super) fn rooms(canonical: &Value) -> Value {
    page(canonical, room)
}

/// A room. The document knows two kinds; all that are not direct are groups there.
pub(super) fn room(canonical: &Value) -> Value {
    let fields = [
        ("id", "id"),
        ("name", "title"),
        ("created_by", "created_by"),
        ("is_active", "is_active"),
        ("unread_count", "unread_count"),
        ("created_at", "created_at"),
        ("updated_at", "updated_at"),
    ];
    let mut shown = pick(canonical, &fields);
    shown.insert("room_type".to_owned(), kind(&canonical["type"]));
    let participants = each(&canonical["participants"], |participant| {
        let mut user = user(participant);
        user["id"] = participant["user_id"].clone();
        user["is_online"] = participant["is_online"].clone();
        user["last_seen"] = participant["last_seen"].clone();
        user
    });
    shown.insert("participants".to_owned(), participants);
    let last = &canonical["last_message"];
    let fields = [
        ("id", "id"),
        ("content", "content"),
        ("message_type", "message_type"),
        ("created_at", "created_at"),
    ];
    let last_message = if_there(last, |last| {
        let mut shown = pick(last, &fields);
        shown.insert("sender".to_owned(), user(&last["sender"]));
        shown.into()
    });
    shown.insert("last_message".to_owned(), last_message);
    shown.into()
}

pub(super) fn kind(canonical: &Value) -> Value {
    json!(if canonical == "direct" { "direct" } else { "group" })
}

/// A page of messages.
pub(super) fn messages(canonical: &Value) -> Value {
    page(canonical, message)
}

/// A message.
pub(super) fn message(canonical: &Value) -> Value {
    let fields = [
        ("id", "id"),
        ("room", "conversation_id"),
        ("content", "content"),
        ("reply_to", "reply_to.message_id"),
        ("is_deleted", "is_deleted"),
        ("is_edited", "is_edited"),
        ("created_at", "created_at"),
        ("updated_at", "updated_at"),
    ];
    let mut shown = pick(canonical, &fields);
    shown.insert("sender".to_owned(), user(&canonical["sender"]));
    // The document knows three types; what is no picture is a file, what is no file is text.
    let message_type = match canonical["message_type"].as_str() {
        Some("image") => "image",
        Some("file" | "audio" | "video") => "file",
        _ => "text",
    };
    shown.insert("message_type".to_owned(), json!(message_type));
    shown.into()
}

/// A person, as the document's events show them.
pub(super) fn user(canonical: &Value) -> Value {
    pick(canonical, &[("id", "id"), ("username", "display_name"), ("full_name", "full_name")]).into()
}

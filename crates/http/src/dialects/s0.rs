//! S0: `/api/chat/conversations`, `/api/chat/messages` and what belongs to them.

use alivio_kernel::{FieldError, Rule};
use serde_json::{Value, json};

use super::row::{Asked, each, page, pick};

/// Whom to block stands in the body (S0-22).
pub(super) fn block(asked: &mut Asked) -> Result<(), FieldError> {
    asked.id_into_path("user_id", "user_id")?;
    if asked.body.is_empty() { Ok(()) } else { Err(FieldError::new(".", Rule::Unknown)) }
}

pub(super) fn blocked(block: &Value) -> Value {
    let mut block = block.clone();
    block["is_blocked"] = json!(true);
    block
}

/// A page of conversations.
pub(super) fn conversations(canonical: &Value) -> Value {
    page(canonical, conversation)
}

/// A conversation (S0-26 … S0-47).
pub(super) fn conversation(canonical: &Value) -> Value {
    let mut shown = pick(
        canonical,
        &[
            ("id", "id"),
            ("conversation_id", "ref"),
            ("type", "type"),
            ("title", "title"),
            ("description", "description"),
            ("settings", "settings"),
            ("metadata", "metadata"),
            ("unread_count", "unread_count"),
            ("total_messages", "total_messages"),
            ("created_at", "created_at"),
            ("updated_at", "updated_at"),
            ("created_by", "created_by"),
            ("is_active", "is_active"),
            ("expires_at", "expires_at"),
        ],
    );
    shown.insert("participants".to_owned(), each(&canonical["participants"], participant));
    shown.insert("last_message".to_owned(), last_message(&canonical["last_message"]));
    shown.into()
}

/// What one learns of a new conversation (S0-158).
pub(super) fn created(canonical: &Value) -> Value {
    let id = canonical["id"].as_str().unwrap_or_default();
    json!({
        "id": id, "conversation_id": canonical["ref"], "status": "created",
        // The event that tells them is stored with the conversation.
        "participants_notified": true, "websocket_channel": format!("conversation_{id}"),
    })
}

fn participant(canonical: &Value) -> Value {
    let mut shown = pick(
        canonical,
        &[
            ("user_id", "user_id"),
            ("user_type", "user_type"),
            ("full_name", "full_name"),
            ("avatar", "avatar_url"),
            ("role", "role"),
            ("joined_at", "joined_at"),
            ("last_seen", "last_seen"),
            ("is_online", "is_online"),
            ("can_leave", "can_leave"),
        ],
    );
    // Those who are not active in it are not shown.
    shown.insert("status".to_owned(), json!("active"));
    if canonical["role"] == "member" {
        shown.insert("role".to_owned(), json!("participant"));
    }
    shown.into()
}

fn last_message(canonical: &Value) -> Value {
    if canonical.is_null() {
        return Value::Null;
    }
    let fields = [
        ("id", "id"),
        ("content", "content"),
        ("timestamp", "created_at"),
        ("message_type", "message_type"),
        ("is_read", "is_read"),
    ];
    let mut shown = pick(canonical, &fields);
    let sender = pick(&canonical["sender"], &[("id", "id"), ("name", "display_name"), ("user_type", "role")]);
    shown.insert("sender".to_owned(), sender.into());
    shown.into()
}

/// A page of messages.
pub(super) fn messages(canonical: &Value) -> Value {
    page(canonical, message)
}

/// A message (S0-48 … S0-72).
pub(super) fn message(canonical: &Value) -> Value {
    let mut shown = pick(
        canonical,
        &[
            ("id", "id"),
            ("message_id", "ref"),
            ("conversation_id", "conversation_id"),
            ("message_type", "message_type"),
            ("content", "content"),
            ("delivery_status", "delivery_status"),
            ("priority", "priority"),
            ("timestamp", "created_at"),
            ("created_at", "created_at"),
        ],
    );
    let sender = [("id", "id"), ("full_name", "full_name"), ("user_type", "role"), ("avatar", "avatar_url")];
    shown.insert("sender".to_owned(), pick(&canonical["sender"], &sender).into());
    shown.into()
}

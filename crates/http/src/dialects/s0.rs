//! S0: `/api/chat/conversations`, `/api/chat/messages` and what belongs to them.

use actix_web::http::StatusCode;
use alivio_kernel::{FieldError, Rule};
use serde_json::{Value, json};

use super::row::{Asked, each, if_there, page, pick};

/// A report names the message in its body.
pub(super) fn report(asked: &mut Asked) -> Result<(), FieldError> {
    asked.rename("description", "comment");
    asked.id_into_path("message_id", "message_id")
}

pub(super) fn reported(canonical: &Value) -> Value {
    let fields = ["message_id", "reason", "status", "created_at"].map(|name| (name, name));
    let mut shown = pick(canonical, &fields);
    shown.insert("report_id".to_owned(), canonical["id"].clone());
    shown.into()
}

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

/// That one has read, which the path says alone (S0-15).
pub(super) fn read(asked: &mut Asked) -> Result<(), FieldError> {
    asked.body.insert("status".to_owned(), json!("read"));
    Ok(())
}

/// That one has read everything.
pub(super) fn read_all(asked: &mut Asked) -> Result<(), FieldError> {
    asked.body.insert("all".to_owned(), json!(true));
    Ok(())
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
    shown.insert("last_message".to_owned(), if_there(&canonical["last_message"], last_message));
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

/// The details of a problem, which are the same in all documents (C-20) but for the way to help (S0-169); `None` if it
/// names none.
pub(super) fn details(canonical: &Value) -> Option<Value> {
    canonical.get("emergency_channel")?;
    let mut shown = canonical.clone();
    shown["emergency_channel"] = json!("/api/chat/emergency/");
    Some(shown)
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
            ("attachments", "attachments"),
            ("reactions", "reactions"),
            ("read_by", "read_by"),
            ("delivery_status", "delivery_status"),
            ("priority", "priority"),
            ("is_edited", "is_edited"),
            ("edit_history", "edit_history"),
            ("is_deleted", "is_deleted"),
            ("deleted_at", "deleted_at"),
            ("scheduled_for", "scheduled_for"),
            ("expires_at", "expires_at"),
            ("timestamp", "created_at"),
            ("created_at", "created_at"),
            ("updated_at", "updated_at"),
        ],
    );
    if let Some(formatted) = canonical.get("formatted_content") {
        let fields = ["html", "mentions", "hashtags", "medical_terms"].map(|name| (name, name));
        let formatted = if_there(formatted, |formatted| pick(formatted, &fields).into());
        shown.insert("formatted_content".to_owned(), formatted);
    }
    if let Some(reply) = canonical.get("reply_to") {
        let fields = [
            ("message_id", "message_id"),
            ("sender_name", "sender_name"),
            ("content_preview", "content_preview"),
            ("timestamp", "created_at"),
        ];
        shown.insert("reply_to".to_owned(), if_there(reply, |reply| pick(reply, &fields).into()));
    }
    if let Some(metadata) = canonical.get("metadata") {
        // Where someone was is told to nobody else (C-52).
        let fields = ["client_message_id", "source", "forwarded_from", "is_automated", "confidence_score"];
        shown.insert("metadata".to_owned(), pick(metadata, &fields.map(|name| (name, name))).into());
    }
    let sender = [("id", "id"), ("full_name", "full_name"), ("user_type", "role"), ("avatar", "avatar_url")];
    shown.insert("sender".to_owned(), pick(&canonical["sender"], &sender).into());
    shown.into()
}

/// What one learns of a file that was uploaded (S0-162). Nothing is scanned before it is stored.
pub(super) fn uploaded(canonical: &Value) -> Value {
    let processing = if canonical["status"] == "pending" { "processing" } else { "completed" };
    json!({
        "file_id": canonical["id"], "upload_status": "success", "file_url": canonical["access_info"]["download_url"],
        "processing_status": processing, "virus_scan": canonical["file_info"]["virus_scan_result"],
    })
}

/// The status of a problem, where the document has another (S0-171).
pub(super) fn status(code: &str) -> Option<StatusCode> {
    (code == "file_type_not_allowed").then_some(StatusCode::BAD_REQUEST)
}

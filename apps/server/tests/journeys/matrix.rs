//! Who may do what: one table over every route and every kind of person (AZ-01), and the ways around it (AZ-05, AZ-13).
//!
//! A route without a row fails, and so does a row without a route. To add one, write its line: the method and the path
//! with names of the [`Scene`] for its parameters, a body that is otherwise good, and what each person gets.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Write};
use std::process::{Command, Stdio};

use alivio_testkit::actor::{Actor, Part, Request};
use alivio_testkit::server::{ADMIN, AISHA, ANA, CARLOS, IT, LUIS, MARIA, PASSWORD};
use alivio_testkit::socket::Connect;
use image::{DynamicImage, ImageFormat, RgbImage};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::audit::sql;
use crate::files::resumable::{announce, begin, place};
use crate::files::{offer, settled};
use crate::{World, list, text, unused_id};

/// A doctor who attends Ana, talked to her, and whom she then blocked.
const BRUNO: &str = "bruno.vega@clinic.example";

/// The columns. The last but one has been in the scene's conversation and was removed. For the last one it is his
/// direct conversation with the owner patient, from before she blocked him. To add someone: sign them in here, and
/// change [`Scene`] for them as for these two.
const PEOPLE: [(&str, Option<&str>); 10] = [
    ("anonymous", None),
    ("owner patient", Some(ANA)),
    ("other patient", Some(LUIS)),
    ("treating doctor", Some(MARIA)),
    ("other doctor", Some(CARLOS)),
    ("medical admin", Some(ADMIN)),
    ("it admin", Some(IT)),
    ("student", Some(AISHA)),
    ("former participant", Some(ANA)),
    ("blocked doctor", Some(BRUNO)),
];
const ANYONE: usize = 0;
const OWNER: usize = 1;
const OTHER_PATIENT: usize = 2;
const OTHER_DOCTOR: usize = 4;
const FORMER: usize = 8;
const BLOCKED: usize = 9;

/// Method and path, body, and the statuses of [`PEOPLE`]; `|` stands between those that are equally good. `WS` is a
/// handshake, and `SUBSCRIBE` what comes over the socket after it. A body that is no JSON is its media type.
///
/// The rows are walked through in this order, each person in turn: who shares a conversation sees each other, so the
/// directory comes before the conversations. Secrets that work once are invalid here; their own journeys use good ones.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &str)] = &[
    //                                                                      anon own  oth  trea othd madm it   stud form blkd
    ("GET /api/health", "",                                                "200  200  200  200  200  200  200  200  200  200"),
    ("GET /api/v1/health", "",                                             "200  200  200  200  200  200  200  200  200  200"),
    ("GET /api/v1/health/live", "",                                        "200  200  200  200  200  200  200  200  200  200"),
    ("GET /api/v1/health/ready", "",                                       "200  200  200  200  200  200  200  200  200  200"),
    ("GET /openapi.json", "",                                              "200  200  200  200  200  200  200  200  200  200"),
    ("GET /dialects.json", "",                                             "200  200  200  200  200  200  200  200  200  200"),
    ("GET /asyncapi.json", "",                                             "200  200  200  200  200  200  200  200  200  200"),
    ("GET /docs", "",                                                      "200  200  200  200  200  200  200  200  200  200"),
    ("GET /docs/realtime", "",                                             "200  200  200  200  200  200  200  200  200  200"),
    ("GET /docs/{file}", "",                                               "200  200  200  200  200  200  200  200  200  200"),

    ("POST /api/v1/auth/login", r#"{"email":"{email}","password":"{password}"}"#,
                                                                           "200  200  200  200  200  200  200  200  200  200"),
    ("POST /api/v1/auth/login-temporary", r#"{"email":"{fresh}@example.com","temporary_password":"AAAAA-AAAAA-AAAAA-AAAAA"}"#,
                                                                           "401  401  401  401  401  401  401  401  401  401"),
    ("POST /api/v1/auth/register", r#"{"email":"{fresh}@example.com","password":"caballo correcto","full_name":"Julia","role":"patient"}"#,
                                                                           "202  202  202  202  202  202  202  202  202  202"),
    ("POST /api/v1/auth/confirm-email", r#"{"token":"alc_x","password":"x"}"#,
                                                                           "401  401  401  401  401  401  401  401  401  401"),
    ("POST /api/v1/auth/register-medical-professional", r#"{"email":"{fresh}@example.com","full_name":"Marcos","license_number":"28-2871234","registration_token":"ali_x"}"#,
                                                                           "401  401  401  401  401  401  401  401  401  401"),
    ("POST /api/v1/auth/password/forgot", r#"{"email":"{email}"}"#,        "202  202  202  202  202  202  202  202  202  202"),
    ("POST /api/v1/auth/forgot-password", r#"{"email":"{email}"}"#,        "202  202  202  202  202  202  202  202  202  202"),
    ("POST /api/v1/auth/reset-password", r#"{"email":"{email}"}"#,         "202  202  202  202  202  202  202  202  202  202"),
    ("POST /api/v1/auth/password/reset", r#"{"token":"alp_x","new_password":"caballo correcto"}"#,
                                                                           "401  401  401  401  401  401  401  401  401  401"),
    ("POST /api/v1/auth/reset-password-confirm", r#"{"token":"alp_x","new_password":"caballo correcto"}"#,
                                                                           "401  401  401  401  401  401  401  401  401  401"),
    ("POST /api/v1/auth/refresh", r#"{"refresh_token":"alr_x"}"#,          "401  401  401  401  401  401  401  401  401  401"),
    ("POST /api/v1/auth/password/change", r#"{"current_password":"{password}","new_password":"{password}"}"#,
                                                                           "401  200  200  200  200  200  200  200  200  200"),
    ("POST /api/v1/auth/change-password", r#"{"current_password":"{password}","new_password":"{password}"}"#,
                                                                           "401  200  200  200  200  200  200  200  200  200"),
    ("POST /api/v1/auth/logout", "",                                       "401  204  204  204  204  204  204  204  204  204"),
    ("POST /api/v1/auth/logout-all", "",                                   "401  204  204  204  204  204  204  204  204  204"),
    ("GET /api/v1/auth/sessions", "",                                      "401  200  200  200  200  200  200  200  200  200"),
    ("DELETE /api/v1/auth/sessions", "",                                   "401  204  204  204  204  204  204  204  204  204"),
    ("DELETE /api/v1/auth/sessions/{session}", "",                         "401  204  404  404  404  404  404  404  204  404"),
    ("GET /api/v1/auth/me", "",                                            "401  200  200  200  200  200  200  200  200  200"),
    ("GET /api/v1/auth/mfa", "",                                           "401  200  200  200  200  200  200  200  200  200"),
    ("POST /api/v1/auth/mfa/totp", r#"{"password":"{password}"}"#,         "401  201  201  201  201  201  201  201  201  201"),
    ("POST /api/v1/auth/mfa/totp/confirm", r#"{"code":"000000"}"#,         "401  403  403  403  403  403  403  403  403  403"),
    ("DELETE /api/v1/auth/mfa/totp", r#"{"code":"000000"}"#,               "401  409  409  409  409  409  409  409  409  409"),
    ("POST /api/v1/auth/mfa/recovery-codes", r#"{"code":"000000"}"#,       "401  409  409  409  409  409  409  409  409  409"),
    ("POST /api/v1/auth/mfa/verify", r#"{"code":"000000"}"#,               "401  409  409  409  409  409  409  409  409  409"),
    ("GET /api/v1/auth/invitations", "",                                   "401  403  403  403  403  200  200  403  403  403"),
    ("POST /api/v1/auth/invitations", r#"{"email":"{fresh}@example.com","role":"doctor"}"#,
                                                                           "401  403  403  403  403  202  202  403  403  403"),
    ("DELETE /api/v1/auth/invitations/{invitation}", "",                   "401  403  403  403  403  204  204  403  403  403"),

    ("GET /api/v1/users", "",                                              "401  200  200  200  200  200  200  200  200  200"),
    ("GET /api/v1/users/institutions", "",                                 "401  200  200  200  200  200  200  200  200  200"),
    ("GET /api/v1/users/{ana}", "",                                        "401  200  404  200  404  404  404  404  200  404"),
    ("PATCH /api/v1/users/{maria}", r#"{"bio":"Hola"}"#,                   "401  403  404  200  403  200  200  404  403  404"),
    ("GET /api/v1/users/{ana}/avatar", "",                                 "401  200  404  200  404  404  404  404  200  404"),
    ("GET /api/v1/users/{ana}/presence", "",                               "401  200  404  200  404  404  404  404  200  404"),
    ("PUT /api/v1/users/{ana}/presence", r#"{"presence":"busy"}"#,         "401  200  404  404  404  404  404  404  200  404"),
    ("GET /api/v1/presence", "",                                           "401  200  200  200  200  200  200  200  200  200"),

    ("GET /api/v1/me/profile", "",                                         "401  200  200  200  200  200  200  200  200  200"),
    ("PUT /api/v1/me/avatar", "image/png",                                 "401  200  200  200  200  200  200  200  200  200"),
    ("DELETE /api/v1/me/avatar", "",                                       "401  204  204  204  204  204  204  204  204  204"),
    ("GET /api/v1/me/presence", "",                                        "401  200  200  200  200  200  200  200  200  200"),
    ("PUT /api/v1/me/presence", r#"{"presence":"busy"}"#,                  "401  200  200  200  200  200  200  200  200  200"),
    ("GET /api/v1/me/privacy", "",                                         "401  200  200  200  200  200  200  200  200  200"),
    ("PUT /api/v1/me/privacy", r#"{"presence":"everyone_i_know","last_seen":"everyone_i_know"}"#,
                                                                           "401  200  200  200  200  200  200  200  200  200"),
    ("GET /api/v1/me/access-log", "",                                      "401  200  200  200  200  200  200  200  200  200"),
    ("GET /api/v1/me/credentials", "",                                     "401  403  403  200  200  200  403  200  403  200"),
    ("POST /api/v1/me/credentials", r#"{"license_number":"CMP-12345"}"#,   "401  403  403  200  200  200  403  200  403  200"),
    ("PUT /api/v1/me/profile", r#"{"full_name":"Alguien","display_name":"Alguien","language":"es"}"#,
                                                                           "401  200  200  200  200  200  200  200  200  200"),

    ("GET /api/v1/contacts", "",                                           "401  200  200  200  200  200  200  200  200  200"),
    ("POST /api/v1/contacts", r#"{"user_id":"{maria}"}"#,                  "401 200|202 202 422 202 202 202 202 200|202 202"),
    ("GET /api/v1/contacts/{maria}", "",                                   "401  200  404  404  404  404  404  404  200  404"),
    ("PUT /api/v1/contacts/{maria}", r#"{"is_favorite":true}"#,            "401  200  404  404  404  404  404  404  200  404"),
    ("PUT /api/v1/contacts/{maria}/favorite", "",                          "401  200  404  404  404  404  404  404  200  404"),
    ("DELETE /api/v1/contacts/{maria}/favorite", "",                       "401  200  404  404  404  404  404  404  200  404"),
    ("DELETE /api/v1/contacts/{maria}", "",                                "401  204  404  404  404  404  404  404  204  404"),
    ("GET /api/v1/contact-requests", "",                                   "401  200  200  200  200  200  200  200  200  200"),
    ("POST /api/v1/contact-requests", r#"{"user_id":"{maria}"}"#,          "401  202  202  422  202  202  202  202  202  202"),
    ("POST /api/v1/contact-requests/{request}/accept", "",                 "401  404  404  200  404  404  404  404  404  404"),
    ("POST /api/v1/contact-requests/{request}/decline", "",                "401  404  404  204  404  404  404  404  404  404"),
    ("DELETE /api/v1/contact-requests/{request}", "",                      "401  204  404  404  404  404  404  404  204  404"),
    ("GET /api/v1/blocks", "",                                             "401  200  200  200  200  200  200  200  200  200"),
    ("POST /api/v1/blocks/{ana}", "",                                      "401  422  404  201  404  404  404  404  422  201"),
    ("DELETE /api/v1/blocks/{ana}", "",                                    "401  204  204  204  204  204  204  204  204  204"),

    ("GET /api/v1/conversations", "",                                      "401  200  200  200  200  200  200  200  200  200"),
    ("POST /api/v1/conversations", r#"{"type":"group","title":"x","participants":["{maria}"]}"#,
                                                                           "401  201  403  422  201  201  201  201  201  201"),
    ("POST /api/v1/conversations/direct", r#"{"user_id":"{ana}"}"#,        "401 422 403 200|201 403 200|201 403 403 422 403"),
    ("GET /api/v1/conversations/{conversation}", "",                       "401  200  404  200  404  404  404  404  404  200"),
    ("POST /api/v1/conversations/{conversation}/participants", r#"{"user_id":"{admin}"}"#,
                                                                           "401  403  404  200  404  404  404  404  404  409"),
    ("DELETE /api/v1/conversations/{conversation}/participants/{ana}", "", "401  204  404  204  404  404  404  404  404  409"),
    ("GET /api/v1/conversations/{conversation}/messages", "",              "401  200  404  200  404  404  404  404  404  200"),
    ("POST /api/v1/conversations/{conversation}/messages", r#"{"content":"Hola"}"#,
                                                                           "401  201  404  201  404  404  404  404  404  403"),
    ("GET /api/v1/conversations/{conversation}/messages/{message}", "",    "401  200  404  200  404  404  404  404  404  200"),
    ("GET /api/v1/messages", "",                                           "401  200  200  200  200  200  200  200  200  200"),
    ("GET /api/v1/messages/{message}", "",                                 "401  200  404  200  404  404  404  404  404  200"),
    ("POST /api/v1/messages/{message}/forward", r#"{"conversation_ids":["{conversation}"]}"#,
                                                                           "401  200  404  200  404  404  404  404  404  200"),
    ("GET /api/v1/messages/scheduled", "",                                 "401  200  200  200  200  200  200  200  200  200"),
    ("GET /api/v1/messages/scheduled/{scheduled}", "",                     "401  404  404  200  404  404  404  404  404  404"),
    ("PATCH /api/v1/messages/scheduled/{scheduled}", r#"{"content":"Hola"}"#,
                                                                           "401  404  404  200  404  404  404  404  404  404"),
    ("DELETE /api/v1/messages/scheduled/{scheduled}", "",                  "401  404  404  204  404  404  404  404  404  404"),
    ("PUT /api/v1/conversations/{conversation}/draft", r#"{"content":"Buenos días"}"#,
                                                                           "401  200  404  200  404  404  404  404  404  200"),
    ("GET /api/v1/conversations/{conversation}/draft", "",                 "401  404  404  200  404  404  404  404  404  200"),
    ("DELETE /api/v1/conversations/{conversation}/draft", "",              "401  204  404  204  404  404  404  404  404  204"),
    ("GET /api/v1/drafts", "",                                             "401  200  200  200  200  200  200  200  200  200"),
    ("POST /api/v1/messages/{message}/reports", r#"{"reason":"spam"}"#,
                                                                           "401  201  404  403  404  404  404  404  404  201"),
    ("GET /api/v1/moderation/reports", "",                                 "401  403  403  403  403  200  403  403  403  403"),
    ("GET /api/v1/moderation/reports/{report}", "",                        "401  403  403  403  403  200  403  403  403  403"),
    ("PATCH /api/v1/moderation/reports/{report}", r#"{"status":"in_review","version":1}"#,
                                                                           "401  403  403  403  403  200  403  403  403  403"),
    // Without anything to look for.
    ("GET /api/v1/search", "",                                             "401  422  422  422  422  422  422  422  422  422"),
    ("PUT /api/v1/conversations/{conversation}/read-marker", r#"{"message_id":"{message}"}"#,
                                                                           "401  200  404  200  404  404  404  404  404  200"),
    ("PATCH /api/v1/conversations/{conversation}", r#"{"title":"Otro"}"#,
                                                                           "401  403  404  200  404  404  404  404  404  200"),
    ("DELETE /api/v1/conversations/{conversation}", "",                    "401  204  404  204  404  404  404  404  404  204"),
    ("POST /api/v1/conversations/{conversation}/close", r#"{"reason":"Alta"}"#,
                                                                           "401  403  404  200  404  404  404  404  404  200"),
    ("POST /api/v1/conversations/{conversation}/reopen", "",               "401  403  404  200  404  404  404  404  404  200"),
    ("POST /api/v1/conversations/{conversation}/leave", "",                "401  204  404  409  404  404  404  404  404  409"),
    ("POST /api/v1/conversations/{conversation}/join", "",                 "401  200  404  200  404  404  404  404  404  200"),
    ("POST /api/v1/conversations/join", r#"{"token":"alj_x"}"#,            "401  404  404  404  404  404  404  404  404  404"),
    ("GET /api/v1/conversations/{conversation}/participants", "",          "401  200  404  200  404  404  404  404  404  200"),
    ("PATCH /api/v1/conversations/{conversation}/participants/{maria}", r#"{"role":"moderator"}"#,
                                                                           "401  403  404  200  404  404  404  404  404  404"),
    ("GET /api/v1/conversations/{conversation}/invitation-links", "",      "401  403  404  200  404  404  404  404  404  200"),
    ("POST /api/v1/conversations/{conversation}/invitation-links", r#"{"max_uses":1}"#,
                                                                           "401  403  404  201  404  404  404  404  404  409"),
    ("DELETE /api/v1/conversations/{conversation}/invitation-links/{link}", "",
                                                                           "401  403  404  204  404  404  404  404  404  404"),
    ("PUT /api/v1/conversations/{conversation}/archive", "",               "401  204  404  204  404  404  404  404  404  204"),
    ("DELETE /api/v1/conversations/{conversation}/archive", "",            "401  204  404  204  404  404  404  404  404  204"),
    ("PUT /api/v1/conversations/{conversation}/pin", "",                   "401  204  404  204  404  404  404  404  404  204"),
    ("DELETE /api/v1/conversations/{conversation}/pin", "",                "401  204  404  204  404  404  404  404  404  204"),
    ("PUT /api/v1/conversations/{conversation}/mute", r#"{"until":"2999-01-01T00:00:00Z"}"#,
                                                                           "401  204  404  204  404  404  404  404  404  204"),
    ("DELETE /api/v1/conversations/{conversation}/mute", "",               "401  204  404  204  404  404  404  404  404  204"),
    ("GET /api/v1/unread", "",                                             "401  200  200  200  200  200  200  200  200  200"),

    ("GET /api/v1/files", "",                                              "401  200  200  200  200  200  200  200  200  200"),
    ("GET /api/v1/files/policy", "",                                       "401  200  200  200  200  200  200  200  200  200"),
    ("POST /api/v1/files", "multipart/form-data {conversation}",           "401  201  404  201  404  404  404  404  404  403"),
    ("POST /api/v1/files/uploads", "",                                     "401  201  404  201  404  404  404  404  404  403"),
    // Of whoever began it, here the owner patient, while they are where it is meant for.
    ("HEAD /api/v1/files/uploads/{upload}", "",                            "401  200  404  404  404  404  404  404  404  404"),
    ("PATCH /api/v1/files/uploads/{upload}", "application/offset+octet-stream",
                                                                           "401  204  404  404  404  404  404  404  404  404"),
    ("DELETE /api/v1/files/uploads/{upload}", "",                          "401  204  404  404  404  404  404  404  404  404"),
    ("GET /api/v1/files/{document}", "",                                   "401  200  404  200  404  404  404  404  404  200"),
    ("GET /api/v1/files/{document}/content", "",                           "401  200  404  200  404  404  404  404  404  200"),
    ("HEAD /api/v1/files/{document}/content", "",                          "401  200  404  200  404  404  404  404  404  200"),
    ("GET /api/v1/files/{document}/preview", "",                           "401  200  404  200  404  404  404  404  404  200"),
    ("GET /api/v1/files/{document}/thumbnail", "",                         "401  200  404  200  404  404  404  404  404  200"),
    ("POST /api/v1/files/{document}/link", "",                             "401  201  404  201  404  404  404  404  404  201"),
    ("PUT /api/v1/files/{document}/consent", r#"{"granted":true}"#,        "401  200  404  404  404  404  404  404  404  404"),
    ("GET /api/v1/files/{document}/signatures", "",                        "401  200  404  200  404  404  404  404  404  200"),
    ("POST /api/v1/files/{document}/signatures", r#"{"checksum":"{checksum}"}"#,
                                                                           "401  201  404  201  404  404  404  404  404  201"),
    ("GET /api/v1/files/{document}/grants", "",                            "401  200  404  200  404  404  404  404  404  403"),
    ("PATCH /api/v1/files/{document}/grants", r#"{"can_print":false}"#,    "401  403  404  200  404  404  404  404  404  403"),
    ("DELETE /api/v1/files/{document}/grants/{ana}", "",                   "401  403  404  204  404  404  404  404  404  403"),
    // She does not have it then.
    ("PUT /api/v1/files/{document}/grants/{ana}", "",                      "401  404  404  204  404  404  404  404  404  403"),
    ("GET /api/v1/files/{document}/annotations", "",                       "401  200  404  200  404  404  404  404  404  200"),
    ("POST /api/v1/files/{document}/annotations", r#"{"shapes":[{"kind":"arrow","points":[[0,0],[1,1]]}]}"#,
                                                                           "401  403  404  201  404  404  404  404  404  201"),
    ("GET /api/v1/files/{document}/annotations/{annotation}", "",          "401  200  404  200  404  404  404  404  404  200"),
    ("PUT /api/v1/files/{document}/annotations/{annotation}", r#"{"version":1,"shapes":[{"kind":"arrow","points":[[0,0],[1,1]]}]}"#,
                                                                           "401  403  404  200  404  404  404  404  404  200"),
    ("DELETE /api/v1/files/{document}/annotations/{annotation}?version=1", "",
                                                                           "401  403  404  204  404  404  404  404  404  204"),
    ("GET /api/v1/files/{document}/annotations/{annotation}/versions", "", "401  200  404  200  404  404  404  404  404  200"),
    // What a patient has handed over, a clinician may refuse.
    ("DELETE /api/v1/files/{document}", "",                                "401  403  404  204  404  404  404  404  404  204"),

    ("GET /api/v1/changes", "",                                            "401  200  200  200  200  200  200  200  200  200"),
    ("PATCH /api/v1/messages/{message}", r#"{"content":"Hola"}"#,          "401  403  404  200  404  404  404  404  404  403"),
    ("DELETE /api/v1/messages/{message}", "",                              "401  403  404  204  404  404  404  404  404  403"),
    ("POST /api/v1/messages/{message}/corrections", r#"{"content":"Hola"}"#,
                                                                           "401  403  404  201  404  404  404  404  404  403"),
    ("GET /api/v1/messages/{message}/history", "",                         "401  200  404  200  404  404  404  404  404  200"),
    ("PUT /api/v1/messages/{message}/reactions/{emoji}", "",               "401  200  404  200  404  404  404  404  404  403"),
    ("DELETE /api/v1/messages/{message}/reactions/{emoji}", "",            "401  200  404  200  404  404  404  404  404  403"),
    ("GET /api/v1/messages/{message}/receipts", "",                        "401  200  404  200  404  404  404  404  404  200"),
    ("PUT /api/v1/messages/{message}/receipts/me", r#"{"status":"read"}"#, "401  200  404  200  404  404  404  404  404  200"),
    ("POST /api/v1/messages/mark-read", r#"{"message_ids":["{message}"]}"#,
                                                                           "401  200  404  200  404  404  404  404  404  200"),

    ("GET /api/v1/conversations/{conversation}/availability", "",          "401  200  404  200  404  404  404  404  404  200"),
    ("GET /api/v1/users/{maria}/chat-hours", "",                           "401  200  404  200  200  200  200  200  200  200"),
    ("GET /api/v1/me/chat-hours", "",                                      "401  403  403  200  200  403  403  403  403  200"),
    ("PUT /api/v1/me/chat-hours", r#"{"time_zone":"Europe/Madrid","weekly":[],"outside_hours":"accept_silently"}"#,
                                                                           "401  403  403  200  200  403  403  403  403  200"),
    ("DELETE /api/v1/me/chat-hours", "",                                   "401  403  403  204  204  403  403  403  403  204"),
    ("POST /api/v1/emergencies", r#"{"patient_id":"{ana}"}"#,              "401 200|201 403 200 403 200 403 403 200 200"),
    ("GET /api/v1/emergencies", "",                                        "401  403  403  200  200  200  403  403  403  200"),
    // Whoever attends her or was called. The doctor whom she blocked still attends her: care goes on.
    ("POST /api/v1/emergencies/{emergency}/acknowledge", "",               "401  403  403  200  404  200  403  403  403  200"),
    ("POST /api/v1/emergencies/{emergency}/resolve", "",                   "401  403  403  200|403 404 200 403 403 403 200|403"),

    ("POST /api/v1/ws/tickets", "",                                        "401  201  201  201  201  201  201  201  201  201"),
    ("GET /api/v1/ws", "",                                                 "401  426  426  426  426  426  426  426  426  426"),
    ("WS /api/v1/ws", "",                                                  "401  101  101  101  101  101  101  101  101  101"),
    ("WS /ws/chat/{conversation}", "",                                     "401  101  404  101  404  404  404  404  404  101"),
    ("SUBSCRIBE {conversation}", "",                                       "401  200  404  200  404  404  404  404  404  200"),

    ("GET /api/v1/admin/audit", "",                                        "401  403  403  403  403  200  200  403  403  403"),
    ("GET /api/v1/admin/chat-hours", "",                                   "401  403  403  403  403  200  403  403  403  403"),
    ("PUT /api/v1/admin/chat-hours", r#"{"time_zone":"Europe/Madrid","weekly":[],"outside_hours":"accept_silently"}"#,
                                                                           "401  403  403  403  403  200  403  403  403  403"),
    ("GET /api/v1/admin/on-call", "",                                      "401  403  403  403  403  200  403  403  403  403"),
    ("PUT /api/v1/admin/on-call", r#"{"levels":[]}"#,                      "401  403  403  403  403  200  403  403  403  403"),
    ("GET /api/v1/admin/break-glass", "",                                  "401  403  403  403  403  200  403  403  403  403"),
    ("POST /api/v1/admin/break-glass", r#"{"conversation_id":"{conversation}","reason":"Riesgo vital"}"#,
                                                                           "401  403  403  403  403  201  403  403  403  403"),
    ("DELETE /api/v1/admin/break-glass/{grant}", "",                       "401  403  403  403  403  204  403  403  403  403"),
    ("GET /api/v1/admin/break-glass/{grant}/messages", "",                 "401  403  403  403  403  200  403  403  403  403"),
    ("GET /api/v1/admin/care-blocks", "",                                  "401  403  403  403  403  200  200  403  403  403"),
    ("GET /api/v1/admin/credentials", "",                                  "401  403  403  403  403  200  403  403  403  403"),
    ("POST /api/v1/admin/credentials/{maria}/decision", r#"{"decision":"reject","reason_code":"expired","submission_id":"{submission}"}"#,
                                                                           "401  403  403  403  403  200  403  403  403  403"),
    ("GET /api/v1/admin/medical-professionals", "",                        "401  403  403  403  403  200  200  403  403  403"),
    ("PATCH /api/v1/admin/medical-professionals/{maria}", r#"{"specialty":"Cirugía"}"#,
                                                                           "401  403  403  403  403  200  200  403  403  403"),
    ("GET /api/v1/admin/users", "",                                        "401  403  403  403  403  403  200  403  403  403"),
    ("GET /api/v1/admin/users/{spare}", "",                                "401  403  403  403  403  403  200  403  403  403"),
    ("PATCH /api/v1/admin/users/{spare}", r#"{"role":"doctor"}"#,          "401  403  403  403  403  403  200  403  403  403"),
    ("POST /api/v1/admin/users/{spare}/activate", "",                      "401  403  403  403  403  403  200  403  403  403"),
    ("POST /api/v1/admin/users/{spare}/deactivate", "",                    "401  403  403  403  403  403  200  403  403  403"),
    ("POST /api/v1/admin/users/{spare}/reset-password", "",                "401  403  403  403  403  403  202  403  403  403"),
    ("POST /api/v1/admin/users/{spare}/revoke-sessions", "",               "401  403  403  403  403  403  204  403  403  403"),
    ("DELETE /api/v1/admin/users/{spare}/mfa", "",                         "401  403  403  403  403  403  204  403  403  403"),
];

/// Routes that the document does not hold: pages, the documents' own sockets, and what comes over a socket.
const UNDOCUMENTED: [&str; 9] = [
    "GET /openapi.json",
    "GET /dialects.json",
    "GET /asyncapi.json",
    "GET /docs",
    "GET /docs/realtime",
    "GET /docs/{}",
    "WS /api/v1/ws",
    "WS /ws/chat/{}",
    "SUBSCRIBE {}",
];

/// Fields that a client must not set; a body that has one of its own is tried with the others.
const FORBIDDEN_FIELDS: [&str; 16] = [
    "role",
    "sender_id",
    "status",
    "is_verified",
    "created_at",
    "id",
    "amount",
    "patient_id",
    "retention",
    "user_id",
    "is_active",
    "is_superuser",
    "scopes",
    "admin_id",
    "seq",
    "__proto__",
];

struct Row<'a> {
    method: &'a str,
    path: &'a str,
    body: &'a str,
    outcomes: Vec<Vec<u16>>,
}

impl Row<'_> {
    /// Whether it begins or ends some, of which everyone has a few at most.
    fn concerns_sessions(&self) -> bool {
        let words = [
            "login",
            "logout",
            "logout-all",
            "sessions",
            "sessions/{session}",
            "password/change",
            "change-password",
        ];
        let path = self.path.strip_prefix("/api/v1/auth/");
        path.is_some_and(|path| words.contains(&path)) && self.method != "GET"
    }

    fn names(&self, name: &str) -> bool {
        [self.path, self.body].iter().any(|part| part.contains(&format!("{{{name}}}")))
    }

    /// A picture has no fields that one could add to.
    fn takes_json(&self) -> bool {
        self.body.starts_with('{')
    }
}

fn table() -> Vec<Row<'static>> {
    let row = |(route, body, outcomes): &(&'static str, &'static str, &'static str)| {
        let (method, path) = route.split_once(' ').expect("a method and a path");
        let numbers = |cell: &str| cell.split('|').map(|status| status.parse().expect("a status")).collect();
        let outcomes: Vec<_> = outcomes.split_whitespace().map(numbers).collect();
        assert_eq!(outcomes.len(), PEOPLE.len(), "{route}: one outcome for each person");
        Row { method, path, body, outcomes }
    };
    TABLE.iter().map(row).collect()
}

/// The path without the names of its parameters.
fn pattern(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// A running server and everyone signed in.
struct Cast {
    world: World,
    database: tokio_postgres::Client,
    people: Vec<Actor>,
    /// An account that nobody acts as.
    spare: String,
    /// What [`BRUNO`] and Ana had, and what she said in it.
    blocked_direct: (String, String),
}

impl Cast {
    async fn new() -> Self {
        let world = World::new().await;
        let database = sql(&world).await;
        let spare = create(&world, "spare@clinic.example");
        let bruno = create(&world, BRUNO);
        let [ana, it] = world.sign_in_all([ANA, IT]).await;
        let doctor = Request::new(Method::PATCH, format!("/admin/users/{bruno}"));
        it.request(doctor.json(&json!({"role": "doctor"}))).await.expect(200);
        let attends = format!(
            "INSERT INTO care_relationships (patient_id, professional_id, started_at)
             VALUES ('{}', '{bruno}', now())",
            ana.id
        );
        database.batch_execute(&attends).await.expect("he attends her");
        let direct = ana.open_direct(&bruno).await;
        let said = ana.send(&direct, "Buenos días").await;
        ana.post(&format!("/blocks/{bruno}"), &json!({})).await.expect(201);

        let mut people = Vec::new();
        for (_, email) in PEOPLE {
            people.push(match email {
                Some(email) => world.sign_in(email).await,
                None => world.anonymous(),
            });
        }
        let blocked_direct = (direct, text(&said, "id").to_owned());
        Self { world, database, people, spare, blocked_direct }
    }

    fn person(&self, email: &str) -> &Actor {
        let index = PEOPLE.iter().position(|(_, other)| *other == Some(email)).expect("one of the people");
        &self.people[index]
    }

    /// Whoever a request may have signed out, or signed in once too often, signs in again wherever they are.
    async fn revive(&mut self, row: &Row<'_>, who: usize) {
        if !row.concerns_sessions() {
            return;
        }
        let theirs = if row.path.contains("{session}") { Some(ANA) } else { PEOPLE[who].1 };
        for (person, (_, email)) in self.people.iter_mut().zip(PEOPLE) {
            if let Some(email) = email.filter(|_| email == theirs) {
                *person = self.world.sign_in(email).await;
            }
        }
    }
}

/// The id of a new account with the usual password.
fn create(world: &World, email: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_alivio"))
        .args(["create-admin", "--email", email, "--full-name", "Bruno Vega", "--password-stdin", "--force"])
        .env("DATABASE_URL", world.database.url())
        .env("ALIVIO_DATA_DIR", world.data_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut input = child.stdin.take().expect("its input");
    input.write_all(format!("{PASSWORD}\n").as_bytes()).expect("a line");
    drop(input);
    let made = child.wait_with_output().expect("its end");
    let words = String::from_utf8_lossy(&made.stdout).into_owned();
    words.split_whitespace().nth(1).expect("an id").to_owned()
}

/// What a request of one person is about: made afresh for it, and only as far as it is named.
#[derive(Default)]
struct Scene(BTreeMap<&'static str, String>);

impl Scene {
    async fn set(cast: &Cast, row: &Row<'_>, who: usize) -> Self {
        let names = |name| row.names(name);
        let id = |email| cast.person(email).id.clone();
        let (ana, maria, admin) = (cast.person(ANA), cast.person(MARIA), cast.person(ADMIN));
        let mut scene = BTreeMap::from([
            ("ana", id(ANA)),
            ("maria", id(MARIA)),
            ("carlos", id(CARLOS)),
            ("admin", id(ADMIN)),
            ("spare", cast.spare.clone()),
            ("email", PEOPLE[who].1.unwrap_or(ANA).to_owned()),
            ("password", PASSWORD.to_owned()),
            ("file", "page.js".to_owned()),
            // Of no account.
            ("fresh", unused_id()),
        ]);
        if names("emergency") {
            let called = ana.post("/emergencies", &json!({})).await;
            scene.insert("emergency", text(&called.json["emergency"], "id").to_owned());
        }
        if row.path.contains("contact") {
            set_contacts(row, ana, maria, &mut scene).await;
        }
        if names("session") {
            let elsewhere = cast.world.sign_in(ANA).await;
            let sessions = elsewhere.get("/auth/sessions").await.expect(200);
            let current = list(&sessions, "items").iter().find(|session| session["is_current"] == true);
            scene.insert("session", text(current.expect("this one"), "id").to_owned());
        }
        if names("invitation") {
            let asked = json!({"email": format!("{}@example.com", unused_id()), "role": "doctor"});
            admin.post("/auth/invitations", &asked).await.expect(202);
            let open = admin.get("/auth/invitations").await.expect(200);
            scene.insert("invitation", text(&list(&open, "items")[0], "id").to_owned());
        }
        if row.path.ends_with("{ana}/presence") {
            maria.open_direct(&ana.id).await;
        }
        if row.path.ends_with("{ana}/avatar") {
            let picture = Request::new(Method::PUT, "/me/avatar").raw("image/png", png());
            ana.request(picture).await.expect(200);
        }
        if row.path.ends_with("/decision") {
            let asked = json!({"license_number": "CMP-12345"});
            let submitted = maria.post("/me/credentials", &asked).await.expect(200);
            scene.insert("submission", text(&submitted, "submission_id").to_owned());
        }
        if row.path.ends_with("{spare}/mfa") {
            let has_one = "INSERT INTO second_factors (user_id, secret, created_at, confirmed_at)
                VALUES ($1, '', now(), now()) ON CONFLICT DO NOTHING";
            cast.world.execute(has_one, &cast.spare).await;
        }
        if names("scheduled") {
            let conversation = maria.open_group("Seguimiento", &[ana]).await;
            let asked = json!({"content": "Hola", "scheduled_for": "2027-01-01T00:00:00Z"});
            let path = format!("/conversations/{conversation}/messages");
            let scheduled = maria.post(&path, &asked).await.expect(202);
            scene.insert("scheduled", text(&scheduled, "id").to_owned());
        }
        if names("upload") {
            let conversation = maria.open_group("Seguimiento", &[ana]).await;
            let begun = begin(ana, &conversation, "a.pdf", 5).await;
            scene.insert("upload", place(&begun).rsplit('/').next().expect("an id").to_owned());
            if who == FORMER {
                let path = format!("/conversations/{conversation}/participants/{}", ana.id);
                maria.delete(&path).await.expect(204);
            }
        }
        let of_admins = names("grant") || names("report");
        if names("conversation")
            || row.path.ends_with("/files/uploads")
            || names("message")
            || names("document")
            || of_admins
        {
            let (conversation, message) = if who == BLOCKED && !of_admins {
                cast.blocked_direct.clone()
            } else {
                let conversation = maria.open_group("Seguimiento", &[ana]).await;
                let message = maria.send(&conversation, "¿Cómo se encuentra?").await;
                (conversation, text(&message, "id").to_owned())
            };
            scene.insert("message", message);
            scene.insert("emoji", "%F0%9F%91%8D".to_owned());
            if names("grant") {
                let asked = json!({"conversation_id": conversation, "reason": "Riesgo vital"});
                let grant = admin.post("/admin/break-glass", &asked).await.expect(201);
                scene.insert("grant", text(&grant, "id").to_owned());
            }
            if names("report") {
                let asked = json!({"reason": "spam"});
                let reported =
                    ana.post(&format!("/messages/{}/reports", scene["message"]), &asked).await.expect(201);
                scene.insert("report", text(&reported, "id").to_owned());
            }
            if names("document") {
                let blocked = if who == BLOCKED { Some(cast.person(BRUNO).id.as_str()) } else { None };
                let by = if who == BLOCKED { ana } else { maria };
                let document = hand_over(row, by, &conversation, blocked).await;
                scene.insert("checksum", text(&document["file_info"], "checksum").to_owned());
                scene.insert("document", text(&document, "id").to_owned());
                if row.method == "PUT" && row.path.contains("/grants/") && who != BLOCKED {
                    let path = format!("/files/{}/grants/{}", scene["document"], ana.id);
                    maria.delete(&path).await.expect(204);
                }
                if names("annotation") {
                    // In their direct conversation, nobody but he draws.
                    let doctor = if who == BLOCKED { cast.person(BRUNO) } else { maria };
                    let drawn = json!({"shapes": [{"kind": "arrow", "points": [[0, 0], [1, 1]]}]});
                    let path = format!("/files/{}/annotations", scene["document"]);
                    let drawn = doctor.post(&path, &drawn).await.expect(201);
                    scene.insert("annotation", text(&drawn, "id").to_owned());
                }
            }
            if who == FORMER {
                maria
                    .delete(&format!("/conversations/{conversation}/participants/{}", ana.id))
                    .await
                    .expect(204);
            }
            if row.path.ends_with("/draft") && row.method == "GET" {
                let asked = json!({"content": "Buenos días"});
                let path = format!("/conversations/{conversation}/draft");
                drop(maria.put(&path, &asked).await);
            }
            if names("link") {
                let links = format!("/conversations/{conversation}/invitation-links");
                let link = match who {
                    // None leads into a direct conversation.
                    BLOCKED => unused_id(),
                    _ => text(&maria.post(&links, &json!({})).await.expect(201), "id").to_owned(),
                };
                scene.insert("link", link);
            }
            scene.insert("conversation", conversation);
        }
        Self(scene)
    }

    fn fill(&self, template: &str) -> String {
        let mut filled = template.to_owned();
        for (name, value) in &self.0 {
            filled = filled.replace(&format!("{{{name}}}"), value);
        }
        filled
    }
}

/// A picture that `by` has handed over and that can be opened; before she blocked `blocked`, if there is such a one.
async fn hand_over(row: &Row<'_>, by: &Actor, conversation: &str, blocked: Option<&str>) -> Value {
    let block = async |raise: bool| {
        if let Some(blocked) = blocked {
            let method = if raise { Method::POST } else { Method::DELETE };
            let asked = Request::new(method, format!("/blocks/{blocked}"));
            assert!(by.request(asked).await.status < 300);
        }
    };
    block(false).await;
    // It says whom it is about only where that is asked: nobody is asked of their own.
    let asks = if row.path.ends_with("/consent") { "true" } else { "false" };
    let more = [("requires_patient_consent", asks), ("requires_signature", "true")];
    let picture = offer(by, conversation, ("a.png", "image/png", &png()), &more).await.expect(201);
    let picture = settled(by, text(&picture, "id"), "active").await;
    block(true).await;
    picture
}

/// Makes Ana and María contacts, or leaves it at Ana's request.
async fn set_contacts(row: &Row<'_>, ana: &Actor, maria: &Actor, scene: &mut BTreeMap<&'static str, String>) {
    if row.method == "GET" && !row.path.contains('{') {
        return;
    }
    let ended = ana.delete(&format!("/contacts/{}", maria.id)).await;
    assert!(matches!(ended.status, 204 | 404), "{}", ended.text);
    if row.path.contains("/contacts/{maria}") || row.path.contains("{request}") {
        let asked = ana.post("/contact-requests", &json!({"user_id": maria.id})).await.expect(202);
        let request = text(&asked, "id").to_owned();
        if !row.path.contains("{request}") {
            let accept = Request::new(Method::POST, format!("/contact-requests/{request}/accept"));
            maria.request(accept).await.expect(200);
        }
        scene.insert("request", request);
    }
}

fn png() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(RgbImage::new(8, 8)).write_to(&mut bytes, ImageFormat::Png).expect("a PNG");
    bytes.into_inner()
}

fn request(row: &Row<'_>, scene: &Scene, body: &str) -> Request {
    let method = Method::from_bytes(row.method.as_bytes()).expect("a method");
    // Absolute: a second slash says so.
    let mut request = Request::new(method, format!("/{}", scene.fill(row.path)));
    let conversation = scene.0.get("conversation").map_or("", String::as_str);
    if row.path.contains("/files/uploads") {
        request = announce(request, conversation, "a.pdf", 5).header("Upload-Offset", "0");
    }
    match body {
        "" => request,
        "image/png" => request.raw(body, png()),
        _ if body.starts_with("multipart") => {
            let picture = png();
            // Two documented paths take nothing but sound and moving pictures.
            let (name, mime, content) = match row.path {
                path if path.ends_with("/audio") => {
                    ("a.mp3", "audio/mpeg", b"ID3\x04\0\0\0\0\0\0".as_slice())
                }
                path if path.ends_with("/video") => {
                    ("a.mp4", "video/mp4", b"\0\0\0\x10ftypisom\0\0\0\0".as_slice())
                }
                _ => ("a.png", "image/png", &*picture),
            };
            let file = Part::File { name, mime, content };
            request.form(&[Part::Text("conversation_id", conversation), file])
        }
        _ if body.starts_with("application/") => request.raw(body, "x"),
        _ => request.raw("application/json", scene.fill(body)),
    }
}

/// What `actor` gets.
async fn outcome(row: &Row<'_>, scene: &Scene, actor: &Actor) -> u16 {
    let knock = |path: String| match &actor.access_token {
        Some(token) => Connect::new(path).bearer(token),
        None => Connect::new(path),
    };
    match row.method {
        "WS" => {
            let address = actor.try_connect(knock(scene.fill(row.path))).await;
            address.map_or_else(|refused| refused.status.unwrap_or_default(), |_| 101)
        }
        "SUBSCRIBE" => {
            let mut socket = match actor.try_connect(knock("/api/v1/ws".to_owned())).await {
                Ok(socket) => socket,
                Err(refused) => return refused.status.unwrap_or_default(),
            };
            let asked = json!({"type": "subscribe", "conversation_ids": [scene.fill(row.path)]});
            let reference = socket.command(asked).await;
            match socket.answer(&reference).await {
                Ok(_) => 200,
                Err(error) if error["error"] == "not_found" => 404,
                Err(error) => panic!("{error}"),
            }
        }
        _ => actor.request(request(row, scene, row.body)).await.status,
    }
}

async fn document(world: &World) -> Value {
    world.anonymous().request(Request::new(Method::GET, "//openapi.json")).await.expect(200)
}

#[tokio::test]
async fn every_route_has_its_row_and_every_row_its_route() {
    let world = World::new().await;
    let document = document(&world).await;
    let mut takes_body = BTreeSet::new();
    let mut routes: BTreeSet<String> = UNDOCUMENTED.map(str::to_owned).into();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("operations").keys() {
            routes.insert(format!("{} {}", method.to_uppercase(), pattern(path)));
            if item[method].get("requestBody").is_some() {
                takes_body.insert(format!("{} {}", method.to_uppercase(), pattern(path)));
            }
        }
    }
    let with_body = table().into_iter().filter(|row| !row.body.is_empty());
    let with_body = with_body.map(|row| format!("{} {}", row.method, pattern(row.path))).collect();
    assert_eq!(takes_body, with_body, "a row has a body if its route takes one");
    let rows: Vec<_> = table().iter().map(|row| format!("{} {}", row.method, pattern(row.path))).collect();
    let known: BTreeSet<String> = rows.iter().cloned().collect();
    assert_eq!(known.len(), rows.len(), "a route has two rows");
    let missing: Vec<_> = routes.difference(&known).collect();
    let surplus: Vec<_> = known.difference(&routes).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "routes without a row: {missing:?}; rows without: {surplus:?}"
    );
}

#[tokio::test]
async fn everyone_gets_what_the_table_says() {
    let mut cast = Cast::new().await;
    let mut wrong = Vec::new();
    for row in &table() {
        for (who, expected) in row.outcomes.iter().enumerate() {
            let scene = Scene::set(&cast, row, who).await;
            let got = outcome(row, &scene, &cast.people[who]).await;
            if !expected.contains(&got) {
                wrong.push(format!(
                    "{} {}: {} gets {got}, not {expected:?}",
                    row.method, row.path, PEOPLE[who].0
                ));
            }
            cast.revive(row, who).await;
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Who is refused what they know: they would get another answer if there were nothing.
const KNOWN: [(&str, &[usize]); 19] = [
    ("POST /api/v1/files", &[BLOCKED]),
    ("DELETE /api/v1/files/{document}", &[OWNER]),
    ("GET /api/v1/files/{document}/grants", &[BLOCKED]),
    ("PATCH /api/v1/files/{document}/grants", &[OWNER, BLOCKED]),
    ("DELETE /api/v1/files/{document}/grants/{ana}", &[OWNER, BLOCKED]),
    ("PUT /api/v1/files/{document}/grants/{ana}", &[BLOCKED]),
    ("POST /api/v1/files/{document}/annotations", &[OWNER]),
    ("PUT /api/v1/files/{document}/annotations/{annotation}", &[OWNER]),
    ("DELETE /api/v1/files/{document}/annotations/{annotation}?version=1", &[OWNER]),
    ("PATCH /api/v1/users/{maria}", &[OWNER, OTHER_DOCTOR, FORMER]),
    ("POST /api/v1/conversations/{conversation}/participants", &[OWNER]),
    ("POST /api/v1/conversations/{conversation}/messages", &[BLOCKED]),
    ("PATCH /api/v1/conversations/{conversation}", &[OWNER]),
    ("POST /api/v1/conversations/{conversation}/close", &[OWNER]),
    ("POST /api/v1/conversations/{conversation}/reopen", &[OWNER]),
    ("PATCH /api/v1/conversations/{conversation}/participants/{maria}", &[OWNER]),
    ("GET /api/v1/conversations/{conversation}/invitation-links", &[OWNER]),
    ("POST /api/v1/conversations/{conversation}/invitation-links", &[OWNER]),
    ("DELETE /api/v1/conversations/{conversation}/invitation-links/{link}", &[OWNER]),
];

/// Whoever is refused cannot tell whether there is such a thing.
#[tokio::test]
async fn refusals_do_not_tell_what_there_is() {
    const IDS: [&str; 11] = [
        "ana",
        "annotation",
        "maria",
        "spare",
        "conversation",
        "document",
        "grant",
        "invitation",
        "link",
        "request",
        "session",
    ];
    let mut cast = Cast::new().await;
    let (mut tried, mut told) = (0, Vec::new());
    for row in &table() {
        let names: Vec<_> = IDS.into_iter().filter(|name| row.names(name)).collect();
        if names.is_empty() || matches!(row.method, "WS" | "SUBSCRIBE") {
            continue;
        }
        let route = format!("{} {}", row.method, row.path);
        for (who, expected) in row.outcomes.iter().enumerate() {
            let known = KNOWN.iter().any(|(other, people)| *other == route && people.contains(&who));
            if known || !expected.iter().all(|status| matches!(status, 401 | 403 | 404)) {
                continue;
            }
            let mut scene = Scene::set(&cast, row, who).await;
            let mut answers = Vec::new();
            for _ in 0..2 {
                let answer = cast.people[who].request(request(row, &scene, row.body)).await;
                let mut body = answer.comparable().to_string();
                for name in &names {
                    // An answer may repeat what was asked for.
                    body = body.replace(&scene.0[name], name);
                    scene.0.insert(name, unused_id());
                }
                answers.push((answer.status, body));
            }
            if answers[0] != answers[1] {
                told.push(format!("{route}: {} gets {answers:?}", PEOPLE[who].0));
            }
            cast.revive(row, who).await;
            tried += 1;
        }
    }
    assert!(told.is_empty(), "\n{}", told.join("\n"));
    assert!(tried > 100, "{tried} tries test nothing");
}

/// A documented path, as the document of the dialects tells of it.
struct Alias {
    method: String,
    path: String,
    /// `GET /api/v1/…`, with `{}` for parameters.
    canonical: String,
    /// The names of the canonical path's parameters, in order.
    parameters: Vec<String>,
    /// The body, where it differs from the canonical one.
    body: Option<String>,
}

async fn aliases(world: &World) -> Vec<Alias> {
    let document = world.anonymous().request(Request::new(Method::GET, "//dialects.json")).await.expect(200);
    let mut aliases = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let (to_method, to_path) = text(operation, "x-canonical").split_once(' ').expect("a route");
            let body = operation.pointer("/requestBody/content/application~1json/example");
            let names = to_path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            aliases.push(Alias {
                method: method.to_uppercase(),
                path: path.clone(),
                canonical: format!("{to_method} {}", pattern(to_path)),
                parameters: names.map(str::to_owned).collect(),
                body: match operation.get("requestBody") {
                    Some(_) => body.map(Value::to_string),
                    None => Some(String::new()),
                },
            });
        }
    }
    aliases
}

impl Alias {
    /// The path and the body with the names that the canonical row has for its parameters.
    fn fill(&self, row: &Row<'_>) -> (String, String) {
        let named: Vec<_> = row.path.split('/').filter(|part| part.starts_with('{')).collect();
        let in_row = |template: &str| {
            self.parameters.iter().zip(&named).fold(template.to_owned(), |filled, (name, in_row)| {
                filled.replace(&format!("{{{name}}}"), in_row)
            })
        };
        let body = self
            .body
            .as_deref()
            .map_or_else(|| row.body.to_owned(), |body| in_row(body).replace("{user_id}", "{maria}"));
        // What only the documented path names is what the scene has.
        let path = in_row(&self.path).replace("{room_id}", "{conversation}").replace("{id}", "{message}");
        (path, body)
    }
}

/// AZ-13: whoever comes by a documented path comes as far as by the canonical one.
#[tokio::test]
async fn documented_paths_are_no_side_doors() {
    let mut cast = Cast::new().await;
    let aliases = aliases(&cast.world).await;
    let (mut tried, mut wrong) = (0, Vec::new());
    for row in &table() {
        let canonical = format!("{} {}", row.method, pattern(row.path));
        for alias in aliases.iter().filter(|alias| alias.canonical == canonical) {
            let (path, body) = alias.fill(row);
            let aliased = Row { method: &alias.method, path: &path, body: &body, outcomes: Vec::new() };
            for (who, expected) in row.outcomes.iter().enumerate() {
                let scene = Scene::set(&cast, row, who).await;
                let answer = cast.people[who].request(request(&aliased, &scene, &body)).await;
                let (name, status) = (PEOPLE[who].0, answer.status);
                // What was done by another documented path before is there already.
                let is_good = |status: u16| status < 300;
                let is_as_good = is_good(status) && expected.iter().copied().any(is_good);
                if !expected.contains(&status) && !is_as_good {
                    wrong.push(format!("{} {path}: {name} gets {status}, not {expected:?}", alias.method));
                }
                assert!(answer.header("deprecation").is_some(), "{path} is not served as {canonical}");
                assert!(
                    answer.header("link").is_some_and(|link| link.contains("successor-version")),
                    "{path}"
                );
                if who == BLOCKED {
                    // There is one for all rows, and a documented path that closes it has none that opens it again.
                    let reopen = format!("/conversations/{}/reopen", cast.blocked_direct.0);
                    cast.people[who].post(&reopen, &json!({})).await;
                }
                cast.revive(row, who).await;
            }
            tried += 1;
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(tried, aliases.len(), "a documented path has no row");
}

/// What all tables hold, but for events on their way.
async fn fingerprint(database: &tokio_postgres::Client) -> BTreeMap<String, String> {
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'
        AND tablename NOT IN ('outbox', 'message_tokens', 'search_progress')";
    let mut found = BTreeMap::new();
    for table in database.query(tables, &[]).await.expect("the tables") {
        let table: String = table.get(0);
        let digest =
            format!("SELECT coalesce(md5(string_agg(t::text, '' ORDER BY t::text)), '') FROM \"{table}\" t");
        let digest = database.query_one(&digest, &[]).await.expect("a digest").get(0);
        found.insert(table, digest);
    }
    found
}

/// AZ-05: a field too many is refused, names itself, and changes nothing.
#[tokio::test]
async fn nobody_sets_what_is_not_theirs_to_set() {
    let cast = Cast::new().await;
    let document = document(&cast.world).await;
    let database = &cast.database;
    let mut tried = 0;
    for row in table().iter().filter(|row| row.takes_json()) {
        let path = document["paths"].as_object().expect("paths").iter().find(|(path, item)| {
            pattern(path) == pattern(row.path) && item.get(row.method.to_lowercase()).is_some()
        });
        let operation = &path.expect("a route").1[row.method.to_lowercase()];
        let reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
        let schema = reference.and_then(|name| name.rsplit('/').next()).expect("a named schema");
        let properties = &document["components"]["schemas"][schema]["properties"];

        // Someone for whom the request is good otherwise, or at least is looked at.
        let gets = |wanted: fn(u16) -> bool| {
            row.outcomes.iter().position(|statuses| statuses.iter().copied().any(wanted))
        };
        let who = gets(|status| status < 300).or_else(|| gets(|status| status != 401)).unwrap_or(ANYONE);
        let scene = Scene::set(&cast, row, who).await;
        let good: Value = serde_json::from_str(&scene.fill(row.body)).expect("JSON");
        // That they are here is noted now and then: before we look, and not again while we do.
        drop(cast.people[who].get("/auth/me").await);
        let before = fingerprint(database).await;
        for field in FORBIDDEN_FIELDS.iter().filter(|field| properties.get(field).is_none()) {
            let mut body = good.clone();
            body[field] = json!("x");
            let asked = request(row, &scene, &body.to_string());
            let refused = cast.people[who].request(asked).await.problem(422, "validation_failed");
            assert_eq!(refused["details"], json!({"field": field, "rule": "unknown_field"}), "{}", row.path);
            tried += 1;
        }
        let after = fingerprint(database).await;
        let changed: Vec<_> = before.keys().filter(|table| before.get(*table) != after.get(*table)).collect();
        assert!(changed.is_empty(), "{} {} changed {changed:?}", row.method, row.path);
    }
    assert!(tried > 100, "{tried} tries test nothing");
}

/// Sends a request as it is, which no client library would.
async fn raw(url: &str, method: &str, target: &str, token: Option<&str>, headers: &str) -> (u16, String) {
    let address = url.replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.expect("the server");
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\n{authorization}{headers}Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{method} {target}: {answer}")), answer)
}

/// Other ways to write `path`, some of which some servers take for it.
fn disguises(path: &str) -> Vec<String> {
    let last = path.rsplit('/').next().unwrap_or_default();
    let (head, _) = path.rsplit_once('/').expect("a path");
    let in_capitals = path.replace("/api/v1/", "/API/V1/");
    vec![
        format!("/{path}"),
        path.replace('/', "//"),
        format!("{path}/"),
        format!("{path}//"),
        format!("{path}/."),
        format!("{path}/%2e"),
        format!("{path}/x/.."),
        format!("{path}/x/%2e%2e"),
        format!("{head}/./{last}"),
        format!("{head}/%2e/{last}"),
        format!("{head}/x/../{last}"),
        format!("{head}/x/%2e%2e/{last}"),
        format!("{head}/x%2f..%2f{last}"),
        format!("{head}%2f{last}"),
        format!("{head}%5c{last}"),
        format!("{path};"),
        format!("{path};x=1"),
        format!("{head};x=1/{last}"),
        format!("{path}%00"),
        format!("{path}%20"),
        format!("{path}.json"),
        format!("{path}?"),
        in_capitals,
        path.replace("/api/", "/%61pi/"),
        format!("/api/v1/health/..;/..{path}"),
        format!("/docs/..{path}"),
    ]
}

/// AZ-13: however a path is written, and whatever the method, nobody comes further than by the front door.
#[tokio::test]
async fn there_is_no_way_around() {
    let cast = Cast::new().await;
    let url = cast.world.url();
    let (mut tried, mut tunnels) = (0, Vec::new());
    for row in table().iter().filter(|row| row.method == "GET") {
        for who in [ANYONE, OTHER_PATIENT, FORMER, BLOCKED] {
            let token = cast.people[who].access_token.as_deref();
            if row.outcomes[who].iter().any(|status| *status < 400) {
                continue;
            }
            let scene = Scene::set(&cast, row, who).await;
            let path = scene.fill(row.path);
            let secrets = ["message", "grant", "request", "invitation"].map(|name| scene.0.get(name));
            let secrets = secrets.into_iter().flatten().filter(|secret| !path.contains(secret.as_str()));
            let secrets: Vec<_> = secrets.cloned().collect();
            let mut answers = Vec::new();
            for disguise in disguises(&path) {
                answers.push(("GET", disguise.clone(), raw(&url, "GET", &disguise, token, "").await));
            }
            for method in ["HEAD", "OPTIONS", "TRACE", "PROPFIND", "GETX", "get"] {
                answers.push((method, path.clone(), raw(&url, method, &path, token, "").await));
            }
            // Its connection is let go only after a second, which is not waited for each time.
            tunnels.push(tokio::spawn({
                let (url, path, token) = (url.clone(), path.clone(), token.map(str::to_owned));
                async move { raw(&url, "CONNECT", &path, token.as_deref(), "").await.0 }
            }));
            for header in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
                let header = format!("{header}: GET\r\nContent-Length: 0\r\n");
                answers.push(("POST", path.clone(), raw(&url, "POST", &path, token, &header).await));
            }
            for header in ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix"] {
                let header = format!("{header}: {path}\r\n");
                answers.push(("GET", "/api/v1/admin/users".to_owned(), {
                    raw(&url, "GET", "/api/v1/admin/users", token, &header).await
                }));
            }
            for (method, target, (status, answer)) in answers {
                assert!((400..500).contains(&status), "{} gets {status} by {method} {target}", PEOPLE[who].0);
                assert!(secrets.iter().all(|secret| !answer.contains(secret.as_str())), "{method} {target}");
                tried += 1;
            }
        }
    }
    for tunnel in tunnels {
        let status = tunnel.await.expect("an answer");
        assert!((400..500).contains(&status), "CONNECT gets {status}");
        tried += 1;
    }
    assert!(tried > 2000, "{tried} tries test nothing");
}

/// AZ-13: what someone may do stays what it is, whatever a header calls it.
#[tokio::test]
async fn a_header_does_not_change_the_method() {
    let cast = Cast::new().await;
    let (ana, maria) = (&cast.people[OWNER], cast.person(MARIA));
    let conversation = maria.open_group("Seguimiento", &[ana]).await;
    let path = format!("/api/v1/conversations/{conversation}/participants/{}", ana.id);
    let url = cast.world.url();
    for header in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        let override_it = format!("{header}: DELETE\r\nContent-Length: 0\r\n");
        let (status, _) = raw(&url, "POST", &path, Some(maria.token()), &override_it).await;
        assert_eq!(status, 405, "{header}");
        let read = format!("/api/v1/conversations/{conversation}");
        let (status, answer) = raw(&url, "GET", &read, Some(ana.token()), &override_it).await;
        assert!(status == 200 && answer.contains(&conversation), "{header}: {status}");
    }
    let unknown = format!("/api/v1/conversations/{}", unused_id());
    assert_eq!(raw(&url, "GET", &unknown, Some(ana.token()), "").await.0, 404);
    assert_eq!(ana.conversation(&conversation).await["id"], conversation.as_str());
}

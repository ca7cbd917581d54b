//! Error answers that many operations share, as components of the document.

use utoipa::{ToResponse, ToSchema};

use crate::problem::ProblemDetails;

/// A body of bytes, whatever they are.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(crate) struct Bytes(#[expect(dead_code, reason = "only describes the body")] Vec<u8>);

macro_rules! problem_response {
    ($name:ident, $description:literal, $status:literal, $title:literal, $code:literal, $message:literal) => {
        #[doc = $description]
        #[derive(ToResponse)]
        #[response(
                    description = $description,
                    content_type = "application/problem+json",
                    example = json!({
                        "type": concat!("urn:alivio:problem:", $code), "title": $title, "status": $status,
                        "detail": $message, "error": $code, "message": $message, "details": {},
                        "request_id": "0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e"
                    })
                )]
        pub(crate) struct $name(#[expect(dead_code, reason = "only describes the answer")] ProblemDetails);
    };
}

problem_response!(
    Malformed,
    "`malformed_json`: the body is not JSON.",
    400,
    "Bad Request",
    "malformed_json",
    "The body is not valid JSON."
);
problem_response!(
    MalformedOrClosed,
    "`malformed_json`: the body is not JSON. `outside_chat_hours`: those a patient writes to are closed; `details` has \
     `current_time`, `allowed_hours`, `time_zone`, `next_open_at` and `emergency_channel`.",
    400,
    "Bad Request",
    "outside_chat_hours",
    "The chat is closed at this hour."
);
problem_response!(
    PaceExceeded,
    "`rate_limited`: more than 20 messages in a minute, or too many requests; `Retry-After` says how many seconds to wait.",
    429,
    "Too Many Requests",
    "rate_limited",
    "Too many requests. Wait a moment."
);
problem_response!(
    Unauthenticated,
    "`unauthenticated`, `invalid_token`, `session_ended`: there is no valid sign-in.",
    401,
    "Unauthorized",
    "invalid_token",
    "The access token is not valid or has expired."
);
problem_response!(
    Forged,
    "`csrf_token_invalid`: the session came by cookie, and `X-CSRF-Token` is missing or wrong; `step_required`: one step of the sign-in is missing; `forbidden`: your role does not allow it.",
    403,
    "Forbidden",
    "csrf_token_invalid",
    "The request did not come from the page you signed in to."
);
problem_response!(
    Forbidden,
    "`forbidden`: your role does not allow it (`details.reason`); `step_required`: one step of the sign-in is missing (`details.stage`); `csrf_token_invalid`: the session came by cookie, and `X-CSRF-Token` is missing or wrong.",
    403,
    "Forbidden",
    "forbidden",
    "You are not allowed to do this."
);
problem_response!(
    NotFound,
    "`not_found`: there is no such thing, or none that you may see.",
    404,
    "Not Found",
    "not_found",
    "Not found."
);
problem_response!(
    TooLarge,
    "`payload_too_large`: the body is larger than 64 KiB.",
    413,
    "Payload Too Large",
    "payload_too_large",
    "The body is too large."
);
problem_response!(
    NotJson,
    "`unsupported_media_type`: the body is not `application/json`.",
    415,
    "Unsupported Media Type",
    "unsupported_media_type",
    "The body must be application/json."
);
problem_response!(
    Invalid,
    "`validation_failed`: a field breaks a rule; `details` names both.",
    422,
    "Unprocessable Entity",
    "validation_failed",
    "A field has an invalid value."
);
problem_response!(
    RateLimited,
    "`rate_limited`: too many requests; `Retry-After` says how many seconds to wait. All answers that are counted tell \
     `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` (seconds until all is there again).",
    429,
    "Too Many Requests",
    "rate_limited",
    "Too many requests. Wait a moment."
);
problem_response!(
    Unavailable,
    "`unavailable`, `busy`: try again after `Retry-After` seconds; repeating is safe.",
    503,
    "Service Unavailable",
    "unavailable",
    "The service is not available right now. Try again."
);

//! `GET /files/policy`.

use actix_web::{get, web};
use alivio_files::{Class, DocumentType, FileKind, Format, Policy};
use serde::Serialize;
use utoipa::ToSchema;

use super::resumable::TUS_VERSION;
use crate::extract::SignedIn;
use crate::problem::Result;
use crate::responses::{Unauthenticated, Unavailable};
use crate::state::State;

/// A type that is taken.
#[derive(Serialize, ToSchema)]
struct AllowedType {
    /// How its names end.
    #[schema(example = "pdf")]
    extension: &'static str,
    /// What it is called.
    #[schema(example = "application/pdf")]
    mime_type: &'static str,
}

/// What holds for files of a class.
#[derive(Serialize, ToSchema)]
struct ClassPolicy {
    /// `document`, `image`, `audio`, `video`.
    #[schema(example = "document")]
    class: &'static str,
    /// The most bytes that are taken in one go.
    #[schema(example = 10_485_760)]
    max_size: u64,
    /// The most bytes that are taken in pieces.
    #[schema(example = 52_428_800)]
    max_resumable_size: u64,
    /// The types of this class.
    types: Vec<AllowedType>,
}

/// How larger files are uploaded.
#[derive(Serialize, ToSchema)]
struct ResumablePolicy {
    /// By which protocol.
    #[schema(example = "tus")]
    protocol: &'static str,
    /// Its version.
    #[schema(example = "1.0.0")]
    version: &'static str,
    /// Where.
    #[schema(example = "/api/v1/files/uploads")]
    endpoint: &'static str,
}

/// What may be uploaded.
#[derive(Serialize, ToSchema)]
struct FilePolicy {
    /// How names of files that are taken end.
    #[schema(example = json!(["pdf", "jpg", "png"]))]
    allowed_types: Vec<&'static str>,
    /// The most bytes that are taken in one go.
    #[schema(example = 10_485_760)]
    max_size: u64,
    /// What holds for each class.
    classes: Vec<ClassPolicy>,
    /// How larger files are uploaded.
    resumable: ResumablePolicy,
    /// How many files one may upload in an hour.
    #[schema(example = 10)]
    max_files_per_hour: u32,
    /// What a file can be to people.
    #[schema(example = json!(["lab_result", "prescription"]))]
    file_types: Vec<&'static str>,
    /// What a file can be in a record.
    #[schema(example = json!(["lab_result", "imaging"]))]
    document_types: Vec<&'static str>,
    /// Everything is scanned before anyone can open it.
    #[schema(example = true)]
    virus_scan: bool,
    /// Everything rests encrypted.
    #[schema(example = true)]
    encryption: bool,
}

/// What may be uploaded
///
/// The one source of limits and types: refusals name the same.
#[utoipa::path(
    tag = "Files",
    operation_id = "getFilePolicy",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "What holds now.", body = FilePolicy),
        (status = 401, response = Unauthenticated),
        (status = 503, response = Unavailable),
    )
)]
#[get("/files/policy")]
async fn policy(state: web::Data<State>, _: SignedIn) -> Result<web::Json<FilePolicy>> {
    let class = |class: Class| ClassPolicy {
        class: class.as_str(),
        max_size: Policy::AT_ONCE,
        max_resumable_size: Policy::max(class),
        types: Policy::formats(class)
            .map(|format| AllowedType {
                extension: format.extension(),
                mime_type: format.mime(class == Class::Audio),
            })
            .collect(),
    };
    Ok(web::Json(FilePolicy {
        allowed_types: Format::extensions(),
        max_size: Policy::AT_ONCE,
        classes: Class::ALL.map(class).into(),
        resumable: ResumablePolicy {
            protocol: "tus",
            version: TUS_VERSION,
            endpoint: "/api/v1/files/uploads",
        },
        max_files_per_hour: state.platform.files.policy().per_hour,
        file_types: FileKind::ALL.map(FileKind::as_str).into(),
        document_types: DocumentType::ALL.map(DocumentType::as_str).into(),
        virus_scan: true,
        encryption: true,
    }))
}

pub(super) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(policy);
}

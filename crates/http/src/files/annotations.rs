//! What professionals draw over files.

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, delete, get, post, put, web};
use alivio_files::{Drawing, Layer, LayerVersion, SaidShape, Shape};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::extract::{Body, SignedIn};
use crate::problem::{ProblemDetails, Result, invalid};
use crate::responses::{Invalid, Malformed, NotFound, NotJson, TooLarge, Unauthenticated, Unavailable};
use crate::state::State;

/// Something drawn.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Shape)]
struct ShapeBody {
    /// `arrow`: from the first point to the second, where its head is; `line`; `rectangle` and `ellipse`: two opposite
    /// corners; `path`: along all points, 2 or more; `polygon`: 3 or more; `text`: words at one point.
    #[schema(example = "arrow", pattern = "^(arrow|line|rectangle|ellipse|path|polygon|text)$")]
    kind: String,
    /// Its points, each from the left and from above, in hundred-thousandths of the width and of the height of the page
    /// as it is shown: 0 to 100,000, whatever its pixels.
    #[schema(example = json!([[25_000, 40_000], [31_500, 47_250]]), min_items = 1, max_items = 2000)]
    points: Vec<[i64; 2]>,
    /// Words beside it, at most 200 characters; a text needs them.
    #[schema(example = "Trazo de fractura", max_length = 200)]
    label: Option<String>,
    /// `#rrggbb`; yellow if not said.
    #[schema(example = "#ffcc00", pattern = "^#[0-9A-Fa-f]{6}$")]
    color: Option<String>,
    /// Of its line, in thousandths of the width of the page; 3 if not said.
    #[schema(example = 3, minimum = 1, maximum = 50)]
    width: Option<i64>,
}

impl From<ShapeBody> for SaidShape {
    fn from(ShapeBody { kind, points, label, color, width }: ShapeBody) -> Self {
        Self { kind, points, label, color, width }
    }
}

impl From<Shape> for ShapeBody {
    fn from(Shape { kind, points, label, color, width }: Shape) -> Self {
        Self { kind: kind.as_str().to_owned(), points, label, color: Some(color), width: Some(width) }
    }
}

const fn first_page() -> i64 {
    1
}

/// A new layer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAnnotation {
    /// What the layer is called, at most 100 characters.
    #[schema(example = "Cadera izquierda", max_length = 100)]
    title: Option<String>,
    /// Over which page of a document, from 1.
    #[serde(default = "first_page")]
    #[schema(example = 1, minimum = 1)]
    page: i64,
    /// What is drawn, the lowest first: 1 to 200 shapes, at most 2,000 points altogether.
    #[schema(min_items = 1, max_items = 200)]
    shapes: Vec<ShapeBody>,
}

impl NewAnnotation {
    fn parse(self) -> Result<Drawing> {
        let shapes = self.shapes.into_iter().map(SaidShape::from).collect();
        Drawing::parse(self.title.as_deref(), self.page, shapes).map_err(invalid)
    }
}

/// A layer drawn anew: all of it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RedrawnAnnotation {
    /// The version that you have drawn on.
    #[schema(example = 1, minimum = 1)]
    version: u32,
    /// What the layer is called, at most 100 characters.
    #[schema(example = "Cadera izquierda", max_length = 100)]
    title: Option<String>,
    /// Over which page of a document, from 1.
    #[serde(default = "first_page")]
    #[schema(example = 1, minimum = 1)]
    page: i64,
    /// What is drawn, the lowest first: 1 to 200 shapes, at most 2,000 points altogether.
    #[schema(min_items = 1, max_items = 200)]
    shapes: Vec<ShapeBody>,
}

/// A version of a layer over a file.
#[derive(Serialize, ToSchema)]
#[schema(as = Annotation)]
struct AnnotationBody {
    /// The id of the layer.
    id: Uuid,
    /// The file, which stays as it came.
    file_id: Uuid,
    /// Which version this is.
    #[schema(example = 2)]
    version: u32,
    /// The newest version that there is.
    #[schema(example = 2)]
    newest_version: u32,
    /// Who drew this version.
    author_id: Uuid,
    /// When.
    drawn_at: DateTime<Utc>,
    /// When the layer was taken away; its versions stay readable.
    removed_at: Option<DateTime<Utc>>,
    /// What the layer is called.
    #[schema(example = "Cadera izquierda")]
    title: Option<String>,
    /// Over which page, from 1.
    #[schema(example = 1)]
    page: u32,
    /// What is drawn, the lowest first.
    shapes: Vec<ShapeBody>,
}

impl From<Layer> for AnnotationBody {
    fn from(layer: Layer) -> Self {
        let Drawing { title, page, shapes } = layer.drawing;
        Self {
            id: layer.id.uuid(),
            file_id: layer.file_id.uuid(),
            version: layer.version,
            newest_version: layer.newest,
            author_id: layer.author_id.uuid(),
            drawn_at: layer.drawn_at,
            removed_at: layer.removed_at,
            title,
            page,
            shapes: shapes.into_iter().map(ShapeBody::from).collect(),
        }
    }
}

/// All that is drawn over a file.
#[derive(Serialize, ToSchema)]
struct Annotations {
    /// The newest version of each layer, the oldest layer first.
    items: Vec<AnnotationBody>,
}

/// What is drawn over a file
///
/// For whoever may open the file, and as it: 403 and 409 as for its content. Recorded.
#[utoipa::path(
    tag = "Files",
    operation_id = "listFileAnnotations",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The file.")),
    responses(
        (status = 200, description = "The newest version of each layer.", body = Annotations),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`consent_required`, `file_expired`, `file_quarantined`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`file_pending`, `file_failed`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/files/{id}/annotations")]
async fn all(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
) -> Result<web::Json<Annotations>> {
    let layers = state.platform.files.annotations(&caller, id.into_inner().into()).await?;
    Ok(web::Json(Annotations { items: layers.into_iter().map(AnnotationBody::from).collect() }))
}

/// Draw over a file
///
/// Lays a new layer over a picture or a page of a document; at most 50 over one file. For clinicians. The others who see
/// the file are told by `file.annotated`. Recorded.
#[utoipa::path(
    tag = "Files",
    operation_id = "annotateFile",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The file.")),
    request_body = NewAnnotation,
    responses(
        (status = 201, description = "The layer.", body = AnnotationBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`clinicians_only`; `consent_required`, `file_expired`, `file_quarantined`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`too_many_annotations`; `file_pending`, `file_failed`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[post("/files/{id}/annotations")]
async fn add(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    id: web::Path<Uuid>,
    body: Body<NewAnnotation>,
) -> Result<HttpResponse> {
    let drawing = body.0.parse()?;
    let layer = state.platform.files.annotate(&caller, id.into_inner().into(), drawing).await?;
    let path = format!("/api/v1/files/{}/annotations/{}", layer.file_id, layer.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, path)).json(AnnotationBody::from(layer)))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct VersionParams {
    /// An earlier version; the newest if not said.
    #[param(minimum = 1, example = 1)]
    version: Option<u32>,
}

/// A layer over a file
///
/// Its newest version or an earlier one; of a layer that was taken away, too. Recorded.
#[utoipa::path(
    tag = "Files",
    operation_id = "getFileAnnotation",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The file."),
        ("annotation_id" = Uuid, Path, description = "The layer."),
        VersionParams,
    ),
    responses(
        (status = 200, description = "The version.", body = AnnotationBody),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`consent_required`, `file_expired`, `file_quarantined`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`file_pending`, `file_failed`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/files/{id}/annotations/{annotation_id}")]
async fn one(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    ids: web::Path<(Uuid, Uuid)>,
    params: web::Query<VersionParams>,
) -> Result<web::Json<AnnotationBody>> {
    let (id, layer) = ids.into_inner();
    let layer = state.platform.files.annotation(&caller, id.into(), layer.into(), params.version).await?;
    Ok(web::Json(layer.into()))
}

/// Draw a layer anew
///
/// Adds a version; the ones before stay. For clinicians. Recorded.
#[utoipa::path(
    tag = "Files",
    operation_id = "redrawFileAnnotation",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The file."),
        ("annotation_id" = Uuid, Path, description = "The layer."),
    ),
    request_body = RedrawnAnnotation,
    responses(
        (status = 200, description = "The new version.", body = AnnotationBody),
        (status = 400, response = Malformed),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`clinicians_only`; `consent_required`, `file_expired`, `file_quarantined`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`stale`: someone has drawn a version that you have not seen, or the layer was taken away; `too_many_annotations`: 200 versions; `file_pending`, `file_failed`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, response = TooLarge),
        (status = 415, response = NotJson),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[put("/files/{id}/annotations/{annotation_id}")]
async fn redraw(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    ids: web::Path<(Uuid, Uuid)>,
    body: Body<RedrawnAnnotation>,
) -> Result<web::Json<AnnotationBody>> {
    let (id, layer) = ids.into_inner();
    let RedrawnAnnotation { version, title, page, shapes } = body.0;
    let drawing = NewAnnotation { title, page, shapes }.parse()?;
    let drawn = state.platform.files.redraw(&caller, id.into(), layer.into(), version, drawing).await?;
    Ok(web::Json(drawn.into()))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SeenParams {
    /// The version that you have seen.
    #[param(minimum = 1, example = 1)]
    version: u32,
}

/// Take a layer away
///
/// It is shown no more; its versions stay readable by its id. For clinicians. Recorded.
#[utoipa::path(
    tag = "Files",
    operation_id = "removeFileAnnotation",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The file."),
        ("annotation_id" = Uuid, Path, description = "The layer."),
        SeenParams,
    ),
    responses(
        (status = 204, description = "It is shown no more."),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`clinicians_only`; `consent_required`, `file_expired`, `file_quarantined`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`stale`: it has another version by now, or was taken away; `file_pending`, `file_failed`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[delete("/files/{id}/annotations/{annotation_id}")]
async fn remove(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    ids: web::Path<(Uuid, Uuid)>,
    params: web::Query<SeenParams>,
) -> Result<HttpResponse> {
    let (id, layer) = ids.into_inner();
    state.platform.files.remove_annotation(&caller, id.into(), layer.into(), params.version).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Who drew a version, and when.
#[derive(Serialize, ToSchema)]
#[schema(as = AnnotationVersion)]
struct VersionBody {
    /// Which version.
    #[schema(example = 2)]
    version: u32,
    /// Who.
    author_id: Uuid,
    /// When.
    drawn_at: DateTime<Utc>,
}

impl From<LayerVersion> for VersionBody {
    fn from(LayerVersion { version, author_id, drawn_at }: LayerVersion) -> Self {
        Self { version, author_id: author_id.uuid(), drawn_at }
    }
}

/// The versions of a layer.
#[derive(Serialize, ToSchema)]
struct AnnotationHistory {
    /// The newest first.
    items: Vec<VersionBody>,
}

/// Who drew which version of a layer
#[utoipa::path(
    tag = "Files",
    operation_id = "listFileAnnotationVersions",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The file."),
        ("annotation_id" = Uuid, Path, description = "The layer."),
    ),
    responses(
        (status = 200, description = "Its versions: `GET /files/{id}/annotations/{annotation_id}?version=…` shows one.", body = AnnotationHistory),
        (status = 401, response = Unauthenticated),
        (status = 403, description = "`consent_required`, `file_expired`, `file_quarantined`", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, response = NotFound),
        (status = 409, description = "`file_pending`, `file_failed`.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, response = Invalid),
        (status = 503, response = Unavailable),
    )
)]
#[get("/files/{id}/annotations/{annotation_id}/versions")]
async fn history(
    state: web::Data<State>,
    SignedIn(caller): SignedIn,
    ids: web::Path<(Uuid, Uuid)>,
) -> Result<web::Json<AnnotationHistory>> {
    let (id, layer) = ids.into_inner();
    let versions = state.platform.files.annotation_history(&caller, id.into(), layer.into()).await?;
    Ok(web::Json(AnnotationHistory { items: versions.into_iter().map(VersionBody::from).collect() }))
}

pub(super) fn routes(config: &mut utoipa_actix_web::service_config::ServiceConfig<'_>) {
    config.service(all).service(add).service(one).service(redraw).service(remove).service(history);
}

//! Uploads that nobody has finished. `object_store` does not list them, but signs the request that does.

use alivio_files::BlobError;
use chrono::{DateTime, Utc};
use object_store::aws::AwsAuthorizer;
use object_store::client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ClientOptions, Error};
use serde::Deserialize;
use url::Url;

use super::{Place, S3Options, failure};

/// A page of them is not longer.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// The list of unfinished uploads of a bucket.
pub(super) struct Unfinished {
    http: HttpClient,
    bucket: String,
    region: String,
}

/// `ListMultipartUploadsResult`, as far as it is of use.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
    #[serde(default, rename = "Upload")]
    uploads: Vec<Upload>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    upload_id: String,
    initiated: DateTime<Utc>,
}

impl Unfinished {
    pub(super) fn new(options: &S3Options, client: &ClientOptions) -> Result<Self, Error> {
        let server = match &options.endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => format!("https://s3.{}.amazonaws.com", options.region),
        };
        Ok(Self {
            http: ReqwestConnector::default().connect(client)?,
            bucket: format!("{server}/{}", options.bucket),
            region: options.region.clone(),
        })
    }

    async fn page(&self, place: &Place, after: &Page) -> Result<Page, BlobError> {
        let mut url = Url::parse(&self.bucket).map_err(strange)?;
        url.query_pairs_mut()
            .append_pair("uploads", "")
            .append_pair("prefix", place.prefix.as_ref())
            .append_pair("key-marker", &after.next_key_marker)
            .append_pair("upload-id-marker", &after.next_upload_id_marker);
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.as_str().parse().map_err(strange)?;
        let credential = place.bucket.credentials().get_credential().await.map_err(failure)?;
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .try_authorize(&mut request, None)
            .map_err(failure)?;
        let answer = self.http.execute(request).await.map_err(strange)?;
        let status = answer.status();
        if !status.is_success() {
            return Err(strange(format!("the list of unfinished uploads is refused: {status}")));
        }
        let body = answer.into_body().bytes().await.map_err(strange)?;
        if body.len() > MAX_ANSWER {
            return Err(strange("the list of unfinished uploads has no end"));
        }
        quick_xml::de::from_reader(&*body).map_err(strange)
    }

    pub(super) async fn sweep(&self, place: &Place, before: DateTime<Utc>) -> Result<u64, BlobError> {
        let mut removed = 0;
        let mut page = Page::default();
        loop {
            page = self.page(place, &page).await?;
            for upload in page.uploads.drain(..).filter(|upload| upload.initiated < before) {
                let Ok(path) = Path::parse(&upload.key) else { continue };
                if place.key(&path).is_none() {
                    continue;
                }
                match place.bucket.abort_multipart(&path, &upload.upload_id).await {
                    Ok(()) => removed += 1,
                    // Finished or aborted meanwhile.
                    Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(failure(error)),
                }
            }
            if !page.is_truncated {
                return Ok(removed);
            }
        }
    }
}

fn strange(error: impl Into<alivio_kernel::BoxError>) -> BlobError {
    BlobError::Unavailable(error.into())
}

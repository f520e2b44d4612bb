//! Forms (`multipart/form-data`), and the refusals of those that cannot be read.

use axum::extract::multipart::MultipartError;
use axum::extract::{FromRequest as _, Multipart, Request};
use csm_shared::job::Invalid;

use super::Problem;

/// HTTP status of a body that is no form.
const NO_FORM_STATUS: u16 = 415;
/// HTTP status of a form that is damaged.
const DAMAGED_STATUS: u16 = 400;

/// Opens the form that is the body of a request.
pub(crate) async fn open_form(request: Request) -> Result<Multipart, Invalid> {
    Multipart::from_request(request, &()).await.map_err(|error| Invalid {
        status: NO_FORM_STATUS,
        ..Invalid::malformed("Content-Type", error.body_text(), "multipart/form-data")
    })
}

/// Returns the refusal of a form whose next part cannot be read.
pub(crate) fn damaged_form(error: &MultipartError) -> Problem {
    if error.status().is_server_error() {
        return Problem::broken_body();
    }
    let invalid = Invalid::malformed("(body)", error.body_text(), "a form of multipart/form-data");
    Invalid { status: DAMAGED_STATUS, ..invalid }.into()
}

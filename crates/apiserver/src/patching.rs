//! PATCH in its four forms.

use crate::Result;
use crate::cx::Cx;
use bytes::Bytes;
use http::Response;
use meta::{Reason, Status};
use serve::Body;

/// PATCH.
pub async fn patch(_cx: &Cx, _input: Bytes) -> Result<Response<Body>> {
    Err(Status::failure(Reason::UnsupportedMediaType, "patches are on their way").into())
}

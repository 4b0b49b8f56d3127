//! One call of one webhook.

use super::config::Webhook;
use super::matching::{Found, Versioned};
use super::review;
use crate::Failure;
use crate::admit::Admission;
use crate::cx::Cx;
use meta::{Status, Value};

pub struct Call<'a> {
    pub cx: &'a Cx,
    pub a: &'a Admission<'a>,
    pub w: &'a Webhook,
    pub found: &'a Found,
    pub mutating: bool,
    pub object: &'a Versioned,
}

/// Why a webhook did not consent.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It could not be asked, or its answer not be understood: `failurePolicy` decides.
    #[error("{0}")]
    Calling(String),
    /// It said no, or the request is not one that it may be asked about.
    #[error("{0}")]
    Rejected(Failure),
}

impl Fault {
    /// What the client is told.
    pub fn failure(self, w: &Webhook) -> Failure {
        match self {
            Self::Calling(e) => {
                tracing::warn!(webhook = w.name, error = e, "failed calling webhook, failing closed");
                Status::internal(format!("failed calling webhook {:?}: {e}", w.name)).into()
            }
            Self::Rejected(f) => f,
        }
    }
}

/// Asks; answers the patch that a mutating webhook wants.
pub async fn call(c: Call<'_>) -> Result<Option<Value>, Fault> {
    let (cx, w) = (c.cx, c.w);
    if c.a.dry_run && !matches!(w.side_effects.as_str(), "None" | "NoneOnDryRun") {
        let text = format!("admission webhook {:?} does not support dry run", w.name);
        return Err(Fault::Rejected(Status::bad_request(text).into()));
    }
    let known = w.review_versions.iter().find(|v| matches!(v.as_str(), "v1" | "v1beta1"));
    let Some(version) = known else {
        return Err(Fault::Calling(
            "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)"
                .to_owned(),
        ));
    };
    let hook = w.hook.as_ref().map_err(|e| Fault::Calling(format!("could not get REST client: {e}")))?;
    let uid = cx.server.uuid();
    let body = review::request(&c, version, &uid);
    let query = format!("timeout={}s", w.timeout.as_secs());
    let answer = hook
        .post(&cx.server, &query, body.into(), w.timeout)
        .await
        .map_err(|e| Fault::Calling(format!("failed to call webhook: {e}")))?;
    let answer = review::answer(&answer, version, &uid, c.mutating)
        .map_err(|e| Fault::Calling(format!("{}: {}", e.stage(), e)))?;
    for (k, v) in &answer.annotations {
        cx.annotate(&format!("{}/{k}", w.name), v);
    }
    for text in answer.warnings {
        cx.warn(text);
    }
    if !answer.allowed {
        return Err(Fault::Rejected(review::denied(&w.name, answer.result).into()));
    }
    Ok(answer.patch)
}

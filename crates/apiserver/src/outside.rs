//! Admission that is not a function of the request and the store alone: webhooks, policies in CEL.

use crate::Result;
use crate::admit::Admission;
use crate::cx::Cx;
use futures::future::BoxFuture;
use meta::Value;

/// Runs between the built-in plugins and quota.
pub trait Outside: Send + Sync {
    /// Changes the object (`None`: a delete or connect), or refuses it.
    fn mutate<'a>(
        &'a self,
        cx: &'a Cx,
        a: &'a Admission<'a>,
        obj: Option<&'a mut Value>,
        old: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<()>>;
    /// Looks at the final object.
    fn validate<'a>(
        &'a self,
        cx: &'a Cx,
        a: &'a Admission<'a>,
        obj: Option<&'a Value>,
        old: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<()>>;
}

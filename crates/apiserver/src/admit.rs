//! Running admission: the plugins of `admission` in order.

use crate::Result;
use crate::cx::Cx;
use admission::Operation;
use meta::Value;

/// What admission is asked about.
pub struct Admission<'a> {
    pub operation: Operation,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub dry_run: bool,
}

/// Lets the mutating plugins change the object.
pub async fn mutate(
    _cx: &Cx,
    _a: &Admission<'_>,
    _obj: Option<&mut Value>,
    _old: Option<&Value>,
) -> Result<()> {
    Ok(())
}

/// Lets the validating plugins look at the final object.
pub async fn validate(
    _cx: &Cx,
    _a: &Admission<'_>,
    _obj: Option<&mut Value>,
    _old: Option<&Value>,
) -> Result<()> {
    Ok(())
}

//! What particular resources do around a write, beyond their strategy: allocation, cleaning up.

use crate::Result;
use crate::cx::Cx;
use meta::Value;

/// What was begun before a write and must be finished after it.
pub enum Begun {
    Nothing,
}

impl Begun {
    /// Keeps what was begun, or gives it back.
    pub async fn finish(self, _cx: &Cx, _committed: bool) {}
}

pub async fn begin_create(_cx: &Cx, _obj: &mut Value, _dry_run: bool) -> Result<Begun> {
    Ok(Begun::Nothing)
}

pub async fn begin_update(
    _cx: &Cx,
    _sub: &str,
    _obj: &mut Value,
    _old: &Value,
    _dry_run: bool,
) -> Result<Begun> {
    Ok(Begun::Nothing)
}

pub async fn after_create(_cx: &Cx, _obj: &Value) {}
pub async fn after_update(_cx: &Cx, _obj: &Value, _old: &Value) {}
pub async fn after_delete(_cx: &Cx, _obj: &Value) {}

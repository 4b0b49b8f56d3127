//! What every kind's file uses.

pub(crate) use crate::at::{At, Errs};
pub(crate) use crate::check::{containers, each_container, keys, opt_same, quantity};
pub(crate) use crate::rows::{self, age, or_none, row, since};
pub(crate) use crate::val::{Get, Obj, Put, deep_same, is_zero};
pub(crate) use crate::{Cx, Strategy};
pub(crate) use meta::names;
pub(crate) use meta::object::ObjectExt;
pub(crate) use meta::time::Timestamp;
pub(crate) use meta::{ErrorList, Value};
pub(crate) use serde_json::json;

/// The cells of a row, as the trait wants them.
pub(crate) type Row = Option<Vec<Value>>;

//! Tables: what `kubectl get` shows (apimachinery `meta/v1 Table`, apiserver `pkg/registry/rest/table.go`).

use crate::negotiate::MetaVersion;
use crate::object::decode;
use crate::registry::{Codec, ResourceInfo};
use crate::{Result, encode};
use meta::object::ObjectExt;
use meta::time::Timestamp;
use meta::{FieldError, GroupKind, Path, Status, Value};
use mvcc::Record;
use serde_json::json;

/// What a row carries beside its cells (`includeObject`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    None,
    Metadata,
    Object,
}

impl Include {
    /// From the query's `includeObject`.
    pub fn parse(v: Option<&str>) -> Result<Self> {
        match v.unwrap_or("") {
            "None" => Ok(Self::None),
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            other => {
                let e = FieldError::invalid(
                    &Path::new("includeObject"),
                    other,
                    "must be 'Metadata', 'Object', 'None', or empty",
                );
                Err(Status::invalid(&GroupKind::new("meta.k8s.io", "TableOptions"), "", &vec![e]).into())
            }
        }
    }
}

/// The column definitions, as JSON.
pub fn columns(info: &ResourceInfo) -> Value {
    if info.columns.is_empty() {
        return json!([
            {"name": "Name", "type": "string", "format": "name", "description": "Name of the object", "priority": 0},
            {"name": "Created At", "type": "date", "format": "", "description": "Time of creation", "priority": 0},
        ]);
    }
    let cols = info.columns.iter().map(|c| {
        json!({"name": c.name, "type": c.ty, "format": c.format, "description": c.description, "priority": c.priority})
    });
    Value::Array(cols.collect())
}

/// Appends one row for a record.
pub async fn row(
    info: &ResourceInfo,
    r: &Record,
    rv: i64,
    v: MetaVersion,
    include: Include,
    now: Timestamp,
    out: &mut Vec<u8>,
) -> Result<()> {
    let obj = decode(info, r).await?;
    cells(info, &obj, now, out)?;
    match include {
        Include::None => {}
        Include::Metadata => {
            out.extend_from_slice(b",\"object\":");
            encode::partial_json(info, r, rv, v, out).await?;
        }
        Include::Object => {
            out.extend_from_slice(b",\"object\":");
            encode::json(info, r, rv, true, out).await?;
        }
    }
    out.push(b'}');
    Ok(())
}

/// `{"cells":[…]` and the conditions of finished pods.
fn cells(info: &ResourceInfo, obj: &Value, now: Timestamp, out: &mut Vec<u8>) -> Result<()> {
    let cells = match &info.codec {
        Codec::Builtin(_) => kinds::strategy(&info.gvr.group, &info.gvr.resource).row(obj, now),
        Codec::Custom(c) if !info.columns.is_empty() => Some(c.row(obj, now)),
        Codec::Custom(_) => None,
    };
    let cells = cells.unwrap_or_else(|| {
        let created = obj.str_at("metadata.creationTimestamp");
        let created = if created.is_empty() { "<unknown>" } else { created };
        let mut cells = vec![Value::from(obj.name())];
        // A kind whose columns nobody fills yet still gets as many cells as columns.
        match info.columns.len() {
            0 => cells.push(created.into()),
            n => cells.resize(n, Value::from("<unknown>")),
        }
        cells
    });
    out.extend_from_slice(b"{\"cells\":");
    serde_json::to_writer(&mut *out, &cells).map_err(Status::internal)?;
    if info.is("", "pods") {
        let (reason, message) = match obj.str_at("status.phase") {
            "Succeeded" => ("Succeeded", "The pod has completed successfully."),
            "Failed" => ("Failed", "The pod failed."),
            _ => return Ok(()),
        };
        let c = json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]);
        out.extend_from_slice(b",\"conditions\":");
        serde_json::to_writer(&mut *out, &c).map_err(Status::internal)?;
    }
    Ok(())
}

/// `{"kind":"Table",…,"columnDefinitions":[…],"rows":[`; empty `definitions` leaves the columns out (later watch events).
pub fn open(info: &ResourceInfo, v: MetaVersion, list_meta: &Value, definitions: bool, out: &mut Vec<u8>) {
    let head = format!(r#"{{"kind":"Table","apiVersion":"{}","metadata":"#, v.api_version());
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(list_meta.to_string().as_bytes());
    out.extend_from_slice(b",\"columnDefinitions\":");
    let cols = if definitions { columns(info).to_string() } else { "null".to_owned() };
    out.extend_from_slice(cols.as_bytes());
    out.extend_from_slice(b",\"rows\":[");
}

/// A table of one stored object.
pub async fn single_record(
    info: &ResourceInfo,
    r: &Record,
    v: MetaVersion,
    include: Include,
    now: Timestamp,
) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    open(info, v, &json!({ "resourceVersion": r.mod_revision.to_string() }), true, &mut out);
    row(info, r, r.mod_revision, v, include, now, &mut out).await?;
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// A table of objects that are not stored.
pub fn of_values(
    info: &ResourceInfo,
    objs: &[Value],
    v: MetaVersion,
    include: Include,
    now: Timestamp,
) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    open(info, v, &json!({}), true, &mut out);
    for (i, obj) in objs.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        value_row(info, obj, v, include, now, &mut out)?;
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// A table of one object that a write answered with.
pub fn single_value(
    info: &ResourceInfo,
    obj: &Value,
    v: MetaVersion,
    include: Include,
    now: Timestamp,
) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    open(info, v, &json!({ "resourceVersion": obj.resource_version() }), true, &mut out);
    value_row(info, obj, v, include, now, &mut out)?;
    out.extend_from_slice(b"]}");
    Ok(out)
}

fn value_row(
    info: &ResourceInfo,
    obj: &Value,
    v: MetaVersion,
    include: Include,
    now: Timestamp,
    out: &mut Vec<u8>,
) -> Result<()> {
    cells(info, obj, now, out)?;
    if include != Include::None {
        out.extend_from_slice(b",\"object\":");
        match include {
            Include::Object => encode::value_json(info, obj.clone(), true, out)?,
            _ => encode::value_partial_json(obj, v, out),
        }
    }
    out.push(b'}');
    Ok(())
}

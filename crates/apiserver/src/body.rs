//! Request bodies: from the network or from this process, read up to a limit, decoded by schema.

use crate::cx::Cx;
use crate::negotiate::{self, Format};
use crate::registry::{Codec, ResourceInfo};
use crate::{Failure, Result};
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use meta::object::ObjectExt;
use meta::{Reason, Status, Value};
use schema::{FieldValidation, TypeId};

/// Bytes of a body, at most (as upstream's, etcd's limit twice).
pub const MAX_BODY: usize = 3 * 1024 * 1024;

/// The body of a request.
#[derive(Debug)]
pub enum Input {
    Net(Incoming),
    Bytes(Bytes),
}

impl Input {
    /// All of it.
    pub async fn read(self) -> Result<Bytes> {
        let too_large = || -> Failure {
            Status::failure(
                Reason::RequestEntityTooLarge,
                format!("Request entity too large: limit is {MAX_BODY}"),
            )
            .into()
        };
        match self {
            Self::Bytes(b) if b.len() > MAX_BODY => Err(too_large()),
            Self::Bytes(b) => Ok(b),
            Self::Net(b) => match Limited::new(b, MAX_BODY).collect().await {
                Ok(c) => Ok(c.to_bytes()),
                Err(e) if e.is::<http_body_util::LengthLimitError>() => Err(too_large()),
                Err(e) => Err(Status::bad_request(format!("reading the request body: {e}")).into()),
            },
        }
    }
}

/// What a body must be.
pub struct Expect<'a> {
    pub group: &'a str,
    pub version: &'a str,
    pub kind: &'a str,
    /// Bodies of this version of any group are accepted too (`Scale` of old groups).
    pub any_version: bool,
}

impl Expect<'_> {
    fn api_version(&self) -> String {
        meta::GroupVersion::new(self.group, self.version).to_string()
    }
}

/// Decodes a body of a built-in type; `defaults` runs defaulting.
pub fn decode_builtin(
    cx: &Cx,
    headers: &HeaderMap,
    bytes: &[u8],
    ty: TypeId,
    want: &Expect<'_>,
    validation: FieldValidation,
) -> Result<Value> {
    let format = negotiate::body_format(headers, true)?;
    let mut d = match format {
        Format::Json => schema::json::decode(bytes, ty).map_err(|e| undecodable(want, bytes, &e.0))?,
        Format::Yaml => {
            let y = schema::yaml::decode(bytes).map_err(|e| undecodable(want, bytes, &e.0))?;
            let mut d =
                schema::json::canonicalize(y.value, ty).map_err(|e| undecodable(want, bytes, &e.0))?;
            d.strict.splice(0..0, y.strict);
            d
        }
        Format::Proto => {
            let bad = |e: schema::DecodeError| Status::bad_request(e.0);
            let env = schema::proto::unwrap(bytes).map_err(bad)?;
            check_kind(env.api_version, env.kind, want)?;
            let value = schema::proto::decode(env.raw, ty).map_err(bad)?;
            schema::Decoded { value, strict: Vec::new() }
        }
    };
    let (api_version, kind) = (d.value.str_at("apiVersion").to_owned(), d.value.str_at("kind").to_owned());
    check_kind(&api_version, &kind, want)?;
    report_strict(cx, std::mem::take(&mut d.strict), validation, Some(want))?;
    set_kind(&mut d.value, &want.api_version(), want.kind);
    Ok(d.value)
}

/// Decodes a body of the resource's own kind, with defaulting (or pruning, for custom resources).
pub fn decode_object(
    cx: &Cx,
    headers: &HeaderMap,
    bytes: &[u8],
    validation: FieldValidation,
) -> Result<Value> {
    let info: &ResourceInfo = &cx.res;
    let want = Expect {
        group: &info.gvr.group,
        version: &info.gvr.version,
        kind: &info.gvk.kind,
        any_version: false,
    };
    match &info.codec {
        Codec::Builtin(b) => {
            let mut v = decode_builtin(cx, headers, bytes, b.ty, &want, validation)?;
            default_object(info, &mut v, cx);
            Ok(v)
        }
        Codec::Custom(_) => {
            let format = negotiate::body_format(headers, false)?;
            let d = if format == Format::Yaml {
                schema::yaml::decode(bytes).map_err(|e| undecodable(&want, bytes, &e.0))?
            } else {
                schema::json::decode_untyped(bytes).map_err(|e| undecodable(&want, bytes, &e.0))?
            };
            let mut v = d.value;
            if !v.is_object() {
                return Err(undecodable(&want, bytes, "json: cannot unmarshal into Go value of type map"));
            }
            if v.str_at("kind").is_empty() {
                return Err(undecodable(&want, bytes, "Object 'Kind' is missing"));
            }
            check_kind(v.str_at("apiVersion"), v.str_at("kind"), &want)?;
            admit_custom(cx, &mut v, d.strict, validation, Some(&want))?;
            Ok(v)
        }
    }
}

/// Prunes and defaults a custom object.
pub fn admit_custom(
    cx: &Cx,
    v: &mut Value,
    mut strict: Vec<String>,
    validation: FieldValidation,
    want: Option<&Expect<'_>>,
) -> Result<()> {
    if let Codec::Custom(c) = &cx.res.codec {
        c.admit(v, &mut strict)?;
        report_strict(cx, strict, validation, want)?;
    }
    Ok(())
}

/// Defaulting of a built-in kind.
pub fn default_object(info: &ResourceInfo, v: &mut Value, cx: &Cx) {
    kinds::default_object(&info.gvr.group, &info.gvr.version, &info.gvk.kind, v, cx.now);
}

/// The beginning of a body, for messages: text of what looks like JSON, else hexadecimal.
fn summary(bytes: &[u8]) -> String {
    const MAX: usize = 30;
    let cut = &bytes[..bytes.len().min(MAX)];
    let more = if bytes.len() > MAX { " ..." } else { "" };
    match bytes.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(cut)),
        Some(_) => {
            let hex: String = cut.iter().map(|b| format!("{b:02x}")).collect();
            hex + more
        }
    }
}

/// Unknown and duplicate fields: ignored, warned of, or refused.
pub fn report_strict(
    cx: &Cx,
    strict: Vec<String>,
    validation: FieldValidation,
    want: Option<&Expect<'_>>,
) -> Result<()> {
    match validation {
        _ if strict.is_empty() => Ok(()),
        FieldValidation::Ignore => Ok(()),
        FieldValidation::Warn => {
            for s in strict {
                cx.warn(s);
            }
            Ok(())
        }
        FieldValidation::Strict => {
            let what = format!("strict decoding error: {}", strict.join(", "));
            Err(Status::bad_request(match want {
                Some(w) => {
                    format!("{} in version {:?} cannot be handled as a {}: {what}", w.kind, w.version, w.kind)
                }
                None => what,
            })
            .into())
        }
    }
}

pub fn set_kind(v: &mut Value, api_version: &str, kind: &str) {
    if let Some(m) = v.as_object_mut() {
        m.insert("kind".into(), kind.into());
        m.insert("apiVersion".into(), api_version.into());
    }
}

/// An empty kind or version is filled in from the endpoint; a different one is refused.
pub fn check_kind(api_version: &str, kind: &str, want: &Expect<'_>) -> Result<()> {
    let expected = want.api_version();
    let gv = if api_version.is_empty() { expected.as_str() } else { api_version };
    let known = |kind: &str| {
        meta::GroupVersion::parse(gv)
            .is_some_and(|g| schema::facts::type_of(&g.group, &g.version, kind).is_some())
    };
    if !kind.is_empty() && kind != want.kind {
        let text = if known(kind) {
            let (g, v) = gv.split_once('/').unwrap_or(("", gv));
            format!(
                "{kind} in version {v:?} cannot be handled as a {}: converting ({g}{}{v}, Kind={kind}) to {} ({expected}): unknown conversion",
                want.kind,
                if g.is_empty() { "" } else { "/" },
                want.kind
            )
        } else {
            format!(
                "no kind {kind:?} is registered for version {gv:?} in scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\""
            )
        };
        return Err(Status::bad_request(text).into());
    }
    if gv != expected && !(want.any_version && known(want.kind)) {
        let text = if known(want.kind) {
            format!("the API version in the data ({gv}) does not match the expected API version ({expected})")
        } else {
            format!(
                "no kind {:?} is registered for version {gv:?} in scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\"",
                want.kind
            )
        };
        return Err(Status::bad_request(text).into());
    }
    Ok(())
}

/// The 400 of a body that is no such object (apiserver `transformDecodeError`).
fn undecodable(want: &Expect<'_>, bytes: &[u8], why: &str) -> Failure {
    let found = serde_json::from_slice::<Value>(bytes).ok();
    let kind = found.as_ref().map(|v| v.str_at("kind").to_owned()).filter(|k| !k.is_empty());
    let text = match kind {
        Some(kind) => {
            let gv = found.as_ref().map_or("", |v| v.str_at("apiVersion"));
            let version = gv.rsplit('/').next().unwrap_or(gv);
            format!("{kind} in version {version:?} cannot be handled as a {}: {why}", want.kind)
        }
        None => {
            let shown = summary(bytes);
            format!("the object provided is unrecognized (must be of type {}): {why} ({shown})", want.kind)
        }
    };
    Status::bad_request(text).into()
}

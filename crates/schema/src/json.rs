//! JSON by schema: strict-aware decoding into canonical form, encoding in upstream's field order.

mod decode;
mod encode;
mod lexer;
mod quick;
mod settled;
mod source;
pub mod write;

use crate::facts::Card;
use crate::{DecodeError, Decoded, TypeId, Value};
use lexer::Lexer;
use source::{Source, Untyped, ValueSource};

pub(crate) use decode::{fill, fill_but, set_template, zero_element};
pub(crate) use encode::{one, shows_zero, zero};
pub use write::{indent, to_string, to_vec, write_value};

/// Decodes an object of a built-in type. Values of a wrong JSON type are an error with upstream's Go-like text; unknown
/// and duplicate fields are dropped and reported. `kind` and `apiVersion` stay in the value.
pub fn decode(bytes: &[u8], ty: TypeId) -> Result<Decoded, DecodeError> {
    let mut d = decode::Decoder::new(Lexer::new(bytes));
    let value = d.document(ty)?;
    Ok(Decoded { value, strict: d.strict() })
}
/// Brings a parsed value into canonical form, as [`decode`] does (a patch result, a YAML document).
pub fn canonicalize(v: Value, ty: TypeId) -> Result<Decoded, DecodeError> {
    // A patch changes little of an object that was in canonical form.
    if let Value::Object(m) = &v
        && settled::settled(m, ty, 0)
    {
        return Ok(Decoded { value: v, strict: Vec::new() });
    }
    let mut d = decode::Decoder::new(ValueSource::new(v));
    let value = d.document(ty)?;
    Ok(Decoded { value, strict: d.strict() })
}
/// Parses JSON without a schema (custom resources), reporting duplicate keys.
pub fn decode_untyped(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let mut src = Lexer::new(bytes);
    let mut u = Untyped { report: true, duplicates: Vec::new() };
    let ev = src.value()?;
    let value = u.build(&mut src, ev, 0)?;
    src.end()?;
    u.duplicates.truncate(100);
    let strict = u.duplicates.iter().map(|p| format!("duplicate field {}", meta::field::quote(p))).collect();
    Ok(Decoded { value, strict })
}
/// `apiVersion` and `kind` of a JSON object, read without keeping anything else; empty where absent. The error is that
/// of upstream's interpreter, after its prefix.
pub fn peek(bytes: &[u8]) -> Result<(String, String), DecodeError> {
    let (mut api_version, mut kind) = (String::new(), String::new());
    let mut src = Lexer::new(bytes);
    match src.value()? {
        source::Ev::Obj => {
            let mut first = true;
            while let Some(k) = src.key(first)? {
                first = false;
                let into = match &*k {
                    "apiVersion" => &mut api_version,
                    "kind" => &mut kind,
                    _ => {
                        src.skip(1)?;
                        continue;
                    }
                };
                match src.value()? {
                    source::Ev::Str(s) => *into = s.into_owned(),
                    source::Ev::Null => {}
                    ev => {
                        return Err(DecodeError(format!(
                            "json: cannot unmarshal {} into Go struct field .{k} of type string",
                            ev.name()
                        )));
                    }
                }
            }
        }
        source::Ev::Null => {}
        ev => {
            return Err(DecodeError(format!(
                "json: cannot unmarshal {} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}",
                ev.name()
            )));
        }
    }
    src.end()?;
    Ok((api_version, kind))
}
/// Copies JSON with another `metadata.resourceVersion` (empty: none).
pub(crate) fn with_version(bytes: &[u8], version: &str, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    lexer::with_version(bytes, version, out)
}
/// Calls `f` with the members of one object-valued member, reading over everything else.
pub(crate) fn members(bytes: &[u8], name: &str, f: &mut dyn FnMut(&str, Value)) -> Result<(), DecodeError> {
    let mut src = Lexer::new(bytes);
    if !matches!(src.value()?, source::Ev::Obj) {
        return Err(DecodeError("not a JSON object".into()));
    }
    let mut first = true;
    while let Some(k) = src.key(first)? {
        first = false;
        if k != name {
            src.skip(1)?;
            continue;
        }
        let ev = src.value()?;
        if !matches!(ev, source::Ev::Obj) {
            src.rest(&ev, 1)?;
            continue;
        }
        let mut first = true;
        while let Some(k) = src.key(first)? {
            first = false;
            let ev = src.value()?;
            let v = Untyped { report: false, duplicates: Vec::new() }.build(&mut src, ev, 2)?;
            f(&k, v);
        }
    }
    src.end()
}
/// Appends the object in upstream's order: kind, apiVersion, then fields in Go struct order, required zero values filled in.
pub fn encode(v: &Value, ty: TypeId, out: &mut Vec<u8>) {
    encode::object(v.as_object(), ty, out);
}
/// Fills in the zero values that upstream's JSON of this type always shows (`status: {}`, `name: ""`), here and below.
pub fn fill_zeros(v: &mut Value, ty: TypeId) {
    crate::facts::walk(ty, v, &mut |t, v| {
        if let Value::Object(m) = v {
            decode::fill(m, t);
        }
    });
}
/// Appends JSON text without its white space and with `<`, `>`, `&` escaped, as Go's encoder does with raw parts.
pub fn compact(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    lexer::compact(raw, out)
}

/// Go's text for a field's type: `[]v1.Container`, `map[string]string`, `v1.RestartPolicy`.
fn go_type(f: &crate::facts::Field, element: bool) -> String {
    let base = |t: &str| -> String {
        if f.meta.enumeration.is_empty() {
            match t {
                "bytes" => "[]uint8".into(),
                "double" => "float64".into(),
                t => short(t),
            }
        } else {
            short(f.meta.enumeration)
        }
    };
    let t = f.meta.go_type;
    if f.name == "uid" && t == "string" {
        return "types.UID".into();
    }
    match f.card {
        Card::One => base(t),
        Card::List => {
            let e = base(t.trim_start_matches("[]"));
            if element { e } else { format!("[]{e}") }
        }
        Card::Map => {
            let e = base(t.trim_start_matches("map:"));
            if element { e } else { format!("map[string]{e}") }
        }
    }
}
/// `core.v1.Container` → `v1.Container`.
fn short(t: &str) -> String {
    let mut parts = t.rsplitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), Some(pkg), Some(_)) => format!("{pkg}.{name}"),
        _ => t.to_owned(),
    }
}

#[cfg(test)]
mod tests;

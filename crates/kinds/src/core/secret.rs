//! Secrets.

use super::configmap::{MAX_SIZE, decoded_len, frozen};
use crate::kit::*;
use base64::Engine as _;

pub(crate) struct Secret;

impl Strategy for Secret {
    fn prepare_update(&self, _cx: &Cx<'_>, o: &mut Value, old: &Value) {
        o.default_zero("type", old.s("type"));
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        e.immutable(&At::new("type"), o.f("type"), old.f("type"));
        frozen(o, old, &["data"], &mut e);
        validate(o, &mut e);
        e.0
    }

    fn warnings(&self, _cx: &Cx<'_>, o: &Value, _old: Option<&Value>) -> Vec<String> {
        let pem = |k: &str| {
            let v = base64::engine::general_purpose::STANDARD.decode(o.v("data").s(k)).unwrap_or_default();
            v.windows(10).any(|w| w == b"-----BEGIN")
        };
        let missing = match o.s("type") {
            "kubernetes.io/tls" if !pem("tls.crt") => "certificate",
            "kubernetes.io/tls" if !pem("tls.key") => "key",
            _ => return Vec::new(),
        };
        vec![format!("tls: failed to find any PEM data in {missing} input")]
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), o.s("type"), o.v("data").len_of(), age(o, now)]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        (label == "type").then(|| o.s("type").to_owned())
    }
}

fn validate(o: &Value, e: &mut Errs) {
    let data = At::new("data");
    let mut size = 0;
    for (k, v) in keys(o.o("data")) {
        e.name(&data.k(k), k, names::is_config_map_key);
        size += decoded_len(v);
    }
    if size > MAX_SIZE {
        e.too_long(&data, MAX_SIZE as i64);
    }
    let has = |k: &str| o.v("data").has(k);
    let need = |e: &mut Errs, k: &str| e.required(&At::new("data").k(k), "");
    match o.s("type") {
        "kubernetes.io/service-account-token" => {
            const NAME: &str = "kubernetes.io/service-account.name";
            if o.annotation(NAME).is_none_or(str::is_empty) {
                e.required(&At::new("metadata.annotations").k(NAME), "");
            }
        }
        "kubernetes.io/dockercfg" => docker(o, ".dockercfg", e),
        "kubernetes.io/dockerconfigjson" => docker(o, ".dockerconfigjson", e),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            need(e, "username");
            need(e, "password");
        }
        "kubernetes.io/ssh-auth" if o.v("data").s("ssh-privatekey").is_empty() => need(e, "ssh-privatekey"),
        "kubernetes.io/tls" => {
            for k in ["tls.crt", "tls.key"] {
                if !has(k) {
                    need(e, k);
                }
            }
        }
        _ => {}
    }
}

/// Registry credentials are a JSON object.
fn docker(o: &Value, key: &str, e: &mut Errs) {
    let data = At::new("data");
    let at = data.k(key);
    let Some(v) = o.v("data").os(key) else { return e.required(&at, "") };
    let bytes = base64::engine::general_purpose::STANDARD.decode(v).unwrap_or_default();
    let why = match schema::json::decode_untyped(&bytes) {
        Ok(d) if d.value.is_object() || d.value.is_null() => return,
        Ok(d) => {
            let what = match d.value {
                Value::Array(_) => "array",
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                _ => "number",
            };
            format!("json: cannot unmarshal {what} into Go value of type map[string]interface {{}}")
        }
        Err(why) => why.0,
    };
    e.invalid(&at, "<secret contents redacted>", why);
}

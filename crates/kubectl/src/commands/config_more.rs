//! `config set`, `config unset`, `config rename-context`: single values of a kubeconfig by the path of their names.

use super::config::{edit, target};
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::print;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::config::kubeconfig::Kubeconfig;
use serde_json::{Value, json};

super::commands! {
    "config set" "PROPERTY_NAME PROPERTY_VALUE"
        "Set an individual value in a kubeconfig file\n\nA value is named by a path with dots, where clusters, contexts and users stand by their names; a name with dots is one\npart as long as such an entry exists. Values of fields that end in -data are base64, unless --set-raw-bytes."
        "kubectl config set clusters.prod.server https://1.2.3.4:6443\nkubectl config set contexts.prod.namespace web\nkubectl config set current-context prod"
        SET, set;
    "config unset" "PROPERTY_NAME"
        "Unset an individual value in a kubeconfig file"
        "kubectl config unset current-context\nkubectl config unset contexts.prod.namespace\nkubectl config unset users.ann"
        NONE, unset;
    "config rename-context" "CONTEXT_NAME NEW_NAME"
        "Rename a context from the kubeconfig file"
        "kubectl config rename-context old new"
        NONE, rename;
}

const NONE: &[Flag] = &[];
const SET: &[Flag] =
    &[flag("set-raw-bytes", None, Form::Bool, "false", "Take the value of a -data field as it is")];

fn unexpected(cx: &Cx) -> Error {
    Error::plain(format!(
        "Unexpected args: [{}]\nSee 'kubectl {} -h' for help and examples",
        cx.p.args.join(" "),
        cx.path
    ))
}

/// The entry of a list that a path goes into, and what of the path is left; none of that name: its first part.
fn entry<'p>(list: &Value, rest: &'p str) -> (String, &'p str) {
    let names = list.as_array().into_iter().flatten().filter_map(|e| e["name"].as_str());
    let hit = names
        .filter(|n| rest == *n || rest.strip_prefix(n).is_some_and(|r| r.starts_with('.')))
        .max_by_key(|n| n.len());
    match hit {
        Some(n) => (n.to_owned(), rest[n.len()..].trim_start_matches('.')),
        None => {
            let (n, r) = rest.split_once('.').unwrap_or((rest, ""));
            (n.to_owned(), r)
        }
    }
}

const LISTS: [(&str, &str); 3] = [("clusters", "cluster"), ("contexts", "context"), ("users", "user")];

/// Fields that hold other things than text.
fn typed(field: &str, value: &str, raw: bool) -> Result<Value, Error> {
    match field {
        "insecure-skip-tls-verify" | "disable-compression" => match value {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true.into()),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false.into()),
            v => Err(Error::plain(format!("strconv.ParseBool: parsing {v:?}: invalid syntax"))),
        },
        f if f.ends_with("-data") && raw => Ok(STANDARD.encode(value).into()),
        f if f.ends_with("-data") => match STANDARD.decode(value) {
            Ok(_) => Ok(value.into()),
            Err(e) => Err(Error::plain(format!("error decoding input value: {e}"))),
        },
        _ => Ok(value.into()),
    }
}

const FIELDS: &[(&str, &[&str])] = &[
    (
        "clusters",
        &[
            "server",
            "tls-server-name",
            "insecure-skip-tls-verify",
            "certificate-authority",
            "certificate-authority-data",
            "proxy-url",
            "disable-compression",
        ],
    ),
    ("contexts", &["cluster", "user", "namespace"]),
    (
        "users",
        &[
            "client-certificate",
            "client-certificate-data",
            "client-key",
            "client-key-data",
            "token",
            "tokenFile",
            "as",
            "as-uid",
            "username",
            "password",
        ],
    ),
];

/// Sets or, without a value, removes what a path names.
fn change(k: &mut Value, path: &str, value: Option<&str>, raw: bool) -> Result<(), Error> {
    let (head, rest) = path.split_once('.').unwrap_or((path, ""));
    if head == "current-context" && rest.is_empty() {
        k["current-context"] = value.unwrap_or_default().into();
        return Ok(());
    }
    let Some((list, one)) = LISTS.iter().find(|(l, _)| *l == head) else {
        return Err(Error::plain(format!("unable to parse {path} after [] at api.Config")));
    };
    if rest.is_empty() {
        return match value {
            Some(_) => Err(Error::plain(format!("can't set a map to a value: {head}"))),
            None => {
                k[*list] = json!([]);
                Ok(())
            }
        };
    }
    let (name, field) = entry(&k[*list], rest);
    if !k[*list].is_array() {
        k[*list] = json!([]);
    }
    let Some(all) = k[*list].as_array_mut() else { return Ok(()) };
    let known = all.iter().any(|e| e["name"] == name.as_str());
    match (value, field) {
        (None, _) if !known => return Err(Error::plain(format!("current map key `{name}` is invalid"))),
        (None, "") => {
            all.retain(|e| e["name"] != name.as_str());
            return Ok(());
        }
        (Some(_), "") => return Err(Error::plain(format!("can't set a map to a value: {name}"))),
        _ => {}
    }
    let fields = FIELDS.iter().find(|(l, _)| l == list).map(|(_, f)| *f).unwrap_or_default();
    if !fields.contains(&field) {
        return Err(Error::plain(format!("unable to parse path {path:?} at {field:?}")));
    }
    if !known {
        all.push(json!({"name": name, *one: {}}));
    }
    for e in all.iter_mut().filter(|e| e["name"] == name.as_str()) {
        match value {
            Some(v) => e[*one][field] = typed(field, v, raw)?,
            None => {
                if let Some(m) = e[*one].as_object_mut() {
                    m.remove(field);
                }
            }
        }
    }
    Ok(())
}

fn write(cx: &Cx, path: &str, value: Option<&str>, raw: bool) -> Result<(), Error> {
    edit(cx, |k| {
        let bad = |e: serde_json::Error| Error::plain(e.to_string());
        let mut v = serde_json::to_value(&*k).map_err(bad)?;
        change(&mut v, path, value, raw)?;
        *k = serde_json::from_value::<Kubeconfig>(v).map_err(bad)?;
        Ok(())
    })
}

pub async fn set(cx: Cx) -> Result<(), Error> {
    let [path, value] = cx.p.args.as_slice() else { return Err(unexpected(&cx)) };
    if value.is_empty() {
        return Err(Error::plain("you cannot use set to unset a property"));
    }
    write(&cx, path, Some(value), cx.p.on("set-raw-bytes"))?;
    print::line(&format!("Property {path:?} set."));
    Ok(())
}

pub async fn unset(cx: Cx) -> Result<(), Error> {
    let [path] = cx.p.args.as_slice() else { return Err(unexpected(&cx)) };
    write(&cx, path, None, false)?;
    print::line(&format!("Property {path:?} unset."));
    Ok(())
}

pub async fn rename(cx: Cx) -> Result<(), Error> {
    let [old, new] = cx.p.args.as_slice() else { return Err(unexpected(&cx)) };
    let file = target(&cx)?.display().to_string();
    edit(&cx, |k| {
        if !k.contexts.iter().any(|c| c.name == *old) {
            return Err(Error::plain(format!("cannot rename the context {old:?}, it's not in {file}")));
        }
        if k.contexts.iter().any(|c| c.name == *new) {
            return Err(Error::plain(format!(
                "cannot rename the context {old:?}, the context {new:?} already exists in {file}"
            )));
        }
        for c in k.contexts.iter_mut().filter(|c| c.name == *old) {
            c.name.clone_from(new);
        }
        if k.current_context == *old {
            k.current_context.clone_from(new);
        }
        Ok(())
    })?;
    print::line(&format!("Context {old:?} renamed to {new:?}."));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let mut k =
            json!({"clusters": [{"name": "a.b", "cluster": {"server": "x"}}], "current-context": "c"});
        change(&mut k, "clusters.a.b.server", Some("y"), false).unwrap();
        assert_eq!(k["clusters"][0]["cluster"]["server"], "y");
        change(&mut k, "contexts.new.namespace", Some("n"), false).unwrap();
        assert_eq!(k["contexts"][0], json!({"name": "new", "context": {"namespace": "n"}}));
        change(&mut k, "clusters.a.b.insecure-skip-tls-verify", Some("true"), false).unwrap();
        assert_eq!(k["clusters"][0]["cluster"]["insecure-skip-tls-verify"], true);
        assert!(change(&mut k, "clusters.a.b.nope", Some("y"), false).is_err());
        assert!(change(&mut k, "contexts.zzz", None, false).is_err());
        change(&mut k, "contexts.new", None, false).unwrap();
        assert_eq!(k["contexts"], json!([]));
        change(&mut k, "current-context", None, false).unwrap();
        assert_eq!(k["current-context"], "");
    }
}

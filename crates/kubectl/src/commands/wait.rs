//! `wait`: until objects are made, gone, or say a condition or value.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::jsonpath::{self, Template};
use crate::objects::{self, Target, text};
use client::url::with_query;
use serde_json::Value;
use std::time::Duration;

super::commands! {
    "wait" "(-f FILENAME | TYPE NAME | TYPE -l label) --for=delete|create|condition=name[=value]|jsonpath='{path}'[=value]"
        "Wait for a specific condition on one or many resources\n\nUntil each object has the condition, is gone (delete), is there (create), or a path has a value; or until --timeout."
        "kubectl wait --for=condition=Ready pod/web --timeout=60s\nkubectl wait --for=condition=Ready pod -l app=web\nkubectl wait --for=jsonpath='{.status.phase}'=Running pod/web\nkubectl wait --for=delete pod/web\nkubectl wait --for=create svc/web"
        FLAGS, run;
}

pub const FLAGS: &[Flag] = &[
    objects::FILENAME,
    objects::RECURSIVE,
    objects::SELECTOR,
    objects::FIELD_SELECTOR,
    objects::ALL_NAMESPACES,
    objects::OUTPUT,
    objects::MANAGED,
    flag("all", None, Form::Bool, "false", "Select all resources in the namespace of the specified types"),
    flag("for", None, Form::Each, "", "create | delete | condition=name[=value] | jsonpath='{path}'[=value]"),
    flag("timeout", None, Form::Text, "30s", "How long to wait; 0: look once; negative: a week"),
];

enum For {
    Create,
    Delete,
    Condition(String, String),
    /// A path, and the value it must have (none: any).
    Path(Template, Option<String>),
}

fn parse(s: &str) -> Result<For, Error> {
    let wrong = || Error::plain(format!("unrecognized condition: {s:?}"));
    match s.to_lowercase().as_str() {
        "delete" => return Ok(For::Delete),
        "create" => return Ok(For::Create),
        "" => return Err(Error::plain("unrecognized condition: []")),
        _ => {}
    }
    if let Some(c) = s.strip_prefix("condition=") {
        let (n, v) = c.split_once('=').unwrap_or((c, "true"));
        return Ok(For::Condition(n.to_owned(), v.to_owned()));
    }
    let p = s.strip_prefix("jsonpath=").ok_or_else(wrong)?;
    let p = p.trim_matches(|c| c == '\'' || c == '"');
    let (path, value) = match p.find('}') {
        Some(i) => match p[i + 1..].trim_start_matches(['\'', '"']).strip_prefix('=') {
            Some(v) => (&p[..=i], Some(v)),
            None => (&p[..=i], None),
        },
        None => match p.split_once('=') {
            Some((a, v)) => (a, Some(v)),
            None => (p, None),
        },
    };
    let t = Template::parse(&jsonpath::relaxed(path)?)?;
    Ok(For::Path(t, value.map(|v| v.trim_matches(|c| c == '\'' || c == '"').to_owned())))
}

impl For {
    fn met(&self, v: Option<&Value>) -> bool {
        let Some(v) = v else { return matches!(self, Self::Delete) };
        match self {
            Self::Create => true,
            Self::Delete => false,
            Self::Condition(name, value) => {
                let all = v["status"]["conditions"].as_array().into_iter().flatten();
                let mut all = all.filter(|c| text(c, "/type").eq_ignore_ascii_case(name));
                all.next().is_some_and(|c| {
                    let generation = v["metadata"]["generation"].as_i64().unwrap_or(0);
                    let seen =
                        c["observedGeneration"].as_i64().or(v["status"]["observedGeneration"].as_i64());
                    seen.is_none_or(|s| s >= generation) && text(c, "/status").eq_ignore_ascii_case(value)
                })
            }
            Self::Path(t, want) => {
                let all = t.values(v).unwrap_or_default();
                match want {
                    Some(w) => all.len() == 1 && jsonpath::word(all[0]) == *w,
                    None => all.iter().any(|v| !v.is_null()),
                }
            }
        }
    }
}

/// Until it is so; the last that was seen.
async fn until(cx: &Cx, t: &Target, f: &For, uid: &str, once: bool) -> Result<Option<Value>, Error> {
    loop {
        let v = match cx.get(&t.path("")).await {
            Ok(v) => Some(v),
            Err(e) if e.is_not_found() && matches!(f, For::Create | For::Delete) => None,
            Err(e) => return Err(e),
        };
        let other = !uid.is_empty() && v.as_ref().is_some_and(|v| text(v, "/metadata/uid") != uid);
        if f.met(v.as_ref()) || (other && matches!(f, For::Delete)) {
            return Ok(v);
        }
        if once {
            return Err(Error::plain(format!("condition not met for {}/{}", t.resource.name, t.name)));
        }
        // From what was seen; of an object that is not there yet, from now.
        let list = with_query(
            t.resource.collection(&t.namespace),
            &[("fieldSelector", &format!("metadata.name={}", t.name))],
        );
        let version = match &v {
            Some(v) => text(v, "/metadata/resourceVersion").to_owned(),
            None => {
                let l = cx.get(&list).await?;
                if l["items"].as_array().is_some_and(|a| !a.is_empty()) {
                    continue;
                }
                text(&l, "/metadata/resourceVersion").to_owned()
            }
        };
        let p = with_query(list, &[("watch", "true"), ("resourceVersion", &version)]);
        cx.lines(&p, "application/json", |e| {
            let kind = text(&e, "/type");
            Ok(matches!(kind, "ADDED" | "MODIFIED") && !f.met(Some(&e["object"])))
        })
        .await?;
    }
}

fn late(t: &Target) -> Error {
    Error::plain(format!("timed out waiting for the condition on {}/{}", t.resource.name, t.name))
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let fors: Vec<For> = match cx.p.each("for").as_slice() {
        [] => vec![parse("")?],
        all => all.iter().map(|s| parse(s)).collect::<Result<_, _>>()?,
    };
    let many = cx.p.on("all") || !cx.p.text("selector").is_empty() || !cx.p.text("field-selector").is_empty();
    let mut all: Vec<(Target, String)> = Vec::new();
    for t in objects::targets(&cx, &cx.p.args, many).await? {
        if t.name.is_empty() {
            let (found, errors) = objects::fetch(&cx, std::slice::from_ref(&t)).await;
            Error::many(errors)?;
            all.extend(found.into_iter().map(|(t, v)| (t, text(&v, "/metadata/uid").to_owned())));
        } else if fors.iter().any(|f| matches!(f, For::Delete)) {
            match cx.get(&t.path("")).await {
                Ok(v) => all.push((t, text(&v, "/metadata/uid").to_owned())),
                // It is gone already.
                Err(e) if e.is_not_found() => {}
                Err(e) => return Err(e),
            }
        } else {
            all.push((t, String::new()));
        }
    }
    if all.is_empty() && !fors.iter().any(|f| matches!(f, For::Delete)) {
        return Err(Error::plain("no matching resources found"));
    }
    let ms = cx.p.millis("timeout")?;
    let limit =
        if ms < 0 { Duration::from_secs(168 * 3600) } else { Duration::from_millis(ms.unsigned_abs()) };
    let mut errors = Vec::new();
    for (t, uid) in &all {
        let work = async {
            let mut last = None;
            for f in &fors {
                last = until(&cx, t, f, uid, ms == 0).await?;
            }
            Ok::<_, Error>(last)
        };
        let r = if ms == 0 {
            work.await
        } else {
            tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late(t)))
        };
        match r {
            Ok(v) => objects::report(&cx, t, &v.unwrap_or_default(), "condition met")?,
            Err(e) => errors.push(e),
        }
    }
    Error::many(errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions() {
        let v = json!({"metadata": {"generation": 2}, "status": {"phase": "Running", "observedGeneration": 2,
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "Old", "status": "True", "observedGeneration": 1}]}});
        let cases = [
            ("condition=Ready", true),
            ("condition=ready=True", true),
            ("condition=Ready=false", false),
            ("condition=Old", false),
            ("condition=Nope", false),
            ("jsonpath={.status.phase}=Running", true),
            ("jsonpath='{.status.phase}'=Running", true),
            ("jsonpath=.status.phase=Pending", false),
            ("jsonpath={.status.phase}", true),
            ("jsonpath={.status.nope}", false),
            ("create", true),
            ("delete", false),
        ];
        for (s, want) in cases {
            assert_eq!(parse(s).unwrap().met(Some(&v)), want, "{s}");
        }
        assert!(parse("delete").unwrap().met(None));
        assert!(parse("foo").is_err());
    }
}

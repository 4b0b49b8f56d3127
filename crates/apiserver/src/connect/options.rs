//! What a connecting request asks for, as the object that admission looks at.

use crate::Result;
use crate::admit::{self, Admission};
use crate::cx::Cx;
use crate::query::Query;
use meta::{GroupVersionKind, Value};
use serde_json::json;

/// Kind and fields (name, what it holds) of the options of a resource's subresource.
type Options = (&'static str, &'static [(&'static str, Form)]);

enum Form {
    Bool,
    Text,
    Texts,
    Ports,
}

fn options_of(resource: &str, subresource: &str) -> Option<Options> {
    use Form::{Bool, Ports, Text, Texts};
    const STREAMS: &[(&str, Form)] =
        &[("stdin", Bool), ("stdout", Bool), ("stderr", Bool), ("tty", Bool), ("container", Text)];
    const EXEC: &[(&str, Form)] = &[
        ("stdin", Bool),
        ("stdout", Bool),
        ("stderr", Bool),
        ("tty", Bool),
        ("container", Text),
        ("command", Texts),
    ];
    Some(match (resource, subresource) {
        ("pods", "exec") => ("PodExecOptions", EXEC),
        ("pods", "attach") => ("PodAttachOptions", STREAMS),
        ("pods", "portforward") => ("PodPortForwardOptions", &[("ports", Ports)]),
        ("pods", "proxy") => ("PodProxyOptions", &[("path", Text)]),
        ("nodes", "proxy") => ("NodeProxyOptions", &[("path", Text)]),
        ("services", "proxy") => ("ServiceProxyOptions", &[("path", Text)]),
        _ => return None,
    })
}

fn object(kind: &str, fields: &[(&str, Form)], q: &Query) -> Value {
    let mut o = json!({"kind": kind, "apiVersion": "v1"});
    for (name, form) in fields {
        let texts: Vec<&str> = q.all(name).collect();
        let Some(first) = texts.first().copied() else { continue };
        o[*name] = match form {
            Form::Bool if matches!(first, "" | "0" | "false") => continue,
            Form::Bool => true.into(),
            Form::Text => first.into(),
            Form::Texts => json!(texts),
            Form::Ports => {
                let ports = texts.iter().flat_map(|t| t.split(','));
                json!(ports.filter_map(|p| p.parse::<u16>().ok()).collect::<Vec<_>>())
            }
        };
    }
    o
}

/// Asks admission whether this connection may be made. Reading a log is none.
pub async fn admit(cx: &Cx, query: &str) -> Result<()> {
    let Some((kind, fields)) = options_of(&cx.res.gvr.resource, cx.subresource()) else { return Ok(()) };
    let mut o = object(kind, fields, &Query::parse(query));
    let kind = GroupVersionKind::new("", "v1", kind);
    let a = Admission {
        operation: admission::Operation::Connect,
        subresource: cx.subresource(),
        namespace: &cx.info.namespace,
        name: &cx.info.name,
        dry_run: false,
        kind: Some(&kind),
        options: &|| Value::Null,
    };
    admit::mutate(cx, &a, Some(&mut o), None).await?;
    admit::validate(cx, &a, Some(&mut o), None).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_what_the_query_says() {
        let of = |resource, sub, q: &str| {
            let (kind, fields) = options_of(resource, sub).unwrap();
            object(kind, fields, &Query::parse(q))
        };
        assert_eq!(
            of("pods", "exec", "command=a&command=b+c&stdin=true&tty=false&container=x"),
            json!({"kind": "PodExecOptions", "apiVersion": "v1", "command": ["a", "b c"], "stdin": true, "container": "x"})
        );
        assert_eq!(of("pods", "portforward", "ports=80,81&ports=82")["ports"], json!([80, 81, 82]));
        assert!(options_of("pods", "log").is_none());
    }
}

//! `set env`: environment variables of containers, shown or changed.

use crate::change;
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, Target, text};
use crate::print;
use client::url::object;
use serde_json::{Value, json};
use std::io::BufRead;

super::commands! {
    "set env" "RESOURCE/NAME KEY_1=VAL_1 ... KEY_N=VAL_N"
        "Update environment variables on a pod template\n\nKEY=VALUE sets a variable, KEY- removes it, `-` reads KEY=VALUE lines from standard input. --list shows what is set;\nwith --resolve also what stands behind references to ConfigMaps, Secrets and fields."
        "# Set one, remove one, see them\nkubectl set env deploy/web MODE=fast DEBUG-\nkubectl set env deploy/web --list\n\n# All keys of a Secret or ConfigMap, with a prefix\nkubectl set env deploy/web --from=secret/db --prefix=DB_\n\n# Only in one container, of all deployments\nkubectl set env deploy --all -c app MODE=slow"
        FLAGS, run;
}

const FLAGS: &[Flag] = join!(
    objects::FILES,
    &[objects::SELECTOR],
    objects::WRITE,
    change::REACH,
    &[
        flag("containers", Some('c'), Form::Text, "*", "Names of the containers to change; may have *"),
        flag("from", None, Form::Text, "", "A ConfigMap or Secret whose keys become variables"),
        flag("prefix", None, Form::Text, "", "What the names of variables begin with"),
        flag("env", Some('e'), Form::Each, "", "KEY=VALUE"),
        flag("keys", None, Form::List, "", "Only these keys of --from"),
        flag("list", None, Form::Bool, "false", "Show the variables"),
        flag("resolve", None, Form::Bool, "false", "With --list: show what references mean"),
        flag("overwrite", None, Form::Bool, "true", "Allow variables to be overwritten")
    ]
);

/// Variables to set and names to remove.
#[derive(Default)]
struct Wish {
    set: Vec<Value>,
    remove: Vec<String>,
}

fn is_name(s: &str) -> bool {
    !s.is_empty()
        && !matches!(s, "." | "..")
        && !s.starts_with("..")
        && s.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=')
}

fn parse(all: &[String], stdin: &mut dyn BufRead) -> Result<Wish, Error> {
    let mut w = Wish::default();
    for a in all {
        if a == "-" {
            for l in stdin.lines() {
                let l = l?;
                let l = l.split('#').next().unwrap_or_default();
                if let Some((k, v)) = l.split_once('=') {
                    w.set.push(json!({"name": k, "value": v}));
                }
            }
        } else if let Some((k, v)) = a.split_once('=') {
            if !is_name(k) {
                return Err(Error::plain(format!("{k:?} is not a valid key name")));
            }
            w.set.push(json!({"name": k, "value": v}));
        } else if let Some(k) = a.strip_suffix('-') {
            w.remove.push(k.to_owned());
        } else {
            return Err(Error::plain(format!("unknown environment variable: {a}")));
        }
    }
    if w.set.iter().any(|s| w.remove.iter().any(|r| r == text(s, "/name"))) {
        return Err(Error::plain(
            "can not both modify and remove the same environment variable in the same command",
        ));
    }
    Ok(w)
}

/// Names of objects and variables of a line; variables come last.
fn split(args: &[String]) -> Option<(Vec<String>, Vec<String>)> {
    let is_env = |a: &String| a.contains('=') || a.ends_with('-');
    let n = args.iter().position(is_env).unwrap_or(args.len());
    args[n..].iter().all(is_env).then(|| (args[..n].to_vec(), args[n..].to_vec()))
}

/// The variables of a container after a change.
fn update(old: &[Value], w: &Wish) -> Vec<Value> {
    let name = |v: &Value| text(v, "/name").to_owned();
    let mut covered: Vec<String> = w.remove.clone();
    let mut out = Vec::new();
    for e in old {
        if covered.contains(&name(e)) {
            continue;
        }
        match w.set.iter().find(|s| name(s) == name(e)) {
            Some(s) => {
                covered.push(name(e));
                out.push(s.clone());
            }
            None => out.push(e.clone()),
        }
    }
    for s in &w.set {
        if !covered.contains(&name(s)) {
            covered.push(name(s));
            out.push(s.clone());
        }
    }
    out
}

/// The keys of a ConfigMap or Secret as variables.
async fn from(cx: &Cx, w: &mut Wish) -> Result<(), Error> {
    let args = [cx.p.text("from").to_owned()];
    for t in objects::targets(cx, &args, false).await? {
        let (list, at) = match t.resource.kind.as_str() {
            "Secret" => ("secretKeyRef", "/data"),
            "ConfigMap" => ("configMapKeyRef", "/data"),
            _ => return Err(Error::plain("unsupported resource specified in --from")),
        };
        let v = cx.get(&t.path("")).await?;
        let keys = cx.p.list("keys");
        for (k, _) in objects::labels(&v, at) {
            if !keys.is_empty() && !keys.contains(&k) {
                continue;
            }
            let name: String = k
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_uppercase() } else { '_' })
                .collect();
            if name != k {
                eprintln!("Warning: key {k} transferred to {name}");
            }
            w.set.push(json!({"name": name, "valueFrom": {list: {"name": t.name, "key": k}}}));
        }
    }
    Ok(())
}

/// A reference in words.
fn reference(f: &Value) -> String {
    let t = |p: &str| text(f, p).to_owned();
    if f["configMapKeyRef"].is_object() {
        format!("configmap {}, key {}", t("/configMapKeyRef/name"), t("/configMapKeyRef/key"))
    } else if f["secretKeyRef"].is_object() {
        format!("secret {}, key {}", t("/secretKeyRef/name"), t("/secretKeyRef/key"))
    } else if f["fieldRef"].is_object() {
        format!("field path {}", t("/fieldRef/fieldPath"))
    } else if f["resourceFieldRef"].is_object() {
        let c = t("/resourceFieldRef/containerName");
        let c = if c.is_empty() { c } else { format!("{c}/") };
        format!("resource field {c}{}", t("/resourceFieldRef/resource"))
    } else {
        "invalid valueFrom".into()
    }
}

/// What a reference means, where the server can say.
async fn value(cx: &Cx, t: &Target, v: &Value, c: &Value, f: &Value) -> Result<String, String> {
    for (kind, list, what) in
        [("configMapKeyRef", "configmaps", "config map"), ("secretKeyRef", "secrets", "secret")]
    {
        if f[kind].is_object() {
            let (name, key) = (text(&f[kind], "/name"), text(&f[kind], "/key"));
            let o =
                cx.get(&object("", "v1", list, Some(&t.namespace), name, "")).await.map_err(|e| e.bare())?;
            let missing = format!("key {key} not found in {what} {name}");
            let found = o["data"][key].as_str().ok_or(missing)?;
            if list == "configmaps" {
                return Ok(found.to_owned());
            }
            let b = client::config::kubeconfig::base64_data(found)?;
            return Ok(String::from_utf8_lossy(&b).into_owned());
        }
    }
    if f["fieldRef"].is_object() {
        let path = text(f, "/fieldRef/fieldPath");
        let m = &v["metadata"];
        return match path {
            "metadata.name" => Ok(text(m, "/name").to_owned()),
            "metadata.namespace" => Ok(text(m, "/namespace").to_owned()),
            "metadata.uid" => Ok(text(m, "/uid").to_owned()),
            _ => Err(format!("unsupported fieldPath: {path}")),
        };
    }
    let r = text(f, "/resourceFieldRef/resource");
    Ok(super::describe::resource_value(c, r, text(f, "/resourceFieldRef/divisor")))
}

async fn list(cx: &Cx, t: &Target, v: &Value, c: &Value) -> bool {
    print::line(&format!("# {} {}, container {}", t.resource.kind, t.name, text(c, "/name")));
    let mut failed: Vec<(String, Vec<String>)> = Vec::new();
    for e in c["env"].as_array().into_iter().flatten() {
        let name = text(e, "/name");
        if e["valueFrom"].is_null() {
            print::line(&format!("{name}={}", text(e, "/value")));
            continue;
        }
        let known = if cx.p.on("resolve") { Some(value(cx, t, v, c, &e["valueFrom"]).await) } else { None };
        match known {
            Some(Ok(found)) => print::line(&format!("{name}={found}")),
            other => {
                print::line(&format!("# {name} from {}", reference(&e["valueFrom"])));
                if let Some(Err(why)) = other {
                    match failed.iter_mut().find(|(w, _)| *w == why) {
                        Some((_, l)) => l.push(name.to_owned()),
                        None => failed.push((why, vec![name.to_owned()])),
                    }
                }
            }
        }
    }
    failed.sort();
    for (why, mut names) in failed.iter().cloned() {
        names.sort();
        eprintln!("error retrieving reference for {}: {why}", names.join(", "));
    }
    failed.is_empty()
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let Some((names, vars)) = split(&cx.p.args) else {
        return Err(Error::plain(format!(
            "all resources must be specified before environment changes: {}",
            cx.p.args.join(" ")
        )));
    };
    if cx.p.on("list") && cx.p.given("output") {
        return Err(Error::plain("--list and --output may not be specified together"));
    }
    if cx.p.given("keys") && !cx.p.given("from") {
        return Err(Error::plain(
            "when specifying --keys, a configmap or secret must be provided with --from",
        ));
    }
    if names.is_empty() && !cx.p.given("filename") {
        return Err(Error::plain(
            "one or more resources must be specified as <resource> <name> or <resource>/<name>",
        ));
    }
    let mut given = cx.p.each("env");
    given.extend(vars.iter().cloned());
    let mut w = parse(&given, &mut std::io::stdin().lock())?;
    if cx.p.given("from") {
        from(&cx, &mut w).await?;
    }
    for s in &mut w.set {
        s["name"] = format!("{}{}", cx.p.text("prefix"), text(s, "/name")).into();
    }
    let pattern = cx.p.text("containers");
    let put = |t: &Target, v: &mut Value| -> Result<(), Vec<Error>> {
        let spec = change::spec_of(t, v).map_err(|e| change::about(t, &e))?;
        let all = change::containers(spec, pattern);
        if all.is_empty() {
            eprintln!(
                "Warning: {}/{} does not have any containers matching {pattern:?}",
                t.resource.kind, t.name
            );
        }
        for c in all {
            let old = c["env"].as_array().cloned().unwrap_or_default();
            if !cx.p.on("overwrite") {
                for s in &w.set {
                    let clash = old.iter().find(|e| e["name"] == s["name"] && e["value"] != s["value"]);
                    if let Some(e) = clash {
                        let m = format!(
                            "'{}' already has a value ({}), and --overwrite is false",
                            text(e, "/name"),
                            text(e, "/value")
                        );
                        return Err(change::about(t, &Error::plain(m)));
                    }
                }
            }
            let new = update(&old, &w);
            if new != old {
                c["env"] = Value::Array(new);
            }
        }
        Ok(())
    };
    if !cx.p.on("list") {
        if w.set.is_empty() && w.remove.is_empty() {
            return Err(Error::plain("at least one environment variable must be provided"));
        }
        let failed = "failed to patch env update to pod template:";
        return change::each(&cx, &names, "env updated", failed, put).await;
    }
    let (found, mut errors) = change::read(&cx, &names).await?;
    for (t, mut v) in found {
        if let Err(e) = put(&t, &mut v) {
            errors.extend(e);
            continue;
        }
        let mut copy = v.clone();
        let mut good = true;
        if let Ok(spec) = change::spec_of(&t, &mut copy) {
            for c in change::containers(spec, pattern) {
                good &= list(&cx, &t, &v, c).await;
            }
        }
        if !good {
            errors.push(Error::plain("failed to retrieve valueFrom references"));
        }
    }
    Error::many(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables() {
        let words = |s: &str| s.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(split(&words("deploy/a X=1 Y-")), Some((words("deploy/a"), words("X=1 Y-"))));
        assert_eq!(split(&words("X=1 deploy/a")), None);
        let w = parse(&words("A=1 B- -"), &mut "C=2 # no\n\n".as_bytes()).unwrap();
        assert_eq!((w.set.len(), w.remove.as_slice()), (2, &["B".to_owned()][..]));
        assert!(parse(&words("A=1 A-"), &mut "".as_bytes()).is_err());
        let old =
            [json!({"name": "B", "value": "x"}), json!({"name": "A", "value": "0"}), json!({"name": "Z"})];
        let new: Vec<_> = update(&old, &w).iter().map(|v| text(v, "/name").to_owned()).collect();
        assert_eq!(new, ["A", "Z", "C"]);
    }
}

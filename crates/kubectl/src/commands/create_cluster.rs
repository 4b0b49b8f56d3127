//! Makers of quotas, disruption budgets, priority classes, ingresses, cron jobs.

use super::create::{SAVE, VALIDATE, make, name, required};
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects;
use meta::quantity::Quantity;
use serde_json::{Value, json};

super::commands! {
    "create quota" "NAME [--hard=key1=value1,key2=value2] [--scopes=Scope1,Scope2]"
        "Create a quota with the specified name"
        "kubectl create quota team --hard=cpu=4,memory=8Gi,pods=20\nkubectl create quota best-effort --hard=pods=10 --scopes=BestEffort"
        QUOTA, quota;
    "create poddisruptionbudget" "NAME --selector=SELECTOR --min-available=N"
        "Create a pod disruption budget with the specified name"
        "kubectl create poddisruptionbudget web --selector=app=web --min-available=1\nkubectl create pdb web --selector=app=web --max-unavailable=25%"
        BUDGET, budget;
    "create priorityclass" "NAME --value=VALUE --global-default=BOOL"
        "Create a priority class with the specified name"
        "kubectl create priorityclass high --value=1000 --description=\"what must run\"\nkubectl create priorityclass patient --value=100 --preemption-policy=Never"
        PRIORITY, priority;
    "create ingress" "NAME --rule=host/path=service:port[,tls[=secret]]"
        "Create an ingress with the specified name\n\nA path with * at its end is of type Prefix, another Exact. `,tls` asks for TLS of that host, with the certificate of a\nsecret where one is named."
        "kubectl create ingress simple --rule=\"foo.com/bar=svc1:8080,tls=my-cert\"\nkubectl create ingress all --class=nginx --rule=\"/*=web:http\"\nkubectl create ingress fallback --default-backend=web:80"
        INGRESS, ingress;
    "create cronjob" "NAME --image=image --schedule='0/5 * * * ?' -- [COMMAND] [args...]"
        "Create a cron job with the specified name"
        "kubectl create cronjob hello --image=busybox --schedule=\"*/1 * * * *\" -- date"
        CRONJOB, cronjob;
}

macro_rules! with {
    ($name:ident: $($f:expr),* $(,)?) => {
        const $name: &[Flag] =
            &[objects::OUTPUT, objects::DRY_RUN, objects::MANAGED, objects::FIELD_MANAGER, VALIDATE, SAVE, $($f),*];
    };
}

with!(QUOTA:
    flag("hard", None, Form::Text, "", "Limits: resource=quantity,..."),
    flag("scopes", None, Form::Text, "", "Scopes that must all match, separated by commas"),
);
with!(BUDGET:
    flag("min-available", None, Form::Text, "", "How many pods, or what share of them, must stay"),
    flag("max-unavailable", None, Form::Text, "", "How many pods, or what share of them, may be away"),
    flag("selector", None, Form::Text, "", "Labels of the pods"),
);
with!(PRIORITY:
    flag("value", None, Form::Text, "0", "The value of this priority class"),
    flag("global-default", None, Form::Bool, "false", "Whether this is the class of pods that name none"),
    flag("description", None, Form::Text, "", "When this class should be used"),
    flag("preemption-policy", None, Form::Text, "PreemptLowerPriority", "PreemptLowerPriority or Never"),
);
with!(INGRESS:
    flag("class", None, Form::Text, "", "Ingress class to be used"),
    flag("rule", None, Form::Each, "", "host/path=service:port[,tls[=secret]]"),
    flag("default-backend", None, Form::Text, "", "Where everything else goes: service:port"),
    flag("annotation", None, Form::Each, "", "An annotation of the ingress: key=value"),
);
with!(CRONJOB:
    flag("image", None, Form::Text, "", "The image to run"),
    flag("schedule", None, Form::Text, "", "When the job runs, as cron has it"),
    flag("restart", None, Form::Text, "OnFailure", "The job's restart policy: OnFailure or Never"),
);

pub async fn quota(cx: Cx) -> Result<(), Error> {
    let mut spec = json!({});
    let hard = cx.p.text("hard");
    for p in hard.split(',').filter(|_| !hard.is_empty()) {
        let Some((k, q)) = p.split_once('=').filter(|(_, q)| !q.contains('=')) else {
            return Err(Error::plain(format!("Invalid argument syntax {p}, expected <resource>=<value>")));
        };
        Quantity::parse(q).map_err(Error::plain)?;
        spec["hard"][k] = q.into();
    }
    let scopes = cx.p.text("scopes");
    if !scopes.is_empty() {
        let all: Vec<&str> = scopes.split(',').collect();
        if all.contains(&"") {
            return Err(Error::plain("invalid resource quota scope \"\""));
        }
        spec["scopes"] = json!(all);
    }
    let v = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name(&cx)?},
        "spec": spec, "status": {}});
    make(&cx, v).await
}

pub async fn budget(cx: Cx) -> Result<(), Error> {
    let n = name(&cx)?;
    let (least, most, selector) =
        (cx.p.text("min-available"), cx.p.text("max-unavailable"), cx.p.text("selector"));
    if selector.is_empty() {
        return Err(Error::plain("a selector must be specified"));
    }
    let (key, value) = match (least, most) {
        ("", "") => return Err(Error::plain("one of min-available or max-unavailable must be specified")),
        (l, "") => ("minAvailable", l),
        ("", m) => ("maxUnavailable", m),
        _ => return Err(Error::plain("min-available and max-unavailable cannot be both specified")),
    };
    let digits = value.strip_suffix('%').unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        let flag = if key == "minAvailable" { "min-available" } else { "max-unavailable" };
        return Err(Error::plain(format!("invalid format specified for {flag}")));
    }
    let v = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": n},
        "spec": {key: super::expose::port(value), "selector": label_selector(selector)?},
        "status": {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}});
    make(&cx, v).await
}

/// A selector's text as a LabelSelector.
fn label_selector(s: &str) -> Result<Value, Error> {
    let bad = || Error::plain(format!("couldn't parse the selector string \"{s}\""));
    let mut out = json!({});
    // Commas inside parentheses belong to a list.
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in s.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(p) = parts.last_mut() {
            p.push(c);
        }
    }
    let mut expressions = Vec::new();
    for p in parts.iter().map(|p| p.trim()).filter(|p| !p.is_empty()) {
        let words: Vec<&str> = p.splitn(3, ' ').collect();
        if let [k, op @ ("in" | "notin"), list] = words.as_slice() {
            let list = list.trim().strip_prefix('(').and_then(|l| l.strip_suffix(')')).ok_or_else(bad)?;
            let values: Vec<&str> = list.split(',').map(str::trim).collect();
            let op = if *op == "in" { "In" } else { "NotIn" };
            expressions.push(json!({"key": k, "operator": op, "values": values}));
        } else if p.contains("!=") {
            return Err(Error::plain("\"!=\" is not a valid label selector operator"));
        } else if let Some((k, v)) = p.split_once('=') {
            out["matchLabels"][k.trim()] = v.trim_start_matches('=').trim().into();
        } else if let Some(k) = p.strip_prefix('!') {
            expressions.push(json!({"key": k, "operator": "DoesNotExist"}));
        } else if !p.contains(' ') {
            expressions.push(json!({"key": p, "operator": "Exists"}));
        } else {
            return Err(bad());
        }
    }
    if !expressions.is_empty() {
        out["matchExpressions"] = Value::Array(expressions);
    }
    Ok(out)
}

pub async fn priority(cx: Cx) -> Result<(), Error> {
    let mut v = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
        "metadata": {"name": name(&cx)?}, "value": cx.p.int("value")?,
        "preemptionPolicy": cx.p.text("preemption-policy")});
    if cx.p.on("global-default") {
        v["globalDefault"] = true.into();
    }
    if !cx.p.text("description").is_empty() {
        v["description"] = cx.p.text("description").into();
    }
    make(&cx, v).await
}

fn backend(s: &str) -> Option<Value> {
    let (svc, port) =
        s.split_once(':').filter(|(s, p)| !s.is_empty() && !p.is_empty() && !p.contains(':'))?;
    let port = match port.parse::<i64>() {
        Ok(n) => json!({"number": n}),
        Err(_) => json!({"name": port}),
    };
    Some(json!({"service": {"name": svc, "port": port}}))
}

/// A rule: host, path, backend, and of TLS the secret's name.
fn rule(s: &str) -> Option<(&str, Value, Option<&str>)> {
    let (body, tls) = match s.split_once(',') {
        Some((b, "tls")) => (b, Some("")),
        Some((b, t)) => (b, Some(t.strip_prefix("tls=").filter(|t| !t.is_empty())?)),
        None => (s, None),
    };
    let (left, to) = body.split_once('=')?;
    let (host, path) = left.split_once('/')?;
    let path = format!("/{path}");
    let (path, kind) = match path.strip_suffix('*') {
        Some(p) => (p.to_owned(), "Prefix"),
        None => (path, "Exact"),
    };
    Some((host, json!({"path": path, "pathType": kind, "backend": backend(to)?}), tls))
}

pub async fn ingress(cx: Cx) -> Result<(), Error> {
    let n = name(&cx)?;
    let (rules, fallback) = (cx.p.each("rule"), cx.p.text("default-backend"));
    if rules.is_empty() && fallback.is_empty() {
        return Err(Error::plain(
            "not enough information provided: every ingress has to either specify a default-backend (which catches all traffic) or a list of rules (which catch specific paths)",
        ));
    }
    let mut v = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": n},
        "spec": {}, "status": {"loadBalancer": {}}});
    let (mut hosts, mut certs): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    let mut with_tls: Vec<&str> = Vec::new();
    for r in &rules {
        let Some((host, path, tls)) = rule(r) else {
            return Err(Error::plain(format!(
                "rule {r} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]"
            )));
        };
        match hosts.iter_mut().find(|h| h["host"].as_str().unwrap_or_default() == host) {
            Some(h) => {
                if let Some(l) = h["http"]["paths"].as_array_mut() {
                    l.push(path);
                }
            }
            None => {
                let mut h = json!({"http": {"paths": [path]}});
                if !host.is_empty() {
                    h["host"] = host.into();
                }
                hosts.push(h);
            }
        }
        let Some(secret) = tls.filter(|_| !with_tls.contains(&host)) else { continue };
        with_tls.push(host);
        match certs.iter_mut().find(|c| c["secretName"].as_str().unwrap_or_default() == secret) {
            Some(c) => {
                if c["hosts"].is_null() {
                    c["hosts"] = json!([]);
                }
                if let Some(l) = c["hosts"].as_array_mut() {
                    l.push(host.into());
                }
            }
            None => {
                let mut c = json!({});
                if !host.is_empty() {
                    c["hosts"] = json!([host]);
                }
                if !secret.is_empty() {
                    c["secretName"] = secret.into();
                }
                if c.as_object().is_some_and(|o| !o.is_empty()) {
                    certs.push(c);
                }
            }
        }
    }
    for a in cx.p.each("annotation") {
        let Some((k, x)) = a.split_once('=') else {
            return Err(Error::plain(format!(
                "annotation {a} is invalid and should be in format key=[value]"
            )));
        };
        v["metadata"]["annotations"][k] = x.into();
    }
    if !fallback.is_empty() {
        v["spec"]["defaultBackend"] = backend(fallback)
            .ok_or_else(|| Error::plain("default-backend should be in format servicename:serviceport"))?;
    }
    if !cx.p.text("class").is_empty() {
        v["spec"]["ingressClassName"] = cx.p.text("class").into();
    }
    if !certs.is_empty() {
        v["spec"]["tls"] = Value::Array(certs);
    }
    if !hosts.is_empty() {
        v["spec"]["rules"] = Value::Array(hosts);
    }
    make(&cx, v).await
}

pub async fn cronjob(cx: Cx) -> Result<(), Error> {
    required(&cx, &["image", "schedule"])?;
    let n = name(&cx)?;
    let mut c = json!({"name": n, "image": cx.p.text("image"), "resources": {}});
    if let Some(d) = cx.p.dash.filter(|d| cx.p.args.len() > *d) {
        c["command"] = json!(cx.p.args[d..]);
    }
    let v = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": n},
        "spec": {"schedule": cx.p.text("schedule"), "jobTemplate": {"metadata": {"name": n},
            "spec": {"template": {"metadata": {}, "spec": {"containers": [c], "restartPolicy": cx.p.text("restart")}}}}},
        "status": {}});
    make(&cx, v).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let (host, path, tls) = rule("foo.com/bar*=svc:80,tls=cert").unwrap();
        assert_eq!((host, tls), ("foo.com", Some("cert")));
        assert_eq!(
            path,
            json!({"path": "/bar", "pathType": "Prefix", "backend": {"service": {"name": "svc", "port": {"number": 80}}}})
        );
        assert_eq!(rule("/=svc:web,tls").unwrap().2, Some(""));
        for bad in ["foo.com=svc:80", "a/b=svc", "a/b=svc:80,ssl", "a/b=svc:80,tls="] {
            assert!(rule(bad).is_none(), "{bad}");
        }
        let s = label_selector("a=b,c in (x,y),!d,e").unwrap();
        assert_eq!(s["matchLabels"], json!({"a": "b"}));
        assert_eq!(s["matchExpressions"].as_array().unwrap().len(), 3);
    }
}

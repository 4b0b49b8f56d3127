//! `events`: events in the order of their time (kubectl `pkg/cmd/events`).

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::{self, text};
use crate::print::{self, Format};
use client::url::{collection, with_query};
use meta::time::{Timestamp, human_duration};
use serde_json::{Value, json};

super::commands! {
    "events" "[(-o|--output=)json|yaml|name|jsonpath] [--for TYPE/NAME] [--watch] [--types=Normal,Warning]"
        "List events\n\nWhat happened of late, the newest last; a cluster keeps events for an hour."
        "# In the namespace; in all; of one object, and go on\nkubectl events\nkubectl events -A --types=Warning\nkubectl events --for pod/web-0 --watch"
        FLAGS, run;
}

const FLAGS: &[Flag] = &[
    objects::OUTPUT,
    objects::ALL_NAMESPACES,
    objects::MANAGED,
    flag("watch", Some('w'), Form::Bool, "false", "After listing, go on as events come"),
    flag("for", None, Form::Text, "", "Only events of this object: TYPE/NAME"),
    flag("types", None, Form::List, "", "Only events of these types: Normal, Warning"),
    flag("no-headers", None, Form::Bool, "false", "Don't print headers"),
    flag("chunk-size", None, Form::Text, "500", "Return large lists in chunks; 0: all at once"),
];

fn time(v: &Value, at: &str) -> Option<Timestamp> {
    Timestamp::parse(text(v, at))
}

/// How long ago an event was, and how often it came.
pub fn interval(e: &Value, now: i64) -> String {
    let ago =
        |t: Option<Timestamp>| t.map_or_else(|| "<unknown>".to_owned(), |t| human_duration(now - t.seconds));
    let first = ago(time(e, "/eventTime").or_else(|| time(e, "/firstTimestamp")));
    let count = e["count"].as_i64().unwrap_or(0);
    if e["series"].is_object() {
        let n = e["series"]["count"].as_i64().unwrap_or(0);
        format!("{} (x{n} over {first})", ago(time(e, "/series/lastObservedTime")))
    } else if count > 1 {
        format!("{} (x{count} over {first})", ago(time(e, "/lastTimestamp")))
    } else {
        first
    }
}

/// When an event was last, to sort by.
pub fn order(e: &Value) -> Option<(i64, u32)> {
    let t = if e["series"].is_object() {
        time(e, "/series/lastObservedTime")
    } else {
        time(e, "/lastTimestamp").or_else(|| time(e, "/eventTime"))
    };
    t.map(|t| (t.seconds, t.nanos))
}

fn row(e: &Value, now: i64, everywhere: bool) -> Vec<String> {
    let t = |p: &str| text(e, p).to_owned();
    let mut r = Vec::new();
    if everywhere {
        r.push(t("/metadata/namespace"));
    }
    r.extend([
        interval(e, now),
        t("/type"),
        t("/reason"),
        format!("{}/{}", text(e, "/involvedObject/kind"), text(e, "/involvedObject/name")),
        text(e, "/message").trim().to_owned(),
    ]);
    r
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let types = cx.p.list("types");
    let known = |t: &String| t.eq_ignore_ascii_case("normal") || t.eq_ignore_ascii_case("warning");
    if !types.iter().all(known) {
        return Err(Error::plain("valid --types are Normal or Warning"));
    }
    let wanted =
        |e: &Value| types.is_empty() || types.iter().any(|t| t.eq_ignore_ascii_case(text(e, "/type")));
    let format = Format::parse(cx.p.text("output"), true)?;
    let everywhere = cx.p.on("all-namespaces");
    let ns = if everywhere { None } else { Some(cx.namespace()?) };
    let mut fields = String::new();
    if cx.p.given("for") {
        let Some((t, n)) = cx.p.text("for").split_once('/') else {
            return Err(Error::plain("--for must be in resource/name form"));
        };
        if n.contains('/') {
            return Err(Error::plain("arguments in resource/name form may not have more than one slash"));
        }
        let r = cx.discovery().await?.find(t)?;
        fields = format!(
            "involvedObject.kind={},involvedObject.apiVersion={},involvedObject.name={n}",
            r.kind,
            r.api_version()
        );
    }
    let path = with_query(collection("", "v1", "events", ns.as_deref()), &[("fieldSelector", &fields)]);
    let now = cx.rt.clock.unix_seconds();
    let mut heads = !cx.p.on("no-headers");
    let mut header = || {
        let mut h = Vec::new();
        if std::mem::take(&mut heads) {
            let names = ["NAMESPACE", "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
            h.push(names[usize::from(!everywhere)..].iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        }
        h
    };
    let clean = |mut e: Value| {
        e["apiVersion"] = "v1".into();
        e["kind"] = "Event".into();
        if !cx.p.on("show-managed-fields") {
            objects::hide_managed(&mut e);
        }
        e
    };
    if cx.p.on("watch") {
        return cx
            .lines(&with_query(path, &[("watch", "true")]), "application/json", |mut w| {
                let e = clean(w["object"].take());
                if !matches!(text(&w, "/type"), "ADDED" | "MODIFIED") || !wanted(&e) {
                    return Ok(true);
                }
                match &format {
                    None => {
                        let mut rows = header();
                        rows.push(row(&e, cx.rt.clock.unix_seconds(), everywhere));
                        print::out(&print::table(&rows));
                    }
                    Some(f) => show(f, &e, true)?,
                }
                Ok(true)
            })
            .await;
    }
    let (mut all, mut next) = (Vec::new(), String::new());
    let limit = if cx.p.text("chunk-size") == "0" { "" } else { cx.p.text("chunk-size") };
    loop {
        let mut v = cx.get(&with_query(path.clone(), &[("limit", limit), ("continue", &next)])).await?;
        if let Value::Array(a) = v["items"].take() {
            all.extend(a.into_iter().filter(|e| wanted(e)).map(clean));
        }
        next = text(&v, "/metadata/continue").to_owned();
        if next.is_empty() {
            break;
        }
    }
    if all.is_empty() {
        match ns {
            None => eprintln!("No events found."),
            Some(n) => eprintln!("No events found in {n} namespace."),
        }
        return Ok(());
    }
    all.sort_by_cached_key(order);
    match format {
        None => {
            let mut rows = header();
            rows.extend(all.iter().map(|e| row(e, now, everywhere)));
            print::out(&print::table(&rows));
            Ok(())
        }
        Some(f) => {
            let list = json!({"apiVersion": "v1", "kind": "EventList", "metadata": {}, "items": all});
            show(&f, &list, false)
        }
    }
}

fn show(f: &Format, v: &Value, one: bool) -> Result<(), Error> {
    let items: Vec<&Value> =
        if one { vec![v] } else { v["items"].as_array().into_iter().flatten().collect() };
    match f {
        Format::Json => print::line(&print::pretty(v)),
        Format::Yaml => print::out(&print::yaml(v)),
        Format::Name => {
            items.iter().for_each(|e| print::line(&format!("event/{}", text(e, "/metadata/name"))))
        }
        Format::Path(p) => print::out(&p.text(v)?),
        Format::Columns(c, _) => {
            let mut rows: Vec<Vec<String>> = vec![c.iter().map(|(h, _)| h.clone()).collect()];
            rows.extend(items.iter().map(|e| print::cells(c, e)));
            print::out(&print::table(&rows));
        }
    }
    Ok(())
}

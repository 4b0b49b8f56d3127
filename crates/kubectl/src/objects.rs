//! The objects that a command line names: `TYPE NAME…`, `TYPE/NAME…`, `TYPE[,TYPE] -l …`, `-f` (cli-runtime `resource`).

use crate::cx::Cx;
use crate::discovery::Resource;
use crate::error::Error;
use crate::files::{self, Manifest};
use crate::flags::{Flag, Form, flag};
use client::url::with_query;
use http::Method;
use serde_json::{Value, json};

pub const FILENAME: Flag = flag(
    "filename",
    Some('f'),
    Form::List,
    "",
    "Filename or directory with the objects; - for standard input",
);
pub const RECURSIVE: Flag = flag(
    "recursive",
    Some('R'),
    Form::Bool,
    "false",
    "Process the directory used in -f, --filename recursively",
);
pub const KUSTOMIZE: Flag =
    flag("kustomize", Some('k'), Form::Text, "", "Not supported: build first and pipe it to -f -");
pub const SELECTOR: Flag = flag(
    "selector",
    Some('l'),
    Form::Text,
    "",
    "Selector (label query) to filter on, e.g. -l key1=value1,key2 in (a,b)",
);
pub const FIELD_SELECTOR: Flag =
    flag("field-selector", None, Form::Text, "", "Selector (field query) to filter on, e.g. metadata.name=x");
pub const OUTPUT: Flag = flag(
    "output",
    Some('o'),
    Form::Text,
    "",
    "Output format: json, yaml, name, jsonpath=…, custom-columns=…",
);
pub const ALL_NAMESPACES: Flag =
    flag("all-namespaces", Some('A'), Form::Bool, "false", "The objects of all namespaces");
pub const DRY_RUN: Flag = flag(
    "dry-run",
    None,
    Form::Maybe("unchanged"),
    "none",
    "\"none\", \"server\" or \"client\": only print what would be sent",
);
pub const MANAGED: Flag =
    flag("show-managed-fields", None, Form::Bool, "false", "Keep managedFields when printing JSON or YAML");
pub const FIELD_MANAGER: Flag =
    flag("field-manager", None, Form::Text, "", "Name of the manager to track field ownership");
/// Of commands that take objects from files.
pub const FILES: &[Flag] = &[FILENAME, RECURSIVE, KUSTOMIZE];
/// Of commands that change objects and print them.
pub const WRITE: &[Flag] = &[OUTPUT, DRY_RUN, MANAGED, FIELD_MANAGER];

/// One object, or with an empty name all of a type that selectors match.
#[derive(Clone, Debug)]
pub struct Target {
    pub resource: Resource,
    pub namespace: String,
    pub name: String,
    /// From a file: what stands there.
    pub manifest: Option<Manifest>,
}

impl Target {
    pub fn path(&self, sub: &str) -> String {
        if self.name.is_empty() {
            self.resource.collection(&self.namespace)
        } else {
            self.resource.object(&self.namespace, &self.name, sub)
        }
    }
    pub fn said(&self) -> String {
        self.resource.said(&self.name)
    }
    fn at(&self, name: &str, namespace: &str) -> Self {
        Self { name: name.to_owned(), namespace: namespace.to_owned(), ..self.clone() }
    }
}

/// What `--dry-run` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    No,
    Client,
    Server,
}

impl DryRun {
    pub fn of(cx: &Cx) -> Result<Self, Error> {
        match cx.p.text("dry-run") {
            "" | "none" => Ok(Self::No),
            "client" => Ok(Self::Client),
            "server" => Ok(Self::Server),
            "unchanged" => {
                eprintln!("--dry-run is deprecated and can be replaced with --dry-run=client.");
                Ok(Self::Client)
            }
            v => Err(Error::plain(format!(
                "Invalid dry-run value ({v}). Must be \"none\", \"server\", or \"client\"."
            ))),
        }
    }
    pub fn query(self) -> (&'static str, &'static str) {
        ("dryRun", if self == Self::Server { "All" } else { "" })
    }
    pub fn suffix(self) -> &'static str {
        match self {
            Self::No => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }
}

/// Neither types and names nor files.
pub fn nothing_named() -> Error {
    Error::plain(
        "You must provide one or more resources by argument or filename.\nExample resource specifications include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'",
    )
}

/// Tells of an object that is going away while it is being changed.
pub fn warn_if_deleting(v: &Value) {
    if !text(v, "/metadata/deletionTimestamp").is_empty() {
        eprintln!(
            "Warning: Detected changes to resource {} which is currently being deleted.",
            text(v, "/metadata/name")
        );
    }
}

/// Refuses `-k`, and reads `-f`.
pub fn manifests(cx: &Cx) -> Result<Vec<Manifest>, Error> {
    if cx.p.given("kustomize") {
        return Err(Error::plain(
            "kustomize (-k) is not part of this kubectl; build first and pass the result with -f",
        ));
    }
    files::load(&cx.p.list("filename"), cx.p.on("recursive"))
}

/// Those of the files' objects that the selector of the command line fits.
pub fn selected(cx: &Cx, mut all: Vec<Manifest>) -> Result<Vec<Manifest>, Error> {
    let s = cx.p.text("selector");
    if !s.is_empty() {
        let s = meta::selector::Selector::parse(s).map_err(Error::plain)?;
        all.retain(|m| s.matches_object(&m.value));
    }
    Ok(all)
}

pub fn text<'v>(v: &'v Value, pointer: &str) -> &'v str {
    v.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Where the object of a file belongs; its namespace is filled in.
pub async fn place(cx: &Cx, mut m: Manifest) -> Result<Target, Error> {
    let (api, kind) = (text(&m.value, "/apiVersion").to_owned(), text(&m.value, "/kind").to_owned());
    let d = cx.discovery().await?;
    let name = text(&m.value, "/metadata/name").to_owned();
    let resource = d.of(&api, &kind).map_err(|e| {
        Error::plain(format!(
            "resource mapping not found for name: {name:?} namespace: {:?} from {:?}: {e}",
            text(&m.value, "/metadata/namespace"),
            m.source
        ))
    })?;
    let mut namespace = String::new();
    if resource.namespaced {
        let own = text(&m.value, "/metadata/namespace").to_owned();
        let given = cx.namespace()?;
        if cx.enforce_namespace() && !own.is_empty() && own != given {
            return Err(Error::plain(format!(
                "the namespace from the provided object {own:?} does not match the namespace {given:?}. You must pass '--namespace={own}' to perform this operation."
            )));
        }
        namespace = if own.is_empty() { given } else { own };
        m.value["metadata"]["namespace"] = namespace.clone().into();
    } else if let Some(md) = m.value["metadata"].as_object_mut() {
        md.remove("namespace");
    }
    Ok(Target { resource: resource.clone(), namespace, name, manifest: Some(m) })
}

/// Types and names of a command line; types without a name only where `bare`.
pub async fn targets(cx: &Cx, args: &[String], bare: bool) -> Result<Vec<Target>, Error> {
    let mut out = Vec::new();
    for m in manifests(cx)? {
        out.push(place(cx, m).await?);
    }
    if cx.p.given("filename") {
        if !args.is_empty() {
            return Err(Error::plain(
                "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well",
            ));
        }
        return Ok(out);
    }
    let d = cx.discovery().await?;
    let ns = if cx.p.on("all-namespaces") { String::new() } else { cx.namespace()? };
    let make = |resource: &Resource, name: &str| Target {
        resource: resource.clone(),
        namespace: if resource.namespaced { ns.clone() } else { String::new() },
        name: name.to_owned(),
        manifest: None,
    };
    if args.iter().any(|a| a.contains('/')) {
        for a in args {
            let Some((t, n)) = a.split_once('/') else {
                return Err(Error::plain(format!(
                    "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form (e.g. '{0} get resource/<resource_name>' instead of '{0} get resource resource/<resource_name>'",
                    "kubectl"
                )));
            };
            if t.is_empty() || n.is_empty() {
                return Err(Error::plain(
                    "arguments in resource/name form must have a single resource and name",
                ));
            }
            if n.contains('/') {
                return Err(Error::plain("arguments in resource/name form may not have more than one slash"));
            }
            out.push(make(d.find(t)?, n));
        }
        if cx.p.on("all-namespaces") {
            return Err(Error::plain("a resource cannot be retrieved by name across all namespaces"));
        }
        return Ok(out);
    }
    let Some(types) = args.first() else { return Ok(out) };
    let mut kinds = Vec::new();
    for t in types.split(',').filter(|t| !t.is_empty()) {
        let c = d.category(t);
        if c.is_empty() {
            kinds.push(d.find(t)?.clone());
        } else {
            kinds.extend(c.into_iter().cloned());
        }
    }
    if args.len() == 1 {
        if !bare {
            return Err(Error::plain("resource(s) were provided, but no name was specified"));
        }
        out.extend(kinds.iter().map(|k| make(k, "")));
    } else {
        if !cx.p.text("selector").is_empty() && cx.path != "expose" {
            return Err(Error::plain("name cannot be provided when a selector is specified"));
        }
        if cx.p.on("all-namespaces") && kinds.iter().any(|k| k.namespaced) {
            return Err(Error::plain("a resource cannot be retrieved by name across all namespaces"));
        }
        for n in &args[1..] {
            out.extend(kinds.iter().map(|k| make(k, n)));
        }
    }
    Ok(out)
}

/// Objects by name, for commands whose `--selector` means something else.
pub async fn named(cx: &Cx) -> Result<Vec<Target>, Error> {
    let all = targets(cx, &cx.p.args, false).await?;
    if all.is_empty() {
        return Err(Error::plain(
            "one or more resources must be specified as <resource> <name> or <resource>/<name>",
        ));
    }
    Ok(all)
}

/// The query of a list by the command line's selectors.
pub fn list_path(cx: &Cx, t: &Target, more: &[(&str, &str)]) -> String {
    let p = with_query(
        t.path(""),
        &[("labelSelector", cx.p.text("selector")), ("fieldSelector", cx.p.text("field-selector"))],
    );
    with_query(p, more)
}

/// The objects of targets, each with where it is; those without a name are listed.
pub async fn fetch(cx: &Cx, all: &[Target]) -> (Vec<(Target, Value)>, Vec<Error>) {
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    for t in all {
        if !t.name.is_empty() {
            match cx.get(&t.path(cx.p.text("subresource"))).await {
                Ok(v) => out.push((t.clone(), v)),
                Err(e) => errors.push(e),
            }
            continue;
        }
        match list(cx, t).await {
            Ok(items) => out.extend(items.into_iter().map(|v| {
                let at = t.at(text(&v, "/metadata/name"), text(&v, "/metadata/namespace"));
                (at, v)
            })),
            Err(e) => errors.push(e),
        }
    }
    (out, errors)
}

/// All objects of a target without a name, in chunks; each knows its kind.
pub async fn list(cx: &Cx, t: &Target) -> Result<Vec<Value>, Error> {
    let mut items = Vec::new();
    let mut next = String::new();
    let limit = match cx.p.text("chunk-size") {
        "" => "500",
        "0" => "",
        n => n,
    };
    loop {
        let p = list_path(cx, t, &[("limit", limit), ("continue", &next)]);
        let mut v = cx.get(&p).await?;
        if let Value::Array(a) = v["items"].take() {
            for mut i in a {
                i["apiVersion"] = t.resource.api_version().into();
                i["kind"] = t.resource.kind.clone().into();
                items.push(i);
            }
        }
        next = text(&v, "/metadata/continue").to_owned();
        if next.is_empty() {
            return Ok(items);
        }
    }
}

pub fn hide_managed(v: &mut Value) {
    if let Some(m) = v["metadata"].as_object_mut() {
        m.remove("managedFields");
    }
}

/// Says what happened to an object, as `-o` wants it.
pub fn report(cx: &Cx, t: &Target, v: &Value, done: &str) -> Result<(), Error> {
    use crate::print::{self, Format};
    let format = Format::parse(cx.p.text("output"), true)?;
    let mut v = v.clone();
    let whole = matches!(format, Some(Format::Json | Format::Yaml));
    if whole && !cx.p.on("show-managed-fields") {
        hide_managed(&mut v);
    }
    let name = if t.name.is_empty() { text(&v, "/metadata/name") } else { &t.name };
    match format {
        None => print::line(&format!("{} {done}", t.resource.said(name))),
        Some(Format::Name) => print::line(&t.resource.said(name)),
        Some(Format::Json) => print::line(&print::pretty(&v)),
        Some(Format::Yaml) => print::out(&print::yaml(&v)),
        Some(Format::Path(p)) => print::out(&p.text(&v)?),
        Some(Format::Columns(c, _)) => {
            let rows = [c.iter().map(|(h, _)| h.clone()).collect(), print::cells(&c, &v)];
            print::out(&print::table(&rows));
        }
    }
    Ok(())
}

/// Sends a patch to an object.
pub async fn patch(
    cx: &Cx,
    t: &Target,
    sub: &str,
    kind: &str,
    p: &Value,
    dry: DryRun,
) -> Result<Value, Error> {
    let manager = match cx.p.text("field-manager") {
        "" => format!("kubectl-{}", cx.path.split(' ').next().unwrap_or_default()),
        m => m.to_owned(),
    };
    let path = with_query(t.path(sub), &[("fieldManager", &manager), dry.query()]);
    cx.json(Method::PATCH, &path, kind, Some(p)).await
}

pub const MERGE: &str = "application/merge-patch+json";
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// The patch type that a resource takes: built-in kinds have a strategic one.
pub fn patch_kind(r: &Resource) -> &'static str {
    if schema::facts::type_of(&r.group, &r.version, &r.kind).is_some() { STRATEGIC } else { MERGE }
}

/// An annotation or label map of an object.
pub fn labels(v: &Value, at: &str) -> Vec<(String, String)> {
    let m = v.pointer(at).and_then(Value::as_object);
    m.into_iter().flatten().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect()
}

pub fn delete_options(grace: i64, propagation: &str, dry: DryRun) -> Value {
    let mut o = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation});
    if grace >= 0 {
        o["gracePeriodSeconds"] = grace.into();
    }
    if dry == DryRun::Server {
        o["dryRun"] = json!(["All"]);
    }
    o
}

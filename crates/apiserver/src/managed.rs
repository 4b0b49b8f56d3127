//! managedFields: who owns which field. The rules are `patch::managed`'s; here is what they need to know of a kind.

use crate::Result;
use crate::cx::Cx;
use crate::registry::{Codec, ResourceInfo};
use meta::Value;
use patch::Filter;
use patch::managed::{Request, Versions};
use schema::Node;
use std::sync::{Arc, OnceLock};

pub use patch::managed::keep_timestamps;

/// The schema of a resource's kind.
pub fn node(info: &ResourceInfo) -> Node<'_> {
    match &info.codec {
        Codec::Builtin(b) => Node::Type(b.ty),
        Codec::Custom(c) => c.node(),
    }
}

/// What an endpoint can change.
pub fn filter(info: &ResourceInfo, sub: &str) -> Filter {
    if info.is("", "pods") {
        match sub {
            "ephemeralcontainers" => return Filter::include(&["spec.ephemeralContainers"]),
            "resize" => {
                return Filter::include(&[
                    "spec.containers.*.resources",
                    "spec.containers.*.resizePolicy",
                    "spec.initContainers.*.resources",
                    "spec.initContainers.*.resizePolicy",
                ]);
            }
            _ => {}
        }
    }
    let own: Vec<&str> = match info.codec {
        // A custom resource with a status endpoint: each of the two leaves the other's part alone.
        Codec::Custom(_) if info.has_status() && sub == "status" => vec!["spec"],
        Codec::Custom(_) if info.has_status() => vec!["status"],
        _ => info.reset_fields(sub).iter().map(String::as_str).collect(),
    };
    Filter::exclude(&own)
}

/// The versions of a kind that share their stored form; looked up when an entry is of another one.
struct KindVersions<'a> {
    cx: &'a Cx,
    sub: &'a str,
    all: OnceLock<Vec<(Arc<ResourceInfo>, Filter)>>,
}

impl KindVersions<'_> {
    fn find(&self, api_version: &str) -> Option<&(Arc<ResourceInfo>, Filter)> {
        let all = self.all.get_or_init(|| {
            let (own, registry) = (&self.cx.res, self.cx.server.registry());
            registry
                .iter()
                .filter(|i| i.prefix == own.prefix && i.api_version != own.api_version)
                .map(|i| (i.clone(), filter(i, self.sub)))
                .collect()
        });
        all.iter().find(|(i, _)| i.api_version == api_version)
    }
}

impl Versions for KindVersions<'_> {
    fn schema(&self, api_version: &str) -> Option<Node<'_>> {
        self.find(api_version).map(|(i, _)| node(i))
    }
    fn convert(&self, object: &Value, api_version: &str) -> Option<Value> {
        let (to, _) = self.find(api_version)?;
        match (&self.cx.res.codec, &to.codec) {
            (Codec::Builtin(a), Codec::Builtin(b)) => {
                let stored = kinds::convert::to_storage(a.row, object.clone());
                Some(kinds::convert::from_storage(b.row, stored))
            }
            _ => {
                let mut v = object.clone();
                v.as_object_mut()?.insert("apiVersion".into(), api_version.into());
                Some(v)
            }
        }
    }
    fn filter(&self, api_version: &str) -> Option<&Filter> {
        self.find(api_version).map(|(_, f)| f)
    }
}

fn with<T>(cx: &Cx, sub: &str, manager: &str, f: impl FnOnce(&Request<'_>) -> T) -> T {
    let (filter, versions) = (filter(&cx.res, sub), KindVersions { cx, sub, all: OnceLock::new() });
    f(&Request {
        api_version: &cx.res.api_version,
        schema: node(&cx.res),
        manager,
        subresource: sub,
        now: cx.now,
        filter: &filter,
        versions: &versions,
    })
}

/// Works out the owners after an update (or create: no `live`) by `manager`. Never fails: an object whose managed
/// fields cannot be understood keeps the old ones.
pub fn on_update(cx: &Cx, sub: &str, live: Option<&Value>, obj: &mut Value, manager: &str) {
    with(cx, sub, manager, |r| patch::managed::update(r, live, obj));
}

/// Applies a configuration to the live object; the result is to be decoded and defaulted.
pub fn apply(
    cx: &Cx,
    sub: &str,
    live: Option<&Value>,
    config: &Value,
    manager: &str,
    force: bool,
) -> Result<Value> {
    with(cx, sub, manager, |r| {
        patch::managed::apply(r, &cx.res.gvk.kind, live, config, force).map_err(|e| e.status().into())
    })
}

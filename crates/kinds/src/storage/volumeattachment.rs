//! VolumeAttachments.

use crate::core::persistentvolume;
use crate::kit::*;

pub(crate) struct VolumeAttachment;

impl Strategy for VolumeAttachment {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, &mut e);
        e.immutable(&At::new("spec"), o.f("spec"), old.f("spec"));
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        row![
            o.name(),
            s.s("attacher"),
            s.v("source").s("persistentVolumeName"),
            s.s("nodeName"),
            o.bool_at("status.attached"),
            age(o, now),
        ]
    }
}

fn validate(o: &Value, e: &mut Errs) {
    let (at, s) = (At::new("spec"), o.v("spec"));
    // What names it may have is declared.
    let attacher = s.s("attacher");
    e.non_empty(&at.c("attacher"), attacher);
    if attacher.len() > 63 {
        e.too_long(&at.c("attacher"), 63);
    }
    let (source_at, source) = (at.c("source"), s.v("source"));
    const ONE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (source.set("inlineVolumeSpec"), source.os("persistentVolumeName")) {
        (None, None) => e.required(&source_at, ONE),
        (Some(_), Some(_)) => e.forbidden(&source_at, ONE),
        (None, Some("")) => {
            e.required(&source_at.c("persistentVolumeName"), "must specify non empty persistentVolumeName");
        }
        (None, Some(_)) => {}
        (Some(v), None) => {
            persistentvolume::validate_spec(v, "", true, false, &source_at.c("inlineVolumeSpec"), e);
        }
    }
    e.subdomain(&at.c("nodeName"), s.s("nodeName"));
    let (at, st) = (At::new("status"), o.v("status"));
    let size: usize =
        keys(st.o("attachmentMetadata")).map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if size > 256 << 10 {
        e.too_long(&at.c("attachmentMetadata"), 256 << 10);
    }
    for f in ["attachError", "detachError"] {
        let (at, x) = (at.c(f), st.v(f));
        if x.s("message").len() > 1024 {
            e.too_long(&at.c("message"), 1024);
        }
        if let Some(n) = x.oi("errorCode").filter(|n| *n < 0) {
            let why = names::inclusive_range_error(0, i64::from(i32::MAX));
            e.invalid(&at.c("errorCode"), n, why);
        }
    }
    if let Some(n) = source.os("persistentVolumeName") {
        e.subdomain(&At::new("spec.source.persistentVolumeName"), n);
    }
}

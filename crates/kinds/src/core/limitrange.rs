//! LimitRanges.

use crate::kit::*;
use crate::podspec::resources;
use meta::quantity::Quantity;

pub(crate) struct LimitRange;

impl Strategy for LimitRange {
    fn prepare_create(&self, cx: &Cx<'_>, o: &mut Value) {
        if o.name().is_empty() {
            let name = uuid(cx.seed);
            o.metadata_mut().insert("name".to_owned(), name.into());
        }
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o.v("spec").list("limits"), &mut e);
        e.0
    }
}

/// A version 4 UUID out of a seed.
fn uuid(seed: u64) -> String {
    let mix = |x: u64| {
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    let (a, b) =
        (mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)), mix(seed.wrapping_add(0x3c6e_f372_fe94_f82a)));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        0x8000 | ((b >> 48) & 0x3fff),
        b & 0xffff_ffff_ffff
    )
}

const LISTS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

fn validate(limits: &[Value], e: &mut Errs) {
    let at = At::new("spec.limits");
    for (i, l) in limits.iter().enumerate() {
        let at = at.i(i);
        let ty = l.s("type");
        let before = e.len();
        e.qualified(&at.c("type"), ty);
        if e.len() == before
            && !ty.contains('/')
            && !matches!(ty, "Pod" | "Container" | "PersistentVolumeClaim")
        {
            e.invalid(&at.c("type"), ty, "must be a standard limit type or fully qualified");
        }
        if limits[..i].iter().any(|x| x.s("type") == ty) {
            e.duplicate(&at.c("type"), ty);
        }
        let mut all: Vec<&str> = Vec::new();
        for f in LISTS {
            if ty == "Pod" && matches!(f, "default" | "defaultRequest") {
                if l.v(f).len_of() > 0 {
                    e.forbidden(&at.c(f), "may not be specified when `type` is 'Pod'");
                }
                continue;
            }
            if f == "maxLimitRequestRatio"
                && ty == "PersistentVolumeClaim"
                && !l.v("min").has("storage")
                && !l.v("max").has("storage")
            {
                e.required(
                    &at.c("limits"),
                    "either minimum or maximum storage value is required, but neither was provided",
                );
            }
            let at = at.c(f);
            for (k, _) in keys(l.o(f)) {
                if matches!(ty, "Pod" | "Container") {
                    resources::container_name(k, &at.k(k), e);
                } else {
                    resources::name(k, &at.k(k), e);
                }
                all.push(k);
            }
        }
        all.sort_unstable();
        all.dedup();
        for k in all {
            compare(l, ty, k, &at, e);
        }
    }
}

/// The numbers of one resource must not contradict each other.
fn compare(l: &Value, ty: &str, k: &str, at: &At<'_>, e: &mut Errs) {
    let get = |f: &str| l.v(f).set(k).map(quantity);
    let (min, max, ratio) = (get("min"), get("max"), get("maxLimitRequestRatio"));
    let (default, request) = if ty == "Pod" { (None, None) } else { (get("default"), get("defaultRequest")) };
    let pairs: [(&str, Option<Quantity>, &str, Option<Quantity>, &str, bool); 6] = [
        ("min", min, "min value", max, "max value", true),
        ("defaultRequest", min, "min value", request, "default request value", false),
        ("defaultRequest", request, "default request value", max, "max value", true),
        ("defaultRequest", request, "default request value", default, "default limit value", true),
        ("default", min, "min value", default, "default value", true),
        ("default", default, "default value", max, "max value", false),
    ];
    for (field, low, low_name, high, high_name, shows_low) in pairs {
        if let (Some(a), Some(b)) = (low, high)
            && a > b
        {
            let shown = if shows_low { a } else { b };
            let why = format!("{low_name} {a} is greater than {high_name} {b}");
            e.invalid(&at.c(field).k(k), shown.to_string(), why);
        }
    }
    let ratio_at = at.c("maxLimitRequestRatio");
    if let Some(r) = ratio {
        if r < Quantity::from_units(1, meta::quantity::Format::DecimalSi) {
            e.invalid(&ratio_at.k(k), r.to_string(), format!("ratio {r} is less than 1"));
        }
        if let (Some(min), Some(max)) = (min, max) {
            let limit = max.as_f64() / min.as_f64();
            if r.as_f64() > limit {
                let why = format!("ratio {r} is greater than max/min = {limit:.6}");
                e.invalid(&ratio_at.k(k), r.to_string(), why);
            }
        }
    }
    if let (Some(d), Some(r)) = (default, request)
        && !resources::overcommit_allowed(k)
        && d != r
    {
        let why = format!("default value {d} must equal to defaultRequest value {r} in {k}");
        e.invalid(&at.c("defaultRequest").k(k), r.to_string(), why);
    }
}

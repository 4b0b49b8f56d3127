//! ServiceCIDRs.

use crate::ip;
use crate::kit::*;

pub(crate) struct ServiceCIDR;

impl Strategy for ServiceCIDR {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o.v("spec"), &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            return e.0;
        }
        let at = At::new("spec.cidrs");
        let (new, old) = (o.v("spec").strs("cidrs"), old.v("spec").strs("cidrs"));
        let same = |e: &mut Errs, i: usize| {
            if new[i] != old[i] {
                e.invalid(&at.i(i), new[i], crate::check::IMMUTABLE);
            }
        };
        match (old.len(), new.len()) {
            (a, b) if a == b => (0..a).for_each(|i| same(&mut e, i)),
            // A second family may come.
            (1, 2) => {
                same(&mut e, 0);
                validate(o.v("spec"), &mut e);
            }
            _ => e.invalid(&at, o.v("spec").v("cidrs").clone(), crate::check::IMMUTABLE),
        }
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), o.v("spec").strs("cidrs").join(","), age(o, now)]
    }
}

fn validate(s: &Value, e: &mut Errs) {
    let at = At::new("spec.cidrs");
    let list = s.strs("cidrs");
    match list.len() {
        0 => return e.required(&at, "at least one CIDR required"),
        1 | 2 => {}
        _ => return e.invalid(&at, s.clone(), "may only hold up to 2 values"),
    }
    for (i, c) in list.iter().enumerate() {
        e.canonical_cidr(&at.i(i), c);
    }
    let family = |c: &str| ip::parse_cidr_sloppy(c).map(|(ip, _)| ip.to_canonical().is_ipv6());
    if let [a, b] = list[..]
        && family(a) == family(b)
        && family(a).is_some()
    {
        let why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        e.invalid(&at, s.v("cidrs").clone(), why);
    }
}

//! IP addresses and CIDRs as upstream's old fields take them: leading zeros were once allowed and are read (as decimal),
//! then refused for values that were not there before (apimachinery `pkg/util/validation/ip.go`).

use crate::at::{At, Errs};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address, decimal leading zeros allowed, no zone.
pub(crate) fn parse_sloppy(s: &str) -> Option<IpAddr> {
    if !s.contains(':') {
        return v4_sloppy(s).map(IpAddr::V4);
    }
    if let Ok(a) = s.parse::<Ipv6Addr>() {
        return Some(IpAddr::V6(a));
    }
    // An embedded IPv4 address may have leading zeros too.
    let (head, tail) = s.rsplit_once(':')?;
    let v4 = v4_sloppy(tail)?;
    format!("{head}:{v4}").parse().ok().map(IpAddr::V6)
}

fn v4_sloppy(s: &str) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut parts = s.split('.');
    for o in &mut octets {
        let p = parts.next()?;
        if p.is_empty() || p.len() > 8 || !p.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *o = u8::try_from(p.parse::<u32>().ok()?).ok()?;
    }
    parts.next().is_none().then_some(Ipv4Addr::from(octets))
}

/// An address and its prefix length, both sloppy.
pub(crate) fn parse_cidr_sloppy(s: &str) -> Option<(IpAddr, u8)> {
    let (ip, len) = s.split_once('/')?;
    let ip = parse_sloppy(ip)?;
    if len.is_empty() || len.len() > 8 || !len.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let len = u8::try_from(len.parse::<u32>().ok()?).ok()?;
    (len <= if ip.is_ipv4() { 32 } else { 128 }).then_some((ip, len))
}

fn is_mapped(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(a) if a.to_ipv4_mapped().is_some())
}

/// Go's text of an address: IPv4-mapped ones in IPv4 form.
pub(crate) fn text(ip: IpAddr) -> String {
    ip.to_canonical().to_string()
}

pub(crate) fn is_v6(s: &str) -> bool {
    parse_sloppy(s).is_some_and(|ip| ip.to_canonical().is_ipv6())
}

/// The address with the bits beyond the prefix cleared.
fn masked(ip: IpAddr, len: u8) -> IpAddr {
    match ip {
        IpAddr::V4(a) => {
            let m = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(a) & m))
        }
        IpAddr::V6(a) => {
            let m = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(a) & m))
        }
    }
}

/// Whether a list of addresses or CIDRs has exactly both families; an unparsable one gives `None`.
pub(crate) fn dual_stack(list: &[&str]) -> Option<bool> {
    let (mut v4, mut v6) = (false, false);
    for s in list {
        let ip = parse_cidr_sloppy(s).map(|c| c.0).or_else(|| parse_sloppy(s))?;
        if ip.to_canonical().is_ipv6() { v6 = true } else { v4 = true }
    }
    Some(v4 && v6)
}

/// Whether a range is a part of another, and not all of it.
pub(crate) fn strictly_within(part: (IpAddr, u8), whole: (IpAddr, u8)) -> bool {
    let same_family = part.0.is_ipv6() == whole.0.is_ipv6();
    same_family && whole.1 < part.1 && masked(part.0, whole.1) == masked(whole.0, whole.1)
}

impl Errs {
    /// An address in a field that once took sloppy ones; those in `old` stay valid.
    pub(crate) fn legacy_ip(&mut self, at: &At<'_>, value: &str, old: &[&str]) -> bool {
        if old.contains(&value) {
            return true;
        }
        self.strict_ip(at, value).is_some()
    }

    fn strict_ip(&mut self, at: &At<'_>, value: &str) -> Option<IpAddr> {
        let Some(ip) = parse_sloppy(value) else {
            self.invalid(at, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
            return None;
        };
        if value.parse::<IpAddr>().is_err() {
            self.invalid(at, value, "must not have leading 0s");
            return None;
        }
        if is_mapped(&ip) {
            self.invalid(at, value, "must not be an IPv4-mapped IPv6 address");
            return None;
        }
        Some(ip)
    }

    /// An address in canonical form.
    pub(crate) fn canonical_ip(&mut self, at: &At<'_>, value: &str) -> bool {
        let Some(ip) = self.strict_ip(at, value) else { return false };
        if text(ip) != value {
            self.invalid(at, value, format!("must be in canonical form ({:?})", text(ip)));
            return false;
        }
        true
    }

    pub(crate) fn legacy_cidr(&mut self, at: &At<'_>, value: &str, old: &[&str]) -> bool {
        old.contains(&value) || self.strict_cidr(at, value).is_some()
    }

    fn strict_cidr(&mut self, at: &At<'_>, value: &str) -> Option<(IpAddr, u8)> {
        let Some((ip, len)) = parse_cidr_sloppy(value) else {
            self.invalid(at, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
            return None;
        };
        let strict = value
            .split_once('/')
            .is_some_and(|(ip, len)| ip.parse::<IpAddr>().is_ok() && (len == "0" || !len.starts_with('0')));
        let why = if !strict {
            "must not have leading 0s in IP or prefix length"
        } else if is_mapped(&ip) {
            "must not have an IPv4-mapped IPv6 address"
        } else if masked(ip, len) != ip {
            "must not have bits set beyond the prefix length"
        } else {
            return Some((ip, len));
        };
        self.invalid(at, value, why);
        None
    }

    pub(crate) fn canonical_cidr(&mut self, at: &At<'_>, value: &str) -> bool {
        let Some((ip, len)) = self.strict_cidr(at, value) else { return false };
        let want = format!("{}/{len}", text(ip));
        if want != value {
            self.invalid(at, value, format!("must be in canonical form ({want:?})"));
            return false;
        }
        true
    }

    /// An address that endpoints may have: none of the ranges that mean this host or this link.
    pub(crate) fn endpoint_ip(&mut self, at: &At<'_>, value: &str) {
        let Some(ip) = parse_sloppy(value) else {
            self.invalid(at, value, "must be a valid IP address");
            return;
        };
        let ip = ip.to_canonical();
        let (link, link_multicast) = match ip {
            IpAddr::V4(a) => (a.is_link_local(), a.octets()[..3] == [224, 0, 0]),
            IpAddr::V6(a) => {
                let s = a.segments()[0];
                (s & 0xffc0 == 0xfe80, s & 0xff0f == 0xff02)
            }
        };
        for (bad, why) in [
            (ip.is_unspecified(), format!("may not be unspecified ({value})")),
            (ip.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned()),
            (link, "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned()),
            (
                link_multicast,
                "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned(),
            ),
        ] {
            if bad {
                self.invalid(at, value, why);
            }
        }
    }
}

/// Warnings for an address that is valid but not written as it should be.
pub(crate) fn ip_warnings(at: &At<'_>, value: &str) -> Vec<String> {
    let Some(ip) = parse_sloppy(value) else { return Vec::new() };
    match value.parse::<IpAddr>() {
        Ok(a) if !is_mapped(&a) => {
            if a.is_ipv6() && a.to_string() != value {
                vec![format!(
                    "{at}: IPv6 address {value:?} should be in RFC 5952 canonical format ({:?})",
                    a.to_string()
                )]
            } else {
                Vec::new()
            }
        }
        _ => vec![format!("{at}: non-standard IP address {value:?} is invalid: use {:?}", text(ip))],
    }
}

/// Warnings for a CIDR that is valid but not written as it should be.
pub(crate) fn cidr_warnings(at: &At<'_>, value: &str) -> Vec<String> {
    let Some((ip, len)) = parse_cidr_sloppy(value) else { return Vec::new() };
    let net = masked(ip, len);
    let shown = |ip: IpAddr| format!("{}/{}", text(ip), len);
    let mut out = Vec::new();
    if net != ip {
        let single = format!("{}/{}", text(ip), if ip.is_ipv4() { 32 } else { 128 });
        out.push(format!(
            "{at}: CIDR value {value:?} is ambiguous in this context (should be {:?} or {single:?}?)",
            shown(net)
        ));
    }
    let strict = value
        .split_once('/')
        .and_then(|(a, l)| Some((a.parse::<IpAddr>().ok()?, l)))
        .filter(|(a, l)| !is_mapped(a) && (*l == "0" || !l.starts_with('0')));
    match strict {
        None => {
            out.push(format!("{at}: non-standard CIDR value {value:?} is invalid: use {:?}", shown(net)));
        }
        Some((a, _)) if out.is_empty() && a.is_ipv6() && format!("{a}/{len}") != value => out.push(format!(
            "{at}: IPv6 CIDR value {value:?} should be in RFC 5952 canonical format ({:?})",
            format!("{a}/{len}")
        )),
        Some(_) => {}
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(f: impl Fn(&mut Errs)) -> String {
        let mut e = Errs::default();
        f(&mut e);
        e.0.iter().map(|e| e.body()).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn addresses() {
        let at = At::new("ip");
        for (ip, want) in [
            ("10.0.0.1", ""),
            ("::1", ""),
            ("010.0.0.1", r#"Invalid value: "010.0.0.1": must not have leading 0s"#),
            ("::ffff:1.2.3.4", r#"Invalid value: "::ffff:1.2.3.4": must not be an IPv4-mapped IPv6 address"#),
            (
                "1.2.3",
                r#"Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#,
            ),
            (
                "fe80::1%eth0",
                r#"Invalid value: "fe80::1%eth0": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#,
            ),
        ] {
            assert_eq!(check(|e| _ = e.legacy_ip(&at, ip, &[])), want, "{ip}");
            assert_eq!(check(|e| _ = e.legacy_ip(&at, ip, &[ip])), "", "{ip}");
        }
        assert_eq!(
            check(|e| _ = e.canonical_ip(&at, "2001:DB8::0")),
            r#"Invalid value: "2001:DB8::0": must be in canonical form ("2001:db8::")"#
        );
    }

    #[test]
    fn cidrs() {
        let at = At::new("cidr");
        for (cidr, want) in [
            ("10.0.0.0/8", ""),
            ("::/0", ""),
            ("10.0.0.1/8", r#"Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length"#),
            (
                "10.0.0.0/08",
                r#"Invalid value: "10.0.0.0/08": must not have leading 0s in IP or prefix length"#,
            ),
            (
                "10.0.0.0",
                r#"Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"#,
            ),
            (
                "10.0.0.0/33",
                r#"Invalid value: "10.0.0.0/33": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"#,
            ),
        ] {
            assert_eq!(check(|e| _ = e.legacy_cidr(&at, cidr, &[])), want, "{cidr}");
        }
    }
}

//! Addresses and networks (apiserver `pkg/cel/library/{ip,cidr}.go`).

use crate::Value;
use crate::eval::{Eval, EvalError};
use crate::value::Opaque;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip(pub IpAddr);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub addr: Ip,
    pub bits: u32,
}

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.bits)
    }
}

fn quoted(s: &str) -> String {
    meta::field::quote(s)
}

/// Why a text is no address, as Go's `netip` says it.
fn why(s: &str) -> &'static str {
    for c in s.chars() {
        match c {
            '.' => return why_v4(s),
            ':' => return "unexpected character",
            '%' => return "missing IPv6 address",
            _ => {}
        }
    }
    "unable to parse IP"
}

fn why_v4(s: &str) -> &'static str {
    let (mut value, mut digits, mut fields) = (0u32, 0, 1);
    for c in s.bytes() {
        match c {
            b'0'..=b'9' => {
                if digits == 1 && value == 0 {
                    return "IPv4 field has octet with leading zero";
                }
                value = value * 10 + u32::from(c - b'0');
                digits += 1;
                if value > 255 {
                    return "IPv4 field has value >255";
                }
            }
            b'.' => {
                if digits == 0 {
                    return "IPv4 field must have at least one digit";
                }
                if fields == 4 {
                    return "IPv4 address too long";
                }
                fields += 1;
                (value, digits) = (0, 0);
            }
            _ => return "unexpected character",
        }
    }
    if fields < 4 { "IPv4 address too short" } else { "IPv4 field must have at least one digit" }
}

impl Ip {
    pub fn parse(s: &str) -> Result<Self, String> {
        let (addr, zone) = match s.split_once('%') {
            Some((a, z)) => (a, Some(z)),
            None => (s, None),
        };
        let parsed: Option<IpAddr> = addr.parse().ok();
        match (parsed, zone) {
            (Some(IpAddr::V6(_)), Some(z)) if !z.is_empty() => {
                Err(format!("IP address {} with zone value is not allowed", quoted(s)))
            }
            (Some(IpAddr::V6(a)), None) if a.to_ipv4_mapped().is_some() => {
                Err(format!("IPv4-mapped IPv6 address {} is not allowed", quoted(s)))
            }
            (Some(a), None) => Ok(Self(a)),
            _ => Err(format!(
                "IP Address {} parse error during conversion from string: ParseAddr({}): {}",
                quoted(s),
                quoted(s),
                why(s)
            )),
        }
    }

    pub fn bytes(&self) -> u64 {
        if self.0.is_ipv4() { 4 } else { 16 }
    }

    fn number(&self) -> u128 {
        match self.0 {
            IpAddr::V4(a) => u128::from(u32::from(a)),
            IpAddr::V6(a) => u128::from(a),
        }
    }

    fn width(&self) -> u32 {
        if self.0.is_ipv4() { 32 } else { 128 }
    }

    fn is_link_local_multicast(&self) -> bool {
        match self.0 {
            IpAddr::V4(a) => a.octets()[..3] == [224, 0, 0],
            IpAddr::V6(a) => a.segments()[0] & 0xff0f == 0xff02,
        }
    }

    fn is_link_local_unicast(&self) -> bool {
        match self.0 {
            IpAddr::V4(a) => a.is_link_local(),
            IpAddr::V6(a) => a.segments()[0] & 0xffc0 == 0xfe80,
        }
    }

    fn is_global_unicast(&self) -> bool {
        let broadcast = matches!(self.0, IpAddr::V4(a) if a.is_broadcast());
        !broadcast
            && !self.0.is_unspecified()
            && !self.0.is_loopback()
            && !self.0.is_multicast()
            && !self.is_link_local_unicast()
    }
}

impl Cidr {
    pub fn parse(s: &str) -> Result<Self, String> {
        let fail = |what: &str| {
            format!(
                "network address parse error during conversion from string: netip.ParsePrefix({}): {what}",
                quoted(s)
            )
        };
        let (addr, bits) = s.rsplit_once('/').ok_or_else(|| fail("no '/'"))?;
        let ip: IpAddr = addr.parse().map_err(|_| {
            if addr.contains('%') {
                fail("IPv6 zones cannot be present in a prefix")
            } else {
                fail(&format!("ParseAddr({}): {}", quoted(addr), why(addr)))
            }
        })?;
        let ip = Ip(ip);
        if bits.is_empty()
            || !bits.bytes().all(|b| b.is_ascii_digit())
            || (bits.len() > 1 && bits.starts_with('0'))
        {
            return Err(fail(&format!("bad bits after slash: {}", quoted(bits))));
        }
        let n: u32 = bits
            .parse()
            .ok()
            .filter(|n| *n <= ip.width())
            .ok_or_else(|| fail("prefix length out of range"))?;
        if matches!(ip.0, IpAddr::V6(a) if a.to_ipv4_mapped().is_some()) {
            return Err(format!("IPv4-mapped IPv6 address {} is not allowed", quoted(s)));
        }
        Ok(Self { addr: ip, bits: n })
    }

    pub fn bytes(&self) -> u64 {
        u64::from(self.bits.div_ceil(8))
    }

    fn network(&self, of: &Ip) -> u128 {
        let host = of.width() - self.bits;
        of.number().checked_shr(host).unwrap_or(0)
    }

    fn contains(&self, ip: &Ip) -> bool {
        self.addr.width() == ip.width() && self.network(&self.addr) == self.network(ip)
    }

    fn masked(&self) -> Self {
        let host = self.addr.width() - self.bits;
        let n = self.addr.number().checked_shr(host).unwrap_or(0).checked_shl(host).unwrap_or(0);
        let addr = match self.addr.0 {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(n).unwrap_or(0))),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(n)),
        };
        Self { addr: Ip(addr), bits: self.bits }
    }
}

/// Functions from a text.
pub fn parse(f: &str, s: &str) -> Option<Eval> {
    Some(match f {
        "ip" => Ip::parse(s).map(|ip| Opaque::Ip(ip).into()).map_err(EvalError::new),
        "isIP" => Ok(Value::Bool(Ip::parse(s).is_ok())),
        "ip.isCanonical" => Ip::parse(s).map(|ip| Value::Bool(ip.to_string() == s)).map_err(EvalError::new),
        "cidr" => cidr(s),
        "isCIDR" => Ok(Value::Bool(Cidr::parse(s).is_ok())),
        _ => return None,
    })
}

fn cidr(s: &str) -> Eval {
    Cidr::parse(s).map(|c| Opaque::Cidr(c).into()).map_err(|e| {
        EvalError::new(format!("network address parse error during conversion from string: {e}"))
    })
}

pub fn of_ip(f: &str, ip: &Ip) -> Option<Eval> {
    Some(Ok(Value::Bool(match f {
        "family" => return Some(Ok(Value::Int(if ip.0.is_ipv4() { 4 } else { 6 }))),
        "isUnspecified" => ip.0.is_unspecified(),
        "isLoopback" => ip.0.is_loopback(),
        "isLinkLocalMulticast" => ip.is_link_local_multicast(),
        "isLinkLocalUnicast" => ip.is_link_local_unicast(),
        "isGlobalUnicast" => ip.is_global_unicast(),
        _ => return None,
    })))
}

pub fn of_cidr(f: &str, c: &Cidr) -> Option<Eval> {
    Some(Ok(match f {
        "ip" => Opaque::Ip(c.addr).into(),
        "prefixLength" => Value::Int(i64::from(c.bits)),
        "masked" => Opaque::Cidr(c.masked()).into(),
        _ => return None,
    }))
}

/// `containsIP`, `containsCIDR`
pub fn contains(f: &str, c: &Cidr, other: &Value) -> Option<Eval> {
    let parsed;
    let other = match other {
        Value::Opaque(o) => o.as_ref(),
        Value::String(s) => {
            let r = match f {
                // Upstream loses what is wrong with the address.
                "containsIP" => Ip::parse(s).map(Opaque::Ip).map_err(|_| EvalError::no_overload()),
                "containsCIDR" => Cidr::parse(s).map(Opaque::Cidr).map_err(|e| {
                    EvalError::new(format!("network address parse error during conversion from string: {e}"))
                }),
                _ => return None,
            };
            match r {
                Ok(o) => {
                    parsed = o;
                    &parsed
                }
                Err(e) => return Some(Err(e)),
            }
        }
        _ => return None,
    };
    Some(Ok(Value::Bool(match (f, other) {
        ("containsIP", Opaque::Ip(ip)) => c.contains(ip),
        ("containsCIDR", Opaque::Cidr(o)) => c.bits <= o.bits && c.contains(&o.addr),
        _ => return None,
    })))
}

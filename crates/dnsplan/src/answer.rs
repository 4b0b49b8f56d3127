//! Looking a question up in the zone.

use crate::zone::{Host, Target, Zone};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    A,
    Aaaa,
    Srv,
    Ptr,
    Txt,
    Cname,
    Soa,
    Ns,
    Any,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    /// Port and target.
    Srv(u16, String),
    Ptr(String),
    Txt(String),
    Cname(String),
    /// The zone's own; its fields are the server's to fill in.
    Soa,
    Ns(String),
}

/// A record; names are absolute, lower case, without the dot at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub name: String,
    pub data: Data,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The answer, and the addresses of SRV targets for the additional section. No answers: the name exists, without such
    /// records.
    Found {
        answers: Vec<Record>,
        additional: Vec<Record>,
    },
    NoSuchName,
    /// An alias that leads out of the zone: the rest of the way is for whoever forwards.
    Elsewhere {
        alias: Record,
    },
    /// Not a name of this zone.
    NotOurs,
}

fn address(name: &str, ip: &IpAddr, kind: Kind) -> Option<Record> {
    let data = match (ip, kind) {
        (IpAddr::V4(a), Kind::A | Kind::Any) => Data::A(*a),
        (IpAddr::V6(a), Kind::Aaaa | Kind::Any) => Data::Aaaa(*a),
        _ => return None,
    };
    Some(Record { name: name.to_owned(), data })
}

fn found(answers: Vec<Record>) -> Answer {
    Answer::Found { answers, additional: Vec::new() }
}

fn addresses<'a>(name: &str, ips: impl Iterator<Item = &'a IpAddr>, kind: Kind) -> Answer {
    found(ips.filter_map(|ip| address(name, ip, kind)).collect())
}

impl Zone {
    /// Answers a question; `name` absolute, in any case, with or without the dot at the end.
    pub fn answer(&self, name: &str, kind: Kind) -> Answer {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if name.ends_with(".in-addr.arpa") || name.ends_with(".ip6.arpa") {
            return self.reverse(&name, kind);
        }
        if name == self.domain {
            let data = match kind {
                Kind::Soa | Kind::Any => Data::Soa,
                Kind::Ns => Data::Ns(format!("ns.dns.{}", self.domain)),
                _ => return found(Vec::new()),
            };
            return found(vec![Record { name, data }]);
        }
        let Some(rest) = name.strip_suffix(&self.domain).and_then(|r| r.strip_suffix('.')) else {
            return Answer::NotOurs;
        };
        let labels: Vec<&str> = rest.split('.').collect();
        let known = |ns: &str| self.namespaces.contains(ns) || self.services.contains_key(ns);
        let exists = |yes: bool| if yes { found(Vec::new()) } else { Answer::NoSuchName };
        match labels.as_slice() {
            ["dns-version"] => found(match kind {
                Kind::Txt | Kind::Any => {
                    vec![Record { name: name.clone(), data: Data::Txt("1.1.0".to_owned()) }]
                }
                _ => Vec::new(),
            }),
            ["svc" | "pod"] => found(Vec::new()),
            [ns, "svc" | "pod"] => exists(known(ns)),
            [ip, ns, "pod"] => match undashed(ip).filter(|_| known(ns)) {
                Some(ip) => addresses(&name, std::iter::once(&ip), kind),
                None => Answer::NoSuchName,
            },
            [.., svc, ns, "svc"] => {
                let Some(t) = self.services.get(*ns).and_then(|m| m.get(*svc)) else {
                    return Answer::NoSuchName;
                };
                self.service(
                    &name,
                    &format!("{svc}.{ns}.svc.{}", self.domain),
                    t,
                    &labels[..labels.len() - 3],
                    kind,
                )
            }
            _ => Answer::NoSuchName,
        }
    }

    /// `before` are the labels in front of the service's own.
    fn service(&self, name: &str, own: &str, t: &Target, before: &[&str], kind: Kind) -> Answer {
        match (before, t) {
            ([], Target::External(to)) => self.alias(name, to, kind),
            ([], Target::Cluster { ips, .. }) if kind != Kind::Srv => addresses(name, ips.iter(), kind),
            ([], Target::Headless(hosts)) if kind != Kind::Srv && !hosts.is_empty() => {
                addresses(name, hosts.iter().map(|h| &h.ip), kind)
            }
            ([], _) => srv(name, own, t, None),
            ([port, protocol], _) if port.starts_with('_') && protocol.starts_with('_') => {
                match srv(name, own, t, Some((&port[1..], &protocol[1..]))) {
                    Answer::Found { .. } if !matches!(kind, Kind::Srv | Kind::Any) => found(Vec::new()),
                    other => other,
                }
            }
            ([label], Target::Headless(hosts)) => {
                let mine: Vec<&Host> = hosts.iter().filter(|h| h.label == *label).collect();
                if mine.is_empty() {
                    Answer::NoSuchName
                } else {
                    addresses(name, mine.iter().map(|h| &h.ip), kind)
                }
            }
            // `_tcp.web…`: there is something below it.
            ([p], _) if p.starts_with('_') => match srv(name, own, t, None) {
                Answer::Found { answers, .. } if !answers.is_empty() => found(Vec::new()),
                _ => Answer::NoSuchName,
            },
            _ => Answer::NoSuchName,
        }
    }

    /// An alias is followed inside the zone; it cannot loop, since a service's alias is followed once.
    fn alias(&self, name: &str, to: &str, kind: Kind) -> Answer {
        let alias = Record { name: name.to_owned(), data: Data::Cname(to.to_owned()) };
        if kind == Kind::Cname {
            return found(vec![alias]);
        }
        let Some(rest) = to.strip_suffix(&self.domain).and_then(|r| r.strip_suffix('.')) else {
            return Answer::Elsewhere { alias };
        };
        let labels: Vec<&str> = rest.split('.').collect();
        let next = match labels.as_slice() {
            [svc, ns, "svc"] => self.services.get(*ns).and_then(|m| m.get(*svc)),
            _ => None,
        };
        let mut answers = vec![alias];
        if !matches!(next, Some(Target::External(_)) | None)
            && let Answer::Found { answers: more, .. } = self.answer(to, kind)
        {
            answers.extend(more);
        }
        found(answers)
    }

    fn reverse(&self, name: &str, kind: Kind) -> Answer {
        let Some(ip) = from_arpa(name) else { return Answer::NotOurs };
        let Some(names) = self.reverse.get(&ip) else { return Answer::NotOurs };
        if !matches!(kind, Kind::Ptr | Kind::Any) {
            return found(Vec::new());
        }
        let records = names.iter().map(|(ns, svc, label)| {
            let own = format!("{svc}.{ns}.svc.{}", self.domain);
            let to = if label.is_empty() { own } else { format!("{label}.{own}") };
            Record { name: name.to_owned(), data: Data::Ptr(to) }
        });
        found(records.collect())
    }
}

/// SRV records of all ports, or of one named port and protocol; no such port is no such name.
fn srv(name: &str, own: &str, t: &Target, want: Option<(&str, &str)>) -> Answer {
    let wanted = |p: &&(String, String, u16)| want.is_none_or(|(n, proto)| p.0 == n && p.1 == proto);
    let named = |p: &&(String, String, u16)| want.is_some() || !p.0.is_empty();
    let (mut answers, mut additional) = (Vec::new(), Vec::new());
    let mut put = |ports: &[(String, String, u16)], target: &str, ips: &[IpAddr]| {
        let before = answers.len();
        for p in ports.iter().filter(wanted).filter(named) {
            answers.push(Record { name: name.to_owned(), data: Data::Srv(p.2, target.to_owned()) });
        }
        if answers.len() > before {
            additional.extend(ips.iter().filter_map(|ip| address(target, ip, Kind::Any)));
        }
    };
    match t {
        Target::Cluster { ips, ports } => put(ports, own, ips),
        Target::Headless(hosts) => {
            for h in hosts {
                put(&h.ports, &format!("{}.{own}", h.label), &[h.ip]);
            }
        }
        Target::External(_) => {}
    }
    let empty_headless = matches!(t, Target::Headless(h) if h.is_empty());
    if answers.is_empty() && (want.is_some() || empty_headless) {
        return Answer::NoSuchName;
    }
    Answer::Found { answers, additional }
}

/// `10-244-0-7`, `fd00--1`.
fn undashed(label: &str) -> Option<IpAddr> {
    label
        .replace('-', ".")
        .parse::<Ipv4Addr>()
        .map(IpAddr::V4)
        .ok()
        .or_else(|| label.replace('-', ":").parse().ok())
}

fn from_arpa(name: &str) -> Option<IpAddr> {
    if let Some(v4) = name.strip_suffix(".in-addr.arpa") {
        let parts: Vec<&str> = v4.split('.').rev().collect();
        return (parts.len() == 4).then(|| parts.join(".").parse().ok())?;
    }
    let nibbles: Vec<u8> = name
        .strip_suffix(".ip6.arpa")?
        .split('.')
        .rev()
        .map(|n| u8::from_str_radix(n, 16).ok())
        .collect::<Option<_>>()?;
    if nibbles.len() != 32 || nibbles.iter().any(|n| *n > 15) {
        return None;
    }
    let mut bytes = [0; 16];
    for (i, n) in nibbles.iter().enumerate() {
        bytes[i / 2] = bytes[i / 2] << 4 | n;
    }
    Some(IpAddr::from(bytes))
}

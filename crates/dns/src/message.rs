//! Wire messages: parsing a query, answering it from the zone, cutting an answer to size. Pure. The one place that knows
//! hickory-proto.

use dnsplan::{Answer, Data, Kind, Record as Rec, Zone};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// Seconds that cluster records live in resolvers: CoreDNS's default.
pub const TTL: u32 = 5;
/// The largest datagram we send or say we take.
const MAX_UDP: u16 = 1232;

/// What to do with a query.
pub enum Todo {
    /// Send this.
    Reply(Box<Message>),
    /// Ask the upstream servers; with an alias, put it in front of their answer to the aliased name.
    Forward { query: Box<Message>, alias: Option<Box<Record>> },
    /// Nothing can be answered to it.
    Ignore,
}

fn kind(t: RecordType) -> Kind {
    match t {
        RecordType::A => Kind::A,
        RecordType::AAAA => Kind::Aaaa,
        RecordType::SRV => Kind::Srv,
        RecordType::PTR => Kind::Ptr,
        RecordType::TXT => Kind::Txt,
        RecordType::CNAME => Kind::Cname,
        RecordType::SOA => Kind::Soa,
        RecordType::NS => Kind::Ns,
        RecordType::ANY => Kind::Any,
        _ => Kind::Other,
    }
}

fn name(s: &str) -> Option<Name> {
    let mut n = Name::from_ascii(s).ok()?;
    n.set_fqdn(true);
    Some(n)
}

fn record(r: &Rec, owner: Option<&Name>) -> Option<Record> {
    let data = match &r.data {
        Data::A(a) => RData::A(A(*a)),
        Data::Aaaa(a) => RData::AAAA(AAAA(*a)),
        Data::Srv(port, to) => RData::SRV(SRV::new(0, 100, *port, name(to)?)),
        Data::Ptr(to) => RData::PTR(PTR(name(to)?)),
        Data::Cname(to) => RData::CNAME(CNAME(name(to)?)),
        Data::Txt(t) => RData::TXT(TXT::new(vec![t.clone()])),
        Data::Ns(to) => RData::NS(NS(name(to)?)),
        Data::Soa => return soa(&r.name),
    };
    // The owner is repeated in the case that was asked with: some resolvers check it.
    let owner = match owner {
        Some(o) if o.to_ascii().trim_end_matches('.').eq_ignore_ascii_case(&r.name) => o.clone(),
        _ => name(&r.name)?,
    };
    Some(Record::from_rdata(owner, TTL, data))
}

/// The zone's start of authority: what negative answers carry, so that resolvers remember them for a while.
fn soa(domain: &str) -> Option<Record> {
    let at = name(domain)?;
    let soa = SOA::new(
        name(&format!("ns.dns.{domain}"))?,
        name(&format!("hostmaster.{domain}"))?,
        1,
        7200,
        1800,
        86_400,
        TTL,
    );
    Some(Record::from_rdata(at, TTL, RData::SOA(soa)))
}

/// An empty answer to a query.
pub fn response(query: &Message, code: ResponseCode) -> Message {
    let mut m = Message::response(query.metadata.id, query.metadata.op_code);
    m.metadata.recursion_desired = query.metadata.recursion_desired;
    m.metadata.recursion_available = true;
    m.metadata.response_code = code;
    for q in &query.queries {
        m.add_query(q.clone());
    }
    if query.edns.is_some() {
        let mut e = Edns::new();
        e.set_max_payload(MAX_UDP);
        m.set_edns(e);
    }
    m
}

fn reply(m: Message) -> Todo {
    Todo::Reply(Box::new(m))
}

/// Decides about one query. `rotate` turns the order of equal answers, so that clients spread.
pub fn decide(zone: &Zone, bytes: &[u8], rotate: usize) -> Todo {
    let Ok(query) = Message::from_vec(bytes) else {
        // Without a readable header there is nobody to answer to.
        return match bytes {
            [a, b, flags, ..] if bytes.len() >= 12 && flags & 0x80 == 0 => {
                reply(Message::error_msg(u16::from_be_bytes([*a, *b]), OpCode::Query, ResponseCode::FormErr))
            }
            _ => Todo::Ignore,
        };
    };
    if query.metadata.message_type != MessageType::Query {
        return Todo::Ignore;
    }
    if query.metadata.op_code != OpCode::Query {
        return reply(response(&query, ResponseCode::NotImp));
    }
    let [q] = query.queries.as_slice() else { return reply(response(&query, ResponseCode::FormErr)) };
    if query.edns.as_ref().is_some_and(|e| e.version() > 0) {
        return reply(response(&query, ResponseCode::BADVERS));
    }
    if q.query_class() != DNSClass::IN {
        return reply(response(&query, ResponseCode::Refused));
    }
    let asked = q.name().clone();
    let (code, mut answers, additional) = match zone.answer(&asked.to_ascii(), kind(q.query_type())) {
        Answer::NotOurs => return Todo::Forward { query: Box::new(query), alias: None },
        Answer::Elsewhere { alias } => {
            let target = if let Data::Cname(to) = &alias.data { name(to) } else { None };
            let (Some(cname), Some(target)) = (record(&alias, Some(&asked)), target) else {
                return reply(response(&query, ResponseCode::ServFail));
            };
            let mut onward = query.clone();
            for q in &mut onward.queries {
                q.set_name(target.clone());
            }
            return Todo::Forward { query: Box::new(onward), alias: Some(Box::new(cname)) };
        }
        Answer::NoSuchName => (ResponseCode::NXDomain, Vec::new(), Vec::new()),
        Answer::Found { answers, additional } => (ResponseCode::NoError, answers, additional),
    };
    if let Some(first) = answers.iter().position(|r| !matches!(r.data, Data::Cname(_))) {
        let rest = &mut answers[first..];
        rest.rotate_left(rotate % rest.len());
    }
    let mut m = response(&query, code);
    m.metadata.authoritative = true;
    m.add_answers(answers.iter().filter_map(|r| record(r, Some(&asked))));
    m.add_additionals(additional.iter().filter_map(|r| record(r, None)));
    if m.answers.is_empty()
        && let Some(soa) = soa(&zone.domain)
    {
        m.add_authority(soa);
    }
    reply(m)
}

/// The bytes of an answer; for UDP no longer than the client takes, else marked as cut so that it comes back by TCP.
pub fn encode(m: &Message, query: &[u8], udp: bool) -> Option<Vec<u8>> {
    let bytes = m.to_vec().ok()?;
    let limit = if udp {
        usize::from(Message::from_vec(query).map_or(512, |q| q.max_payload()).min(MAX_UDP))
    } else {
        usize::from(u16::MAX)
    };
    if bytes.len() <= limit {
        return Some(bytes);
    }
    let mut cut = m.clone();
    cut.additionals.clear();
    cut.metadata.truncation = true;
    // As many whole records as fit: a client that does not retry by TCP still gets addresses.
    loop {
        let bytes = cut.to_vec().ok()?;
        if bytes.len() <= limit {
            return Some(bytes);
        }
        let keep = cut.answers.len() / 2;
        if cut.answers.is_empty() {
            return None;
        }
        cut.answers.truncate(keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::Query;
    use serde_json::json;

    fn zone(endpoints: usize) -> Zone {
        let mut z = Zone::new("cluster.local");
        let s = serde_json::from_value(json!({"spec": {"clusterIP": "None"}})).unwrap();
        let e: Vec<_> = (0..endpoints)
            .map(|i| json!({"addresses": [format!("10.244.{}.{}", i / 200, i % 200)]}))
            .collect();
        let slice = serde_json::from_value(json!({"addressType": "IPv4", "endpoints": e})).unwrap();
        z.set("a", "db", Some(&s), &[slice]);
        let s =
            serde_json::from_value(json!({"spec": {"type": "ExternalName", "externalName": "example.com"}}))
                .unwrap();
        z.set("a", "out", Some(&s), &[]);
        z
    }

    fn query(n: &str, t: RecordType) -> Vec<u8> {
        let mut m = Message::new(7, MessageType::Query, OpCode::Query);
        m.add_query(Query::query(Name::from_ascii(n).unwrap(), t));
        m.to_vec().unwrap()
    }

    fn answered(z: &Zone, bytes: &[u8]) -> Message {
        match decide(z, bytes, 1) {
            Todo::Reply(m) => *m,
            _ => panic!("not answered here"),
        }
    }

    #[test]
    fn answers_keep_the_case_asked_with_and_negative_ones_carry_the_authority() {
        let m = answered(&zone(2), &query("DB.a.svc.Cluster.local.", RecordType::A));
        assert_eq!(
            (m.answers.len(), m.metadata.response_code, m.metadata.authoritative),
            (2, ResponseCode::NoError, true)
        );
        assert!(m.answers.iter().all(|r| r.name.to_ascii() == "DB.a.svc.Cluster.local."));
        let m = answered(&zone(2), &query("nope.a.svc.cluster.local.", RecordType::A));
        assert_eq!((m.metadata.response_code, m.authorities.len()), (ResponseCode::NXDomain, 1));
    }

    #[test]
    fn what_is_too_long_for_a_datagram_is_cut_and_says_so() {
        let (z, q) = (zone(300), query("db.a.svc.cluster.local.", RecordType::A));
        let m = answered(&z, &q);
        let udp = encode(&m, &q, true).unwrap();
        assert!(udp.len() <= 512);
        assert!(Message::from_vec(&udp).unwrap().metadata.truncation);
        let tcp = Message::from_vec(&encode(&m, &q, false).unwrap()).unwrap();
        assert_eq!((tcp.answers.len(), tcp.metadata.truncation), (300, false));
    }

    #[test]
    fn an_alias_out_of_the_cluster_is_asked_for_elsewhere() {
        let Todo::Forward { query, alias } =
            decide(&zone(0), &query("out.a.svc.cluster.local.", RecordType::A), 0)
        else {
            panic!("should be forwarded")
        };
        assert_eq!(query.queries[0].name().to_ascii(), "example.com.");
        assert!(alias.is_some());
    }

    #[test]
    fn rubbish_is_refused_or_ignored() {
        let z = zone(0);
        assert!(matches!(decide(&z, b"", 0), Todo::Ignore));
        assert!(matches!(decide(&z, &[0xff; 40], 0), Todo::Ignore));
        let mut q = query("db.a.svc.cluster.local.", RecordType::A);
        q.truncate(14);
        assert_eq!(answered(&z, &q).metadata.response_code, ResponseCode::FormErr);
    }
}

//! Questions and answers.

use super::*;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

fn set(z: &mut Zone, name: &str, spec: Value, slices: Value) {
    let s =
        serde_json::from_value(json!({"metadata": {"namespace": "a", "name": name}, "spec": spec})).unwrap();
    z.set("a", name, Some(&s), &serde_json::from_value::<Vec<_>>(slices).unwrap());
}

fn zone() -> Zone {
    let mut z = Zone::new("cluster.local");
    z.set_namespace("a", true);
    set(
        &mut z,
        "web",
        json!({"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "fd00::9"], "ports": [{"name": "http", "port": 80}]}),
        json!([]),
    );
    set(
        &mut z,
        "db",
        json!({"clusterIP": "None"}),
        json!([{"addressType": "IPv4", "ports": [{"name": "sql", "port": 5432}], "endpoints": [
            {"addresses": ["10.244.0.2"], "hostname": "db-0", "conditions": {"ready": true}},
            {"addresses": ["10.244.1.2"], "conditions": {"ready": true}},
            {"addresses": ["10.244.1.3"], "hostname": "db-2", "conditions": {"ready": false}}]}]),
    );
    set(&mut z, "none", json!({"clusterIP": "None"}), json!([]));
    set(&mut z, "out", json!({"type": "ExternalName", "externalName": "example.com"}), json!([]));
    set(&mut z, "in", json!({"type": "ExternalName", "externalName": "web.a.svc.cluster.local"}), json!([]));
    z
}

fn show(a: &Answer) -> String {
    let line = |r: &Record| format!("{} {:?}", r.name, r.data);
    match a {
        Answer::Found { answers, additional } => {
            let mut s: Vec<String> = answers.iter().map(line).collect();
            s.extend(additional.iter().map(|r| format!("+ {}", line(r))));
            if s.is_empty() { "nothing".to_owned() } else { s.join("\n") }
        }
        Answer::Elsewhere { alias } => format!("{}\nelsewhere", line(alias)),
        Answer::NoSuchName => "no such name".to_owned(),
        Answer::NotOurs => "not ours".to_owned(),
    }
}

#[test]
fn questions_and_answers() {
    let z = zone();
    let asked = [
        ("web.a.svc.cluster.local.", Kind::A),
        ("WEB.A.svc.Cluster.Local", Kind::Aaaa),
        ("web.a.svc.cluster.local", Kind::Txt),
        ("_http._tcp.web.a.svc.cluster.local", Kind::Srv),
        ("_http._udp.web.a.svc.cluster.local", Kind::Srv),
        ("_tcp.web.a.svc.cluster.local", Kind::A),
        ("db.a.svc.cluster.local", Kind::A),
        ("db-0.db.a.svc.cluster.local", Kind::A),
        ("10-244-1-2.db.a.svc.cluster.local", Kind::A),
        ("db-2.db.a.svc.cluster.local", Kind::A),
        ("_sql._tcp.db.a.svc.cluster.local", Kind::Srv),
        ("none.a.svc.cluster.local", Kind::A),
        ("out.a.svc.cluster.local", Kind::A),
        ("out.a.svc.cluster.local", Kind::Cname),
        ("in.a.svc.cluster.local", Kind::A),
        ("10-1-2-3.a.pod.cluster.local", Kind::A),
        ("10-1-2-3.b.pod.cluster.local", Kind::A),
        ("a.svc.cluster.local", Kind::A),
        ("b.svc.cluster.local", Kind::A),
        ("dns-version.cluster.local", Kind::Txt),
        ("9.0.96.10.in-addr.arpa", Kind::Ptr),
        ("2.0.244.10.in-addr.arpa", Kind::Ptr),
        ("1.1.1.1.in-addr.arpa", Kind::Ptr),
        ("example.com", Kind::A),
        ("xcluster.local", Kind::A),
    ];
    let got: String = asked
        .iter()
        .map(|(n, k)| format!("{n} {k:?}\n  {}\n", show(&z.answer(n, *k)).replace('\n', "\n  ")))
        .collect();
    check(
        &got,
        expect![[r#"
        web.a.svc.cluster.local. A
          web.a.svc.cluster.local A(10.96.0.9)
        WEB.A.svc.Cluster.Local Aaaa
          web.a.svc.cluster.local Aaaa(fd00::9)
        web.a.svc.cluster.local Txt
          nothing
        _http._tcp.web.a.svc.cluster.local Srv
          _http._tcp.web.a.svc.cluster.local Srv(80, "web.a.svc.cluster.local")
          + web.a.svc.cluster.local A(10.96.0.9)
          + web.a.svc.cluster.local Aaaa(fd00::9)
        _http._udp.web.a.svc.cluster.local Srv
          no such name
        _tcp.web.a.svc.cluster.local A
          nothing
        db.a.svc.cluster.local A
          db.a.svc.cluster.local A(10.244.1.2)
          db.a.svc.cluster.local A(10.244.0.2)
        db-0.db.a.svc.cluster.local A
          db-0.db.a.svc.cluster.local A(10.244.0.2)
        10-244-1-2.db.a.svc.cluster.local A
          10-244-1-2.db.a.svc.cluster.local A(10.244.1.2)
        db-2.db.a.svc.cluster.local A
          no such name
        _sql._tcp.db.a.svc.cluster.local Srv
          _sql._tcp.db.a.svc.cluster.local Srv(5432, "10-244-1-2.db.a.svc.cluster.local")
          _sql._tcp.db.a.svc.cluster.local Srv(5432, "db-0.db.a.svc.cluster.local")
          + 10-244-1-2.db.a.svc.cluster.local A(10.244.1.2)
          + db-0.db.a.svc.cluster.local A(10.244.0.2)
        none.a.svc.cluster.local A
          no such name
        out.a.svc.cluster.local A
          out.a.svc.cluster.local Cname("example.com")
          elsewhere
        out.a.svc.cluster.local Cname
          out.a.svc.cluster.local Cname("example.com")
        in.a.svc.cluster.local A
          in.a.svc.cluster.local Cname("web.a.svc.cluster.local")
          web.a.svc.cluster.local A(10.96.0.9)
        10-1-2-3.a.pod.cluster.local A
          10-1-2-3.a.pod.cluster.local A(10.1.2.3)
        10-1-2-3.b.pod.cluster.local A
          no such name
        a.svc.cluster.local A
          nothing
        b.svc.cluster.local A
          no such name
        dns-version.cluster.local Txt
          dns-version.cluster.local Txt("1.1.0")
        9.0.96.10.in-addr.arpa Ptr
          9.0.96.10.in-addr.arpa Ptr("web.a.svc.cluster.local")
        2.0.244.10.in-addr.arpa Ptr
          2.0.244.10.in-addr.arpa Ptr("db-0.db.a.svc.cluster.local")
        1.1.1.1.in-addr.arpa Ptr
          not ours
        example.com A
          not ours
        xcluster.local A
          not ours
    "#]],
    );
}

fn check(got: &str, want: Expect) {
    want.assert_eq(got);
}

#[test]
fn a_service_taken_away_leaves_no_name() {
    let mut z = zone();
    for s in ["web", "db", "none", "out", "in"] {
        z.set("a", s, None, &[]);
    }
    assert!(z.services.is_empty() && z.reverse.is_empty());
    assert_eq!(z.answer("web.a.svc.cluster.local", Kind::A), Answer::NoSuchName);
}

#[test]
fn an_alias_that_only_ends_like_the_zone_leads_out_of_it() {
    let mut z = Zone::new("cluster.local");
    let s = serde_json::from_value(
        serde_json::json!({"spec": {"type": "ExternalName", "externalName": "db.mycluster.local"}}),
    );
    z.set("a", "out", Some(&s.unwrap()), &[]);
    assert!(matches!(z.answer("out.a.svc.cluster.local.", Kind::A), Answer::Elsewhere { .. }));
}

#[test]
fn the_zone_has_an_authority() {
    let z = Zone::new("cluster.local");
    let data = |k| match z.answer("cluster.local.", k) {
        Answer::Found { answers, .. } => answers.into_iter().map(|r| r.data).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(data(Kind::Soa), [Data::Soa]);
    assert_eq!(data(Kind::Ns), [Data::Ns("ns.dns.cluster.local".into())]);
    assert!(data(Kind::A).is_empty());
}

//! What a good file gives, and what each mistake is answered with.

use super::*;

fn properties(text: &str) -> Vec<Property> {
    properties::parse("config.properties", text).unwrap()
}

const GOOD: &str = "#comment\nBIN_PATH=/root/bin\nNODE_IP=192.0.2.2\n\nETCD_ENDPOINTS=http://192.0.2.1:2379\nMASTER_IP=192.0.2.1\n";

fn scratch(name: &str) -> PathBuf {
    let d = std::env::temp_dir().join(format!("keelson-gen-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&d);
    std::fs::create_dir_all(&d).unwrap();
    d
}

#[test]
fn each_mistake_names_its_line() {
    let bad = |text: &str| properties::parse("c", text).unwrap_err().join("\n");
    for (text, words) in [
        ("NODE_IP=", "c:1: NODE_IP has no value"),
        ("\nNODE_IP=192.0.2.300", "c:2: NODE_IP: \"192.0.2.300\" is no IP address"),
        ("MASTER_IP=0.0.0.0", "c:1: MASTER_IP: 0.0.0.0 is not the address of a host"),
        ("BIN_PATH=bin", "c:1: BIN_PATH: \"bin\" is no absolute path"),
        ("ETCD_ENDPOINTS=192.0.2.1:2379", "c:1: ETCD_ENDPOINTS: \"192.0.2.1:2379\" is no address"),
        ("ETCD_ENDPOINTS=http://192.0.2.1", "is no address"),
        ("ETCD_ENDPOINTS=http://192.0.2:2379", "is no address"),
        ("what", "c:1: \"what\" is not KEY=VALUE"),
        ("A=1\nA=2", "c:2: A is said twice, first in line 1"),
    ] {
        assert!(bad(text).contains(words), "{text}: {}", bad(text));
    }
}

#[test]
fn every_variable_is_replaced_or_an_error() {
    let t: Files = [("a/x".to_owned(), "one\ntwo {{NODE_IP}} {{WHAT}}\n{{MASTER_IP".to_owned())].into();
    let mut p = properties(GOOD);
    p.push(Property { key: "OTHER".into(), value: "1".into(), line: 9 });
    let e = fill("config.properties", &t, &p, Kind::Simple).unwrap_err();
    assert_eq!(
        e,
        [
            "kubernetes-simple/a/x:2: {{WHAT}} has no value: config.properties does not say WHAT",
            "kubernetes-simple/a/x:3: \"{{\" without \"}}\"",
            "config.properties:9: OTHER is used by no template",
        ]
    );
    let e = fill("c", &Files::new(), &properties(GOOD), Kind::WithCa).unwrap_err();
    assert!(e[0].contains("must be https://"), "{e:?}");
}

#[test]
fn target_is_replaced_only_when_all_is_well() {
    let d = scratch("replace");
    std::fs::write(d.join("config.properties"), GOOD).unwrap();
    let out = generate(&d, Kind::Simple).unwrap();
    assert!(out.starts_with("====替换变量列表====\nBIN_PATH=/root/bin\nNODE_IP=192.0.2.2\n"), "{out}");
    assert!(out.contains("master-node/etcd.service\n") && out.contains("配置生成成功"));
    let unit = || std::fs::read_to_string(d.join("target/master-node/kube-apiserver.service")).unwrap();
    assert!(unit().contains("--etcd-servers=http://192.0.2.1:2379"));
    std::fs::write(d.join("target/extra"), "").unwrap();
    std::fs::write(d.join("config.properties"), "NODE_IP=x\n").unwrap();
    assert!(generate(&d, Kind::Simple).is_err());
    assert!(d.join("target/extra").exists());
    std::fs::write(d.join("config.properties"), GOOD.replace("192.0.2.1", "192.0.2.9")).unwrap();
    generate(&d, Kind::Simple).unwrap();
    assert!(!d.join("target/extra").exists() && unit().contains("192.0.2.9"));
    // A folder of the user's takes the place of the templates.
    std::fs::create_dir_all(d.join("kubernetes-simple/x")).unwrap();
    std::fs::write(d.join("kubernetes-simple/x/y"), "{{NODE_IP}}").unwrap();
    generate(&d, Kind::Simple).unwrap();
    assert_eq!(std::fs::read_to_string(d.join("target/x/y")).unwrap(), "192.0.2.2");
    assert!(!d.join("target/master-node").exists());
    std::fs::remove_dir_all(d).unwrap();
}

#[test]
fn certificates_are_of_one_authority_and_kept() {
    use x509_cert::der::DecodePem;
    let d = scratch("certs");
    std::fs::write(d.join("config.properties"), GOOD.replace("http:", "https:")).unwrap();
    generate(&d, Kind::WithCa).unwrap();
    let ca = d.join("target/ca");
    // Elliptic curves here: RSA keys take their time.
    let mut all = Files::new();
    read_folder(&ca, &ca, &mut all).unwrap();
    for (name, text) in all.iter().filter(|(n, _)| n.ends_with("-csr.json")) {
        let text = text.replace("\"rsa\", \"size\": 2048", "\"ecdsa\", \"size\": 256");
        std::fs::write(ca.join(name), text).unwrap();
    }
    let out = certs::make(&ca, 1_700_000_000).unwrap();
    assert!(
        out.starts_with("ca.pem\n")
            && out.contains("etcd/etcd.pem\n")
            && out.contains("kubernetes/token.csv")
    );
    let read = |p: &str| {
        let pem = std::fs::read(ca.join(p)).unwrap();
        x509_cert::Certificate::from_pem(&pem).unwrap()
    };
    let (root, etcd, admin) = (read("ca.pem"), read("etcd/etcd.pem"), read("admin/admin.pem"));
    assert_eq!(etcd.tbs_certificate.issuer, root.tbs_certificate.subject);
    assert!(admin.tbs_certificate.subject.to_string().contains("O=system:masters"));
    let before = std::fs::read(ca.join("etcd/etcd.pem")).unwrap();
    assert!(certs::make(&ca, 1_700_000_000).unwrap().contains("etcd/etcd.pem is there already"));
    assert_eq!(std::fs::read(ca.join("etcd/etcd.pem")).unwrap(), before);
    std::fs::remove_dir_all(d).unwrap();
}

#[test]
fn a_bad_request_names_its_file_and_line() {
    let files: Files = [
        ("ca/ca-csr.json".to_owned(), "{\n\"CN\": 1}".to_owned()),
        ("ca/ca-config.json".to_owned(), "{}".to_owned()),
    ]
    .into();
    assert!(csr::check(&files).unwrap_err().starts_with("ca/ca-csr.json:2: invalid type"));
}

#[test]
fn usage_is_told() {
    assert!(run(&[], 0).unwrap_err().starts_with("Usage: gen-config"));
    assert!(run(&["--help".into()], 0).is_ok());
    assert!(run(&["--x".into()], 0).unwrap_err().starts_with("unknown flag: --x"));
}

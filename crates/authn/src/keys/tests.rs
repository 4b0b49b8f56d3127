//! Keys in all the forms they come in.

use super::*;
use rcgen::KeyPair;

fn pem(label: &str, der: &[u8]) -> String {
    let b64 = base64::engine::general_purpose::STANDARD.encode(der);
    format!("text before\n-----BEGIN {label}-----\n{b64}\n-----END {label}-----\n")
}

#[test]
fn reads_ecdsa_keys() {
    for alg in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let pair = KeyPair::generate_for(alg).unwrap();
        let k = PrivateKey::from_pem(&pair.serialize_pem()).unwrap();
        assert_eq!(to_pem(k.public()), pair.public_key_pem().replace("\r\n", "\n"));
        // The SEC 1 form, without the parts that are optional in PKCS #8 keys.
        let mut r = Reader(pair.serialized_der()).sequence().unwrap();
        r.unsigned().unwrap();
        let curve = algorithm(&mut r).unwrap().unwrap();
        let mut sec1 = Reader(r.tagged(OCTET_STRING).unwrap()).sequence().unwrap();
        sec1.unsigned().unwrap();
        let secret = sec1.tagged(OCTET_STRING).unwrap();
        let params = element(0xa0, &[&element(OID, &[curve.oid()])]);
        let der = element(SEQUENCE, &[&pem::unsigned(&[1]), &element(OCTET_STRING, &[secret]), &params]);
        let same = PrivateKey::from_pem(&pem("EC PRIVATE KEY", &der)).unwrap();
        assert_eq!(same.public().id(), k.public().id());

        let sig = same.sign(b"x").unwrap();
        assert!(k.public().verifies(b"x", &sig, k.public().algorithm()));
        assert!(!k.public().verifies(b"y", &sig, k.public().algorithm()));
        assert!(!k.public().verifies(b"x", &sig, Algorithm::HS256));
    }
}

#[test]
fn reads_several_keys_of_one_file() {
    let a = KeyPair::generate().unwrap();
    let b = KeyPair::generate().unwrap();
    let cert = rcgen::CertificateParams::default().self_signed(&b).unwrap();
    let text = a.public_key_pem() + &cert.pem() + &b.serialize_pem();
    let keys = public_keys_from_pem(&text).unwrap();
    assert_eq!(keys.len(), 3);
    assert_ne!(keys[0].id(), keys[1].id());
    assert_eq!(keys[1].id(), keys[2].id());
    assert_eq!(to_pem(&keys[0]), a.public_key_pem().replace("\r\n", "\n"));
    assert!(public_keys_from_pem("nothing").is_err());
    assert!(PrivateKey::from_pem(&a.public_key_pem()).is_err());
}

#[test]
fn reads_rsa_keys() {
    // A 2048-bit key made for this test, and what openssl says of it.
    let k = PrivateKey::from_pem(include_str!("testdata/rsa.pem")).unwrap();
    let pkcs1 = PrivateKey::from_pem(include_str!("testdata/rsa-pkcs1.pem")).unwrap();
    let public = public_keys_from_pem(include_str!("testdata/rsa-pub.pem")).unwrap();
    assert_eq!(k.public().id(), include_str!("testdata/rsa.kid").trim());
    assert_eq!(k.public().id(), pkcs1.public().id());
    assert_eq!(k.public().id(), public[0].id());
    let sig = pkcs1.sign(b"x").unwrap();
    assert!(public[0].verifies(b"x", &sig, Algorithm::RS256));
    assert!(!public[0].verifies(b"x", &sig, Algorithm::ES256));
    let jwk: serde_json::Value = serde_json::from_str(&public[0].jwk()).unwrap();
    assert_eq!((jwk["kty"].as_str(), jwk["e"].as_str()), (Some("RSA"), Some("AQAB")));
}

#[test]
fn refuses_damage() {
    let good = KeyPair::generate().unwrap().serialize_pem();
    let der = &pem::blocks(&good)[0].1;
    for n in 0..der.len() {
        let _ = PrivateKey::from_pem(&pem("PRIVATE KEY", &der[..n])).map(|_| panic!("{n} bytes made a key"));
        assert!(public_keys_from_pem(&pem("PUBLIC KEY", &der[..n])).is_err());
    }
}

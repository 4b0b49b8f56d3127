//! Keys that sign and verify service account tokens: reading them from PEM, their ids, their JWKs
//! (pkg/serviceaccount/jwt.go, openidmetadata.go; client-go `util/keyutil`).

use crate::Error;
use crate::pem::{self, BIT_STRING, NULL, OCTET_STRING, OID, Reader, SEQUENCE, element};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use sha2::{Digest, Sha256};

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
}

impl Curve {
    fn of(oid: &[u8]) -> Result<Self, Error> {
        match oid {
            P256 => Ok(Self::P256),
            P384 => Ok(Self::P384),
            _ => Err(bad("only the curves P-256 and P-384 are supported")),
        }
    }
    fn oid(self) -> &'static [u8] {
        match self {
            Self::P256 => P256,
            Self::P384 => P384,
        }
    }
    fn algorithm(self) -> Algorithm {
        match self {
            Self::P256 => Algorithm::ES256,
            Self::P384 => Algorithm::ES384,
        }
    }
    fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Ec { curve: Curve, x: Vec<u8>, y: Vec<u8> },
}

/// A key that verifies.
#[derive(Clone, Debug)]
pub struct PublicKey {
    material: Material,
    id: String,
    decoding: DecodingKey,
}

/// A key that signs.
#[derive(Clone)]
pub struct PrivateKey {
    encoding: EncodingKey,
    public: PublicKey,
}

fn bad(why: impl Into<String>) -> Error {
    Error::Key(why.into())
}

impl PublicKey {
    fn new(material: Material) -> Result<Self, Error> {
        let decoding = match &material {
            Material::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
            Material::Ec { x, y, .. } => {
                DecodingKey::from_ec_components(&URL_SAFE_NO_PAD.encode(x), &URL_SAFE_NO_PAD.encode(y))
                    .map_err(|e| bad(e.to_string()))?
            }
        };
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(spki(&material)));
        Ok(Self { material, id, decoding })
    }
    /// The id that tokens name the key by: a hash of its PKIX form.
    pub fn id(&self) -> &str {
        &self.id
    }
    pub fn algorithm(&self) -> Algorithm {
        match &self.material {
            Material::Rsa { .. } => Algorithm::RS256,
            Material::Ec { curve, .. } => curve.algorithm(),
        }
    }
    /// `RS256`
    pub fn algorithm_name(&self) -> &'static str {
        match self.algorithm() {
            Algorithm::ES256 => "ES256",
            Algorithm::ES384 => "ES384",
            _ => "RS256",
        }
    }
    /// SubjectPublicKeyInfo.
    pub fn to_der(&self) -> Vec<u8> {
        spki(&self.material)
    }
    /// Whether `signature` (base64url) is this key's for `message`, made with `algorithm`.
    pub fn verifies(&self, message: &[u8], signature: &str, algorithm: Algorithm) -> bool {
        use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
        let fits = match &self.material {
            Material::Rsa { .. } => matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512),
            Material::Ec { curve, .. } => algorithm == curve.algorithm(),
        };
        fits && jsonwebtoken::crypto::verify(signature, message, &self.decoding, algorithm).unwrap_or(false)
    }
    /// The key as an entry of a JSON Web Key Set, fields in upstream's order.
    pub fn jwk(&self) -> String {
        let b64 = |v: &[u8]| URL_SAFE_NO_PAD.encode(v);
        let (id, alg) = (&self.id, self.algorithm_name());
        match &self.material {
            Material::Rsa { n, e } => format!(
                r#"{{"use":"sig","kty":"RSA","kid":"{id}","alg":"{alg}","n":"{}","e":"{}"}}"#,
                b64(n),
                b64(e)
            ),
            Material::Ec { curve, x, y } => format!(
                r#"{{"use":"sig","kty":"EC","kid":"{id}","crv":"{}","alg":"{alg}","x":"{}","y":"{}"}}"#,
                if *curve == Curve::P256 { "P-256" } else { "P-384" },
                b64(x),
                b64(y)
            ),
        }
    }
}

impl PrivateKey {
    /// The first private key of a PEM text: PKCS #1, PKCS #8 or SEC 1.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        for (label, der) in pem::blocks(text) {
            if let Some(k) = private_from_block(&label, &der)? {
                return Ok(k);
            }
        }
        Err(bad("no private key (RSA or ECDSA) in the PEM data"))
    }
    pub fn public(&self) -> &PublicKey {
        &self.public
    }
    /// Signs, and answers the signature in base64url.
    pub fn sign(&self, message: &[u8]) -> Result<String, Error> {
        jsonwebtoken::crypto::sign(message, &self.encoding, self.public.algorithm())
            .map_err(|e| bad(format!("cannot sign: {e}")))
    }
}

/// All keys of a PEM text: public keys, certificates' keys, and the public halves of private keys.
pub fn public_keys_from_pem(text: &str) -> Result<Vec<PublicKey>, Error> {
    let mut out = Vec::new();
    for (label, der) in pem::blocks(text) {
        match label.as_str() {
            "PUBLIC KEY" => out.push(from_spki(&der)?),
            "RSA PUBLIC KEY" => out.push(from_pkcs1_public(&der)?),
            "CERTIFICATE" => out.push(from_spki(&crate::cert::public_key_der(&der)?)?),
            _ => out.extend(private_from_block(&label, &der)?.map(|k| k.public)),
        }
    }
    if out.is_empty() {
        return Err(bad("no keys (RSA or ECDSA) in the PEM data"));
    }
    Ok(out)
}

/// The PEM form of a public key.
pub fn to_pem(key: &PublicKey) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(key.to_der());
    let mut out = String::from("-----BEGIN PUBLIC KEY-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out + "-----END PUBLIC KEY-----\n"
}

fn spki(m: &Material) -> Vec<u8> {
    let (algorithm, key) = match m {
        Material::Rsa { n, e } => (
            element(SEQUENCE, &[&element(OID, &[RSA]), &element(NULL, &[])]),
            element(SEQUENCE, &[&pem::unsigned(n), &pem::unsigned(e)]),
        ),
        Material::Ec { curve, x, y } => (
            element(SEQUENCE, &[&element(OID, &[EC]), &element(OID, &[curve.oid()])]),
            [&[4][..], x, y].concat(),
        ),
    };
    element(SEQUENCE, &[&algorithm, &element(BIT_STRING, &[&[0], &key])])
}

/// Reads an AlgorithmIdentifier: the curve for EC, nothing for RSA.
fn algorithm(r: &mut Reader<'_>) -> Result<Option<Curve>, Error> {
    let mut a = r.sequence().ok_or_else(|| bad("damaged DER"))?;
    match a.tagged(OID) {
        Some(RSA) => Ok(None),
        Some(EC) => Curve::of(a.tagged(OID).unwrap_or(&[])).map(Some),
        _ => Err(bad("neither RSA nor ECDSA")),
    }
}

fn from_spki(der: &[u8]) -> Result<PublicKey, Error> {
    let damaged = || bad("damaged public key");
    let mut r = Reader(der).sequence().ok_or_else(damaged)?;
    let curve = algorithm(&mut r)?;
    let key = r.bits().ok_or_else(damaged)?;
    let Some(curve) = curve else { return from_pkcs1_public(key) };
    from_point(curve, key)
}

fn from_point(curve: Curve, point: &[u8]) -> Result<PublicKey, Error> {
    match point.split_first() {
        Some((4, xy)) if xy.len() == 2 * curve.size() => {
            let (x, y) = xy.split_at(curve.size());
            PublicKey::new(Material::Ec { curve, x: x.into(), y: y.into() })
        }
        _ => Err(bad("an ECDSA public key must be an uncompressed point")),
    }
}

fn from_pkcs1_public(der: &[u8]) -> Result<PublicKey, Error> {
    let read = || {
        let mut r = Reader(der).sequence()?;
        Some((r.unsigned()?.to_vec(), r.unsigned()?.to_vec()))
    };
    let (n, e) = read().ok_or_else(|| bad("damaged RSA public key"))?;
    PublicKey::new(Material::Rsa { n, e })
}

fn private_from_block(label: &str, der: &[u8]) -> Result<Option<PrivateKey>, Error> {
    let damaged = || bad("damaged private key");
    match label {
        "RSA PRIVATE KEY" => from_pkcs1(der).map(Some),
        "EC PRIVATE KEY" => {
            let mut r = Reader(der).sequence().ok_or_else(damaged)?;
            r.unsigned().ok_or_else(damaged)?;
            r.tagged(OCTET_STRING).ok_or_else(damaged)?;
            let oid = r.tagged(0xa0).and_then(|p| Reader(p).tagged(OID)).unwrap_or(&[]);
            from_sec1(Curve::of(oid)?, der).map(Some)
        }
        "PRIVATE KEY" => {
            let mut r = Reader(der).sequence().ok_or_else(damaged)?;
            r.unsigned().ok_or_else(damaged)?;
            let curve = algorithm(&mut r)?;
            let key = r.tagged(OCTET_STRING).ok_or_else(damaged)?;
            match curve {
                None => from_pkcs1(key).map(Some),
                Some(curve) => from_sec1(curve, key).map(Some),
            }
        }
        _ => Ok(None),
    }
}

fn from_pkcs1(der: &[u8]) -> Result<PrivateKey, Error> {
    let read = || {
        let mut r = Reader(der).sequence()?;
        r.unsigned()?;
        Some((r.unsigned()?.to_vec(), r.unsigned()?.to_vec()))
    };
    let (n, e) = read().ok_or_else(|| bad("damaged RSA private key"))?;
    let public = PublicKey::new(Material::Rsa { n, e })?;
    Ok(PrivateKey { encoding: EncodingKey::from_rsa_der(der), public })
}

/// `der` is an ECPrivateKey; it is wrapped as PKCS #8, and the public half computed where it is not in there.
fn from_sec1(curve: Curve, der: &[u8]) -> Result<PrivateKey, Error> {
    let id = element(SEQUENCE, &[&element(OID, &[EC]), &element(OID, &[curve.oid()])]);
    let pkcs8 = element(SEQUENCE, &[&pem::unsigned(&[0]), &id, &element(OCTET_STRING, &[der])]);
    let encoding = EncodingKey::from_ec_der(&pkcs8);
    let jwk =
        Jwk::from_encoding_key(&encoding, curve.algorithm()).map_err(|e| bad(format!("ECDSA key: {e}")))?;
    let AlgorithmParameters::EllipticCurve(p) = jwk.algorithm else { return Err(bad("damaged ECDSA key")) };
    let decode = |s: &str| URL_SAFE_NO_PAD.decode(s).map_err(|_| bad("damaged ECDSA key"));
    let public = PublicKey::new(Material::Ec { curve, x: decode(&p.x)?, y: decode(&p.y)? })?;
    Ok(PrivateKey { encoding, public })
}

#[cfg(test)]
mod tests;

//! What the servers of one cluster have in common, sealed so that it can be kept in their etcd.
//!
//! Authorities, the key of service accounts and the join token are made by the first server; each further one takes
//! them from etcd and opens them with the server token. That token is nowhere in the cluster: who can read etcd, its
//! backups or the Secrets in it does not have the keys.

use crate::{Error, JoinToken, Pki, files, pki};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

const PREFIX: &str = "K37S";
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Five bits each.
const LENGTH: usize = 52;
const PURPOSE: &[u8] = b"keelson servers 1";
/// The files in the folder of keys that are shared.
const FILES: [&str; 5] = ["ca.crt", "ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "sa.key"];

/// What opens the keys of a cluster: `K37S` and 52 letters and digits.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerToken(String);

impl std::fmt::Debug for ServerToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerToken")
    }
}

impl ServerToken {
    pub fn new(random: &[u8; LENGTH]) -> Self {
        Self(random.iter().map(|b| LETTERS[usize::from(b % 32)] as char).collect())
    }
    pub fn parse(s: &str) -> Result<Self, Error> {
        let bad = |why: &str| {
            Error::Token(format!(
                "the server token {why}: it is in <data-dir>/server-token of a server of this cluster, and begins with {PREFIX}"
            ))
        };
        let rest = s.trim().strip_prefix(PREFIX).ok_or_else(|| {
            bad(if s.trim().starts_with("K37") {
                "is none: that is the token for agents"
            } else {
                "is malformed"
            })
        })?;
        if rest.len() != LENGTH || !rest.bytes().all(|b| LETTERS.contains(&b)) {
            return Err(bad("is malformed: copy it whole"));
        }
        Ok(Self(rest.to_owned()))
    }
    pub fn render(&self) -> String {
        format!("{PREFIX}{}", self.0)
    }
    /// The token has 260 random bits: it needs no stretching.
    fn key(&self) -> Result<LessSafeKey, Error> {
        let key = Sha256::new().chain_update(PURPOSE).chain_update(self.0.as_bytes()).finalize();
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|e| Error::Token(e.to_string()))?;
        Ok(LessSafeKey::new(key))
    }
}

/// What is shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// Name and content.
    files: BTreeMap<String, String>,
    /// The token for agents.
    token: String,
    /// Flags that must be the same on every server.
    settings: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    version: u32,
    nonce: String,
    sealed: String,
}

impl Shared {
    /// From a data directory, if there are keys in it; else new ones. `random` makes the token for agents.
    pub fn make(
        data: &Path,
        settings: BTreeMap<String, String>,
        random: &[u8; 22],
        now: i64,
    ) -> Result<Self, Error> {
        let kept = data.join("pki");
        let fresh = data.join(".pki.new");
        let dir = if files::read(&kept.join("ca.key"))?.is_some() { &kept } else { &fresh };
        let made = || -> Result<Self, Error> {
            let ca = Pki::open(dir, "ca", now)?;
            Pki::open(dir, "front-proxy-ca", now)?;
            pki::service_account_key(dir)?;
            let token = match files::read(&data.join("token"))? {
                Some(t) => t.trim().to_owned(),
                None => JoinToken::new(&ca.ca_der()?, random).render(),
            };
            let mut all = BTreeMap::new();
            for name in FILES {
                all.extend(files::read(&dir.join(name))?.map(|text| (name.to_owned(), text)));
            }
            Ok(Self { files: all, token, settings })
        };
        let made = made();
        let _ = std::fs::remove_dir_all(&fresh);
        made
    }

    pub fn seal(&self, token: &ServerToken, nonce: [u8; 12]) -> Result<Vec<u8>, Error> {
        let mut text = serde_json::to_vec(self).map_err(|e| Error::Token(e.to_string()))?;
        let sealed = token.key()?.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(PURPOSE),
            &mut text,
        );
        sealed.map_err(|e| Error::Token(e.to_string()))?;
        let s = Sealed { version: 1, nonce: STANDARD.encode(nonce), sealed: STANDARD.encode(&text) };
        serde_json::to_vec(&s).map_err(|e| Error::Token(e.to_string()))
    }

    pub fn open(sealed: &[u8], token: &ServerToken) -> Result<Self, Error> {
        let damaged = || {
            Error::Token("what etcd holds of this cluster's servers cannot be read: was it written by a newer keelson?".to_owned())
        };
        let s: Sealed = serde_json::from_slice(sealed).map_err(|_| damaged())?;
        let nonce = STANDARD.decode(&s.nonce).ok().and_then(|n| <[u8; 12]>::try_from(n).ok());
        let (Some(nonce), Ok(mut text), 1) = (nonce, STANDARD.decode(&s.sealed), s.version) else {
            return Err(damaged());
        };
        let nonce = Nonce::assume_unique_for_key(nonce);
        let open = token.key()?;
        let open = open.open_in_place(nonce, Aad::from(PURPOSE), &mut text).map_err(|_| {
            Error::Token("--token is not the server token of the cluster in this etcd: take it from <data-dir>/server-token of one of its servers".to_owned())
        })?;
        serde_json::from_slice(open).map_err(|_| damaged())
    }

    /// Writes it into a data directory, which may not hold the keys of another cluster.
    pub fn install(&self, data: &Path) -> Result<(), Error> {
        let dir = data.join("pki");
        files::private_dir(&dir)?;
        let other = |path: &Path| {
            Error::Token(format!(
                "{} is of another cluster than the one in this etcd: move {} away, or give it another --data-dir",
                path.display(),
                data.display()
            ))
        };
        let mut all: Vec<_> = self.files.iter().map(|(name, text)| (dir.join(name), text.clone())).collect();
        all.push((data.join("token"), format!("{}\n", self.token)));
        for (path, text) in &all {
            if files::read(path)?.is_some_and(|have| have.trim() != text.trim()) {
                return Err(other(path));
            }
        }
        for (path, text) in &all {
            let mode = if path.extension().is_some_and(|e| e == "crt") { 0o644 } else { 0o600 };
            files::write(path, text.as_bytes(), mode)?;
        }
        Ok(())
    }

    /// Flags that differ from those of the cluster.
    pub fn check(&self, mine: &BTreeMap<String, String>) -> Result<(), Error> {
        for (flag, theirs) in &self.settings {
            if let Some(m) = mine.get(flag).filter(|m| *m != theirs) {
                return Err(Error::Token(format!(
                    "--{flag}={m} here, {theirs} on the other servers of this cluster: they must be the same"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> std::path::PathBuf {
        let d = std::env::temp_dir().join(format!("keelson-shared-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&d);
        std::fs::create_dir_all(&d).unwrap();
        d
    }

    #[test]
    fn a_second_server_gets_the_keys_with_the_token_only() {
        let (a, b) = (scratch("a"), scratch("b"));
        let settings = BTreeMap::from([("cluster-cidr".to_owned(), "10.0.0.0/16".to_owned())]);
        let made = Shared::make(&a, settings.clone(), &[1; 22], 1_800_000_000).unwrap();
        assert_eq!(made.files.len(), FILES.len());
        assert!(!a.join(".pki.new").exists());
        let token = ServerToken::new(&[7; LENGTH]);
        let sealed = made.seal(&token, [3; 12]).unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("PRIVATE"));
        let stranger = ServerToken::new(&[8; LENGTH]);
        assert!(Shared::open(&sealed, &stranger).unwrap_err().to_string().contains("not the server token"));
        assert!(Shared::open(b"x", &token).is_err());
        let got = Shared::open(&sealed, &ServerToken::parse(&token.render()).unwrap()).unwrap();
        assert_eq!(got, made);
        for dir in [&a, &b] {
            got.install(dir).unwrap();
        }
        let key = |d: &Path| std::fs::read_to_string(d.join("pki/ca.key")).unwrap();
        assert_eq!(key(&a), key(&b));
        // What is there already is what is shared.
        assert_eq!(Shared::make(&b, settings.clone(), &[2; 22], 1_800_000_000).unwrap(), made);
        std::fs::write(b.join("pki/sa.key"), "another").unwrap();
        assert!(got.install(&b).unwrap_err().to_string().contains("sa.key is of another cluster"));
        let mine = BTreeMap::from([("cluster-cidr".to_owned(), "10.1.0.0/16".to_owned())]);
        assert!(got.check(&mine).unwrap_err().to_string().contains("--cluster-cidr=10.1.0.0/16 here"));
        got.check(&settings).unwrap();
        for d in [a, b] {
            std::fs::remove_dir_all(d).unwrap();
        }
    }

    #[test]
    fn tokens_of_another_kind_are_told_apart() {
        let agent = JoinToken::new(b"der", &[7; 22]).render();
        assert!(ServerToken::parse(&agent).unwrap_err().to_string().contains("for agents"));
        let server = ServerToken::new(&[9; LENGTH]).render();
        assert!(JoinToken::parse(&server).is_err());
        for bad in ["", "K37S", &server[..20], &format!("{server}x")] {
            assert!(ServerToken::parse(bad).is_err(), "{bad}");
        }
    }
}

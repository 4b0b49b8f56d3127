//! The token an agent joins with: `K37<sha256 of the cluster CA, hex>::<id>.<secret>`.
//!
//! The first part pins the cluster's CA, so that an agent never sends its secret to a stranger; the second is a
//! bootstrap token as upstream has it (`[a-z0-9]{6}.[a-z0-9]{16}`), usable wherever one is.

use crate::Error;
use sha2::{Digest, Sha256};
use std::fmt;

#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// SHA-256 of the CA certificate's DER, lower-case hex.
    pub ca_hash: String,
    pub id: String,
    pub secret: String,
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("id", &self.id).finish_non_exhaustive()
    }
}

impl JoinToken {
    /// A new token from 22 bytes of randomness.
    pub fn new(ca_der: &[u8], random: &[u8; 22]) -> Self {
        const A: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let text: String = random.iter().map(|b| A[usize::from(*b) % A.len()] as char).collect();
        Self { ca_hash: ca_hash(ca_der), id: text[..6].to_owned(), secret: text[6..].to_owned() }
    }
    pub fn parse(s: &str) -> Result<Self, Error> {
        let bad = || {
            Error::Token(
                "the join token is malformed: it looks like K37<64 hex digits>::<6 characters>.<16 characters>; \
                 copy it whole from <data-dir>/token on the server"
                    .to_owned(),
            )
        };
        let (hash, rest) = s.trim().strip_prefix("K37").and_then(|r| r.split_once("::")).ok_or_else(bad)?;
        let (id, secret) = rest.split_once('.').ok_or_else(bad)?;
        let word = |w: &str, n: usize| {
            w.len() == n && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if hash.len() != 64
            || !hash.bytes().all(|b| b.is_ascii_hexdigit())
            || !word(id, 6)
            || !word(secret, 16)
        {
            return Err(bad());
        }
        Ok(Self { ca_hash: hash.to_ascii_lowercase(), id: id.into(), secret: secret.into() })
    }
    /// The bearer token of the API: `id.secret`.
    pub fn bearer(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }
    pub fn render(&self) -> String {
        format!("K37{}::{}.{}", self.ca_hash, self.id, self.secret)
    }
}

/// SHA-256 of a certificate's DER in lower-case hex.
pub fn ca_hash(der: &[u8]) -> String {
    Sha256::digest(der).iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_bad_ones_are_refused() {
        let t = JoinToken::new(b"der", &[7; 22]);
        assert_eq!(JoinToken::parse(&t.render()).unwrap(), t);
        for bad in [
            "",
            "K37",
            "K37ab::abcdef.0123456789abcdef",
            "abcdef.0123456789abcdef",
            &t.render()[1..],
            &t.render()[..80],
        ] {
            assert!(JoinToken::parse(bad).is_err(), "{bad}");
        }
        assert!(!format!("{t:?}").contains(&t.secret));
    }
}

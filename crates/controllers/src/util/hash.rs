//! Hashes that become part of names and labels.
//!
//! Upstream hashes a deep print of the Go structs, which nobody else can reproduce; this hashes the JSON form. Equal
//! templates are found by comparing them, so that objects of an upstream controller are taken over all the same.

use serde::Serialize;

const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// 32-bit FNV-1a.
pub fn fnv32a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193))
}

/// A number in the alphabet of generated names, as upstream's `SafeEncodeString` of its decimal form.
pub fn safe_encode(n: u32) -> String {
    n.to_string().bytes().map(|b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()])).collect()
}

/// The hash of an object and of how often its hash collided before.
pub fn of<T: Serialize>(v: &T, collisions: Option<i32>) -> String {
    let mut bytes = serde_json::to_vec(v).unwrap_or_default();
    if let Some(n) = collisions {
        bytes.extend_from_slice(&(n as u32).to_le_bytes());
    }
    safe_encode(fnv32a(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(fnv32a(b""), 0x811c_9dc5);
        assert_eq!(fnv32a(b"foobar"), 0xbf9c_f968);
        assert_eq!(safe_encode(1_234_567_890), "56789bcdf4");
        assert_ne!(of(&"a", None), of(&"a", Some(0)));
    }
}

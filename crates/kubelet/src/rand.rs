//! A little randomness: names and jitter.

pub fn u64() -> u64 {
    let mut b = [0u8; 8];
    if getrandom::fill(&mut b).is_err() {
        // Without randomness jitter is none; names that must be unique have other parts.
        return 0;
    }
    u64::from_le_bytes(b)
}

/// In [0, 1).
pub fn fraction() -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "jitter")]
    let f = (u64() >> 11) as f64 / (1u64 << 53) as f64;
    f
}

pub fn hex8() -> String {
    format!("{:08x}", u64() & 0xffff_ffff)
}

//! CRC-32 (the one of zip), eight bytes at a time: finds rows that the disk gave back otherwise than it got them.

const fn tables() -> [[u32; 256]; 8] {
    let mut t = [[0u32; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut c = i as u32;
        let mut k = 0;
        while k < 8 {
            c = if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 };
            k += 1;
        }
        t[0][i] = c;
        i += 1;
    }
    let mut i = 0;
    while i < 256 {
        let mut n = 1;
        while n < 8 {
            t[n][i] = (t[n - 1][i] >> 8) ^ t[0][(t[n - 1][i] & 0xff) as usize];
            n += 1;
        }
        i += 1;
    }
    t
}

static T: [[u32; 256]; 8] = tables();

/// Continues the checksum `c` (0 at first) over more bytes.
pub fn crc32(c: u32, data: &[u8]) -> u32 {
    let mut c = !c;
    let (eights, rest) = data.as_chunks::<8>();
    for b in eights {
        let lo = c ^ u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let at = |t: usize, x: u32| T[t][(x & 0xff) as usize];
        c = at(7, lo) ^ at(6, lo >> 8) ^ at(5, lo >> 16) ^ at(4, lo >> 24);
        c ^= at(3, b[4].into()) ^ at(2, b[5].into()) ^ at(1, b[6].into()) ^ at(0, b[7].into());
    }
    for b in rest {
        c = (c >> 8) ^ T[0][((c ^ u32::from(*b)) & 0xff) as usize];
    }
    !c
}

#[cfg(test)]
mod tests {
    use super::crc32;

    #[test]
    fn known_sums() {
        for (text, sum) in [
            ("", 0),
            ("a", 0xe8b7_be43),
            ("123456789", 0xcbf4_3926),
            ("The quick brown fox jumps over the lazy dog", 0x414f_a339),
        ] {
            assert_eq!(crc32(0, text.as_bytes()), sum, "{text}");
            let (a, b) = text.as_bytes().split_at(text.len() / 3);
            assert_eq!(crc32(crc32(0, a), b), sum, "{text}");
        }
    }
}

//! The wire format of protobuf: tags, varints, lengths.

use crate::DecodeError;

pub(crate) struct Reader<'a> {
    b: &'a [u8],
    /// Where the next tag begins.
    pub(crate) i: usize,
}

/// The value of one field on the wire.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

pub(crate) fn eof() -> DecodeError {
    DecodeError("unexpected EOF".into())
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(b: &'a [u8]) -> Self {
        Self { b, i: 0 }
    }
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        match self.b.get(self.i) {
            Some(c) if *c < 0x80 => {
                self.i += 1;
                Ok(u64::from(*c))
            }
            _ => self.long_varint(),
        }
    }
    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut v = 0u64;
        for shift in (0..64).step_by(7) {
            let Some(c) = self.b.get(self.i) else { return Err(eof()) };
            self.i += 1;
            v |= u64::from(c & 0x7f) << shift;
            if *c < 0x80 {
                return Ok(v);
            }
        }
        Err(DecodeError("proto: integer overflow".into()))
    }
    #[inline]
    fn take(&mut self, n: u64) -> Result<&'a [u8], DecodeError> {
        let n = usize::try_from(n).map_err(|_| eof())?;
        let end = self.i.checked_add(n).ok_or_else(eof)?;
        let s = self.b.get(self.i..end).ok_or_else(eof)?;
        self.i = end;
        Ok(s)
    }
    /// The next field's number and value.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Payload<'a>)>, DecodeError> {
        // Most tags, lengths and numbers are one byte.
        if let [tag @ 8..0x80, n @ 0..0x80, rest @ ..] = &self.b[self.i.min(self.b.len())..] {
            let num = u32::from(tag >> 3);
            match tag & 7 {
                0 => {
                    self.i += 2;
                    return Ok(Some((num, Payload::Varint(u64::from(*n)))));
                }
                2 => {
                    if let Some(s) = rest.get(..usize::from(*n)) {
                        self.i += 2 + usize::from(*n);
                        return Ok(Some((num, Payload::Bytes(s))));
                    }
                }
                _ => {}
            }
        }
        self.next_slow()
    }
    #[inline(never)]
    fn next_slow(&mut self) -> Result<Option<(u32, Payload<'a>)>, DecodeError> {
        if self.i >= self.b.len() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let num = u32::try_from(tag >> 3).unwrap_or(0);
        if num == 0 {
            return Err(DecodeError(format!("proto: illegal tag {} (wire type {})", tag >> 3, tag & 7)));
        }
        let p = match tag & 7 {
            0 => Payload::Varint(self.varint()?),
            2 => {
                let n = self.varint()?;
                Payload::Bytes(self.take(n)?)
            }
            1 => {
                let b = self.take(8)?;
                Payload::Fixed64(u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
            }
            5 => {
                self.take(4)?;
                Payload::Fixed32
            }
            w => return Err(DecodeError(format!("proto: illegal wireType {w}"))),
        };
        Ok(Some((num, p)))
    }
}

#[inline]
pub(crate) fn put_varint(mut v: u64, out: &mut Vec<u8>) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}
#[inline]
pub(crate) fn put_tag(num: u8, wire: u8, out: &mut Vec<u8>) {
    put_varint(u64::from(num) << 3 | u64::from(wire), out);
}
pub(crate) fn put_bytes(num: u8, b: &[u8], out: &mut Vec<u8>) {
    put_tag(num, 2, out);
    put_varint(b.len() as u64, out);
    out.extend_from_slice(b);
}
/// Appends a field whose content `body` appends; its length is put in front afterwards.
pub(crate) fn put_message(num: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    put_tag(num, 2, out);
    let at = out.len();
    out.push(0);
    body(out);
    let n = out.len() - at - 1;
    if n < 0x80 {
        out[at] = n as u8;
    } else {
        let mut len = Vec::with_capacity(5);
        put_varint(n as u64, &mut len);
        out.splice(at..=at, len);
    }
}

//! Where the fields of a message are: what a reader needs that takes them in another order than they come in.

use super::wire::{Payload, Reader};
use crate::facts::{Card, Wire, fields, proto_node};
use crate::{DecodeError, MAX_DEPTH, TypeId};

/// Why such a reader stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    Error(DecodeError),
    /// The message is in an order that it cannot follow: a tree can.
    Irregular,
}
impl From<DecodeError> for Stop {
    fn from(e: DecodeError) -> Self {
        Self::Error(e)
    }
}

/// Where a field is, as offsets into the whole object.
#[derive(Clone, Copy, Default)]
pub(crate) struct Place {
    /// Its tag, and where the message that holds it ends.
    at: u32,
    end: u32,
    /// Its payload: bytes begin at `a` and are `b` long; numbers are in two halves.
    a: u32,
    b: u32,
    wire: u8,
}

impl Place {
    /// The field's first occurrence and all that follows it in its message.
    #[inline]
    pub(crate) fn rest<'a>(&self, all: &'a [u8]) -> &'a [u8] {
        &all[self.at as usize..self.end as usize]
    }
    #[inline]
    pub(crate) fn payload<'a>(&self, all: &'a [u8]) -> Payload<'a> {
        let number = u64::from(self.a) << 32 | u64::from(self.b);
        match self.wire {
            0 => Payload::Varint(number),
            1 => Payload::Fixed64(number),
            2 => Payload::Bytes(&all[self.a as usize..self.a as usize + self.b as usize]),
            _ => Payload::Fixed32,
        }
    }
}

/// Fields by index, as bits.
#[derive(Clone, Copy, Default)]
pub(crate) struct Found {
    seen: u64,
    /// Those that JSON shows as far as one can tell: a single scalar that `omitempty` leaves out is not among them.
    pub(crate) visible: u64,
}

/// Finds the fields of `msg`, a part of `all`; `places` has one for each field of the type. A field that comes again
/// after another one is irregular.
pub(crate) fn index(
    all: &[u8],
    msg: &[u8],
    ty: TypeId,
    node: u16,
    places: &mut [Place],
    found: &mut Found,
    depth: usize,
) -> Result<(), Stop> {
    if depth >= MAX_DEPTH {
        return Err(Stop::Error(DecodeError("exceeded max depth".into())));
    }
    if u32::try_from(all.len()).is_err() {
        return Err(Stop::Irregular);
    }
    let slots = proto_node(node).slots;
    let fs = fields(ty);
    let start = all.as_ptr() as usize;
    let base = msg.as_ptr() as usize - start;
    let end = (base + msg.len()) as u32;
    let mut r = Reader::new(msg);
    let mut last = 0u16;
    loop {
        let at = r.i;
        let Some((num, p)) = r.next()? else { return Ok(()) };
        let slot = slots.get(num as usize).copied().unwrap_or(0);
        if slot == 0 {
            last = 0;
            continue;
        }
        if slot & 0x8000 != 0 {
            let Payload::Bytes(b) = p else { return Err(Stop::Irregular) };
            if last == slot {
                return Err(Stop::Irregular);
            }
            index(all, b, ty, slot & 0x7fff, places, found, depth + 1)?;
        } else {
            let i = usize::from(slot) - 1;
            let f = &fs[i];
            if found.seen & (1 << i) == 0 {
                found.seen |= 1 << i;
                if f.card != Card::One || f.pointer || !f.omit_empty || !scalar_zero(f.wire, p) {
                    found.visible |= 1 << i;
                }
                let (wire, a, b) = match p {
                    Payload::Varint(v) => (0, (v >> 32) as u32, v as u32),
                    Payload::Fixed64(v) => (1, (v >> 32) as u32, v as u32),
                    Payload::Bytes(b) => (2, (b.as_ptr() as usize - start) as u32, b.len() as u32),
                    Payload::Fixed32 => (5, 0, 0),
                };
                places[i] = Place { at: (base + at) as u32, end, a, b, wire };
            } else if last != slot || f.card == Card::One {
                return Err(Stop::Irregular);
            }
        }
        last = slot;
    }
}

/// Whether `omitempty` leaves this value out.
pub(crate) fn scalar_zero(w: Wire, p: Payload<'_>) -> bool {
    match (w, p) {
        (Wire::String | Wire::Bytes | Wire::Strings, Payload::Bytes(b)) => b.is_empty(),
        (Wire::Bool | Wire::Int64, Payload::Varint(v)) => v == 0,
        (Wire::Int32, Payload::Varint(v)) => v as i32 == 0,
        (Wire::Double, Payload::Fixed64(v)) => f64::from_bits(v) == 0.0,
        _ => false,
    }
}

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

const NOT_THERE: u32 = u32::MAX;

/// Where a field begins (its tag), as an offset into the whole, and where the message that holds it ends.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    at: u32,
    end: u32,
}

impl Place {
    pub(crate) const NONE: Self = Self { at: NOT_THERE, end: 0 };

    /// The field's first occurrence and all that follows it in its message.
    #[inline]
    pub(crate) fn of<'a>(&self, all: &'a [u8]) -> Option<&'a [u8]> {
        if self.at == NOT_THERE { None } else { Some(&all[self.at as usize..self.end as usize]) }
    }
}

/// Finds the fields of `msg`, a part of `all`; `places` has one for each field of the type. A field that comes again
/// after another one is irregular.
pub(crate) fn index(
    all: &[u8],
    msg: &[u8],
    ty: TypeId,
    node: u16,
    places: &mut [Place],
    depth: usize,
) -> Result<(), Stop> {
    if depth >= MAX_DEPTH {
        return Err(Stop::Error(DecodeError("exceeded max depth".into())));
    }
    if all.len() >= NOT_THERE as usize {
        return Err(Stop::Irregular);
    }
    let slots = proto_node(node).slots;
    let base = msg.as_ptr() as usize - all.as_ptr() as usize;
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
            index(all, b, ty, slot & 0x7fff, places, depth + 1)?;
        } else {
            let i = usize::from(slot) - 1;
            let place = &mut places[i];
            if place.at == NOT_THERE {
                *place = Place { at: (base + at) as u32, end };
            } else if last != slot || fields(ty)[i].card == Card::One {
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

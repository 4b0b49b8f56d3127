//! Protobuf to JSON in one pass over each message: first where its fields are, then the fields in Go struct order.

use crate::facts::{Absent, Card, Field, Wire, fields};
use crate::json::{write, zero};
use crate::proto::index::{self, Stop, index};
use crate::proto::wire::{Payload, Reader};
use crate::proto::{IntOrString, int_or_string, last_bytes, time};
use crate::{DecodeError, TypeId, json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

type R<T> = Result<T, Stop>;

pub(super) struct Stream<'a, 'o> {
    pub(super) raw: &'a [u8],
    pub(super) head: Option<(&'a str, &'a str)>,
    pub(super) resource_version: &'a str,
    pub(super) out: &'o mut Vec<u8>,
    /// Where the fields are of all messages that are open, innermost last.
    pub(super) places: Vec<index::Place>,
    /// How many of them are in use.
    pub(super) used: usize,
}

fn wrong(f: &Field) -> Stop {
    Stop::Error(DecodeError(format!("proto: wrong wireType for field {}", f.name)))
}

impl<'a> Stream<'a, '_> {
    pub(super) fn object(&mut self, ty: TypeId) -> R<()> {
        self.message(self.raw, ty, 0, Place::Root)
    }

    fn message(&mut self, msg: &'a [u8], ty: TypeId, depth: usize, place: Place) -> R<()> {
        let fs = fields(ty);
        let base = self.used;
        self.used = base + fs.len();
        if self.places.len() < self.used {
            self.places.resize(self.used + 64, index::Place::default());
        }
        let mut found = index::Found::default();
        index(self.raw, msg, ty, ty.facts().proto, &mut self.places[base..], &mut found, depth)?;
        self.out.push(b'{');
        let mut first = true;
        let inner = matches!(place, Place::Inner);
        let mut todo = if inner { found.visible | ty.facts().shown } else { (1 << fs.len()) - 1 };
        while todo != 0 {
            let i = todo.trailing_zeros() as usize;
            todo &= todo - 1;
            let f = &fs[i];
            if !inner && self.replaced(f, place, &mut first) {
                continue;
            }
            let visible = found.visible & (1 << i) != 0;
            if !visible && f.absent == Absent::Silent {
                continue;
            }
            let mark = self.out.len();
            if !first {
                self.out.push(b',');
            }
            self.out.extend_from_slice(f.key.as_bytes());
            let meta = matches!(place, Place::Root) && f.name == "metadata";
            let place = if meta { Place::Meta } else { Place::Inner };
            if !visible || !self.field(f, self.places[base + i], depth, place)? {
                match f.wire {
                    _ if f.absent == Absent::Silent => {
                        self.out.truncate(mark);
                        continue;
                    }
                    Wire::Struct(t) if meta => self.message(&self.raw[..0], t, depth + 1, Place::Meta)?,
                    _ => zero(f, self.out),
                }
            }
            first = false;
        }
        self.used = base;
        self.out.push(b'}');
        Ok(())
    }

    /// Fields whose value comes from outside: kind and apiVersion, and the metadata's resourceVersion.
    fn replaced(&mut self, f: &Field, place: Place, first: &mut bool) -> bool {
        let value = match (place, f.name, self.head) {
            (Place::Root, "kind", Some((kind, _))) if f.path.is_empty() => kind,
            (Place::Root, "apiVersion", Some((_, api_version))) if f.path.is_empty() => api_version,
            (Place::Meta, "resourceVersion", _) => self.resource_version,
            (Place::Template(_, kind), "kind", _) => kind,
            (Place::Template(api_version, _), "apiVersion", _) => api_version,
            _ => return false,
        };
        if !value.is_empty() {
            if !*first {
                self.out.push(b',');
            }
            *first = false;
            self.out.extend_from_slice(f.key.as_bytes());
            write::string(value, self.out);
        }
        true
    }

    /// Appends the value of a field; false when JSON does not show it (nothing is appended then).
    fn field(&mut self, f: &'static Field, at: index::Place, depth: usize, place: Place) -> R<bool> {
        if f.card == Card::One {
            return self.one(f, at.payload(self.raw), depth, place);
        }
        let mut r = Reader::new(at.rest(self.raw));
        let Some((num, p)) = r.next()? else { return Ok(false) };
        match f.card {
            Card::One => Ok(false),
            Card::List => {
                self.out.push(b'[');
                let mut p = p;
                let mut first = true;
                loop {
                    if let (Wire::Int32 | Wire::Int64 | Wire::Bool, Payload::Bytes(_)) = (f.wire, p) {
                        return Err(Stop::Irregular);
                    }
                    if !first {
                        self.out.push(b',');
                    }
                    first = false;
                    self.element(f, p, depth)?;
                    match r.next()? {
                        Some((n, next)) if n == num => p = next,
                        _ => break,
                    }
                }
                self.out.push(b']');
                Ok(true)
            }
            Card::Map => {
                self.map(f, num, p, &mut r, depth)?;
                Ok(true)
            }
        }
    }

    fn map(
        &mut self,
        f: &'static Field,
        num: u32,
        first: Payload<'a>,
        r: &mut Reader<'a>,
        depth: usize,
    ) -> R<()> {
        let mut entries: Vec<(&'a [u8], Option<Payload<'a>>)> = Vec::with_capacity(8);
        let mut p = first;
        loop {
            let Payload::Bytes(b) = p else { return Err(wrong(f)) };
            let (mut k, mut v) = (&b""[..], None);
            let mut e = Reader::new(b);
            while let Some((n, p)) = e.next()? {
                match (n, p) {
                    (1, Payload::Bytes(b)) => k = b,
                    (2, p) => v = Some(p),
                    _ => {}
                }
            }
            entries.push((k, v));
            match r.next()? {
                Some((n, next)) if n == num => p = next,
                _ => break,
            }
        }
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            // Of equal keys the last one holds.
            entries.reverse();
            entries.sort_by_key(|e| e.0);
            entries.dedup_by_key(|e| e.0);
        }
        self.out.push(b'{');
        for (i, (k, v)) in entries.into_iter().enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            self.string(k);
            self.out.push(b':');
            match v {
                Some(p) => self.element(f, p, depth)?,
                None => self.zero_element(f),
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    fn element(&mut self, f: &'static Field, p: Payload<'a>, depth: usize) -> R<()> {
        let place = match f.template {
            Some((api_version, kind)) => Place::Template(api_version, kind),
            None => Place::Inner,
        };
        if !self.one(f, p, depth, place)? {
            self.zero_element(f);
        }
        Ok(())
    }
    fn zero_element(&mut self, f: &'static Field) {
        match f.wire {
            Wire::Struct(t) => json::encode(&crate::Value::Null, t, self.out),
            w => write::write_value(&json::zero_element(w), self.out),
        }
    }
    fn string(&mut self, b: &[u8]) {
        match std::str::from_utf8(b) {
            Ok(s) => write::string(s, self.out),
            Err(_) => write::string(&String::from_utf8_lossy(b), self.out),
        }
    }

    /// Appends one value; false (and nothing appended) where JSON has null.
    fn one(&mut self, f: &'static Field, p: Payload<'a>, depth: usize, place: Place) -> R<bool> {
        match (f.wire, p) {
            (Wire::String, Payload::Bytes(b)) => self.string(b),
            (Wire::Struct(t), Payload::Bytes(b)) => self.message(b, t, depth + 1, place)?,
            (Wire::Bool, Payload::Varint(v)) => {
                self.out.extend_from_slice(if v != 0 { b"true" } else { b"false" });
            }
            (Wire::Int32, Payload::Varint(v)) => write::int(i64::from(v as i32), self.out),
            (Wire::Int64, Payload::Varint(v)) => write::int(v as i64, self.out),
            (Wire::Bytes, Payload::Bytes(b)) => {
                self.out.push(b'"');
                let at = self.out.len();
                self.out.resize(at + b.len().div_ceil(3) * 4, 0);
                if STANDARD.encode_slice(b, &mut self.out[at..]).is_err() {
                    return Err(Stop::Irregular);
                }
                self.out.push(b'"');
            }
            (Wire::Time, Payload::Bytes(b)) => match time(b, false)? {
                None => return Ok(false),
                Some(t) => {
                    self.out.push(b'"');
                    t.write_rfc3339(self.out);
                    self.out.push(b'"');
                }
            },
            (Wire::MicroTime, Payload::Bytes(b)) => match time(b, true)? {
                None => return Ok(false),
                Some(t) => {
                    self.out.push(b'"');
                    t.write_rfc3339_micro(self.out);
                    self.out.push(b'"');
                }
            },
            (Wire::Quantity, Payload::Bytes(b)) => match last_bytes(b, 1)? {
                None | Some(b"") => self.out.extend_from_slice(b"\"0\""),
                Some(s) => self.quantity(s)?,
            },
            (Wire::IntOrString, Payload::Bytes(b)) => match int_or_string(b)? {
                IntOrString::Int(i) => write::int(i64::from(i), self.out),
                IntOrString::Str(s) => self.string(s),
            },
            (Wire::Raw, Payload::Bytes(b)) => match last_bytes(b, 1)? {
                None | Some(b"") => return Ok(false),
                Some(raw) => {
                    let at = self.out.len();
                    json::compact(raw, self.out)?;
                    if self.out.len() == at + 4 && self.out.ends_with(b"null") {
                        self.out.truncate(at);
                        return Ok(false);
                    }
                }
            },
            (_, Payload::Bytes(_)) | (Wire::Double, _) => return self.rare(f, p, depth),
            _ => return Err(wrong(f)),
        }
        Ok(true)
    }

    fn quantity(&mut self, s: &[u8]) -> R<()> {
        // Small plain numbers need no look.
        let plain = s.len() < 10 && s[0] != b'0' && s.iter().all(u8::is_ascii_digit) && !s.ends_with(b"000");
        if plain {
            self.out.push(b'"');
            self.out.extend_from_slice(s);
            self.out.push(b'"');
            return Ok(());
        }
        let s = String::from_utf8_lossy(s);
        let q = meta::quantity::normalize(&s).map_err(DecodeError)?;
        write::string(&q, self.out);
        Ok(())
    }

    /// Types that few objects have: by way of a value.
    #[cold]
    fn rare(&mut self, f: &'static Field, p: Payload<'a>, depth: usize) -> R<bool> {
        match crate::proto::one(f, p, depth)? {
            None | Some(crate::Value::Null) => Ok(false),
            Some(v) => {
                json::one(f.wire, &v, self.out);
                Ok(true)
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Place {
    Root,
    /// The metadata of the root.
    Meta,
    /// An item whose apiVersion and kind the server sets.
    Template(&'static str, &'static str),
    Inner,
}

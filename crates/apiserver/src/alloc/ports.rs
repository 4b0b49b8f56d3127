//! Node ports: a bitmap in the store, as upstream keeps it, so that several servers can share it.

use crate::read::store_failure;
use crate::server::ApiServer;
use crate::{Failure, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use meta::object::ObjectExt;
use meta::{Status, Value};
use serde_json::json;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use storage::Outcome;

const KEY: &str = "/registry/ranges/servicenodeports";

/// The bits of a range, the last byte holding the first eight (a big-endian number, as Go's `big.Int` writes it).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Bits(Vec<u8>);

impl Bits {
    fn get(&self, i: usize) -> bool {
        let n = self.0.len();
        i / 8 < n && self.0[n - 1 - i / 8] >> (i % 8) & 1 == 1
    }
    fn set(&mut self, i: usize, on: bool) {
        let need = i / 8 + 1;
        if self.0.len() < need {
            if !on {
                return;
            }
            let mut v = vec![0; need - self.0.len()];
            v.append(&mut self.0);
            self.0 = v;
        }
        let at = self.0.len() - 1 - i / 8;
        let bit = 1 << (i % 8);
        if on {
            self.0[at] |= bit;
        } else {
            self.0[at] &= !bit;
        }
        let zeros = self.0.iter().take_while(|b| **b == 0).count();
        self.0.drain(..zeros);
    }
}

fn range_text(r: &RangeInclusive<u16>) -> String {
    format!("{}-{}", r.start(), r.end())
}

fn decode(value: &[u8]) -> Option<Value> {
    let env = schema::proto::unwrap(value).ok()?;
    let ty = schema::facts::type_named("core.v1.RangeAllocation")?;
    schema::proto::decode(env.raw, ty).ok()
}

fn encode(v: &Value) -> Result<Bytes> {
    let ty = schema::facts::type_named("core.v1.RangeAllocation")
        .ok_or_else(|| Status::internal("no type core.v1.RangeAllocation"))?;
    Ok(schema::proto::wrap("v1", "RangeAllocation", &schema::proto::encode(v, ty)).into())
}

/// Changes the bitmap, again until nobody else changed it in between.
async fn change<T: Send>(
    s: &ApiServer,
    f: impl Fn(&mut Bits) -> std::result::Result<T, String> + Send + Sync,
) -> std::result::Result<T, Refused> {
    let range = range_text(&s.cfg.node_port_range);
    loop {
        let snap = s.store.latest().await.map_err(|e| Refused::Store(store_failure(&e)))?;
        let record = snap.get(KEY);
        let stored = record.as_ref().and_then(|r| decode(&r.value));
        let mut bits = match &stored {
            // A range that was configured anew starts empty; the repair at start has taken the ports in use.
            Some(v) if v.str_at("range") == range => {
                Bits(STANDARD.decode(v.str_at("data")).unwrap_or_default())
            }
            _ => Bits::default(),
        };
        let before = bits.clone();
        let t = f(&mut bits).map_err(Refused::Because)?;
        if bits == before && record.is_some() {
            return Ok(t);
        }
        let mut v = stored.unwrap_or_else(|| json!({ "metadata": {} }));
        v.set_at("range", range.clone());
        v.set_at("data", STANDARD.encode(&bits.0));
        let bytes = encode(&v).map_err(Refused::Store)?;
        let expected = record.map_or(0, |r| r.mod_revision);
        match s.store.put(KEY, bytes, Some(expected), 0).await {
            Ok(Outcome::Done(_)) => return Ok(t),
            Ok(Outcome::Conflict(_)) => {}
            Err(e) => return Err(Refused::Store(store_failure(&e))),
        }
    }
}

/// Why a port was not given.
pub enum Refused {
    Because(String),
    Store(Failure),
}

/// The ports that one write takes and gives back.
#[derive(Debug, Default)]
pub struct Operation {
    pub dry_run: bool,
    taken: Vec<u16>,
    given: Vec<u16>,
}

impl Operation {
    pub fn new(dry_run: bool) -> Self {
        Self { dry_run, ..Self::default() }
    }

    pub async fn allocate(&mut self, s: &ApiServer, port: i64) -> std::result::Result<(), Refused> {
        let range = &s.cfg.node_port_range;
        let taken = || Refused::Because("provided port is already allocated".into());
        let port = u16::try_from(port).ok().filter(|p| range.contains(p)).ok_or_else(|| {
            Refused::Because(format!(
                "provided port is not in the valid range. The range of valid ports is {}",
                range_text(range)
            ))
        })?;
        if self.taken.contains(&port) {
            return Err(taken());
        }
        let offset = usize::from(port - range.start());
        if self.dry_run {
            let snap = s.store.cached();
            let busy = snap
                .get(KEY)
                .and_then(|r| decode(&r.value))
                .is_some_and(|v| Bits(STANDARD.decode(v.str_at("data")).unwrap_or_default()).get(offset));
            if busy {
                return Err(taken());
            }
        } else {
            change(s, |bits| {
                if bits.get(offset) {
                    return Err("provided port is already allocated".to_owned());
                }
                bits.set(offset, true);
                Ok(())
            })
            .await?;
        }
        self.taken.push(port);
        Ok(())
    }

    pub async fn allocate_next(&mut self, s: &ApiServer) -> std::result::Result<u16, Refused> {
        let range = s.cfg.node_port_range.clone();
        if self.dry_run {
            // Any will do: it is not kept.
            let p = self.taken.iter().max().map_or(*range.end(), |p| p.saturating_add(1));
            self.taken.push(p);
            return Ok(p);
        }
        let size = usize::from(range.end() - range.start()) + 1;
        let seed = s.random();
        let port = change(s, |bits| {
            let i = pick(bits, size, seed).ok_or_else(|| "range is full".to_owned())?;
            bits.set(i, true);
            Ok(range.start() + u16::try_from(i).unwrap_or(0))
        })
        .await?;
        self.taken.push(port);
        Ok(port)
    }

    /// Gives a port back once the write is done.
    pub fn release_later(&mut self, port: u16) {
        self.given.push(port);
    }

    pub async fn finish(self, s: &ApiServer, committed: bool) {
        if !self.dry_run {
            release(s, if committed { &self.given } else { &self.taken }).await;
        }
    }
}

/// Ports at the beginning that are left to those who choose their own.
fn band(size: usize) -> usize {
    if size <= 16 { 0 } else { (size / 32).clamp(16, 128) }
}

fn pick(bits: &Bits, size: usize, seed: u64) -> Option<usize> {
    let ring = |from: usize, to: usize| {
        let n = to - from;
        let start = if n == 0 { 0 } else { usize::try_from(seed % n as u64).unwrap_or(0) };
        (0..n).map(move |i| from + (start + i) % n)
    };
    let b = band(size);
    ring(b, size).chain(ring(0, b)).find(|i| !bits.get(*i))
}

/// Gives ports back.
pub async fn release(s: &ApiServer, ports: &[u16]) {
    let range = &s.cfg.node_port_range;
    let offsets: Vec<usize> =
        ports.iter().filter(|p| range.contains(p)).map(|p| usize::from(p - range.start())).collect();
    if offsets.is_empty() {
        return;
    }
    let done = change(s, |bits| {
        for o in &offsets {
            bits.set(*o, false);
        }
        Ok(())
    })
    .await;
    if let Err(Refused::Store(e)) = done {
        tracing::warn!(error = %e, "releasing node ports");
    }
}

/// Makes the bitmap hold exactly the ports that Services have.
pub async fn repair(s: &ApiServer, used: &BTreeSet<u16>) -> Result<()> {
    let range = s.cfg.node_port_range.clone();
    let size = usize::from(range.end() - range.start()) + 1;
    let want: BTreeSet<usize> =
        used.iter().filter(|p| range.contains(p)).map(|p| usize::from(p - range.start())).collect();
    let done = change(s, |bits| {
        for i in 0..size {
            if bits.get(i) != want.contains(&i) {
                bits.set(i, want.contains(&i));
            }
        }
        Ok(())
    })
    .await;
    match done {
        Ok(()) => Ok(()),
        Err(Refused::Store(e)) => Err(e),
        Err(Refused::Because(t)) => Err(Status::internal(t).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_a_big_endian_number() {
        let mut b = Bits::default();
        for i in [0, 9, 16] {
            b.set(i, true);
        }
        assert_eq!(b.0, [1, 2, 1]);
        assert!(b.get(9) && !b.get(8) && !b.get(100));
        b.set(16, false);
        assert_eq!(b.0, [2, 1]);
    }

    #[test]
    fn picks_leave_the_lower_band_for_last() {
        let mut b = Bits::default();
        let mut seen = Vec::new();
        for seed in 0..64 {
            let i = pick(&b, 64, seed * 7).unwrap();
            b.set(i, true);
            seen.push(i);
        }
        assert!(seen[..48].iter().all(|i| *i >= 16) && seen[48..].iter().all(|i| *i < 16));
        assert_eq!(pick(&b, 64, 1), None);
    }
}

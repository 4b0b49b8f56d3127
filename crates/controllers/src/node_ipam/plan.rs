//! Which ranges are free: pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The shares of one cluster range.
#[derive(Debug)]
struct Pool {
    base: u128,
    v4: bool,
    /// Prefix length of a share.
    mask: u8,
    count: u128,
    taken: BTreeSet<u128>,
    /// Where the next search begins: shares are not given again at once.
    next: u128,
}

/// The shares of all cluster ranges: a node gets one of each.
#[derive(Debug)]
pub struct Ranges(Vec<Pool>);

fn parse(s: &str) -> Option<(IpAddr, u8)> {
    let (ip, n) = s.split_once('/')?;
    let (ip, n): (IpAddr, u8) = (ip.parse().ok()?, n.parse().ok()?);
    (n <= if ip.is_ipv4() { 32 } else { 128 }).then_some((ip, n))
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

impl Pool {
    fn new(cidr: &str, masks: (u8, u8)) -> Result<Self, String> {
        let (ip, n) = parse(cidr).ok_or_else(|| format!("{cidr:?} is not a range of addresses"))?;
        let v4 = ip.is_ipv4();
        let mask = if v4 { masks.0 } else { masks.1 };
        if mask < n {
            return Err(format!("a node's share (/{mask}) is larger than {cidr}"));
        }
        if mask - n > 16 {
            return Err(format!(
                "{cidr} has more than 65536 shares of /{mask}: choose a longer range or a shorter share"
            ));
        }
        let bits = if v4 { 32 } else { 128 };
        let base = if n == 0 { 0 } else { number(ip) >> (bits - u32::from(n)) << (bits - u32::from(n)) };
        Ok(Self { base, v4, mask, count: 1 << (mask - n), taken: BTreeSet::new(), next: 0 })
    }
    fn step(&self) -> u32 {
        (if self.v4 { 32 } else { 128 }) - u32::from(self.mask)
    }
    fn text(&self, i: u128) -> String {
        let at = self.base + (i << self.step());
        if self.v4 {
            format!("{}/{}", Ipv4Addr::from(u32::try_from(at).unwrap_or(u32::MAX)), self.mask)
        } else {
            format!("{}/{}", Ipv6Addr::from(at), self.mask)
        }
    }
    /// The share that a range is; `None` when it is none of ours.
    fn index(&self, cidr: &str) -> Option<u128> {
        let (ip, n) = parse(cidr)?;
        let at = number(ip);
        if ip.is_ipv4() != self.v4 || n != self.mask || at < self.base {
            return None;
        }
        let i = (at - self.base) >> self.step();
        (i < self.count).then_some(i)
    }
    fn take(&mut self) -> Option<u128> {
        let i = (self.next..self.count).chain(0..self.next).find(|i| !self.taken.contains(i))?;
        self.taken.insert(i);
        self.next = (i + 1) % self.count;
        Some(i)
    }
}

impl Ranges {
    pub fn new(cidrs: &[String], masks: (u8, u8)) -> Result<Self, String> {
        if cidrs.is_empty() {
            return Err("there is no --cluster-cidr".to_owned());
        }
        cidrs.iter().map(|c| Pool::new(c, masks)).collect::<Result<_, _>>().map(Self)
    }
    /// Marks what a node has; answers what is none of ours.
    pub fn occupy(&mut self, cidrs: &[String]) -> Vec<String> {
        let mut foreign = Vec::new();
        for c in cidrs {
            let hit = self.0.iter_mut().find_map(|p| p.index(c).map(|i| (p, i)));
            match hit {
                Some((p, i)) => _ = p.taken.insert(i),
                None => foreign.push(c.clone()),
            }
        }
        foreign
    }
    pub fn release(&mut self, cidrs: &[String]) {
        for c in cidrs {
            for p in &mut self.0 {
                if let Some(i) = p.index(c) {
                    p.taken.remove(&i);
                }
            }
        }
    }
    /// One free share of each range, or nothing.
    pub fn take(&mut self) -> Option<Vec<String>> {
        let mut out = Vec::new();
        for i in 0..self.0.len() {
            match self.0[i].take() {
                Some(n) => out.push(self.0[i].text(n)),
                None => {
                    self.release(&out);
                    return None;
                }
            }
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(c: &[&str]) -> Result<Ranges, String> {
        Ranges::new(&c.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>(), (24, 64))
    }

    #[test]
    fn shares_are_given_once_and_what_is_taken_is_passed_over() {
        let mut r = ranges(&["10.244.0.0/22"]).unwrap();
        assert_eq!(r.occupy(&["10.244.1.0/24".into(), "192.0.2.0/24".into()]), ["192.0.2.0/24"]);
        let mut got = Vec::new();
        while let Some(g) = r.take() {
            got.extend(g);
        }
        assert_eq!(got, ["10.244.0.0/24", "10.244.2.0/24", "10.244.3.0/24"]);
        r.release(&["10.244.2.0/24".into()]);
        assert_eq!(r.take().unwrap(), ["10.244.2.0/24"]);
    }

    #[test]
    fn both_families_or_none() {
        let mut r = ranges(&["10.244.0.0/24", "fd00::/63"]).unwrap();
        assert_eq!(r.take().unwrap(), ["10.244.0.0/24", "fd00::/64"]);
        assert_eq!(r.take(), None);
        r.release(&["10.244.0.0/24".into()]);
        assert_eq!(r.take().unwrap(), ["10.244.0.0/24", "fd00:0:0:1::/64"]);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for bad in [&[][..], &["x"], &["10.0.0.0/25"], &["10.0.0.0/33"], &["fd00::/8"]] {
            assert!(ranges(bad).is_err(), "{bad:?}");
        }
    }
}

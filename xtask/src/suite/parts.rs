//! Who plays each part of a cluster: ours or upstream's.

use Part::*;
use Who::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Ours,
    Upstream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Etcd,
    Apiserver,
    Controllers,
    Scheduler,
    Kubelet,
    Proxy,
    Dns,
    Kubectl,
}

/// Each part, the name it goes by in `--swap`, our applet, upstream's program.
pub const PARTS: &[(Part, &str, &str, &str)] = &[
    (Etcd, "etcd", "etcd", "etcd"),
    (Apiserver, "kube-apiserver", "kube-apiserver", "kube-apiserver"),
    (Controllers, "kube-controller-manager", "kube-controller-manager", "kube-controller-manager"),
    (Scheduler, "kube-scheduler", "kube-scheduler", "kube-scheduler"),
    (Kubelet, "kubelet", "kubelet", "kubelet"),
    (Proxy, "kube-proxy", "kube-proxy", "kube-proxy"),
    (Dns, "dns", "kube-dns", "coredns"),
    (Kubectl, "kubectl", "kubectl", "kubectl"),
];

/// A cluster whose components run alone: everybody of one side, but for those swapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cast {
    pub base: Who,
    pub swapped: Vec<Part>,
}

impl Cast {
    pub fn who(&self, part: Part) -> Who {
        // The suite's own client is stock kubectl, whoever serves, unless ours is asked for.
        let base = if part == Kubectl { Upstream } else { self.base };
        match (self.swapped.contains(&part), self.base) {
            (true, Upstream) => Ours,
            (true, Ours) => Upstream,
            (false, _) => base,
        }
    }
    /// As part of a file's name.
    pub fn name(&self) -> String {
        let (base, other) = match self.base {
            Ours => ("alone", "upstream"),
            Upstream => ("upstream", "ours"),
        };
        let of = |p: &Part| PARTS.iter().find(|(q, ..)| q == p).map_or("", |(_, n, ..)| n);
        self.swapped.iter().fold(base.to_owned(), |s, p| format!("{s}-{}-{other}", of(p)))
    }
}

/// `--subject` and `--swap`. None: our server and agent, everything in one process.
pub fn cast(subject: Option<&str>, swap: Option<&str>) -> Result<Option<Cast>, String> {
    let mut base = match subject {
        None | Some("ours") => None,
        Some("upstream") => Some(Upstream),
        Some("alone") => Some(Ours),
        Some(s) => {
            return Err(format!("--subject {s}: it is ours, upstream or alone (ours, a process each)"));
        }
    };
    let mut swapped = Vec::new();
    for s in swap.iter().flat_map(|s| s.split(',')) {
        let known = || PARTS.iter().map(|(_, n, ..)| *n).collect::<Vec<_>>().join(", ");
        let bad = || format!("--swap {s}: want COMPONENT=ours or COMPONENT=upstream, of {}", known());
        let (name, who) = s.split_once('=').ok_or_else(bad)?;
        let (part, ..) = PARTS.iter().find(|(_, n, ..)| *n == name).ok_or_else(bad)?;
        // Ours in upstream's cluster, or upstream's in ours.
        let into = match who {
            "ours" => Upstream,
            "upstream" => Ours,
            _ => return Err(bad()),
        };
        match base {
            Some(b) if b != into => return Err(format!("--swap {s}: that is what the cluster has anyway")),
            _ => base = Some(into),
        }
        if swapped.contains(part) {
            return Err(format!("--swap {s}: named twice"));
        }
        swapped.push(*part);
    }
    Ok(base.map(|base| Cast { base, swapped }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_swapped_in_both_directions() {
        assert_eq!(cast(None, None), Ok(None));
        assert_eq!(cast(Some("ours"), None), Ok(None));
        for (part, name, ..) in PARTS {
            let c = cast(None, Some(&format!("{name}=ours"))).unwrap().unwrap();
            assert_eq!((c.base, c.who(*part)), (Upstream, Ours));
            assert!(PARTS.iter().all(|(p, ..)| p == part || c.who(*p) == Upstream), "{name}");
            let c = cast(Some("alone"), Some(&format!("{name}=upstream"))).unwrap().unwrap();
            assert_eq!((c.base, c.who(*part)), (Ours, Upstream));
            assert!(PARTS.iter().all(|(p, ..)| p == part || *p == Kubectl || c.who(*p) == Ours), "{name}");
        }
        let c = cast(Some("upstream"), Some("etcd=ours,dns=ours")).unwrap().unwrap();
        assert_eq!(c.name(), "upstream-etcd-ours-dns-ours");
        for (subject, swap) in [
            (Some("x"), None),
            (None, Some("etcd")),
            (None, Some("etcd=x")),
            (None, Some("coredns=ours")),
            (None, Some("etcd=ours,dns=upstream")),
            (Some("upstream"), Some("etcd=upstream")),
            (None, Some("etcd=ours,etcd=ours")),
        ] {
            assert!(cast(subject, swap).is_err(), "{subject:?} {swap:?}");
        }
    }
}

//! The cases on a cluster, in the order they run: the later ones leave less of it.

use super::cluster::{Cluster, Pod, until};
use super::{Row, kept, print_row, timed};
use crate::sh;
use std::path::Path;
use std::time::Duration;

type Run = fn(&Cluster, &mut Rng, bool, &mut Vec<String>) -> Result<u64, String>;

pub const CASES: &[(&str, &str, Run)] = &[
    ("server-killed", "kill -9 of the server while a Deployment is scaled and rolled", server_killed),
    ("containerd-killed", "kill -9 of a node's containerd while a Deployment is scaled", containerd_killed),
    ("node-frozen", "a node's agent stands still until the node is given up, then goes on", node_frozen),
    ("parted", "a node is cut off until it is given up, and comes back", parted),
    ("node-lost", "a node is gone for good", node_lost),
];

/// Numbers that follow from the seed.
pub struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

type Case = &'static (&'static str, &'static str, Run);

/// Runs cases on one cluster; each leaves a row.
pub fn run(exe: &Path, seed: u64, quick: bool, cases: &[Case], rows: &mut Vec<Row>) -> Result<(), String> {
    let c = Cluster::up(exe)?;
    calm(&c, 4, 1, 120)?;
    for (name, what, case) in cases {
        sh::step(&format!("{name}: {what} (seed {seed})"));
        // Each case begins with what it would begin with alone.
        let before = scale(&c, 4).and_then(|()| roll(&c, 1)).and_then(|()| calm(&c, 4, 1, 120));
        let row = timed(name, |notes| before.and_then(|_| case(&c, &mut Rng(seed), quick, notes)));
        if !row.wrong.is_empty() {
            c.keep_logs(&kept().join(name));
        }
        rows.push(row);
        print_row(rows.last());
    }
    Ok(())
}

fn image(version: u64) -> String {
    format!("keelson.local/demo:{version}")
}

fn scale(c: &Cluster, to: u64) -> Result<(), String> {
    until("scaling", 60, || c.k(&["scale", "deployment", "web", &format!("--replicas={to}")]).map(drop))
        .map(drop)
}

fn roll(c: &Cluster, version: u64) -> Result<(), String> {
    let image = format!("main={}", image(version));
    until("rolling", 60, || c.k(&["set", "image", "deployment/web", &image]).map(drop)).map(drop)
}

/// Everything is as asked for: the Deployment, its endpoints, both pods of the StatefulSet.
fn calm(c: &Cluster, replicas: u64, version: u64, within: u64) -> Result<f64, String> {
    until("the cluster converges", within, || {
        c.settled(replicas, &image(version))?;
        let db = c.of("db")?;
        if db.len() == 2 && db.iter().all(|p| p.ready && !p.leaving) {
            Ok(())
        } else {
            Err(format!("the StatefulSet's pods are {db:?}"))
        }
    })
}

/// Pods that nobody touched are the same, containers and all.
fn untouched(before: &[Pod], c: &Cluster) -> Result<(), String> {
    let now = c.pods()?;
    for b in before {
        match now.iter().find(|p| p.uid == b.uid) {
            Some(p) if (p.restarts, &p.container) == (b.restarts, &b.container) => {}
            other => return Err(format!("nobody touched {b:?}, and now it is {other:?}")),
        }
    }
    Ok(())
}

fn server_killed(c: &Cluster, r: &mut Rng, quick: bool, notes: &mut Vec<String>) -> Result<u64, String> {
    let rounds = if quick { 2 } else { 5 };
    let db = c.of("db")?;
    let (mut replicas, mut version) = (4, 1);
    for _ in 0..rounds {
        if r.below(2) == 0 {
            replicas = 2 + r.below(5);
            scale(c, replicas)?;
        } else {
            version = 3 - version;
            roll(c, version)?;
        }
        std::thread::sleep(Duration::from_millis(r.below(2500)));
        let ready: Vec<Pod> = c.pods()?.into_iter().filter(|p| p.ready).collect();
        c.kill_server(Duration::from_millis(r.below(1500)))?;
        let s = calm(c, replicas, version, 120)?;
        notes.push(format!("{replicas} replicas of version {version} {s:.1} s after the server was back"));
        untouched(&db, c)?;
        // What ran and was to stay never noticed. (A container that was made and not begun is made anew, as upstream's
        // kubelet does, and counts as a restart.)
        let now = c.pods()?;
        let stayed: Vec<Pod> = ready.into_iter().filter(|b| now.iter().any(|p| p.uid == b.uid)).collect();
        untouched(&stayed, c)?;
        c.single()?;
    }
    Ok(rounds)
}

fn containerd_killed(c: &Cluster, r: &mut Rng, quick: bool, notes: &mut Vec<String>) -> Result<u64, String> {
    let rounds = if quick { 1 } else { 2 };
    let db = c.of("db")?;
    for _ in 0..rounds {
        scale(c, 2 + r.below(2))?;
        std::thread::sleep(Duration::from_millis(r.below(1000)));
        c.signal("n2", "containerd", "9")?;
        let replicas = 5 + r.below(2);
        scale(c, replicas)?;
        let s = calm(c, replicas, 1, 120)?;
        notes.push(format!("{replicas} replicas {s:.1} s after containerd was killed"));
        untouched(&db, c)?;
        c.ready("n2", "True")?;
    }
    Ok(rounds)
}

/// Waits until n2 is given up and its pods of the Deployment are replaced on n1, with no name running twice.
fn given_up(c: &Cluster, notes: &mut Vec<String>) -> Result<(), String> {
    let s = until("n2 is missed", 120, || c.ready("n2", "Unknown"))?;
    let t = until("its pods are replaced", 90, || {
        c.single()?;
        let pods = c.of("web")?;
        let here = pods.iter().filter(|p| p.node == "n1" && p.ready && !p.leaving).count();
        if here == 4 { c.endpoints(&here_of(&pods)) } else { Err(format!("on n1 are {here}: {pods:?}")) }
    })?;
    notes.push(format!("missed after {s:.0} s, replaced and out of the Service {t:.0} s later"));
    Ok(())
}

fn here_of(pods: &[Pod]) -> Vec<Pod> {
    pods.iter().filter(|p| p.node == "n1").cloned().collect()
}

/// Everything is calm again, and n2 runs what the API says and no more.
fn back(c: &Cluster, notes: &mut Vec<String>) -> Result<(), String> {
    let s = until("n2 is back", 90, || c.ready("n2", "True"))?;
    let t = until("the cluster converges", 120, || {
        c.single()?;
        c.settled(4, &image(1))?;
        let db = c.of("db")?;
        if db.len() != 2 || db.iter().any(|p| !p.ready || p.leaving) {
            return Err(format!("the StatefulSet's pods are {db:?}"));
        }
        for host in ["n1", "n2"] {
            let mut want: Vec<String> =
                c.pods()?.into_iter().filter(|p| p.node == host).map(|p| p.name).collect();
            want.sort();
            let is = c.running(host, "")?;
            if is != want {
                return Err(format!("{host} runs {is:?}, and should run {want:?}"));
            }
        }
        Ok(())
    })?;
    notes.push(format!("Ready {s:.0} s after it could, and all as asked for {t:.0} s later"));
    Ok(())
}

fn node_frozen(c: &Cluster, _: &mut Rng, _: bool, notes: &mut Vec<String>) -> Result<u64, String> {
    let agent = c.agent_name();
    c.signal("n2", &agent, "STOP")?;
    let gone = given_up(c, notes);
    c.signal("n2", &agent, "CONT")?;
    gone?;
    back(c, notes)?;
    Ok(1)
}

fn parted(c: &Cluster, _: &mut Rng, _: bool, notes: &mut Vec<String>) -> Result<u64, String> {
    c.link("n2", false)?;
    let gone = given_up(c, notes);
    c.link("n2", true)?;
    gone?;
    back(c, notes)?;
    Ok(1)
}

fn node_lost(c: &Cluster, _: &mut Rng, _: bool, notes: &mut Vec<String>) -> Result<u64, String> {
    c.lose("n2")?;
    given_up(c, notes)?;
    c.k(&["delete", "node", "n2", "--wait=false"])?;
    let s = until("its pods are forgotten", 120, || {
        c.settled(4, &image(1))?;
        c.single()?;
        let left: Vec<Pod> = c.pods()?.into_iter().filter(|p| p.node == "n2").collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })?;
    // Its StatefulSet's pod is made anew; where only one node is left it has to wait, as it asked not to share one.
    let db = until("the StatefulSet has two pods", 60, || {
        let db = c.of("db")?;
        if db.len() == 2 && db.iter().all(|p| !p.leaving) { Ok(()) } else { Err(format!("{db:?}")) }
    })?;
    notes.push(format!(
        "given up for good: its pods are forgotten after {s:.0} s, db-N made anew {db:.0} s later"
    ));
    Ok(1)
}

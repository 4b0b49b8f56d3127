//! A whole control plane in one process, killed under clients of the Kubernetes API: what they were told must be what a
//! store with etcd's guarantees would have told them, through the server's caches, lists and watches.

use super::{Bed, Report};
use crate::api::{self, Client, PATIENCE, Target};
use crate::client::{Recorder, lock};
use crate::history::{History, Item, Log, Outcome};
use crate::model::{self, Kind};
use crate::rng::Rng;
use crate::run::Verdict;
use crate::subject::Who;
use crate::watcher::Watcher;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CLIENTS: u64 = 6;

struct Server {
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that ended by itself is waited for, too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(bed: &Bed, data: &Path, port: u16) -> Result<Server, String> {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(bed.dir.join("server.log"));
    let log = log.map_err(|e| e.to_string())?;
    let child = Command::new(&bed.program.exe)
        .args(["server", "--bind-address=127.0.0.1", "--advertise-address=192.0.2.1", "--node-ip=127.0.0.1"])
        .args(["--disable=kubelet,kube-proxy,kube-dns", &format!("--secure-port={port}")])
        .arg(format!("--data-dir={}", data.display()))
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(|e| e.to_string())?)
        .stderr(log)
        .spawn();
    Ok(Server { child: child.map_err(|e| format!("{}: {e}", bed.program.exe.display()))? })
}

async fn wait_for(target: &Path, port: u16, log: &Arc<Recorder>) -> Result<Target, String> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Ok(t) = Target::new(target, port)
            && Client::new(&t, log).ready().await
        {
            return Ok(t);
        }
        if Instant::now() > end {
            return Err("the control plane is not ready after a minute; its log is server.log".into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn step(c: &mut Client, r: &mut Rng) {
    let name = format!("faults-{:02}", r.below(12));
    let what = r.below(100);
    let Outcome::Found(_, found) = c.list().await else {
        tokio::time::sleep(Duration::from_millis(r.between(5, 60))).await;
        return;
    };
    if what < 15 {
        return;
    }
    let at = found.iter().find(|k| *k.key == *name).map_or(0, |k| k.modified);
    let puts = at == 0 || what < 75;
    c.write(&name, at, puts).await;
}

pub async fn run(bed: &Bed) -> Result<Report, String> {
    let mut report = Report { rounds: bed.rounds(3, 10), ..Report::default() };
    let itself = std::env::current_exe().is_ok_and(|e| e == bed.program.exe);
    if bed.who() != Who::Ours || itself {
        report.rounds = 0;
        report.note("left out: it is of keelson's control plane alone");
        return Ok(report);
    }
    let (data, log) = (bed.dir.join("data"), Recorder::new());
    let port = crate::subject::free_port()?;
    let mut server = start(bed, &data, port)?;
    let target = wait_for(&data.join("admin.kubeconfig"), port, &log).await?;
    let mut own = Client::new(&target, &log);
    let Outcome::Found(base, _) = own.list().await else { return Err("the first list failed".into()) };
    let mut watches = vec![api::watch(&target, &log, "from the beginning".into(), base)];
    let mut newest = base;
    for round in 0..report.rounds {
        watches.push(api::watch(&target, &log, format!("from {newest} in round {round}"), newest));
        let over = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for n in 0..CLIENTS {
            let (mut c, o) = (Client::new(&target, &log), over.clone());
            let mut r = Rng::new(&[bed.seed, round, n]);
            tasks.push(tokio::spawn(async move {
                while !o.load(Ordering::SeqCst) {
                    step(&mut c, &mut r).await;
                }
            }));
        }
        let mut r = Rng::new(&[bed.seed, round, 1000]);
        tokio::time::sleep(Duration::from_millis(r.between(300, 1500))).await;
        drop(server);
        server = start(bed, &data, port)?;
        wait_for(&data.join("admin.kubeconfig"), port, &log).await?;
        tokio::time::sleep(Duration::from_millis(r.between(100, 500))).await;
        over.store(true, Ordering::SeqCst);
        for t in tasks {
            // A panic there was printed.
            let _ = t.await;
        }
        if let Outcome::Found(at, _) = own.list().await {
            newest = at;
        }
    }
    report.add(judge(&target, &log, own, base, watches).await?);
    drop(server);
    Ok(report)
}

async fn judge(
    target: &Target,
    log: &Arc<Recorder>,
    mut own: Client,
    base: i64,
    watches: Vec<Watcher>,
) -> Result<Verdict, String> {
    // The last write: a watch that was told it was told all.
    let mut end = Outcome::DoneSome;
    for n in 0..10 {
        end = own.write(&format!("faults-zz-end-{n}"), 0, true).await;
        if matches!(end, Outcome::Done(_)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let Outcome::Done(head) = end else { return Err(format!("the last write: {end:?}")) };
    let told = api::watch(target, log, "log".into(), base).finish(head, PATIENCE).await?;
    let mut violations = Vec::new();
    let mut events = Vec::new();
    for (_, i) in told.items {
        match i {
            Item::Event(e) => events.push(e),
            Item::Compacted(_) => {
                let what = "the past from the beginning of the test is gone".to_owned();
                violations.push(model::Violation { kind: Kind::BadLog, what });
            }
            Item::Progress(_) => {}
        }
    }
    let head = events.last().map_or(base, |e| e.kv.modified);
    let mut h = History { log: Log { base, keys: Vec::new(), events, head }, ..History::default() };
    for s in futures::future::join_all(watches.into_iter().map(|w| w.finish(head, PATIENCE))).await {
        h.streams.push(s?);
    }
    own.list().await;
    h.ops = std::mem::take(&mut *lock(&log.ops));
    violations.extend(model::check(&h));
    let done = |o: &Outcome| matches!(o, Outcome::Done(_) | Outcome::DoneSome);
    Ok(Verdict {
        ops: h.ops.len(),
        acknowledged: h.ops.iter().filter(|o| done(&o.outcome)).count(),
        unknown: h.ops.iter().filter(|o| matches!(o.outcome, Outcome::Unknown(_))).count(),
        told: h.streams.iter().map(|s| s.items.len()).sum(),
        violations,
    })
}

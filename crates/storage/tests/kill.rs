//! Kills a server that writes, many times over, and looks at what is left: everything that was acknowledged, nothing
//! by halves. And lets the disk refuse writes under a server, which must go on when there is room again.
//!
//! The test starts itself as the server. `KEELSON_KILL_ROUNDS` says how often (40), `KEELSON_KILL_SEED` picks the moments.
#![allow(clippy::unwrap_used, reason = "a test, though it has its own main")]

mod kill {
    pub mod child;
    pub mod model;
}

use kill::model::Model;
use runtime::Runtime;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use storage::{Embedded, Options};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

pub fn options() -> Options {
    Options { compact_every: Duration::ZERO, watch_backlog: 1 << 20, ..Options::default() }
}

/// The next of a row of numbers that look random.
pub fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("keelson-{name}-{}", std::process::id())))
    }
    fn db(&self) -> PathBuf {
        self.0.join("state.db")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // A failure leaves its evidence.
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

fn start(mode: &str, db: &Path, round: u64) -> Child {
    let me = std::env::current_exe().unwrap();
    let mut c = if mode == "full" {
        // The shell makes the signal ignored and the bound soft; both live through exec.
        let mut c = Command::new("sh");
        c.args(["-c", "trap '' XFSZ; ulimit -S -f 600; exec \"$0\""]).arg(me);
        c
    } else {
        Command::new(me)
    };
    c.env("KEELSON_KILL_MODE", mode)
        .env("KEELSON_KILL_DB", db)
        .env("KEELSON_KILL_ROUND", round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn check(db: &Path, model: &Model) -> u64 {
    let rt = Runtime::new();
    let s = Embedded::open(db, options(), rt).await.unwrap_or_else(|e| panic!("after a kill: {e}"));
    model.check(&s).await;
    let revision = s.revision();
    s.close().await;
    revision.cast_unsigned()
}

async fn kill_and_look() {
    let dir = Dir::new("kill");
    let seed = number("KEELSON_KILL_SEED", 1);
    let rounds = number("KEELSON_KILL_ROUNDS", 40);
    let mut model = Model::default();
    let begun = Instant::now();
    let mut acknowledged = 0;
    let mut revision = 1;
    for round in 0..rounds {
        let mut child = start("write", &dir.db(), round);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "round {round}");
        let reader = std::thread::spawn(move || {
            let mut rest = String::new();
            out.read_to_string(&mut rest).unwrap();
            rest
        });
        // Sometimes at once, mostly in the middle of it.
        std::thread::sleep(Duration::from_micros(mix(seed << 32 | round) % 30_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let lines = reader.join().unwrap();
        acknowledged += lines.lines().count();
        for l in lines.lines() {
            model.acknowledged(round, l);
        }
        model.rounds = round + 1;
        // Every other time the next server finds what the kill left, and not what our look at it tidied up.
        if round % 2 == 1 || round + 1 == rounds {
            revision = check(&dir.db(), &model).await;
        }
    }
    assert!(acknowledged > 0, "no round got to write anything");
    println!(
        "killed {rounds} times in {:.1} s: {acknowledged} acknowledged writes are all there, at revision {revision}",
        begun.elapsed().as_secs_f64()
    );
}

async fn refuse_and_look() {
    let dir = Dir::new("full");
    let mut child = start("full", &dir.db(), 0);
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.wait().unwrap();
    let mut model = Model::default();
    model.rounds = 1;
    let mut said = Vec::new();
    for l in out.lines() {
        match l.strip_prefix("# ") {
            Some(s) => said.push(s),
            None => model.acknowledged(0, l),
        }
    }
    assert!(said.iter().any(|s| s.starts_with("refused: writing to ")), "{said:?}");
    assert_eq!(said.last(), Some(&"went on"), "{said:?}");
    let revision = check(&dir.db(), &model).await;
    println!("{} times the disk refused; it went on, to revision {revision}", said.len() - 1);
}

fn main() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match std::env::var("KEELSON_KILL_MODE").as_deref() {
        Ok(mode) => tokio.block_on(kill::child::run(mode)),
        Err(_) => {
            // What cargo passes to tests: only a listing matters.
            if std::env::args().any(|a| a == "--list") {
                println!("kill: test");
                return;
            }
            tokio.block_on(async {
                kill_and_look().await;
                refuse_and_look().await;
            });
        }
    }
}

//! Pods with containers, on two clusters of two test hosts each: ours (a server and an agent) and upstream's, with the
//! same containerd. What they cost is all that their hosts do, containers and their runtime included.

use super::Bench;
use super::side::Who;
use super::table::{Better, Table};
use crate::hosts::{self, EVICT, Hosts};
use crate::{packages, sh, suite};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Goes by two names: upstream's runtime looks for its sandbox's under the first.
const IMAGES: [&str; 2] = ["registry.k8s.io/pause:3.10.2", "keelson.local/pause:1"];

/// A cluster on hosts of its own, held by a process of its own: sets of hosts are told apart by an environment variable.
struct Cluster {
    holder: Child,
    dir: PathBuf,
    kubeconfig: String,
}

impl Cluster {
    fn up(b: &Bench, who: &str) -> Result<Self, String> {
        let dir = hosts::dir();
        let dir = dir
            .with_file_name(format!("{}-bench-{who}", dir.file_name().unwrap_or_default().to_string_lossy()));
        let me = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut holder = Command::new(me)
            .args(["bench", "--hold", who])
            .env("HOSTS_DIR", &dir)
            .env("KEELSON_EXE", &b.exe)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        let mut line = String::new();
        if let Some(out) = holder.stdout.take() {
            // Hosts say nothing on standard output.
            let mut lines = BufReader::new(out);
            while lines.read_line(&mut line).map_err(|e| e.to_string())? > 0 && !line.starts_with("up ") {
                line.clear();
            }
        }
        let kubeconfig = line.trim().strip_prefix("up ").unwrap_or_default().to_owned();
        let c = Self { holder, dir, kubeconfig };
        if c.kubeconfig.is_empty() { Err(format!("the cluster of {who} did not come up")) } else { Ok(c) }
    }

    /// Runs the load client in the network of n1, but with this machine's files and processes in sight.
    fn load(&self, b: &Bench, args: &[(&str, &str)]) -> Result<serde_json::Value, String> {
        let pid = std::fs::read_to_string(self.dir.join("n1/pid")).map_err(|e| e.to_string())?;
        let mut c = Command::new("nsenter");
        c.args(["-t", pid.trim(), "--net", "--"]).arg(&b.loadgen).arg("pods");
        c.args(["--kubeconfig", &self.kubeconfig, "--image", IMAGES[1]]);
        for (name, value) in args {
            c.arg(format!("--{name}")).arg(value);
        }
        serde_json::from_str(&sh::output(&mut c)?).map_err(|e| e.to_string())
    }

    /// The kernel's accounts of its hosts.
    fn groups(&self) -> String {
        let set = self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = |host: &str| format!("/sys/fs/cgroup/cpuacct/{set}-{host}/cpuacct.usage");
        format!("{},{}", file("n1"), file("n2"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The end of its input tells the holder to take the hosts away.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// `bench --hold SIDE`: a cluster that stands until the input ends.
pub fn hold(who: &str) -> Result<(), String> {
    let exe = sh::keelson(true)?;
    let mut h = Hosts::up(&["n1", "n2"])?;
    h.keep = false;
    let images = hosts::dir().join("images");
    let pause = |dir: &Path| crate::images::pause(dir, &IMAGES);
    let kubeconfig = if who == "ours" {
        for n in ["n1", "n2"] {
            pause(&hosts::path(n, "/var/lib/keelson/images"))?;
        }
        let data = hosts::path("n1", "/var/lib/keelson");
        suite::cluster(&h, &exe, &data, &[EVICT])?;
        data.join("admin.kubeconfig")
    } else {
        pause(&images)?;
        suite::upstream(&h, &exe, &images, &hosts::dir().join("logs"))?
    };
    println!("up {}", kubeconfig.display());
    let _ = std::io::stdin().read(&mut [0]);
    Ok(())
}

pub fn run(b: &Bench, t: &mut Table) -> Result<(), String> {
    if !sh::is_root() {
        return Err("needs root, for network namespaces and containers".to_owned());
    }
    packages::node()?;
    suite::kubectl()?;
    suite::programs_of_upstream()?;
    let clusters = [(Who::Ours, Cluster::up(b, "ours")?), (Who::Peer, Cluster::up(b, "upstream")?)];
    // The first pod of a node finds nothing warm.
    for (n, (_, c)) in clusters.iter().enumerate() {
        c.load(b, &[("count", "4"), ("run", &format!("warm-{n}"))])?;
    }
    std::thread::sleep(Duration::from_secs(5));
    for count in ["1", "50"] {
        let repeats = if count == "1" { b.repeats } else { b.few() };
        for n in 0..repeats {
            for (who, c) in &clusters {
                let (run, groups) = (format!("r{count}-{n}"), c.groups());
                let v = c.load(b, &[("count", count), ("run", &run), ("groups", &groups)])?;
                let number = |n: &str| v[n].as_f64().unwrap_or_default();
                let measured = (number("seconds"), Some(number("cpu_us")), 0.0);
                let what = format!("{count} pods from create to Running");
                t.add(&what, "s", Better::Lower, *who, measured);
                t.add(
                    &format!("{what}: CPU of a pod"),
                    "ms",
                    Better::Lower,
                    *who,
                    (number("cpu_us") / 1e3, None, 0.0),
                );
                // Removing the last ones is not the next side's burden.
                std::thread::sleep(Duration::from_secs(if count == "1" { 1 } else { 3 }));
            }
        }
    }
    Ok(())
}

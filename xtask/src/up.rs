//! Bringing a cluster up on this machine, and down again.

use crate::{images, packages, sh};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DATA_DIR: &str = "/var/lib/keelson";
/// A first start pulls nothing and waits for nothing slow; past this something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);

fn data_dir(args: &[String]) -> PathBuf {
    PathBuf::from(sh::flag(args, "--data-dir").unwrap_or(DATA_DIR))
}

pub fn up(args: &[String]) -> Result<(), String> {
    if !sh::is_root() {
        return Err("containers need root: run `sudo -E env PATH=$PATH cargo xtask up`".to_owned());
    }
    let dir = data_dir(args);
    packages::node()?;
    let exe = sh::keelson(true)?;
    sh::step("building the demo and pause images");
    images::build(&dir.join("images"))?;
    if let Some(pid) = running(&dir) {
        sh::step(&format!(
            "a server is already running on {} (process {pid}); stopping it to start the new build",
            dir.display()
        ));
        stop(&dir)?;
    }
    sh::step(&format!("starting the server on {}", dir.display()));
    let begun = Instant::now();
    start(Command::new(&exe), &dir, &[])?;
    sh::step(&format!("the node is Ready, {:.1} s after the start", begun.elapsed().as_secs_f64()));
    println!(
        "
What to type next:

  export KUBECONFIG={dir}/admin.kubeconfig
  alias kubectl='{exe} kubectl'                 # or your own stock kubectl
  kubectl get nodes
  kubectl create deployment web --image=keelson.local/demo:1 --replicas=3
  kubectl expose deployment web --port=80 --target-port=8080 --type=NodePort
  kubectl get pods,services -o wide

The server's log is {dir}/server.log; `cargo xtask down` stops it.",
        dir = dir.display(),
        exe = exe.display()
    );
    Ok(())
}

/// Starts a server in the background and waits until it says that it is ready.
pub fn start(program: Command, dir: &Path, extra: &[&str]) -> Result<u32, String> {
    start_on(program, &dir.display().to_string(), dir, extra)
}

/// As [`start`], for a server whose host calls its data directory `there` while we see it as `dir`.
pub fn start_on(mut program: Command, there: &str, dir: &Path, extra: &[&str]) -> Result<u32, String> {
    let io = |e: std::io::Error| format!("{}: {e}", dir.display());
    std::fs::create_dir_all(dir).map_err(io)?;
    let socket = dir.join(".notify");
    let _ = std::fs::remove_file(&socket);
    let notify = UnixDatagram::bind(&socket).map_err(io)?;
    notify.set_read_timeout(Some(Duration::from_millis(200))).map_err(io)?;
    let log_path = dir.join("server.log");
    let log = std::fs::File::create(&log_path).map_err(io)?;
    program
        .args(["server", "--data-dir", there])
        .args(extra)
        .env("NOTIFY_SOCKET", format!("{there}/.notify"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(io)?)
        .stderr(log)
        .process_group(0);
    let mut child = program.spawn().map_err(|e| format!("cannot start the server: {e}"))?;
    let answer = wait_ready(&mut child, &notify, &log_path);
    let _ = std::fs::remove_file(&socket);
    answer.map(|()| child.id())
}

fn wait_ready(child: &mut Child, notify: &UnixDatagram, log: &Path) -> Result<(), String> {
    let begun = Instant::now();
    let mut buf = [0; 4096];
    let tail = || {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    };
    loop {
        if let Ok(n) = notify.recv(&mut buf) {
            let text = String::from_utf8_lossy(&buf[..n]).into_owned();
            for line in text.lines() {
                if let Some(s) = line.strip_prefix("STATUS=") {
                    eprintln!("    {s}");
                }
            }
            if text.lines().any(|l| l == "READY=1") {
                return Ok(());
            }
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("the server ended ({status}); its log ends with\n{}", tail()));
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!(
                "the server is not ready after {} s; its log ends with\n{}",
                PATIENCE.as_secs(),
                tail()
            ));
        }
    }
}

/// The process id of the server on `dir`, when it lives.
pub fn running(dir: &Path) -> Option<u32> {
    let pid: u32 = std::fs::read_to_string(dir.join("server.pid")).ok()?.trim().parse().ok()?;
    let cmd = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    String::from_utf8_lossy(&cmd).contains("server").then_some(pid)
}

/// Asks the server to end and waits for it.
pub fn stop(dir: &Path) -> Result<(), String> {
    let Some(pid) = running(dir) else { return Ok(()) };
    sh::run(Command::new("kill").arg(pid.to_string()))?;
    let begun = Instant::now();
    while running(dir).is_some() {
        if begun.elapsed() > Duration::from_secs(40) {
            return Err(format!("process {pid} does not end; look at {}", dir.join("server.log").display()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

pub fn down(args: &[String]) -> Result<(), String> {
    let dir = data_dir(args);
    sh::step("stopping the server");
    stop(&dir)?;
    sh::step("stopping its containers");
    let exe = sh::target_dir().join("release/keelson");
    sh::run(Command::new(exe).args(["server", "--stop-containers", "--data-dir"]).arg(&dir))
}

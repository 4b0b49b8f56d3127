//! The container runtime that a server or agent keeps: a containerd of its own, under the data directory.
//!
//! It is started in a process group of its own and left running when the server ends, so that containers never notice
//! a restart; the next server finds it by its socket.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The pause image's name when no other is given.
pub const PAUSE_IMAGE: &str = "keelson.local/pause:1";

/// Where a runtime's files are.
#[derive(Clone, Debug)]
pub struct Paths {
    pub dir: PathBuf,
    pub socket: PathBuf,
    pub cni_bin: PathBuf,
    pub cni_conf: PathBuf,
}

impl Paths {
    pub fn new(data_dir: &Path) -> Self {
        let dir = data_dir.join("containerd");
        Self {
            socket: dir.join("containerd.sock"),
            dir,
            cni_bin: data_dir.join("cni/bin"),
            cni_conf: data_dir.join("cni/net.d"),
        }
    }
    /// As `--container-runtime-endpoint` has it.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

fn find(program: &str) -> Result<PathBuf, String> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/local/bin", "/usr/bin", "/usr/sbin", "/sbin"])
        .map(|d| Path::new(d).join(program))
        .find(|p| p.is_file())
        .ok_or_else(|| {
            format!(
                "{program} is not installed: install it (Debian: apt-get install containerd runc), \
                 or give --container-runtime-endpoint of a runtime that speaks CRI v1"
            )
        })
}

/// Whether this process may lower OOM scores; containerd must be told when it may not.
fn may_lower_oom_score() -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let caps = status.lines().find_map(|l| l.strip_prefix("CapEff:")).map(str::trim).unwrap_or_default();
    u64::from_str_radix(caps, 16).is_ok_and(|c| c & (1 << CAP_SYS_RESOURCE) != 0)
}

fn config(p: &Paths, pause_image: &str) -> String {
    let dir = p.dir.display();
    format!(
        r#"# Written by keelson at each start.
version = 2
root = "{dir}/root"
state = "{dir}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
  address = "{socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  restrict_oom_score_adj = {restrict}
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{bin}"
  conf_dir = "{conf}"

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "{dir}/certs.d"

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"#,
        socket = p.socket.display(),
        restrict = !may_lower_oom_score(),
        bin = p.cni_bin.display(),
        conf = p.cni_conf.display(),
    )
}

/// Makes sure that the runtime runs and answers; starts it where it does not.
pub async fn ensure(p: &Paths, pause_image: &str) -> Result<(), String> {
    if p.socket.as_os_str().len() > 100 {
        return Err(format!(
            "{} is too long a path for a socket: choose a shorter --data-dir",
            p.socket.display()
        ));
    }
    if tokio::net::UnixStream::connect(&p.socket).await.is_ok() {
        tracing::info!(socket = %p.socket.display(), "the container runtime is already running");
        return Ok(());
    }
    let exe = find("containerd")?;
    find("runc")?;
    std::fs::create_dir_all(&p.dir).map_err(|e| format!("{}: {e}", p.dir.display()))?;
    let conf = p.dir.join("config.toml");
    std::fs::write(&conf, config(p, pause_image)).map_err(|e| format!("{}: {e}", conf.display()))?;
    let log_path = p.dir.join("containerd.log");
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_path)
        .map_err(|e| format!("{}: {e}", log_path.display()))?;
    let mut child = Command::new(exe)
        .arg("--config")
        .arg(&conf)
        .arg("--log-level=warn")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .env_remove("NOTIFY_SOCKET")
        .process_group(0)
        .spawn()
        .map_err(|e| format!("cannot start containerd: {e}"))?;
    std::fs::write(p.dir.join("containerd.pid"), child.id().to_string()).map_err(|e| e.to_string())?;
    for _ in 0..600 {
        if tokio::net::UnixStream::connect(&p.socket).await.is_ok() {
            // Reaped when it ends, so that it never stays behind as a zombie of this process.
            std::thread::spawn(move || child.wait());
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            let text = std::fs::read_to_string(&log_path).unwrap_or_default();
            let last = text.lines().last().unwrap_or("it said nothing");
            return Err(format!(
                "containerd ended at once ({status}): {last}; its log is {}",
                log_path.display()
            ));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(format!(
        "containerd does not answer on {} after 30 s; its log is {}",
        p.socket.display(),
        log_path.display()
    ))
}

/// Waits until a process is gone; an error when there is no such containerd now.
async fn ended(pid_file: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(pid_file).map_err(|e| format!("{}: {e}", pid_file.display()))?;
    let pid: i32 = text.trim().parse().map_err(|_| format!("{} holds no number", pid_file.display()))?;
    let process = rustix::process::Pid::from_raw(pid).ok_or("0 is no process")?;
    let watched = rustix::process::pidfd_open(process, rustix::process::PidfdFlags::NONBLOCK);
    let watched = watched.map_err(|e| format!("process {pid}: {e}"))?;
    // Its number may be another's by now: looked at once the process cannot change any more.
    let cmd = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if !String::from_utf8_lossy(&cmd).contains("containerd") {
        return Err(format!("process {pid} is no containerd"));
    }
    #[expect(
        deprecated,
        reason = "what is deprecated is other things than owned file descriptors, as this one is"
    )]
    let watched = tokio::io::unix::AsyncFd::with_interest(watched, tokio::io::Interest::READABLE);
    let gone =
        async { watched.map_err(|e| e.to_string())?.readable().await.map(drop).map_err(|e| e.to_string()) };
    gone.await
}

/// Starts the runtime again whenever it ends: nobody else would, and containers live on without it, but none begins or
/// ends. Runs until it is dropped.
pub async fn keep(p: Paths, pause_image: String) {
    const FIRST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(30);
    /// Who lived so long is not one who ends at once.
    const STEADY: Duration = Duration::from_secs(60);
    let pid_file = p.dir.join("containerd.pid");
    let mut wait = FIRST;
    loop {
        let begun = tokio::time::Instant::now();
        match ended(&pid_file).await {
            Ok(()) => {
                tracing::warn!(log = %p.dir.join("containerd.log").display(), "containerd ended: starting it again")
            }
            Err(e) => tracing::debug!("containerd is not to be seen: {e}"),
        }
        if begun.elapsed() > STEADY {
            wait = FIRST;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST);
        if tokio::net::UnixStream::connect(&p.socket).await.is_err()
            && let Err(e) = ensure(&p, &pause_image).await
        {
            tracing::warn!("{e}");
        }
    }
}

/// Whether somebody else's runtime answers; within ten seconds, since both may just be starting.
pub async fn check(endpoint: &str) -> Result<(), String> {
    use cri::Runtime as _;
    let remote = cri::Remote::new(endpoint, "", Duration::from_secs(5)).map_err(|e| e.to_string())?;
    let mut last = String::new();
    for _ in 0..20 {
        let asked = cri::v1::VersionRequest { version: "v1".to_owned() };
        match remote.version(asked).await {
            Ok(v) => {
                tracing::info!(name = v.runtime_name, version = v.runtime_version, "the container runtime");
                return Ok(());
            }
            Err(e) => last = e.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Err(format!(
        "the container runtime at {endpoint} does not answer: {last}; start it, or leave --container-runtime-endpoint \
         out to have keelson run containerd itself"
    ))
}

/// Ends every pod that runs on the runtime [`ensure`] started (their networks are taken away by the CNI plugin as
/// ever), and then the runtime.
pub async fn stop(p: &Paths) -> Result<(), String> {
    use cri::Runtime as _;
    let pid_file = p.dir.join("containerd.pid");
    let Ok(pid) = std::fs::read_to_string(&pid_file) else { return Ok(()) };
    let Ok(pid) = pid.trim().parse::<i32>() else { return Ok(()) };
    let cmd = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if let Some(process) = rustix::process::Pid::from_raw(pid)
        && String::from_utf8_lossy(&cmd).contains("containerd")
    {
        let remote =
            cri::Remote::new(&p.endpoint(), "", Duration::from_secs(60)).map_err(|e| e.to_string())?;
        let list = remote.list_pod_sandbox(cri::v1::ListPodSandboxRequest::default());
        for pod in list.await.map_err(|e| e.to_string())?.items {
            // Removing stops what runs in it first.
            let stop = cri::v1::StopPodSandboxRequest { pod_sandbox_id: pod.id.clone() };
            let remove = cri::v1::RemovePodSandboxRequest { pod_sandbox_id: pod.id.clone() };
            let done = match remote.stop_pod_sandbox(stop).await {
                Ok(_) => remote.remove_pod_sandbox(remove).await.map(drop),
                Err(e) => Err(e),
            };
            if let Err(e) = done {
                tracing::warn!(sandbox = pod.id, "cannot end a pod: {e}");
            }
        }
        rustix::process::kill_process(process, rustix::process::Signal::TERM).map_err(|e| e.to_string())?;
        for _ in 0..200 {
            if rustix::process::test_kill_process(process).is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    std::fs::remove_file(pid_file).map_err(|e| e.to_string())
}

/// Unmounts what is mounted below a folder, the deepest first.
pub fn unmount_below(dir: &Path) {
    let Ok(dir) = dir.canonicalize() else { return };
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut points: Vec<&str> = mounts
        .lines()
        .filter_map(|l| l.split(' ').nth(1))
        .filter(|m| Path::new(m).starts_with(&dir) && Path::new(m) != dir)
        .collect();
    points.sort_by_key(|m| std::cmp::Reverse(m.len()));
    for m in points {
        if let Err(e) = rustix::mount::unmount(m, rustix::mount::UnmountFlags::DETACH) {
            tracing::warn!(mount = m, "cannot unmount: {e}");
        }
    }
}

/// The images of archives, by an archive's path: its size and time, and the names in it.
type Imported = BTreeMap<String, (u64, u128, Vec<String>)>;

/// Imports the image archives of `dir` through containerd's `ctr`: those that are new or changed since the last time, and
/// those of which an image is no longer there. Answers how many, and the names of all images that come from archives.
pub async fn import_images(p: &Paths, dir: &Path) -> Result<(usize, Vec<String>), String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok((0, vec![])) };
    let mut archives: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    archives.retain(|a| a.extension().is_some_and(|x| x == "tar"));
    archives.sort();
    let seen_path = p.dir.join("imported.json");
    let before: Imported =
        std::fs::read(&seen_path).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
    let present =
        if before.is_empty() { String::new() } else { ctr(p, &["images", "list", "--quiet"]).await? };
    let present: HashSet<&str> = present.lines().collect();
    let mut now = Imported::new();
    let mut count = 0;
    for a in &archives {
        let at = |e: std::io::Error| format!("{}: {e}", a.display());
        let meta = std::fs::metadata(a).map_err(at)?;
        let modified = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
        let (size, modified) = (meta.len(), modified.unwrap_or_default().as_nanos());
        let key = a.display().to_string();
        let known = before.get(&key).filter(|(s, m, names)| {
            (*s, *m) == (size, modified) && names.iter().all(|n| present.contains(n.as_str()))
        });
        let names = match known {
            Some((.., names)) => names.clone(),
            None => {
                ctr(p, &["images", "import", "--all-platforms", &key])
                    .await
                    .map_err(|e| format!("cannot import the image archive {key}: {e}"))?;
                count += 1;
                let names = std::fs::File::open(a).and_then(oci::names).map_err(at)?;
                names.iter().map(|n| kubelet::images::reference::full(n)).collect::<Result<_, _>>()?
            }
        };
        now.insert(key, (size, modified, names));
    }
    let text = serde_json::to_vec(&now).map_err(|e| e.to_string())?;
    std::fs::write(&seen_path, text).map_err(|e| format!("{}: {e}", seen_path.display()))?;
    Ok((count, now.into_values().flat_map(|(.., names)| names).collect()))
}

/// Runs containerd's own client; answers what it prints.
async fn ctr(p: &Paths, args: &[&str]) -> Result<String, String> {
    let out = tokio::process::Command::new(find("ctr")?)
        .arg("--address")
        .arg(&p.socket)
        .args(["--namespace", "k8s.io"])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|e| format!("cannot run ctr: {e}"))?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_containerd_is_seen() {
        let dir = std::env::temp_dir().join(format!("keelson-ended-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join("containerd.pid");
        assert!(ended(&file).await.is_err(), "no file");
        let program = |name: &str| {
            let mut c = Command::new("sleep").arg0(name).arg("1000").spawn().unwrap();
            std::fs::write(&file, c.id().to_string()).unwrap();
            // A process that has just begun has no arguments for a moment.
            let cmd = format!("/proc/{}/cmdline", c.id());
            while std::fs::read(&cmd).unwrap().is_empty() {
                std::thread::yield_now();
            }
            move || (c.kill().unwrap(), c.wait().unwrap())
        };
        let mut end = program("other");
        assert!(ended(&file).await.unwrap_err().contains("is no containerd"));
        end();
        let mut end = program("containerd");
        let mut waiting = std::pin::pin!(ended(&file));
        assert!(futures::poll!(&mut waiting).is_pending());
        end();
        assert_eq!(waiting.await, Ok(()));
        assert!(ended(&file).await.is_err(), "gone");
        std::fs::remove_dir_all(dir).unwrap();
    }
}

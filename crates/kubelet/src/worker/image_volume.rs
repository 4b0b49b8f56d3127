//! Image volumes on a containerd that cannot mount images itself (before 2.1): its own `ctr` shows the image's files in
//! the pod's directory, and the container gets that.

use super::Worker;
use crate::pod::helpers::spec;
use crate::volumes::mounts;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// Whether the runtime must be helped: a containerd older than 2.1.
pub fn needs_help(name: &str, version: &str) -> bool {
    if name != "containerd" {
        return false;
    }
    let mut parts = version.trim_start_matches('v').split(['.', '-', '+', '~']);
    let mut next = || parts.next().and_then(|p| p.parse::<u32>().ok()).unwrap_or(0);
    (next(), next()) < (2, 1)
}

async fn ctr(socket: &str, args: &[&str]) -> Result<(), String> {
    let child = tokio::process::Command::new("ctr")
        .args(["--address", socket, "--namespace", "k8s.io"])
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let out = tokio::time::timeout(Duration::from_secs(60), child)
        .await
        .map_err(|_| format!("ctr {}: took longer than a minute", args.join(" ")))?
        .map_err(|e| format!("ctr, which mounts images for this containerd: {e}"))?;
    if out.status.success() {
        return Ok(());
    }
    Err(format!("ctr {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim()))
}

impl Worker {
    fn image_dir(&self, volume: &str) -> PathBuf {
        self.k.volumes.pod_dir(&self.uid).join("volumes/kubernetes.io~image").join(volume)
    }

    fn helped(&self) -> Option<String> {
        let r = self.k.runtime_state.get();
        let endpoint = &self.k.cfg.runtime_endpoint;
        needs_help(&r.name, &r.version)
            .then(|| endpoint.strip_prefix("unix://").unwrap_or(endpoint).to_owned())
    }

    /// Mounts an image that is there at its place in the pod; `None` when the runtime does that itself.
    pub(super) async fn mount_image(&self, volume: &str, reference: &str) -> Result<Option<PathBuf>, String> {
        let Some(socket) = self.helped() else { return Ok(None) };
        let dir = self.image_dir(volume);
        if mounts::is_mount_point(&dir).map_err(|e| e.to_string())? {
            return Ok(Some(dir));
        }
        std::fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
        let name = crate::images::reference::full(reference)?;
        let target = dir.to_string_lossy().into_owned();
        // What a mount that broke off has left.
        let _ = ctr(&socket, &["snapshots", "rm", &target]).await;
        ctr(&socket, &["images", "mount", &name, &target]).await?;
        Ok(Some(dir))
    }

    /// Lets go of the snapshots behind image volumes, after they have been unmounted.
    pub(super) async fn release_images(&self) {
        let Some(socket) = self.helped() else { return };
        for v in spec(&self.pod).volumes.iter().flatten().filter(|v| v.image.is_some()) {
            let target = self.image_dir(&v.name);
            if let Err(e) = ctr(&socket, &["snapshots", "rm", &target.to_string_lossy()]).await {
                tracing::debug!(error = e, "the snapshot of an image volume stays");
            }
        }
    }
}

/// The place of a subPath inside a mounted image; links must not lead out of it. The image does not change, so what is
/// checked is what gets mounted.
pub(super) fn inside(dir: &Path, sub: &str) -> Option<PathBuf> {
    if sub.is_empty() {
        return Some(dir.to_owned());
    }
    let (root, real) = (dir.canonicalize().ok()?, dir.join(sub).canonicalize().ok()?);
    real.starts_with(&root).then_some(real)
}

#[cfg(test)]
mod tests {
    use super::{inside, needs_help};

    #[test]
    fn links_stay_inside() {
        let dir = std::env::temp_dir().join(format!("kubelet-image-{}", crate::rand::hex8()));
        std::fs::create_dir_all(dir.join("a/b")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.join("out")).unwrap();
        assert!(inside(&dir, "a/b").is_some() && inside(&dir, "").is_some());
        assert!(inside(&dir, "out").is_none() && inside(&dir, "none").is_none());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn versions() {
        for (name, version, want) in [
            ("containerd", "1.6.20~ds1", true),
            ("containerd", "v2.0.3", true),
            ("containerd", "v2.1.0-rc.1", false),
            ("containerd", "2.10.0", false),
            ("cri-o", "1.30.0", false),
        ] {
            assert_eq!(needs_help(name, version), want, "{name} {version}");
        }
    }
}

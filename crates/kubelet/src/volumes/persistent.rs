//! Claims and the persistent volumes behind them: hostPath, local, NFS.

use super::{Mounted, Source, Volumes, fs_group, mounts, owner};
use crate::pod::helpers::{namespace, spec, uid};
use k8s_openapi::api::core::v1::{Pod, Volume};
use std::fs;
use std::path::Path;
use std::process::Stdio;

const GID_ANNOTATION: &str = "pv.beta.kubernetes.io/gid";

impl Volumes {
    /// The source of a claim's volume, mounted.
    pub(super) async fn claim(
        &self,
        pod: &Pod,
        v: &Volume,
        claim: &str,
        read_only: bool,
        out: &mut Mounted,
    ) -> Result<Source, String> {
        let ns = namespace(pod);
        let pvc = self.objects.claim(ns, claim).await?;
        if v.ephemeral.is_some() {
            let ours = pvc.metadata.owner_references.iter().flatten().any(|o| o.uid == uid(pod));
            if !ours {
                return Err(format!(
                    "PVC {ns}/{claim} was not created for pod {ns}/{} (pod is not owner)",
                    crate::pod::helpers::name(pod)
                ));
            }
        }
        if pvc.metadata.deletion_timestamp.is_some()
            && pvc.metadata.finalizers.iter().flatten().next().is_none()
        {
            return Err(format!("PVC {ns}/{claim} is being deleted"));
        }
        let bound = pvc.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound");
        let name = pvc.spec.as_ref().and_then(|s| s.volume_name.as_deref()).unwrap_or("");
        if !bound || name.is_empty() {
            return Err(format!("PVC {ns}/{claim} is not bound"));
        }
        let pv = self.objects.volume(name).await?;
        let s = pv.spec.as_ref().ok_or_else(|| format!("PV {name} has no spec"))?;
        let to_claim = s.claim_ref.as_ref().and_then(|c| c.uid.as_deref());
        if to_claim.is_some() && to_claim != pvc.metadata.uid.as_deref() {
            return Err(format!("PV {name} is bound to another claim than {ns}/{claim}"));
        }
        if let Some(g) =
            pv.metadata.annotations.as_ref().and_then(|a| a.get(GID_ANNOTATION)).and_then(|g| g.parse().ok())
        {
            out.extra_groups.push(g);
        }
        let block = s.volume_mode.as_deref() == Some("Block");
        if let Some(h) = &s.host_path {
            super::check_host_path(h)?;
            return Ok(Source::Host { path: h.path.clone().into(), read_only });
        }
        if let Some(l) = &s.local {
            if block {
                return Ok(Source::Block { path: l.path.clone().into() });
            }
            let path = self.volume_dir(uid(pod), "local-volume", name);
            fs::create_dir_all(&path).map_err(|e| e.to_string())?;
            if !mounts::is_mount_point(&path).map_err(|e| e.to_string())? {
                local(Path::new(&l.path), &path, l.fs_type.as_deref()).await?;
                own(pod, &path, read_only)?;
            }
            return Ok(Source::Host { path, read_only });
        }
        if let Some(n) = &s.nfs {
            let path = self.volume_dir(uid(pod), "nfs", name);
            let ro = read_only || n.read_only == Some(true);
            mount_nfs(&path, &n.server, &n.path, ro, s.mount_options.as_deref().unwrap_or(&[])).await?;
            return Ok(Source::Host { path, read_only: ro });
        }
        Err(format!(
            "PV {name} is of a kind that this kubelet does not mount (it mounts hostPath, local and nfs)"
        ))
    }
}

fn own(pod: &Pod, path: &Path, read_only: bool) -> Result<(), String> {
    let Some(g) = fs_group(pod).filter(|_| !read_only) else { return Ok(()) };
    let policy = spec(pod).security_context.as_ref().and_then(|c| c.fs_group_change_policy.as_deref());
    owner::apply(path, g, policy == Some("OnRootMismatch"))
        .map_err(|e| format!("applying volume ownership to {}: {e}", path.display()))
}

/// A local volume: a directory is shown in place, a block device is mounted (and formatted when it is empty).
async fn local(from: &Path, to: &Path, fs_type: Option<&str>) -> Result<(), String> {
    use std::os::unix::fs::FileTypeExt;
    let m = fs::metadata(from).map_err(|e| format!("path {:?} does not exist: {e}", from.display()))?;
    if m.is_dir() {
        return mounts::bind(from, to).map_err(|e| format!("mounting {}: {e}", from.display()));
    }
    if m.file_type().is_block_device() {
        let fs_type = fs_type.unwrap_or("ext4");
        let blank = run("blkid", &["-p", "-s", "TYPE", "-o", "value", &from.to_string_lossy()]).await;
        if blank.is_err() {
            run(&format!("mkfs.{fs_type}"), &[&from.to_string_lossy()]).await?;
        }
        return run("mount", &["-t", fs_type, &from.to_string_lossy(), &to.to_string_lossy()])
            .await
            .map(|_| ());
    }
    Err(format!("{} is neither a directory nor a block device", from.display()))
}

pub async fn mount_nfs(
    path: &Path,
    server: &str,
    export: &str,
    read_only: bool,
    options: &[String],
) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|e| e.to_string())?;
    if mounts::is_mount_point(path).map_err(|e| e.to_string())? {
        return Ok(());
    }
    let mut o: Vec<String> = options.to_vec();
    if read_only {
        o.push("ro".into());
    }
    let source = format!("{server}:{export}");
    let joined = o.join(",");
    let target = path.to_string_lossy().into_owned();
    let mut args = vec!["-t", "nfs"];
    if !joined.is_empty() {
        args.extend(["-o", &joined]);
    }
    args.extend([source.as_str(), &target]);
    run("mount", &args).await.map(|_| ())
}

/// Runs a helper program; its words are in the error.
async fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let child =
        tokio::process::Command::new(program).args(args).stdin(Stdio::null()).kill_on_drop(true).output();
    let out = tokio::time::timeout(std::time::Duration::from_secs(120), child)
        .await
        .map_err(|_| format!("{program} {}: took longer than two minutes", args.join(" ")))?
        .map_err(|e| format!("{program}: {e}"))?;
    if out.status.success() {
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    } else {
        Err(format!(
            "{program} {}: {}: {}",
            args.join(" "),
            out.status,
            String::from_utf8_lossy(&out.stderr).trim()
        ))
    }
}

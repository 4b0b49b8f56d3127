//! Volumes: what a pod's mounts come from, made under `<root>/pods/<uid>/volumes` in upstream's places.
//!
//! Setting up is idempotent: a pod's worker calls it at every sync, which is also how changed ConfigMaps, Secrets, labels
//! and tokens reach running pods.

pub mod atomic;
mod downward;
pub mod mounts;
mod owner;
mod persistent;
pub mod projected;
pub mod subpath;

use crate::pod::helpers::{self, namespace, spec, uid};
use crate::pod::qos;
use crate::podcert::Bundle;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{
    ConfigMap, HostPathVolumeSource, PersistentVolume, PersistentVolumeClaim, Pod, PodCertificateProjection,
    Secret, Volume,
};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What volumes read from the API. Errors are texts as a user reads them.
pub trait Objects: Send + Sync + 'static {
    fn config_map<'a>(
        &'a self,
        ns: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Arc<ConfigMap>>, String>>;
    fn secret<'a>(&'a self, ns: &'a str, name: &'a str)
    -> BoxFuture<'a, Result<Option<Arc<Secret>>, String>>;
    fn claim<'a>(
        &'a self,
        ns: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<PersistentVolumeClaim, String>>;
    fn volume<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<PersistentVolume, String>>;
    /// A token of the pod's service account, bound to the pod.
    fn token<'a>(
        &'a self,
        pod: &'a Pod,
        audience: &'a str,
        seconds: i64,
    ) -> BoxFuture<'a, Result<Token, String>>;
    /// Key and certificates of one projection (by its volume and place), asked for where they are not there.
    fn pod_certificate<'a>(
        &'a self,
        pod: &'a Pod,
        volume: &'a str,
        index: usize,
        p: &'a PodCertificateProjection,
    ) -> BoxFuture<'a, Result<Bundle, String>>;
    /// The PEM text of a ClusterTrustBundle, or of all that match a signer.
    fn trust_bundle<'a>(
        &'a self,
        q: &'a projected::BundleQuery,
    ) -> BoxFuture<'a, Result<Option<String>, String>>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub token: String,
    /// When to ask for another, nanoseconds since 1970.
    pub refresh_at: i64,
}

/// Where a volume's content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Host { path: PathBuf, read_only: bool },
    Image { reference: String, policy: String },
    Block { path: PathBuf },
}

/// All volumes of a pod by name.
#[derive(Clone, Debug, Default)]
pub struct Mounted {
    pub sources: BTreeMap<String, Source>,
    /// When a token must be renewed.
    pub refresh_at: Option<i64>,
    /// Groups that persistent volumes ask for.
    pub extra_groups: Vec<i64>,
}

/// Why one volume is not there: an event's reason and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub volume: String,
    pub message: String,
}

/// What of the node downward volumes show.
#[derive(Clone, Debug, Default)]
pub struct Context {
    pub allocatable: qos::List,
    /// Nanoseconds since 1970.
    pub now: i64,
}

#[derive(Clone)]
pub struct Volumes {
    root: PathBuf,
    objects: Arc<dyn Objects>,
}

impl Volumes {
    /// `root` is the kubelet's, usually `/var/lib/kubelet`.
    pub fn new(root: &Path, objects: Arc<dyn Objects>) -> Self {
        Self { root: root.to_owned(), objects }
    }
    pub fn pod_dir(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid)
    }
    fn volume_dir(&self, uid: &str, plugin: &str, name: &str) -> PathBuf {
        self.pod_dir(uid).join("volumes").join(format!("kubernetes.io~{plugin}")).join(name)
    }

    /// The pod's own directories.
    pub fn make_pod_dirs(&self, uid: &str) -> io::Result<()> {
        let dir = self.pod_dir(uid);
        for d in ["", "volumes", "plugins"] {
            fs::DirBuilder::new().recursive(true).mode(0o750).create(dir.join(d))?;
        }
        Ok(())
    }

    /// Sets all of a pod's volumes up.
    pub async fn set_up(&self, pod: &Pod, cx: &Context) -> Result<Mounted, Vec<Failure>> {
        let mut out = Mounted::default();
        let mut failures = vec![];
        for v in spec(pod).volumes.iter().flatten() {
            if let Err(message) = self.one(pod, v, cx, &mut out).await {
                failures.push(Failure {
                    volume: v.name.clone(),
                    message: format!("MountVolume.SetUp failed for volume {:?} : {message}", v.name),
                });
            }
        }
        if failures.is_empty() { Ok(out) } else { Err(failures) }
    }

    async fn one(&self, pod: &Pod, v: &Volume, cx: &Context, out: &mut Mounted) -> Result<(), String> {
        let id = uid(pod);
        let ns = namespace(pod);
        let group = fs_group(pod);
        let mut put = |s: Source| {
            out.sources.insert(v.name.clone(), s);
        };
        if let Some(e) = &v.empty_dir {
            let path = self.volume_dir(id, "empty-dir", &v.name);
            let medium = e.medium.as_deref().unwrap_or("");
            let limit = e.size_limit.as_ref().and_then(qos::parse).map_or(0, |q| q.value());
            empty_dir(&path, medium, limit, group).map_err(|e| e.to_string())?;
            put(Source::Host { path, read_only: false });
        } else if let Some(h) = &v.host_path {
            check_host_path(h)?;
            put(Source::Host { path: PathBuf::from(&h.path), read_only: false });
        } else if let Some(c) = &v.config_map {
            let path = self.volume_dir(id, "configmap", &v.name);
            let name = &c.name;
            let files = match self.objects.config_map(ns, name).await? {
                Some(m) => projected::config_map(
                    &m,
                    c.items.as_deref(),
                    c.default_mode.unwrap_or(0o644),
                    c.optional == Some(true),
                )?,
                None if c.optional == Some(true) => atomic::Payload::new(),
                None => return Err(format!("configmap {name:?} not found")),
            };
            self.write(&path, false, &files, group)?;
            put(Source::Host { path, read_only: true });
        } else if let Some(s) = &v.secret {
            let path = self.volume_dir(id, "secret", &v.name);
            let name = s.secret_name.as_deref().unwrap_or("");
            let files = match self.objects.secret(ns, name).await? {
                Some(m) => projected::secret(
                    &m,
                    s.items.as_deref(),
                    s.default_mode.unwrap_or(0o644),
                    s.optional == Some(true),
                )?,
                None if s.optional == Some(true) => atomic::Payload::new(),
                None => return Err(format!("secret {name:?} not found")),
            };
            self.write(&path, true, &files, group)?;
            put(Source::Host { path, read_only: true });
        } else if let Some(d) = &v.downward_api {
            let path = self.volume_dir(id, "downward-api", &v.name);
            let files =
                downward::files(pod, d.items.as_deref().unwrap_or(&[]), d.default_mode.unwrap_or(0o644), cx)?;
            self.write(&path, true, &files, group)?;
            put(Source::Host { path, read_only: true });
        } else if let Some(p) = &v.projected {
            let path = self.volume_dir(id, "projected", &v.name);
            let (files, refresh) = projected::files(&*self.objects, pod, &v.name, p, cx, group).await?;
            self.write(&path, true, &files, group)?;
            put(Source::Host { path, read_only: true });
            if let Some(r) = refresh {
                out.refresh_at = Some(out.refresh_at.map_or(r, |o| o.min(r)));
            }
        } else if let Some(c) = &v.persistent_volume_claim {
            let s = self.claim(pod, v, &c.claim_name, c.read_only == Some(true), out).await?;
            out.sources.insert(v.name.clone(), s);
        } else if v.ephemeral.is_some() {
            let claim = format!("{}-{}", helpers::name(pod), v.name);
            let s = self.claim(pod, v, &claim, false, out).await?;
            out.sources.insert(v.name.clone(), s);
        } else if let Some(i) = &v.image {
            let reference = i.reference.clone().unwrap_or_default();
            let policy = i.pull_policy.clone().unwrap_or_else(|| "IfNotPresent".into());
            put(Source::Image { reference, policy });
        } else if let Some(n) = &v.nfs {
            let path = self.volume_dir(id, "nfs", &v.name);
            let read_only = n.read_only == Some(true);
            persistent::mount_nfs(&path, &n.server, &n.path, read_only, &[]).await?;
            put(Source::Host { path, read_only });
        } else {
            return Err("no volume plugin matched".into());
        }
        Ok(())
    }

    /// Writes a payload into a volume, on a tmpfs where it is secret.
    fn write(
        &self,
        path: &Path,
        memory: bool,
        files: &atomic::Payload,
        group: Option<i64>,
    ) -> Result<(), String> {
        let err = |e: io::Error| e.to_string();
        fs::create_dir_all(path).map_err(err)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).map_err(err)?;
        if memory && !mounts::is_mount_point(path).map_err(err)? {
            // Without the right to mount the files are on disk, which a test run by a user gets.
            if let Err(e) = mounts::tmpfs(path, 0) {
                tracing::warn!(path = %path.display(), error = %e, "no tmpfs for the volume, its files are on disk");
            }
        }
        let changed = atomic::write(path, files, &|dir| match group {
            Some(g) => owner::set_group(dir, g, true),
            None => Ok(()),
        })
        .map_err(|e| format!("writing {}: {e}", path.display()))?;
        if changed && let Some(g) = group {
            owner::set_group_one(path, g, true).map_err(err)?;
        }
        Ok(())
    }

    /// Takes all of a pod's mounts away, then its directories. What is still mounted is never deleted through.
    pub async fn tear_down(&self, uid: &str) -> io::Result<()> {
        let dir = self.pod_dir(uid);
        for sub in ["volume-subpaths", "volumes", "volumeDevices"] {
            mounts::unmount_below(&dir.join(sub))?;
        }
        for sub in ["volume-subpaths", "volumes", "volumeDevices"] {
            remove_unmounted(&dir.join(sub)).await?;
        }
        Ok(())
    }

    /// Removes a pod's whole directory, after [`Self::tear_down`].
    pub async fn remove_pod_dir(&self, uid: &str) -> io::Result<()> {
        self.tear_down(uid).await?;
        remove_unmounted(&self.pod_dir(uid)).await
    }

    /// The uids of pods that have a directory.
    pub fn pods_on_disk(&self) -> Vec<String> {
        let Ok(list) = fs::read_dir(self.root.join("pods")) else { return vec![] };
        list.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect()
    }
}

/// Deletes a tree that nothing is mounted in.
async fn remove_unmounted(dir: &Path) -> io::Result<()> {
    if let Some(m) = mounts::below(dir)?.first() {
        return Err(io::Error::other(format!("{} is still mounted", m.display())));
    }
    match tokio::fs::remove_dir_all(dir).await {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        r => r,
    }
}

pub fn fs_group(pod: &Pod) -> Option<i64> {
    spec(pod).security_context.as_ref()?.fs_group
}

fn empty_dir(path: &Path, medium: &str, limit: i64, group: Option<i64>) -> io::Result<()> {
    let fresh = !path.exists();
    fs::create_dir_all(path)?;
    if (medium == "Memory" || medium.starts_with("HugePages")) && !mounts::is_mount_point(path)? {
        if medium == "Memory" {
            mounts::tmpfs(path, u64::try_from(limit).unwrap_or(0))?;
        } else {
            mounts::hugetlbfs(path, medium.strip_prefix("HugePages-"), u64::try_from(limit).unwrap_or(0))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
        if let Some(g) = group {
            owner::set_group_one(path, g, false)?;
        }
        return Ok(());
    }
    if fresh {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
        if let Some(g) = group {
            owner::set_group_one(path, g, false)?;
        }
    }
    Ok(())
}

fn check_host_path(h: &HostPathVolumeSource) -> Result<(), String> {
    let path = Path::new(&h.path);
    let kind = h.type_.as_deref().unwrap_or("");
    let meta = fs::metadata(path);
    let is = |f: &dyn Fn(&fs::Metadata) -> bool| meta.as_ref().is_ok_and(f);
    let fail = |what: &str| Err(format!("hostPath type check failed: {} is not {what}", h.path));
    match kind {
        "" => Ok(()),
        "DirectoryOrCreate" => {
            if meta.is_err() {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o755)
                    .create(path)
                    .map_err(|e| format!("creating {}: {e}", h.path))?;
                return Ok(());
            }
            if is(&|m| m.is_dir()) { Ok(()) } else { fail("a directory") }
        }
        "FileOrCreate" => {
            if meta.is_err() {
                let f = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path);
                f.and_then(|f| f.set_permissions(fs::Permissions::from_mode(0o644)))
                    .map_err(|e| format!("creating {}: {e}", h.path))?;
                return Ok(());
            }
            if is(&|m| m.is_file()) { Ok(()) } else { fail("a file") }
        }
        "Directory" if is(&|m| m.is_dir()) => Ok(()),
        "Directory" => fail("a directory"),
        "File" if is(&|m| m.is_file()) => Ok(()),
        "File" => fail("a file"),
        "Socket" if is(&|m| m.file_type().is_socket()) => Ok(()),
        "Socket" => fail("a socket"),
        "CharDevice" if is(&|m| m.file_type().is_char_device()) => Ok(()),
        "CharDevice" => fail("a character device"),
        "BlockDevice" if is(&|m| m.file_type().is_block_device()) => Ok(()),
        "BlockDevice" => fail("a block device"),
        other => Err(format!("{other:?} is an invalid volume type")),
    }
}

#[cfg(test)]
mod tests;

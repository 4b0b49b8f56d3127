//! Handing a ruleset to the kernel through `nft -f -`: one transaction a call.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::AsyncWriteExt;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot run nft (Debian package nftables): {0}")]
    Spawn(std::io::Error),
    #[error("nft refused the ruleset: {0}")]
    Refused(String),
}

/// Where a program of the system lies. With its whole path, and no PATH set for it, the standard library starts it
/// without copying our page tables, which costs more than what `nft` then does.
pub(crate) fn program(name: &str) -> PathBuf {
    let folders = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"];
    let found = folders.iter().map(|d| Path::new(d).join(name)).find(|p| p.is_file());
    found.unwrap_or_else(|| PathBuf::from(name))
}

/// Runs a script; the kernel takes all of it or nothing.
pub async fn run(script: &str) -> Result<(), Error> {
    let mut c = tokio::process::Command::new(program("nft"))
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(Error::Spawn)?;
    if let Some(mut i) = c.stdin.take() {
        // A refusal may close the pipe early; what nft says about it comes below.
        let _ = i.write_all(script.as_bytes()).await;
    }
    let o = c.wait_with_output().await.map_err(Error::Spawn)?;
    if o.status.success() {
        return Ok(());
    }
    Err(Error::Refused(String::from_utf8_lossy(&o.stderr).lines().take(3).collect::<Vec<_>>().join("; ")))
}

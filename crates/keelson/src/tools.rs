//! Small applets: `gen-config`, and `image`, which makes an image of this very program.

use oci::Entry;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What the manifests of `gen-config` ask for.
pub const IMAGE: &str = "keelson.local/keelson:1";

pub fn gen_config(args: Vec<String>) -> ExitCode {
    done("gen-config", setup::gen_config::run(&args, runtime::Clock::system().unix_seconds()))
}

fn done(name: &str, r: Result<String, String>) -> ExitCode {
    use std::io::Write;
    match r {
        Ok(text) => {
            // Whoever reads may have gone.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("{name}: {}", e.trim_end());
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "usage: keelson image [--output FILE] [--name NAME]

Writes an OCI archive of an image of this program (default: keelson-image.tar, keelson.local/keelson:1).
Import it with: ctr -n k8s.io images import FILE
";

pub fn image(args: Vec<String>) -> ExitCode {
    done("image", make_image(&args))
}

/// The libraries that this process has loaded, its loader among them.
fn libraries() -> Result<BTreeSet<PathBuf>, String> {
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|e| format!("/proc/self/maps: {e}"))?;
    let paths = maps.lines().filter_map(|l| l.split_whitespace().nth(5)).filter(|p| p.starts_with('/'));
    Ok(paths.filter(|p| p.contains(".so")).map(PathBuf::from).collect())
}

fn make_image(args: &[String]) -> Result<String, String> {
    let (mut output, mut name) = (PathBuf::from("keelson-image.tar"), IMAGE.to_owned());
    let mut it = args.iter();
    while let Some(a) = it.next() {
        let (flag, inline) = a.split_once('=').map_or((a.as_str(), None), |(f, v)| (f, Some(v.to_owned())));
        if matches!(flag, "-h" | "--help") {
            return Ok(USAGE.to_owned());
        }
        let mut value =
            || inline.clone().or_else(|| it.next().cloned()).ok_or(format!("{flag} needs a value"));
        match flag {
            "--output" | "-o" => output = value()?.into(),
            "--name" => name = value()?,
            f => return Err(format!("unknown flag: {f}\n{USAGE}")),
        }
    }
    let read = |p: &Path| std::fs::read(p).map_err(|e| format!("{}: {e}", p.display()));
    let mut entries = oci::base();
    let mut dirs = BTreeSet::new();
    let mut files = vec![(PathBuf::from("bin/keelson"), read(Path::new("/proc/self/exe"))?)];
    let mut links = vec![("lib".to_owned(), "usr/lib".to_owned())];
    for l in libraries()? {
        let at = l.strip_prefix("/").unwrap_or(&l).to_owned();
        // The loader is asked for where it is by tradition.
        if let Some(file) = l.file_name().map(|f| f.to_string_lossy().into_owned())
            && file.starts_with("ld-linux")
        {
            let folder = if file.contains("x86-64") { "lib64" } else { "usr/lib" };
            if folder == "lib64" {
                dirs.insert(PathBuf::from("lib64"));
                links.push((format!("lib64/{file}"), l.display().to_string()));
            } else {
                links.push((format!("{folder}/{file}"), l.display().to_string()));
            }
        }
        files.push((at, read(&l)?));
    }
    dirs.insert(PathBuf::from("usr"));
    dirs.insert(PathBuf::from("usr/lib"));
    for (f, _) in &files {
        dirs.extend(f.ancestors().skip(1).filter(|d| !d.as_os_str().is_empty()).map(Path::to_owned));
    }
    let made: BTreeSet<String> = entries
        .iter()
        .filter_map(|e| match e {
            Entry::Dir { path, .. } => Some(path.clone()),
            _ => None,
        })
        .collect();
    for d in dirs {
        let path = d.to_string_lossy().into_owned();
        // `/lib` is a link to `/usr/lib`.
        if !made.contains(&path) && path != "lib" && !path.starts_with("lib/") {
            entries.push(Entry::Dir { path, mode: 0o755 });
        }
    }
    for (path, target) in links {
        entries.push(Entry::Link { path, target });
    }
    for (path, content) in files {
        let path = path.to_string_lossy().into_owned();
        let path = if path.starts_with("lib/") { format!("usr/{path}") } else { path };
        entries.push(Entry::File { path, mode: 0o755, content });
    }
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = oci::Config {
        entrypoint: vec!["/bin/keelson".into()],
        env: vec!["PATH=/bin".into()],
        ..oci::Config::default()
    };
    let bytes = oci::archive(&[&name], arch, &entries, &config).map_err(|e| e.to_string())?;
    std::fs::write(&output, &bytes).map_err(|e| format!("{}: {e}", output.display()))?;
    Ok(format!("{}: {name}, {} MB\n", output.display(), bytes.len() >> 20))
}

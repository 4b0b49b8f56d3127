//! Image names: what is valid, the default tag, the repository that credentials are matched with.

/// An image name taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// With the default registry put in: `docker.io/library/busybox`.
    pub repository: String,
    pub tag: String,
    pub digest: String,
}

fn is_component(s: &str) -> bool {
    let b = s.as_bytes();
    let alnum = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    if b.is_empty() || !alnum(b[0]) || !alnum(b[b.len() - 1]) {
        return false;
    }
    // Separators: one dot, one or two underscores, any dashes.
    let mut i = 0;
    while i < b.len() {
        if alnum(b[i]) {
            i += 1;
            continue;
        }
        let start = i;
        while i < b.len() && !alnum(b[i]) {
            i += 1;
        }
        let sep = &s[start..i];
        if !(sep == "." || sep == "_" || sep == "__" || sep.bytes().all(|c| c == b'-')) {
            return false;
        }
    }
    true
}

fn is_domain(s: &str) -> bool {
    let (host, port) = match s.rsplit_once(':') {
        Some((h, p)) if !h.contains(':') || h.ends_with(']') => (h, Some(p)),
        _ => (s, None),
    };
    if port.is_some_and(|p| p.is_empty() || !p.bytes().all(|c| c.is_ascii_digit())) {
        return false;
    }
    if host.starts_with('[') {
        return host.ends_with(']');
    }
    host.split('.').all(|l| {
        !l.is_empty()
            && l.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    })
}

fn is_tag(t: &str) -> bool {
    let b = t.as_bytes();
    !b.is_empty()
        && b.len() <= 128
        && (b[0].is_ascii_alphanumeric() || b[0] == b'_')
        && b.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-'))
}

pub fn parse(image: &str) -> Result<Reference, String> {
    let bad = |why: &str| Err(format!("couldn't parse image name {image:?}: {why}"));
    const FORMAT: &str = "invalid reference format";
    let (rest, digest) = image.split_once('@').unwrap_or((image, ""));
    if image.contains('@') {
        let ok = digest
            .split_once(':')
            .is_some_and(|(a, h)| !a.is_empty() && h.len() >= 32 && h.bytes().all(|c| c.is_ascii_hexdigit()));
        if !ok {
            return bad(FORMAT);
        }
    }
    let (name, tag) = match rest.rsplit_once(':') {
        Some((n, t)) if !t.contains('/') => (n, t),
        _ => (rest, ""),
    };
    if rest.len() != name.len() && !is_tag(tag) {
        return bad(FORMAT);
    }
    let (domain, path) = match name.split_once('/') {
        Some((d, p))
            if d.contains(['.', ':']) || d == "localhost" || d.chars().any(|c| c.is_ascii_uppercase()) =>
        {
            (d, p.to_owned())
        }
        Some(_) => ("docker.io", name.to_owned()),
        None => ("docker.io", format!("library/{name}")),
    };
    if !is_domain(domain) {
        return bad(FORMAT);
    }
    if path.chars().any(|c| c.is_ascii_uppercase()) {
        return bad("invalid reference format: repository name must be lowercase");
    }
    if !path.split('/').all(is_component) {
        return bad(FORMAT);
    }
    let domain = if domain == "index.docker.io" { "docker.io" } else { domain };
    Ok(Reference { repository: format!("{domain}/{path}"), tag: tag.to_owned(), digest: digest.to_owned() })
}

/// The name with `:latest` when it has neither tag nor digest.
pub fn with_default_tag(image: &str) -> Result<String, String> {
    let r = parse(image)?;
    Ok(if r.tag.is_empty() && r.digest.is_empty() { format!("{image}:latest") } else { image.to_owned() })
}

/// The whole name, as runtimes keep it: `docker.io/library/busybox:latest`.
pub fn full(image: &str) -> Result<String, String> {
    let r = parse(image)?;
    Ok(match (r.tag.as_str(), r.digest.as_str()) {
        ("", "") => format!("{}:latest", r.repository),
        (t, "") => format!("{}:{t}", r.repository),
        (_, d) => format!("{}@{d}", r.repository),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (image, want) in [
            ("busybox", Ok("docker.io/library/busybox")),
            ("busybox:1.36", Ok("docker.io/library/busybox")),
            ("foo/bar", Ok("docker.io/foo/bar")),
            ("registry.k8s.io/pause:3.10", Ok("registry.k8s.io/pause")),
            ("localhost/x", Ok("localhost/x")),
            ("host:5000/a/b_c/d--e", Ok("host:5000/a/b_c/d--e")),
            ("Foo", Err("repository name must be lowercase")),
            ("a..b/c", Err("invalid reference format")),
            ("x:", Err("invalid reference format")),
            ("", Err("invalid reference format")),
            ("x@sha256:zz", Err("invalid reference format")),
        ] {
            let got = parse(image);
            match want {
                Ok(w) => assert_eq!(got.unwrap().repository, w, "{image}"),
                Err(w) => assert!(got.clone().is_err_and(|e| e.ends_with(w)), "{image}: {got:?}"),
            }
        }
        assert_eq!(full("busybox").unwrap(), "docker.io/library/busybox:latest");
        assert_eq!(with_default_tag("a:5000/b").unwrap(), "a:5000/b:latest");
        let digest = format!("b@sha256:{}", "0".repeat(64));
        assert_eq!(with_default_tag(&digest).unwrap(), digest);
    }
}

//! Image references as the distribution grammar has them: name, tag, digest
//! (github.com/distribution/reference, K/pkg/util/parsers).

/// The tag of an image as `imagePullPolicy` defaulting sees it: `latest` when neither tag nor digest is given, empty
/// when the reference cannot be parsed.
pub fn tag(image: &str) -> &str {
    match parse(image) {
        None => "",
        Some((_, "", "")) => "latest",
        Some((_, tag, _)) => tag,
    }
}

/// Name, tag and digest of a well-formed reference.
pub fn parse(image: &str) -> Option<(&str, &str, &str)> {
    if image.len() == 64 && image.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let (rest, digest) = match image.split_once('@') {
        Some((r, d)) if good_digest(d) => (r, d),
        Some(_) => return None,
        None => (image, ""),
    };
    // The tag is behind the last colon, unless a slash follows that colon (a port).
    let (name, tag) = match rest.rsplit_once(':') {
        Some((n, t)) if !t.contains('/') => {
            if !good_tag(t) {
                return None;
            }
            (n, t)
        }
        _ => (rest, ""),
    };
    let (domain, path) = match name.split_once('/') {
        Some((d, p))
            if d.contains(['.', ':']) || d == "localhost" || d.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (d, p)
        }
        _ => ("", name),
    };
    let total = if domain.is_empty() {
        "docker.io/".len() + path.len() + if path.contains('/') { 0 } else { "library/".len() }
    } else {
        name.len()
    };
    (good_domain(domain) && path.split('/').all(good_component) && total <= 255)
        .then_some((name, tag, digest))
}

fn good_domain(d: &str) -> bool {
    if d.is_empty() {
        return true;
    }
    let (host, port) = match d.strip_prefix('[').and_then(|r| r.split_once(']')) {
        Some((v6, rest)) => {
            if v6.is_empty() || !v6.bytes().all(|b| b.is_ascii_hexdigit() || b == b':') {
                return false;
            }
            ("x", rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("0")))
        }
        None => match d.split_once(':') {
            Some((h, p)) => (h, Some(p)),
            None => (d, Some("0")),
        },
    };
    let port_ok = port.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    port_ok
        && host.split('.').all(|c| {
            !c.is_empty()
                && !c.starts_with('-')
                && !c.ends_with('-')
                && c.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

/// Lower-case letters and digits, joined by `.`, `_`, `__` or any number of `-`.
fn good_component(c: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let b = c.as_bytes();
    if b.is_empty() || !alnum(b[0]) || !alnum(b[b.len() - 1]) {
        return false;
    }
    let mut rest = b;
    while let Some(i) = rest.iter().position(|&x| !alnum(x)) {
        let end = rest[i..].iter().position(|&x| alnum(x)).map_or(rest.len(), |n| i + n);
        let sep = &rest[i..end];
        if !(sep == b"." || sep == b"_" || sep == b"__" || sep.iter().all(|&x| x == b'-')) {
            return false;
        }
        rest = &rest[end..];
    }
    true
}

fn good_tag(t: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let b = t.as_bytes();
    !b.is_empty() && b.len() <= 128 && word(b[0]) && b.iter().all(|&x| word(x) || x == b'.' || x == b'-')
}

fn good_digest(d: &str) -> bool {
    let Some((algorithm, hex)) = d.split_once(':') else { return false };
    let len = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == len && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        let digest = format!("nginx@sha256:{}", "a".repeat(64));
        let both = format!("r.io:5000/a/b:v1@sha256:{}", "0".repeat(64));
        for (image, want) in [
            ("nginx", "latest"),
            ("nginx:latest", "latest"),
            ("nginx:1.27", "1.27"),
            ("localhost:5000/a", "latest"),
            ("localhost:5000/a:x", "x"),
            ("registry.k8s.io/pause:3.10", "3.10"),
            ("gcr.io/a/b/c__d/e--f", "latest"),
            ("", ""),
            ("Nginx", ""),
            ("UPPER/nginx", "latest"),
            ("a/Nginx", ""),
            ("nginx:", ""),
            ("a//b", ""),
            ("a b", ""),
            ("[::1]:5000/x", "latest"),
            (digest.as_str(), ""),
            (both.as_str(), "v1"),
            ("nginx@sha256:abc", ""),
        ] {
            assert_eq!(tag(image), want, "{image}");
        }
    }
}

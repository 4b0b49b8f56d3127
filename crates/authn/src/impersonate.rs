//! The headers with which a request asks to be treated as another user's
//! (apiserver `pkg/endpoints/filters/impersonation`). Whether it may is for the authorizer: `authz::impersonate`.

use http::{HeaderMap, HeaderName};
use meta::{Status, UserInfo};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";

/// The wanted user as the headers say it, nothing added; `None` where none is wanted. Groups, uid or extra without a
/// user name are a bad request.
pub fn wanted(headers: &HeaderMap) -> Result<Option<UserInfo>, Status> {
    let first = |k: &str| headers.get(k).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    let mut user = UserInfo { name: first(USER), uid: first(UID), ..UserInfo::default() };
    let mut more = !user.uid.is_empty();
    for g in headers.get_all(GROUP) {
        more = true;
        user.groups.push(String::from_utf8_lossy(g.as_bytes()).into_owned());
    }
    for (name, value) in headers {
        let Some(key) = name.as_str().strip_prefix(EXTRA) else { continue };
        more = true;
        user.extra
            .entry(unescape(key))
            .or_default()
            .push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    if user.name.is_empty() {
        if more {
            return Err(Status::bad_request(format!(
                "requested user {user:?} without impersonating a user name"
            )));
        }
        return Ok(None);
    }
    Ok(Some(user))
}

/// Takes the headers away, so that nothing behind sees them.
pub fn strip(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers.keys().filter(|n| n.as_str().starts_with(EXTRA)).cloned().collect();
    for n in names {
        headers.remove(n);
    }
    for n in [USER, GROUP, UID] {
        headers.remove(n);
    }
}

/// Decodes `%xx` of an extra key; a key that is not well encoded stays as it is.
pub(crate) fn unescape(key: &str) -> String {
    let mut out = Vec::with_capacity(key.len());
    let mut bytes = key.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| (b as char).to_digit(16));
        match (digit(bytes.next()), digit(bytes.next())) {
            (Some(a), Some(b)) => out.push((a * 16 + b) as u8),
            _ => return key.to_owned(),
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_strips() {
        let mut h = HeaderMap::new();
        assert_eq!(wanted(&h).unwrap(), None);
        h.append("Impersonate-Group", "g1".parse().unwrap());
        h.append("Impersonate-Group", "g2".parse().unwrap());
        assert_eq!(wanted(&h).unwrap_err().code, 400);
        h.append("Impersonate-User", "u".parse().unwrap());
        h.append("Impersonate-Uid", "1".parse().unwrap());
        h.append("Impersonate-Extra-Acme.com%2fScopes", "a".parse().unwrap());
        h.append("Impersonate-Extra-Acme.com%2fScopes", "b".parse().unwrap());
        h.append("Impersonate-Extra-Bad%zz", "c".parse().unwrap());
        let u = wanted(&h).unwrap().unwrap();
        assert_eq!((u.name.as_str(), u.uid.as_str()), ("u", "1"));
        assert_eq!(u.groups, ["g1", "g2"]);
        assert_eq!(u.extra["acme.com/scopes"], ["a", "b"]);
        assert_eq!(u.extra["bad%zz"], ["c"]);
        h.append("Accept", "x".parse().unwrap());
        strip(&mut h);
        assert_eq!(h.len(), 1);
    }
}

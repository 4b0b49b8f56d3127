//! The query of a request.

/// The pairs of a query, decoded, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Pairs that are no valid encoding are dropped, as Go's `url.Query` does.
    pub fn parse(q: &str) -> Self {
        let pairs = q.split('&').filter(|p| !p.is_empty() && !p.contains(';')).filter_map(|p| {
            let (k, v) = p.split_once('=').unwrap_or((p, ""));
            Some((decode(k, true)?, decode(v, true)?))
        });
        Self(pairs.collect())
    }
    /// The first value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

/// Takes percent escapes out, and `+` for a space where `plus`. `None` for a bad escape or bad UTF-8.
pub fn decode(s: &str, plus: bool) -> Option<String> {
    if !s.contains(['%', '+']) {
        return Some(s.to_owned());
    }
    let b = s.as_bytes();
    let mut out = Vec::with_capacity(b.len());
    let mut i = 0;
    while i < b.len() {
        match b[i] {
            b'%' => {
                let hex = std::str::from_utf8(b.get(i + 1..i + 3)?).ok()?;
                if !hex.bytes().all(|c| c.is_ascii_hexdigit()) {
                    return None;
                }
                out.push(u8::from_str_radix(hex, 16).ok()?);
                i += 3;
                continue;
            }
            b'+' if plus => out.push(b' '),
            c => out.push(c),
        }
        i += 1;
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let q = Query::parse("a=1+2&b=%2Fx&bad=%zz&c&a=3");
        let pairs: Vec<_> = q.pairs().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("a", "1 2"), ("b", "/x"), ("c", ""), ("a", "3")]);
        assert_eq!(q.all("a").collect::<Vec<_>>(), ["1 2", "3"]);
        assert_eq!(decode("/a+b%20c", false).as_deref(), Some("/a+b c"));
    }
}

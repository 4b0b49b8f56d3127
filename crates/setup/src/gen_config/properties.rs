//! `config.properties`: `KEY=VALUE` lines, checked before anything is made of them.

use std::net::IpAddr;

/// What the file says, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    pub key: String,
    pub value: String,
    pub line: usize,
}

/// The keys that the templates in the program use.
pub const KNOWN: &[&str] = &["BIN_PATH", "NODE_IP", "ETCD_ENDPOINTS", "MASTER_IP"];

fn ip(v: &str) -> Result<(), String> {
    match v.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => Err(format!("{v} is not the address of a host")),
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{v:?} is no IP address such as 192.168.1.102")),
    }
}

fn urls(v: &str) -> Result<(), String> {
    for u in v.split(',') {
        let bad = || format!("{u:?} is no address such as http://192.168.1.102:2379");
        let rest = u.strip_prefix("http://").or_else(|| u.strip_prefix("https://")).ok_or_else(bad)?;
        let (host, port) = rest.rsplit_once(':').ok_or_else(bad)?;
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        if host.is_empty() || !host.chars().all(fine) || port.parse::<u16>().map_or(true, |p| p == 0) {
            return Err(bad());
        }
        // Digits and dots are meant as an address.
        if host.chars().all(|c| c.is_ascii_digit() || c == '.') {
            ip(host).map_err(|_| bad())?;
        }
    }
    Ok(())
}

fn check(key: &str, value: &str) -> Result<(), String> {
    match key {
        "BIN_PATH" if !value.starts_with('/') => {
            Err(format!("{value:?} is no absolute path such as /root/bin"))
        }
        "BIN_PATH" if value.contains(char::is_whitespace) => {
            Err(format!("{value:?}: a folder with spaces in its name cannot stand in a unit file"))
        }
        "NODE_IP" | "MASTER_IP" => ip(value),
        "ETCD_ENDPOINTS" => urls(value),
        _ => Ok(()),
    }
}

/// Reads the file; every problem names its line.
pub fn parse(file: &str, text: &str) -> Result<Vec<Property>, Vec<String>> {
    let mut out: Vec<Property> = Vec::new();
    let mut bad = Vec::new();
    for (i, l) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = i + 1;
        let l = l.trim();
        if l.is_empty() || l.starts_with('#') {
            continue;
        }
        let mut no = |why: String| bad.push(format!("{file}:{line}: {why}"));
        let Some((key, value)) = l.split_once('=').map(|(k, v)| (k.trim(), v.trim())) else {
            no(format!("{l:?} is not KEY=VALUE"));
            continue;
        };
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            no(format!("{key:?} is no name of a variable"));
        } else if let Some(first) = out.iter().find(|p| p.key == key) {
            no(format!("{key} is said twice, first in line {}", first.line));
        } else if value.is_empty() {
            no(format!("{key} has no value"));
        } else if let Err(e) = check(key, value) {
            no(format!("{key}: {e}"));
        } else {
            out.push(Property { key: key.to_owned(), value: value.to_owned(), line });
            continue;
        }
        // Known by name, so that it is not reported as missing as well.
        if !key.is_empty() && !out.iter().any(|p| p.key == key) {
            out.push(Property { key: key.to_owned(), value: String::new(), line });
        }
    }
    if bad.is_empty() { Ok(out) } else { Err(bad) }
}

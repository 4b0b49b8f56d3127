//! hostPort: an nftables map from (address, protocol, port) of the host to the pod's, one element a mapping.

use crate::conf::PortMapping;
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

const TABLE: &str = "keelson-hostports";

/// The table, made where it is not there: wildcard mappings and those of one host address. Packets from a pod to its
/// own host port, and from the host itself over loopback, come back through us by masquerade.
fn base() -> String {
    format!(
        "add table ip {TABLE}
add map ip {TABLE} any {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
add map ip {TABLE} addr {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}
add set ip {TABLE} hairpin {{ type ipv4_addr . ipv4_addr; }}
add chain ip {TABLE} prerouting {{ type nat hook prerouting priority -101; }}
add chain ip {TABLE} output {{ type nat hook output priority -101; }}
add chain ip {TABLE} postrouting {{ type nat hook postrouting priority 99; }}
flush chain ip {TABLE} prerouting
flush chain ip {TABLE} output
flush chain ip {TABLE} postrouting
add rule ip {TABLE} prerouting dnat ip to ip daddr . meta l4proto . th dport map @addr
add rule ip {TABLE} prerouting fib daddr type local dnat ip to meta l4proto . th dport map @any
add rule ip {TABLE} output dnat ip to ip daddr . meta l4proto . th dport map @addr
add rule ip {TABLE} output fib daddr type local dnat ip to meta l4proto . th dport map @any
add rule ip {TABLE} postrouting ip saddr . ip daddr @hairpin masquerade
add rule ip {TABLE} postrouting ip saddr 127.0.0.0/8 oifname != \"lo\" masquerade
"
    )
}

fn protocol(p: &PortMapping) -> String {
    if p.protocol.is_empty() { "tcp".to_owned() } else { p.protocol.to_ascii_lowercase() }
}

/// The map a mapping belongs to, and its key there.
fn place(p: &PortMapping) -> (&'static str, String) {
    let proto = protocol(p);
    if p.host_ip.is_empty() || p.host_ip == "0.0.0.0" {
        ("any", format!("{proto} . {}", p.host_port))
    } else {
        ("addr", format!("{} . {proto} . {}", p.host_ip, p.host_port))
    }
}

pub fn add_script(ports: &[PortMapping], ip: Ipv4Addr) -> String {
    let mut s = base();
    for p in ports {
        let (map, key) = place(p);
        s.push_str(&format!("add element ip {TABLE} {map} {{ {key} : {ip} . {} }}\n", p.container_port));
    }
    s.push_str(&format!("add element ip {TABLE} hairpin {{ {ip} . {ip} }}\n"));
    s
}

pub fn nft(script: &str) -> Result<String, String> {
    let mut c = Command::new("nft")
        .env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot run nft (Debian package nftables): {e}"))?;
    if let Some(mut i) = c.stdin.take() {
        i.write_all(script.as_bytes()).map_err(|e| e.to_string())?;
    }
    let o = c.wait_with_output().map_err(|e| e.to_string())?;
    if o.status.success() {
        Ok(String::from_utf8_lossy(&o.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&o.stderr).lines().next().unwrap_or("nft failed").to_owned())
    }
}

pub fn add(ports: &[PortMapping], ip: Ipv4Addr) -> Result<(), String> {
    if ports.is_empty() {
        return Ok(());
    }
    // A mapping that an earlier pod left behind would make the whole transaction fail.
    for p in ports {
        let (map, key) = place(p);
        let _ = nft(&format!("delete element ip {TABLE} {map} {{ {key} }}\n"));
    }
    nft(&add_script(ports, ip)).map(drop)
}

/// Takes away every mapping to `ip`.
pub fn remove(ip: Ipv4Addr) -> Result<(), String> {
    for map in ["any", "addr"] {
        let Ok(listed) = nft(&format!("list map ip {TABLE} {map}\n")) else { return Ok(()) };
        for key in keys_to(&listed, ip) {
            nft(&format!("delete element ip {TABLE} {map} {{ {key} }}\n"))?;
        }
    }
    let _ = nft(&format!("delete element ip {TABLE} hairpin {{ {ip} . {ip} }}\n"));
    Ok(())
}

/// The keys of a printed map whose value is at `ip`.
fn keys_to(listed: &str, ip: Ipv4Addr) -> Vec<String> {
    let inner = listed.split("elements = {").nth(1).and_then(|s| s.split('}').next()).unwrap_or_default();
    let hit = |e: &str| {
        let (key, value) = e.split_once(" : ")?;
        (value.split(" . ").next()?.trim() == ip.to_string()).then(|| key.trim().to_owned())
    };
    inner.split(',').filter_map(hit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_maps_are_read_back() {
        let listed = "table ip x {\n map any {\n type inet_proto . inet_service : ipv4_addr . inet_service\n elements = { tcp . 8080 : 10.0.0.2 . 80,\n   udp . 53 : 10.0.0.3 . 53, tcp . 81 : 10.0.0.2 . 81 }\n }\n}";
        assert_eq!(keys_to(listed, "10.0.0.2".parse().unwrap()), ["tcp . 8080", "tcp . 81"]);
        assert!(keys_to(listed, "10.0.0.9".parse().unwrap()).is_empty());
        assert!(keys_to("table ip x { map any { } }", "10.0.0.2".parse().unwrap()).is_empty());
    }

    #[test]
    fn a_mapping_of_one_address_goes_to_its_own_map() {
        let p = PortMapping {
            host_port: 53,
            container_port: 5353,
            protocol: "UDP".into(),
            host_ip: "10.9.8.7".into(),
        };
        let s = add_script(&[p], "10.0.0.2".parse().unwrap());
        assert!(s.contains("addr { 10.9.8.7 . udp . 53 : 10.0.0.2 . 5353 }"), "{s}");
    }
}

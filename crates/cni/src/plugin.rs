//! ADD, DEL, CHECK, STATUS, GC and VERSION.

use crate::conf::{Call, Error, NetConf, VERSIONS, result};
use crate::ipam::Ipam;
use crate::{hostport, link};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::Path;

/// Codes of the specification.
const BAD_VERSION: u32 = 1;
const BAD_ENV: u32 = 4;
const DECODE: u32 = 6;
const BAD_CONF: u32 = 7;
const TRY_LATER: u32 = 11;
const FAILED: u32 = 100;
/// A network configuration longer than this is not one.
const MAX_INPUT: u64 = 1 << 20;

pub fn main() -> u8 {
    let call = Call::from_env();
    match answer(&call) {
        Ok(text) => {
            print!("{text}");
            0
        }
        Err(e) => {
            print!("{}", serde_json::to_string(&e).unwrap_or_default());
            1
        }
    }
}

fn answer(call: &Call) -> Result<String, Error> {
    if call.command.is_empty() {
        return Err(Error::new(
            BAD_ENV,
            "CNI_COMMAND is not set",
            "this program is run by a container runtime",
        ));
    }
    if call.command == "VERSION" {
        return Ok(serde_json::json!({"cniVersion": "1.1.0", "supportedVersions": VERSIONS}).to_string());
    }
    let mut input = Vec::new();
    std::io::stdin()
        .take(MAX_INPUT)
        .read_to_end(&mut input)
        .map_err(|e| Error::new(5, "reading the configuration", e))?;
    let conf =
        NetConf::parse(&input).map_err(|e| Error::new(DECODE, "decoding the network configuration", e))?;
    if !VERSIONS.contains(&conf.cni_version.as_str()) {
        let details = format!("{:?}; supported: {}", conf.cni_version, VERSIONS.join(", "));
        return Err(Error::new(BAD_VERSION, "incompatible CNI version", details));
    }
    if conf.kind == "loopback" {
        return loopback(&conf, call);
    }
    match call.command.as_str() {
        "ADD" => add(&conf, call),
        "DEL" => del(&conf, call).map(|()| String::new()),
        "CHECK" => check(&conf, call).map(|()| String::new()),
        "STATUS" => status(&conf).map(|()| String::new()),
        "GC" => gc(&conf).map(|()| String::new()),
        other => Err(Error::new(BAD_ENV, "unknown CNI_COMMAND", other)),
    }
}

fn failed(e: impl std::fmt::Display) -> Error {
    Error::new(FAILED, "keelson network", e)
}

fn netns(call: &Call) -> Result<File, Error> {
    File::open(&call.netns)
        .map_err(|e| Error::new(BAD_ENV, format!("cannot open CNI_NETNS {}", call.netns), e))
}

/// The host's name of an attachment: 4 characters and 11 digits of a hash fill the kernel's 15.
fn host_name(call: &Call) -> String {
    let hash: String = Sha256::digest(format!("{}/{}", call.container_id, call.ifname))
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    format!("kvth{}", &hash[..11])
}

fn open_ipam(conf: &NetConf) -> Result<Ipam, Error> {
    Ipam::open(Path::new(&conf.data_dir)).map_err(|e| failed(format!("{}: {e}", conf.data_dir)))
}

fn loopback(conf: &NetConf, call: &Call) -> Result<String, Error> {
    if call.command != "ADD" {
        return Ok(String::new());
    }
    let ns = netns(call)?;
    link::with_netlink(Some(&ns), |h| async move { link::set_up(&h, "lo").await }).map_err(failed)?;
    let mut ip = serde_json::json!({"address": "127.0.0.1/8", "interface": 0});
    if conf.cni_version.starts_with("0.") {
        ip["version"] = "4".into();
    }
    Ok(serde_json::json!({"cniVersion": conf.cni_version, "ips": [ip], "dns": {},
        "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": call.netns}]})
    .to_string())
}

fn add(conf: &NetConf, call: &Call) -> Result<String, Error> {
    let net = conf
        .pod_cidr
        .ok_or_else(|| Error::new(BAD_CONF, "podCIDR is missing", "the node has no pod network yet"))?;
    let ns = netns(call)?;
    // The lock is held throughout: an attachment is made by one call at a time, and a failed one frees its address.
    let ipam = open_ipam(conf)?;
    let ip = ipam
        .reserve(net, &call.container_id, &call.ifname)
        .map_err(failed)?
        .ok_or_else(|| failed(format!("no address is left in {net}")))?;
    drop(ipam);
    match attach(conf, call, &ns, net, ip) {
        Ok(r) => Ok(r),
        Err(e) => {
            let host = host_name(call);
            let _ = link::with_netlink(None, |h| async move { link::delete(&h, &host).await });
            let _ = open_ipam(conf)?.release(&call.container_id, &call.ifname);
            Err(failed(e))
        }
    }
}

fn attach(
    conf: &NetConf,
    call: &Call,
    ns: &File,
    net: ipnet::Ipv4Net,
    ip: Ipv4Addr,
) -> Result<String, String> {
    let host = host_name(call);
    let mtu = if conf.mtu == 0 { crate::routes::DEFAULT_MTU } else { conf.mtu };
    let host_link = {
        let (host, ifname) = (host.clone(), call.ifname.clone());
        link::with_netlink(None, |h| async move { link::veth(&h, &host, &ifname, mtu, ns).await })?
    };
    for (key, value) in [("rp_filter", "0"), ("forwarding", "1"), ("route_localnet", "1")] {
        let path = format!("/proc/sys/net/ipv4/conf/{host}/{key}");
        // Read-only /proc/sys is common in containers; what matters is checked by preflight.
        let _ = std::fs::write(path, value);
    }
    let pod_link = {
        let (ifname, mac) = (call.ifname.clone(), host_link.mac.clone());
        link::with_netlink(Some(ns), |h| async move { link::configure_pod(&h, &ifname, ip, &mac).await })?
    };
    let (index, mac) = (host_link.index, pod_link.mac.clone());
    let node = Ipv4Addr::from(u32::from(net.network()) + 1);
    link::with_netlink(None, |h| async move {
        link::neighbour(&h, index, ip, &mac).await?;
        let source = link::has_address(&h, "lo", node).await?.then_some(node);
        link::pod_route(&h, index, ip, source).await
    })?;
    hostport::add(&conf.runtime_config.port_mappings, ip)?;
    Ok(result(conf, call, ip, &host, &link::mac_text(&host_link.mac), &link::mac_text(&pod_link.mac))
        .to_string())
}

fn del(conf: &NetConf, call: &Call) -> Result<(), Error> {
    let host = host_name(call);
    let found = open_ipam(conf)?.find(&call.container_id, &call.ifname).map_err(failed)?;
    if let Some(ip) = found {
        hostport::remove(ip).map_err(failed)?;
    }
    link::with_netlink(None, |h| async move { link::delete(&h, &host).await }).map_err(failed)?;
    open_ipam(conf)?.release(&call.container_id, &call.ifname).map_err(failed)?;
    Ok(())
}

fn check(conf: &NetConf, call: &Call) -> Result<(), Error> {
    let ip = open_ipam(conf)?.find(&call.container_id, &call.ifname).map_err(failed)?;
    let ip = ip.ok_or_else(|| failed("the attachment has no address"))?;
    let ns = netns(call)?;
    let ifname = call.ifname.clone();
    let there = link::with_netlink(Some(&ns), |h| async move { link::has_address(&h, &ifname, ip).await })
        .map_err(failed)?;
    if there { Ok(()) } else { Err(failed(format!("{} does not have {ip}", call.ifname))) }
}

fn status(conf: &NetConf) -> Result<(), Error> {
    if conf.pod_cidr.is_none() {
        return Err(Error::new(
            50,
            "the node has no pod network yet",
            "waiting for spec.podCIDR of the node",
        ));
    }
    open_ipam(conf).map(drop).map_err(|e| Error::new(TRY_LATER, "address reservations", e))
}

fn gc(conf: &NetConf) -> Result<(), Error> {
    let valid = conf.valid_attachments.as_deref().unwrap_or_default();
    if conf.valid_attachments.is_none() {
        return Err(Error::new(
            BAD_CONF,
            "cni.dev/valid-attachments is missing",
            "GC without it would free everything",
        ));
    }
    open_ipam(conf)?
        .collect(|c, i| valid.iter().any(|a| a.container_id == c && a.ifname == i))
        .map(drop)
        .map_err(failed)
}

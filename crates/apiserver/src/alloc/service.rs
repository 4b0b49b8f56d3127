//! What a write of a Service takes from the allocators, and gives back when it fails.

use super::families::{self, external_name, family_of, headless, normalize, set_strings, strings};
use super::ip::{self, Refused};
use super::ports::{self, Operation};
use crate::cx::Cx;
use crate::server::ApiServer;
use crate::{Failure, Result};
use meta::object::ObjectExt;
use meta::{ErrorList, FieldError, GroupKind, Path, Status, Value};
use std::net::IpAddr;

/// Addresses and ports of one write.
#[derive(Default)]
pub struct Claim {
    dry_run: bool,
    taken: Vec<IpAddr>,
    given: Vec<IpAddr>,
    ports: Operation,
}

impl Claim {
    fn new(dry_run: bool) -> Self {
        Self { dry_run, ports: Operation::new(dry_run), ..Self::default() }
    }
    /// Keeps what was taken and gives back what was given up; or the other way round.
    pub async fn finish(self, s: &ApiServer, committed: bool) {
        if !self.dry_run {
            for a in if committed { &self.given } else { &self.taken } {
                ip::release_ip(s, a).await;
            }
        }
        self.ports.finish(s, committed).await;
    }
}

fn invalid(svc: &Value, errors: &ErrorList) -> Failure {
    Status::invalid(&GroupKind::new("", "Service"), svc.name(), errors).into()
}

fn configured(cx: &Cx) -> Vec<&'static str> {
    let mut out: Vec<&'static str> = Vec::new();
    for r in &cx.server.cfg.service_cidrs {
        if !out.contains(&r.family()) {
            out.push(r.family());
        }
    }
    out
}

/// A new Service.
pub async fn begin_create(cx: &Cx, svc: &mut Value, dry_run: bool) -> Result<Claim> {
    normalize(svc, None);
    let mut claim = Claim::new(dry_run);
    let done = fill_new(cx, svc, &mut claim).await;
    match done {
        Ok(()) => Ok(claim),
        Err(e) => {
            claim.finish(&cx.server, false).await;
            Err(e)
        }
    }
}

async fn fill_new(cx: &Cx, svc: &mut Value, claim: &mut Claim) -> Result<()> {
    families::init(svc, None, &configured(cx)).map_err(|e| invalid(svc, &e))?;
    if !families::plausible(svc) {
        return Ok(());
    }
    take_all_ips(cx, svc, claim).await?;
    let ty = svc.str_at("spec.type").to_owned();
    if matches!(ty.as_str(), "NodePort" | "LoadBalancer") {
        new_ports(cx, svc, claim).await?;
    }
    if needs_health_check(svc) {
        take_health_check_port(cx, svc, claim).await?;
    }
    Ok(())
}

async fn take_all_ips(cx: &Cx, svc: &mut Value, claim: &mut Claim) -> Result<()> {
    if external_name(svc) || strings(svc, "clusterIPs").first().is_some_and(|i| i == "None") {
        return Ok(());
    }
    let families = strings(svc, "ipFamilies");
    let mut ips = strings(svc, "clusterIPs");
    ips.resize(families.len().max(ips.len()), String::new());
    for (i, family) in families.iter().enumerate() {
        ips[i] = take_ip(cx, svc, family, &ips[i], &ips, claim).await?;
    }
    if let Some(first) = ips.first() {
        svc.set_at("spec.clusterIP", first.as_str());
    }
    set_strings(svc, "clusterIPs", &ips);
    Ok(())
}

/// Takes this address, or any of the family when it is empty.
async fn take_ip(
    cx: &Cx,
    svc: &Value,
    family: &str,
    wanted: &str,
    shown: &[String],
    claim: &mut Claim,
) -> Result<String> {
    let (s, name) = (&cx.server, svc.name());
    let namespace = if svc.namespace().is_empty() { &cx.info.namespace } else { svc.namespace() };
    let at = Path::new("spec").child("clusterIPs");
    let shown: Vec<&String> = shown.iter().filter(|i| !i.is_empty()).collect();
    let shown = if shown.is_empty() { Value::Null } else { serde_json::json!(shown) };
    let refused =
        |text: String| -> Failure { invalid(svc, &vec![FieldError::invalid(&at, shown.clone(), text)]) };
    if wanted.is_empty() {
        return match ip::allocate_next(s, family, namespace, name, claim.dry_run).await {
            Ok(ip) => {
                claim.taken.push(ip);
                Ok(ip.to_string())
            }
            Err(Refused::Because(t)) if t == ip::FULL => Err(Status::internal(format_args!(
                "failed to allocate a serviceIP for Service {name:?}: {t}"
            ))
            .into()),
            Err(Refused::Because(t)) => Err(refused(format!("failed to allocate IP: {t}"))),
            Err(Refused::Store(e)) => Err(e),
        };
    }
    let ip: IpAddr = wanted
        .parse()
        .map_err(|_| Status::internal(format_args!("failed to parse service IP {wanted:?}")))?;
    match ip::allocate(s, ip, namespace, name, claim.dry_run).await {
        Ok(()) => {
            claim.taken.push(ip);
            Ok(wanted.to_owned())
        }
        Err(Refused::Because(t)) => Err(refused(format!("failed to allocate IP {wanted}: {t}"))),
        Err(Refused::Store(e)) => Err(e),
    }
}

fn gives_node_ports(svc: &Value) -> bool {
    match svc.str_at("spec.type") {
        "NodePort" => true,
        "LoadBalancer" => {
            svc.at("spec.allocateLoadBalancerNodePorts").and_then(Value::as_bool).unwrap_or(true)
        }
        _ => false,
    }
}

fn needs_health_check(svc: &Value) -> bool {
    svc.str_at("spec.type") == "LoadBalancer" && svc.str_at("spec.externalTrafficPolicy") == "Local"
}

fn node_ports(svc: &Value) -> Vec<u16> {
    svc.array_at("spec.ports")
        .iter()
        .filter_map(|p| p.get("nodePort").and_then(Value::as_u64))
        .filter_map(|p| u16::try_from(p).ok())
        .filter(|p| *p != 0)
        .collect()
}

fn port_refused(svc: &Value, i: usize, port: i64, r: ports::Refused) -> Failure {
    match r {
        ports::Refused::Store(e) => e,
        ports::Refused::Because(t) => {
            let at = Path::new("spec").child("ports").index(i).child("nodePort");
            invalid(svc, &vec![FieldError::invalid(&at, port, t)])
        }
    }
}

fn any_port_refused(r: ports::Refused) -> Failure {
    match r {
        ports::Refused::Store(e) => e,
        ports::Refused::Because(t) => {
            Status::internal(format_args!("failed to allocate a nodePort: {t}")).into()
        }
    }
}

fn port_field(svc: &Value, i: usize, field: &str) -> i64 {
    svc.array_at("spec.ports").get(i).and_then(|p| p.i64_at(field)).unwrap_or(0)
}

fn set_node_port(svc: &mut Value, i: usize, port: i64) {
    if let Some(p) = svc.pointer_mut(&format!("/spec/ports/{i}")).and_then(Value::as_object_mut) {
        p.insert("nodePort".into(), port.into());
    }
}

/// Node ports of a new Service; ports that differ in the protocol only share one.
async fn new_ports(cx: &Cx, svc: &mut Value, claim: &mut Claim) -> Result<()> {
    let n = svc.array_at("spec.ports").len();
    let mut by_port: Vec<(i64, i64)> = Vec::new();
    for i in 0..n {
        let (port, own) = (port_field(svc, i, "port"), port_field(svc, i, "nodePort"));
        if own == 0 && !gives_node_ports(svc) {
            continue;
        }
        match by_port.iter().find(|(p, _)| *p == port).map(|(_, np)| *np) {
            None => {
                let wanted = (0..n)
                    .find(|j| port_field(svc, *j, "port") == port && port_field(svc, *j, "nodePort") != 0)
                    .map_or(0, |j| port_field(svc, j, "nodePort"));
                let got = if wanted == 0 {
                    i64::from(claim.ports.allocate_next(&cx.server).await.map_err(any_port_refused)?)
                } else {
                    let done = claim.ports.allocate(&cx.server, wanted).await;
                    done.map_err(|r| port_refused(svc, i, wanted, r))?;
                    wanted
                };
                set_node_port(svc, i, got);
                by_port.push((port, got));
            }
            Some(np) if own == 0 => set_node_port(svc, i, np),
            Some(np) if own != np => {
                let done = claim.ports.allocate(&cx.server, own).await;
                done.map_err(|r| port_refused(svc, i, own, r))?;
            }
            Some(_) => {}
        }
    }
    Ok(())
}

async fn take_health_check_port(cx: &Cx, svc: &mut Value, claim: &mut Claim) -> Result<()> {
    let own = svc.i64_at("spec.healthCheckNodePort").unwrap_or(0);
    let failed = |what: String, r: ports::Refused| -> Failure {
        match r {
            ports::Refused::Store(e) => e,
            ports::Refused::Because(t) => Status::internal(format_args!("{what}: {t}")).into(),
        }
    };
    if own != 0 {
        let done = claim.ports.allocate(&cx.server, own).await;
        return done
            .map_err(|r| failed(format!("failed to allocate requested HealthCheck NodePort {own}"), r));
    }
    let p = claim.ports.allocate_next(&cx.server).await;
    let p = p.map_err(|r| failed("failed to allocate a HealthCheck NodePort 0".into(), r))?;
    svc.set_at("spec.healthCheckNodePort", i64::from(p));
    Ok(())
}

/// A Service that replaces `old`.
pub async fn begin_update(cx: &Cx, svc: &mut Value, old: &Value, dry_run: bool) -> Result<Claim> {
    keep_allocated(svc, old);
    normalize(svc, Some(old));
    let mut claim = Claim::new(dry_run);
    match fill_update(cx, svc, old, &mut claim).await {
        Ok(()) => Ok(claim),
        Err(e) => {
            claim.finish(&cx.server, false).await;
            Err(e)
        }
    }
}

/// What the client left out of what was allocated stays as it was.
fn keep_allocated(svc: &mut Value, old: &Value) {
    if !external_name(old) && !external_name(svc) {
        if svc.str_at("spec.clusterIP").is_empty() && !old.str_at("spec.clusterIP").is_empty() {
            svc.set_at("spec.clusterIP", old.str_at("spec.clusterIP"));
        }
        if strings(svc, "clusterIPs").is_empty() {
            set_strings(svc, "clusterIPs", &strings(old, "clusterIPs"));
        }
    }
    if gives_node_ports(old) && gives_node_ports(svc) {
        let (before, now) = (node_ports(old), node_ports(svc));
        let n = svc.array_at("spec.ports").len();
        for i in 0..n {
            if port_field(svc, i, "nodePort") != 0 {
                continue;
            }
            let name = svc.array_at("spec.ports")[i].str_at("name").to_owned();
            let same = old.array_at("spec.ports").iter().rev().find(|p| p.str_at("name") == name);
            let port = same.and_then(|p| p.i64_at("nodePort")).unwrap_or(0);
            let used = u16::try_from(port).is_ok_and(|p| before.contains(&p) && now.contains(&p));
            if port != 0 && !used {
                set_node_port(svc, i, port);
            }
        }
    }
    if needs_health_check(old)
        && needs_health_check(svc)
        && svc.i64_at("spec.healthCheckNodePort").unwrap_or(0) == 0
        && let Some(p) = old.at("spec.healthCheckNodePort")
    {
        svc.set_at("spec.healthCheckNodePort", p.clone());
    }
}

async fn fill_update(cx: &Cx, svc: &mut Value, old: &Value, claim: &mut Claim) -> Result<()> {
    families::init(svc, Some(old), &configured(cx)).map_err(|e| invalid(svc, &e))?;
    if !families::plausible(svc) {
        return Ok(());
    }
    update_ips(cx, svc, old, claim).await?;
    let exposes = |s: &Value| matches!(s.str_at("spec.type"), "NodePort" | "LoadBalancer");
    if exposes(old) && !exposes(svc) {
        node_ports(old).into_iter().for_each(|p| claim.ports.release_later(p));
    }
    if exposes(svc) {
        update_ports(cx, svc, old, claim).await?;
    }
    match (needs_health_check(old), needs_health_check(svc)) {
        (false, true) => take_health_check_port(cx, svc, claim).await?,
        (true, false) => {
            if let Ok(p) = u16::try_from(old.i64_at("spec.healthCheckNodePort").unwrap_or(0)) {
                claim.ports.release_later(p);
            }
        }
        _ => {}
    }
    Ok(())
}

async fn update_ips(cx: &Cx, svc: &mut Value, old: &Value, claim: &mut Claim) -> Result<()> {
    if families::same_preference(svc, Some(old)) {
        return Ok(());
    }
    if external_name(old) && !external_name(svc) {
        return take_all_ips(cx, svc, claim).await;
    }
    if headless(old) {
        return Ok(());
    }
    let old_ips = strings(old, "clusterIPs");
    if !external_name(old) && external_name(svc) {
        claim.given.extend(old_ips.iter().filter_map(|i| i.parse::<IpAddr>().ok()));
        return Ok(());
    }
    let (before, now) = (strings(old, "ipFamilies").len(), strings(svc, "ipFamilies").len());
    if before == 1 && now == 2 {
        let mut ips = strings(svc, "clusterIPs");
        ips.resize(2, String::new());
        let family = strings(svc, "ipFamilies").swap_remove(1);
        ips[1] = take_ip(cx, svc, &family, &ips[1], &ips, claim).await?;
        set_strings(svc, "clusterIPs", &ips);
    } else if before == 2 && now == 1 {
        claim.given.extend(old_ips.get(1).and_then(|i| i.parse::<IpAddr>().ok()));
    }
    Ok(())
}

async fn update_ports(cx: &Cx, svc: &mut Value, old: &Value, claim: &mut Claim) -> Result<()> {
    let before = node_ports(old);
    let mut taken: Vec<u16> = Vec::new();
    let mut seen: Vec<(String, i64)> = Vec::new();
    for i in 0..svc.array_at("spec.ports").len() {
        let own = port_field(svc, i, "nodePort");
        if own == 0 && !gives_node_ports(svc) {
            continue;
        }
        let port = if own != 0 {
            let known = u16::try_from(own).is_ok_and(|p| before.contains(&p) || taken.contains(&p));
            if !known {
                let done = claim.ports.allocate(&cx.server, own).await;
                done.map_err(|r| port_refused(svc, i, own, r))?;
                taken.extend(u16::try_from(own).ok());
            }
            own
        } else {
            let p = i64::from(claim.ports.allocate_next(&cx.server).await.map_err(any_port_refused)?);
            set_node_port(svc, i, p);
            p
        };
        let protocol = svc.array_at("spec.ports")[i].str_at("protocol").to_owned();
        if seen.contains(&(protocol.clone(), port)) {
            return Err(Status::internal(format_args!("duplicate nodePort: {{{protocol} {port}}}")).into());
        }
        seen.push((protocol, port));
    }
    let now = node_ports(svc);
    before.into_iter().filter(|p| !now.contains(p)).for_each(|p| claim.ports.release_later(p));
    Ok(())
}

/// Gives back all that a deleted Service had.
pub async fn release_all(s: &ApiServer, svc: &Value) {
    if !external_name(svc) && !headless(svc) {
        for ip in strings(svc, "clusterIPs").iter().filter_map(|i| i.parse().ok()) {
            ip::release_ip(s, &ip).await;
        }
    }
    let mut ports = node_ports(svc);
    if needs_health_check(svc) {
        ports.extend(u16::try_from(svc.i64_at("spec.healthCheckNodePort").unwrap_or(0)).ok());
    }
    ports::release(s, &ports).await;
}

/// Every node port that a Service has.
pub fn ports_of(svc: &Value) -> Vec<u16> {
    let mut ports = node_ports(svc);
    ports.extend(
        svc.i64_at("spec.healthCheckNodePort").and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0),
    );
    ports
}

/// The addresses that a Service has.
pub fn ips_of(svc: &Value) -> Vec<IpAddr> {
    if external_name(svc) || headless(svc) {
        return Vec::new();
    }
    let ips = strings(svc, "clusterIPs").into_iter();
    ips.filter_map(|i| i.parse().ok()).filter(|a| !family_of(a).is_empty()).collect()
}

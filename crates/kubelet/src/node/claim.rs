//! A node's name is one host's: a second kubelet of that name waits, so that two hosts do not run the same pods.

use super::machine::Machine;
use client::Client;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use runtime::Runtime;
use std::time::Duration;

const AGAIN: Duration = Duration::from_secs(10);
/// How long the other kubelet may be silent where its lease does not say.
const LEASE_SECONDS: i64 = 40;

/// The other host's address and the age of its heartbeat in seconds, if the name is in use there.
fn taken(node: &Node, lease: &Lease, m: &Machine, ips: &[String], now: i64) -> Option<(String, i64)> {
    let status = node.status.as_ref()?;
    // Clones of a machine have its id, but boot by themselves.
    let same =
        status.node_info.as_ref().is_some_and(|i| i.machine_id == m.machine_id && i.boot_id == m.boot_id);
    let address = status.addresses.iter().flatten().find(|a| a.type_ == "InternalIP")?.address.clone();
    // A host whose address changed is the same host; so is one that was set up anew at the same address.
    if same || ips.contains(&address) {
        return None;
    }
    let spec = lease.spec.as_ref()?;
    let age = now - spec.renew_time.as_ref()?.0.as_second();
    let life = spec.lease_duration_seconds.map_or(LEASE_SECONDS, i64::from);
    (age < life).then_some((address, age))
}

/// Waits while another host is that node. Where the API server cannot be asked, nothing is known against it.
pub async fn wait(client: &Client, name: &str, machine: &Machine, ips: &[String], rt: &Runtime) {
    loop {
        let Ok(node) = client.get::<Node>(None, name).await else { return };
        let Ok(lease) = client.get::<Lease>(Some("kube-node-lease"), name).await else { return };
        let Some((address, age)) = taken(&node, &lease, machine, ips, rt.clock.unix_seconds()) else {
            return;
        };
        tracing::error!(
            "node {name:?} is another host already: {address}, which was heard of {} s ago; give this one another \
             name with --hostname-override, or stop the kubelet there; waiting",
            age.max(0)
        );
        tokio::select! { () = tokio::time::sleep(AGAIN) => {}, () = rt.stopping() => return }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_is_taken_while_its_host_is_heard_of() {
        let node: Node = serde_json::from_value(json!({"metadata": {"name": "n"}, "status": {
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
            "nodeInfo": {"machineID": "a", "architecture": "", "bootID": "x", "containerRuntimeVersion": "",
                "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "", "operatingSystem": "",
                "osImage": "", "systemUUID": ""}}}))
        .unwrap();
        let lease: Lease = serde_json::from_value(json!({"metadata": {"name": "n"}, "spec": {
            "leaseDurationSeconds": 40, "renewTime": "1970-01-01T00:16:40.000000Z"}}))
        .unwrap();
        let mine = ["192.0.2.2".to_owned()];
        let host = |machine: &str, boot: &str| Machine {
            machine_id: machine.into(),
            boot_id: boot.into(),
            ..Machine::default()
        };
        let check = |m: Machine, ips: &[String], now: i64| taken(&node, &lease, &m, ips, now);
        let there = Some(("192.0.2.1".to_owned(), 3));
        assert_eq!(check(host("b", "y"), &mine, 1003), there);
        assert_eq!(check(host("a", "y"), &mine, 1003), there, "a clone");
        assert_eq!(check(host("b", "y"), &mine, 1041), None, "not heard of for long");
        assert_eq!(check(host("a", "x"), &mine, 1003), None, "the same machine with a new address");
        assert_eq!(
            check(host("b", "y"), &["192.0.2.1".to_owned()], 1003),
            None,
            "a new machine at the old address"
        );
        assert_eq!(taken(&node, &Lease::default(), &host("b", "y"), &mine, 1003), None, "never heard of");
    }
}

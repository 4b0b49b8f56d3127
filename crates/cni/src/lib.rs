//! The CNI plugin and node network: routed pods, host-local addresses, hostPort, masquerade, routes between nodes.
//!
//! Pods are reached by routes and no bridge: each has a veth whose host end is the pod's only neighbour (the link-local
//! gateway 169.254.1.1, resolved by a permanent entry). Every packet of a pod passes the host's IP layer, so service
//! translation and policies see it, on one node as across nodes, whatever the bridge settings of the host.

/// The protocol number by which routes are known to be keelson's (`ip route show proto 37`).
pub const ROUTE_PROTOCOL: u8 = 37;

pub mod agent;
pub mod conf;
pub mod hostport;
pub mod ipam;
pub mod link;
pub mod plugin;
pub mod routes;
pub mod status;

pub use agent::{Config, run};

/// The applet that the container runtime executes; also answers to `loopback`. Returns the exit code.
pub fn plugin_main() -> u8 {
    plugin::main()
}

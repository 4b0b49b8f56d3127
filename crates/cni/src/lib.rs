//! The CNI plugin and node network: bridge, host-local addresses, hostPort, masquerade, routes between nodes.

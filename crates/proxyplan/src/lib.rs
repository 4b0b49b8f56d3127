//! Services and EndpointSlices to an nftables ruleset. Pure.

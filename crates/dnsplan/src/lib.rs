//! Services and EndpointSlices to DNS records and answers. Pure.

//! What remote commands and port forwarding travel in: SPDY/3.1 streams, the Kubernetes channel protocols over
//! WebSocket, SPDY tunnelled through WebSocket; how they are negotiated; their client side; and the translation of
//! WebSocket v5 to SPDY that the API server and the kubelet do for clients.
//!
//! Upstream: `k8s.io/streaming`, `k8s.io/apiserver/pkg/util/proxy`, `k8s.io/client-go/tools/{remotecommand,portforward}`.

pub mod client;
pub mod negotiate;
pub mod spdy;
pub mod translate;
pub mod websocket;

/// An error and its causes on one line.
pub(crate) fn chain(e: &dyn std::error::Error) -> String {
    let mut out = e.to_string();
    let mut next = e.source();
    while let Some(e) = next {
        let s = e.to_string();
        if !out.contains(&s) {
            out.push_str(": ");
            out.push_str(&s);
        }
        next = e.source();
    }
    out
}

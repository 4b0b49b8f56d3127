//! Services and EndpointSlices to DNS records and answers. Pure.
//!
//! What names exist and what they resolve to follows the DNS specification of Kubernetes 1.1
//! (`kubernetes/dns`, `docs/specification.md`), with pod records by address (`pods insecure`) as CoreDNS has them.

mod answer;
mod zone;

pub use answer::{Answer, Data, Kind, Record};
pub use zone::Zone;

#[cfg(test)]
mod tests;

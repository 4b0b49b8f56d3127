//! Which requests are signed, for which signer with which conditions, and for how long.

use crate::k8s::certificates::CertificateSigningRequest;
use crate::util::csr::{
    self, KUBE_APISERVER_CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY_UNKNOWN, Request,
};
use std::time::Duration;

/// Approved, neither signed nor failed, and for one of our signers.
pub fn wants_signing(csr: &CertificateSigningRequest) -> bool {
    let failed = csr::conditions(csr).iter().any(|c| c.type_ == "Failed" && c.status == "True");
    csr::certificate(csr).is_none()
        && csr::has_condition(csr, "Approved")
        && !csr::has_condition(csr, "Denied")
        && !failed
        && [KUBE_APISERVER_CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY_UNKNOWN]
            .contains(&csr.spec.signer_name.as_str())
}

/// What the signer demands of a request.
pub fn check(csr: &CertificateSigningRequest, req: &Request) -> Result<(), String> {
    let usages = csr.spec.usages.as_deref().unwrap_or_default();
    match csr.spec.signer_name.as_str() {
        KUBELET_SERVING => req.check_kubelet_serving(usages),
        KUBELET_CLIENT => req.check_kubelet_client(usages),
        KUBE_APISERVER_CLIENT => csr::check_api_client_usages(usages),
        _ => Ok(()),
    }
}

/// A request may ask for less than the longest life, but not for less than ten minutes.
pub fn life(requested: Option<i32>, longest: Duration) -> Duration {
    let Some(r) = requested else { return longest };
    let r = Duration::from_secs(u64::try_from(r).unwrap_or(0));
    if r > longest { longest } else { r.max(Duration::from_secs(600)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives() {
        let (s, day) = (Duration::from_secs, Duration::from_secs(86400));
        assert_eq!(life(None, day), day);
        assert_eq!(life(Some(90_000), day), day);
        assert_eq!(life(Some(60), day), s(600));
        assert_eq!(life(Some(3600), day), s(3600));
    }
}

//! Which requests can be approved, and what has to be asked first.

use crate::k8s::certificates::CertificateSigningRequest;
use crate::util::csr::{KUBELET_CLIENT, KUBELET_SERVING, Request};
use serde_json::{Value, json};

#[derive(Debug, PartialEq, Eq)]
pub struct Review {
    /// The subresource of certificatesigningrequests that must be allowed.
    pub subresource: &'static str,
    pub message: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    NotOurs,
    /// Approve when one of these is allowed, tried in order.
    Ask(Vec<Review>),
    /// A serving certificate for this node.
    Serving(String),
}

pub fn judge(csr: &CertificateSigningRequest, req: &Request) -> Verdict {
    let usages = csr.spec.usages.as_deref().unwrap_or_default();
    match csr.spec.signer_name.as_str() {
        KUBELET_CLIENT if req.check_kubelet_client(usages).is_ok() => {
            let mut all = Vec::new();
            if csr.spec.username.as_deref() == Some(&req.common_name) {
                all.push(Review {
                    subresource: "selfnodeclient",
                    message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
                });
            }
            all.push(Review {
                subresource: "nodeclient",
                message: "Auto approving kubelet client certificate after SubjectAccessReview.",
            });
            Verdict::Ask(all)
        }
        KUBELET_SERVING if req.check_kubelet_serving(usages).is_ok() => {
            Verdict::Serving(req.common_name.trim_start_matches("system:node:").to_owned())
        }
        _ => Verdict::NotOurs,
    }
}

/// The review that asks whether the requester may create such a request.
pub fn review(csr: &CertificateSigningRequest, subresource: &str) -> Value {
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": csr.spec.username,
            "uid": csr.spec.uid,
            "groups": csr.spec.groups,
            "extra": csr.spec.extra,
            "resourceAttributes": {
                "group": "certificates.k8s.io",
                "resource": "certificatesigningrequests",
                "verb": "create",
                "subresource": subresource,
                "version": "*",
            },
        },
    })
}

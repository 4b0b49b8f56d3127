//! Who may approve and sign certificates, and attest trust bundles, for which signer
//! (plugin/pkg/admission/certificates): CertificateApproval, CertificateSigning, CertificateSubjectRestriction,
//! ClusterTrustBundleAttest.

use crate::signers::authorized;
use crate::{Attributes, Lookup, Operation, Plugin};
use meta::field::quote;
use meta::object::ObjectExt;
use meta::{Status, Value};

const GROUP: &str = "certificates.k8s.io";
const CSRS: &str = "certificatesigningrequests";

pub(crate) struct Approval;
impl Plugin for Approval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }
    fn handles(&self, op: Operation) -> bool {
        op == Operation::Update
    }
    fn validate(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if !a.is(GROUP, CSRS) || a.subresource != "approval" {
            return Ok(());
        }
        let signer = a.old().str_at("spec.signerName");
        if authorized(l, a.user, "approve", signer) {
            return Ok(());
        }
        Err(a.forbidden(format!("user not permitted to approve requests with signerName {}", quote(signer))))
    }
}

pub(crate) struct Signing;
impl Plugin for Signing {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }
    fn handles(&self, op: Operation) -> bool {
        op == Operation::Update
    }
    fn validate(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if !a.is(GROUP, CSRS) || a.subresource != "status" {
            return Ok(());
        }
        let (new, old) = (a.obj(), a.old());
        if ["status.certificate", "status.conditions"].iter().all(|f| new.at(f) == old.at(f)) {
            return Ok(());
        }
        let signer = old.str_at("spec.signerName");
        if authorized(l, a.user, "sign", signer) {
            return Ok(());
        }
        Err(a.forbidden(format!("user not permitted to sign requests with signerName {}", quote(signer))))
    }
}

pub(crate) struct SubjectRestriction;
impl Plugin for SubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }
    fn handles(&self, op: Operation) -> bool {
        op == Operation::Create
    }
    fn validate(&self, a: &mut Attributes<'_>, _: &dyn Lookup) -> Result<(), Status> {
        const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
        if !a.is(GROUP, CSRS) || !a.subresource.is_empty() || a.obj().str_at("spec.signerName") != SIGNER {
            return Ok(());
        }
        let subject = authn::cert::csr_subject(a.obj().str_at("spec.request"))
            .map_err(|e| a.forbidden(format!("failed to parse CSR: {e}")))?;
        if subject.organizations.iter().any(|o| o == meta::user::SYSTEM_MASTERS) {
            return Err(
                a.forbidden(format!("use of {SIGNER} signer with system:masters group is not allowed"))
            );
        }
        Ok(())
    }
}

pub(crate) struct Attest;
impl Plugin for Attest {
    fn name(&self) -> &'static str {
        "ClusterTrustBundleAttest"
    }
    fn handles(&self, op: Operation) -> bool {
        matches!(op, Operation::Create | Operation::Update)
    }
    fn validate(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        let signer = a.obj().str_at("spec.signerName");
        if !a.is(GROUP, "clustertrustbundles") || signer.is_empty() {
            return Ok(());
        }
        // Storage migration and garbage collection say nothing about trust.
        let strip = |v: &Value| {
            let mut v = v.clone();
            for f in ["ownerReferences", "finalizers", "selfLink", "managedFields"] {
                v.metadata_mut().remove(f);
            }
            v
        };
        if (a.updates() && strip(a.obj()) == strip(a.old())) || authorized(l, a.user, "attest", signer) {
            return Ok(());
        }
        Err(a.forbidden(format!("user not permitted to attest for signerName {}", quote(signer))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};
    use serde_json::json;

    fn may(verb: &str, name: &str) -> Store {
        Store { allowed: vec![format!("{verb} certificates.k8s.io signers  {name}")], ..Store::default() }
    }

    #[test]
    fn asks_for_the_signer() {
        let csr = |status: Value| json!({"metadata": {"name": "c"}, "spec": {"signerName": "a.io/b"}, "status": status});
        let run = |p: &dyn Plugin, sub: &str, s: &Store, status: Value| {
            Ask::new(&format!("update certificates.k8s.io/certificatesigningrequests/{sub}"))
                .in_namespace("")
                .run(p, s, &mut csr(status), Some(&csr(json!({}))))
        };
        for ok in ["a.io/b", "a.io/*"] {
            assert_eq!(run(&Approval, "approval", &may("approve", ok), json!({})), Ok(()));
            assert_eq!(run(&Signing, "status", &may("sign", ok), json!({"certificate": "x"})), Ok(()));
        }
        let nobody = Store::default();
        assert_eq!(
            run(&Approval, "approval", &nobody, json!({})),
            Err(r#"certificatesigningrequests.certificates.k8s.io "c" is forbidden: user not permitted to approve requests with signerName "a.io/b""#.into())
        );
        assert!(run(&Signing, "status", &nobody, json!({"certificate": "x"})).is_err());
        assert_eq!(run(&Signing, "status", &nobody, json!({})), Ok(()));
        let bundle = |s: &str| json!({"metadata": {"name": "b"}, "spec": {"signerName": s}});
        let attest = |st: &Store, s: &str| {
            Ask::new("create certificates.k8s.io/clustertrustbundles").run(&Attest, st, &mut bundle(s), None)
        };
        assert_eq!(attest(&nobody, ""), Ok(()));
        assert!(attest(&nobody, "a.io/b").is_err());
        assert_eq!(attest(&may("attest", "a.io/b"), "a.io/b"), Ok(()));
    }
}

//! Which tokens and certificates a kubelet may ask for: those of pods that run on it, for audiences and signers that
//! the pods name, or that it has been granted.

use super::{Answer, Request};
use crate::pod::is_mirror;
use meta::field::{aggregate, quote};
use meta::object::ObjectExt;
use meta::{Reason, Status, Value};

/// In-tree volumes and the CSI drivers that have taken them over (csi-translation-lib).
const MIGRATED: &[(&str, &str)] = &[
    ("awsElasticBlockStore", "ebs.csi.aws.com"),
    ("azureDisk", "disk.csi.azure.com"),
    ("azureFile", "file.csi.azure.com"),
    ("cinder", "cinder.csi.openstack.org"),
    ("gcePersistentDisk", "pd.csi.storage.gke.io"),
    ("portworxVolume", "pxd.portworx.com"),
    ("vsphereVolume", "csi.vsphere.vmware.com"),
];

fn driver_of(volume: &Value) -> Option<String> {
    match volume.get("csi") {
        Some(csi) => Some(csi.str_at("driver").to_owned()),
        None => MIGRATED.iter().find(|(f, _)| volume.get(f).is_some()).map(|(_, d)| (*d).to_owned()),
    }
}

fn projected(pod: &Value) -> impl Iterator<Item = &Value> {
    pod.array_at("spec.volumes").iter().flat_map(|v| v.array_at("projected.sources"))
}

/// An error that the caller may try again: not a refusal.
fn unsure(why: String) -> Status {
    Status::failure(Reason::Unknown, why)
}

impl Request<'_, '_> {
    pub(super) fn token(&self) -> Answer {
        let request = self.a.obj();
        let bound = request.at("spec.boundObjectRef").unwrap_or(&Value::Null);
        if bound.str_at("apiVersion") != "v1"
            || bound.str_at("kind") != "Pod"
            || bound.str_at("name").is_empty()
        {
            return self.refuse("node requested token not bound to a pod");
        }
        let uid = bound.str_at("uid");
        if uid.is_empty() {
            return self.refuse("node requested token with a pod binding without a uid");
        }
        let pod = self.find("pods", self.a.namespace, bound.str_at("name"))?;
        if pod.uid() != uid {
            return self.refuse(format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might \
                 have been deleted and then recreated"
            ));
        }
        if pod.str_at("spec.nodeName") != self.node {
            return self.refuse("node requested token bound to a pod scheduled on a different node");
        }
        if !schema::facts::gate("ServiceAccountNodeAudienceRestriction") {
            return Ok(());
        }
        let audience = match request.array_at("spec.audiences") {
            [] => "",
            [one] => one.as_str().unwrap_or(""),
            _ => return self.refuse("node may only request 0 or 1 audiences"),
        };
        match self.pod_names_audience(&pod, audience) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(e) => {
                return self.refuse(format!("error validating audience {}: {e}", quote(audience)));
            }
        }
        if self.granted("request-serviceaccounts-token-audience", audience, self.a.name) {
            return Ok(());
        }
        let user = &self.a.user.name;
        self.refuse(format!("{user} is not authorized to request tokens for audience {}", quote(audience)))
    }

    fn granted(&self, verb: &str, resource: &str, name: &str) -> bool {
        let group = &self.a.resource.group;
        self.l.authorized(self.a.user, verb, group, resource, self.a.namespace, name)
    }

    fn pod_names_audience(&self, pod: &Value, audience: &str) -> Result<bool, String> {
        let tokens = projected(pod).filter_map(|s| s.get("serviceAccountToken"));
        if tokens.into_iter().any(|t| t.str_at("audience") == audience) {
            return Ok(true);
        }
        let mut errors: Vec<String> = Vec::new();
        for v in pod.array_at("spec.volumes") {
            let claim = if v.at("ephemeral.volumeClaimTemplate").is_some() {
                Some(format!("{}-{}", pod.name(), v.str_at("name")))
            } else {
                v.get("persistentVolumeClaim").map(|c| c.str_at("claimName").to_owned())
            };
            let driver = match claim {
                Some(c) => self.driver_of_claim(pod.namespace(), &c),
                None => Ok(driver_of(v)),
            };
            let driver = match driver {
                Ok(Some(d)) if !d.is_empty() => d,
                Ok(_) => continue,
                Err(e) => {
                    errors.push(e);
                    continue;
                }
            };
            let Some(driver) = self.l.get("storage.k8s.io", "csidrivers", "", &driver) else {
                errors.push(format!("csidriver.storage.k8s.io {} not found", quote(&driver)));
                continue;
            };
            if driver.array_at("spec.tokenRequests").iter().any(|t| t.str_at("audience") == audience) {
                return Ok(true);
            }
        }
        if errors.is_empty() { Ok(false) } else { Err(aggregate(&errors)) }
    }

    fn driver_of_claim(&self, namespace: &str, claim: &str) -> Result<Option<String>, String> {
        let missing = |what: &str, name: &str| format!("{what} {} not found", quote(name));
        let claim = self
            .l
            .get("", "persistentvolumeclaims", namespace, claim)
            .ok_or_else(|| missing("persistentvolumeclaim", claim))?;
        let name = claim.str_at("spec.volumeName");
        let pv =
            self.l.get("", "persistentvolumes", "", name).ok_or_else(|| missing("persistentvolume", name))?;
        Ok(pv.get("spec").and_then(driver_of))
    }

    pub(super) fn pod_certificate(&self) -> Answer {
        if !schema::facts::gate("PodCertificateRequest") {
            return self.refuse("PodCertificateRequest feature gate is disabled");
        }
        if !self.a.creates() {
            return self.refuse(format!("unexpected operation {}", self.a.operation.as_str()));
        }
        if !self.a.subresource.is_empty() {
            return self.refuse(format!("unexpected subresource {}", self.a.subresource));
        }
        let (ns, spec) = (self.a.namespace, self.a.obj().get("spec").unwrap_or(&Value::Null));
        let named = spec.str_at("nodeName");
        if named != self.node {
            return self.refuse(format!(
                "PodCertificateRequest.Spec.NodeName={}, which is not the requesting node {}",
                quote(named),
                self.quoted()
            ));
        }
        let lost = |what: &str, shown: String, e: Status| {
            unsure(format!("while retrieving {what} {shown} named in the PodCertificateRequest: {e}"))
        };
        let node = self.find("nodes", "", named).map_err(|e| lost("node", quote(named), e))?;
        let pod_name = quote(&format!("{ns}/{}", spec.str_at("podName")));
        if node.uid() != spec.str_at("nodeUID") {
            return Err(unsure(format!(
                "PodCertificateRequest for pod {pod_name} names node UID {}, inconsistent with the running node ({})",
                quote(spec.str_at("nodeUID")),
                quote(node.uid())
            )));
        }
        let pod =
            self.find("pods", ns, spec.str_at("podName")).map_err(|e| lost("pod", pod_name.clone(), e))?;
        if pod.uid() != spec.str_at("podUID") {
            return Err(unsure(format!(
                "PodCertificateRequest for pod {pod_name} contains pod UID ({}) which differs from running pod {}",
                quote(spec.str_at("podUID")),
                quote(pod.uid())
            )));
        }
        if pod.str_at("spec.nodeName") != named {
            return self.refuse(format!(
                "pod {pod_name} is not running on node {} named in the PodCertificateRequest",
                quote(named)
            ));
        }
        if is_mirror(&pod) {
            return self.refuse(format!("pod {pod_name} is a mirror pod"));
        }
        let account = spec.str_at("serviceAccountName");
        let runs_as = pod.str_at("spec.serviceAccountName");
        if account != runs_as {
            return self.refuse(format!(
                "PodCertificateRequest for pod {pod_name} contains serviceAccountName ({}) that differs from running \
                 pod ({})",
                quote(account),
                quote(runs_as)
            ));
        }
        let sa = self
            .find("serviceaccounts", ns, account)
            .map_err(|e| lost("service account", quote(&format!("{ns}/{account}")), e))?;
        if sa.uid() != spec.str_at("serviceAccountUID") {
            return Err(unsure(format!(
                "PodCertificateRequest for pod {pod_name} names service account UID {}, which differs from the \
                 running service account ({})",
                quote(spec.str_at("serviceAccountUID")),
                quote(sa.uid())
            )));
        }
        let signer = spec.str_at("signerName");
        let mounts = projected(&pod).filter_map(|s| s.get("podCertificate"));
        if mounts.into_iter().any(|c| c.str_at("signerName") == signer) {
            return Ok(());
        }
        // RBAC resources cannot have slashes.
        let munged = signer.replace('/', ":");
        if self.granted("request-serviceaccounts-podcertificate-signer", &munged, account) {
            return Ok(());
        }
        self.refuse(format!(
            "pod {pod_name} does not mount a podCertificate projected volume for signer {}",
            quote(signer)
        ))
    }
}

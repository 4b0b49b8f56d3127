//! Kinds: the types of `k8s-openapi` that are resources, and their bytes. What reads and writes such a type is large, so
//! it is compiled here, once for each kind, and not in every crate that uses it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schema::DecodeError;
use serde_json::Value;

/// A built-in kind that is a resource with metadata.
pub trait Kind:
    k8s_openapi::Resource + k8s_openapi::Metadata<Ty = ObjectMeta> + Clone + Send + Sync + 'static
{
    /// Reads a bare protobuf message (without envelope), with another `metadata.resourceVersion` if one is given, and
    /// without `metadata.managedFields` unless they are wanted.
    fn from_proto(raw: &[u8], resource_version: Option<&str>, managed: bool) -> Result<Self, DecodeError>;
    /// Its JSON, as a request has it.
    fn to_json(&self) -> serde_json::Result<Vec<u8>>;

    /// Reads JSON; what the kind's schema does not know is dropped.
    fn from_json(json: &[u8]) -> Result<Self, DecodeError> {
        let ty = type_of::<Self>()?;
        let read = schema::json::decode(json, ty)?;
        Self::from_proto(&schema::proto::encode(&read.value, ty), None, true)
    }
    /// As [`Kind::from_json`], of JSON that was parsed already.
    fn from_value(v: Value) -> Result<Self, DecodeError> {
        let ty = type_of::<Self>()?;
        let read = schema::json::canonicalize(v, ty)?;
        Self::from_proto(&schema::proto::encode(&read.value, ty), None, true)
    }
    /// Its JSON as a tree.
    fn to_value(&self) -> Value {
        self.to_json().and_then(|j| serde_json::from_slice(&j)).unwrap_or_default()
    }
}

fn type_of<K: Kind>() -> Result<schema::TypeId, DecodeError> {
    schema::facts::type_of(K::GROUP, K::VERSION, K::KIND)
        .ok_or_else(|| DecodeError(format!("{} has no schema", K::KIND)))
}

macro_rules! kinds {
    ($($group:ident :: $version:ident :: { $($kind:ident),* $(,)? })*) => { $($(
        impl Kind for k8s_openapi::api::$group::$version::$kind {
            fn from_proto(raw: &[u8], version: Option<&str>, managed: bool) -> Result<Self, DecodeError> {
                let ty = type_of::<Self>()?;
                if managed {
                    schema::proto::from_bytes(raw, ty, version)
                } else {
                    schema::proto::from_bytes_unmanaged(raw, ty, version)
                }
            }
            fn to_json(&self) -> serde_json::Result<Vec<u8>> {
                serde_json::to_vec(self)
            }
        }
    )*)* };
}

// Each costs some seconds of compiling and some hundred kB: only what is used.
kinds! {
    admissionregistration::v1::{ ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding }
    apps::v1::{ ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet }
    autoscaling::v2::{ HorizontalPodAutoscaler }
    batch::v1::{ CronJob, Job }
    certificates::v1::{ CertificateSigningRequest, PodCertificateRequest }
    coordination::v1::{ Lease }
    core::v1::{
        ConfigMap, Endpoints, Event, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, PodTemplate,
        ReplicationController, ResourceQuota, Secret, Service, ServiceAccount,
    }
    discovery::v1::{ EndpointSlice }
    networking::v1::{ IPAddress, NetworkPolicy, ServiceCIDR }
    node::v1::{ RuntimeClass }
    policy::v1::{ PodDisruptionBudget }
    rbac::v1::{ ClusterRole, ClusterRoleBinding, Role, RoleBinding }
    resource::v1::{ ResourceClaim, ResourceClaimTemplate }
    scheduling::v1::{ PriorityClass }
    storage::v1::{ CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment, VolumeAttributesClass }
}

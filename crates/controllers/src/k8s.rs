//! Short names for the API types that controllers use.

pub use k8s_openapi::api::apps::v1 as apps;
pub use k8s_openapi::api::autoscaling::v2 as autoscaling;
pub use k8s_openapi::api::batch::v1 as batch;
pub use k8s_openapi::api::certificates::v1 as certificates;
pub use k8s_openapi::api::coordination::v1 as coordination;
pub use k8s_openapi::api::core::v1 as core;
pub use k8s_openapi::api::discovery::v1 as discovery;
pub use k8s_openapi::api::networking::v1 as networking;
pub use k8s_openapi::api::policy::v1 as policy;
pub use k8s_openapi::api::rbac::v1 as rbac;
pub use k8s_openapi::api::resource::v1 as resource;
pub use k8s_openapi::api::storage::v1 as storage;
pub use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    Condition, DeleteOptions, LabelSelector, MicroTime, ObjectMeta, OwnerReference, Preconditions, Time,
};
pub use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
pub use k8s_openapi::jiff::Timestamp;

/// Labels and annotations.
pub type Map = std::collections::BTreeMap<String, String>;

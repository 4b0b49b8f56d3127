//! Volumes of pods and persistent volumes: where each is from.

use super::out::{Out, l, list, or_none, shorten, word, words};
use super::storage;
use crate::objects::{self, text};
use serde_json::Value;

/// How a field of a source is written.
#[derive(Clone, Copy)]
enum How {
    /// As it is; nothing where it is not set.
    Word,
    /// `true` or `false`.
    Bool,
    /// A number, 0 where it is not set.
    Number,
    /// `<none>` where it is not set.
    None,
    /// Words with commas.
    List,
    /// `&SecretReference{…}`-like references are Go's own; the name says what there is to know.
    Name,
}
use How::{Bool, List, Name, None as OrNone, Number, Word};

type Field = (&'static str, &'static str, How);

/// The sources whose fields are simply listed: key, what it is, title and field of each.
const SOURCES: &[(&str, &str, &[Field])] = &[
    (
        "hostPath",
        "HostPath (bare host directory volume)",
        &[("Path", "path", Word), ("HostPathType", "type", OrNone)],
    ),
    (
        "gcePersistentDisk",
        "GCEPersistentDisk (a Persistent Disk resource in Google Compute Engine)",
        &[
            ("PDName", "pdName", Word),
            ("FSType", "fsType", Word),
            ("Partition", "partition", Number),
            ("ReadOnly", "readOnly", Bool),
        ],
    ),
    (
        "awsElasticBlockStore",
        "AWSElasticBlockStore (a Persistent Disk resource in AWS)",
        &[
            ("VolumeID", "volumeID", Word),
            ("FSType", "fsType", Word),
            ("Partition", "partition", Number),
            ("ReadOnly", "readOnly", Bool),
        ],
    ),
    (
        "gitRepo",
        "GitRepo (a volume that is pulled from git when the pod is created)",
        &[("Repository", "repository", Word), ("Revision", "revision", Word)],
    ),
    (
        "secret",
        "Secret (a volume populated by a Secret)",
        &[("SecretName", "secretName", Word), ("Optional", "optional", Bool)],
    ),
    (
        "configMap",
        "ConfigMap (a volume populated by a ConfigMap)",
        &[("Name", "name", Word), ("Optional", "optional", Bool)],
    ),
    (
        "nfs",
        "NFS (an NFS mount that lasts the lifetime of a pod)",
        &[("Server", "server", Word), ("Path", "path", Word), ("ReadOnly", "readOnly", Bool)],
    ),
    (
        "iscsi",
        "ISCSI (an ISCSI Disk resource that is attached to a kubelet's host machine and then exposed to the pod)",
        &[
            ("TargetPortal", "targetPortal", Word),
            ("IQN", "iqn", Word),
            ("Lun", "lun", Number),
            ("ISCSIInterface", "iscsiInterface", Word),
            ("FSType", "fsType", Word),
            ("ReadOnly", "readOnly", Bool),
            ("Portals", "portals", List),
            ("DiscoveryCHAPAuth", "chapAuthDiscovery", Bool),
            ("SessionCHAPAuth", "chapAuthSession", Bool),
            ("SecretRef", "secretRef", Name),
            ("InitiatorName", "initiatorName", OrNone),
        ],
    ),
    (
        "glusterfs",
        "Glusterfs (a Glusterfs mount on the host that shares a pod's lifetime)",
        &[("EndpointsName", "endpoints", Word), ("Path", "path", Word), ("ReadOnly", "readOnly", Bool)],
    ),
    (
        "persistentVolumeClaim",
        "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
        &[("ClaimName", "claimName", Word), ("ReadOnly", "readOnly", Bool)],
    ),
    (
        "rbd",
        "RBD (a Rados Block Device mount on the host that shares a pod's lifetime)",
        &[
            ("CephMonitors", "monitors", List),
            ("RBDImage", "image", Word),
            ("FSType", "fsType", Word),
            ("RBDPool", "pool", Word),
            ("RadosUser", "user", Word),
            ("Keyring", "keyring", Word),
            ("SecretRef", "secretRef", Name),
            ("ReadOnly", "readOnly", Bool),
        ],
    ),
    (
        "azureDisk",
        "AzureDisk (an Azure Data Disk mount on the host and bind mount to the pod)",
        &[
            ("DiskName", "diskName", Word),
            ("DiskURI", "diskURI", Word),
            ("Kind", "kind", Word),
            ("FSType", "fsType", Word),
            ("CachingMode", "cachingMode", Word),
            ("ReadOnly", "readOnly", Bool),
        ],
    ),
    (
        "vsphereVolume",
        "vSphereVolume (a Persistent Disk resource in vSphere)",
        &[
            ("VolumePath", "volumePath", Word),
            ("FSType", "fsType", Word),
            ("StoragePolicyName", "storagePolicyName", Word),
        ],
    ),
    (
        "cinder",
        "Cinder (a Persistent Disk resource in OpenStack)",
        &[
            ("VolumeID", "volumeID", Word),
            ("FSType", "fsType", Word),
            ("ReadOnly", "readOnly", Bool),
            ("SecretRef", "secretRef", Name),
        ],
    ),
    ("portworxVolume", "PortworxVolume (a Portworx Volume resource)", &[("VolumeID", "volumeID", Word)]),
    (
        "cephfs",
        "CephFS (a CephFS mount on the host that shares a pod's lifetime)",
        &[
            ("Monitors", "monitors", List),
            ("Path", "path", Word),
            ("User", "user", Word),
            ("SecretFile", "secretFile", Word),
            ("SecretRef", "secretRef", Name),
            ("ReadOnly", "readOnly", Bool),
        ],
    ),
    (
        "fc",
        "FC (a Fibre Channel disk)",
        &[
            ("TargetWWNs", "targetWWNs", List),
            ("LUN", "lun", OrNone),
            ("FSType", "fsType", Word),
            ("ReadOnly", "readOnly", Bool),
        ],
    ),
    (
        "azureFile",
        "AzureFile (an Azure File Service mount on the host and bind mount to the pod)",
        &[
            ("SecretName", "secretName", Word),
            ("ShareName", "shareName", Word),
            ("ReadOnly", "readOnly", Bool),
        ],
    ),
    (
        "flexVolume",
        "FlexVolume (a generic volume resource that is provisioned/attached using an exec based plugin)",
        &[
            ("Driver", "driver", Word),
            ("FSType", "fsType", Word),
            ("SecretRef", "secretRef", Name),
            ("ReadOnly", "readOnly", Bool),
            ("Options", "options", Word),
        ],
    ),
    (
        "local",
        "LocalVolume (a persistent volume backed by local storage on a node)",
        &[("Path", "path", Word)],
    ),
    (
        "image",
        "Image (a container image or OCI artifact)",
        &[("Reference", "reference", Word), ("PullPolicy", "pullPolicy", Word)],
    ),
];

pub fn describe(all: &Value, space: &str, o: &mut Out) {
    if list(all, "").next().is_none() {
        return l!(o, 0, "{space}Volumes:\t<none>");
    }
    l!(o, 0, "{space}Volumes:");
    let indent = if space.is_empty() { "" } else { " " };
    for v in list(all, "") {
        l!(o, 1, "{indent}{}:", text(v, "/name"));
        source(v, o);
    }
}

/// Where a volume is from, by the one field that says so.
pub fn source(v: &Value, o: &mut Out) {
    let known = SOURCES.iter().find(|(k, ..)| v[*k].is_object());
    if let Some((k, title, fields)) = known {
        l!(o, 2, "Type:\t{title}");
        let s = &v[*k];
        for (name, key, how) in *fields {
            let f = &s[*key];
            let said = match how {
                Word => word(f),
                Bool => (*f == true).to_string(),
                Number => f.as_i64().unwrap_or(0).to_string(),
                OrNone => or_none(&word(f)),
                List => words(f, "").join(", "),
                Name => or_none(text(f, "/name")),
            };
            l!(o, 2, "{name}:\t{said}");
        }
    } else if v["emptyDir"].is_object() {
        let limit = text(v, "/emptyDir/sizeLimit");
        let limit = if matches!(limit, "" | "0") { "<unset>" } else { limit };
        l!(o, 2, "Type:\tEmptyDir (a temporary directory that shares a pod's lifetime)");
        l!(o, 2, "Medium:\t{}", text(v, "/emptyDir/medium"));
        l!(o, 2, "SizeLimit:\t{limit}");
    } else if v["downwardAPI"].is_object() {
        l!(o, 2, "Type:\tDownwardAPI (a volume populated by information about the pod)\n    Items:");
        for i in list(v, "/downwardAPI/items") {
            for at in ["/fieldRef/fieldPath", "/resourceFieldRef/resource"] {
                if !text(i, at).is_empty() {
                    l!(o, 3, "{} -> {}", text(i, at), text(i, "/path"));
                }
            }
        }
    } else if v["projected"].is_object() {
        projected(&v["projected"], o);
    } else if v["csi"].is_object() {
        csi(&v["csi"], o);
    } else if v["ephemeral"].is_object() {
        l!(
            o,
            2,
            "Type:\tEphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)"
        );
        let t = &v["ephemeral"]["volumeClaimTemplate"];
        if t.is_object() {
            storage::claim_template(t, 2, o);
        }
    } else {
        l!(o, 1, "<unknown>");
    }
}

fn projected(p: &Value, o: &mut Out) {
    l!(o, 2, "Type:\tProjected (a volume that contains injected data from multiple sources)");
    for s in list(p, "/sources") {
        if s["secret"].is_object() {
            l!(o, 2, "SecretName:\t{}", text(s, "/secret/name"));
            l!(o, 2, "Optional:\t{}", s["secret"]["optional"] == true);
        } else if s["downwardAPI"].is_object() {
            l!(o, 2, "DownwardAPI:\ttrue");
        } else if s["configMap"].is_object() {
            l!(o, 2, "ConfigMapName:\t{}", text(s, "/configMap/name"));
            l!(o, 2, "Optional:\t{}", s["configMap"]["optional"] == true);
        } else if s["serviceAccountToken"].is_object() {
            l!(o, 2, "TokenExpirationSeconds:\t{}", word(&s["serviceAccountToken"]["expirationSeconds"]));
        }
    }
}

fn csi(c: &Value, o: &mut Out) {
    l!(o, 2, "Type:\tCSI (a Container Storage Interface (CSI) volume source)");
    l!(o, 2, "Driver:\t{}", text(c, "/driver"));
    l!(o, 2, "FSType:\t{}", text(c, "/fsType"));
    if c.get("volumeHandle").is_some() {
        l!(o, 2, "VolumeHandle:\t{}", text(c, "/volumeHandle"));
    }
    l!(o, 2, "ReadOnly:\t{}", c["readOnly"] == true);
    o.part(2, "VolumeAttributes:\t");
    let all = objects::labels(c, "/volumeAttributes");
    if all.is_empty() {
        o.line(0, "<none>");
    }
    for (i, (k, v)) in all.iter().enumerate() {
        if i > 0 {
            o.part(2, "");
            o.part(2, "\t");
        }
        o.line(2, &shorten(&format!("{k}={v}"), 140));
    }
}

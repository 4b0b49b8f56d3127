//! The templates of `gen-config`, as they are in the program; folders of the same names take their place.

/// A folder of templates: paths and contents.
pub type Folder = &'static [(&'static str, &'static str)];

pub const SIMPLE: Folder = &[
    (
        "all-node/kube-net.service",
        include_str!("../../templates/kubernetes-simple/all-node/kube-net.service"),
    ),
    ("master-node/etcd.service", include_str!("../../templates/kubernetes-simple/master-node/etcd.service")),
    (
        "master-node/kube-apiserver.service",
        include_str!("../../templates/kubernetes-simple/master-node/kube-apiserver.service"),
    ),
    (
        "master-node/kube-controller-manager.service",
        include_str!("../../templates/kubernetes-simple/master-node/kube-controller-manager.service"),
    ),
    (
        "master-node/kube-scheduler.service",
        include_str!("../../templates/kubernetes-simple/master-node/kube-scheduler.service"),
    ),
    ("services/dashboard.yaml", include_str!("../../templates/kubernetes-simple/services/dashboard.yaml")),
    ("services/kube-dns.yaml", include_str!("../../templates/kubernetes-simple/services/kube-dns.yaml")),
    (
        "worker-node/10-keelson.conflist",
        include_str!("../../templates/kubernetes-simple/worker-node/10-keelson.conflist"),
    ),
    (
        "worker-node/kube-proxy.kubeconfig",
        include_str!("../../templates/kubernetes-simple/worker-node/kube-proxy.kubeconfig"),
    ),
    (
        "worker-node/kube-proxy.service",
        include_str!("../../templates/kubernetes-simple/worker-node/kube-proxy.service"),
    ),
    (
        "worker-node/kubelet.kubeconfig",
        include_str!("../../templates/kubernetes-simple/worker-node/kubelet.kubeconfig"),
    ),
    (
        "worker-node/kubelet.service",
        include_str!("../../templates/kubernetes-simple/worker-node/kubelet.service"),
    ),
];

pub const WITH_CA: Folder = &[
    (
        "all-node/kube-net.service",
        include_str!("../../templates/kubernetes-with-ca/all-node/kube-net.service"),
    ),
    ("all-node/net.kubeconfig", include_str!("../../templates/kubernetes-with-ca/all-node/net.kubeconfig")),
    ("ca/admin/admin-csr.json", include_str!("../../templates/kubernetes-with-ca/ca/admin/admin-csr.json")),
    ("ca/ca-config.json", include_str!("../../templates/kubernetes-with-ca/ca/ca-config.json")),
    ("ca/ca-csr.json", include_str!("../../templates/kubernetes-with-ca/ca/ca-csr.json")),
    ("ca/etcd/etcd-csr.json", include_str!("../../templates/kubernetes-with-ca/ca/etcd/etcd-csr.json")),
    (
        "ca/kube-proxy/kube-proxy-csr.json",
        include_str!("../../templates/kubernetes-with-ca/ca/kube-proxy/kube-proxy-csr.json"),
    ),
    (
        "ca/kubernetes/kubernetes-csr.json",
        include_str!("../../templates/kubernetes-with-ca/ca/kubernetes/kubernetes-csr.json"),
    ),
    ("ca/net/net-csr.json", include_str!("../../templates/kubernetes-with-ca/ca/net/net-csr.json")),
    ("master-node/etcd.service", include_str!("../../templates/kubernetes-with-ca/master-node/etcd.service")),
    (
        "master-node/kube-apiserver.service",
        include_str!("../../templates/kubernetes-with-ca/master-node/kube-apiserver.service"),
    ),
    (
        "master-node/kube-controller-manager.service",
        include_str!("../../templates/kubernetes-with-ca/master-node/kube-controller-manager.service"),
    ),
    (
        "master-node/kube-scheduler.service",
        include_str!("../../templates/kubernetes-with-ca/master-node/kube-scheduler.service"),
    ),
    (
        "services/cluster-rbac.yaml",
        include_str!("../../templates/kubernetes-with-ca/services/cluster-rbac.yaml"),
    ),
    ("services/dashboard.yaml", include_str!("../../templates/kubernetes-with-ca/services/dashboard.yaml")),
    ("services/kube-dns.yaml", include_str!("../../templates/kubernetes-with-ca/services/kube-dns.yaml")),
    (
        "worker-node/10-keelson.conflist",
        include_str!("../../templates/kubernetes-with-ca/worker-node/10-keelson.conflist"),
    ),
    (
        "worker-node/kube-proxy.kubeconfig",
        include_str!("../../templates/kubernetes-with-ca/worker-node/kube-proxy.kubeconfig"),
    ),
    (
        "worker-node/kube-proxy.service",
        include_str!("../../templates/kubernetes-with-ca/worker-node/kube-proxy.service"),
    ),
    (
        "worker-node/kubelet.service",
        include_str!("../../templates/kubernetes-with-ca/worker-node/kubelet.service"),
    ),
];

/// What a user begins with.
pub const PROPERTIES: &str = include_str!("../../templates/config.properties");
pub const SCRIPT: &str = include_str!("../../templates/gen-config.sh");

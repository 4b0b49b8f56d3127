//! The first form: no authentication.

use super::{Step, s};

pub const SIMPLE_PROPERTIES: &[Step] = &[
    s(
        "all",
        "config.properties",
        "sed -i 's|^NODE_IP=.*|NODE_IP=$IP|' config.properties\nsed -i 's|^MASTER_IP=.*|MASTER_IP=$M|' config.properties\nsed -i 's|^ETCD_ENDPOINTS=.*|ETCD_ENDPOINTS=http://$M:2379|' config.properties\ngrep -v '^#' config.properties",
        "MASTER_IP=10.",
        5,
    ),
    s(
        "all",
        "gen-config",
        "./gen-config.sh simple",
        "配置生成成功\nmaster-node/etcd.service\nworker-node/kubelet.service",
        5,
    ),
    s("all", "nothing left", "grep -r '{{' target || echo none", "none", 5),
];

pub const SIMPLE: &[Step] = &[
    s(
        "m",
        "etcd",
        "cp target/master-node/etcd.service /lib/systemd/system/\nsystemctl enable etcd.service\nmkdir -p /var/lib/etcd\nservice etcd start\njournalctl -u etcd.service --no-pager",
        "etcd API served",
        30,
    ),
    s("m", "its port", "ss -lnt", ":2379", 5),
    s(
        "m",
        "kube-apiserver",
        "cp target/master-node/kube-apiserver.service /lib/systemd/system/\nsystemctl enable kube-apiserver.service\nservice kube-apiserver start\njournalctl -u kube-apiserver --no-pager",
        "the API is served",
        60,
    ),
    s("m", "its ports", "ss -lnt", ":8080\n:6443", 5),
    s(
        "m",
        "swagger-ui",
        "curl -s http://$M:8080/swagger-ui/ | grep '<title'",
        "<title>Kubernetes API</title>",
        5,
    ),
    s(
        "m",
        "kube-controller-manager",
        "cp target/master-node/kube-controller-manager.service /lib/systemd/system/\nsystemctl enable kube-controller-manager.service\nservice kube-controller-manager start\njournalctl -u kube-controller-manager --no-pager",
        "became leader",
        30,
    ),
    s(
        "m",
        "kube-scheduler",
        "cp target/master-node/kube-scheduler.service /lib/systemd/system/\nsystemctl enable kube-scheduler.service\nservice kube-scheduler start\njournalctl -u kube-scheduler --no-pager",
        "became leader",
        30,
    ),
    s(
        "all",
        "kubectl config",
        "kubectl config set-cluster kubernetes --server=http://$M:8080\nkubectl config set-context kubernetes --cluster=kubernetes\nkubectl config use-context kubernetes",
        "Switched to context",
        5,
    ),
];

pub const SIMPLE_WORKERS: &[Step] = &[
    s(
        "all",
        "pod network",
        "cp target/all-node/kube-net.service /lib/systemd/system/\nsystemctl enable kube-net\nservice kube-net start\nsystemctl is-active kube-net",
        "active",
        20,
    ),
    s(
        "workers",
        "kubelet",
        "mkdir -p /var/lib/kubelet /etc/kubernetes /etc/cni/net.d\ncp target/worker-node/kubelet.service /lib/systemd/system/\ncp target/worker-node/kubelet.kubeconfig /etc/kubernetes/\ncp -n target/worker-node/10-keelson.conflist /etc/cni/net.d/\nsystemctl enable kubelet\nservice kubelet start\njournalctl -u kubelet --no-pager -n 8",
        "registered the node",
        60,
    ),
];

//! The guide, as commands on three machines and what they must print.

/// One command: where it is typed, what it shows, what its output must hold (a line with `!` must not) and by when.
pub struct Step {
    /// `m` the master, `w1` `w2` the workers, `workers`, `all`.
    pub on: &'static str,
    pub shows: &'static str,
    pub run: &'static str,
    pub expect: &'static str,
    pub within: u64,
}

const fn s(
    on: &'static str,
    shows: &'static str,
    run: &'static str,
    expect: &'static str,
    within: u64,
) -> Step {
    Step { on, shows, run, expect, within }
}

/// `$M`, `$W1`, `$W2` are the addresses, `$IP` that of the machine itself. The folder is root's home.
pub const PREPARE: &[Step] = &[
    s(
        "all",
        "the host is prepared",
        "keelson preflight --fix; true",
        "[ ok ] ip_forward\n[ ok ] container runtime",
        60,
    ),
    s("all", "config.properties to begin with", "keelson gen-config init", "config.properties", 5),
];

/// A build machine's disk may be nearly full: that is not what is shown.
pub const DISK: &[Step] = &[s(
    "workers",
    "(a nearly full disk is no reason here)",
    r"sed -i 's#^  --fail-swap-on#  --eviction-hard=memory.available<50Mi,nodefs.available<1%,imagefs.available<1% \\\n  --image-gc-high-threshold=100 \\\n&#' target/worker-node/kubelet.service && cat target/worker-node/kubelet.service",
    "eviction-hard",
    5,
)];

pub const SIMPLE: &[Step] = &[
    s(
        "all",
        "config.properties filled in",
        r#"sed -i "s|^NODE_IP=.*|NODE_IP=$IP|; s|^MASTER_IP=.*|MASTER_IP=$M|; s|^ETCD_ENDPOINTS=.*|ETCD_ENDPOINTS=http://$M:2379|" config.properties && grep -v '^#' config.properties"#,
        "MASTER_IP=10.",
        5,
    ),
    s(
        "all",
        "gen-config",
        "./gen-config.sh simple && find target -type f",
        "配置生成成功\ntarget/master-node/etcd.service",
        5,
    ),
    s("all", "no variable is left", "! grep -r '{{' target", "", 5),
    s(
        "m",
        "etcd",
        "cp target/master-node/etcd.service /lib/systemd/system/ && systemctl enable etcd.service && mkdir -p /var/lib/etcd && service etcd start && journalctl -u etcd.service --no-pager",
        "etcd API served",
        30,
    ),
    s("m", "its port", "ss -lnt", ":2379", 5),
    s(
        "m",
        "kube-apiserver",
        "cp target/master-node/kube-apiserver.service /lib/systemd/system/ && systemctl enable kube-apiserver.service && service kube-apiserver start && journalctl -u kube-apiserver --no-pager",
        "the API is served",
        60,
    ),
    s("m", "its ports", "ss -lnt", ":8080\n:6443", 5),
    s(
        "m",
        "kube-controller-manager",
        "cp target/master-node/kube-controller-manager.service /lib/systemd/system/ && systemctl enable kube-controller-manager.service && service kube-controller-manager start; journalctl -u kube-controller-manager --no-pager",
        "became leader",
        30,
    ),
    s(
        "m",
        "kube-scheduler",
        "cp target/master-node/kube-scheduler.service /lib/systemd/system/ && systemctl enable kube-scheduler.service && service kube-scheduler start; journalctl -u kube-scheduler --no-pager",
        "scheduling",
        30,
    ),
    s(
        "all",
        "kubectl's configuration",
        "kubectl config set-cluster kubernetes --server=http://$M:8080 && kubectl config set-context kubernetes --cluster=kubernetes && kubectl config use-context kubernetes",
        "Switched to context",
        5,
    ),
];

/// After the control plane stands, in either form.
pub const STATUS: &[Step] = &[s(
    "m",
    "all components are healthy",
    "kubectl get componentstatus",
    "scheduler            Healthy\ncontroller-manager   Healthy\netcd-0               Healthy",
    30,
)];

pub const SIMPLE_WORKERS: &[Step] = &[
    s(
        "all",
        "the pod network",
        "cp target/all-node/kube-net.service /lib/systemd/system/ && systemctl enable kube-net && service kube-net start && systemctl is-active kube-net",
        "active",
        20,
    ),
    s(
        "workers",
        "kubelet",
        "mkdir -p /var/lib/kubelet /etc/kubernetes /etc/cni/net.d && cp target/worker-node/kubelet.service /lib/systemd/system/ && cp target/worker-node/kubelet.kubeconfig /etc/kubernetes/ && { [ -e /etc/cni/net.d/10-keelson.conflist ] || cp target/worker-node/10-keelson.conflist /etc/cni/net.d/; } && systemctl enable kubelet && service kubelet start; systemctl is-active kubelet",
        "active",
        60,
    ),
];

pub const CLUSTER: &[Step] = &[
    s("m", "both nodes are Ready", "kubectl get nodes --no-headers | grep -cw Ready", "2", 90),
    s(
        "workers",
        "kube-proxy",
        "mkdir -p /var/lib/kube-proxy && cp target/worker-node/kube-proxy.service /lib/systemd/system/ && cp target/worker-node/kube-proxy.kubeconfig /etc/kubernetes/ && systemctl enable kube-proxy && service kube-proxy start; systemctl is-active kube-proxy",
        "active",
        30,
    ),
    s("m", "the network's status", "keelson net status $NET", "up", 30),
    s(
        "m",
        "a Deployment",
        "kubectl create deployment web --image=keelson.local/demo:1 --replicas=4",
        "created",
        10,
    ),
    s(
        "m",
        "it rolls out",
        "kubectl rollout status deployment/web --timeout=90s",
        "successfully rolled out",
        100,
    ),
    s("m", "on both workers", "kubectl get pods -o wide", "$W1\n$W2", 10),
    s("m", "describe", "kubectl describe deployment web", "Replicas:               4 desired", 10),
    s("m", "logs", "kubectl logs deploy/web", "serving version 1", 10),
    s("m", "exec", "kubectl exec deploy/web -- hostname", "web-", 15),
    s(
        "m",
        "a Service",
        "kubectl expose deployment web --type=NodePort --port=80 --target-port=8080",
        "exposed",
        10,
    ),
    s(
        "w1",
        "reached by its IP from the first worker",
        "for i in 1 2 3 4 5 6 7 8; do curl -s -m3 http://$(kubectl get svc web -o jsonpath='{.spec.clusterIP}')/; done | sort -u | wc -l",
        "4",
        30,
    ),
    s(
        "w2",
        "and from the second",
        "curl -s -m3 http://$(kubectl get svc web -o jsonpath='{.spec.clusterIP}')/",
        "Hello from web-",
        20,
    ),
    s(
        "m",
        "reached by NodePort from outside of the workers",
        "p=$(kubectl get svc web -o jsonpath='{.spec.ports[0].nodePort}'); [ $p -ge 20000 ] && [ $p -le 40000 ] && curl -s -m3 http://$W1:$p/ && curl -s -m3 http://$W2:$p/",
        "Hello from web-",
        20,
    ),
    s(
        "m",
        "kube-dns",
        "kubectl create -f target/services/kube-dns.yaml; kubectl -n kube-system rollout status deployment/kube-dns --timeout=60s",
        "successfully rolled out",
        90,
    ),
    s(
        "m",
        "a Service by name",
        "kubectl exec deploy/web -- wget -qO- -T 3 http://web.default.svc.cluster.local/",
        "Hello from web-",
        40,
    ),
    s(
        "m",
        "and by its short name",
        "kubectl exec deploy/web -- wget -qO- -T 3 http://web/",
        "Hello from web-",
        20,
    ),
    s(
        "m",
        "scale",
        "kubectl scale deployment web --replicas=2 && kubectl rollout status deployment/web --timeout=60s && kubectl get deployment web",
        "2/2",
        70,
    ),
    s(
        "m",
        "update",
        "kubectl set image deployment/web demo=keelson.local/demo:2 && kubectl rollout status deployment/web --timeout=90s",
        "successfully rolled out",
        100,
    ),
    s(
        "w1",
        "the new version answers",
        "curl -s -m3 http://$(kubectl get svc web -o jsonpath='{.spec.clusterIP}')/version",
        "2",
        20,
    ),
    s(
        "m",
        "roll back",
        "kubectl rollout undo deployment/web && kubectl rollout status deployment/web --timeout=90s",
        "successfully rolled out",
        100,
    ),
    s(
        "m",
        "everything outlives a restart of the control plane",
        "service etcd restart && service kube-apiserver restart && kubectl get deployment web",
        "2/2",
        60,
    ),
];

/// Before the second form: the first is stopped and forgotten.
pub const STOP: &[Step] = &[
    s(
        "workers",
        "stop",
        "service kubelet stop; service kube-proxy stop; service kube-net stop; true",
        "",
        60,
    ),
    s(
        "m",
        "stop",
        "service kube-scheduler stop; service kube-controller-manager stop; service kube-apiserver stop; service etcd stop; service kube-net stop; true",
        "",
        60,
    ),
    s(
        "all",
        "empty",
        "rm -rf /var/lib/etcd /var/lib/kubelet/pki /var/lib/kube-proxy /etc/kubernetes/*.kubeconfig /etc/cni/net.d/*; true",
        "",
        10,
    ),
];

pub const WITH_CA: &[Step] = &[
    s(
        "all",
        "config.properties filled in",
        r#"sed -i "s|^NODE_IP=.*|NODE_IP=$IP|; s|^MASTER_IP=.*|MASTER_IP=$M|; s|^ETCD_ENDPOINTS=.*|ETCD_ENDPOINTS=https://$M:2379|" config.properties && grep -v '^#' config.properties"#,
        "ETCD_ENDPOINTS=https://10.",
        5,
    ),
    s(
        "all",
        "gen-config",
        "./gen-config.sh with-ca && find target -type f",
        "配置生成成功\ntarget/ca/ca-csr.json",
        5,
    ),
    s(
        "m",
        "certificates",
        "keelson gen-config certs && mkdir -p /etc/kubernetes && cp -r target/ca /etc/kubernetes/",
        "kubernetes/kubernetes.pem\nkubernetes/token.csv",
        120,
    ),
    s(
        "m",
        "openssl verifies them",
        "cd /etc/kubernetes/ca && openssl verify -CAfile ca.pem etcd/etcd.pem kubernetes/kubernetes.pem admin/admin.pem kube-proxy/kube-proxy.pem net/net.pem",
        "etcd/etcd.pem: OK\nkubernetes/kubernetes.pem: OK\nadmin/admin.pem: OK\nkube-proxy/kube-proxy.pem: OK",
        10,
    ),
    s(
        "m",
        "etcd",
        "cp target/master-node/etcd.service /lib/systemd/system/ && systemctl daemon-reload && systemctl enable etcd.service && mkdir -p /var/lib/etcd && service etcd start && journalctl -u etcd.service --no-pager -n 5",
        "etcd API served",
        30,
    ),
    s(
        "m",
        "etcd over TLS, with a certificate",
        "cd /etc/kubernetes/ca && curl -s --cacert ca.pem --cert etcd/etcd.pem --key etcd/etcd-key.pem https://$M:2379/health; curl -s --cacert ca.pem https://$M:2379/health",
        "true\na client certificate is needed",
        10,
    ),
    s(
        "m",
        "kube-apiserver",
        "cp target/master-node/kube-apiserver.service /lib/systemd/system/ && systemctl daemon-reload && systemctl enable kube-apiserver.service && service kube-apiserver start && journalctl -u kube-apiserver --no-pager -n 20",
        "the API is served",
        60,
    ),
    s(
        "m",
        "kube-controller-manager",
        "cp target/master-node/kube-controller-manager.service /lib/systemd/system/ && systemctl daemon-reload && systemctl enable kube-controller-manager.service && service kube-controller-manager start; journalctl -u kube-controller-manager --no-pager",
        "became leader",
        30,
    ),
    s(
        "m",
        "kube-scheduler",
        "cp target/master-node/kube-scheduler.service /lib/systemd/system/ && systemctl daemon-reload && systemctl enable kube-scheduler.service && service kube-scheduler start; journalctl -u kube-scheduler --no-pager",
        "scheduling",
        30,
    ),
    s(
        "m",
        "kubectl with the admin's certificate",
        "rm -f .kube/config; kubectl config set-cluster kubernetes --certificate-authority=/etc/kubernetes/ca/ca.pem --embed-certs=true --server=https://$M:6443 && kubectl config set-credentials admin --client-certificate=/etc/kubernetes/ca/admin/admin.pem --embed-certs=true --client-key=/etc/kubernetes/ca/admin/admin-key.pem && kubectl config set-context kubernetes --cluster=kubernetes --user=admin && kubectl config use-context kubernetes",
        "Switched to context",
        5,
    ),
];

pub const WITH_CA_WORKERS: &[Step] = &[
    s("copy", "kubectl's configuration on the others", "/root/.kube/config /root/.kube/config", "", 10),
    s(
        "m",
        "rights of the network and of the API server at kubelets",
        "kubectl create -f target/services/cluster-rbac.yaml",
        "created",
        10,
    ),
    s(
        "all",
        "the pod network",
        "cp target/all-node/net.kubeconfig /etc/kubernetes/ && cp target/all-node/kube-net.service /lib/systemd/system/ && systemctl daemon-reload && systemctl enable kube-net && service kube-net start && systemctl is-active kube-net",
        "active",
        20,
    ),
    s(
        "m",
        "nodes may ask for certificates",
        "kubectl create clusterrolebinding kubelet-bootstrap --clusterrole=system:node-bootstrapper --user=kubelet-bootstrap",
        "created",
        10,
    ),
    s(
        "m",
        "bootstrap.kubeconfig",
        "kubectl config set-cluster kubernetes --certificate-authority=/etc/kubernetes/ca/ca.pem --embed-certs=true --server=https://$M:6443 --kubeconfig=bootstrap.kubeconfig && kubectl config set-credentials kubelet-bootstrap --token=$(cut -d, -f1 /etc/kubernetes/ca/kubernetes/token.csv) --kubeconfig=bootstrap.kubeconfig && kubectl config set-context default --cluster=kubernetes --user=kubelet-bootstrap --kubeconfig=bootstrap.kubeconfig && kubectl config use-context default --kubeconfig=bootstrap.kubeconfig",
        "Switched to context",
        5,
    ),
    s("copy", "to the workers", "/root/bootstrap.kubeconfig /etc/kubernetes/bootstrap.kubeconfig", "", 10),
    s(
        "workers",
        "kubelet asks for its certificate",
        "mkdir -p /var/lib/kubelet /etc/kubernetes /etc/cni/net.d && cp target/worker-node/kubelet.service /lib/systemd/system/ && { [ -e /etc/cni/net.d/10-keelson.conflist ] || cp target/worker-node/10-keelson.conflist /etc/cni/net.d/; } && systemctl daemon-reload && systemctl enable kubelet && (systemctl start --no-block kubelet); sleep 1; systemctl is-active kubelet || true",
        "activ",
        30,
    ),
    s("m", "two requests are pending", "kubectl get csr --no-headers | grep -c Pending", "2", 30),
    s("m", "and no node yet", "kubectl get nodes 2>&1", "No resources found", 5),
    s("m", "approve", "kubectl certificate approve $(kubectl get csr -o name | cut -d/ -f2)", "approved", 10),
    s("m", "they are issued", "kubectl get csr --no-headers | grep -c Approved,Issued", "2", 20),
];

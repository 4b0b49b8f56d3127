//! The second form: certificates, tokens, RBAC.

use super::{Step, s};

/// Before it: the first form is stopped and forgotten.
pub const STOP: &[Step] = &[
    s(
        "workers",
        "stop workers",
        "service kubelet stop\nservice kube-proxy stop\nservice kube-net stop",
        "",
        60,
    ),
    s(
        "m",
        "stop master",
        "for s in kube-scheduler kube-controller-manager kube-apiserver etcd kube-net; do service $s stop; done",
        "",
        60,
    ),
    s(
        "all",
        "empty",
        "rm -rf /var/lib/etcd /var/lib/kubelet/pki /var/lib/kube-proxy /etc/kubernetes/*.kubeconfig /etc/cni/net.d/*",
        "",
        10,
    ),
    s("workers", "(the database of the microservices)", "rm -rf /var/lib/users", "", 10),
];

pub const CERTIFICATES: &[Step] = &[
    s(
        "all",
        "config.properties",
        "sed -i 's|^NODE_IP=.*|NODE_IP=$IP|' config.properties\nsed -i 's|^MASTER_IP=.*|MASTER_IP=$M|' config.properties\nsed -i 's|^ETCD_ENDPOINTS=.*|ETCD_ENDPOINTS=https://$M:2379|' config.properties\ngrep -v '^#' config.properties",
        "ETCD_ENDPOINTS=https://10.",
        5,
    ),
    s(
        "all",
        "gen-config",
        "./gen-config.sh with-ca",
        "配置生成成功\nca/ca-csr.json\nca/etcd/etcd-csr.json",
        5,
    ),
    s("m", "request", "cat target/ca/kubernetes/kubernetes-csr.json", "\"kubernetes.default.svc\"", 5),
    s(
        "m",
        "certificates",
        "keelson gen-config certs\nmkdir -p /etc/kubernetes\ncp -r target/ca /etc/kubernetes/",
        "kubernetes/kubernetes.pem\nkubernetes/token.csv",
        120,
    ),
    s(
        "m",
        "openssl",
        "cd /etc/kubernetes/ca\nopenssl verify -CAfile ca.pem etcd/etcd.pem kubernetes/kubernetes.pem admin/admin.pem kube-proxy/kube-proxy.pem net/net.pem\nopenssl x509 -in kubernetes/kubernetes.pem -noout -subject -enddate -ext subjectAltName",
        "etcd/etcd.pem: OK\nkubernetes/kubernetes.pem: OK\nadmin/admin.pem: OK\nkube-proxy/kube-proxy.pem: OK\nnet/net.pem: OK\nIP Address:10.68.0.1",
        10,
    ),
];

/// With cloudflare's own tools, where they are: it takes our requests, and reads our certificates.
pub const CFSSL: &[Step] = &[
    s(
        "m",
        "cfssl reads the certificates",
        "cfssl certinfo -cert /etc/kubernetes/ca/ca.pem | grep common_name\ncfssl certinfo -cert /etc/kubernetes/ca/kubernetes/kubernetes.pem | grep -A 14 sans",
        "kubernetes-ca\n10.68.0.1",
        10,
    ),
    s(
        "m",
        "cfssl signs the requests",
        "rm -rf /tmp/cfssl; cp -r target/ca /tmp/cfssl; cd /tmp/cfssl; find . -name '*.pem' -delete\ncfssl gencert -loglevel=4 -initca ca-csr.json | cfssljson -bare ca\nfor n in etcd kubernetes admin kube-proxy net; do cfssl gencert -loglevel=4 -ca=ca.pem -ca-key=ca-key.pem -config=ca-config.json -profile=kubernetes $n/$n-csr.json | cfssljson -bare $n/$n; done\nopenssl verify -CAfile ca.pem */*[a-z].pem 2>/dev/null | grep -v key",
        "admin/admin.pem: OK\netcd/etcd.pem: OK\nkube-proxy/kube-proxy.pem: OK\nkubernetes/kubernetes.pem: OK\nnet/net.pem: OK",
        60,
    ),
    s(
        "m",
        "cfssl signs with our authority",
        "cd /tmp/cfssl; cfssl gencert -loglevel=4 -ca=/etc/kubernetes/ca/ca.pem -ca-key=/etc/kubernetes/ca/ca-key.pem -config=ca-config.json -profile=kubernetes etcd/etcd-csr.json | cfssljson -bare mixed\nopenssl verify -CAfile /etc/kubernetes/ca/ca.pem mixed.pem",
        "mixed.pem: OK",
        20,
    ),
    s(
        "m",
        "certs goes on with what cfssl made",
        "mkdir -p /tmp/mixed/target; cp -r target/ca /tmp/mixed/target/; cd /tmp/mixed/target/ca; find . -name '*.pem' -delete; cp /tmp/cfssl/ca.pem /tmp/cfssl/ca-key.pem .; cd /tmp/mixed\nkeelson gen-config certs\nopenssl verify -CAfile target/ca/ca.pem target/ca/etcd/etcd.pem",
        "ca.pem is there already\netcd.pem: OK",
        60,
    ),
];

pub const WITH_CA: &[Step] = &[
    s(
        "m",
        "etcd",
        "cp target/master-node/etcd.service /lib/systemd/system/\nsystemctl daemon-reload\nsystemctl enable etcd.service\nmkdir -p /var/lib/etcd\nservice etcd start\njournalctl -u etcd.service --no-pager -n 5",
        "etcd API served",
        30,
    ),
    s(
        "m",
        "etcd over TLS",
        "cd /etc/kubernetes/ca\ncurl -s --cacert ca.pem --cert etcd/etcd.pem --key etcd/etcd-key.pem https://$M:2379/health; echo\netcdctl --endpoints=https://$M:2379 --cacert=ca.pem --cert=etcd/etcd.pem --key=etcd/etcd-key.pem endpoint health\ncurl -s --cacert ca.pem https://$M:2379/health",
        "true\nis healthy\na client certificate is needed",
        10,
    ),
    s(
        "m",
        "kube-apiserver",
        "cp target/master-node/kube-apiserver.service /lib/systemd/system/\nsystemctl daemon-reload\nsystemctl enable kube-apiserver.service\nservice kube-apiserver start\njournalctl -u kube-apiserver --no-pager -n 9",
        "the API is served",
        60,
    ),
    s(
        "m",
        "kube-controller-manager",
        "cp target/master-node/kube-controller-manager.service /lib/systemd/system/\nsystemctl daemon-reload\nsystemctl enable kube-controller-manager.service\nservice kube-controller-manager start\njournalctl -u kube-controller-manager --no-pager -n 4",
        "became leader",
        30,
    ),
    s(
        "m",
        "kube-scheduler",
        "cp target/master-node/kube-scheduler.service /lib/systemd/system/\nsystemctl daemon-reload\nsystemctl enable kube-scheduler.service\nservice kube-scheduler start\njournalctl -u kube-scheduler --no-pager -n 4",
        "became leader",
        30,
    ),
    s(
        "m",
        "kubectl config",
        "rm -f .kube/config\nkubectl config set-cluster kubernetes --certificate-authority=/etc/kubernetes/ca/ca.pem --embed-certs=true --server=https://$M:6443\nkubectl config set-credentials admin --client-certificate=/etc/kubernetes/ca/admin/admin.pem --embed-certs=true --client-key=/etc/kubernetes/ca/admin/admin-key.pem\nkubectl config set-context kubernetes --cluster=kubernetes --user=admin\nkubectl config use-context kubernetes",
        "Switched to context",
        5,
    ),
    s(
        "m",
        "a stranger",
        "curl -s --cacert /etc/kubernetes/ca/ca.pem https://$M:6443/api/v1/nodes",
        "Unauthorized",
        5,
    ),
];

pub const WITH_CA_WORKERS: &[Step] = &[
    s(
        "copy",
        "(what workers need of the keys)",
        "etc/kubernetes/ca/ca.pem etc/kubernetes/ca/kube-proxy etc/kubernetes/ca/net",
        "",
        10,
    ),
    s("copy", "(kubectl's configuration on the others)", "root/.kube/config", "", 10),
    s("m", "cluster-rbac", "kubectl create -f target/services/cluster-rbac.yaml", "created", 10),
    s(
        "all",
        "pod network",
        "cp target/all-node/net.kubeconfig /etc/kubernetes/\ncp target/all-node/kube-net.service /lib/systemd/system/\nsystemctl daemon-reload\nsystemctl enable kube-net\nservice kube-net start\nsystemctl is-active kube-net",
        "active",
        20,
    ),
    s(
        "m",
        "bootstrap right",
        "kubectl create clusterrolebinding kubelet-bootstrap --clusterrole=system:node-bootstrapper --user=kubelet-bootstrap",
        "created",
        10,
    ),
    s(
        "m",
        "bootstrap.kubeconfig",
        "kubectl config set-cluster kubernetes --certificate-authority=/etc/kubernetes/ca/ca.pem --embed-certs=true --server=https://$M:6443 --kubeconfig=bootstrap.kubeconfig\nTOKEN=$(cut -d, -f1 /etc/kubernetes/ca/kubernetes/token.csv)\nkubectl config set-credentials kubelet-bootstrap --token=$TOKEN --kubeconfig=bootstrap.kubeconfig\nkubectl config set-context default --cluster=kubernetes --user=kubelet-bootstrap --kubeconfig=bootstrap.kubeconfig\nkubectl config use-context default --kubeconfig=bootstrap.kubeconfig\ncp bootstrap.kubeconfig /etc/kubernetes/",
        "Switched to context",
        5,
    ),
    s("copy", "(to the workers)", "etc/kubernetes/bootstrap.kubeconfig", "", 10),
    s(
        "workers",
        "kubelet",
        "mkdir -p /var/lib/kubelet /etc/kubernetes /etc/cni/net.d\ncp target/worker-node/kubelet.service /lib/systemd/system/\ncp -n target/worker-node/10-keelson.conflist /etc/cni/net.d/\nsystemctl daemon-reload\nsystemctl enable kubelet\nservice kubelet start\nsleep 1; journalctl -u kubelet --no-pager -n 2",
        "waiting for its approval",
        30,
    ),
    s("m", "csr", "kubectl get csr", "Pending", 30),
    s("m", "no node yet", "kubectl get nodes", "No resources found", 5),
    s(
        "m",
        "approve",
        "kubectl certificate approve $(kubectl get csr -o name | cut -d/ -f2)\nsleep 1; kubectl get csr",
        "approved\nApproved,Issued\n!Pending",
        20,
    ),
];

/// Certificates that live for a minute are renewed within one.
pub const ROTATION: &[Step] = &[
    s(
        "m",
        "renewal right",
        "kubectl create clusterrolebinding node-renewal --clusterrole=system:certificates.k8s.io:certificatesigningrequests:selfnodeclient --group=system:nodes",
        "created",
        5,
    ),
    s(
        "m",
        "short lives",
        "sed -i 's|--cluster-name=kubernetes|& --cluster-signing-duration=1m|' /lib/systemd/system/kube-controller-manager.service\nsystemctl daemon-reload\nservice kube-controller-manager restart\nsystemctl is-active kube-controller-manager",
        "active",
        20,
    ),
    s(
        "w1",
        "a new beginning",
        "service kubelet stop\nrm -f /etc/kubernetes/kubelet.kubeconfig /etc/kubernetes/ca/kubelet-client-*\nservice kubelet start\nsleep 1; journalctl -u kubelet --no-pager -n 1",
        "waiting for its approval",
        20,
    ),
    s(
        "m",
        "approve the new one",
        "kubectl certificate approve $(kubectl get csr --no-headers | grep Pending | cut -d' ' -f1)",
        "approved",
        20,
    ),
    s(
        "w1",
        "renewed",
        "journalctl -u kubelet --no-pager -g renewed -n 1\nls /etc/kubernetes/ca | tail -3\nopenssl x509 -in /etc/kubernetes/ca/kubelet-client-current.pem -noout -subject -enddate",
        "renewed the client certificate\nsystem:node:$W1",
        90,
    ),
    s(
        "m",
        "long lives again",
        "sed -i 's| --cluster-signing-duration=1m||' /lib/systemd/system/kube-controller-manager.service\nsystemctl daemon-reload\nservice kube-controller-manager restart\nkubectl get nodes",
        "$W1   Ready\n$W2   Ready",
        30,
    ),
];

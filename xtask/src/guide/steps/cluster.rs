//! What one does with a cluster, in either form.

use super::{Step, s};

pub const NODES: &[Step] = &[
    s("m", "nodes", "kubectl get nodes", "$W1   Ready\n$W2   Ready", 90),
    s("m", "network status", "keelson net status", "present\n!missing\n!down", 30),
];

pub const DEPLOYMENT: &[Step] = &[
    s(
        "m",
        "deployment",
        "kubectl create deployment web --image=keelson.local/demo:1 --replicas=4\nkubectl rollout status deployment/web --timeout=90s",
        "successfully rolled out",
        100,
    ),
    s("m", "pods", "kubectl get pods -o wide", "$W1\n$W2", 10),
    s("m", "describe", "kubectl describe deployment web", "Replicas:               4 desired", 10),
    s("m", "logs", "kubectl logs deploy/web", "serving version 1", 10),
    s("m", "exec", "kubectl exec deploy/web -- hostname", "web-", 15),
    s(
        "m",
        "scale",
        "kubectl scale deployment web --replicas=2\nkubectl rollout status deployment/web --timeout=60s\nkubectl get deployment web",
        "2/2",
        70,
    ),
    s(
        "m",
        "update",
        "kubectl set image deployment/web demo=keelson.local/demo:2\nkubectl rollout status deployment/web --timeout=90s\nkubectl rollout history deployment/web",
        "successfully rolled out",
        100,
    ),
    s(
        "m",
        "roll back",
        "kubectl rollout undo deployment/web\nkubectl rollout status deployment/web --timeout=90s",
        "successfully rolled out",
        100,
    ),
];

pub const SERVICES: &[Step] = &[
    s(
        "workers",
        "kube-proxy",
        "mkdir -p /var/lib/kube-proxy\ncp target/worker-node/kube-proxy.service /lib/systemd/system/\ncp target/worker-node/kube-proxy.kubeconfig /etc/kubernetes/\nsystemctl daemon-reload\nsystemctl enable kube-proxy\nservice kube-proxy start\nsystemctl is-active kube-proxy",
        "active",
        30,
    ),
    s(
        "m",
        "expose",
        "kubectl expose deployment web --type=NodePort --port=80 --target-port=8080\nkubectl get service web",
        "exposed\nNodePort",
        10,
    ),
    s(
        "w1",
        "cluster IP",
        "ADDRESS=$(kubectl get service web -o jsonpath='{.spec.clusterIP}')\nfor i in 1 2 3 4 5 6 7 8; do curl -s -m3 http://$ADDRESS/; done | sort | uniq -c",
        "Hello from web-",
        20,
    ),
    s(
        "m",
        "NodePort",
        "PORT=$(kubectl get service web -o jsonpath='{.spec.ports[0].nodePort}')\n[ $PORT -ge 20000 ] && [ $PORT -le 40000 ] && echo port $PORT\ncurl -s -m3 http://$W1:$PORT/\ncurl -s -m3 http://$W2:$PORT/",
        "port \nHello from web-",
        20,
    ),
    s(
        "m",
        "kube-dns",
        "kubectl create -f target/services/kube-dns.yaml\nkubectl -n kube-system rollout status deployment/kube-dns --timeout=60s",
        "successfully rolled out",
        90,
    ),
    s(
        "m",
        "name",
        "kubectl exec deploy/web -- nslookup web.default.svc.cluster.local\nkubectl exec deploy/web -- wget -qO- -T 3 http://web.default.svc.cluster.local/\nkubectl exec deploy/web -- wget -qO- -T 3 http://web/",
        "Hello from web-",
        40,
    ),
    s(
        "m",
        "restart of the control plane",
        "service etcd restart\nservice kube-apiserver restart\nkubectl get deployment web",
        "2/2",
        60,
    ),
];

pub const DASHBOARD: &[Step] = &[
    s(
        "m",
        "dashboard",
        "kubectl create -f target/services/dashboard.yaml\nkubectl -n kube-system rollout status deployment/kubernetes-dashboard --timeout=60s\nkubectl -n kube-system get service kubernetes-dashboard",
        "successfully rolled out\n30443",
        70,
    ),
    s("m", "dashboard page", "curl -sk https://$W1:30443/ | grep '<title'", "<title>", 20),
];

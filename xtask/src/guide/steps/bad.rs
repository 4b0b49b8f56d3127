//! Mistakes, and what the journal says of them. Each is put right again at the end of its step.

use super::{Step, s};

pub const BAD: &[Step] = &[
    s(
        "m",
        "etcd is away",
        "service kube-apiserver stop\nservice etcd stop\nsystemctl start --no-block kube-apiserver; sleep 3\njournalctl -u kube-apiserver --no-pager -n 1 -o cat\nservice etcd start; sleep 4\njournalctl -u kube-apiserver --no-pager -n 6 -o cat\nsystemctl is-active kube-apiserver",
        "waiting for etcd (https://$M:2379)\netcd is there\nactive\n!inactive",
        40,
    ),
    s(
        "m",
        "port taken",
        "timeout 5 kube-scheduler --master=http://127.0.0.1:8080 || true",
        "--secure-port\nanother process listens there",
        10,
    ),
    s(
        "m",
        "(certificates that are no good)",
        r#"openssl req -x509 -newkey rsa:2048 -nodes -keyout other-key.pem -out other.pem -subj /CN=other-ca -days 10 2>/dev/null
mkdir -p db; :> db/index; echo 01 > db/serial; echo 'unique_subject = no' > db/index.attr
printf '[ca]\ndefault_ca=d\n[d]\ndatabase=db/index\nserial=db/serial\nnew_certs_dir=db\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' > ca.cnf
printf 'subjectAltName=IP:%s\n' $M > san; openssl req -new -key other-key.pem -subj /CN=kubernetes -out bad.csr
CA="-cert /etc/kubernetes/ca/ca.pem -keyfile /etc/kubernetes/ca/ca-key.pem"
openssl ca -batch -config ca.cnf $CA -in bad.csr -out old.pem -startdate 20200101000000Z -enddate 20210101000000Z -extfile san -notext 2>/dev/null
openssl ca -batch -config ca.cnf $CA -in bad.csr -out new.pem -startdate 20400101000000Z -enddate 20410101000000Z -extfile san -notext 2>/dev/null
echo subjectAltName=DNS:other.example > san; openssl ca -batch -config ca.cnf $CA -in bad.csr -out host.pem -days 9 -extfile san -notext 2>/dev/null
ls"#,
        "old.pem\nnew.pem\nhost.pem\nother.pem",
        20,
    ),
    s(
        "m",
        "wrong etcd CA",
        "timeout 3 kube-apiserver --secure-port=16443 --advertise-address=$M --service-account-key-file=/etc/kubernetes/ca/ca-key.pem --etcd-servers=https://$M:2379 --etcd-cafile=other.pem 2>&1 | tail -1",
        "waiting for etcd\nits certificate is not signed by --etcd-cafile",
        10,
    ),
    s(
        "m",
        "key of another",
        "timeout 3 kube-controller-manager --master=http://127.0.0.1:8080 --secure-port=0 --cluster-signing-cert-file=/etc/kubernetes/ca/ca.pem --cluster-signing-key-file=other-key.pem || true",
        "--cluster-signing-key-file other-key.pem\ndoes not belong",
        10,
    ),
    s(
        "m",
        "overlapping ranges",
        "timeout 3 kube-controller-manager --master=http://127.0.0.1:8080 --secure-port=0 --allocate-node-cidrs=true --cluster-cidr=10.68.0.0/16 --service-cluster-ip-range=10.68.0.0/16 || true\ntimeout 3 keelson net --kubeconfig=/etc/kubernetes/net.kubeconfig --cluster-cidr=10.0.0.0/8 --service-cluster-ip-range=10.68.0.0/16 || true",
        "--cluster-cidr 10.68.0.0/16 and --service-cluster-ip-range 10.68.0.0/16 overlap\n--cluster-cidr 10.0.0.0/8 and --service-cluster-ip-range 10.68.0.0/16 overlap",
        10,
    ),
    s(
        "m",
        "expired certificate",
        "timeout 3 etcd --data-dir=/tmp/bad-etcd --listen-client-urls=https://$M:12379 --advertise-client-urls=https://$M:12379 --cert-file=old.pem --key-file=other-key.pem 2>&1 | grep old.pem & sleep 1\ntimeout 2 kube-apiserver --secure-port=16443 --advertise-address=$M --service-account-key-file=/etc/kubernetes/ca/ca-key.pem --etcd-servers=https://$M:12379 --etcd-cafile=/etc/kubernetes/ca/ca.pem 2>&1 | tail -1; sleep 1",
        "old.pem: the certificate expired at 2021\na certificate has expired, or a clock is wrong",
        15,
    ),
    s(
        "m",
        "certificate for another host",
        "timeout 3 etcd --data-dir=/tmp/bad-etcd --listen-client-urls=https://$M:12379 --advertise-client-urls=https://$M:12379 --cert-file=host.pem --key-file=other-key.pem 2>&1 | grep host.pem & sleep 1\ntimeout 2 kube-apiserver --secure-port=16443 --advertise-address=$M --service-account-key-file=/etc/kubernetes/ca/ca-key.pem --etcd-servers=https://$M:12379 --etcd-cafile=/etc/kubernetes/ca/ca.pem 2>&1 | tail -1; sleep 1",
        "its certificate lacks the host that --etcd-servers has",
        15,
    ),
    s(
        "m",
        "clock off",
        "timeout 3 etcd --data-dir=/tmp/bad-etcd --listen-client-urls=https://$M:12379 --advertise-client-urls=https://$M:12379 --cert-file=new.pem --key-file=other-key.pem 2>&1 | grep new.pem & sleep 1\ntimeout 2 kube-apiserver --secure-port=16443 --advertise-address=$M --service-account-key-file=/etc/kubernetes/ca/ca-key.pem --etcd-servers=https://$M:12379 --etcd-cafile=/etc/kubernetes/ca/ca.pem 2>&1 | tail -1; sleep 1",
        "is the clock of this host right?\na clock is wrong",
        15,
    ),
    s("copy", "(another authority)", "root/other.pem", "", 10),
    s(
        "w2",
        "wrong token",
        "sed 's|token: .*|token: 0123456789abcdef|' /etc/kubernetes/bootstrap.kubeconfig > wrong.kubeconfig\ntimeout 3 kubelet --kubeconfig=/tmp/k1 --bootstrap-kubeconfig=wrong.kubeconfig --cert-dir=/tmp/kubelet-certs --hostname-override=$IP 2>&1 | grep trying | head -1",
        "wrong.kubeconfig\nUnauthorized\n--token-auth-file",
        10,
    ),
    s(
        "w2",
        "wrong CA",
        "sed -i \"s|certificate-authority-data: .*|certificate-authority: /root/other.pem|\" wrong.kubeconfig\ntimeout 3 kubelet --kubeconfig=/tmp/k1 --bootstrap-kubeconfig=wrong.kubeconfig --cert-dir=/tmp/kubelet-certs --hostname-override=$IP 2>&1 | grep trying | head -1",
        "certificate signed by unknown authority\ncertificate-authority",
        10,
    ),
    s(
        "w2",
        "no runtime",
        "service kubelet stop; service containerd stop\ntimeout 3 kubelet --kubeconfig=/etc/kubernetes/kubelet.kubeconfig --hostname-override=$IP --node-ip=$IP 2>&1 | grep runtime | head -1\nservice containerd start; service kubelet start; systemctl is-active kubelet",
        "--container-runtime-endpoint\nno container runtime answers\nactive",
        30,
    ),
    s(
        "w2",
        "wrong cgroup driver",
        "service kubelet stop\ntimeout 3 kubelet --kubeconfig=/etc/kubernetes/kubelet.kubeconfig --hostname-override=$IP --node-ip=$IP --cgroup-driver=systemd 2>&1 | grep driver | head -1\nservice kubelet start; systemctl is-active kubelet",
        "--cgroup-driver is systemd, but the container runtime uses cgroupfs\nactive",
        30,
    ),
    s(
        "w2",
        "a node of the same name",
        "service kubelet stop\ntimeout 4 kubelet --kubeconfig=/root/.kube/config --hostname-override=$W1 --node-ip=$IP 2>&1 | grep already | head -1\nservice kubelet start; systemctl is-active kubelet",
        "is another host already: $W1\n--hostname-override\nactive",
        30,
    ),
];

#!/bin/bash
# Runs tests/containerd.rs against a containerd of its own, in network and mount namespaces of its own.
# Needs root, containerd, runc, containernetworking-plugins, busybox-static, gcc.  usage: containerd.sh [TEST-FILTER]
set -euo pipefail
here=$(dirname "$(realpath "$0")")
if [ "${1:-}" != --inside ]; then
  exe=$(cd "$here/.." && cargo test -p kubelet --test containerd --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*containerd-[^"]*\)".*/\1/p' | tail -1)
  [ -n "$exe" ] || { echo "the test does not build"; exit 1; }
  exec unshare --net --mount --uts --fork "$0" --inside "$exe" "$@"
fi
shift; exe=$1; shift
mount --make-rshared /
ip link set lo up
ip link add dummy0 type veth peer name dummy1; ip link set dummy1 up; ip addr add 192.0.2.10/24 dev dummy0; ip link set dummy0 up; ip route add default via 192.0.2.1
sysctl -qw net.ipv4.ip_forward=1
d=$(mktemp -d /tmp/kubelet-cri.XXXXXX)
cleanup() {
  [ -n "${pid:-}" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
  for s in $(pgrep -f "containerd-shim.*-address $d/c.sock"); do
    for c in $(pgrep -P "$s"); do kill -9 "$c" 2>/dev/null; done; kill -9 "$s" 2>/dev/null
  done
  sleep 0.3
  awk -v d="$d" 'index($5, d)==1 {print $5}' /proc/self/mountinfo | sort -r | while read -r m; do umount -l "$m" 2>/dev/null || true; done
  rm -rf --one-file-system "$d"
  for c in /sys/fs/cgroup/*/keelson-kubelet-test; do [ -d "$c" ] && find "$c" -depth -type d -exec rmdir {} + 2>/dev/null || true; done
}
trap cleanup EXIT
mkdir -p "$d"/{cni,root,state,img/rootfs/{bin,etc,tmp,dev,proc,sys},kubelet,logs}
cat > "$d/cni/10.conflist" <<J
{"cniVersion":"0.4.0","name":"t","plugins":[{"type":"bridge","bridge":"kt0","isGateway":true,"ipam":{"type":"host-local","dataDir":"$d/ipam","ranges":[[{"subnet":"10.123.0.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}},{"type":"portmap","capabilities":{"portMappings":true}}]}
J
cat > "$d/config.toml" <<T
version = 2
root = "$d/root"
state = "$d/state"
[grpc]
  address = "$d/c.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "test.local/pause:1"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$d/cni"
T
echo 'int pause(void);int main(){for(;;)pause();}' | gcc -static -Os -x c -o "$d/img/pause" -
python3 "$here/image.py" "$d/img/pause" /pause test.local/pause:1 "$d/pause.tar"
python3 "$here/image.py" /bin/busybox /bin/busybox test.local/busybox:1 "$d/busybox.tar"
containerd -c "$d/config.toml" > "$d/containerd.log" 2>&1 & pid=$!
for _ in $(seq 100); do ctr -a "$d/c.sock" version >/dev/null 2>&1 && break; sleep 0.1; done
for i in pause busybox; do ctr -a "$d/c.sock" -n k8s.io images import "$d/$i.tar" >/dev/null; done
KUBELET_TEST_DIR=$d KUBELET_TEST_CRI=unix://$d/c.sock "$exe" --ignored --nocapture --test-threads=1 "$@" || { rc=$?; tail -20 "$d/containerd.log"; exit $rc; }

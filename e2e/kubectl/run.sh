#!/bin/bash
# Compares our kubectl with stock v1.37.2 on an API server of its own, on loopback, with controllers only while the stage is
# set. Needs openssl, and stock kubectl in ~/.cache/k8s-suite/bin.
#   run.sh [TABLE...]        KEELSON_EXE: the program (default target/debug/keelson); OURS: another kubectl than its applet
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
exe=${KEELSON_EXE:-$here/../../target/debug/keelson}
d=$(mktemp -d /tmp/kubectl-compare.XXXXXX)
port=$((20000 + RANDOM % 20000))
cd "$d"
openssl genrsa -out sa.key 2048 2>/dev/null
echo 'admintoken,admin,u1,"system:masters"' > tokens.csv
cat > kc <<K
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:$port", insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: admintoken}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
K
"$exe" kube-apiserver --bind-address 127.0.0.1 --secure-port $port --cert-dir "$d/certs" --store-file "$d/state.db" \
  --token-auth-file tokens.csv --service-account-signing-key-file sa.key \
  --service-account-issuer https://kubernetes.default.svc > api.log 2>&1 &
api=$!
trap 'kill $api 2>/dev/null || true; rm -rf "$d"' EXIT
ln -s "$exe" "$d/kubectl"
ours=${OURS:-$d/kubectl}
for _ in $(seq 100); do KUBECONFIG=kc "$ours" get ns default > /dev/null 2>&1 && break; sleep 0.2; done
"$exe" kube-controller-manager --kubeconfig=kc --secure-port=0 --service-account-private-key-file=sa.key > cm.log 2>&1 &
cm=$!
python3 "$here/compare.py" --ours "$ours" --kubeconfig "$d/kc" "$here/stage.txt" > /dev/null
sleep 3
kill $cm; wait $cm 2>/dev/null || true
# Once more: what a controller took away meanwhile.
python3 "$here/compare.py" --ours "$ours" --kubeconfig "$d/kc" "$here/stage.txt" > /dev/null
[ $# -gt 0 ] || set -- explain.txt get.txt create.txt describe.txt change.txt misc.txt watch.txt
r=0
for t in "$@"; do python3 "$here/compare.py" --ours "$ours" --kubeconfig "$d/kc" "$here/$(basename "$t")" || r=1; done
exit $r

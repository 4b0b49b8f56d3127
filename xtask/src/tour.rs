//! The user's day, as commands and what they must print. Read from top to bottom it is the README's tour.

/// One step: what it shows, a shell command, and what its output must hold within a time.
pub struct Step {
    pub shows: &'static str,
    pub run: &'static str,
    /// Every line must be somewhere in the output; one that begins with `!` must not.
    pub expect: &'static str,
    pub within: u64,
}

const fn step(shows: &'static str, run: &'static str, expect: &'static str, within: u64) -> Step {
    Step { shows, run, expect, within }
}

/// `$TOUR` is the folder of manifests, `$IP` the node's address, `k` stock kubectl, `k1` the same in namespace tour.
pub const TOUR: &[Step] = &[
    step("the node is Ready", "k get nodes", "Ready\nv1.37", 30),
    step("a namespace", "k create namespace tour", "created", 5),
    step(
        "a Deployment of three",
        "k1 create deployment web --image=keelson.local/demo:1 --replicas=3",
        "created",
        15,
    ),
    step(
        "readiness is probed",
        r#"k1 patch deployment web --type=strategic -p '{"spec":{"minReadySeconds":1,"template":{"spec":{"terminationGracePeriodSeconds":5,"containers":[{"name":"demo","readinessProbe":{"httpGet":{"path":"/healthz","port":8080},"periodSeconds":1}}]}}}}'"#,
        "patched",
        5,
    ),
    step("it rolls out", "k1 rollout status deployment/web --timeout=60s", "successfully rolled out", 70),
    step("all three run", "k1 get deployment web -o wide", "3/3", 5),
    step("as a ClusterIP", "k1 expose deployment web --port=80 --target-port=8080", "exposed", 5),
    step(
        "and as a NodePort",
        r#"k1 expose deployment web --name=web-out --type=NodePort --port=80 --target-port=8080 --overrides='{"spec":{"ports":[{"port":80,"targetPort":8080,"nodePort":30080}]}}'"#,
        "exposed",
        5,
    ),
    step(
        "reached by service IP",
        "wget -qO- -T2 http://$(k1 get service web -o jsonpath='{.spec.clusterIP}')/",
        "Hello from web-",
        15,
    ),
    step("reached from outside by NodePort", "wget -qO- -T2 http://$IP:30080/version", "1", 15),
    step(
        "several files, applied twice",
        "k1 apply -f $TOUR/app.yaml && k1 apply -f $TOUR/app.yaml",
        "created\nunchanged",
        10,
    ),
    step(
        "the reader is there",
        "k1 rollout status deployment/reader --timeout=60s",
        "successfully rolled out",
        70,
    ),
    step(
        "reached by name from a pod",
        "k1 exec deploy/reader -- wget -qO- -T 2 http://web.tour.svc.cluster.local/",
        "Hello from web-",
        15,
    ),
    step("and by its short name", "k1 exec deploy/reader -- wget -qO- -T 2 http://web/version", "1", 15),
    step(
        "environment from a ConfigMap and from the pod",
        "k1 exec deploy/reader -- env",
        "GREETING=hello\nPOD_IP=10.",
        5,
    ),
    step("logs", "k1 logs deploy/reader", "serving version 1", 5),
    step("describe, with events", "k1 describe pod -l app=reader", "Successfully assigned\nStarted", 10),
    step("events", "k1 get events", "Scheduled\nPulled\nCreated\nStarted", 10),
    step(
        "port-forward",
        "$KUBECTL -n tour port-forward deploy/reader 18080:8080 >/dev/null 2>&1 & p=$!; sleep 1; wget -qO- -T2 http://127.0.0.1:18080/version; r=$?; kill $p; exit $r",
        "1",
        15,
    ),
    step(
        "scale up",
        "k1 scale deployment web --replicas=5 && k1 rollout status deployment/web --timeout=60s",
        "successfully rolled out",
        70,
    ),
    step("a new version", "k1 set image deployment/web demo=keelson.local/demo:2", "updated", 5),
    step(
        "with no failed request",
        "$TOUR/load $IP:30080 & l=$!; k1 rollout status deployment/web --timeout=90s; kill $l; wait $l",
        "successfully rolled out\n failed=0",
        100,
    ),
    step("it answers", "for i in 1 2 3 4 5; do wget -qO- -T2 http://$IP:30080/version; done", "2\n!1", 15),
    step("history", "k1 rollout history deployment/web", "REVISION", 5),
    step(
        "roll back",
        "k1 rollout undo deployment/web && k1 rollout status deployment/web --timeout=90s",
        "successfully rolled out",
        100,
    ),
    step(
        "the old version answers",
        "for i in 1 2 3 4 5; do wget -qO- -T2 http://$IP:30080/version; done",
        "1\n!2",
        15,
    ),
    step(
        "a killed container comes back",
        "k1 exec deploy/reader -- wget -qO- -T 1 http://127.0.0.1:8080/exit; sleep 1; k1 get pods -l app=reader",
        "Running\n1 (",
        30,
    ),
    step(
        "a deleted pod comes back",
        "k1 delete pod -l app=reader --wait=true >/dev/null; k1 get pods -l app=reader",
        "1/1",
        30,
    ),
    step(
        "a Job completes",
        "k1 apply -f $TOUR/job.yaml >/dev/null; k1 wait --for=condition=complete job/once --timeout=60s && k1 logs job/once",
        "condition met\nthe work is done",
        70,
    ),
    step(
        "a StatefulSet has stable names",
        "k1 apply -f $TOUR/db.yaml >/dev/null; k1 rollout status statefulset/db --timeout=60s; k1 get pods -l app=db",
        "db-0\ndb-1",
        70,
    ),
    step(
        "which resolve",
        "k1 exec deploy/reader -- wget -qO- -T 2 http://db-1.db.tour.svc.cluster.local:8080/",
        "Hello from db-1",
        15,
    ),
    step(
        "a ConfigMap changes",
        r#"k1 patch configmap settings -p '{"data":{"greeting":"good day"}}'"#,
        "patched",
        5,
    ),
    step(
        "and the change arrives in the volume",
        "k1 exec deploy/reader -- cat /etc/settings/greeting",
        "good day",
        100,
    ),
    step("explain", "k explain deployment.spec.strategy", "KIND:       Deployment", 10),
    step("what is there", "k1 get all", "deployment.apps/web\nstatefulset.apps/db\njob.batch/once", 10),
];

/// After the server was killed and started again.
pub const AFTER_KILL: &[Step] = &[
    step("everything is as it was", "k1 get deployments,statefulsets", "web\nreader\ndb", 20),
    step(
        "the containers never noticed",
        "k1 get pods -l app=db",
        "db-0   1/1     Running   0\ndb-1   1/1     Running   0",
        30,
    ),
    step("and still answer", "wget -qO- -T2 http://$IP:30080/version", "1", 15),
    step(
        "work goes on",
        "k1 scale deployment web --replicas=2 && k1 rollout status deployment/web --timeout=60s",
        "successfully rolled out",
        70,
    ),
    step("the namespace goes", "k delete namespace tour --timeout=90s", "deleted", 100),
    step(
        "and everything in it",
        "k get pods --all-namespaces -o name; k1 get all 2>&1",
        "No resources found\n!pod/web",
        30,
    ),
];

/// On two nodes, n1 and n2. `$IP2` is the address of n2; `p APP NODE` prints the name of that app's pod on the node, and
/// `pip` its address; pods of `host` are in the network of their node, so what they do the node does.
pub const TWO_NODES: &[Step] = &[
    step("both nodes are Ready", "k get nodes", "n1\nn2\n!NotReady", 60),
    step("something on each", "k create namespace tour; k1 apply -f $TOUR/two.yaml", "created", 20),
    step(
        "it runs",
        "for d in daemonset/each daemonset/host deployment/web; do k1 rollout status $d --timeout=60s || exit 1; done",
        "deployment \"web\" successfully rolled out",
        90,
    ),
    step("on both", "k1 get pods -l app=web -o wide", "n1\nn2", 5),
    step(
        "a pod reaches one of the other node, and back",
        "for n in n1:n2 n2:n1; do k1 exec $(p each ${n%:*}) -- wget -qO- -T 2 http://$(pip each ${n#*:}):8080/client; done; echo $(pip each n1); echo $(pip each n2)",
        "10.244.",
        15,
    ),
    step(
        "its own address is what the other sees",
        "a=$(k1 exec $(p each n1) -- wget -qO- -T 2 http://$(pip each n2):8080/client); [ \"$a\" = \"$(pip each n1)\" ] && echo the same $a",
        "the same 10.244.",
        15,
    ),
    step(
        "a Service answers from pods and hosts of both nodes",
        "for a in each host; do for n in n1 n2; do for i in 1 2 3 4; do k1 exec $(p $a $n) -- wget -qO- -T 2 http://$(k1 get service each -o jsonpath='{.spec.clusterIP}')/version || exit 1; done; done; done; echo all",
        "all",
        30,
    ),
    step(
        "by name, too",
        "for n in n1 n2; do k1 exec $(p each $n) -- wget -qO- -T 2 http://each.tour.svc.cluster.local/ || exit 1; done; echo all",
        "Hello from each-\nall",
        20,
    ),
    step(
        "a port that a Service does not have is refused at once",
        "k1 exec $(p each n2) -- wget -qO- -T 5 http://$(k1 get service each -o jsonpath='{.spec.clusterIP}'):81/",
        "refused",
        15,
    ),
    step(
        "NodePorts answer on both nodes, to hosts and pods of both",
        "for a in each host; do for n in n1 n2; do for ip in $IP $IP2; do for port in 30088 30089; do k1 exec $(p $a $n) -- wget -qO- -T 2 http://$ip:$port/version || exit 1; done; done; done; done; echo all",
        "all",
        40,
    ),
    step(
        "with externalTrafficPolicy Local the client's address is kept",
        "wget -qO- -T2 http://$IP2:30089/client",
        "10.90.0.1",
        10,
    ),
    step("with Cluster it is the node's", "wget -qO- -T2 http://$IP2:30088/client", "10.\n!10.90.0.1", 10),
    step(
        "hostPorts",
        "for n in n1 n2; do for ip in $IP $IP2; do k1 exec $(p each $n) -- wget -qO- -T 2 http://$ip:8088/version || exit 1; done; done; wget -qO- -T2 http://$IP2:8088/version && echo all",
        "all",
        20,
    ),
    step(
        "pods in the host's network",
        "for n in n1 n2; do for ip in $IP $IP2; do k1 exec $(p each $n) -- wget -qO- -T 2 http://$ip:8090/version || exit 1; done; done; echo all",
        "all",
        20,
    ),
    step(
        "hosts reach the pods of both nodes",
        "for n in n1 n2; do for m in n1 n2; do k1 exec $(p host $n) -- wget -qO- -T 2 http://$(pip each $m):8080/version || exit 1; done; done; echo all",
        "all",
        20,
    ),
    step("logs of the other node", "k1 logs $(p each n2) --tail=3", "GET /", 10),
    step(
        "a policy lets nobody in",
        "k1 apply -f $TOUR/policy.yaml >/dev/null; sleep 1; for n in n1 n2; do for m in n1 n2; do k1 exec $(p each $n) -- wget -qO- -T 1 http://$(pip web $m):8080/version && echo let in; done; done; echo done",
        "done\n!let in",
        30,
    ),
    step("but the probes of the kubelet", "sleep 2; k1 get deployment web", "2/2", 10),
    step(
        "it lets those in that it names",
        r#"k1 patch networkpolicy web --type=json -p '[{"op":"replace","path":"/spec/ingress/0/from/0/podSelector/matchLabels/app","value":"each"}]' >/dev/null; sleep 1; for n in n1 n2; do for m in n1 n2; do k1 exec $(p each $n) -- wget -qO- -T 2 http://$(pip web $m):8080/version || exit 1; done; done; echo all"#,
        "all",
        30,
    ),
    step("and is taken back", "k1 delete networkpolicy web", "deleted", 10),
    step("the network says that it is well", "$KEELSON net status", "n2\nup\n!down\n!missing", 10),
];

/// After n2 was lost, all of it at once.
pub const NODE_LOST: &[Step] = &[
    step("the node is missed", "k get nodes", "n2\nNotReady", 90),
    step(
        "its pods are replaced on the other one",
        "k1 get pods -l app=web --field-selector spec.nodeName=n1 --no-headers | grep -c ' 1/1 .*Running'",
        "2",
        90,
    ),
    step(
        "Services forget it",
        "for i in 1 2 3 4 5 6 7 8; do wget -qO- -T2 -t1 http://$(k1 get service web -o jsonpath='{.spec.clusterIP}')/version || exit 1; done; echo all",
        "all",
        30,
    ),
    step("the node is given up", "k delete node n2; ip route show proto 37", "!10.244.1.0/24", 20),
];

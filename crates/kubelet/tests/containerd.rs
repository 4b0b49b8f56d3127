//! The kubelet against a real containerd and an API server in memory. Run by `tests/containerd.sh`.

#![allow(clippy::unwrap_used, reason = "a test")]

use client::Client;
use client::fake::FakeApi;
use kubelet::Config;
use runtime::Runtime;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

struct World {
    api: FakeApi,
    rt: Runtime,
    dir: PathBuf,
}

fn config(dir: &std::path::Path) -> Config {
    let mut cfg = Config {
        node_name: "n1".into(),
        root_dir: dir.join("kubelet"),
        pod_logs_dir: dir.join("logs"),
        runtime_endpoint: std::env::var("KUBELET_TEST_CRI").unwrap(),
        cgroup_root: "keelson-kubelet-test".into(),
        cluster_dns: vec!["10.96.0.10".into()],
        static_pod_path: Some(dir.join("manifests")),
        file_check: Duration::from_millis(200),
        port: 0,
        ..Default::default()
    };
    cfg.eviction.hard.clear();
    cfg
}

impl World {
    /// A kubelet with an empty API server.
    fn new() -> Self {
        let dir = PathBuf::from(std::env::var("KUBELET_TEST_DIR").expect("run tests/containerd.sh"));
        std::fs::create_dir_all(dir.join("manifests")).unwrap();
        let api = FakeApi::new();
        let w = Self { api, rt: Runtime::new(), dir };
        w.start(&w.rt);
        w
    }
    fn start(&self, rt: &Runtime) {
        runtime::log::init(0);
        let client = Client::new(std::sync::Arc::new(self.api.clone()));
        let (cfg, rt2) = (config(&self.dir), rt.clone());
        rt.spawn("kubelet", async move {
            kubelet::run(cfg, client, rt2).await.unwrap();
        });
    }
    /// As the API server makes it: defaulted, on our node.
    fn create(&self, name: &str, mut spec: Value) {
        spec["nodeName"] = json!("n1");
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "ns", "generation": 1, "uid": format!("{name}-{:x}", self.rt.clock.unix_nanos())}, "spec": spec, "status": {"phase": "Pending"}});
        kinds::default_object("", "v1", "Pod", &mut pod, meta::time::Timestamp { seconds: 0, nanos: 0 });
        self.api.seed("pods", pod);
    }
    fn pod(&self, name: &str) -> Option<Value> {
        self.api.object("", "pods", "ns", name)
    }
    /// Marks a pod as being deleted, as the API server does at first.
    fn delete(&self, name: &str, grace: i64) {
        let mut p = self.pod(name).unwrap();
        p["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        p["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        self.api.seed("pods", p);
    }
    async fn until(&self, what: &str, name: &str, f: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let p = self.pod(name).unwrap_or_default();
            if f(&p) {
                println!("{name}: {what} after {:?}", begin.elapsed());
                return p;
            }
            if begin.elapsed() > Duration::from_secs(40) {
                panic!("{name}: not {what}: {}\nevents: {:#?}", p["status"], self.events(name));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    async fn gone(&self, name: &str) {
        self.until("gone", name, Value::is_null).await;
    }
    async fn ready(&self, name: &str) -> Value {
        self.until("ready", name, |p| condition(p, "Ready") == "True").await
    }
    fn events(&self, name: &str) -> Vec<String> {
        self.api
            .objects("", "events")
            .into_iter()
            .filter(|e| e["involvedObject"]["name"] == name)
            .map(|e| {
                format!(
                    "{} {} {}",
                    e["type"].as_str().unwrap(),
                    e["reason"].as_str().unwrap(),
                    e["message"].as_str().unwrap()
                )
            })
            .collect()
    }
    fn log(&self, pod: &Value, container: &str, n: u32) -> String {
        let uid = pod["metadata"]["uid"].as_str().unwrap();
        let name = pod["metadata"]["name"].as_str().unwrap();
        let path = self.dir.join(format!("logs/ns_{name}_{uid}/{container}/{n}.log"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        text.lines().map(|l| l.splitn(4, ' ').nth(3).unwrap_or("").to_owned() + "\n").collect()
    }
    async fn stop(self) {
        assert!(self.rt.shutdown(Duration::from_secs(5)).await);
    }
}

fn condition<'a>(p: &'a Value, kind: &str) -> &'a str {
    p["status"]["conditions"]
        .as_array()
        .and_then(|l| l.iter().find(|c| c["type"] == kind))
        .and_then(|c| c["status"].as_str())
        .unwrap_or("")
}

fn sh(script: &str) -> Value {
    json!({"name": "c", "image": "test.local/busybox:1", "command": ["sh", "-c", script]})
}

fn with(mut c: Value, more: Value) -> Value {
    for (k, v) in more.as_object().unwrap() {
        c[k] = v.clone();
    }
    c
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by containerd.sh"]
async fn life_of_a_pod() {
    let w = World::new();
    w.api.seed("configmaps", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "ns"}, "data": {"k": "v1"}}));
    w.create("a", json!({
        "terminationGracePeriodSeconds": 5,
        "volumes": [{"name": "m", "configMap": {"name": "m"}}, {"name": "e", "emptyDir": {}}, {"name": "t", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}],
        "initContainers": [with(sh("echo hello > /e/f"), json!({"name": "i", "volumeMounts": [{"name": "e", "mountPath": "/e"}]}))],
        "containers": [with(sh("echo $A; cat /m/k /e/f; echo; cat /etc/hosts | tail -1; hostname; trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done"), json!({
            "env": [{"name": "A", "value": "x-$(IP)"}, {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            "readinessProbe": {"exec": {"command": ["cat", "/e/f"]}, "periodSeconds": 1},
            "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}},
            "volumeMounts": [{"name": "m", "mountPath": "/m"}, {"name": "e", "mountPath": "/e"}, {"name": "t", "mountPath": "/t"}, {"name": "e", "mountPath": "/sub", "subPath": "made/here"}]}))]}));
    let p = w.ready("a").await;
    let ip = p["status"]["podIP"].as_str().unwrap().to_owned();
    assert!(ip.starts_with("10.123.0."), "{ip}");
    assert_eq!(p["status"]["phase"], "Running");
    let log = w.log(&p, "c", 0);
    assert!(
        log.contains("x-$(IP)\nv1hello") && log.contains(&format!("{ip}\ta")) && log.ends_with("a\n"),
        "{log}"
    );
    // Updates arrive.
    let mut m = w.api.object("", "configmaps", "ns", "m").unwrap();
    m["data"]["k"] = json!("v2");
    w.api.seed("configmaps", m);
    let uid = p["metadata"]["uid"].as_str().unwrap();
    let file = w.dir.join(format!("kubelet/pods/{uid}/volumes/kubernetes.io~configmap/m/k"));
    let begin = Instant::now();
    while std::fs::read_to_string(&file).unwrap() != "v2" {
        assert!(begin.elapsed() < Duration::from_secs(10), "the volume follows the ConfigMap");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("events: {:#?}", w.events("a"));
    let events = w.events("a").join("\n");
    for e in ["Normal Pulled", "Normal Created Container created", "Normal Started Container started"] {
        assert!(events.contains(e), "{events}");
    }
    let begin = Instant::now();
    w.delete("a", 5);
    w.gone("a").await;
    assert!(begin.elapsed() < Duration::from_secs(4), "SIGTERM is enough");
    let dir = w.dir.join(format!("kubelet/pods/{uid}"));
    let begin = Instant::now();
    while dir.exists() {
        assert!(begin.elapsed() < Duration::from_secs(10), "the pod's directory goes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    w.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by containerd.sh"]
async fn endings() {
    let w = World::new();
    w.create("ok", json!({"restartPolicy": "Never", "containers": [sh("echo fine > /dev/termination-log")]}));
    w.create("bad", json!({"restartPolicy": "Never", "containers": [with(sh("echo why; exit 3"), json!({"terminationMessagePolicy": "FallbackToLogsOnError"}))]}));
    w.create("crash", json!({"containers": [sh("exit 1")]}));
    w.create("noimage", json!({"containers": [with(sh(""), json!({"image": "test.local/none:1", "imagePullPolicy": "Never"}))]}));
    w.create("late", json!({"activeDeadlineSeconds": 2, "terminationGracePeriodSeconds": 0, "containers": [sh("sleep 1000")]}));
    w.create(
        "live",
        json!({"terminationGracePeriodSeconds": 1, "containers": [with(sh("sleep 1000"), json!({
        "livenessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 2}}))]}),
    );
    let p = w.until("Succeeded", "ok", |p| p["status"]["phase"] == "Succeeded").await;
    assert_eq!(p["status"]["containerStatuses"][0]["state"]["terminated"]["message"], "fine\n");
    let p = w.until("Failed", "bad", |p| p["status"]["phase"] == "Failed").await;
    let t = &p["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(
        (t["exitCode"].as_i64(), t["reason"].as_str(), t["message"].as_str()),
        (Some(3), Some("Error"), Some("why\n"))
    );
    let waiting = |r: &'static str| {
        move |p: &Value| p["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == r
    };
    let p = w.until("in CrashLoopBackOff", "crash", waiting("CrashLoopBackOff")).await;
    assert_eq!(p["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 1);
    assert_eq!(p["status"]["phase"], "Running");
    w.until("without image", "noimage", waiting("ErrImageNeverPull")).await;
    let p = w.until("too late", "late", |p| p["status"]["phase"] == "Failed").await;
    assert_eq!(p["status"]["reason"], "DeadlineExceeded");
    let p = w.until("restarted", "live", |p| p["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    assert_eq!(p["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 137);
    let events = w.events("live").join("\n");
    assert!(events.contains("Warning Unhealthy Liveness probe failed: "), "{events}");
    assert!(
        events.contains("Normal Killing Container c failed liveness probe, will be restarted"),
        "{events}"
    );
    for n in ["ok", "bad", "crash", "noimage", "late", "live"] {
        w.delete(n, 1);
    }
    for n in ["ok", "bad", "crash", "noimage", "late", "live"] {
        w.gone(n).await;
    }
    w.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by containerd.sh"]
async fn restart_of_the_kubelet() {
    let w = World::new();
    w.create(
        "stay",
        json!({"terminationGracePeriodSeconds": 1, "containers": [with(sh("sleep 1000"), json!({
        "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1}}))]}),
    );
    w.create("leave", json!({"terminationGracePeriodSeconds": 1, "containers": [sh("sleep 1000")]}));
    let p = w.ready("stay").await;
    w.ready("leave").await;
    let id = p["status"]["containerStatuses"][0]["containerID"].clone();
    let uid = w.pod("leave").unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    assert!(w.rt.shutdown(Duration::from_secs(5)).await);
    // While no kubelet looks, one pod is deleted by force.
    let client = Client::new(std::sync::Arc::new(w.api.clone()));
    let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions {
        grace_period_seconds: Some(0),
        ..Default::default()
    };
    client.delete::<k8s_openapi::api::core::v1::Pod>(Some("ns"), "leave", &now).await.unwrap();
    let rt = Runtime::new();
    w.start(&rt);
    let begin = Instant::now();
    while w.dir.join(format!("kubelet/pods/{uid}")).exists() {
        assert!(begin.elapsed() < Duration::from_secs(15), "the orphan goes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let p = w.ready("stay").await;
    assert_eq!(p["status"]["containerStatuses"][0]["containerID"], id, "the container never noticed");
    assert_eq!(p["status"]["containerStatuses"][0]["restartCount"], 0);
    w.delete("stay", 1);
    w.gone("stay").await;
    assert!(rt.shutdown(Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by containerd.sh"]
async fn sidecars_and_hooks() {
    let w = World::new();
    w.create("s", json!({
        "terminationGracePeriodSeconds": 10,
        "volumes": [{"name": "e", "emptyDir": {}}],
        "initContainers": [with(sh("trap 'echo side-down >> /e/log; exit 0' TERM; echo side >> /e/log; while :; do sleep 0.1; done"), json!({
            "name": "side", "restartPolicy": "Always", "volumeMounts": [{"name": "e", "mountPath": "/e"}],
            "startupProbe": {"exec": {"command": ["grep", "side", "/e/log"]}, "periodSeconds": 1}}))],
        "containers": [with(sh("trap 'echo main-down >> /e/log; exit 0' TERM; while :; do sleep 0.1; done"), json!({
            "volumeMounts": [{"name": "e", "mountPath": "/e"}],
            "lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "echo post >> /e/log"]}},
                "preStop": {"exec": {"command": ["sh", "-c", "echo pre >> /e/log; sleep 1; cp /e/log /e/log2"]}}}}))]}));
    let p = w.ready("s").await;
    let uid = p["metadata"]["uid"].as_str().unwrap();
    let log = w.dir.join(format!("kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/e/log"));
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "side\npost\n");
    let keep = std::fs::File::open(&log).unwrap();
    w.delete("s", 10);
    w.gone("s").await;
    use std::io::Read;
    let mut text = String::new();
    let mut keep = keep;
    keep.read_to_string(&mut text).unwrap();
    assert_eq!(text, "side\npost\npre\nmain-down\nside-down\n");
    w.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by containerd.sh"]
async fn static_pods_and_node() {
    let w = World::new();
    let file = w.dir.join("manifests/web.yaml");
    std::fs::write(&file, "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  namespace: ns\nspec:\n  hostNetwork: true\n  terminationGracePeriodSeconds: 1\n  containers:\n  - name: c\n    image: test.local/busybox:1\n    command: [sh, -c, sleep 1000]\n").unwrap();
    let p = w.ready("web-n1").await;
    assert_eq!(p["status"]["podIP"], "192.0.2.10");
    assert_eq!(p["metadata"]["annotations"]["kubernetes.io/config.source"], "file");
    let n = w.api.object("", "nodes", "", "n1").unwrap();
    assert_eq!(condition(&n, "Ready"), "True", "{n}");
    assert!(w.api.object("coordination.k8s.io", "leases", "kube-node-lease", "n1").is_some());
    std::fs::remove_file(file).unwrap();
    w.gone("web-n1").await;
    w.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by containerd.sh"]
async fn image_volumes() {
    let w = World::new();
    w.create("v", json!({
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
        "volumes": [{"name": "i", "image": {"reference": "test.local/busybox:1", "pullPolicy": "Never"}}],
        "containers": [with(sh("cat /i/etc/group /s/passwd; touch /i/x || echo read-only"), json!({
            "volumeMounts": [{"name": "i", "mountPath": "/i"}, {"name": "i", "mountPath": "/s", "subPath": "etc"}]}))]}));
    let p = w.until("Succeeded", "v", |p| p["status"]["phase"] == "Succeeded").await;
    let log = w.log(&p, "c", 0);
    assert!(log.contains("www:x:1000:\nroot:x:0:0") && log.ends_with("read-only\n"), "{log}");
    w.delete("v", 1);
    w.gone("v").await;
    w.stop().await;
}

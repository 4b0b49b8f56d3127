//! How many replicas a metric asks for (upstream `replica_calculator.go`). Values are thousandths.

use crate::k8s::Timestamp;
use crate::k8s::core::{Container, Pod};
use crate::util::meta::MetaExt;
use crate::util::pods::{condition, is_ready, phase};
use meta::quantity::Quantity;
use std::collections::{BTreeMap, BTreeSet};

/// What a pod uses.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub value: i64,
    pub at: Timestamp,
    /// Over so many seconds.
    pub window: i64,
}

pub type Metrics = BTreeMap<String, Metric>;

#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    pub down: f64,
    pub up: f64,
}

impl Tolerance {
    fn covers(self, ratio: f64) -> bool {
        1.0 - self.down <= ratio && ratio <= 1.0 + self.up
    }
}

/// The pods of a target, and when one of them counts.
pub struct Pods<'a> {
    pub all: &'a [Pod],
    pub now: Timestamp,
    /// Seconds after its start in which a pod's CPU is not believed.
    pub cpu_initialization: i64,
    /// Seconds after its start within which a pod that is not ready was never ready.
    pub readiness_delay: i64,
}

fn ceil(f: f64) -> i32 {
    // The cast saturates.
    f.ceil() as i32
}

struct Groups {
    ready: usize,
    unready: BTreeSet<String>,
    missing: BTreeSet<String>,
    ignored: BTreeSet<String>,
}

impl Pods<'_> {
    fn group(&self, metrics: &Metrics, cpu: bool) -> Groups {
        let mut g =
            Groups { ready: 0, unready: BTreeSet::new(), missing: BTreeSet::new(), ignored: BTreeSet::new() };
        for p in self.all {
            let name = p.name().to_owned();
            if p.deleting() || phase(p) == "Failed" {
                g.ignored.insert(name);
            } else if phase(p) == "Pending" {
                g.unready.insert(name);
            } else if let Some(m) = metrics.get(&name) {
                if cpu && self.warms_up(p, m) {
                    g.unready.insert(name);
                } else {
                    g.ready += 1;
                }
            } else {
                g.missing.insert(name);
            }
        }
        g
    }

    /// Whether the CPU of a pod says nothing yet.
    fn warms_up(&self, p: &Pod, m: &Metric) -> bool {
        let started = p.status.as_ref().and_then(|s| s.start_time.as_ref());
        let (Some(c), Some(start)) = (condition(p, "Ready"), started) else { return true };
        let changed = c.last_transition_time.as_ref().map_or(i64::MIN, |t| t.0.as_second());
        let (start, unready) = (start.0.as_second(), c.status == "False");
        if start + self.cpu_initialization > self.now.as_second() {
            unready || m.at.as_second() < changed.saturating_add(m.window)
        } else {
            unready && start + self.readiness_delay > changed
        }
    }

    fn ready(&self) -> Result<usize, String> {
        if self.all.is_empty() {
            return Err("no pods returned by selector while calculating replica count".into());
        }
        Ok(self.all.iter().filter(|p| phase(p) == "Running" && is_ready(p)).count())
    }
}

/// Usage over target, and what the status shows.
type Ratio<'a> = &'a dyn Fn(&Metrics) -> Result<(f64, i64), String>;

/// The common part: `ratio` answers usage over target for some metrics, `fill` what a pod without a metric is taken to
/// use when the rest use too little.
fn replicas(
    pods: &Pods<'_>,
    mut metrics: Metrics,
    current: i32,
    cpu: bool,
    tolerance: Tolerance,
    ratio: Ratio<'_>,
    fill: &dyn Fn(&str) -> i64,
) -> Result<(i32, i64), String> {
    if pods.all.is_empty() {
        return Err("no pods returned by selector while calculating replica count".into());
    }
    let g = pods.group(&metrics, cpu);
    metrics.retain(|n, _| !g.ignored.contains(n) && !g.unready.contains(n));
    if metrics.is_empty() {
        return Err("did not receive metrics for targeted pods (pods might be unready)".into());
    }
    let (usage, value) = ratio(&metrics)?;
    let grows_with_unready = !g.unready.is_empty() && usage > 1.0;
    if !grows_with_unready && g.missing.is_empty() {
        let n = if tolerance.covers(usage) { current } else { ceil(usage * g.ready as f64) };
        return Ok((n, value));
    }
    // Those that are not known are taken to be what makes the change smaller.
    let filled = |v| Metric { value: v, at: pods.now, window: 0 };
    if usage < 1.0 {
        metrics.extend(g.missing.iter().map(|n| (n.clone(), filled(fill(n)))));
    } else if usage > 1.0 {
        metrics.extend(g.missing.iter().map(|n| (n.clone(), filled(0))));
    }
    if grows_with_unready {
        metrics.extend(g.unready.iter().map(|n| (n.clone(), filled(0))));
    }
    let (again, _) = ratio(&metrics)?;
    let turns = (usage < 1.0 && again > 1.0) || (usage > 1.0 && again < 1.0);
    if tolerance.covers(again) || turns {
        return Ok((current, value));
    }
    let n = ceil(again * metrics.len() as f64);
    let against = (again < 1.0 && n > current) || (again > 1.0 && n < current);
    Ok((if against { current } else { n }, value))
}

/// For a utilization: percent of what the pods request. Answers replicas, utilization, and use per pod.
pub fn utilization(
    pods: &Pods<'_>,
    metrics: Metrics,
    current: i32,
    target: i32,
    resource: &str,
    container: &str,
    tolerance: Tolerance,
) -> Result<(i32, i32, i64), String> {
    if pods.all.is_empty() {
        return Err("no pods returned by selector while calculating replica count".into());
    }
    let mut requests: BTreeMap<String, i64> = BTreeMap::new();
    for p in pods.all {
        requests.insert(p.name().to_owned(), request(p, resource, container)?);
    }
    let average = std::cell::Cell::new(None);
    let ratio = |m: &Metrics| {
        let known = m.iter().filter_map(|(n, m)| Some((m.value, *requests.get(n)?)));
        let (used, wanted, n) = known
            .fold((0i64, 0i64, 0i64), |(a, b, n), (u, r)| (a.saturating_add(u), b.saturating_add(r), n + 1));
        if wanted == 0 {
            return Err("no metrics returned matched known pods".to_owned());
        }
        let percent = used.saturating_mul(100) / wanted;
        if average.get().is_none() {
            average.set(Some(used / n.max(1)));
        }
        let percent = i32::try_from(percent).unwrap_or(i32::MAX);
        Ok((f64::from(percent) / f64::from(target), i64::from(percent)))
    };
    let fill =
        |n: &str| requests.get(n).copied().unwrap_or(0).saturating_mul(i64::from(target.max(100))) / 100;
    let (n, percent) = replicas(pods, metrics, current, resource == "cpu", tolerance, &ratio, &fill)?;
    Ok((n, i32::try_from(percent).unwrap_or(i32::MAX), average.get().unwrap_or(0)))
}

/// For an average value per pod. Answers replicas and the average.
pub fn average(
    pods: &Pods<'_>,
    metrics: Metrics,
    current: i32,
    target: i64,
    resource: &str,
    tolerance: Tolerance,
) -> Result<(i32, i64), String> {
    let ratio = |m: &Metrics| {
        let total = m.values().fold(0i64, |a, m| a.saturating_add(m.value));
        let mean = total / i64::try_from(m.len()).unwrap_or(1).max(1);
        Ok((mean as f64 / target as f64, mean))
    };
    replicas(pods, metrics, current, resource == "cpu", tolerance, &ratio, &|_| target)
}

/// For one value that all pods share, compared as it is.
pub fn value(
    pods: &Pods<'_>,
    current: i32,
    usage: i64,
    target: i64,
    tolerance: Tolerance,
) -> Result<i32, String> {
    let ratio = usage as f64 / target as f64;
    if current == 0 {
        return Ok(ceil(ratio));
    }
    if tolerance.covers(ratio) {
        return Ok(current);
    }
    let ready = pods.ready().map_err(|e| format!("unable to calculate ready pods: {e}"))?;
    Ok(ceil(ratio * ready as f64))
}

/// For one value that all pods share, divided among them. Answers replicas and the value per pod.
pub fn value_per_pod(replicas: i32, usage: i64, target: i64, tolerance: Tolerance) -> (i32, i64) {
    let ratio = usage as f64 / (target as f64 * f64::from(replicas));
    let n = if tolerance.covers(ratio) { replicas } else { ceil(usage as f64 / target as f64) };
    (n, (usage as f64 / f64::from(replicas)).ceil() as i64)
}

/// What a pod, or one container of it, requests.
fn request(p: &Pod, resource: &str, container: &str) -> Result<i64, String> {
    let Some(spec) = &p.spec else { return Ok(0) };
    let milli = |q: &crate::k8s::Quantity| Quantity::parse(&q.0).map_or(0, |q| q.milli_value());
    if container.is_empty() {
        let whole = spec.resources.as_ref().and_then(|r| r.requests.as_ref()?.get(resource));
        if let Some(q) = whole {
            let overhead = spec.overhead.as_ref().and_then(|o| o.get(resource)).map_or(0, milli);
            return Ok(milli(q).saturating_add(overhead));
        }
    }
    let sidecars =
        spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let of = |c: &Container| c.resources.as_ref().and_then(|r| r.requests.as_ref()?.get(resource)).map(milli);
    let mut total = 0i64;
    for c in spec.containers.iter().chain(sidecars) {
        if !container.is_empty() && c.name != container {
            continue;
        }
        let Some(q) = of(c) else {
            return Err(format!(
                "missing request for {resource} in container {} of Pod {}",
                c.name,
                p.name()
            ));
        };
        total = total.saturating_add(q);
        if c.name == container {
            return Ok(total);
        }
    }
    if container.is_empty() {
        Ok(total)
    } else {
        Err(format!("container {container} not found in Pod {}", p.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const EVEN: Tolerance = Tolerance { down: 0.1, up: 0.1 };

    fn pod(name: &str, phase: &str, ready: bool, request: Option<&str>) -> Pod {
        let requests = request.map_or(json!({}), |r| json!({"cpu": r}));
        serde_json::from_value(json!({"metadata": {"name": name},
            "spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]},
            "status": {"phase": phase, "startTime": "2024-01-01T00:00:00Z", "conditions": [
                {"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": "2024-01-01T00:01:00Z"}]}}))
        .unwrap()
    }
    fn at(s: &str) -> Timestamp {
        s.parse().unwrap()
    }
    fn pods(all: &[Pod]) -> Pods<'_> {
        Pods { all, now: at("2024-01-01T01:00:00Z"), cpu_initialization: 300, readiness_delay: 30 }
    }
    fn metrics(values: &[i64]) -> Metrics {
        let m = |v| Metric { value: v, at: at("2024-01-01T00:59:30Z"), window: 30 };
        values.iter().enumerate().map(|(i, v)| (format!("p{i}"), m(*v))).collect()
    }
    fn running(n: usize) -> Vec<Pod> {
        (0..n).map(|i| pod(&format!("p{i}"), "Running", true, Some("1"))).collect()
    }

    /// As upstream's tests of the replica calculator.
    #[test]
    fn utilizations() {
        let check = |all: Vec<Pod>,
                     values: &[i64],
                     current: i32,
                     target: i32,
                     want: Result<(i32, i32, i64), &str>| {
            let got = utilization(&pods(&all), metrics(values), current, target, "cpu", "", EVEN);
            assert_eq!(got, want.map_err(str::to_owned));
        };
        check(running(3), &[300, 500, 700], 3, 30, Ok((5, 50, 500)));
        check(running(5), &[100, 300, 500, 250, 250], 5, 50, Ok((3, 28, 280)));
        check(running(3), &[1010, 1030, 1020], 3, 100, Ok((3, 102, 1020)));
        // One that is pending counts as idle when growing.
        let mut some = running(2);
        some.push(pod("p2", "Pending", false, Some("1")));
        check(some, &[500, 700], 3, 30, Ok((4, 60, 600)));
        // One without a metric counts as idle when growing, as busy when shrinking.
        check(running(3), &[500, 700], 3, 30, Ok((4, 60, 600)));
        check(running(4), &[400, 100, 100], 4, 50, Ok((4, 20, 200)));
        let mut gone = running(3);
        gone[2].status.as_mut().unwrap().phase = Some("Failed".into());
        check(gone, &[500, 700, 900], 3, 30, Ok((4, 60, 600)));
        check(vec![], &[], 3, 30, Err("no pods returned by selector while calculating replica count"));
        check(
            running(1),
            &[],
            1,
            30,
            Err("did not receive metrics for targeted pods (pods might be unready)"),
        );
        check(
            vec![pod("p0", "Running", true, None)],
            &[5],
            1,
            30,
            Err("missing request for cpu in container c of Pod p0"),
        );
    }

    #[test]
    fn warming_up() {
        let young = |ready: bool, changed: &str| {
            let mut p = pod("p0", "Running", ready, Some("1"));
            let s = p.status.as_mut().unwrap();
            s.start_time = Some(crate::k8s::Time(at("2024-01-01T00:58:00Z")));
            s.conditions.as_mut().unwrap()[0].last_transition_time = Some(crate::k8s::Time(at(changed)));
            pods(&[]).warms_up(&p, &metrics(&[1])["p0"])
        };
        assert!(young(false, "2024-01-01T00:58:10Z"));
        assert!(young(true, "2024-01-01T00:59:10Z"), "the metric is from before it was ready");
        assert!(!young(true, "2024-01-01T00:58:50Z"));
        let mut old = pod("p0", "Running", false, Some("1"));
        assert!(!pods(&[]).warms_up(&old, &metrics(&[1])["p0"]), "was ready once");
        old.status.as_mut().unwrap().conditions.as_mut().unwrap()[0].last_transition_time =
            Some(crate::k8s::Time(at("2024-01-01T00:00:10Z")));
        assert!(pods(&[]).warms_up(&old, &metrics(&[1])["p0"]), "never was");
    }

    #[test]
    fn values() {
        assert_eq!(
            average(&pods(&running(3)), metrics(&[20000, 10000, 30000]), 3, 15000, "", EVEN),
            Ok((4, 20000))
        );
        assert_eq!(average(&pods(&running(2)), metrics(&[10000]), 2, 20000, "", EVEN), Ok((2, 10000)));
        assert_eq!(value(&pods(&running(3)), 3, 20000, 15000, EVEN), Ok(4));
        assert_eq!(value(&pods(&running(3)), 3, 15100, 15000, EVEN), Ok(3));
        assert_eq!(value(&pods(&[]), 0, 20000, 15000, EVEN), Ok(2));
        assert_eq!(value_per_pod(4, 14000, 2000, EVEN), (7, 3500));
        assert_eq!(value_per_pod(4, 8100, 2000, EVEN), (4, 2025));
    }

    #[test]
    fn requests() {
        let p: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "100m"}}}, {"name": "b", "resources": {"requests": {"cpu": "2"}}}],
            "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "9"}}},
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}]}}))
        .unwrap();
        assert_eq!(request(&p, "cpu", ""), Ok(3100));
        assert_eq!(request(&p, "cpu", "b"), Ok(2000));
        assert_eq!(request(&p, "cpu", "s"), Ok(1000));
        assert_eq!(request(&p, "cpu", "x"), Err("container x not found in Pod p".into()));
        let mut whole: Value = serde_json::to_value(&p).unwrap();
        whole["spec"]["resources"] = json!({"requests": {"cpu": "4"}});
        whole["spec"]["overhead"] = json!({"cpu": "50m"});
        assert_eq!(request(&serde_json::from_value(whole).unwrap(), "cpu", ""), Ok(4050));
    }
}

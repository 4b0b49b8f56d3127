//! HorizontalPodAutoscalers: as many replicas as metrics ask for (upstream `pkg/controller/podautoscaler`).

mod behavior;
mod calc;
mod evaluate;
mod metrics;
mod status;

use crate::context::{Ctx, Error};
use crate::k8s::autoscaling::{HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricStatus};
use crate::k8s::core::Pod;
use crate::util::discovery::{Resource, discover};
use crate::util::meta::{MetaExt, matches};
use crate::util::{wake, written::Written};
use behavior::{Input, Memory};
use client::{Event, Informer, Key, Outcome, Queue, run_workers};
use evaluate::Target;
use http::Method;
use meta::object::ObjectExt;
use meta::selector::Selector;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

struct Controller {
    ctx: Ctx,
    hpas: Informer<HorizontalPodAutoscaler>,
    pods: Informer<Pod>,
    written: Written,
    memory: Mutex<HashMap<Key, Memory>>,
    /// What each autoscaler's target selects, to notice when two want the same pods.
    selectors: Mutex<HashMap<Key, Selector>>,
}

pub async fn run(ctx: Ctx) {
    let (hpas, pods) = (ctx.informer::<HorizontalPodAutoscaler>(), ctx.informer::<Pod>());
    let queue: Queue<Key> = Queue::new();
    hpas.synced().await;
    pods.synced().await;
    let rt = ctx.rt.clone();
    let every = ctx.config.hpa.sync_period;
    wake::on_event(&rt, hpas.raw(), {
        let queue = queue.clone();
        move |e| match e {
            Event::Updated { old, new } if old.header.generation == new.header.generation => {
                queue.add_after(e.key(), every);
            }
            _ => queue.add(e.key()),
        }
    });
    let me = Arc::new(Controller {
        ctx,
        hpas,
        pods,
        written: Written::default(),
        memory: Mutex::default(),
        selectors: Mutex::default(),
    });
    run_workers(&rt, me.ctx.name, 5, &queue, move |key| {
        let me = me.clone();
        async move {
            let Some(hpa) = me.hpas.get(&key.namespace, &key.name) else {
                me.forget(&key);
                return Ok::<_, Error>(Outcome::Done);
            };
            if !me.written.seen(&key, me.hpas.raw()) {
                return Ok(Outcome::After(Duration::from_secs(1)));
            }
            if let Err(e) = me.reconcile(&key, hpa).await {
                tracing::debug!(%key, "autoscaling failed: {e}");
            }
            // In any case again: that is how often metrics are asked for.
            Ok(Outcome::After(every))
        }
    });
    rt.stopping().await;
}

/// The scale of a target, as its subresource has it.
struct Scale {
    path: String,
    body: Value,
}

impl Scale {
    fn replicas(&self, path: &str) -> i32 {
        self.body.i64_at(path).and_then(|n| i32::try_from(n).ok()).unwrap_or(0)
    }
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Controller {
    fn forget(&self, key: &Key) {
        self.written.forget(key);
        lock(&self.memory).remove(key);
        lock(&self.selectors).remove(key);
    }
    fn remember<T>(&self, key: &Key, f: impl FnOnce(&mut Memory) -> T) -> T {
        f(lock(&self.memory).entry(key.clone()).or_default())
    }

    /// The resource of a kind, built in or not.
    async fn resource_of(&self, group: &str, kind: &str) -> Result<Resource, Error> {
        let built_in = schema::resources().iter().find(|r| {
            r.group == group && r.kind == kind && !r.version.contains("alpha") && !r.version.contains("beta")
        });
        if let Some(r) = built_in {
            return Ok(Resource {
                group: group.into(),
                version: r.version.into(),
                resource: r.resource.into(),
                kind: kind.into(),
                namespaced: r.namespaced,
                verbs: Vec::new(),
                subresources: Vec::new(),
            });
        }
        let all = discover(&self.ctx.client).await?.resources.into_iter();
        all.into_iter()
            .find(|r| r.group == group && r.kind == kind)
            .ok_or_else(|| Error::other(format!("no matches for kind {kind:?} in group {group:?}")))
    }

    async fn scale(
        &self,
        hpa: &HorizontalPodAutoscaler,
        spec: &HorizontalPodAutoscalerSpec,
    ) -> Result<Scale, Error> {
        let t = &spec.scale_target_ref;
        let group = t.api_version.as_deref().and_then(|v| v.rsplit_once('/')).map_or("", |(g, _)| g);
        let r = self.resource_of(group, &t.kind).await?;
        let path = format!("{}/scale", r.path(hpa.namespace(), &t.name));
        let body = self.ctx.client.request(Method::GET, &path, None).await?;
        Ok(Scale { path, body })
    }

    /// Sets the replicas; where others have changed the target meanwhile, again.
    async fn rescale(&self, scale: &mut Scale, replicas: i32) -> Result<(), client::Error> {
        for attempt in 0.. {
            scale.body.set_at("spec.replicas", replicas);
            match self.ctx.client.request(Method::PUT, &scale.path, Some(&scale.body)).await {
                Err(e) if e.is_conflict() && attempt < 4 => {
                    scale.body = self.ctx.client.request(Method::GET, &scale.path, None).await?;
                }
                other => return other.map(drop),
            }
        }
        Ok(())
    }

    async fn reconcile(&self, key: &Key, hpa: HorizontalPodAutoscaler) -> Result<(), Error> {
        let spec = hpa.spec.clone();
        let mut s = status::Status::of(&hpa, self.ctx.now());
        let reference =
            format!("{}/{}/{}", spec.scale_target_ref.kind, key.namespace, spec.scale_target_ref.name);
        let mut scale = match self.scale(&hpa, &spec).await {
            Ok(scale) => scale,
            Err(e) => {
                self.ctx.events.warning(&hpa, "FailedGetScale", e.to_string());
                let text = format!("the HPA controller was unable to get the target's current scale: {e}");
                s.condition("AbleToScale", false, "FailedGetScale", text);
                self.write(key, &hpa, s).await?;
                return Err(Error::other(format!("failed to query scale subresource for {reference}: {e}")));
            }
        };
        let text = "the HPA controller was able to get the target's current scale";
        s.condition("AbleToScale", true, "SucceededGetScale", text);
        let current = scale.replicas("spec.replicas");
        self.remember(key, |m| m.begin(current, self.ctx.now()));
        let decided = self.decide(key, &hpa, &spec, &scale, current, &mut s).await;
        let decided = match decided {
            Ok(d) => d,
            Err((e, metrics)) => {
                let desired = s.desired();
                s.counts(current, desired, metrics, false);
                self.write(key, &hpa, s).await?;
                self.ctx.events.warning(&hpa, "FailedComputeMetricsReplicas", e.clone());
                return Err(Error::other(format!(
                    "failed to compute desired number of replicas based on listed metrics for {reference}: {e}"
                )));
            }
        };
        let Decided { desired, reason, metrics, rescale } = decided;
        if rescale {
            if let Err(e) = self.rescale(&mut scale, desired).await {
                let text = format!("New size: {desired}; reason: {reason}; error: {e}");
                self.ctx.events.warning(&hpa, "FailedRescale", text);
                let text = format!("the HPA controller was unable to update the target scale: {e}");
                s.condition("AbleToScale", false, "FailedUpdateScale", text);
                let was = s.desired();
                s.counts(current, was, metrics, false);
                self.write(key, &hpa, s).await?;
                return Err(Error::other(format!("failed to rescale {reference}: {e}")));
            }
            let text = format!("the HPA controller was able to update the target scale to {desired}");
            s.condition("AbleToScale", true, "SucceededRescale", text);
            self.ctx.events.normal(
                &hpa,
                "SuccessfulRescale",
                format!("New size: {desired}; reason: {reason}"),
            );
            self.remember(key, |m| m.scaled(spec.behavior.as_ref(), current, desired, self.ctx.now()));
            if current > 0 && desired == 0 && min_replicas(&spec) == 0 && status::scales_to_zero(&spec) {
                s.condition(
                    "ScaledToZero",
                    true,
                    "ScaledToZero",
                    "the HPA controller scaled the workload to zero",
                );
            } else {
                let text = "the HPA controller did not scale the workload to zero";
                s.condition("ScaledToZero", false, "NotScaledToZero", text);
            }
        }
        s.counts(current, if rescale { desired } else { current }, metrics, rescale);
        self.write(key, &hpa, s).await
    }

    async fn decide(
        &self,
        key: &Key,
        hpa: &HorizontalPodAutoscaler,
        spec: &HorizontalPodAutoscalerSpec,
        scale: &Scale,
        current: i32,
        s: &mut status::Status,
    ) -> Result<Decided, (String, Vec<MetricStatus>)> {
        let min = min_replicas(spec);
        let at_zero = s.is_scaled_to_zero();
        let fixed = |desired, reason: &str, rescale| {
            Ok(Decided { desired, reason: reason.into(), metrics: Vec::new(), rescale })
        };
        if current == 0 {
            // Only what we have scaled to zero do we wake.
            if !(at_zero && (min != 0 || status::scales_to_zero(spec))) {
                let text = "scaling is disabled since the replica count of the target is zero";
                s.condition("ScalingActive", false, "ScalingDisabled", text);
                return fixed(0, "", false);
            }
        } else if current > spec.max_replicas {
            return fixed(spec.max_replicas, "Current number of replicas above Spec.MaxReplicas", true);
        } else if current < min {
            return fixed(min, "Current number of replicas below Spec.MinReplicas", true);
        }
        let (asked, name, metrics) = self.ask(key, hpa, spec, scale, s).await?;
        let mut desired = asked.max(0);
        let mut reason = match desired.cmp(&current) {
            std::cmp::Ordering::Greater => format!("{name} above target"),
            std::cmp::Ordering::Less => "All metrics below target".into(),
            std::cmp::Ordering::Equal => String::new(),
        };
        let window = i64::try_from(self.ctx.config.hpa.downscale_stabilization.as_secs()).unwrap_or(i64::MAX);
        let input = Input {
            current,
            desired,
            min,
            max: spec.max_replicas,
            behavior: spec.behavior.as_ref(),
            downscale_window: window,
            now: self.ctx.now(),
        };
        let out = self.remember(key, |m| m.normalize(&input));
        s.condition("AbleToScale", true, out.able.0, out.able.1);
        s.condition("ScalingLimited", out.limited, out.limit.0, out.limit.1);
        desired = out.replicas;
        if current == 0 && min != 0 && at_zero && desired < min {
            desired = min;
            if reason.is_empty() {
                reason = "Current number of replicas below Spec.MinReplicas".into();
            }
        }
        Ok(Decided { desired, reason, metrics, rescale: desired != current })
    }

    /// The most that any metric asks for, and its name. Where one cannot be had, nothing is taken away.
    async fn ask(
        &self,
        key: &Key,
        hpa: &HorizontalPodAutoscaler,
        spec: &HorizontalPodAutoscalerSpec,
        scale: &Scale,
        s: &mut status::Status,
    ) -> Result<(i32, String, Vec<MetricStatus>), (String, Vec<MetricStatus>)> {
        let text = scale.body.str_at("status.selector");
        let pods = self.selected(key, hpa, text, s).map_err(|e| (e, Vec::new()))?;
        let target = Target {
            spec_replicas: scale.replicas("spec.replicas"),
            status_replicas: scale.replicas("status.replicas"),
            selector: text,
            pods: &pods,
        };
        let specs = spec.metrics.as_deref().unwrap_or_default();
        let (mut most, mut name, mut statuses, mut failures) = (0, String::new(), Vec::new(), Vec::new());
        for m in specs {
            match self.evaluate(hpa, m, &target).await {
                Ok(p) => {
                    if most == 0 || p.replicas > most {
                        (most, name) = (p.replicas, p.name);
                    }
                    statuses.push(p.status);
                }
                Err(f) => {
                    self.ctx.events.warning(hpa, f.reason, f.inner.clone());
                    statuses.push(MetricStatus::default());
                    failures.push(f);
                }
            }
        }
        // A status without a type is no status.
        statuses.retain(|s| !s.type_.is_empty());
        if let Some(first) = failures.first()
            && (failures.len() >= specs.len() || most < target.spec_replicas)
        {
            let text = format!("the HPA was unable to compute the replica count: {}", first.inner);
            s.condition("ScalingActive", false, first.reason, text);
            let e = format!(
                "invalid metrics ({} invalid out of {}), first error is: {}",
                failures.len(),
                specs.len(),
                first.text
            );
            return Err((e, statuses));
        }
        let text = format!("the HPA was able to successfully calculate a replica count from {name}");
        s.condition("ScalingActive", true, "ValidMetricFound", text);
        Ok((most, name, statuses))
    }

    /// The pods of the target, unless another autoscaler wants them too.
    fn selected(
        &self,
        key: &Key,
        hpa: &HorizontalPodAutoscaler,
        text: &str,
        s: &mut status::Status,
    ) -> Result<Vec<Pod>, String> {
        let refuse = |s: &mut status::Status, event: &str, reason: &str, message: &str, condition: &str| {
            self.ctx.events.warning(hpa, event, message);
            s.condition("ScalingActive", false, reason, condition);
            Err(message.to_owned())
        };
        if text.is_empty() {
            let why = "the HPA target's scale is missing a selector";
            return refuse(s, "SelectorRequired", "InvalidSelector", "selector is required", why);
        }
        let selector = match Selector::parse(text) {
            Ok(x) => x,
            Err(e) => {
                let why =
                    format!("couldn't convert selector into a corresponding internal selector object: {e}");
                return refuse(s, "InvalidSelector", "InvalidSelector", &why, &why);
            }
        };
        let pods = self.pods.select(hpa.namespace(), &selector);
        let mut all = lock(&self.selectors);
        all.insert(key.clone(), selector);
        let mut rivals: Vec<String> = all
            .iter()
            .filter(|(k, x)| k.namespace == key.namespace && pods.iter().any(|p| matches(x, p.labels())))
            .map(|(k, _)| k.to_string())
            .collect();
        drop(all);
        if rivals.len() > 1 {
            rivals.sort_unstable();
            rivals.truncate(2);
            let why = format!(
                "pods by selector {text} are controlled by more than one HPA (e.g. [{}])",
                rivals.join(" ")
            );
            return refuse(s, "AmbiguousSelector", "AmbiguousSelector", &why, &why);
        }
        Ok(pods)
    }

    async fn write(&self, key: &Key, hpa: &HorizontalPodAutoscaler, s: status::Status) -> Result<(), Error> {
        let Some(new) = s.changed(hpa) else { return Ok(()) };
        match self.ctx.client.replace_status(&new).await {
            Ok(n) => {
                self.written.wrote(key, n.version());
                Ok(())
            }
            Err(e) => {
                self.ctx.events.warning(hpa, "FailedUpdateStatus", e.to_string());
                Err(Error::other(format!("failed to update status for {}: {e}", hpa.name())))
            }
        }
    }
}

struct Decided {
    desired: i32,
    reason: String,
    metrics: Vec<MetricStatus>,
    rescale: bool,
}

fn min_replicas(spec: &HorizontalPodAutoscalerSpec) -> i32 {
    spec.min_replicas.unwrap_or(1)
}

#[cfg(test)]
mod tests;

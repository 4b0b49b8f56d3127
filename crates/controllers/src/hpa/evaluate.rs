//! What each metric of an autoscaler asks for, and what its status says about it.

use super::calc::{self, Tolerance};
use super::{Controller, metrics};
use crate::k8s::autoscaling::{
    ContainerResourceMetricStatus, ExternalMetricStatus, HorizontalPodAutoscaler, MetricIdentifier,
    MetricSpec, MetricStatus, MetricTarget, MetricValueStatus, ObjectMetricStatus, PodsMetricStatus,
    ResourceMetricStatus,
};
use crate::k8s::core::Pod;
use crate::k8s::{LabelSelector, Quantity};
use crate::util::meta::{MetaExt, selector};
use meta::quantity::{self, Format};

/// A reason for the condition, and the failure.
pub struct Failure {
    pub reason: &'static str,
    pub inner: String,
    pub text: String,
}

pub struct Proposal {
    pub replicas: i32,
    /// What the metric is called in events.
    pub name: String,
    pub status: MetricStatus,
}

/// The target of an autoscaler as it is.
pub struct Target<'a> {
    pub spec_replicas: i32,
    pub status_replicas: i32,
    pub selector: &'a str,
    pub pods: &'a [Pod],
}

fn decimal(milli: i64) -> Option<Quantity> {
    Some(Quantity(quantity::Quantity::from_milli(milli, Format::DecimalSi).to_string()))
}
fn of_resource(name: &str, milli: i64) -> Option<Quantity> {
    let format = if name == "memory" { Format::BinarySi } else { Format::DecimalSi };
    Some(Quantity(quantity::Quantity::from_milli(milli, format).to_string()))
}
fn milli(q: &Quantity) -> i64 {
    quantity::Quantity::parse(&q.0).map_or(0, |q| q.milli_value())
}
fn text(s: Option<&LabelSelector>) -> Result<String, String> {
    match s {
        None => Ok(String::new()),
        Some(_) => Ok(selector(s)?.to_string()),
    }
}

impl Controller {
    pub(super) fn tolerance(&self, hpa: &HorizontalPodAutoscaler) -> Tolerance {
        let default = self.ctx.config.hpa.tolerance;
        let of = |r: Option<&crate::k8s::autoscaling::HPAScalingRules>| {
            let q = r.and_then(|r| r.tolerance.as_ref()).and_then(|q| quantity::Quantity::parse(&q.0).ok());
            q.map_or(default, |q| q.as_f64())
        };
        let b = hpa.spec.behavior.as_ref();
        Tolerance {
            down: of(b.and_then(|b| b.scale_down.as_ref())),
            up: of(b.and_then(|b| b.scale_up.as_ref())),
        }
    }

    fn pods<'a>(&self, t: &Target<'a>) -> calc::Pods<'a> {
        let secs = |d: std::time::Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
        let c = &self.ctx.config.hpa;
        calc::Pods {
            all: t.pods,
            now: self.ctx.now(),
            cpu_initialization: secs(c.cpu_initialization),
            readiness_delay: secs(c.initial_readiness_delay),
        }
    }

    pub(super) async fn evaluate(
        &self,
        hpa: &HorizontalPodAutoscaler,
        m: &MetricSpec,
        t: &Target<'_>,
    ) -> Result<Proposal, Failure> {
        let fail = |reason, prefix: String| {
            move |inner: String| Failure { reason, text: format!("{prefix}: {inner}"), inner }
        };
        let status = MetricStatus { type_: m.type_.clone(), ..MetricStatus::default() };
        match m.type_.as_str() {
            "Resource" if m.resource.is_some() => {
                let Some(r) = &m.resource else { return Err(unknown(&m.type_)) };
                let (replicas, current, name) =
                    self.resource(hpa, &r.target, &r.name, "", t).await.map_err(fail(
                        "FailedGetResourceMetric",
                        format!("failed to get {} resource metric value", r.name),
                    ))?;
                let resource = Some(ResourceMetricStatus { name: r.name.clone(), current });
                Ok(Proposal { replicas, name, status: MetricStatus { resource, ..status } })
            }
            "ContainerResource" if m.container_resource.is_some() => {
                let Some(r) = &m.container_resource else { return Err(unknown(&m.type_)) };
                let (replicas, current, name) =
                    self.resource(hpa, &r.target, &r.name, &r.container, t).await.map_err(fail(
                        "FailedGetContainerResourceMetric",
                        format!("failed to get {} container metric value", r.container),
                    ))?;
                let container_resource = Some(ContainerResourceMetricStatus {
                    name: r.name.clone(),
                    container: r.container.clone(),
                    current,
                });
                Ok(Proposal { replicas, name, status: MetricStatus { container_resource, ..status } })
            }
            "Pods" if m.pods.is_some() => {
                let Some(p) = &m.pods else { return Err(unknown(&m.type_)) };
                let (replicas, current) = self
                    .per_pod(hpa, &p.metric, &p.target, t)
                    .await
                    .map_err(fail("FailedGetPodsMetric", "failed to get pods metric value".into()))?;
                let name = format!("pods metric {}", p.metric.name);
                let pods = Some(PodsMetricStatus { metric: p.metric.clone(), current });
                Ok(Proposal { replicas, name, status: MetricStatus { pods, ..status } })
            }
            "Object" if m.object.is_some() => {
                let Some(o) = &m.object else { return Err(unknown(&m.type_)) };
                let (replicas, current) = self
                    .object(hpa, o, t)
                    .await
                    .map_err(fail("FailedGetObjectMetric", "failed to get object metric value".into()))?;
                let name = format!("{} metric {}", o.described_object.kind, o.metric.name);
                let object = Some(ObjectMetricStatus {
                    metric: o.metric.clone(),
                    described_object: o.described_object.clone(),
                    current,
                });
                Ok(Proposal { replicas, name, status: MetricStatus { object, ..status } })
            }
            "External" if m.external.is_some() => {
                let Some(e) = &m.external else { return Err(unknown(&m.type_)) };
                let (replicas, current) = self.external(hpa, &e.metric, &e.target, t).await.map_err(fail(
                    "FailedGetExternalMetric",
                    format!("failed to get {} external metric value", e.metric.name),
                ))?;
                let name = format!("external metric {}({})", e.metric.name, go(e.metric.selector.as_ref()));
                let external = Some(ExternalMetricStatus { metric: e.metric.clone(), current });
                Ok(Proposal { replicas, name, status: MetricStatus { external, ..status } })
            }
            other => Err(unknown(other)),
        }
    }

    async fn resource(
        &self,
        hpa: &HorizontalPodAutoscaler,
        target: &MetricTarget,
        name: &str,
        container: &str,
        t: &Target<'_>,
    ) -> Result<(i32, MetricValueStatus, String), String> {
        let what = if target.average_value.is_some() { "usage" } else { "utilization" };
        let utilization = match (target.average_value.as_ref(), target.average_utilization) {
            (None, None) => {
                return Err("invalid resource metric source: neither an average utilization target nor an average value (usage) target was set".into());
            }
            (_, u) => u.unwrap_or(0),
        };
        let wrap = |e: String| format!("failed to get {name} {what}: {e}");
        let metrics = metrics::resource(&self.ctx.client, hpa.namespace(), t.selector, name, container)
            .await
            .map_err(|e| wrap(format!("unable to get metrics for resource {name}: {e}")))?;
        let (pods, tolerance, current) = (self.pods(t), self.tolerance(hpa), t.spec_replicas);
        if let Some(q) = &target.average_value {
            let (n, used) =
                calc::average(&pods, metrics, current, milli(q), name, tolerance).map_err(wrap)?;
            let status =
                MetricValueStatus { average_value: of_resource(name, used), ..MetricValueStatus::default() };
            return Ok((n, status, format!("{name} resource")));
        }
        let (n, percent, used) =
            calc::utilization(&pods, metrics, current, utilization, name, container, tolerance)
                .map_err(wrap)?;
        let status = MetricValueStatus {
            average_utilization: Some(percent),
            average_value: of_resource(name, used),
            value: None,
        };
        let kind = if container.is_empty() { "" } else { "container " };
        Ok((n, status, format!("{name} {kind}resource utilization (percentage of request)")))
    }

    async fn per_pod(
        &self,
        hpa: &HorizontalPodAutoscaler,
        metric: &MetricIdentifier,
        target: &MetricTarget,
        t: &Target<'_>,
    ) -> Result<(i32, MetricValueStatus), String> {
        let labels = text(metric.selector.as_ref())?;
        let metrics = metrics::pods(&self.ctx.client, hpa.namespace(), t.selector, &metric.name, &labels)
            .await
            .map_err(|e| format!("unable to get metric {}: {e}", metric.name))?;
        let want = target.average_value.as_ref().map_or(0, milli);
        let (n, used) =
            calc::average(&self.pods(t), metrics, t.spec_replicas, want, "", self.tolerance(hpa))?;
        Ok((n, MetricValueStatus { average_value: decimal(used), ..MetricValueStatus::default() }))
    }

    async fn object(
        &self,
        hpa: &HorizontalPodAutoscaler,
        o: &crate::k8s::autoscaling::ObjectMetricSource,
        t: &Target<'_>,
    ) -> Result<(i32, MetricValueStatus), String> {
        let d = &o.described_object;
        let labels = text(o.metric.selector.as_ref())?;
        let usage = async {
            let group = d.api_version.as_deref().and_then(|v| v.rsplit_once('/')).map_or("", |(g, _)| g);
            let resource = if group.is_empty() && d.kind == "Namespace" {
                String::new()
            } else {
                let r = self.resource_of(group, &d.kind).await.map_err(|e| e.to_string())?;
                if group.is_empty() { r.resource } else { r.dotted() }
            };
            metrics::object(&self.ctx.client, hpa.namespace(), &resource, &d.name, &o.metric.name, &labels)
                .await
        };
        let usage = usage.await.map_err(|e| {
            format!(
                "unable to get metric {} on {} {}/{}: {e}",
                o.metric.name,
                d.kind,
                hpa.namespace(),
                d.name
            )
        });
        match (o.target.type_.as_str(), &o.target.value, &o.target.average_value) {
            ("Value", Some(q), _) => {
                let usage = usage?;
                let n = calc::value(&self.pods(t), t.spec_replicas, usage, milli(q), self.tolerance(hpa))?;
                Ok((n, MetricValueStatus { value: decimal(usage), ..MetricValueStatus::default() }))
            }
            ("AverageValue", _, Some(q)) => {
                let usage =
                    usage.map_err(|e| format!("failed to get {} object metric: {e}", o.metric.name))?;
                let (n, each) = calc::value_per_pod(t.status_replicas, usage, milli(q), self.tolerance(hpa));
                Ok((n, MetricValueStatus { average_value: decimal(each), ..MetricValueStatus::default() }))
            }
            _ => Err(
                "invalid object metric source: neither a value target nor an average value target was set"
                    .into(),
            ),
        }
    }

    async fn external(
        &self,
        hpa: &HorizontalPodAutoscaler,
        metric: &MetricIdentifier,
        target: &MetricTarget,
        t: &Target<'_>,
    ) -> Result<(i32, MetricValueStatus), String> {
        if target.average_value.is_none() && target.value.is_none() {
            return Err(
                "invalid external metric source: neither a value target nor an average value target was set"
                    .into(),
            );
        }
        let labels = text(metric.selector.as_ref())?;
        let usage = metrics::external(&self.ctx.client, hpa.namespace(), &metric.name, &labels)
            .await
            .map_err(|e| {
                let what = format!(
                    "unable to get external metric {}/{}/{}: {e}",
                    hpa.namespace(),
                    metric.name,
                    go(metric.selector.as_ref())
                );
                format!("failed to get {} external metric: {what}", metric.name)
            })?;
        if let Some(q) = &target.average_value {
            let (n, each) = calc::value_per_pod(t.status_replicas, usage, milli(q), self.tolerance(hpa));
            return Ok((
                n,
                MetricValueStatus { average_value: decimal(each), ..MetricValueStatus::default() },
            ));
        }
        let want = target.value.as_ref().map_or(0, milli);
        let n = calc::value(&self.pods(t), t.spec_replicas, usage, want, self.tolerance(hpa))
            .map_err(|e| format!("failed to get external metric {}: {e}", metric.name))?;
        Ok((n, MetricValueStatus { value: decimal(usage), ..MetricValueStatus::default() }))
    }
}

fn unknown(kind: &str) -> Failure {
    let text = format!("unknown metric source type {kind:?}");
    Failure { reason: "InvalidMetricSourceType", inner: text.clone(), text }
}

/// A selector as Go prints the struct.
fn go(s: Option<&LabelSelector>) -> String {
    let Some(s) = s else { return "nil".into() };
    let labels: Vec<String> = s.match_labels.iter().flatten().map(|(k, v)| format!("{k}: {v},")).collect();
    let expressions: Vec<String> = s
        .match_expressions
        .iter()
        .flatten()
        .map(|e| {
            let values = e.values.as_deref().unwrap_or_default().join(" ");
            format!("{{{} {} [{values}]}}", e.key, e.operator)
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{}}},MatchExpressions:[]LabelSelectorRequirement{{{}}},}}",
        labels.concat(),
        expressions.concat()
    )
}

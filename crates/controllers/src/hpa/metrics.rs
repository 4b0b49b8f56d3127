//! Asks the metrics APIs: what pods use, what is measured about them or other objects, and what is measured elsewhere.

use super::calc::{Metric, Metrics};
use crate::k8s::Timestamp;
use client::Client;
use client::url::{escape_segment, with_query};
use http::Method;
use meta::object::ObjectExt;
use meta::quantity::Quantity;
use serde_json::Value;

/// Over how long a custom metric is measured that does not say.
const WINDOW: i64 = 60;

fn milli(v: &Value) -> i64 {
    v.as_str().and_then(|s| Quantity::parse(s).ok()).map_or(0, |q| q.milli_value())
}
fn time(v: &Value) -> Timestamp {
    v.as_str().and_then(|s| s.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}
fn seconds(v: &Value) -> i64 {
    let d = v.as_str().and_then(|s| crate::util::cron::duration(s).ok());
    d.and_then(|d| i64::try_from(d.as_secs()).ok()).unwrap_or(0)
}

/// The first of the versions that is served.
async fn get(c: &Client, group: &str, versions: &[&str], rest: &str) -> Result<Value, client::Error> {
    let mut result = Ok(Value::Null);
    for v in versions {
        result = c.request(Method::GET, &format!("/apis/{group}/{v}/{rest}"), None).await;
        match &result {
            Err(e) if e.is_not_found() => {}
            _ => break,
        }
    }
    result
}

/// What the pods of a selector use of a resource, all their containers or one.
pub async fn resource(
    c: &Client,
    namespace: &str,
    selector: &str,
    resource: &str,
    container: &str,
) -> Result<Metrics, String> {
    let path =
        with_query(format!("namespaces/{}/pods", escape_segment(namespace)), &[("labelSelector", selector)]);
    let v = get(c, "metrics.k8s.io", &["v1", "v1beta1"], &path).await;
    let v = v.map_err(|e| format!("unable to fetch metrics from resource metrics API: {e}"))?;
    let items = v.array_at("items");
    if items.is_empty() {
        return Err("no metrics returned from resource metrics API".into());
    }
    Ok(items.iter().filter_map(|m| Some((m.name().to_owned(), of_pod(m, resource, container)?))).collect())
}

fn of_pod(m: &Value, resource: &str, container: &str) -> Option<Metric> {
    let containers = m.array_at("containers");
    let used = |c: &Value| c["usage"].get(resource).map(milli);
    let value = if container.is_empty() {
        if containers.is_empty() {
            return None;
        }
        containers.iter().map(used).try_fold(0i64, |a, v| Some(a.saturating_add(v?)))?
    } else {
        used(containers.iter().find(|c| c.str_at("name") == container)?)?
    };
    Some(Metric { value, at: time(&m["timestamp"]), window: seconds(&m["window"]) })
}

const CUSTOM: (&str, &[&str]) = ("custom.metrics.k8s.io", &["v1beta2", "v1beta1"]);

/// A metric of each pod of a selector.
pub async fn pods(
    c: &Client,
    namespace: &str,
    selector: &str,
    metric: &str,
    metric_selector: &str,
) -> Result<Metrics, String> {
    let path = format!("namespaces/{}/pods/*/{}", escape_segment(namespace), escape_segment(metric));
    let path = with_query(path, &[("labelSelector", selector), ("metricLabelSelector", metric_selector)]);
    let v = get(c, CUSTOM.0, CUSTOM.1, &path).await;
    let v = v.map_err(|e| format!("unable to fetch metrics from custom metrics API: {e}"))?;
    let items = v.array_at("items");
    if items.is_empty() {
        return Err("no metrics returned from custom metrics API".into());
    }
    let one = |m: &Value| {
        let window = m["windowSeconds"].as_i64().unwrap_or(WINDOW);
        (
            m.str_at("describedObject.name").to_owned(),
            Metric { value: milli(&m["value"]), at: time(&m["timestamp"]), window },
        )
    };
    Ok(items.iter().map(one).collect())
}

/// A metric of one object; `resource` is its plural name with its group, empty for the namespace itself.
pub async fn object(
    c: &Client,
    namespace: &str,
    resource: &str,
    name: &str,
    metric: &str,
    metric_selector: &str,
) -> Result<i64, String> {
    let (ns, metric) = (escape_segment(namespace), escape_segment(metric));
    let path = match resource {
        "" => format!("namespaces/{ns}/metrics/{metric}"),
        r => format!("namespaces/{ns}/{r}/{}/{metric}", escape_segment(name)),
    };
    let path = with_query(path, &[("metricLabelSelector", metric_selector)]);
    let v = get(c, CUSTOM.0, CUSTOM.1, &path).await;
    let v = v.map_err(|e| format!("unable to fetch metrics from custom metrics API: {e}"))?;
    match v.array_at("items") {
        [one] => Ok(milli(&one["value"])),
        all => Err(format!(
            "unable to fetch metrics from custom metrics API: the custom metrics API server returned {} results when we asked for exactly one",
            all.len()
        )),
    }
}

/// The sum of a metric from outside.
pub async fn external(c: &Client, namespace: &str, metric: &str, selector: &str) -> Result<i64, String> {
    let path = format!("namespaces/{}/{}", escape_segment(namespace), escape_segment(metric));
    let path = with_query(path, &[("labelSelector", selector)]);
    let v = get(c, "external.metrics.k8s.io", &["v1beta1"], &path).await;
    let v = v.map_err(|e| format!("unable to fetch metrics from external metrics API: {e}"))?;
    let items = v.array_at("items");
    if items.is_empty() {
        return Err("no metrics returned from external metrics API".into());
    }
    Ok(items.iter().map(|m| milli(&m["value"])).fold(0, i64::saturating_add))
}

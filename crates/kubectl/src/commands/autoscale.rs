//! `autoscale`: a HorizontalPodAutoscaler for an object.

use super::create;
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use crate::objects;
use serde_json::{Value, json};

super::commands! {
    "autoscale" "(-f FILENAME | TYPE NAME) [--min=MINPODS] --max=MAXPODS [--cpu=TARGET]"
        "Autoscale a deployment, replica set, stateful set, or replication controller\n\nMakes a HorizontalPodAutoscaler that keeps the number of pods between two bounds by what they use. A metrics server must\nbe installed in the cluster."
        "kubectl autoscale deploy web --min=2 --max=10 --cpu=80%\nkubectl autoscale deploy web --max=5 --memory=200Mi"
        FLAGS, run;
}

pub const FLAGS: &[Flag] = join!(
    objects::FILES,
    objects::WRITE,
    &[
        create::SAVE,
        flag("min", None, Form::Text, "-1", "The lower limit for the number of pods; default: the server's"),
        flag("max", None, Form::Text, "-1", "The upper limit for the number of pods. Required."),
        flag(
            "cpu-percent",
            None,
            Form::Text,
            "-1",
            "The target average CPU utilization, in percent of requested CPU",
        ),
        flag("cpu", None, Form::Text, "", "Target CPU: 70% of what is requested, or an amount (500m)"),
        flag("memory", None, Form::Text, "", "Target memory: 70% of what is requested, or an amount (200Mi)"),
        flag("name", None, Form::Text, "", "The name of the autoscaler; default: that of the object")
    ]
);

fn metric(name: &str, target: &str) -> Result<Value, Error> {
    let target = match target.strip_suffix('%') {
        Some(p) => {
            let p: u32 =
                p.parse().map_err(|_| Error::plain(format!("invalid value for --{name}: {target}")))?;
            json!({"type": "Utilization", "averageUtilization": p})
        }
        None => {
            meta::quantity::Quantity::parse(target)
                .map_err(|e| Error::plain(format!("invalid value for --{name}: {e}")))?;
            json!({"type": "AverageValue", "averageValue": target})
        }
    };
    Ok(json!({"type": "Resource", "resource": {"name": name, "target": target}}))
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    create::required(&cx, &["max"])?;
    let (min, max) = (cx.p.int("min")?, cx.p.int("max")?);
    if max < 1 {
        return Err(Error::plain(format!("--max=MAXPODS is required and must be at least 1, max: {max}")));
    }
    if max < min {
        return Err(Error::plain(format!(
            "--max=MAXPODS must be larger or equal to --min=MINPODS, max: {max}, min: {min}"
        )));
    }
    let mut metrics = Vec::new();
    if cx.p.given("cpu-percent") {
        eprintln!(
            "Flag --cpu-percent has been deprecated, Use --cpu with percentage or resource quantity format (e.g., '70%' for utilization or '500m' for milliCPU)."
        );
    }
    match (cx.p.int("cpu-percent")?, cx.p.text("cpu")) {
        (p, "") if p >= 0 => metrics.push(metric("cpu", &format!("{p}%"))?),
        (p, c) if p < 0 && !c.is_empty() => metrics.push(metric("cpu", c)?),
        (_, "") => {}
        _ => return Err(Error::plain("--cpu and --cpu-percent cannot be specified together")),
    }
    if !cx.p.text("memory").is_empty() {
        metrics.push(metric("memory", cx.p.text("memory"))?);
    }
    for t in objects::named(&cx).await? {
        let name = Some(cx.p.text("name")).filter(|n| !n.is_empty()).unwrap_or(&t.name);
        cx.get(&t.path("")).await?;
        let r = &t.resource;
        if !cx.discovery().await?.scalable(r) {
            return Err(Error::plain(format!(
                "cannot autoscale a {}: could not find scale subresource for {}/{}, Resource={} in discovery information",
                r.kind, r.group, r.version, r.name
            )));
        }
        let mut v = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name, "namespace": t.namespace},
            "spec": {"maxReplicas": max, "scaleTargetRef": {"apiVersion": t.resource.api_version(), "kind": t.resource.kind, "name": t.name}},
            "status": {"currentMetrics": null, "desiredReplicas": 0}});
        if min >= 0 {
            v["spec"]["minReplicas"] = min.into();
        }
        if !metrics.is_empty() {
            v["spec"]["metrics"] = Value::Array(metrics.clone());
        }
        create::send(&cx, v, "autoscaled").await?;
    }
    Ok(())
}

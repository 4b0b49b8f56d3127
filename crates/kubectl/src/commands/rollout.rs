//! `rollout status`, `restart`, `pause`, `resume`.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, DryRun, text};
use crate::print;
use client::url::with_query;
use serde_json::{Value, json};
use std::time::Duration;

super::commands! {
    "rollout status" "(TYPE NAME | TYPE/NAME)"
        "Show the status of the rollout\n\nWaits until the rollout is done, and fails if it cannot be: --watch=false looks once."
        "kubectl rollout status deploy/web\nkubectl rollout status deploy/web --timeout=60s"
        STATUS, status;
    "rollout restart" "(TYPE NAME | TYPE/NAME)"
        "Restart a resource\n\nThe pods are replaced one after the other, as for any other change of the template."
        "kubectl rollout restart deploy/web\nkubectl rollout restart ds -l app=agent"
        FLAGS, restart;
    "rollout pause" "(TYPE NAME | TYPE/NAME)"
        "Mark the provided resource as paused\n\nChanges of a paused deployment wait until it is resumed, so that several make one rollout."
        "kubectl rollout pause deploy/web"
        FLAGS, pause;
    "rollout resume" "(TYPE NAME | TYPE/NAME)"
        "Resume a paused resource"
        "kubectl rollout resume deploy/web"
        FLAGS, resume;
}

pub const FLAGS: &[Flag] =
    join!(objects::FILES, &[objects::SELECTOR, objects::OUTPUT, objects::FIELD_MANAGER, objects::MANAGED]);
pub const STATUS: &[Flag] = join!(
    objects::FILES,
    &[
        objects::SELECTOR,
        flag("watch", Some('w'), Form::Bool, "true", "Watch the status of the rollout until it's done"),
        flag("timeout", None, Form::Text, "0s", "How long to wait; 0: as long as it takes"),
        flag(
            "revision",
            None,
            Form::Text,
            "0",
            "Only if the rollout is still this revision; 0: whichever it is"
        )
    ]
);

async fn change(cx: &Cx, done: &str, p: Value, only: &[&str]) -> Result<(), Error> {
    let many = !cx.p.text("selector").is_empty();
    let targets = objects::targets(cx, &cx.p.args, many || cx.p.args.len() == 1).await?;
    let (found, mut errors) = objects::fetch(cx, &targets).await;
    if found.is_empty() && errors.is_empty() {
        return Err(Error::plain("required resource not specified"));
    }
    for (t, v) in found {
        if !only.contains(&t.resource.kind.as_str()) {
            let what = match done {
                "restarted" => "restarting",
                "paused" => "pausing",
                _ => "resuming",
            };
            errors.push(Error::plain(format!("{} {:?} {what} is not supported", t.resource.full(), t.name)));
            continue;
        }
        let paused = v["spec"]["paused"].as_bool().unwrap_or(false);
        let wrong = match done {
            "paused" if paused => Some("is already paused"),
            "resumed" if !paused => Some("is not paused"),
            "restarted" if paused => Some("can't restart paused deployment (run rollout resume first)"),
            _ => None,
        };
        if let Some(w) = wrong {
            errors.push(Error::plain(format!("{} {:?} {w}", t.resource.full(), t.name)));
            continue;
        }
        match objects::patch(cx, &t, "", objects::STRATEGIC, &p, DryRun::No).await {
            Ok(v) => objects::report(cx, &t, &v, done)?,
            Err(e) => errors.push(e),
        }
    }
    Error::many(errors)
}

pub async fn restart(cx: Cx) -> Result<(), Error> {
    let now = meta::time::Timestamp { seconds: cx.rt.clock.unix_seconds(), ..Default::default() }.rfc3339();
    let p = json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": now}}}}});
    change(&cx, "restarted", p, &["Deployment", "DaemonSet", "StatefulSet"]).await
}
pub async fn pause(cx: Cx) -> Result<(), Error> {
    change(&cx, "paused", json!({"spec": {"paused": true}}), &["Deployment"]).await
}
pub async fn resume(cx: Cx) -> Result<(), Error> {
    change(&cx, "resumed", json!({"spec": {"paused": null}}), &["Deployment"]).await
}

/// What to say of an object, and whether its rollout is done (kubectl `pkg/polymorphichelpers/rollout_status.go`).
pub fn progress(kind: &str, v: &Value, revision: i64) -> Result<(String, bool), Error> {
    let n = |p: &str| v.pointer(p).and_then(Value::as_i64).unwrap_or(0);
    let name = text(v, "/metadata/name");
    let seen = n("/metadata/generation") <= n("/status/observedGeneration");
    let want = v.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    match kind {
        "Deployment" => {
            let now =
                v["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str().unwrap_or("0");
            if revision > 0 && now != revision.to_string() {
                return Err(Error::plain(format!(
                    "desired revision ({revision}) is different from the running revision ({now})"
                )));
            }
            if !seen {
                return Ok(("Waiting for deployment spec update to be observed...\n".into(), false));
            }
            let late = v["status"]["conditions"].as_array().is_some_and(|c| {
                c.iter().any(|c| c["type"] == "Progressing" && c["reason"] == "ProgressDeadlineExceeded")
            });
            if late {
                return Err(Error::plain(format!("deployment {name:?} exceeded its progress deadline")));
            }
            let (updated, all, ok) =
                (n("/status/updatedReplicas"), n("/status/replicas"), n("/status/availableReplicas"));
            let wait = format!("Waiting for deployment {name:?} rollout to finish: ");
            Ok(if updated < want {
                (format!("{wait}{updated} out of {want} new replicas have been updated...\n"), false)
            } else if all > updated {
                (format!("{wait}{} old replicas are pending termination...\n", all - updated), false)
            } else if ok < updated {
                (format!("{wait}{ok} of {updated} updated replicas are available...\n"), false)
            } else {
                (format!("deployment {name:?} successfully rolled out\n"), true)
            })
        }
        "DaemonSet" | "StatefulSet" if text(v, "/spec/updateStrategy/type") == "OnDelete" => {
            Err(Error::plain("rollout status is only available for RollingUpdate strategy type"))
        }
        "DaemonSet" => {
            if !seen {
                return Ok(("Waiting for daemon set spec update to be observed...\n".into(), false));
            }
            let (updated, want, ok) = (
                n("/status/updatedNumberScheduled"),
                n("/status/desiredNumberScheduled"),
                n("/status/numberAvailable"),
            );
            let wait = format!("Waiting for daemon set {name:?} rollout to finish: ");
            Ok(if updated < want {
                (format!("{wait}{updated} out of {want} new pods have been updated...\n"), false)
            } else if ok < want {
                (format!("{wait}{ok} of {want} updated pods are available...\n"), false)
            } else {
                (format!("daemon set {name:?} successfully rolled out\n"), true)
            })
        }
        "StatefulSet" => {
            if n("/status/observedGeneration") == 0 || !seen {
                return Ok(("Waiting for statefulset spec update to be observed...\n".into(), false));
            }
            let ready = n("/status/readyReplicas");
            if ready < want {
                return Ok((format!("Waiting for {} pods to be ready...\n", want - ready), false));
            }
            let partition = n("/spec/updateStrategy/rollingUpdate/partition");
            let updated = n("/status/updatedReplicas");
            if partition > 0 {
                if updated < want - partition {
                    return Ok((
                        format!(
                            "Waiting for partitioned roll out to finish: {updated} out of {} new pods have been updated...\n",
                            want - partition
                        ),
                        false,
                    ));
                }
                return Ok((
                    format!("partitioned roll out complete: {updated} new pods have been updated...\n"),
                    true,
                ));
            }
            let (new, old) = (text(v, "/status/updateRevision"), text(v, "/status/currentRevision"));
            if new != old {
                return Ok((
                    format!(
                        "waiting for statefulset rolling update to complete {updated} pods at revision {new}...\n"
                    ),
                    false,
                ));
            }
            Ok((
                format!(
                    "statefulset rolling update complete {} pods at revision {old}...\n",
                    n("/status/currentReplicas")
                ),
                true,
            ))
        }
        k => Err(Error::plain(format!("no status viewer has been implemented for {k}"))),
    }
}

pub async fn status(cx: Cx) -> Result<(), Error> {
    let many = !cx.p.text("selector").is_empty();
    let targets = objects::targets(&cx, &cx.p.args, many || cx.p.args.len() == 1).await?;
    let (found, errors) = objects::fetch(&cx, &targets).await;
    Error::many(errors)?;
    let limit = cx.p.millis("timeout")?;
    let revision = cx.p.int("revision")?;
    if revision < 0 {
        return Err(Error::plain(format!("revision must be a positive integer: {revision}")));
    }
    let work = async {
        for (t, mut v) in found {
            let field = format!("metadata.name={}", t.name);
            let list = with_query(t.resource.collection(&t.namespace), &[("fieldSelector", &field)]);
            let (mut version, mut last) = (String::new(), String::new());
            loop {
                let (said, done) = progress(&t.resource.kind, &v, revision)?;
                // An object read again says nothing new.
                if !version.is_empty() || said != last {
                    print::out(&said);
                }
                last = said;
                if done || !cx.p.on("watch") {
                    break;
                }
                // From the list's version: an object's own may be older than what the server remembers.
                if version.is_empty() {
                    let mut l = cx.get(&list).await?;
                    text(&l, "/metadata/resourceVersion").clone_into(&mut version);
                    let now = l["items"][0].take();
                    if now.is_null() {
                        return Err(Error::plain("object has been deleted"));
                    }
                    if now["metadata"]["resourceVersion"] != v["metadata"]["resourceVersion"] {
                        v = now;
                        continue;
                    }
                }
                let p = with_query(list.clone(), &[("watch", "true"), ("resourceVersion", &version)]);
                let mut next = None;
                cx.lines(&p, "application/json", |mut e| {
                    next = Some((text(&e, "/type").to_owned(), e["object"].take()));
                    Ok(false)
                })
                .await?;
                match next {
                    Some((k, _)) if k == "DELETED" => return Err(Error::plain("object has been deleted")),
                    Some((k, o)) if k != "ERROR" => {
                        text(&o, "/metadata/resourceVersion").clone_into(&mut version);
                        v = o;
                    }
                    _ => {
                        version.clear();
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        }
        Ok(())
    };
    if limit <= 0 {
        return work.await;
    }
    match tokio::time::timeout(Duration::from_millis(limit.unsigned_abs()), work).await {
        Ok(r) => r,
        Err(_) => Err(Error::plain("timed out waiting for the condition")),
    }
}

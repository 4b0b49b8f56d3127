//! What failed pods and succeeded indexes mean by the policies of a Job.

use super::indexes::Indexes;
use crate::k8s::batch::{Job, PodFailurePolicyOnExitCodesRequirement};
use crate::k8s::core::{ContainerStatus, Pod};
use crate::util::meta::MetaExt;

/// The verdict on a failed pod.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The Job fails for this reason.
    pub job_fails: Option<String>,
    /// It counts towards back-off limits.
    pub counts: bool,
    /// Its index fails at once.
    pub index_fails: bool,
}

fn code(c: &ContainerStatus) -> Option<i32> {
    c.state.as_ref()?.terminated.as_ref().map(|t| t.exit_code).filter(|c| *c != 0)
}

fn by_exit_code<'a>(p: &'a Pod, r: &PodFailurePolicyOnExitCodesRequirement) -> Option<&'a ContainerStatus> {
    let s = p.status.as_ref()?;
    let all = s.container_statuses.iter().flatten().chain(s.init_container_statuses.iter().flatten());
    all.filter(|c| r.container_name.as_ref().is_none_or(|n| *n == c.name)).find(|c| {
        code(c).is_some_and(|code| match r.operator.as_str() {
            "In" => r.values.contains(&code),
            "NotIn" => !r.values.contains(&code),
            _ => false,
        })
    })
}

/// Judges a failed pod.
pub fn judge(job: &Job, p: &Pod) -> Failure {
    let counts = Failure { counts: true, ..Failure::default() };
    let Some(policy) = job.spec.as_ref().and_then(|s| s.pod_failure_policy.as_ref()) else { return counts };
    for (i, rule) in policy.rules.iter().enumerate() {
        let action = rule.action.as_str();
        let why = if let Some(r) = &rule.on_exit_codes {
            by_exit_code(p, r).map(|c| {
                let code = code(c).unwrap_or(0);
                format!(
                    "Container {} for pod {} failed with exit code {code} matching {action} rule at index {i}",
                    c.name,
                    p.key()
                )
            })
        } else {
            let patterns = rule.on_pod_conditions.as_deref().unwrap_or_default();
            let have = p.status.iter().flat_map(|s| s.conditions.iter().flatten());
            let status = |s: &Option<String>| s.clone().unwrap_or_else(|| "True".into());
            let hit = have
                .into_iter()
                .find(|c| patterns.iter().any(|x| x.type_ == c.type_ && status(&x.status) == c.status));
            hit.map(|c| {
                format!("Pod {} has condition {} matching {action} rule at index {i}", p.key(), c.type_)
            })
        };
        let Some(why) = why else { continue };
        return match action {
            "Ignore" => Failure::default(),
            "FailIndex" => Failure { index_fails: true, ..counts },
            "FailJob" => Failure { job_fails: Some(why), ..counts },
            "Count" => counts,
            _ => continue,
        };
    }
    counts
}

/// The rule of the success policy that is met.
pub fn success(job: &Job, succeeded: &Indexes) -> Option<String> {
    let spec = job.spec.as_ref()?;
    let completions = spec.completions?;
    for (i, rule) in spec.success_policy.as_ref()?.rules.iter().enumerate() {
        let met = match &rule.succeeded_indexes {
            Some(s) => {
                let wanted = Indexes::parse(s, completions);
                let have = wanted.common(succeeded);
                !wanted.is_empty()
                    && (have == wanted.total() || rule.succeeded_count.is_some_and(|n| have >= n))
            }
            None => rule.succeeded_count.is_some_and(|n| succeeded.total() >= n),
        };
        if met {
            return Some(format!("Matched rules at index {i}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn failures() {
        let job: Job =
            serde_json::from_value(json!({"spec": {"template": {}, "podFailurePolicy": {"rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [42]}},
            {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [7]}}]}}}))
            .unwrap();
        let pod = |name: &str, code: i32, disrupted: bool| -> Pod {
            let conditions =
                if disrupted { json!([{"type": "DisruptionTarget", "status": "True"}]) } else { json!([]) };
            serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "ns"}, "status": {"conditions": conditions, "containerStatuses":
                [{"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": code}}}]}}))
            .unwrap()
        };
        assert_eq!(judge(&job, &pod("main", 42, true)), Failure::default());
        assert_eq!(
            judge(&job, &pod("main", 42, false)).job_fails.unwrap(),
            "Container main for pod ns/p failed with exit code 42 matching FailJob rule at index 1"
        );
        assert!(judge(&job, &pod("side", 7, false)).index_fails);
        assert_eq!(judge(&job, &pod("side", 42, false)), Failure { counts: true, ..Failure::default() });
    }

    #[test]
    fn successes() {
        let job = |rule: serde_json::Value| -> Job {
            serde_json::from_value(
                json!({"spec": {"template": {}, "completions": 10, "successPolicy": {"rules": [rule]}}}),
            )
            .unwrap()
        };
        let got = |rule| success(&job(rule), &Indexes::parse("0,2-4", 10)).is_some();
        assert!(got(json!({"succeededIndexes": "0,3"})));
        assert!(!got(json!({"succeededIndexes": "0,5"})));
        assert!(got(json!({"succeededIndexes": "0,5", "succeededCount": 1})));
        assert!(got(json!({"succeededCount": 4})));
        assert!(!got(json!({"succeededCount": 5})));
    }
}

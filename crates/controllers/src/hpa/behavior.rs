//! From what metrics ask for to what is done: not too fast, and not back and forth (upstream `horizontal.go`).

use crate::k8s::Timestamp;
use crate::k8s::autoscaling::{HPAScalingRules, HorizontalPodAutoscalerBehavior};

/// What is remembered of an autoscaler.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    recommendations: Vec<(Timestamp, i32)>,
    ups: Vec<(Timestamp, i32)>,
    downs: Vec<(Timestamp, i32)>,
}

pub struct Input<'a> {
    pub current: i32,
    pub desired: i32,
    pub min: i32,
    pub max: i32,
    pub behavior: Option<&'a HorizontalPodAutoscalerBehavior>,
    /// Seconds, where the behavior says none.
    pub downscale_window: i64,
    pub now: Timestamp,
}

/// A reason, and the message to it.
pub type Why = (&'static str, &'static str);

pub struct Output {
    pub replicas: i32,
    pub able: Why,
    pub limited: bool,
    pub limit: Why,
}

const READY: Why = ("ReadyForNewScale", "recommended size matches current size");
const HIGHER: Why = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);
const LOWER: Why = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const TOO_FAST_UP: Why =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const TOO_FAST_DOWN: Why =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
const TOO_MANY: Why = ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: Why = ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const IN_RANGE: Why = ("DesiredWithinRange", "the desired count is within the acceptable range");

fn ago(now: Timestamp, seconds: i64) -> Timestamp {
    now.checked_sub(jiff::SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN)
}

impl Memory {
    /// The first recommendation is what there is.
    pub fn begin(&mut self, current: i32, now: Timestamp) {
        if self.recommendations.is_empty() {
            self.recommendations.push((now, current));
        }
    }

    pub fn normalize(&mut self, i: &Input<'_>) -> Output {
        let stabilized = match i.behavior {
            None => self.stabilize(i),
            Some(b) => self.stabilize_with(i, b),
        };
        let able = match stabilized {
            s if s == i.desired => READY,
            _ if i.behavior.is_none() || i.desired < i.current => HIGHER,
            _ => LOWER,
        };
        let (replicas, limit) = match i.behavior {
            None => plain_limits(i, stabilized),
            Some(b) => self.limits(i, b, stabilized),
        };
        Output { replicas, able, limited: replicas != stabilized, limit }
    }

    fn remember(&mut self, i: &Input<'_>, window: i64) {
        let cutoff = ago(i.now, window);
        self.recommendations.retain(|(t, _)| *t >= cutoff);
        self.recommendations.push((i.now, i.desired));
    }

    /// The highest of what was asked for lately.
    fn stabilize(&mut self, i: &Input<'_>) -> i32 {
        let cutoff = ago(i.now, i.downscale_window);
        let recent = self.recommendations.iter().filter(|(t, _)| *t >= cutoff).map(|(_, n)| *n);
        let highest = recent.max().unwrap_or(i.desired).max(i.desired);
        self.remember(i, i.downscale_window);
        highest
    }

    fn stabilize_with(&mut self, i: &Input<'_>, b: &HorizontalPodAutoscalerBehavior) -> i32 {
        let window = |r: &Option<HPAScalingRules>, default| {
            r.as_ref().and_then(|r| r.stabilization_window_seconds).map_or(default, i64::from)
        };
        let (up, down) = (window(&b.scale_up, 0), window(&b.scale_down, i.downscale_window));
        let within = |seconds| {
            let cutoff = ago(i.now, seconds);
            self.recommendations.iter().filter(move |(t, _)| *t > cutoff).map(|(_, n)| *n)
        };
        let lowest = within(up).min().unwrap_or(i.desired).min(i.desired);
        let highest = within(down).max().unwrap_or(i.desired).max(i.desired);
        let n = i.current.max(lowest).min(highest);
        self.remember(i, up.max(down));
        n
    }

    fn limits(&self, i: &Input<'_>, b: &HorizontalPodAutoscalerBehavior, desired: i32) -> (i32, Why) {
        if desired > i.current {
            let fastest = self.rate(i, b.scale_up.as_ref(), true).max(i.current);
            let (most, why) = if i.max > fastest { (fastest, TOO_FAST_UP) } else { (i.max, TOO_MANY) };
            if desired > most {
                return (most, why);
            }
        } else if desired < i.current {
            let fastest = self.rate(i, b.scale_down.as_ref(), false).min(i.current);
            let (least, why) = if i.min < fastest { (fastest, TOO_FAST_DOWN) } else { (i.min, TOO_FEW) };
            if desired < least {
                return (least, why);
            }
        }
        (desired, IN_RANGE)
    }

    /// How far the policies allow to go now.
    fn rate(&self, i: &Input<'_>, rules: Option<&HPAScalingRules>, up: bool) -> i32 {
        let Some(rules) = rules else { return if up { i32::MAX } else { i32::MIN } };
        let select = rules.select_policy.as_deref().unwrap_or("Max");
        if select == "Disabled" {
            return i.current;
        }
        let proposals = rules.policies.iter().flatten().map(|p| {
            let cutoff = ago(i.now, i64::from(p.period_seconds));
            let sum = |all: &[(Timestamp, i32)]| {
                all.iter().filter(|(t, _)| *t > cutoff).map(|(_, n)| n).sum::<i32>()
            };
            let start = i.current - sum(&self.ups) + sum(&self.downs);
            let (pods, share) = (p.value, f64::from(p.value) / 100.0);
            match (p.type_.as_str(), up) {
                ("Pods", true) => start.saturating_add(pods),
                ("Pods", false) => start.saturating_sub(pods),
                (_, true) => (f64::from(start) * (1.0 + share)).ceil() as i32,
                (_, false) => (f64::from(start) * (1.0 - share)) as i32,
            }
        });
        // The larger change: upwards the larger number.
        if up == (select == "Max") {
            proposals.max().unwrap_or(i32::MIN)
        } else {
            proposals.min().unwrap_or(i32::MAX)
        }
    }

    /// Takes note of a change, for the rates of later ones.
    pub fn scaled(
        &mut self,
        behavior: Option<&HorizontalPodAutoscalerBehavior>,
        from: i32,
        to: i32,
        now: Timestamp,
    ) {
        let Some(b) = behavior else { return };
        let (rules, list) = if to > from {
            (b.scale_up.as_ref(), &mut self.ups)
        } else {
            (b.scale_down.as_ref(), &mut self.downs)
        };
        let policies = rules.iter().flat_map(|r| r.policies.iter().flatten());
        let longest = policies.map(|p| i64::from(p.period_seconds)).max().unwrap_or(0);
        let cutoff = ago(now, longest);
        list.retain(|(t, _)| *t >= cutoff);
        list.push((now, (to - from).abs()));
    }
}

/// Without a behavior: at most double, or four.
fn plain_limits(i: &Input<'_>, desired: i32) -> (i32, Why) {
    let fastest = i.current.saturating_mul(2).max(4);
    let (most, why) = if i.max > fastest { (fastest, TOO_FAST_UP) } else { (i.max, TOO_MANY) };
    if desired < i.min {
        (i.min, TOO_FEW)
    } else if desired > most {
        (most, why)
    } else {
        (desired, IN_RANGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    /// Asks again and again, `(seconds, what metrics ask for)`; each time the answer is done.
    fn run(behavior: Option<Value>, start: i32, asks: &[(i64, i32)]) -> Vec<String> {
        let behavior: Option<HorizontalPodAutoscalerBehavior> =
            behavior.map(|b| serde_json::from_value(b).unwrap());
        let (mut m, mut current) = (Memory::default(), start);
        m.begin(current, at(0));
        let one = |(s, desired): &(i64, i32)| {
            let now = at(*s);
            let i = Input {
                current,
                desired: *desired,
                min: 1,
                max: 100,
                behavior: behavior.as_ref(),
                downscale_window: 300,
                now,
            };
            let out = m.normalize(&i);
            if out.replicas != current {
                m.scaled(behavior.as_ref(), current, out.replicas, now);
            }
            current = out.replicas;
            format!("{} {} {}", out.replicas, out.able.0, out.limit.0)
        };
        asks.iter().map(one).collect()
    }

    #[test]
    fn without_a_behavior() {
        assert_eq!(
            run(None, 3, &[(15, 20), (30, 20), (45, 5), (331, 5), (400, 0), (800, 300)]),
            [
                "6 ReadyForNewScale ScaleUpLimit",
                "12 ReadyForNewScale ScaleUpLimit",
                "20 ScaleDownStabilized DesiredWithinRange",
                "5 ReadyForNewScale DesiredWithinRange",
                "5 ScaleDownStabilized DesiredWithinRange",
                "10 ReadyForNewScale ScaleUpLimit",
            ]
        );
    }

    #[test]
    fn with_policies() {
        let up = json!({"scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [
                {"type": "Pods", "value": 4, "periodSeconds": 60}, {"type": "Percent", "value": 50, "periodSeconds": 60}]},
            "scaleDown": {"stabilizationWindowSeconds": 60, "selectPolicy": "Min", "policies": [
                {"type": "Pods", "value": 2, "periodSeconds": 60}, {"type": "Percent", "value": 50, "periodSeconds": 60}]}});
        assert_eq!(
            run(Some(up), 10, &[(15, 50), (30, 50), (80, 50), (100, 1), (141, 1), (160, 1), (202, 1)]),
            [
                "15 ReadyForNewScale ScaleUpLimit",
                "15 ReadyForNewScale ScaleUpLimit",
                "23 ReadyForNewScale ScaleUpLimit",
                "23 ScaleDownStabilized DesiredWithinRange",
                "21 ReadyForNewScale ScaleDownLimit",
                "21 ReadyForNewScale ScaleDownLimit",
                "19 ReadyForNewScale ScaleDownLimit",
            ]
        );
        let off = json!({"scaleDown": {"selectPolicy": "Disabled"}});
        assert_eq!(run(Some(off), 10, &[(1000, 1)]), ["10 ReadyForNewScale ScaleDownLimit"]);
    }

    #[test]
    fn waits_with_growing_too() {
        let slow = json!({"scaleUp": {"stabilizationWindowSeconds": 60, "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 100, "periodSeconds": 60}]}});
        assert_eq!(
            run(Some(slow), 3, &[(15, 10), (30, 8), (61, 9), (91, 9)]),
            [
                "3 ScaleUpStabilized DesiredWithinRange",
                "3 ScaleUpStabilized DesiredWithinRange",
                "8 ScaleUpStabilized DesiredWithinRange",
                "9 ReadyForNewScale DesiredWithinRange",
            ]
        );
    }
}

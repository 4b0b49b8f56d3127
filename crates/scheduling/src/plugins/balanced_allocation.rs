//! `NodeResourcesBalancedAllocation`: nodes whose resources get more evenly used are better.

use crate::framework::{Cx, MAX_SCORE, Plugin};
use crate::node::NodeInfo;
use crate::resources::is_scalar;

#[derive(Clone, Debug)]
pub struct BalancedAllocation {
    pub resources: Vec<String>,
}

impl Default for BalancedAllocation {
    fn default() -> Self {
        Self { resources: vec!["cpu".into(), "memory".into()] }
    }
}

impl Plugin for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }
    fn local(&self) -> bool {
        true
    }
    fn own_score(&self, cx: Cx<'_>, n: &NodeInfo) -> Option<i64> {
        let want = |r: &String| cx.pod.charged.get(r);
        if self.resources.iter().all(|r| want(r) == 0) {
            return None;
        }
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for name in &self.resources {
            let want = want(name);
            if want == 0 && is_scalar(name) {
                continue;
            }
            let cap = n.spec.allocatable.get(name);
            if cap == 0 {
                continue;
            }
            let used = n.requested.get(name);
            with.push(fraction(used + want, cap));
            without.push(fraction(used, cap));
        }
        Some(MAX_SCORE / 2 + (MAX_SCORE / 2 + evenness(&with) - evenness(&without)) / 2)
    }
}

fn fraction(used: i64, cap: i64) -> f64 {
    (used as f64 / cap as f64).min(1.0)
}

/// 100 without any deviation, less with more.
fn evenness(fractions: &[f64]) -> i64 {
    let std = match fractions {
        [a, b] => ((a - b) / 2.0).abs(),
        [] | [_] => 0.0,
        f => {
            let mean = f.iter().sum::<f64>() / f.len() as f64;
            (f.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / f.len() as f64).sqrt()
        }
    };
    ((1.0 - std) * MAX_SCORE as f64) as i64
}

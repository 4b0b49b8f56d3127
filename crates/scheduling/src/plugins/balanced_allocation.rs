//! `NodeResourcesBalancedAllocation`: nodes whose resources get more evenly used are better.

use crate::framework::{Cx, Filter, MAX_SCORE, Plugin};
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
    fn score(
        &self,
        cx: Cx<'_>,
        nodes: &[usize],
        _: Option<&mut Box<dyn Filter>>,
        scores: &mut [i64],
    ) -> bool {
        let wants: Vec<i64> = self.resources.iter().map(|r| cx.pod.charged.get(r)).collect();
        if wants.iter().all(|w| *w == 0) {
            return false;
        }
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for (slot, s) in nodes.iter().zip(scores.iter_mut()) {
            let n = cx.cluster.node(*slot);
            with.clear();
            without.clear();
            for (name, want) in self.resources.iter().zip(&wants) {
                if *want == 0 && is_scalar(name) {
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
            *s = MAX_SCORE / 2 + (MAX_SCORE / 2 + evenness(&with) - evenness(&without)) / 2;
        }
        true
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

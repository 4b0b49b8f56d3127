//! `ImageLocality`: nodes that have the images already are better, unless few nodes have them.

use crate::framework::{Cx, Filter, MAX_SCORE, Plugin};

pub struct ImageLocality;

const MB: i64 = 1024 * 1024;
const MIN: i64 = 23 * MB;
const MAX_PER_CONTAINER: i64 = 1000 * MB;

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }
    fn score(
        &self,
        cx: Cx<'_>,
        nodes: &[usize],
        _: Option<&mut Box<dyn Filter>>,
        scores: &mut [i64],
    ) -> bool {
        let total = cx.cluster.order().len();
        // Most images are nowhere yet: then all nodes are alike.
        let known: Vec<(&String, f64)> = cx
            .pod
            .images
            .iter()
            .map(|i| (i, cx.cluster.nodes_with_image(i) as f64 / total as f64))
            .filter(|i| i.1 > 0.0)
            .collect();
        if known.is_empty() {
            return false;
        }
        let max = MAX_PER_CONTAINER * i64::try_from(cx.pod.images.len()).unwrap_or(1);
        for (slot, s) in nodes.iter().zip(scores.iter_mut()) {
            let on = &cx.cluster.node(*slot).spec.images;
            let sum: i64 =
                known.iter().filter_map(|(i, spread)| Some((*on.get(*i)? as f64 * spread) as i64)).sum();
            *s = MAX_SCORE * (sum.clamp(MIN, max) - MIN) / (max - MIN);
        }
        true
    }
}

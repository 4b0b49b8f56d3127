//! Kinds of autoscaling.

pub(crate) mod horizontalpodautoscaler;

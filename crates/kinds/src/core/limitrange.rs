//! LimitRanges.

use crate::kit::*;

pub(crate) struct LimitRange;

impl Strategy for LimitRange {}

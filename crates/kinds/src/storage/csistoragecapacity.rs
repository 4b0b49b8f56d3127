//! CSIStorageCapacities.

use crate::kit::*;

pub(crate) struct CSIStorageCapacity;

impl Strategy for CSIStorageCapacity {}

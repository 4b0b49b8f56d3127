//! Roles and ClusterRoles.

use crate::kit::*;

pub(crate) struct Role;

impl Strategy for Role {}

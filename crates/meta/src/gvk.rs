//! Group, version, kind and resource names.

use std::fmt;

/// A group and a version: `apps/v1`; the core group is the empty string and prints as `v1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct GroupVersion {
    pub group: String,
    pub version: String,
}

impl GroupVersion {
    pub fn new(group: impl Into<String>, version: impl Into<String>) -> Self {
        Self { group: group.into(), version: version.into() }
    }
    /// Parses `apiVersion`: `v1`, `apps/v1`. More than one slash gives `None`.
    pub fn parse(api_version: &str) -> Option<Self> {
        match api_version.split_once('/') {
            None => Some(Self::new("", api_version)),
            Some((_, v)) if v.contains('/') => None,
            Some((g, v)) => Some(Self::new(g, v)),
        }
    }
}

impl fmt::Display for GroupVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.version)
        } else {
            write!(f, "{}/{}", self.group, self.version)
        }
    }
}

macro_rules! group_pair {
    ($name:ident, $field:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name {
            pub group: String,
            pub $field: String,
        }
        impl $name {
            pub fn new(group: impl Into<String>, $field: impl Into<String>) -> Self {
                Self { group: group.into(), $field: $field.into() }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if self.group.is_empty() {
                    f.write_str(&self.$field)
                } else {
                    write!(f, "{}.{}", self.$field, self.group)
                }
            }
        }
    };
}
group_pair!(GroupKind, kind, "A kind and its group: prints `Deployment.apps`, or `Pod` for the core group.");
group_pair!(
    GroupResource,
    resource,
    "A plural resource name and its group: prints `deployments.apps`, or `pods`."
);

macro_rules! group_triple {
    ($name:ident, $field:ident, $pair:ident, $pair_fn:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name {
            pub group: String,
            pub version: String,
            pub $field: String,
        }
        impl $name {
            pub fn new(
                group: impl Into<String>,
                version: impl Into<String>,
                $field: impl Into<String>,
            ) -> Self {
                Self { group: group.into(), version: version.into(), $field: $field.into() }
            }
            pub fn group_version(&self) -> GroupVersion {
                GroupVersion::new(&self.group, &self.version)
            }
            pub fn $pair_fn(&self) -> $pair {
                $pair::new(&self.group, &self.$field)
            }
            /// The `apiVersion` string: `v1`, `apps/v1`.
            pub fn api_version(&self) -> String {
                self.group_version().to_string()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}, {}", self.group_version(), self.$field)
            }
        }
    };
}
group_triple!(GroupVersionKind, kind, GroupKind, group_kind, "Group, version and kind.");
group_triple!(
    GroupVersionResource,
    resource,
    GroupResource,
    group_resource,
    "Group, version and plural resource name."
);

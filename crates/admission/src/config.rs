//! What plugins can be told: flags, and the configuration objects that `--admission-control-config-file` names.

use crate::plugins::event_rate_limit::{EventLimit, LimitType};
use crate::plugins::pod_toleration_restriction::TolerationConfig;
use crate::pod_security::{self, Level, LevelVersion, Version};
use crate::quota::LimitedResource;
use meta::Value;
use meta::object::ObjectExt;
use std::collections::BTreeMap;

/// Which plugins are on, and what those need to know that have a configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `--enable-admission-plugins`, besides the default ones.
    pub enable: Vec<String>,
    /// `--disable-admission-plugins`
    pub disable: Vec<String>,
    /// `--default-not-ready-toleration-seconds`
    pub not_ready_toleration_seconds: i64,
    /// `--default-unreachable-toleration-seconds`
    pub unreachable_toleration_seconds: i64,
    /// PodSecurityConfiguration
    pub pod_security: pod_security::Config,
    /// `podNodeSelectorPluginConfig`: namespace (or `clusterDefaultNodeSelector`) → selector.
    pub pod_node_selector: BTreeMap<String, String>,
    /// `limitedResources` of ResourceQuotaConfiguration.
    pub limited_resources: Vec<LimitedResource>,
    /// `limits` of the Configuration of EventRateLimit.
    pub event_limits: Vec<EventLimit>,
    /// The Configuration of PodTolerationRestriction.
    pub tolerations: TolerationConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enable: Vec::new(),
            disable: Vec::new(),
            not_ready_toleration_seconds: 300,
            unreachable_toleration_seconds: 300,
            pod_security: pod_security::Config::default(),
            pod_node_selector: BTreeMap::new(),
            limited_resources: Vec::new(),
            event_limits: Vec::new(),
            tolerations: TolerationConfig::default(),
        }
    }
}

fn strings(v: &Value, path: &str) -> Vec<String> {
    v.array_at(path).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Config {
    /// Takes the configuration object of one plugin (`plugins[].configuration` of an AdmissionConfiguration).
    pub fn configure(&mut self, plugin: &str, v: &Value) -> Result<(), String> {
        let bad = |why: String| Err(format!("configuration of admission plugin {plugin}: {why}"));
        match plugin {
            "PodSecurity" => match pod_security_config(v) {
                Ok(c) => self.pod_security = c,
                Err(e) => return bad(e),
            },
            "PodNodeSelector" => {
                let map = v.get("podNodeSelectorPluginConfig").and_then(Value::as_object);
                let pairs = map.into_iter().flatten();
                self.pod_node_selector =
                    pairs.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect();
            }
            "ResourceQuota" => {
                let each = |l: &Value| LimitedResource {
                    api_group: l.str_at("apiGroup").to_owned(),
                    resource: l.str_at("resource").to_owned(),
                    match_contains: strings(l, "matchContains"),
                    match_scopes: l.array_at("matchScopes").to_vec(),
                };
                self.limited_resources = v.array_at("limitedResources").iter().map(each).collect();
                if self.limited_resources.iter().any(|l| l.resource.is_empty()) {
                    return bad("limitedResources[].resource is required".into());
                }
            }
            "EventRateLimit" => {
                self.event_limits.clear();
                for l in v.array_at("limits") {
                    let number = |f: &str| l.i64_at(f).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
                    let Some(limit_type) = LimitType::parse(l.str_at("type")) else {
                        return bad(format!("unknown event rate limit type: {}", l.str_at("type")));
                    };
                    let (qps, burst) = (number("qps"), number("burst"));
                    if qps == 0 || burst == 0 {
                        return bad("limits[].qps and burst must be positive".into());
                    }
                    let cache_size = number("cacheSize") as usize;
                    self.event_limits.push(EventLimit { limit_type, qps, burst, cache_size });
                }
                if self.event_limits.is_empty() {
                    return bad("at least one limit is required".into());
                }
            }
            "PodTolerationRestriction" => {
                self.tolerations = TolerationConfig {
                    default: v.array_at("default").to_vec(),
                    allowed: v.array_at("whitelist").to_vec(),
                };
            }
            _ => return bad("the plugin takes none".into()),
        }
        Ok(())
    }
}

fn pod_security_config(v: &Value) -> Result<pod_security::Config, String> {
    let mode = |name: &str| -> Result<LevelVersion, String> {
        let mut out = LevelVersion::default();
        let level = v.at("defaults").and_then(|d| d.get(name)).and_then(Value::as_str).unwrap_or("");
        if !level.is_empty() {
            out.level = Level::parse(level)
                .ok_or_else(|| format!("defaults.{name}: must be one of privileged, baseline, restricted"))?;
        }
        let key = format!("{name}-version");
        let version = v.at("defaults").and_then(|d| d.get(&key)).and_then(Value::as_str).unwrap_or("");
        if !version.is_empty() {
            out.version = Version::parse(version)
                .ok_or_else(|| format!("defaults.{key}: must be \"latest\" or \"v1.x\""))?;
        }
        Ok(out)
    };
    Ok(pod_security::Config {
        defaults: pod_security::Policy {
            enforce: mode("enforce")?,
            audit: mode("audit")?,
            warn: mode("warn")?,
        },
        exempt_usernames: strings(v, "exemptions.usernames"),
        exempt_namespaces: strings(v, "exemptions.namespaces"),
        exempt_runtime_classes: strings(v, "exemptions.runtimeClasses"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn takes_configuration_objects() {
        let mut c = Config::default();
        let v = json!({"defaults": {"enforce": "baseline", "enforce-version": "v1.30"}, "exemptions": {"namespaces": ["kube-system"]}});
        c.configure("PodSecurity", &v).unwrap();
        assert_eq!(c.pod_security.defaults.enforce.to_string(), "baseline:v1.30");
        assert_eq!(c.pod_security.exempt_namespaces, ["kube-system"]);
        c.configure(
            "ResourceQuota",
            &json!({"limitedResources": [{"resource": "pods", "matchContains": ["cpu"]}]}),
        )
        .unwrap();
        assert_eq!(c.limited_resources[0].match_contains, ["cpu"]);
        c.configure("EventRateLimit", &json!({"limits": [{"type": "User", "qps": 1, "burst": 2}]})).unwrap();
        c.configure("PodNodeSelector", &json!({"podNodeSelectorPluginConfig": {"a": "b=c"}})).unwrap();
        for (plugin, v) in [
            ("PodSecurity", json!({"defaults": {"enforce": "x"}})),
            ("EventRateLimit", json!({"limits": []})),
            ("EventRateLimit", json!({"limits": [{"type": "X", "qps": 1, "burst": 1}]})),
            ("Priority", json!({})),
        ] {
            assert!(c.configure(plugin, &v).is_err(), "{plugin} {v}");
        }
    }
}

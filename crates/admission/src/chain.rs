//! The plugins that are on, in order.

use crate::config::Config;
use crate::list::{Make, NAMES};
use crate::{Attributes, Lookup, Plugin};
use meta::Status;

/// The plugins of this crate that are on.
pub struct Chain {
    plugins: Vec<Box<dyn Plugin>>,
    outside: Vec<&'static str>,
}

/// They charge or refuse what all others let through.
const LAST: &[&str] = &["ResourceQuota", "AlwaysDeny"];

impl Chain {
    /// An error names a plugin that does not exist or is both enabled and disabled.
    pub fn new(config: &Config) -> Result<Self, String> {
        for name in config.enable.iter().chain(&config.disable) {
            match NAMES.iter().find(|l| l.name == name) {
                None => return Err(format!("admission-control plugin \"{name}\" is unknown")),
                Some(l) if matches!(l.make, Make::Missing) && config.enable.contains(name) => {
                    return Err(format!("admission-control plugin \"{name}\" is not part of keelson"));
                }
                Some(_) => {}
            }
        }
        if let Some(both) = config.enable.iter().find(|n| config.disable.contains(n)) {
            return Err(format!(
                "[{both}] in enable-admission-plugins and disable-admission-plugins overlapped"
            ));
        }
        let has = |list: &[String], name: &str| list.iter().any(|n| n == name);
        let mut chain = Self { plugins: Vec::new(), outside: Vec::new() };
        for line in NAMES {
            if has(&config.disable, line.name) || !(line.on || has(&config.enable, line.name)) {
                continue;
            }
            match line.make {
                Make::Here(make) => chain.plugins.push(make(config)),
                Make::Outside => chain.outside.push(line.name),
                Make::Missing => {}
            }
        }
        Ok(chain)
    }
    /// Names of plugins that are on and are not of this crate.
    pub fn outside(&self) -> &[&'static str] {
        &self.outside
    }

    /// Whether a plugin may ask for a namespace to be made.
    pub fn provisions_namespaces(&self) -> bool {
        self.plugins.iter().any(|p| p.name() == "NamespaceAutoProvision")
    }

    /// Lets all plugins change the object; before the mutating policies and webhooks.
    pub fn admit(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        for p in &self.plugins {
            if p.handles(a.operation) {
                p.admit(a, l)?;
            }
        }
        Ok(())
    }
    /// Lets the plugins look at the final object; before the validating policies and webhooks.
    pub fn validate(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        self.look(a, l, false)
    }
    /// The plugins that come after the webhooks: quota.
    pub fn validate_last(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        self.look(a, l, true)
    }
    fn look(&self, a: &mut Attributes<'_>, l: &dyn Lookup, last: bool) -> Result<(), Status> {
        for p in &self.plugins {
            if p.handles(a.operation) && LAST.contains(&p.name()) == last {
                p.validate(a, l)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_flags() {
        let on = |enable: &[&str], disable: &[&str]| {
            let own = |x: &[&str]| x.iter().map(|s| (*s).to_owned()).collect();
            let c = Config { enable: own(enable), disable: own(disable), ..Config::default() };
            Chain::new(&c).map(|c| c.plugins.len())
        };
        assert_eq!(NAMES.len(), 39);
        assert_eq!(crate::list::default_on().len(), 25);
        assert_eq!(on(&[], &[]), Ok(21));
        assert_eq!(on(&["NodeRestriction", "LimitRanger"], &["Priority"]), Ok(21));
        assert!(on(&["Nope"], &[]).is_err());
        assert!(on(&["ImagePolicyWebhook"], &[]).is_err());
        assert_eq!(on(&["EventRateLimit"], &["ImagePolicyWebhook"]), Ok(22));
        assert!(on(&["Priority"], &["Priority"]).is_err());
    }
    #[test]
    fn plugins_have_the_names_of_their_lines() {
        for line in NAMES {
            if let Make::Here(make) = line.make {
                assert_eq!(make(&Config::default()).name(), line.name);
            }
        }
    }
}

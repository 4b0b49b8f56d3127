//! ConfigMaps, Secrets, tokens, trust bundles and the downward API as files of one volume.

use super::atomic::{File, Payload};
use super::{Context, Objects, downward};
use crate::pod::helpers::{namespace, spec};
use k8s_openapi::api::core::v1::{ConfigMap, KeyToPath, Pod, ProjectedVolumeSource, Secret};
use std::collections::BTreeMap;

/// Which trust bundles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BundleQuery {
    pub name: Option<String>,
    pub signer_name: Option<String>,
    /// As a label selector in text.
    pub selector: String,
}

fn pick(
    what: &str,
    data: &BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    default_mode: i32,
    optional: bool,
) -> Result<Payload, String> {
    let mode = |m: i32| u32::try_from(m).unwrap_or(0o644);
    let mut out = Payload::new();
    match items {
        None | Some([]) => {
            for (k, v) in data {
                out.insert(k.clone(), File { data: v.clone(), mode: mode(default_mode), user: None });
            }
        }
        Some(items) => {
            for i in items {
                match data.get(&i.key) {
                    Some(v) => {
                        let m = mode(i.mode.unwrap_or(default_mode));
                        out.insert(i.path.clone(), File { data: v.clone(), mode: m, user: None });
                    }
                    None if optional => {}
                    None => return Err(format!("references non-existent {what} key: {}", i.key)),
                }
            }
        }
    }
    Ok(out)
}

pub fn config_map(
    m: &ConfigMap,
    items: Option<&[KeyToPath]>,
    default_mode: i32,
    optional: bool,
) -> Result<Payload, String> {
    let mut data: BTreeMap<String, Vec<u8>> =
        m.data.iter().flatten().map(|(k, v)| (k.clone(), v.clone().into_bytes())).collect();
    data.extend(m.binary_data.iter().flatten().map(|(k, v)| (k.clone(), v.0.clone())));
    pick("config", &data, items, default_mode, optional).map_err(|e| format!("configmap {e}"))
}

pub fn secret(
    m: &Secret,
    items: Option<&[KeyToPath]>,
    default_mode: i32,
    optional: bool,
) -> Result<Payload, String> {
    let data: BTreeMap<String, Vec<u8>> =
        m.data.iter().flatten().map(|(k, v)| (k.clone(), v.0.clone())).collect();
    pick("secret", &data, items, default_mode, optional)
}

/// The user that all containers run as, if it is one: its tokens are only for it.
fn one_user(pod: &Pod) -> Option<u32> {
    let s = spec(pod);
    let of_pod = s.security_context.as_ref().and_then(|c| c.run_as_user);
    let mut found = None;
    for c in s.containers.iter().chain(crate::pod::helpers::init_containers(s)) {
        let u = c.security_context.as_ref().and_then(|x| x.run_as_user).or(of_pod)?;
        if found.is_some_and(|f| f != u) {
            return None;
        }
        found = Some(u);
    }
    u32::try_from(found?).ok()
}

/// All files of a projected volume, and when its tokens must be renewed.
pub async fn files(
    objects: &dyn Objects,
    pod: &Pod,
    volume: &str,
    p: &ProjectedVolumeSource,
    cx: &Context,
    group: Option<i64>,
) -> Result<(Payload, Option<i64>), String> {
    let ns = namespace(pod);
    let default_mode = p.default_mode.unwrap_or(0o644);
    let mut out = Payload::new();
    let mut refresh: Option<i64> = None;
    let user_of = |own: Option<i64>| {
        own.or(p.default_user).and_then(|u| u32::try_from(u).ok()).or_else(|| one_user(pod))
    };
    let secret_mode = |user: Option<u32>| {
        if user.is_some() || group.is_some() { 0o600 } else { u32::try_from(default_mode).unwrap_or(0o644) }
    };
    for (index, src) in p.sources.iter().flatten().enumerate() {
        if let Some(c) = &src.config_map {
            let name = &c.name;
            let optional = c.optional == Some(true);
            match objects.config_map(ns, name).await? {
                Some(m) => out.extend(config_map(&m, c.items.as_deref(), default_mode, optional)?),
                None if optional => {}
                None => return Err(format!("configmap {name:?} not found")),
            }
        } else if let Some(s) = &src.secret {
            let name = &s.name;
            let optional = s.optional == Some(true);
            match objects.secret(ns, name).await? {
                Some(m) => out.extend(secret(&m, s.items.as_deref(), default_mode, optional)?),
                None if optional => {}
                None => return Err(format!("secret {name:?} not found")),
            }
        } else if let Some(d) = &src.downward_api {
            out.extend(downward::files(pod, d.items.as_deref().unwrap_or(&[]), default_mode, cx)?);
        } else if let Some(t) = &src.service_account_token {
            let seconds = t.expiration_seconds.unwrap_or(3600);
            let token = objects
                .token(pod, t.audience.as_deref().unwrap_or(""), seconds)
                .await
                .map_err(|e| format!("failed to fetch token: {e}"))?;
            let user = user_of(t.user);
            let mode = secret_mode(user);
            out.insert(t.path.clone(), File { data: token.token.into_bytes(), mode, user });
            refresh = Some(refresh.map_or(token.refresh_at, |r| r.min(token.refresh_at)));
        } else if let Some(b) = &src.cluster_trust_bundle {
            let q = BundleQuery {
                name: b.name.clone(),
                signer_name: b.signer_name.clone(),
                selector: selector_text(b.label_selector.as_ref()),
            };
            // No selector selects nothing, an empty one everything.
            let nothing = b.name.is_none() && b.label_selector.is_none();
            let found = if nothing { None } else { objects.trust_bundle(&q).await? };
            let text = match found {
                Some(t) => t,
                None if b.optional == Some(true) => String::new(),
                None => return Err("no trust bundle matches the projection".into()),
            };
            let mode = u32::try_from(default_mode).unwrap_or(0o644);
            out.insert(b.path.clone(), File { data: text.into_bytes(), mode, user: None });
        } else if let Some(c) = &src.pod_certificate {
            let b = objects.pod_certificate(pod, volume, index, c).await?;
            let user = user_of(c.user);
            let mode = secret_mode(user);
            let mut put = |path: &Option<String>, text: String| {
                if let Some(p) = path.as_ref().filter(|p| !p.is_empty()) {
                    out.insert(p.clone(), File { data: text.into_bytes(), mode, user });
                }
            };
            put(&c.credential_bundle_path, format!("{}{}", b.key, b.chain));
            put(&c.key_path, b.key.clone());
            put(&c.certificate_chain_path, b.chain.clone());
            refresh = Some(refresh.map_or(b.refresh_at, |r| r.min(b.refresh_at)));
        }
    }
    Ok((out, refresh))
}

/// A label selector as the API's text form.
fn selector_text(s: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector>) -> String {
    let Some(s) = s else { return String::new() };
    let mut parts: Vec<String> = s.match_labels.iter().flatten().map(|(k, v)| format!("{k}={v}")).collect();
    for e in s.match_expressions.iter().flatten() {
        let values = e.values.as_deref().unwrap_or(&[]).join(",");
        parts.push(match e.operator.as_str() {
            "In" => format!("{} in ({values})", e.key),
            "NotIn" => format!("{} notin ({values})", e.key),
            "Exists" => e.key.clone(),
            _ => format!("!{}", e.key),
        });
    }
    parts.join(",")
}

//! Environment variables: `$(VAR)` expansion, services, and the order of sources.

use k8s_openapi::api::core::v1::{Container, EnvVar, Service};
use std::collections::BTreeMap;

pub type Map = BTreeMap<String, String>;

/// Replaces `$(NAME)` through `lookup`; `$$` is a dollar; an unknown name stays as written
/// (`third_party/forked/golang/expansion`).
pub fn expand(input: &str, lookup: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        match after.chars().next() {
            None => {
                out.push('$');
                return out;
            }
            Some('$') => {
                out.push('$');
                rest = &after[1..];
            }
            Some('(') => match after.find(')') {
                Some(end) => {
                    let name = &after[1..end];
                    match lookup(name) {
                        Some(v) => out.push_str(&v),
                        None => {
                            out.push_str("$(");
                            out.push_str(name);
                            out.push(')');
                        }
                    }
                    rest = &after[end + 1..];
                }
                None => {
                    out.push_str("$(");
                    rest = &after[1..];
                }
            },
            Some(c) => {
                out.push('$');
                out.push(c);
                rest = &after[c.len_utf8()..];
            }
        }
    }
    out.push_str(rest);
    out
}

pub fn expand_map(input: &str, env: &Map) -> String {
    expand(input, &|n| env.get(n).cloned())
}

/// Command and arguments of a container with its environment put in.
pub fn command_args(c: &Container, env: &Map) -> (Vec<String>, Vec<String>) {
    let list =
        |l: &Option<Vec<String>>| -> Vec<String> { l.iter().flatten().map(|a| expand_map(a, env)).collect() };
    (list(&c.command), list(&c.args))
}

/// The services a pod sees as variables: those of its namespace unless links are off, and always `default/kubernetes`.
pub fn service_env(services: &[std::sync::Arc<Service>], namespace: &str, links: bool) -> Map {
    let mut chosen: BTreeMap<&str, &Service> = BTreeMap::new();
    for s in services {
        let ip = s.spec.as_ref().and_then(|s| s.cluster_ip.as_deref()).unwrap_or("");
        if ip.is_empty() || ip == "None" {
            continue;
        }
        let name = s.metadata.name.as_deref().unwrap_or("");
        let ns = s.metadata.namespace.as_deref().unwrap_or("");
        if ns == "default" && name == "kubernetes" {
            chosen.entry(name).or_insert(s);
        } else if ns == namespace && links {
            chosen.insert(name, s);
        }
    }
    let mut env = Map::new();
    for (name, s) in chosen {
        one_service(name, s, &mut env);
    }
    env
}

fn one_service(name: &str, s: &Service, env: &mut Map) {
    let Some(spec) = &s.spec else { return };
    let Some(ip) = &spec.cluster_ip else { return };
    let ports = spec.ports.as_deref().unwrap_or(&[]);
    let var = |n: &str| n.replace('-', "_").to_uppercase();
    let prefix = var(name);
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
    env.insert(format!("{prefix}_SERVICE_HOST"), ip.clone());
    for (i, p) in ports.iter().enumerate() {
        let protocol = p.protocol.as_deref().unwrap_or("TCP");
        let lower = protocol.to_lowercase();
        let url = format!("{lower}://{host}:{}", p.port);
        if i == 0 {
            env.insert(format!("{prefix}_SERVICE_PORT"), p.port.to_string());
            env.insert(format!("{prefix}_PORT"), url.clone());
        }
        if let Some(n) = p.name.as_deref().filter(|n| !n.is_empty()) {
            env.insert(format!("{prefix}_SERVICE_PORT_{}", var(n)), p.port.to_string());
        }
        let port = format!("{prefix}_PORT_{}_{}", p.port, protocol.to_uppercase());
        env.insert(format!("{port}_PROTO"), lower);
        env.insert(format!("{port}_PORT"), p.port.to_string());
        env.insert(format!("{port}_ADDR"), ip.clone());
        env.insert(port, url);
    }
}

/// What the sources of variables say; the caller fetches them beforehand or on demand.
pub trait Sources {
    /// The data of a ConfigMap; `Ok(None)` when there is none.
    fn config_map(&self, name: &str) -> Result<Option<Map>, String>;
    fn secret(&self, name: &str) -> Result<Option<BTreeMap<String, Vec<u8>>>, String>;
    fn field(&self, path: &str) -> Result<String, String>;
    fn resource(&self, container: &str, resource: &str, divisor: &str) -> Result<String, String>;
    /// A key in an env file of a volume; empty when it is not there.
    fn file_key(&self, volume: &str, path: &str, key: &str) -> Result<String, String>;
    fn namespace(&self) -> &str;
}

/// All variables of a container: service variables, under `envFrom`, under `env`.
pub fn environment(c: &Container, services: &Map, src: &dyn Sources) -> Result<Map, String> {
    let mut env = Map::new();
    let ns = src.namespace();
    for from in c.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or("");
        if let Some(r) = &from.config_map_ref {
            match src.config_map(&r.name)? {
                Some(data) => env.extend(data.into_iter().map(|(k, v)| (format!("{prefix}{k}"), v))),
                None if r.optional == Some(true) => {}
                None => return Err(format!("configmap {:?} not found", r.name)),
            }
        } else if let Some(r) = &from.secret_ref {
            match src.secret(&r.name)? {
                Some(data) => env.extend(
                    data.into_iter()
                        .map(|(k, v)| (format!("{prefix}{k}"), String::from_utf8_lossy(&v).into_owned())),
                ),
                None if r.optional == Some(true) => {}
                None => return Err(format!("secret {:?} not found", r.name)),
            }
        }
    }
    for v in c.env.iter().flatten() {
        let plain = v.value.as_deref().unwrap_or("");
        let value = if !plain.is_empty() {
            Some(expand(plain, &|n| env.get(n).or_else(|| services.get(n)).cloned()))
        } else {
            from_source(v, src, ns)?
        };
        if let Some(value) = value {
            env.insert(v.name.clone(), value);
        }
    }
    for (k, v) in services {
        env.entry(k.clone()).or_insert_with(|| v.clone());
    }
    Ok(env)
}

/// `None`: an optional source that is not there leaves the variable out.
fn from_source(v: &EnvVar, src: &dyn Sources, ns: &str) -> Result<Option<String>, String> {
    let Some(from) = &v.value_from else { return Ok(Some(String::new())) };
    if let Some(f) = &from.field_ref {
        return src.field(&f.field_path).map(Some);
    }
    if let Some(r) = &from.resource_field_ref {
        let divisor = r.divisor.as_ref().map_or("", |d| d.0.as_str());
        return src.resource(r.container_name.as_deref().unwrap_or(""), &r.resource, divisor).map(Some);
    }
    if let Some(r) = &from.config_map_key_ref {
        let optional = r.optional == Some(true);
        let Some(data) = src.config_map(&r.name)? else {
            return if optional { Ok(None) } else { Err(format!("configmap {:?} not found", r.name)) };
        };
        return match data.get(&r.key) {
            Some(v) => Ok(Some(v.clone())),
            None if optional => Ok(None),
            None => Err(format!("couldn't find key {} in ConfigMap {ns}/{}", r.key, r.name)),
        };
    }
    if let Some(r) = &from.secret_key_ref {
        let optional = r.optional == Some(true);
        let Some(data) = src.secret(&r.name)? else {
            return if optional { Ok(None) } else { Err(format!("secret {:?} not found", r.name)) };
        };
        return match data.get(&r.key) {
            Some(v) => Ok(Some(String::from_utf8_lossy(v).into_owned())),
            None if optional => Ok(None),
            None => Err(format!("couldn't find key {} in Secret {ns}/{}", r.key, r.name)),
        };
    }
    if let Some(f) = &from.file_key_ref {
        let value = src.file_key(&f.volume_name, &f.path, &f.key)?;
        if value.is_empty() {
            if f.optional == Some(true) {
                return Ok(None);
            }
            return Err(format!("environment variable key {:?} not found in file {:?}", f.key, f.path));
        }
        return Ok(Some(value));
    }
    Ok(Some(String::new()))
}

/// A key of an env file: `KEY=value` lines, `#` comments, optional quotes; the first match.
pub fn env_file_key(text: &str, key: &str) -> String {
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        if let Some((k, v)) = line.split_once('=')
            && k.trim() == key
        {
            let v = v.trim();
            for q in ['"', '\''] {
                if let Some(inner) = v.strip_prefix(q).and_then(|v| v.strip_suffix(q)) {
                    return inner.to_owned();
                }
            }
            return v.to_owned();
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn expansion() {
        let env = Map::from([("A".into(), "1".into()), ("EMPTY".into(), String::new())]);
        for (input, want) in [
            ("$(A)", "1"),
            ("x-$(A)-$(B)", "x-1-$(B)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$A", "$A"),
            ("$(A", "$(A"),
            ("$", "$"),
            ("[$(EMPTY)]", "[]"),
            ("$(A)$(A)é$é", "11é$é"),
        ] {
            assert_eq!(expand_map(input, &env), want, "{input}");
        }
    }

    fn service(ns: &str, name: &str, ip: &str, ports: serde_json::Value) -> Arc<Service> {
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"namespace": ns, "name": name}, "spec": {"clusterIP": ip, "ports": ports}}))
            .unwrap(),
        )
    }

    #[test]
    fn services() {
        let all = [
            service("default", "kubernetes", "10.0.0.1", json!([{"name": "https", "port": 443}])),
            service("ns", "my-db", "10.0.0.2", json!([{"port": 53, "protocol": "UDP"}])),
            service("ns", "headless", "None", json!([{"port": 1}])),
            service("other", "x", "10.0.0.3", json!([{"port": 1}])),
        ];
        let env = service_env(&all, "ns", true);
        let text: Vec<String> = env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        expect_test::expect![[r#"
            KUBERNETES_PORT=tcp://10.0.0.1:443
            KUBERNETES_PORT_443_TCP=tcp://10.0.0.1:443
            KUBERNETES_PORT_443_TCP_ADDR=10.0.0.1
            KUBERNETES_PORT_443_TCP_PORT=443
            KUBERNETES_PORT_443_TCP_PROTO=tcp
            KUBERNETES_SERVICE_HOST=10.0.0.1
            KUBERNETES_SERVICE_PORT=443
            KUBERNETES_SERVICE_PORT_HTTPS=443
            MY_DB_PORT=udp://10.0.0.2:53
            MY_DB_PORT_53_UDP=udp://10.0.0.2:53
            MY_DB_PORT_53_UDP_ADDR=10.0.0.2
            MY_DB_PORT_53_UDP_PORT=53
            MY_DB_PORT_53_UDP_PROTO=udp
            MY_DB_SERVICE_HOST=10.0.0.2
            MY_DB_SERVICE_PORT=53"#]]
        .assert_eq(&text.join("\n"));
        assert!(!service_env(&all, "ns", false).contains_key("MY_DB_SERVICE_HOST"));
    }

    struct Fake;
    impl Sources for Fake {
        fn config_map(&self, name: &str) -> Result<Option<Map>, String> {
            Ok((name == "cm").then(|| Map::from([("k".into(), "cmv".into())])))
        }
        fn secret(&self, name: &str) -> Result<Option<BTreeMap<String, Vec<u8>>>, String> {
            Ok((name == "s").then(|| BTreeMap::from([("k".into(), b"sv".to_vec())])))
        }
        fn field(&self, path: &str) -> Result<String, String> {
            Ok(format!("<{path}>"))
        }
        fn resource(&self, c: &str, r: &str, d: &str) -> Result<String, String> {
            Ok(format!("<{c} {r} {d}>"))
        }
        fn file_key(&self, _: &str, _: &str, key: &str) -> Result<String, String> {
            Ok(env_file_key("# c\nA=\"x y\"\nB=2\n", key))
        }
        fn namespace(&self) -> &str {
            "ns"
        }
    }

    #[test]
    fn sources() {
        let c: Container = serde_json::from_value(json!({
            "name": "c",
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "no", "optional": true}}],
            "env": [
                {"name": "A", "value": "$(P_k)/$(SVC)"},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "no", "optional": true}}},
                {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "E", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
                {"name": "F", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "A"}}},
                {"name": "SVC", "value": "mine"}]}))
        .unwrap();
        let env = environment(&c, &Map::from([("SVC".into(), "svc".into())]), &Fake).unwrap();
        let text: Vec<String> = env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        expect_test::expect![[r#"
            A=cmv/svc
            B=sv
            D=<metadata.name>
            E=< limits.cpu 1m>
            F=x y
            P_k=cmv
            SVC=mine"#]]
        .assert_eq(&text.join("\n"));
        let missing: Container = serde_json::from_value(json!({
            "name": "c", "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "no"}}}]}))
        .unwrap();
        assert_eq!(
            environment(&missing, &Map::new(), &Fake).unwrap_err(),
            "couldn't find key no in ConfigMap ns/cm"
        );
    }
}

//! Credential plugins: a command that prints an `ExecCredential` (client-go `plugin/pkg/client/auth/exec`).

use super::kubeconfig::Cluster;
use crate::Error;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::process::Stdio;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecConfig {
    #[serde(default)]
    pub command: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<EnvVar>>,
    #[serde(default)]
    pub api_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_hint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provide_cluster_info: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interactive_mode: Option<String>,
    /// The cluster to tell the plugin about.
    #[serde(skip)]
    pub cluster: Option<Box<Cluster>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    pub name: String,
    pub value: String,
}

/// What a plugin gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credential {
    pub token: Option<String>,
    /// Certificates and key, PEM.
    pub client_cert: Option<(Vec<u8>, Vec<u8>)>,
    /// Until when, in seconds since 1970.
    pub expires: Option<i64>,
}

impl ExecConfig {
    /// The `KUBERNETES_EXEC_INFO` the plugin is given.
    fn info(&self, interactive: bool) -> Value {
        let mut spec = json!({ "interactive": interactive });
        if let Some(c) = &self.cluster {
            let mut cluster = json!({ "server": c.server });
            if let Some(n) = &c.tls_server_name {
                cluster["tls-server-name"] = json!(n);
            }
            if c.insecure_skip_tls_verify.unwrap_or_default() {
                cluster["insecure-skip-tls-verify"] = json!(true);
            }
            if let Some(d) = &c.certificate_authority_data {
                cluster["certificate-authority-data"] = json!(d);
            }
            let ext = c.extensions.iter().filter_map(Value::as_array).flatten();
            let mut named = ext.filter(|e| e["name"] == "client.authentication.k8s.io/exec");
            if let Some(e) = named.next() {
                cluster["config"] = e["extension"].clone();
            }
            spec["cluster"] = cluster;
        }
        json!({ "kind": "ExecCredential", "apiVersion": self.api_version, "spec": spec })
    }

    /// Runs the plugin.
    pub async fn run(&self) -> Result<Credential, Error> {
        let fail = |why: String| Error::Config(format!("getting credentials: exec: {why}"));
        if !matches!(
            self.api_version.as_str(),
            "client.authentication.k8s.io/v1" | "client.authentication.k8s.io/v1beta1"
        ) {
            return Err(fail(format!("invalid apiVersion {:?}", self.api_version)));
        }
        let tty = std::io::IsTerminal::is_terminal(&std::io::stdin());
        let interactive = match self.interactive_mode.as_deref() {
            Some("Never") => false,
            Some("Always") if !tty => {
                return Err(fail("plugin needs standard input, which is not a terminal".into()));
            }
            _ => tty,
        };
        let mut cmd = tokio::process::Command::new(&self.command);
        cmd.args(self.args.iter().flatten())
            .envs(self.env.iter().flatten().map(|e| (&e.name, &e.value)))
            .env("KUBERNETES_EXEC_INFO", self.info(interactive).to_string())
            .stdin(if interactive { Stdio::inherit() } else { Stdio::null() })
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let out = cmd.output().await.map_err(|e| {
            let hint = self.install_hint.as_ref().map(|h| format!("\n\n{h}")).unwrap_or_default();
            fail(if e.kind() == std::io::ErrorKind::NotFound {
                format!("executable {} not found{hint}", self.command)
            } else {
                format!("executable {} failed: {e}{hint}", self.command)
            })
        })?;
        if !out.status.success() {
            let code = out.status.code().unwrap_or(-1);
            return Err(fail(format!("executable {} failed with exit code {code}", self.command)));
        }
        parse(&out.stdout, &self.api_version).map_err(fail)
    }
}

fn parse(stdout: &[u8], api_version: &str) -> Result<Credential, String> {
    let v: Value = serde_json::from_slice(stdout).map_err(|e| format!("decoding stdout: {e}"))?;
    if v["apiVersion"] != api_version {
        return Err(format!(
            "plugin is configured to use API version {api_version}, plugin returned version {}",
            v["apiVersion"].as_str().unwrap_or("none")
        ));
    }
    let s = &v["status"];
    if s.is_null() {
        return Err("the plugin didn't return a status field".into());
    }
    let text = |k: &str| s[k].as_str().filter(|t| !t.is_empty()).map(str::to_owned);
    let client_cert = match (text("clientCertificateData"), text("clientKeyData")) {
        (Some(c), Some(k)) => Some((c.into_bytes(), k.into_bytes())),
        (None, None) => None,
        _ => return Err("plugin returned only certificate or key, not both".into()),
    };
    let c = Credential {
        token: text("token"),
        client_cert,
        expires: text("expirationTimestamp")
            .and_then(|t| meta::time::Timestamp::parse(&t))
            .map(|t| t.seconds),
    };
    if c.token.is_none() && c.client_cert.is_none() {
        return Err("the plugin didn't return a token or cert/key pair".into());
    }
    Ok(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let v = "client.authentication.k8s.io/v1";
        let ok = format!(
            r#"{{"apiVersion":"{v}","kind":"ExecCredential","status":{{"token":"t","expirationTimestamp":"1970-01-01T00:01:00Z"}}}}"#
        );
        assert_eq!(
            parse(ok.as_bytes(), v),
            Ok(Credential { token: Some("t".into()), client_cert: None, expires: Some(60) })
        );
        let cases = [
            (r#"{"apiVersion":"x","status":{"token":"t"}}"#.to_owned(), "plugin returned version x"),
            (format!(r#"{{"apiVersion":"{v}"}}"#), "didn't return a status"),
            (format!(r#"{{"apiVersion":"{v}","status":{{}}}}"#), "didn't return a token"),
            (format!(r#"{{"apiVersion":"{v}","status":{{"clientKeyData":"k"}}}}"#), "not both"),
            ("nonsense".to_owned(), "decoding stdout"),
        ];
        for (text, want) in cases {
            let e = parse(text.as_bytes(), v).unwrap_err();
            assert!(e.contains(want), "{e}");
        }
    }
}

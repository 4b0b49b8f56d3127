//! The keys, certificates and kubeconfigs of a cluster whose components run alone, made with openssl: nobody's product is
//! needed to run the other's cluster.

use crate::sh;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct Pki {
    pub dir: PathBuf,
    server: String,
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

impl Pki {
    /// A CA and the keys of service accounts, in an empty folder. `server` is the API's address.
    pub fn new(dir: PathBuf, server: &str) -> Result<Self, String> {
        crate::packages::install(&[("openssl", "openssl")])?;
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        // The host's own configuration would make every certificate one of a CA.
        write(&dir.join("openssl.cnf"), "[req]\ndistinguished_name = dn\n[dn]\n")?;
        let pki = Self { dir, server: server.to_owned() };
        pki.request("ca", "/CN=ca", &["-addext", "basicConstraints=critical,CA:TRUE"])?;
        let (key, public) = (pki.path("sa.key"), pki.path("sa.pub"));
        pki.openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &key])?;
        pki.openssl(&["pkey", "-in", &key, "-pubout", "-out", &public])?;
        Ok(pki)
    }

    /// A path in the folder, as an argument.
    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn openssl(&self, args: &[&str]) -> Result<(), String> {
        let mut c = Command::new("openssl");
        sh::output(c.args(args).stdin(Stdio::null())).map(drop)
    }

    fn request(&self, name: &str, subject: &str, more: &[&str]) -> Result<(), String> {
        let (key, crt, conf) =
            (self.path(&format!("{name}.key")), self.path(&format!("{name}.crt")), self.path("openssl.cnf"));
        let mut args = vec!["req", "-x509", "-config", &conf, "-newkey", "ec", "-pkeyopt"];
        args.extend(["ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", subject]);
        args.extend(["-keyout", &key, "-out", &crt]);
        args.extend(more);
        self.openssl(&args)
    }

    /// `NAME.key` and `NAME.crt`, signed by the CA. `names` as openssl has them: `IP:192.0.2.1,DNS:a.b`.
    pub fn certificate(&self, name: &str, subject: &str, names: &str) -> Result<(), String> {
        let (ca, key) = (self.path("ca.crt"), self.path("ca.key"));
        let san = format!("subjectAltName={names}");
        self.request(name, subject, &["-CA", &ca, "-CAkey", &key, "-addext", &san])
    }

    /// A client: its certificate, and `NAME.conf`, a kubeconfig.
    pub fn client(&self, name: &str, subject: &str) -> Result<(), String> {
        self.certificate(name, subject, "IP:127.0.0.1")?;
        self.kubeconfig(name)
    }

    /// `NAME.conf` for a certificate there is.
    pub fn kubeconfig(&self, name: &str) -> Result<(), String> {
        let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": self.server, "certificate-authority": self.path("ca.crt")}}],
            "users": [{"name": "u", "user": {"client-certificate": self.path(&format!("{name}.crt")),
                "client-key": self.path(&format!("{name}.key"))}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]});
        write(&self.dir.join(format!("{name}.conf")), &text.to_string())
    }
}

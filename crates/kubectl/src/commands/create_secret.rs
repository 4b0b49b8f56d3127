//! Makers of secrets with a shape: certificates, logins of registries.

use super::create::{HASH, make, name, with_hash};
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

super::commands! {
    "create secret tls" "NAME --cert=path/to/cert/file --key=path/to/key/file"
        "Create a TLS secret\n\nThe certificate must be PEM and fit the key."
        "kubectl create secret tls web --cert=web.crt --key=web.key"
        TLS, tls;
    "create secret docker-registry" "NAME --docker-username=user --docker-password=password --docker-email=email [--docker-server=string] [--from-file=[key=]source]"
        "Create a secret for use with a Docker registry\n\nA pod uses it when its imagePullSecrets, or those of its service account, name it."
        "kubectl create secret docker-registry pull --docker-server=reg.example.com --docker-username=u --docker-password=p\nkubectl create secret docker-registry pull --from-file=~/.docker/config.json"
        REGISTRY, registry;
}

const TLS: &[Flag] = join!(
    super::create::MAKE,
    &[
        HASH,
        flag("cert", None, Form::Text, "", "Path of the certificate, PEM"),
        flag("key", None, Form::Text, "", "Path of its private key")
    ]
);
const REGISTRY: &[Flag] = join!(
    super::create::MAKE,
    &[
        HASH,
        flag("docker-username", None, Form::Text, "", "Username at the registry"),
        flag("docker-password", None, Form::Text, "", "Password at the registry"),
        flag("docker-email", None, Form::Text, "", "Email address"),
        flag("docker-server", None, Form::Text, "https://index.docker.io/v1/", "The registry"),
        flag("from-file", None, Form::List, "", "A file of docker's: [key=]source")
    ]
);

fn read(p: &str) -> Result<Vec<u8>, Error> {
    std::fs::read(p)
        .map_err(|e| Error::plain(format!("Cannot read file {p}, open {p}: {}", crate::files::why(&e))))
}

pub async fn tls(cx: Cx) -> Result<(), Error> {
    let n = name(&cx)?;
    let (cert, key) = (cx.p.text("cert"), cx.p.text("key"));
    if cert.is_empty() || key.is_empty() {
        return Err(Error::plain("key and cert must be specified"));
    }
    let (cert, key) = (read(cert)?, read(key)?);
    client::check_key_pair(&cert, &key).map_err(Error::plain)?;
    let v = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": n}, "type": "kubernetes.io/tls",
        "data": {"tls.crt": STANDARD.encode(cert), "tls.key": STANDARD.encode(key)}});
    make(&cx, with_hash(&cx, v)).await
}

pub async fn registry(cx: Cx) -> Result<(), Error> {
    let n = name(&cx)?;
    let t = |f: &str| cx.p.text(f);
    let mut v = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": n},
        "type": "kubernetes.io/dockerconfigjson"});
    let files = cx.p.list("from-file");
    let (user, password, server) = (t("docker-username"), t("docker-password"), t("docker-server"));
    if files.is_empty() && (user.is_empty() || password.is_empty() || server.is_empty()) {
        return Err(Error::plain(
            "either --from-file or the combination of --docker-username, --docker-password and --docker-server is required",
        ));
    }
    for f in &files {
        let (k, p) = f.split_once('=').unwrap_or((".dockerconfigjson", f));
        v["data"][k] = STANDARD.encode(read(p)?).into();
    }
    if files.is_empty() {
        let auth = STANDARD.encode(format!("{user}:{password}"));
        // The order of keys in the file is that of docker's own.
        let mut text = format!(
            "{{\"auths\":{{{}:{{\"username\":{},\"password\":{}",
            json!(server),
            json!(user),
            json!(password)
        );
        if !t("docker-email").is_empty() {
            text.push_str(&format!(",\"email\":{}", json!(t("docker-email"))));
        }
        text.push_str(&format!(",\"auth\":{}}}}}}}", json!(auth)));
        v["data"][".dockerconfigjson"] = STANDARD.encode(text).into();
    }
    make(&cx, with_hash(&cx, v)).await
}

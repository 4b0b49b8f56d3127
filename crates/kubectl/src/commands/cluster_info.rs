//! `cluster-info`: where the control plane and its services are.

use crate::cx::Cx;
use crate::error::Error;
use crate::objects::text;
use crate::print;

super::commands! {
    "cluster-info" ""
        "Display addresses of the control plane and of services that belong to it"
        "kubectl cluster-info"
        &[], run;
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let server = cx.config()?.server;
    let server = server.trim_end_matches('/');
    print::line(&format!("Kubernetes control plane is running at {server}"));
    let sel = "/api/v1/namespaces/kube-system/services?labelSelector=kubernetes.io%2Fcluster-service%3Dtrue";
    let list = cx.get(sel).await?;
    for s in list["items"].as_array().into_iter().flatten() {
        let name = text(s, "/metadata/name");
        let shown = match text(s, "/metadata/labels/kubernetes.io~1name") {
            "" => name,
            n => n,
        };
        let ingress = s["status"]["loadBalancer"]["ingress"].as_array().and_then(|a| a.first());
        let at = if let Some(i) = ingress {
            let ip = if text(i, "/ip").is_empty() { text(i, "/hostname") } else { text(i, "/ip") };
            let ports = s["spec"]["ports"].as_array().into_iter().flatten();
            ports.map(|p| format!("http://{ip}:{} ", p["port"])).collect()
        } else {
            let port = &s["spec"]["ports"][0];
            let port_name = text(port, "/name");
            let https = port_name == "https" || port["port"] == 443;
            let scheme = if https { "https:" } else { "" };
            let tail = if port_name.is_empty() && !https { String::new() } else { format!(":{port_name}") };
            format!(
                "{server}/api/v1/namespaces/{}/services/{scheme}{name}{tail}/proxy",
                text(s, "/metadata/namespace")
            )
        };
        print::line(&format!("{shown} is running at {at}"));
    }
    print::line("\nTo further debug and diagnose cluster problems, use 'kubectl cluster-info dump'.");
    Ok(())
}

//! `version`.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::text;
use crate::print;
use serde_json::json;

super::commands! {
    "version" ""
        "Print the client and server version information"
        "kubectl version\nkubectl version --client -o yaml"
        FLAGS, run;
}

pub const FLAGS: &[Flag] = &[
    flag("client", None, Form::Bool, "false", "Shows client version only (no server required)"),
    flag("output", Some('o'), Form::Text, "", "One of 'yaml' or 'json'"),
];

const VERSION: &str = "v1.37.2";

pub async fn run(cx: Cx) -> Result<(), Error> {
    let o = cx.p.text("output");
    if !matches!(o, "" | "json" | "yaml") {
        return Err(Error::plain("--output must be 'yaml' or 'json'"));
    }
    let server = if cx.p.on("client") { None } else { Some(cx.get("/version").await) };
    if o.is_empty() {
        print::line(&format!("Client Version: {VERSION}"));
    }
    let mut v = json!({"clientVersion": {"major": "1", "minor": "37", "gitVersion": VERSION,
        "platform": format!("linux/{}", if std::env::consts::ARCH == "x86_64" { "amd64" } else { "arm64" })}});
    match server {
        Some(Ok(s)) if o.is_empty() => print::line(&format!("Server Version: {}", text(&s, "/gitVersion"))),
        Some(Ok(s)) => v["serverVersion"] = s,
        Some(Err(e)) => return Err(e),
        None => {}
    }
    match o {
        "json" => print::line(&serde_json::to_string_pretty(&v).map_err(|e| Error::plain(e.to_string()))?),
        "yaml" => print::line(&print::yaml(&v)),
        _ => {}
    }
    Ok(())
}

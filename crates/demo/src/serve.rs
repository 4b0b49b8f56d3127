//! A web server that says who answers; `/healthz`, `/version`, `/env`, `/slow?SECONDS`, `/exit`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

/// How long requests are still answered after SIGTERM, while load balancers learn that this server goes.
pub const LAME_DUCK: Duration = Duration::from_secs(2);

static VERSION: OnceLock<String> = OnceLock::new();

pub fn run(args: &[String]) -> Result<(), String> {
    let port: u16 = match args.first() {
        None => 8080,
        Some(p) => p.parse().map_err(|_| format!("{p:?} is not a port"))?,
    };
    let version = std::fs::read_to_string("/etc/demo-version").unwrap_or_else(|_| "dev".to_owned());
    let _ = VERSION.set(version.trim().to_owned());
    let listener = TcpListener::bind(("::", port))
        .or_else(|_| TcpListener::bind(("0.0.0.0", port)))
        .map_err(|e| format!("cannot listen on port {port}: {e}"))?;
    println!("serving version {} on port {port}", VERSION.get().map_or("", String::as_str));
    for c in listener.incoming().flatten() {
        std::thread::spawn(move || connection(c));
    }
    Ok(())
}

fn connection(c: TcpStream) {
    let _ = c.set_read_timeout(Some(Duration::from_secs(60)));
    let Ok(mut out) = c.try_clone() else { return };
    let client = c.peer_addr().map(|a| format!("{}\n", a.ip().to_canonical())).unwrap_or_default();
    let mut input = BufReader::new(c);
    loop {
        let mut line = String::new();
        if input.by_ref().take(8192).read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let target = line.split_whitespace().nth(1).unwrap_or("/").to_owned();
        let mut length = 0_u64;
        let mut close = line.trim_end().ends_with("HTTP/1.0");
        loop {
            let mut h = String::new();
            if input.by_ref().take(8192).read_line(&mut h).unwrap_or(0) == 0 {
                return;
            }
            let h = h.trim_end().to_ascii_lowercase();
            if h.is_empty() {
                break;
            }
            if let Some(v) = h.strip_prefix("content-length:") {
                length = v.trim().parse().unwrap_or(0);
            }
            close |= h == "connection: close";
        }
        let _ = std::io::copy(&mut input.by_ref().take(length.min(1 << 20)), &mut std::io::sink());
        let (status, body) = match target.as_str() {
            // Who is asking: what is left of the address after all the translating on the way.
            "/client" => ("200 OK", client.clone()),
            other => answer(other),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: {}\r\n\r\n",
            body.len(),
            if close { "close" } else { "keep-alive" }
        );
        if out.write_all(head.as_bytes()).and_then(|()| out.write_all(body.as_bytes())).is_err() || close {
            return;
        }
        println!("GET {target} {status}");
    }
}

fn answer(target: &str) -> (&'static str, String) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let version = VERSION.get().map_or("", String::as_str);
    match path {
        "/healthz" | "/readyz" => ("200 OK", "ok\n".to_owned()),
        "/version" => ("200 OK", format!("{version}\n")),
        "/env" => {
            let mut e: Vec<String> = std::env::vars().map(|(k, v)| format!("{k}={v}\n")).collect();
            e.sort();
            ("200 OK", e.concat())
        }
        "/slow" => {
            std::thread::sleep(Duration::from_secs(query.parse().unwrap_or(1).min(60)));
            ("200 OK", "slow\n".to_owned())
        }
        "/exit" => std::process::abort(),
        _ => {
            let host = crate::tools::host_name();
            ("200 OK", format!("Hello from {host}, version {version}, path {path}\n"))
        }
    }
}

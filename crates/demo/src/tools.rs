//! The tools.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// Sleeps for ever; `signals` has the kernel reap what is left behind, and ends the process when told to.
pub fn pause(_: &[String]) -> Result<(), String> {
    loop {
        std::thread::park();
    }
}

pub fn sleep(args: &[String]) -> Result<(), String> {
    match args.first().map(String::as_str) {
        Some("infinity") => pause(args),
        Some(s) => {
            let s: f64 =
                s.trim_end_matches('s').parse().map_err(|_| format!("{s:?} is not a number of seconds"))?;
            std::thread::sleep(Duration::from_secs_f64(s.clamp(0.0, 1e9)));
            Ok(())
        }
        None => Err("how many seconds?".to_owned()),
    }
}

pub fn echo(args: &[String]) -> Result<(), String> {
    println!("{}", args.join(" "));
    Ok(())
}

pub fn cat(args: &[String]) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    if args.is_empty() {
        std::io::copy(&mut std::io::stdin(), &mut out).map_err(|e| e.to_string())?;
    }
    for a in args {
        let mut f = std::fs::File::open(a).map_err(|e| format!("{a}: {e}"))?;
        std::io::copy(&mut f, &mut out).map_err(|e| format!("{a}: {e}"))?;
    }
    Ok(())
}

pub fn ls(args: &[String]) -> Result<(), String> {
    let here = [".".to_owned()];
    for a in if args.is_empty() { &here[..] } else { args } {
        let dir = std::fs::read_dir(a).map_err(|e| format!("{a}: {e}"))?;
        let mut names: Vec<String> =
            dir.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        for n in names {
            println!("{n}");
        }
    }
    Ok(())
}

pub fn env(_: &[String]) -> Result<(), String> {
    for (k, v) in std::env::vars() {
        println!("{k}={v}");
    }
    Ok(())
}

pub fn hostname(_: &[String]) -> Result<(), String> {
    println!("{}", host_name());
    Ok(())
}

pub fn exit(args: &[String]) -> Result<(), String> {
    Err(format!("exit {}", args.first().map_or("0", String::as_str)))
}

fn connect(host: &str, port: u16, limit: Duration) -> Result<TcpStream, String> {
    let addrs = (host, port).to_socket_addrs().map_err(|e| format!("{host}: {e}"))?;
    let mut last = format!("{host}: no address");
    for a in addrs {
        match TcpStream::connect_timeout(&a, limit) {
            Ok(s) => return Ok(s),
            Err(e) => last = format!("{a}: {e}"),
        }
    }
    Err(last)
}

pub fn wget(args: &[String]) -> Result<(), String> {
    let mut limit = 10;
    let mut url = None;
    let mut it = args.iter();
    while let Some(a) = it.next() {
        match a.as_str() {
            "-T" => limit = it.next().and_then(|s| s.parse().ok()).ok_or("-T wants seconds")?,
            "-O" => drop(it.next()),
            a if a.starts_with('-') => {}
            a => url = Some(a.to_owned()),
        }
    }
    let url = url.ok_or("which URL?")?;
    let rest = url.strip_prefix("http://").unwrap_or(&url);
    let (host, path) = rest.split_once('/').map_or((rest, String::new()), |(h, p)| (h, p.to_owned()));
    let (name, port) = match host.rsplit_once(':') {
        Some((n, p)) => (n, p.parse().map_err(|_| format!("{p:?} is not a port"))?),
        None => (host, 80),
    };
    let limit = Duration::from_secs(limit);
    let mut s = connect(name.trim_matches(['[', ']']), port, limit)?;
    s.set_read_timeout(Some(limit)).map_err(|e| e.to_string())?;
    write!(s, "GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n").map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    s.read_to_end(&mut answer).map_err(|e| e.to_string())?;
    let split = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or("the answer is not HTTP")?;
    let status = String::from_utf8_lossy(&answer[..split]).lines().next().unwrap_or_default().to_owned();
    std::io::stdout().write_all(&answer[split + 4..]).map_err(|e| e.to_string())?;
    if status.split_whitespace().nth(1).is_some_and(|c| c.starts_with('2')) { Ok(()) } else { Err(status) }
}

pub fn nslookup(args: &[String]) -> Result<(), String> {
    let name = args.first().ok_or("which name?")?;
    let mut addrs: Vec<String> = (name.as_str(), 0)
        .to_socket_addrs()
        .map_err(|e| format!("{name}: {e}"))?
        .map(|a| a.ip().to_string())
        .collect();
    addrs.sort();
    addrs.dedup();
    for a in addrs {
        println!("{a}");
    }
    Ok(())
}

pub fn nc(args: &[String]) -> Result<(), String> {
    let [host, port] = args else { return Err("usage: nc HOST PORT".to_owned()) };
    let port = port.parse().map_err(|_| format!("{port:?} is not a port"))?;
    let mut s = connect(host, port, Duration::from_secs(10))?;
    let mut back = s.try_clone().map_err(|e| e.to_string())?;
    let reader = std::thread::spawn(move || std::io::copy(&mut back, &mut std::io::stdout()));
    std::io::copy(&mut std::io::stdin(), &mut s).map_err(|e| e.to_string())?;
    let _ = s.shutdown(std::net::Shutdown::Write);
    reader.join().map_err(|_| "reader failed")?.map_err(|e| e.to_string())?;
    Ok(())
}

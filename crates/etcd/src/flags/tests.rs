//! Flags as manifests give them.

use super::*;

fn parsed(args: &[&str], env: &[(&str, &str)]) -> Result<Config, String> {
    let find = |n: &str| env.iter().find(|(k, _)| *k == n).map(|(_, v)| (*v).to_owned());
    match parse(args.iter().map(|a| (*a).to_owned()).collect(), find)? {
        Parsed::Run(c) => Ok(*c),
        Parsed::Text(t) => Err(t),
    }
}

#[test]
fn durations() {
    for (text, want) in [("5s", 5.0), ("1h30m", 5400.0), ("100ms", 0.1), ("1.5h", 5400.0), ("0s", 0.0)] {
        assert_eq!(duration(text), Ok(Duration::from_secs_f64(want)), "{text}");
    }
    for text in ["", "5", "s", "5 s", "5d", "-5s", "9999999999999h"] {
        assert!(duration(text).is_err(), "{text}");
    }
}

#[test]
fn what_kubeadm_writes_is_understood() {
    let c = parsed(
        &[
            "--advertise-client-urls=https://10.0.0.1:2379",
            "--cert-file=/pki/server.crt",
            "--client-cert-auth=true",
            "--data-dir=/var/lib/etcd",
            "--initial-advertise-peer-urls=https://10.0.0.1:2380",
            "--initial-cluster=node1=https://10.0.0.1:2380",
            "--key-file=/pki/server.key",
            "--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379",
            "--listen-metrics-urls=http://127.0.0.1:2381",
            "--listen-peer-urls=https://10.0.0.1:2380",
            "--name=node1",
            "--peer-cert-file=/pki/peer.crt",
            "--peer-client-cert-auth=true",
            "--peer-key-file=/pki/peer.key",
            "--peer-trusted-ca-file=/pki/ca.crt",
            "--snapshot-count=10000",
            "--trusted-ca-file=/pki/ca.crt",
            "--watch-progress-notify-interval=5s",
        ],
        &[],
    )
    .unwrap();
    assert_eq!(c.listen_client_urls.len(), 2);
    assert!(c.client_cert_auth);
    assert_eq!(c.watch_progress_notify_interval, Duration::from_secs(5));
    assert_eq!(c.retention(), Ok(Retention::All));
    assert!(c.notices()[0].contains("--peer-cert-file") && c.notices()[0].contains("--snapshot-count"));
}

#[test]
fn defaults_and_environment() {
    let c = parsed(&[], &[]).unwrap();
    assert_eq!(c.dir(), PathBuf::from("default.etcd"));
    assert_eq!((c.quota(), c.max_txn_ops, c.notices().len()), (Some(2 << 30), 128, 0));
    let env = [("ETCD_NAME", "n"), ("ETCD_QUOTA_BACKEND_BYTES", "-1"), ("ETCD_UNSAFE_NO_FSYNC", "true")];
    let c = parsed(&["--name", "flag"], &env).unwrap();
    assert_eq!((c.name.as_str(), c.quota(), c.unsafe_no_fsync), ("flag", None, true));
    let c = parsed(&["--auto-compaction-retention=8", "--quota-backend-bytes=1000"], &[]).unwrap();
    assert_eq!((c.retention(), c.quota()), (Ok(Retention::Time(Duration::from_secs(8 * 3600))), Some(1000)));
    let c = parsed(&["--auto-compaction-retention=30m"], &[]).unwrap();
    assert_eq!(c.retention(), Ok(Retention::Time(Duration::from_secs(1800))));
    let c = parsed(&["--auto-compaction-mode=revision", "--auto-compaction-retention=1000"], &[]).unwrap();
    assert_eq!(c.retention(), Ok(Retention::Revisions(1000)));
}

#[test]
fn what_cannot_be_is_refused() {
    for (args, want) in [
        (
            vec!["--initial-cluster=default=http://a:2380,b=http://b:2380"],
            "names other members (b=http://b:2380)",
        ),
        (vec!["--cert-file=x"], "--cert-file and --key-file go together"),
        (vec!["--client-cert-auth"], "needs --trusted-ca-file"),
        (vec!["--listen-client-urls=https://127.0.0.1:1"], "needs --cert-file and --key-file"),
        (vec!["--auto-compaction-retention=x"], "is no duration"),
        (vec!["--auto-compaction-mode=revision", "--auto-compaction-retention=1h"], "is no revision"),
        (vec!["--auto-compaction-mode=other"], "possible values"),
        (vec!["--proxy=on"], "unexpected argument"),
        (vec!["--watch-progress-notify-interval=5"], "is no duration"),
    ] {
        let e = parsed(&args, &[]).unwrap_err();
        assert!(e.contains(want), "{args:?}: {e}");
    }
    assert!(parsed(&["--help"], &[]).unwrap_err().contains("--listen-client-urls"));
}

//! Flags that kube-scheduler v1.37 has and keelson does not carry out, with the values that ask for what happens anyway.
//!
//! The names and defaults are those of upstream's `--help`. What all components have is in [`guard::flags::SHARED`].

use runtime::args::Foreign;

pub const FOREIGN: &[Foreign] = &[
    Foreign("write-config-to", false, &[""]),
    Foreign("cert-dir", false, &[""]),
    Foreign("authentication-tolerate-lookup-failure", true, &["true"]),
    Foreign("requestheader-allowed-names", false, &[""]),
    Foreign("requestheader-client-ca-file", false, &[""]),
    Foreign("requestheader-extra-headers-prefix", false, &["x-remote-extra-", "", "X-Remote-Extra-"]),
    Foreign("requestheader-group-headers", false, &["x-remote-group", "", "X-Remote-Group"]),
    Foreign("requestheader-uid-headers", false, &[""]),
    Foreign("requestheader-username-headers", false, &["x-remote-user", "", "X-Remote-User"]),
    Foreign("kube-api-burst", false, &["100"]),
    Foreign("kube-api-content-type", false, &["application/vnd.kubernetes.protobuf", ""]),
    Foreign("kube-api-qps", false, &["50"]),
    Foreign("pod-max-in-unschedulable-pods-duration", false, &["5m0s"]),
];

//! The command line with what guides of years past say in it.

use crate::flags::Flags;
use crate::upstream::FOREIGN;
use runtime::args::Old;

const OLD: &[Old] = &[
    Old {
        name: "address",
        switch: false,
        now: Some("insecure-bind-address"),
        became: "is now --insecure-bind-address",
    },
    Old { name: "port", switch: false, now: Some("insecure-port"), became: "is now --insecure-port" },
    Old {
        name: "kubelet-https",
        switch: true,
        now: None,
        became: "is gone: kubelets are spoken to by TLS, always",
    },
    Old {
        name: "experimental-bootstrap-token-auth",
        switch: true,
        now: Some("enable-bootstrap-token-auth"),
        became: "is now --enable-bootstrap-token-auth",
    },
    Old { name: "apiserver-count", switch: false, now: None, became: "is gone: servers count themselves" },
    Old {
        name: "logtostderr",
        switch: true,
        now: None,
        became: "is always so: the log goes to standard error",
    },
    Old {
        name: "admission-control",
        switch: false,
        now: Some("enable-admission-plugins"),
        became: "is now --enable-admission-plugins; plugins that are on by default stay on, but ServiceAccount only if listed",
    },
];

pub fn parse(mut args: Vec<String>) -> Result<(Flags, Vec<String>), (String, bool)> {
    // Before admission had defaults the list was all there was; pods without a token are what leaving this out meant.
    let list = args.iter().find_map(|a| a.strip_prefix("--admission-control="));
    if list.is_some_and(|l| !l.split(',').any(|p| p == "ServiceAccount")) {
        args.push("--disable-admission-plugins=ServiceAccount".into());
    }
    guard::flags::parse(args, "kube-apiserver", OLD, &[FOREIGN, guard::flags::SHARED])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str) -> Result<(Flags, Vec<String>), String> {
        parse(line.split_whitespace().map(str::to_owned).collect()).map_err(|e| e.0)
    }

    #[test]
    fn the_guides_line_is_understood() {
        let (f, notes) = check(
            "--admission-control=NamespaceLifecycle,LimitRanger,DefaultStorageClass,ResourceQuota,NodeRestriction \
             --insecure-bind-address=0.0.0.0 --kubelet-https=false --service-cluster-ip-range=10.68.0.0/16 \
             --service-node-port-range=20000-40000 --etcd-servers=http://192.0.2.1:2379 --enable-swagger-ui=true \
             --allow-privileged=true --audit-log-maxage=30 --audit-log-maxbackup=3 --audit-log-maxsize=100 \
             --audit-log-path=/var/lib/audit.log --event-ttl=1h --v=2 --advertise-address=192.0.2.1",
        )
        .unwrap();
        assert_eq!(notes.len(), 2);
        assert!(f.enable_swagger_ui);
        assert_eq!(f.insecure().map(|(a, p)| format!("{a}:{p}")).as_deref(), Some("0.0.0.0:8080"));
        assert_eq!(f.disable_admission_plugins, ["ServiceAccount"]);
        assert_eq!(f.enable_admission_plugins.len(), 5);
        assert_eq!(f.etcd_servers, ["http://192.0.2.1:2379"]);
    }

    #[test]
    fn an_open_door_beside_rbac_is_said_twice() {
        let check = |line: &str| check(line).and_then(|(f, _)| f.check()).unwrap_err_or_default();
        let rbac = "--authorization-mode=RBAC --advertise-address=192.0.2.1 --cert-dir=/proc/nowhere";
        let open = "--insecure-bind-address=0.0.0.0";
        assert!(check(&format!("{rbac} {open}")).contains("give the flag twice"));
        assert!(!check(&format!("{rbac} {open} {open}")).contains("twice"));
        assert!(!check(&format!("{rbac} --insecure-bind-address=127.0.0.1")).contains("twice"));
    }

    trait ErrText {
        fn unwrap_err_or_default(self) -> String;
    }
    impl ErrText for Result<(), String> {
        fn unwrap_err_or_default(self) -> String {
            self.err().unwrap_or_default()
        }
    }

    #[test]
    fn requests_are_served_fairly_whatever_is_asked() {
        assert!(check("--enable-priority-and-fairness").is_ok());
        assert!(check("--enable-priority-and-fairness=false").err().unwrap().contains("does not do that"));
    }

    #[test]
    fn flags_nobody_has_are_unknown() {
        assert_eq!(check("--x").err().unwrap(), "unknown flag: --x");
        assert!(check("--oidc-issuer-url=https://x").err().unwrap().contains("does not do that"));
    }
}

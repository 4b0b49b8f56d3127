//! What must be true of a token besides its signature: its times, and that what it is bound to still exists.

use super::{Claims, Ref, refuse};
use crate::bootstrap_token::{data, same};
use crate::{Authenticated, CREDENTIAL_ID, Error, Identity, Lookup, SecretUse};
use meta::UserInfo;
use meta::object::ObjectExt;
use meta::time::Timestamp;

/// Clocks may differ by this many seconds; so long an object that is being deleted still counts.
const LEEWAY: i64 = 60;
const INVALIDATED: &str = "service account token has been invalidated";

fn deleted_before(obj: &Identity, limit: i64) -> bool {
    obj.deletion.is_some_and(|t| t.seconds < limit)
}

pub(super) fn bound(
    claims: &Claims,
    now: Timestamp,
    lookup: &dyn Lookup,
    out: &mut Authenticated,
) -> Result<(), Error> {
    let t = now.seconds;
    if claims.nbf.is_some_and(|n| t + LEEWAY < n) {
        return refuse("service account token is not valid yet");
    }
    if claims.exp.is_some_and(|e| t - LEEWAY > e) {
        return refuse("service account token has expired");
    }
    if claims.iat.is_some_and(|i| t + LEEWAY < i) {
        return refuse("service account token is issued in the future");
    }
    let none = super::Kubernetes::default();
    let k = claims.kubernetes.as_ref().unwrap_or(&none);
    let limit = t - LEEWAY;
    let ns = k.namespace.as_str();
    let account = &k.serviceaccount;
    let Some(sa) = lookup.identity("", "serviceaccounts", ns, &account.name) else {
        return refuse(format!("serviceaccounts {:?} not found", account.name));
    };
    if sa.uid != account.uid {
        return refuse(format!("service account UID ({}) does not match claim ({})", sa.uid, account.uid));
    }
    if deleted_before(&sa, limit) {
        return refuse(format!("service account {ns}/{} has been deleted", account.name));
    }
    let exists = |resource: &str, ns: &str, r: &Ref, what: &str, claim: &str| {
        let Some(o) = lookup.identity("", resource, ns, &r.name) else { return refuse(INVALIDATED) };
        if o.uid != r.uid {
            return refuse(format!(
                "{what} UID ({}) does not match service account {claim} ref claim ({})",
                o.uid, r.uid
            ));
        }
        if deleted_before(&o, limit) { refuse(INVALIDATED) } else { Ok(()) }
    };
    if let Some(r) = &k.secret {
        exists("secrets", ns, r, "secret", "secret")?;
    }
    if let Some(r) = &k.pod {
        exists("pods", ns, r, "pod", "pod")?;
    } else if let Some(r) = &k.node {
        exists("nodes", "", r, "node", "node")?;
    }
    if k.validatingwebhookconfiguration.is_some() || k.mutatingwebhookconfiguration.is_some() {
        return refuse(
            "feature gate \"APIServerWebhookAuthenticationToken\" is disabled, but token is webhook bound",
        );
    }
    if let Some(w) = k.warnafter.filter(|w| *w != 0 && t > *w) {
        out.annotations.push((
            "authentication.k8s.io/stale-token".into(),
            format!("subject: {}, seconds after warning threshold: {}", claims.sub, t - w),
        ));
    }
    out.user = user(ns, &account.name, &account.uid);
    let extra = &mut out.user.extra;
    let mut set = |key: &str, v: &str| {
        extra.insert(format!("authentication.kubernetes.io/{key}"), vec![v.to_owned()]);
    };
    if let Some(p) = k.pod.as_ref().filter(|p| !p.name.is_empty() && !p.uid.is_empty()) {
        set("pod-name", &p.name);
        set("pod-uid", &p.uid);
    }
    if let Some(n) = k.node.as_ref().filter(|n| !n.name.is_empty()) {
        set("node-name", &n.name);
        if !n.uid.is_empty() {
            set("node-uid", &n.uid);
        }
    }
    if !claims.jti.is_empty() {
        extra.insert(CREDENTIAL_ID.into(), vec![format!("JTI={}", claims.jti)]);
    }
    Ok(())
}

/// The user of a service account, without `system:authenticated`: the chain adds it.
fn user(namespace: &str, name: &str, uid: &str) -> UserInfo {
    let mut u = UserInfo::service_account(namespace, name);
    uid.clone_into(&mut u.uid);
    u.groups.retain(|g| g != meta::user::AUTHENTICATED);
    u
}

pub(super) fn legacy(
    claims: &Claims,
    token: &str,
    check: bool,
    now: Timestamp,
    lookup: &dyn Lookup,
    out: &mut Authenticated,
) -> Result<(), Error> {
    let l = &claims.legacy;
    for (value, what) in [
        (&claims.sub, "sub"),
        (&l.namespace, "namespace"),
        (&l.secret, "secretName"),
        (&l.service_account, "serviceAccountName"),
        (&l.service_account_uid, "serviceAccountUID"),
    ] {
        if value.is_empty() {
            return refuse(format!("{what} claim is missing"));
        }
    }
    if claims.sub != format!("system:serviceaccount:{}:{}", l.namespace, l.service_account) {
        return refuse("sub claim is invalid");
    }
    if check {
        let Some(secret) =
            lookup.get("", "secrets", &l.namespace, &l.secret).filter(|s| s.deletion_timestamp().is_none())
        else {
            return refuse("Token has been invalidated");
        };
        if !same(data(&secret, "token").as_bytes(), token.as_bytes()) {
            return refuse("Token does not match server's copy");
        }
        let Some(sa) = lookup.get("", "serviceaccounts", &l.namespace, &l.service_account) else {
            return refuse(format!("serviceaccounts {:?} not found", l.service_account));
        };
        if sa.deletion_timestamp().is_some() {
            return refuse(format!("ServiceAccount {}/{} has been deleted", l.namespace, l.service_account));
        }
        if sa.uid() != l.service_account_uid {
            return refuse(format!(
                "ServiceAccount UID ({}) does not match claim ({})",
                sa.uid(),
                l.service_account_uid
            ));
        }
        const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
        if secret.label(INVALID_SINCE).is_some_and(|v| !v.is_empty()) {
            return refuse(format!(
                "the token in secret {0}/{1} for service account {0}/{2} has been marked invalid. Use tokens from \
                 the TokenRequest API or manually created secret-based tokens, or remove the '{INVALID_SINCE}' label \
                 from the secret to temporarily allow use of this token",
                l.namespace, l.secret, l.service_account
            ));
        }
        let generated = sa.array_at("secrets").iter().any(|r| r.str_at("name") == l.secret);
        let kind = if generated { "autogenerated" } else { "manual" };
        if generated {
            out.warnings.push(
                "Use tokens from the TokenRequest API or manually created secret-based tokens instead of \
                 auto-generated secret-based tokens."
                    .into(),
            );
        }
        out.annotations.push((format!("authentication.k8s.io/legacy-token-{kind}-secret"), l.secret.clone()));
        let day = |t: Timestamp| t.rfc3339().chars().take(10).collect::<String>();
        let (today, tomorrow) = (day(now), day(now.plus_seconds(86_400)));
        let used = secret.label("kubernetes.io/legacy-token-last-used").unwrap_or("");
        if used != today && used != tomorrow {
            out.last_used = Some(SecretUse {
                namespace: l.namespace.clone(),
                name: l.secret.clone(),
                uid: secret.uid().to_owned(),
                date: today,
            });
        }
    }
    out.user = user(&l.namespace, &l.service_account, &l.service_account_uid);
    Ok(())
}

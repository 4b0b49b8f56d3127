//! Whether a user may act for a signer: by its name, or by all of its domain (pkg/util/certificate authorization).

use crate::Lookup;
use meta::UserInfo;

pub(crate) fn authorized(l: &dyn Lookup, user: &UserInfo, verb: &str, signer: &str) -> bool {
    let may = |name: &str| l.authorized(user, verb, "certificates.k8s.io", "signers", "", name);
    may(signer) || signer.split_once('/').is_some_and(|(domain, _)| may(&format!("{domain}/*")))
}

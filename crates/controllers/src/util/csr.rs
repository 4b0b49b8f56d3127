//! Certificate signing requests: what they ask for (upstream `pkg/apis/certificates/helpers.go`).

use crate::k8s::certificates::{CertificateSigningRequest, CertificateSigningRequestCondition};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use std::collections::BTreeSet;
use std::net::IpAddr;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Any, Decode, Encode, Tag, Tagged};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::request::{CertReq, ExtensionReq};

pub const KUBE_APISERVER_CLIENT: &str = "kubernetes.io/kube-apiserver-client";
pub const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
pub const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
pub const LEGACY_UNKNOWN: &str = "kubernetes.io/legacy-unknown";

const COMMON_NAME: &str = "2.5.4.3";
const ORGANIZATION: &str = "2.5.4.10";

/// A parsed PKCS#10 request.
pub struct Request {
    pub inner: CertReq,
    pub common_name: String,
    pub organizations: Vec<String>,
    /// The alternative names a certificate can have: DNS names, addresses, mail addresses, URIs.
    pub names: Vec<GeneralName>,
}

impl Request {
    /// Reads the PEM of `spec.request`.
    pub fn parse(pem: &[u8]) -> Result<Self, String> {
        let der = CertificateSigningRequestDer::from_pem_slice(pem)
            .map_err(|_| "PEM block type must be CERTIFICATE REQUEST".to_owned())?;
        let inner = CertReq::from_der(&der).map_err(|e| e.to_string())?;
        let names = alternative_names(&inner)?;
        let name = &inner.info.subject;
        Ok(Self {
            common_name: values(name, COMMON_NAME).pop().unwrap_or_default(),
            organizations: values(name, ORGANIZATION),
            names,
            inner,
        })
    }
    pub fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter_map(|n| match n {
            GeneralName::DnsName(d) => Some(d.as_str()),
            _ => None,
        })
    }
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.names.iter().filter_map(|n| match n {
            GeneralName::IpAddress(b) => address(b.as_bytes()),
            _ => None,
        })
    }
    fn has_mail(&self) -> bool {
        self.names.iter().any(|n| matches!(n, GeneralName::Rfc822Name(_)))
    }
    fn has_uri(&self) -> bool {
        self.names.iter().any(|n| matches!(n, GeneralName::UniformResourceIdentifier(_)))
    }
    fn check_node(&self) -> Result<(), String> {
        if self.common_name.starts_with("system:node:") {
            Ok(())
        } else {
            Err("subject common name does not begin with system:node:".into())
        }
    }
    fn check_organization(&self) -> Result<(), String> {
        if self.organizations == ["system:nodes"] {
            Ok(())
        } else {
            Err("subject organization is not system:nodes".into())
        }
    }

    /// Whether this is a kubelet's request for a certificate to call the API server with.
    pub fn check_kubelet_client(&self, usages: &[String]) -> Result<(), String> {
        self.check_organization()?;
        let no = |what: &str| Err(format!("{what} subjectAltNames are not allowed"));
        if self.dns_names().next().is_some() {
            return no("DNS");
        }
        if self.has_mail() {
            return no("Email");
        }
        if self.addresses().next().is_some() {
            return no("IP");
        }
        if self.has_uri() {
            return no("URI");
        }
        self.check_node()?;
        check_usages(usages, "client auth")
    }

    /// Whether this is a kubelet's request for a certificate to serve with.
    pub fn check_kubelet_serving(&self, usages: &[String]) -> Result<(), String> {
        self.check_organization()?;
        if self.dns_names().next().is_none() && self.addresses().next().is_none() {
            return Err("DNS or IP subjectAltName is required".into());
        }
        if self.has_mail() {
            return Err("Email subjectAltNames are not allowed".into());
        }
        if self.has_uri() {
            return Err("URI subjectAltNames are not allowed".into());
        }
        check_usages(usages, "server auth")?;
        self.check_node()
    }
}

/// Usages of a kubelet's certificate: with or without key encipherment, which only RSA needs.
fn check_usages(usages: &[String], purpose: &str) -> Result<(), String> {
    let got: BTreeSet<&str> = usages.iter().map(String::as_str).collect();
    let mut want = BTreeSet::from(["digital signature", purpose]);
    if got == want {
        return Ok(());
    }
    want.insert("key encipherment");
    if got == want {
        return Ok(());
    }
    let mut list: Vec<&str> = want.into_iter().collect();
    list.sort_unstable();
    Err(format!("usages did not match [{}]", list.join(" ")))
}

/// Usages of a client certificate for the API server.
pub fn check_api_client_usages(usages: &[String]) -> Result<(), String> {
    let other = |u: &&String| !matches!(u.as_str(), "digital signature" | "key encipherment" | "client auth");
    if let Some(u) = usages.iter().find(other) {
        return Err(format!("invalid usage for client certificate: {u}"));
    }
    if usages.iter().any(|u| u == "client auth") {
        Ok(())
    } else {
        Err("missing required usage for client certificate: client auth".into())
    }
}

pub fn address(b: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(b) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(b).ok().map(IpAddr::from)
}

fn alternative_names(req: &CertReq) -> Result<Vec<GeneralName>, String> {
    let bad = |e: x509_cert::der::Error| e.to_string();
    let mut all = Vec::new();
    for a in req.info.attributes.iter().filter(|a| a.oid == ExtensionReq::OID) {
        for v in a.values.iter() {
            let extensions = ExtensionReq::from_der(&v.to_der().map_err(bad)?).map_err(bad)?;
            for e in extensions.0.iter().filter(|e| e.extn_id == SubjectAltName::OID) {
                all.extend(SubjectAltName::from_der(e.extn_value.as_bytes()).map_err(bad)?.0);
            }
        }
    }
    all.retain(|n| match n {
        GeneralName::DnsName(_) | GeneralName::Rfc822Name(_) | GeneralName::UniformResourceIdentifier(_) => {
            true
        }
        GeneralName::IpAddress(b) => address(b.as_bytes()).is_some(),
        _ => false,
    });
    Ok(all)
}

fn values(name: &x509_cert::name::Name, oid: &str) -> Vec<String> {
    let all = name.0.iter().flat_map(|rdn| rdn.0.iter());
    all.filter(|a| a.oid.to_string() == oid).filter_map(|a| text(&a.value)).collect()
}

fn text(v: &Any) -> Option<String> {
    match v.tag() {
        Tag::Utf8String => Utf8StringRef::try_from(v).ok().map(|s| s.as_str().to_owned()),
        Tag::PrintableString => PrintableStringRef::try_from(v).ok().map(|s| s.as_str().to_owned()),
        Tag::Ia5String => Ia5StringRef::try_from(v).ok().map(|s| s.as_str().to_owned()),
        Tag::TeletexString => TeletexStringRef::try_from(v).ok().map(|s| s.as_str().to_owned()),
        _ => None,
    }
}

pub fn conditions(csr: &CertificateSigningRequest) -> &[CertificateSigningRequestCondition] {
    csr.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default()
}
pub fn has_condition(csr: &CertificateSigningRequest, kind: &str) -> bool {
    conditions(csr).iter().any(|c| c.type_ == kind)
}
pub fn certificate(csr: &CertificateSigningRequest) -> Option<&[u8]> {
    let c = csr.status.as_ref()?.certificate.as_ref()?;
    Some(c.0.as_slice()).filter(|c| !c.is_empty())
}

#[cfg(test)]
pub mod testing {
    //! Requests for tests.
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

    /// PEM of a request; a name that parses as an address becomes one.
    pub fn request(cn: &str, orgs: &[&str], names: &[&str]) -> String {
        let mut p = CertificateParams::default();
        p.distinguished_name = rcgen::DistinguishedName::new();
        for o in orgs {
            p.distinguished_name
                .push(DnType::OrganizationName, DnValue::PrintableString((*o).try_into().unwrap()));
        }
        p.distinguished_name.push(DnType::CommonName, DnValue::Utf8String(cn.into()));
        p.subject_alt_names = names
            .iter()
            .map(|n| match n.parse() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName((*n).try_into().unwrap()),
            })
            .collect();
        p.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_kubelets_requests() {
        let usages = |s: &str| s.split(',').map(str::to_owned).collect::<Vec<_>>();
        let client = usages("digital signature,client auth");
        let serving = usages("digital signature,key encipherment,server auth");
        let parse =
            |cn, o: &[&str], n: &[&str]| Request::parse(testing::request(cn, o, n).as_bytes()).unwrap();
        let c = parse("system:node:n", &["system:nodes"], &[]);
        assert_eq!(c.check_kubelet_client(&client), Ok(()));
        assert_eq!(
            c.check_kubelet_client(&serving).unwrap_err(),
            "usages did not match [client auth digital signature key encipherment]"
        );
        assert_eq!(c.check_kubelet_serving(&serving).unwrap_err(), "DNS or IP subjectAltName is required");
        let s = parse("system:node:n", &["system:nodes"], &["n", "10.0.0.1", "fd00::1"]);
        assert_eq!(s.check_kubelet_serving(&serving), Ok(()));
        assert_eq!(s.dns_names().collect::<Vec<_>>(), ["n"]);
        assert_eq!(s.addresses().map(|a| a.to_string()).collect::<Vec<_>>(), ["10.0.0.1", "fd00::1"]);
        assert_eq!(s.check_kubelet_client(&client).unwrap_err(), "DNS subjectAltNames are not allowed");
        let c = parse("n", &["system:nodes"], &[]);
        assert!(c.check_kubelet_client(&client).unwrap_err().contains("common name"));
        let c = parse("system:node:n", &["system:masters"], &[]);
        assert!(c.check_kubelet_client(&client).unwrap_err().contains("organization"));
        assert!(Request::parse(b"x").is_err());
    }
}

//! Names of definitions, as upstream's documents have them.

/// `core.v1.Pod` → `io.k8s.api.core.v1.Pod`.
pub fn definition(type_name: &str) -> String {
    let prefix = match type_name.split('.').next().unwrap_or_default() {
        "meta" => "io.k8s.apimachinery.pkg.apis.",
        "api" | "util" => "io.k8s.apimachinery.pkg.",
        "pkg" => "io.k8s.apimachinery.",
        "apiextensions" => "io.k8s.apiextensions-apiserver.pkg.apis.",
        "apiregistration" => "io.k8s.kube-aggregator.pkg.apis.",
        _ => "io.k8s.api.",
    };
    format!("{prefix}{type_name}")
}

/// The definition of a custom resource: its group turned round.
pub fn custom(group: &str, version: &str, kind: &str) -> String {
    let mut parts: Vec<&str> = group.split('.').collect();
    parts.reverse();
    format!("{}.{version}.{kind}", parts.join("."))
}

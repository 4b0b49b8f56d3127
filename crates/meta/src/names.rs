//! Name formats (apimachinery `pkg/util/validation`, `pkg/api/validation`). Each check returns upstream's sentences,
//! none for a good value.

pub fn is_dns1123_label(_s: &str) -> Vec<String> {
    todo!()
}
pub fn is_dns1123_subdomain(_s: &str) -> Vec<String> {
    todo!()
}
pub fn is_dns1035_label(_s: &str) -> Vec<String> {
    todo!()
}
/// `prefix/name` as label and annotation keys have it.
pub fn is_qualified_name(_s: &str) -> Vec<String> {
    todo!()
}
pub fn is_label_value(_s: &str) -> Vec<String> {
    todo!()
}
/// RBAC names: no `/`, `%`, `.` or `..`.
pub fn is_path_segment_name(_s: &str) -> Vec<String> {
    todo!()
}
/// Five characters of upstream's safe alphabet, from `seed` bytes.
pub fn suffix(seed: [u8; 5]) -> String {
    const A: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    seed.iter().map(|b| A[usize::from(*b) % A.len()] as char).collect()
}

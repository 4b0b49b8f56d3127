//! To come.
pub fn run(_: &[String]) -> Result<(), String> {
    Err("not yet".to_owned())
}

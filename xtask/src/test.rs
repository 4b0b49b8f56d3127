//! Everything that must be green before a change lands.

use crate::sh;

pub fn run(_: &[String]) -> Result<(), String> {
    sh::step("formatting");
    sh::run(sh::cargo().args(["fmt", "--all", "--check"]))?;
    sh::step("lints");
    sh::run(sh::cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    sh::step("tidy, unit and integration tests");
    sh::run(sh::cargo().args(["test", "--quiet", "--workspace"]))?;
    sh::step("end to end, with real containers");
    crate::e2e::run(&[])?;
    sh::step("end to end, on two nodes");
    crate::e2e::run(&["--nodes".to_owned(), "2".to_owned()])?;
    sh::step("a sample of upstream's own suite");
    crate::suite::run(&["--sample".to_owned(), "--debug".to_owned()])
}

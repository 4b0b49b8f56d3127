//! `keelson server`: a whole cluster in one process.
use std::process::ExitCode;
pub fn main(_args: Vec<String>) -> ExitCode {
    ExitCode::FAILURE
}

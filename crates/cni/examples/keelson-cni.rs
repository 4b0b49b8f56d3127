//! The plugin as a program of its own, for trying it by hand.
fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(cni::plugin_main())
}

//! A released program carries no debug information, not that of the standard library either: cargo's `strip` does not reach
//! a package whose optimisation is its own.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("PROFILE").as_deref() == Ok("release") {
        println!("cargo::rustc-link-arg-bins=-Wl,--strip-debug");
    }
}

//! The life of a component that runs alone: its command line, its log, its threads, its exit code.

use crate::flags::last_words;
use std::process::ExitCode;
use std::time::Duration;

/// Runs `main` with what [`crate::flags::parse`] made of the command line; call it outside of any async runtime. `common`
/// answers whether the version is asked for, and how much is logged.
pub fn run<T, F: Future<Output = Result<(), String>>>(
    name: &str,
    threads: &str,
    parsed: Result<(T, Vec<String>), (String, bool)>,
    common: impl Fn(&T) -> (bool, u8),
    main: impl FnOnce(T) -> F,
) -> ExitCode {
    let (flags, notes) = match parsed {
        Ok(f) => f,
        Err(e) => return last_words(name, &e),
    };
    let (version, verbosity) = common(&flags);
    if version {
        println!("Kubernetes {}", crate::VERSION);
        return ExitCode::SUCCESS;
    }
    runtime::log::init(verbosity);
    for n in notes {
        tracing::warn!("{n}");
    }
    let made = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name(threads).build();
    let done = match made {
        Ok(rt) => {
            let done = rt.block_on(main(flags));
            rt.shutdown_timeout(Duration::from_secs(1));
            done
        }
        Err(e) => Err(format!("cannot start: {e}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{name}: {e}");
            ExitCode::FAILURE
        }
    }
}

//! The program: `loadgen COMMAND --NAME VALUE...`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut it = std::env::args().skip(1);
    let command = it.next().unwrap_or_default();
    let mut args = Vec::new();
    while let (Some(name), Some(value)) = (it.next(), it.next()) {
        args.push((name.trim_start_matches('-').to_owned(), value));
    }
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let done = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| e.to_string())
        .and_then(|rt| rt.block_on(loadgen::run(&command, &loadgen::Args::new(args))));
    match done {
        Ok(v) => {
            println!("{v}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("loadgen {command}: {e}");
            ExitCode::FAILURE
        }
    }
}

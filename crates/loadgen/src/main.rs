//! The program: `loadgen COMMAND --NAME VALUE...`.

use std::process::ExitCode;

/// Whatever is measured: a server that answers no more must not hold up the rows that follow.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(900);

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
        .and_then(|rt| {
            rt.block_on(async {
                let args = loadgen::Args::new(args);
                let run = loadgen::run(&command, &args);
                if command == "delay" {
                    return run.await;
                }
                tokio::time::timeout(LIMIT, run).await.map_err(|_| format!("not over after {LIMIT:?}"))?
            })
        });
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

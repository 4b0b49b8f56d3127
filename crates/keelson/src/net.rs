//! `keelson net status`: the pod network as this node sees it.

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "keelson net", version)]
struct Net {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The other nodes, the way to each (direct over a common link, or a tunnel), and whether their pods can be reached.
    /// Exit code 1: something is not well.
    Status {
        /// The node's data directory.
        #[arg(long, default_value = "/var/lib/keelson")]
        data_dir: PathBuf,
    },
}

pub fn main(args: Vec<String>) -> ExitCode {
    let net: Net = match crate::flags::parse("keelson net", args) {
        Ok(n) => n,
        Err(code) => return code,
    };
    let What::Status { data_dir } = net.what;
    match cni::status::report(&crate::node::addresses(&data_dir)) {
        Ok((text, well)) => {
            print!("{text}");
            if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(e) => {
            eprintln!("keelson net: {e}");
            ExitCode::FAILURE
        }
    }
}

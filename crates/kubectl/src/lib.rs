//! The command line client: `kubectl` with upstream's flags, output and exit codes.
//!
//! A command is one file in `commands` and one line in [`commands::COMMANDS`]. [`flags`] parses as pflag does, [`cx`]
//! is the connection and its discovery, [`objects`] finds what a command line names, [`print`] writes it.

pub mod change;
pub mod commands;
pub mod cx;
pub mod discovery;
pub mod error;
pub mod files;
pub mod flags;
pub mod gotemplate;
pub mod jsonpath;
pub mod objects;
pub mod pods;
pub mod print;
pub mod remote;
pub mod tabwriter;

use error::Error;
use flags::Parsed;
use std::process::ExitCode;

/// Runs `kubectl ARGS`.
pub fn run(args: Vec<String>) -> ExitCode {
    // A reader that went away ends the output, as with any other tool.
    let rt = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(rt) => rt,
        Err(e) => {
            eprintln!("error: {e}");
            return ExitCode::from(1);
        }
    };
    let r = rt.block_on(dispatch(&args));
    rt.shutdown_background();
    match r {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let (text, code) = e.tell();
            if !text.is_empty() {
                eprintln!("{}", text.strip_suffix('\n').unwrap_or(&text));
            }
            ExitCode::from(code)
        }
    }
}

async fn dispatch(args: &[String]) -> Result<(), Error> {
    let (globals, rest) = flags::split_globals(args);
    let Some(found) = commands::find(&rest) else {
        return match rest.first().map(String::as_str) {
            None | Some("help" | "--help" | "-h") => {
                let topic = rest.get(1..).unwrap_or_default();
                match commands::find(topic) {
                    Some((c, _, path)) => print!("{}", commands::help(c, &path)),
                    None => print!("{}", commands::overview()),
                }
                Ok(())
            }
            Some(w) if w.starts_with('-') => Err(flags::unknown(w, "")),
            Some("options") => {
                print!("{}", commands::options());
                Ok(())
            }
            Some(w) => Err(commands::unknown(w)),
        };
    };
    let (command, rest, path) = found;
    let mut all = globals;
    all.extend(rest);
    let p: Parsed = flags::parse(command.flags, &all, &path)?;
    if p.help || command.run.is_none() {
        if let Some(w) = p.args.first().filter(|_| command.run.is_none() && !p.help) {
            return Err(Error::plain(format!(
                "unknown command {w:?}\nSee 'kubectl {path} -h' for help and examples"
            )));
        }
        let text = commands::help(command, &path);
        // Which stream and code a bare group has differs, as upstream's groups do.
        match path.as_str() {
            _ if p.help => print!("{text}"),
            "certificate" => print!("{text}"),
            "rollout" => {
                print!("{text}");
                return Err(Error::Exit(1));
            }
            _ => return Err(Error::Raw(text, 1)),
        }
        return Ok(());
    }
    let cx = cx::Cx::new(p, path)?;
    match command.run {
        Some(run) => run(cx).await,
        None => Ok(()),
    }
}

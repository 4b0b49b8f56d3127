//! A component's command line before it is parsed: upstream's forms, old flags, and flags that are not carried out.
//!
//! Every word becomes `--name=value`, so that the parser behind it need not know pflag's habits. A flag that upstream
//! has and this program has not is taken where it asks for what happens anyway, and refused otherwise: nothing is
//! accepted and ignored.

/// A flag that the program carries out.
pub struct Own {
    pub name: String,
    /// Without a value it means `true` (or nothing).
    pub switch: bool,
}

/// A flag of upstream's past.
pub struct Old {
    pub name: &'static str,
    pub switch: bool,
    /// What it is called now.
    pub now: Option<&'static str>,
    /// What became of it, for the log: the rest of a sentence that begins with the flag.
    pub became: &'static str,
}

/// A flag of upstream's present that is not carried out, and the values that ask for what happens anyway.
pub struct Foreign(pub &'static str, pub bool, pub &'static [&'static str]);

/// What a component knows of flags.
pub struct Known<'a> {
    pub component: &'a str,
    pub own: &'a [Own],
    pub old: &'a [Old],
    pub foreign: &'a [&'a [Foreign]],
}

/// The command line in one form, and what is to be logged about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words {
    pub args: Vec<String>,
    pub notes: Vec<String>,
}

pub fn read(args: Vec<String>, k: &Known<'_>) -> Result<Words, String> {
    let mut out = Words::default();
    let mut it = args.into_iter().peekable();
    while let Some(word) = it.next() {
        if word == "-h" {
            out.args.push("--help".into());
            continue;
        }
        // `-v 2`, `-v=2`, `-v2`
        let body = match (word.strip_prefix("--"), word.strip_prefix("-v")) {
            (Some(b), _) if !b.is_empty() => b.to_owned(),
            (None, Some("")) => "v".to_owned(),
            (None, Some(v)) => format!("v={}", v.trim_start_matches('=')),
            (None, None) if word.starts_with('-') => return Err(format!("unknown shorthand flag: {word}")),
            _ => return Err(format!("{:?} does not take any arguments, got {word:?}", k.component)),
        };
        let (name, inline) = match body.split_once('=') {
            Some((n, v)) => (n.replace('_', "-"), Some(v.to_owned())),
            None => (body.replace('_', "-"), None),
        };
        let own = k.own.iter().find(|o| o.name == name);
        let old = k.old.iter().find(|o| o.name == name);
        let foreign = k.foreign.iter().copied().flatten().find(|f| f.0 == name);
        let switch = match (own, old, foreign) {
            (Some(o), ..) => o.switch,
            (_, Some(o), _) => o.switch,
            (.., Some(f)) => f.1,
            (None, None, None) => return Err(format!("unknown flag: --{name}")),
        };
        let bare = matches!(name.as_str(), "help" | "version");
        if bare {
            out.args.push(format!("--{name}"));
            continue;
        }
        let value = match inline {
            Some(v) => v,
            None if switch => "true".to_owned(),
            None => it.next().ok_or_else(|| format!("flag needs an argument: --{name}"))?,
        };
        if own.is_some() {
            out.args.push(format!("--{name}={value}"));
        } else if let Some(o) = old {
            if let Some(now) = o.now {
                out.args.push(format!("--{now}={value}"));
            }
            out.notes.push(format!("--{name} {}", o.became));
        } else if let Some(f) = foreign {
            let asks_nothing = f.2.contains(&value.as_str());
            if !asks_nothing {
                return Err(format!(
                    "--{name}={value}: keelson's {} does not do that; leave the flag out{}",
                    k.component,
                    f.2.iter().find(|v| !v.is_empty()).map_or(String::new(), |v| format!(" (it does: {v})"))
                ));
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &[&str]) -> Result<Words, String> {
        let own = [
            Own { name: "master".into(), switch: false },
            Own { name: "leader-elect".into(), switch: true },
            Own { name: "v".into(), switch: false },
            Own { name: "help".into(), switch: true },
            Own { name: "bind-address".into(), switch: false },
        ];
        let old = [
            Old {
                name: "address",
                switch: false,
                now: Some("bind-address"),
                became: "is now --bind-address",
            },
            Old { name: "logtostderr", switch: true, now: None, became: "is always so" },
        ];
        let foreign = [Foreign("profiling", true, &["false"])];
        let k = Known { component: "x", own: &own, old: &old, foreign: &[&foreign] };
        read(args.iter().map(|a| (*a).to_owned()).collect(), &k)
    }

    #[test]
    fn every_form_becomes_one() {
        let w = check(&[
            "--master",
            "http://a",
            "--leader-elect",
            "-v",
            "2",
            "-v3",
            "-v=4",
            "--leader_elect=false",
            "--master=",
        ]);
        let want = [
            "--master=http://a",
            "--leader-elect=true",
            "--v=2",
            "--v=3",
            "--v=4",
            "--leader-elect=false",
            "--master=",
        ];
        assert_eq!(w.unwrap().args, want);
        assert_eq!(check(&["-h"]).unwrap().args, ["--help"]);
    }

    #[test]
    fn old_flags_say_what_they_became() {
        let w = check(&["--address=127.0.0.1", "--logtostderr"]).unwrap();
        assert_eq!(w.args, ["--bind-address=127.0.0.1"]);
        assert_eq!(w.notes, ["--address is now --bind-address", "--logtostderr is always so"]);
    }

    #[test]
    fn what_is_not_done_is_refused() {
        assert_eq!(check(&["--profiling=false"]).unwrap(), Words::default());
        let no = "--profiling=true: keelson's x does not do that; leave the flag out (it does: false)";
        assert_eq!(check(&["--profiling"]).unwrap_err(), no);
        assert_eq!(check(&["--nothing=1"]).unwrap_err(), "unknown flag: --nothing");
        assert_eq!(check(&["--master"]).unwrap_err(), "flag needs an argument: --master");
        assert_eq!(check(&["run"]).unwrap_err(), "\"x\" does not take any arguments, got \"run\"");
        assert!(check(&["-z"]).is_err());
    }
}

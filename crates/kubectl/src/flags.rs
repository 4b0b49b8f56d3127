//! Flags as Go's pflag parses them: anywhere on the line, `--a=b`, `--a b`, `-ab`, booleans without a value.

use crate::error::Error;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Bool,
    /// A string, which counts when it is given last.
    Text,
    /// May be given several times; commas separate values.
    List,
    /// May be given several times, as it is.
    Each,
    /// A string with this value when the flag has none (`--dry-run`).
    Maybe(&'static str),
}

#[derive(Clone, Copy)]
pub struct Flag {
    pub name: &'static str,
    pub short: Option<char>,
    pub form: Form,
    pub default: &'static str,
    pub help: &'static str,
}

pub const fn flag(
    name: &'static str,
    short: Option<char>,
    form: Form,
    default: &'static str,
    help: &'static str,
) -> Flag {
    Flag { name, short, form, default, help }
}

/// The flags of several lists as one: `join!(objects::FILES, objects::WRITE, &[flag(…)])`.
macro_rules! join {
    ($($list:expr),+ $(,)?) => {{
        const LISTS: &[&[$crate::flags::Flag]] = &[$($list),+];
        const ALL: [$crate::flags::Flag; $crate::flags::count(LISTS)] = $crate::flags::joined(LISTS);
        &ALL
    }};
}
pub(crate) use join;

pub const fn count(lists: &[&[Flag]]) -> usize {
    let (mut i, mut n) = (0, 0);
    while i < lists.len() {
        n += lists[i].len();
        i += 1;
    }
    n
}

/// What [`join`] is made of: `N` is [`count`] of the lists.
pub const fn joined<const N: usize>(lists: &[&[Flag]]) -> [Flag; N] {
    let mut all = [flag("", None, Form::Bool, "", ""); N];
    let (mut list, mut n) = (0, 0);
    while list < lists.len() {
        let mut i = 0;
        while i < lists[list].len() {
            all[n] = lists[list][i];
            n += 1;
            i += 1;
        }
        list += 1;
    }
    all
}

/// Flags of every command.
pub const GLOBAL: &[Flag] = &[
    flag("kubeconfig", None, Form::Text, "", "Path to the kubeconfig file to use for CLI requests."),
    flag("context", None, Form::Text, "", "The name of the kubeconfig context to use"),
    flag("cluster", None, Form::Text, "", "The name of the kubeconfig cluster to use"),
    flag("user", None, Form::Text, "", "The name of the kubeconfig user to use"),
    flag("namespace", Some('n'), Form::Text, "", "If present, the namespace scope for this CLI request"),
    flag("server", Some('s'), Form::Text, "", "The address and port of the Kubernetes API server"),
    flag("token", None, Form::Text, "", "Bearer token for authentication to the API server"),
    flag("certificate-authority", None, Form::Text, "", "Path to a cert file for the certificate authority"),
    flag("client-certificate", None, Form::Text, "", "Path to a client certificate file for TLS"),
    flag("client-key", None, Form::Text, "", "Path to a client key file for TLS"),
    flag("tls-server-name", None, Form::Text, "", "Server name to use for server certificate validation"),
    flag("insecure-skip-tls-verify", None, Form::Bool, "false", "Do not check the server's certificate"),
    flag("as", None, Form::Text, "", "Username to impersonate for the operation"),
    flag("as-group", None, Form::Each, "", "Group to impersonate for the operation; may be repeated"),
    flag(
        "as-user-extra",
        None,
        Form::Each,
        "",
        "Extra of the user to impersonate: key=value; may be repeated",
    ),
    flag("username", None, Form::Text, "", "Username for basic authentication to the API server"),
    flag("password", None, Form::Text, "", "Password for basic authentication to the API server"),
    flag("cache-dir", None, Form::Text, "", "Accepted as upstream does; this kubectl keeps no cache"),
    flag("as-uid", None, Form::Text, "", "UID to impersonate for the operation"),
    flag("request-timeout", None, Form::Text, "0", "How long to wait for one server request; 0: no limit"),
    flag(
        "v",
        Some('v'),
        Form::Text,
        "0",
        "6: tell of each request on standard error; 8: with what was sent and answered",
    ),
    flag("help", Some('h'), Form::Bool, "false", "Show what the command does"),
];

/// Flags of every command that prints objects.
const PRINTING: &[Flag] = &[
    flag("template", None, Form::Text, "", "The template of -o go-template, jsonpath and their like"),
    flag(
        "allow-missing-template-keys",
        None,
        Form::Bool,
        "true",
        "A template's missing fields are no errors",
    ),
];

/// What a command line says.
#[derive(Debug, Default)]
pub struct Parsed {
    pub args: Vec<String>,
    /// How many arguments stand before `--`, when there is one.
    pub dash: Option<usize>,
    pub help: bool,
    given: Vec<(&'static str, String)>,
    defaults: Vec<(&'static str, &'static str)>,
}

impl Parsed {
    /// `--template` is the rest of `-o`.
    fn join_template(&mut self) {
        if !self.given("template") {
            return;
        }
        let (t, o) = (self.text("template").to_owned(), self.text("output").to_owned());
        let joined = match o.as_str() {
            "" => format!("go-template={t}"),
            o if o.contains('=') || matches!(o, "json" | "yaml" | "name" | "wide") => return,
            o => format!("{o}={t}"),
        };
        self.given.push(("output", joined));
    }
    pub fn given(&self, name: &str) -> bool {
        self.given.iter().any(|(n, _)| *n == name)
    }
    pub fn text(&self, name: &str) -> &str {
        let last = self.given.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| v.as_str());
        last.or_else(|| self.defaults.iter().find(|(n, _)| *n == name).map(|(_, d)| *d)).unwrap_or_default()
    }
    pub fn on(&self, name: &str) -> bool {
        self.text(name) == "true"
    }
    pub fn each(&self, name: &str) -> Vec<String> {
        self.given.iter().filter(|(n, _)| *n == name).map(|(_, v)| v.clone()).collect()
    }
    pub fn list(&self, name: &str) -> Vec<String> {
        self.each(name)
            .iter()
            .flat_map(|v| v.split(','))
            .filter(|s| !s.is_empty())
            .map(str::to_owned)
            .collect()
    }
    pub fn int(&self, name: &str) -> Result<i64, Error> {
        let t = self.text(name);
        t.parse().map_err(|_| {
            Error::plain(format!(
                "invalid argument {t:?} for \"--{name}\" flag: strconv.ParseInt: parsing {t:?}: invalid syntax"
            ))
        })
    }
    /// A duration in whole milliseconds.
    pub fn millis(&self, name: &str) -> Result<i64, Error> {
        let t = self.text(name);
        if t == "0" {
            return Ok(0);
        }
        meta::time::parse_duration(t)
            .map(|n| n / 1_000_000)
            .map_err(|e| Error::plain(format!("invalid argument {t:?} for \"--{name}\" flag: {e}")))
    }
}

pub fn unknown(w: &str, path: &str) -> Error {
    let tail = if path.is_empty() { String::new() } else { format!(" {path}") };
    let w = w.split('=').next().unwrap_or(w);
    let what = match w.strip_prefix("--") {
        Some(_) => format!("unknown flag: {w}"),
        None => format!("unknown shorthand flag: '{}' in {w}", w.chars().nth(1).unwrap_or('-')),
    };
    Error::Raw(format!("error: {what}\nSee 'kubectl{tail} --help' for usage."), 1)
}

fn boolean(name: &str, v: &str) -> Result<String, Error> {
    match v {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok("true".into()),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok("false".into()),
        _ => Err(Error::plain(format!(
            "invalid argument {v:?} for \"--{name}\" flag: strconv.ParseBool: parsing {v:?}: invalid syntax"
        ))),
    }
}

/// Global flags that stand before the command's name, and the rest.
pub fn split_globals(args: &[String]) -> (Vec<String>, Vec<String>) {
    let mut i = 0;
    while let Some(a) = args.get(i).filter(|a| a.starts_with('-') && *a != "-h" && *a != "--help") {
        let name = a.trim_start_matches('-');
        let bare = !name.contains('=');
        let name = name.split('=').next().unwrap_or(name);
        let known = GLOBAL
            .iter()
            .find(|f| f.name == name || f.short.is_some_and(|c| !a.starts_with("--") && name.starts_with(c)));
        let Some(f) = known else { break };
        let long = f.name == name || name.chars().count() == 1;
        i += if f.form != Form::Bool && bare && long { 2 } else { 1 };
    }
    let i = i.min(args.len());
    (args[..i].to_vec(), args[i..].to_vec())
}

pub fn parse(own: &'static [Flag], args: &[String], path: &str) -> Result<Parsed, Error> {
    let printing = if own.iter().any(|f| f.name == "output") { PRINTING } else { &[] };
    let all = || own.iter().chain(printing).chain(GLOBAL);
    let mut p = Parsed { defaults: all().map(|f| (f.name, f.default)).collect(), ..Parsed::default() };
    let mut it = args.iter();
    while let Some(a) = it.next() {
        if a == "--" {
            p.dash = Some(p.args.len());
            p.args.extend(it.cloned());
            break;
        }
        if let Some(rest) = a.strip_prefix("--") {
            let (name, value) = match rest.split_once('=') {
                Some((n, v)) => (n, Some(v.to_owned())),
                None => (rest, None),
            };
            let f = all().find(|f| f.name == name).ok_or_else(|| unknown(a, path))?;
            let value = match (f.form, value) {
                (Form::Bool, None) => "true".into(),
                (Form::Bool, Some(v)) => boolean(name, &v)?,
                (Form::Maybe(d), None) => d.to_owned(),
                (_, Some(v)) => v,
                (_, None) => it.next().cloned().ok_or_else(|| {
                    Error::Raw(
                        format!("error: flag needs an argument: {a}\nSee 'kubectl {path} --help' for usage."),
                        1,
                    )
                })?,
            };
            p.given.push((f.name, value));
        } else if let Some(rest) = a.strip_prefix('-').filter(|r| !r.is_empty()) {
            let mut rest = rest;
            while let Some(c) = rest.chars().next() {
                let f = all().find(|f| f.short == Some(c)).ok_or_else(|| unknown(a, path))?;
                rest = &rest[c.len_utf8()..];
                if f.form == Form::Bool && !rest.starts_with('=') {
                    p.given.push((f.name, "true".into()));
                    continue;
                }
                let value = match (rest.strip_prefix('='), f.form) {
                    (Some(v), Form::Bool) => boolean(f.name, v)?,
                    (Some(v), _) => v.to_owned(),
                    (None, _) if !rest.is_empty() => rest.to_owned(),
                    (None, Form::Maybe(d)) => d.to_owned(),
                    (None, _) => it.next().cloned().ok_or_else(|| {
                        Error::Raw(
                            format!(
                                "error: flag needs an argument: '{c}' in {a}\nSee 'kubectl {path} --help' for usage."
                            ),
                            1,
                        )
                    })?,
                };
                p.given.push((f.name, value));
                break;
            }
        } else {
            p.args.push(a.clone());
        }
    }
    p.help = p.on("help");
    p.join_template();
    Ok(p)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &[Flag] = &[
        flag("output", Some('o'), Form::Text, "", ""),
        flag("watch", Some('w'), Form::Bool, "false", ""),
        flag("all", Some('A'), Form::Bool, "false", ""),
        flag("dry-run", None, Form::Maybe("unchanged"), "none", ""),
        flag("filename", Some('f'), Form::List, "", ""),
    ];

    fn words(s: &str) -> Vec<String> {
        s.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn lines() {
        let p = parse(OWN, &words("pods -oyaml -wA a --dry-run -f x,y -f z -n=k -- -b"), "get").unwrap();
        assert_eq!(p.args, ["pods", "a", "-b"]);
        assert_eq!(
            (p.text("output"), p.on("watch"), p.on("all"), p.text("dry-run")),
            ("yaml", true, true, "unchanged")
        );
        assert_eq!((p.list("filename"), p.text("namespace"), p.dash), (words("x y z"), "k", Some(2)));
        let cases = [
            ("--nope=3", "error: unknown flag: --nope\nSee 'kubectl get --help' for usage."),
            ("-z", "error: unknown shorthand flag: 'z' in -z\nSee 'kubectl get --help' for usage."),
            ("-o", "error: flag needs an argument: 'o' in -o\nSee 'kubectl get --help' for usage."),
        ];
        for (line, want) in cases {
            assert_eq!(parse(OWN, &words(line), "get").unwrap_err().tell().0, want);
        }
        assert_eq!(split_globals(&words("-n a get -o b")), (words("-n a"), words("get -o b")));
    }
}

//! Fault tests. Of the store: `crates/faults` does them, to `keelson etcd` and to etcd alike. Of a cluster: on two test
//! hosts, ours. A seed picks the moments and what is asked for; it is printed, and given again it is the same test.

mod cluster;
mod nodes;

use crate::{sh, suite};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What came of one case on one subject.
pub struct Row {
    case: String,
    subject: String,
    rounds: u64,
    /// Operations (acknowledged writes, unknown), and events told to watches.
    counts: String,
    seconds: f64,
    notes: Vec<String>,
    wrong: Vec<String>,
}

struct Args<'a> {
    seed: u64,
    subjects: Vec<&'a str>,
    quick: bool,
    names: Vec<&'a str>,
}

fn parse(args: &[String]) -> Result<Args<'_>, String> {
    let mut out =
        Args { seed: fresh_seed(), subjects: vec!["ours", "etcd"], quick: false, names: Vec::new() };
    let mut it = args.iter();
    while let Some(a) = it.next() {
        match a.as_str() {
            "--seed" => {
                let v = it.next().map(String::as_str).unwrap_or_default();
                out.seed = v.parse().map_err(|_| format!("--seed {v}: not a number"))?;
            }
            "--subject" => match it.next().map(String::as_str).unwrap_or_default() {
                s @ ("ours" | "etcd") => out.subjects = vec![s],
                other => return Err(format!("--subject {other}: ours or etcd")),
            },
            "--quick" => out.quick = true,
            "--write" => {}
            name => out.names.push(name),
        }
    }
    Ok(out)
}

/// Another one each time.
#[allow(clippy::disallowed_methods, reason = "a seed is to differ, and is printed")]
fn fresh_seed() -> u64 {
    let t = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    t.map_or(1, |d| u64::from(d.subsec_micros()) + d.as_secs() % 1000 * 1_000_000)
}

pub fn run(args: &[String]) -> Result<(), String> {
    let a = parse(args)?;
    if !sh::is_root() {
        return Err("needs root, for file systems of its own and network namespaces".to_owned());
    }
    sh::step("building the fault tests");
    sh::run(sh::cargo().args(["build", "-p", "faults"]))?;
    let tool = sh::target_dir().join("debug/faults");
    let listed = sh::output(Command::new(&tool).arg("list"))?;
    let of_store: Vec<&str> = listed.lines().filter_map(|l| l.split('\t').next()).collect();
    if let Some(n) =
        a.names.iter().find(|n| !of_store.contains(n) && !nodes::CASES.iter().any(|c| c.0 == **n))
    {
        let of_nodes: Vec<&str> = nodes::CASES.iter().map(|c| c.0).collect();
        return Err(format!("there is no case {n}: {} {}", of_store.join(" "), of_nodes.join(" ")));
    }
    let exe = sh::keelson(false)?;
    println!("seed {}", a.seed);
    let mut rows = Vec::new();
    let wanted = |n: &&str| a.names.is_empty() || a.names.contains(n);
    let store: Vec<&str> = of_store.iter().copied().filter(|n| wanted(n)).collect();
    if !store.is_empty() {
        for subject in &a.subjects {
            let mut c = Command::new(&tool);
            c.args(["run", "--seed", &a.seed.to_string(), "--subject", subject, "--keelson"]).arg(&exe);
            if *subject == "etcd" {
                c.arg("--etcd").arg(suite::peer("etcd")?);
            }
            if a.quick {
                c.arg("--quick");
            }
            store_cases(c.args(&store), &mut rows)?;
        }
    }
    // Whole clusters take minutes: not in the quick form, unless asked for by name.
    let whole: Vec<_> = nodes::CASES
        .iter()
        .filter(|c| if a.names.is_empty() { !a.quick } else { a.names.contains(&c.0) })
        .filter(|_| a.subjects.contains(&"ours"))
        .collect();
    if !whole.is_empty() {
        nodes::run(&exe, a.seed, a.quick, &whole, &mut rows)?;
    }
    if args.iter().any(|x| x == "--write") {
        let of_store =
            listed.lines().filter_map(|l| l.split_once('\t')).map(|(n, w)| (n.to_owned(), w.to_owned()));
        let of_nodes = nodes::CASES.iter().map(|c| (c.0.to_owned(), format!("{} (two nodes)", c.1)));
        let cases: Vec<_> = of_store.chain(of_nodes).collect();
        write(&sh::root().join("docs/faults.md"), args, a.seed, &rows, &cases)?;
    }
    finish(&rows, a.seed)
}

fn store_cases(c: &mut Command, rows: &mut Vec<Row>) -> Result<(), String> {
    let child = c.stdout(Stdio::piped()).spawn().map_err(|e| format!("the fault tests: {e}"))?;
    let o = child.wait_with_output().map_err(|e| e.to_string())?;
    for line in String::from_utf8_lossy(&o.stdout).lines() {
        let v: Value = serde_json::from_str(line).map_err(|e| format!("{line}: {e}"))?;
        let text = |n: &str| v[n].as_str().unwrap_or_default().to_owned();
        let list = |n: &str| {
            let all = v[n].as_array().into_iter().flatten();
            all.filter_map(|t| t.as_str()).map(str::to_owned).collect::<Vec<_>>()
        };
        let counts = format!(
            "{} ops ({} acknowledged writes, {} unknown), {} events told",
            v["ops"], v["acknowledged"], v["unknown"], v["told"]
        );
        rows.push(Row {
            case: text("case"),
            subject: text("subject"),
            rounds: v["rounds"].as_u64().unwrap_or(0),
            counts,
            seconds: v["seconds"].as_f64().unwrap_or(0.0),
            notes: list("notes"),
            wrong: list("wrong"),
        });
        print_row(rows.last());
    }
    if o.status.success() || !o.stdout.is_empty() {
        Ok(())
    } else {
        Err(format!("the fault tests said nothing: {}", o.status))
    }
}

fn print_row(row: Option<&Row>) {
    let Some(r) = row else { return };
    let verdict = if r.wrong.is_empty() { "ok" } else { "FAILED" };
    println!(
        "{verdict:7} {:16} {:5} {:3} rounds {:6.1} s  {}",
        r.case, r.subject, r.rounds, r.seconds, r.counts
    );
    for n in &r.notes {
        println!("            {n}");
    }
    for w in &r.wrong {
        println!("        !!  {w}");
    }
}

fn finish(rows: &[Row], seed: u64) -> Result<(), String> {
    let bad: Vec<&Row> = rows.iter().filter(|r| !r.wrong.is_empty()).collect();
    for r in &bad {
        println!("again: cargo xtask faults {} --subject {} --seed {seed}", r.case, r.subject);
    }
    println!("{} passed, {} failed", rows.len() - bad.len(), bad.len());
    if bad.is_empty() { Ok(()) } else { Err(format!("{} case(s) failed", bad.len())) }
}

/// Rows of cases that did not run this time stay as they are.
fn write(
    path: &Path,
    args: &[String],
    seed: u64,
    rows: &[Row],
    cases: &[(String, String)],
) -> Result<(), String> {
    let line = |c: &mut Command| sh::output(c).unwrap_or_default().trim().to_owned();
    let date = line(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M"]));
    let kernel = line(Command::new("uname").arg("-sr"));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let commit = line(Command::new("git").current_dir(sh::root()).args(["rev-parse", "--short", "HEAD"]));
    let before = std::fs::read_to_string(path).unwrap_or_default();
    let mut table = merge(&before, rows, &format!("{date}, {seed}, {commit}"));
    let place = |l: &String| cases.iter().position(|(n, _)| l.starts_with(&format!("| {n} |")));
    table.sort_by_key(place);
    let mut t = format!(
        "# Fault tests\n\nWritten by `cargo xtask faults {}` on {date} UTC ({kernel}, {cores} cores). {ABOUT}\n\n{HEAD}",
        args.join(" ")
    );
    table.iter().for_each(|l| t.push_str(&format!("{l}\n")));
    t.push_str("\n## The cases\n\n");
    cases.iter().for_each(|(name, what)| t.push_str(&format!("- `{name}`: {what}\n")));
    std::fs::write(path, t).map_err(|e| format!("{}: {e}", path.display()))
}

const ABOUT: &str = "Each case of the store loads its subject through the etcd v3 API from several clients, with \
watches of everything, of parts, and from past revisions, does its fault, and has a model judge all that clients saw: \
acknowledged writes, comparisons, reads at their revisions, watches without gap or repetition, leases, in an order that \
agrees with real time. The same tests run against real etcd to prove them; `broken` runs them against stores made wrong \
on purpose, and passes when each wrong is found. A row is of the last run of its case: `cargo xtask faults CASE --seed N \
--subject WHO` runs it again.";
const HEAD: &str =
    "| case | subject | verdict | rounds | seconds | date (UTC), seed, commit | what was judged |
|---|---|---|---|---|---|---|
";

fn merge(before: &str, rows: &[Row], when: &str) -> Vec<String> {
    let new = |l: &str| rows.iter().any(|r| l.starts_with(&format!("| {} | {} |", r.case, r.subject)));
    let kept = before.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| case |") && !new(l));
    let mut out: Vec<String> = kept.map(str::to_owned).collect();
    for r in rows {
        let verdict = if r.wrong.is_empty() { "ok" } else { "**failed**" };
        let mut what = r.counts.clone();
        for n in r.notes.iter().chain(&r.wrong) {
            what = format!("{what}; {}", n.lines().next().unwrap_or_default().replace('|', "/"));
        }
        let (rounds, s) = (r.rounds, r.seconds);
        out.push(format!("| {} | {} | {verdict} | {rounds} | {s:.0} | {when} | {what} |", r.case, r.subject));
    }
    out
}

/// A case on a cluster: what it does, and the row that it becomes.
fn timed(name: &str, f: impl FnOnce(&mut Vec<String>) -> Result<u64, String>) -> Row {
    let begun = Instant::now();
    let mut notes = Vec::new();
    let (rounds, wrong) = match f(&mut notes) {
        Ok(n) => (n, Vec::new()),
        Err(e) => (0, vec![e]),
    };
    Row {
        case: name.to_owned(),
        subject: "ours".to_owned(),
        rounds,
        counts: "two nodes".to_owned(),
        seconds: begun.elapsed().as_secs_f64(),
        notes,
        wrong,
    }
}

/// Where a cluster's logs are kept when something was wrong.
fn kept() -> PathBuf {
    sh::target_dir().join("faults")
}

#[cfg(test)]
mod tests {
    use super::{HEAD, Row, merge};

    #[test]
    fn rows_of_other_cases_stay() {
        let row = |case: &str, wrong: &[&str]| Row {
            case: case.into(),
            subject: "ours".into(),
            rounds: 3,
            counts: "9 ops".into(),
            seconds: 1.6,
            notes: vec!["a note".into()],
            wrong: wrong.iter().map(|w| (*w).to_owned()).collect(),
        };
        let first = merge("", &[row("kill", &[]), row("io", &["lost | found\nmore"])], "then");
        assert_eq!(first[0], "| kill | ours | ok | 3 | 2 | then | 9 ops; a note |");
        assert_eq!(first[1], "| io | ours | **failed** | 3 | 2 | then | 9 ops; a note; lost / found |");
        let second = merge(&format!("{HEAD}{}\n", first.join("\n")), &[row("io", &[])], "now");
        assert_eq!(second, [first[0].as_str(), "| io | ours | ok | 3 | 2 | now | 9 ops; a note |"]);
    }
}

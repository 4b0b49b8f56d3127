//! `docs/guide.md` and `docs/guide.zh.md`: prose by hand, and between it what a run typed and got.
//!
//! A line `<!-- shown: FORM: STEP -->` in the text has the block after it replaced by that step's commands and output.

use super::steps::Step;
use super::{Scope, filled, parts, steps};
use crate::sh;
use std::fmt::Write;

const ALL: Scope = Scope { quick: false, cfssl: true };
const DOCS: [&str; 2] = ["docs/guide.md", "docs/guide.zh.md"];
/// The machines' addresses, which `e2e/machines` gives out in this order.
const IPS: [&str; 3] = ["10.91.0.1", "10.91.0.2", "10.91.0.3"];
/// Lines of an output that are shown, at its two ends, and how wide.
const ENDS: usize = 7;
const WIDE: usize = 420;

/// What a step printed, command by command.
pub struct Record {
    pub kind: &'static str,
    pub shows: &'static str,
    pub outputs: Vec<String>,
}

/// Who types it: what stands before the commands.
fn prompt(on: &str) -> &'static str {
    match on {
        "m" => "master",
        "w1" => "worker1",
        "w2" => "worker2",
        "workers" => "each worker",
        _ => "each host",
    }
}

fn find(kind: &str, shows: &str) -> Option<&'static Step> {
    let all = [steps::PREPARE, steps::STOP].into_iter().chain(parts(kind, ALL));
    all.flat_map(|p| p.iter()).find(|s| s.shows == shows)
}

/// The commands of a step as they are shown: those of the first machine where there are several.
fn commands(s: &Step) -> Vec<String> {
    let own = match s.on {
        "workers" | "w1" => 1,
        "w2" => 2,
        _ => 0,
    };
    s.run.lines().map(|l| format!("{}# {}", prompt(s.on), filled(l, &IPS, own))).collect()
}

/// An output, shortened.
fn shortened(out: &str) -> String {
    let lines: Vec<&str> = out.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
    let cut = |l: &str| match l.char_indices().nth(WIDE) {
        Some((i, _)) => format!("{} …", &l[..i]),
        None => l.to_owned(),
    };
    let mut text = String::new();
    for (i, l) in lines.iter().enumerate() {
        if lines.len() > 2 * ENDS + 1 && i >= ENDS && i < lines.len() - ENDS {
            if i == ENDS {
                let _ = writeln!(text, "… ({} lines)", lines.len() - 2 * ENDS);
            }
            continue;
        }
        let _ = writeln!(text, "{}", cut(l));
    }
    text
}

fn block(s: &Step, outputs: &[String]) -> String {
    let mut text = String::from("```\n");
    for (i, c) in commands(s).iter().enumerate() {
        text += c;
        text.push('\n');
        text += &shortened(outputs.get(i).map_or("", String::as_str));
    }
    text + "```\n"
}

/// The marks of a text: line number, form, step, the block after it.
fn marks(text: &str) -> Vec<(usize, &str, &str, Vec<&str>)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = Vec::new();
    for (i, l) in lines.iter().enumerate() {
        let Some(mark) = l.strip_prefix("<!-- shown: ").and_then(|l| l.strip_suffix(" -->")) else {
            continue;
        };
        let Some((kind, shows)) = mark.split_once(": ") else { continue };
        let mut block = Vec::new();
        if lines.get(i + 1).is_some_and(|l| l.starts_with("```")) {
            let end =
                lines[i + 2..].iter().position(|l| l.starts_with("```")).map_or(lines.len(), |n| i + 2 + n);
            block = lines[i + 1..(end + 1).min(lines.len())].to_vec();
        }
        out.push((i, kind, shows, block));
    }
    out
}

fn fill(name: &str, text: &str, records: &[Record]) -> Result<String, String> {
    let (mut out, mut at) = (String::new(), 0);
    let lines: Vec<&str> = text.lines().collect();
    for (i, kind, shows, old) in marks(text) {
        for l in &lines[at..=i] {
            out += l;
            out.push('\n');
        }
        at = i + 1 + old.len();
        let s = find(kind, shows).ok_or_else(|| format!("{name}:{}: no step {shows:?} of {kind}", i + 1))?;
        match records.iter().find(|r| r.kind == kind && r.shows == shows) {
            Some(r) => out += &block(s, &r.outputs),
            // Left out in this run (no cfssl): as it was.
            None => old.iter().for_each(|l| _ = writeln!(out, "{l}")),
        }
    }
    for l in &lines[at..] {
        out += l;
        out.push('\n');
    }
    Ok(out)
}

/// Fills the documents with what a run has shown.
pub fn write(records: &[Record]) -> Result<(), String> {
    for name in DOCS {
        let path = sh::root().join(name);
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{name}: {e}"))?;
        std::fs::write(&path, fill(name, &text, records)?).map_err(|e| format!("{name}: {e}"))?;
        sh::step(&format!("written: {name}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documents show the commands that the run types, no others.
    #[test]
    fn documents_are_of_these_steps() {
        for name in DOCS {
            let text = std::fs::read_to_string(sh::root().join(name)).unwrap();
            let marks = marks(&text);
            assert!(marks.len() > 30, "{name}");
            for (i, kind, shows, block) in marks {
                let s = find(kind, shows).unwrap_or_else(|| panic!("{name}:{}: no step {shows:?}", i + 1));
                let mut shown = block.iter();
                for c in commands(s) {
                    assert!(
                        shown.any(|l| **l == *c),
                        "{name}:{}: {c:?} is not shown; run `cargo xtask guide --write`",
                        i + 1
                    );
                }
            }
        }
    }

    #[test]
    fn both_languages_show_the_same() {
        let list = |name: &str| -> Vec<String> {
            let text = std::fs::read_to_string(sh::root().join(name)).unwrap();
            marks(&text).iter().map(|(_, k, s, _)| format!("{k}: {s}")).collect()
        };
        assert_eq!(list(DOCS[0]), list(DOCS[1]));
    }

    #[test]
    fn steps_have_names_of_their_own() {
        for kind in ["simple", "with-ca"] {
            let mut names: Vec<&str> = [steps::PREPARE, steps::STOP]
                .into_iter()
                .chain(parts(kind, ALL))
                .flatten()
                .map(|s| s.shows)
                .collect();
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all, "{kind}");
        }
    }

    #[test]
    fn blocks_are_replaced_and_long_outputs_cut() {
        let record = |out: &str| Record { kind: "simple", shows: "its port", outputs: vec![out.to_owned()] };
        let text = "a\n<!-- shown: simple: its port -->\n```\nold\n```\nb\n";
        let long: String = (0..40).map(|i| format!("line {i}\n")).collect();
        let out = fill("x", text, &[record(&long)]).unwrap();
        assert!(
            out.starts_with("a\n<!-- shown: simple: its port -->\n```\nmaster# ss -lnt\nline 0\n"),
            "{out}"
        );
        assert!(
            out.contains("line 6\n… (26 lines)\nline 33\n") && out.ends_with("line 39\n```\nb\n"),
            "{out}"
        );
        assert_eq!(
            fill("x", &out, &[record("one\n")]).unwrap(),
            fill("x", text, &[record("one\n")]).unwrap()
        );
        assert_eq!(fill("x", text, &[]).unwrap(), text);
        assert!(fill("x", "<!-- shown: simple: nothing -->\n", &[]).is_err());
    }
}

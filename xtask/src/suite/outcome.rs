//! What a run came to: read from junit, told by SIG, compared with the names that are known to pass.

use std::collections::BTreeSet;
use std::path::Path;

/// The names of a run, each in one set.
#[derive(Debug, Default)]
pub struct Outcome {
    pub passed: BTreeSet<String>,
    pub failed: BTreeSet<String>,
}

impl Outcome {
    /// Adds what the junit files of a folder tell.
    pub fn read(&mut self, folder: &Path) -> Result<(), String> {
        for e in std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?.flatten() {
            let name = e.file_name().to_string_lossy().into_owned();
            if name.starts_with("junit") && name.ends_with(".xml") {
                let text = std::fs::read_to_string(e.path()).map_err(|e| e.to_string())?;
                self.cases(&text);
            }
        }
        Ok(())
    }

    /// The test cases of a junit file that ran. Names lose ginkgo's `[It] ` in front.
    fn cases(&mut self, text: &str) {
        for case in text.split("<testcase ").skip(1) {
            let Some(name) = case.split("name=\"").nth(1).and_then(|s| s.split('"').next()) else { continue };
            let Some(name) = name.strip_prefix("[It] ") else { continue };
            let name = name
                .replace("&#34;", "\"")
                .replace("&quot;", "\"")
                .replace("&#39;", "'")
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&amp;", "&");
            match case.split("status=\"").nth(1).and_then(|s| s.split('"').next()).unwrap_or_default() {
                "passed" => _ = self.passed.insert(name),
                // What was cut says nothing of the test; that it did not run is told.
                "skipped" | "pending" | "interrupted" | "aborted" => {}
                _ => _ = self.failed.insert(name),
            }
        }
    }

    /// Passed and failed by SIG, and the names of what failed.
    pub fn table(&self, known: &BTreeSet<String>) -> String {
        let sig = |n: &String| n.split(']').next().unwrap_or_default().trim_start_matches('[').to_owned();
        let sigs: BTreeSet<String> = self.passed.iter().chain(&self.failed).map(sig).collect();
        let mut s = String::new();
        for name in sigs {
            let count = |set: &BTreeSet<String>| set.iter().filter(|n| sig(n) == name).count();
            s += &format!("{name:24} {:4} passed {:4} failed\n", count(&self.passed), count(&self.failed));
        }
        for f in &self.failed {
            s += &format!("FAILED {f}{}\n", if known.contains(f) { "   (was known to pass)" } else { "" });
        }
        s + &format!("{} passed, {} failed\n", self.passed.len(), self.failed.len())
    }

    /// What was known to pass, was asked for, and did not: the name and what became of it.
    pub fn lost<'a>(
        &self,
        known: &'a BTreeSet<String>,
        asked: &BTreeSet<String>,
    ) -> Vec<(&'a str, &'static str)> {
        let fate = |n: &'a String| match n {
            n if self.failed.contains(n) => Some((n.as_str(), "failed")),
            n if asked.contains(n) && !self.passed.contains(n) => Some((n.as_str(), "did not run")),
            _ => None,
        };
        known.iter().filter_map(fate).collect()
    }
}

/// The list of names that pass: one a line, sorted. It only grows.
pub fn bless(path: &Path, known: &mut BTreeSet<String>, passed: &BTreeSet<String>) -> Result<(), String> {
    known.extend(passed.iter().cloned());
    let mut text = known.iter().fold(String::new(), |s, n| s + n + "\n");
    if text.is_empty() {
        text.push('\n');
    }
    let new = path.with_extension("new");
    std::fs::write(&new, text)
        .and_then(|()| std::fs::rename(&new, path))
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// The names in the answer of a dry run. Ginkgo adds a test's labels in brackets.
pub fn listed(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|l| l.starts_with("[sig-"))
        .map(|l| match l.rfind(" [sig-") {
            Some(at) if l.ends_with(']') => l[..at].to_owned(),
            _ => l.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(n: &[&str]) -> BTreeSet<String> {
        n.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn junit_is_read() {
        let mut o = Outcome::default();
        o.cases(
            r#"<testcase name="[It] [sig-a] x &#34;y&#34; [Conformance]" status="passed" time="1"></testcase>
            <testcase name="[It] [sig-a] z" status="failed"><failure/></testcase><testcase name="[It] s" status="skipped"/>
            <testcase name="[It] [sig-b] late" status="timedout"/><testcase name="[It] [sig-b] cut" status="interrupted"/><testcase name="[SynchronizedBeforeSuite]" status="passed"/>"#,
        );
        assert_eq!(o.passed, names(&["[sig-a] x \"y\" [Conformance]"]));
        assert_eq!(o.failed, names(&["[sig-a] z", "[sig-b] late"]));
        let t = o.table(&names(&["[sig-a] z"]));
        assert!(t.contains("sig-a                       1 passed    1 failed"), "{t}");
        assert!(
            t.contains("FAILED [sig-a] z   (was known to pass)\nFAILED [sig-b] late\n1 passed, 2 failed"),
            "{t}"
        );
    }

    /// A broken build is caught: a name of the list that failed, and one that never ran (a crash, a test that skips
    /// itself because the cluster says it cannot), are both told; others that failed are not held against it.
    #[test]
    fn a_broken_build_is_caught() {
        let known = names(&["good", "broken", "vanished", "not asked for"]);
        let asked = names(&["good", "broken", "vanished", "new", "new and failing"]);
        let o = Outcome { passed: names(&["good", "new"]), failed: names(&["broken", "new and failing"]) };
        assert_eq!(o.lost(&known, &asked), [("broken", "failed"), ("vanished", "did not run")]);
        let whole = Outcome { passed: names(&["good", "broken", "vanished"]), ..Outcome::default() };
        assert_eq!(whole.lost(&known, &asked), []);
        assert_eq!(Outcome::default().lost(&known, &asked).len(), 3);
    }

    #[test]
    fn the_list_only_grows() {
        let dir = std::env::temp_dir().join(format!("xtask-bless-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join("known.txt");
        let mut known = names(&["a", "c"]);
        bless(&file, &mut known, &names(&["b"])).unwrap();
        bless(&file, &mut known, &names(&[])).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "a\nb\nc\n");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_dry_run_lists() {
        let text = "Running Suite\n[sig-apps] Job runs [Conformance] [sig-apps, Conformance]\nS [sig-x]\n[sig-b] plain\n";
        assert_eq!(listed(text), names(&["[sig-apps] Job runs [Conformance]", "[sig-b] plain"]));
    }
}

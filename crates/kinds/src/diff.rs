//! How two objects differ, as upstream's messages about immutable specs show it: a unified diff of indented JSON
//! (apimachinery `pkg/util/diff`).

use meta::Value;

const MAX_LINES: usize = 3000;
const CONTEXT: usize = 3;

/// Unified diff without file names; empty when nothing differs or the objects are too large to compare.
pub(crate) fn diff(a: &Value, b: &Value) -> String {
    let (a, b) = (pretty(a), pretty(b));
    let (a, b): (Vec<&str>, Vec<&str>) = (a.lines().collect(), b.lines().collect());
    if a.len() > MAX_LINES || b.len() > MAX_LINES {
        return String::new();
    }
    hunks(&a, &b)
}

fn pretty(v: &Value) -> String {
    let mut out = Vec::new();
    let f = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut s = serde_json::Serializer::with_formatter(&mut out, f);
    if serde::Serialize::serialize(v, &mut s).is_err() {
        return String::new();
    }
    String::from_utf8(out).unwrap_or_default()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Keep(usize, usize),
    Remove(usize),
    Add(usize),
}

/// The shortest edit script, by longest common subsequence of what common ends leave.
fn script(a: &[&str], b: &[&str]) -> Vec<Op> {
    let head = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let tail = a[head..].iter().rev().zip(b[head..].iter().rev()).take_while(|(x, y)| x == y).count();
    let (n, m) = (a.len() - head - tail, b.len() - head - tail);
    let width = m + 1;
    let mut lcs = vec![0u16; (n + 1) * width];
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            lcs[i * width + j] = if a[head + i] == b[head + j] {
                lcs[(i + 1) * width + j + 1] + 1
            } else {
                lcs[(i + 1) * width + j].max(lcs[i * width + j + 1])
            };
        }
    }
    let mut ops: Vec<Op> = (0..head).map(|i| Op::Keep(i, i)).collect();
    let (mut i, mut j) = (0, 0);
    while i < n || j < m {
        if i < n && j < m && a[head + i] == b[head + j] {
            ops.push(Op::Keep(head + i, head + j));
            (i, j) = (i + 1, j + 1);
        } else if i < n && (j == m || lcs[(i + 1) * width + j] >= lcs[i * width + j + 1]) {
            ops.push(Op::Remove(head + i));
            i += 1;
        } else {
            ops.push(Op::Add(head + j));
            j += 1;
        }
    }
    ops.extend((0..tail).map(|k| Op::Keep(head + n + k, head + m + k)));
    ops
}

fn hunks(a: &[&str], b: &[&str]) -> String {
    let ops = script(a, b);
    let changed: Vec<usize> =
        ops.iter().enumerate().filter(|(_, o)| !matches!(o, Op::Keep(..))).map(|(i, _)| i).collect();
    let mut out = String::new();
    let mut next = 0;
    while next < changed.len() {
        let start = changed[next].saturating_sub(CONTEXT);
        let mut last = changed[next];
        while next < changed.len() && changed[next] <= last + 2 * CONTEXT + 1 {
            last = changed[next];
            next += 1;
        }
        let hunk = &ops[start..(last + CONTEXT + 1).min(ops.len())];
        let (mut from, mut to) = (None, None);
        let (mut removed, mut added) = (0, 0);
        for o in hunk {
            match o {
                Op::Keep(i, j) => {
                    from = from.or(Some(*i));
                    to = to.or(Some(*j));
                    removed += 1;
                    added += 1;
                }
                Op::Remove(i) => {
                    from = from.or(Some(*i));
                    removed += 1;
                }
                Op::Add(j) => {
                    to = to.or(Some(*j));
                    added += 1;
                }
            }
        }
        let range = |start: Option<usize>, len: usize| match (start.unwrap_or(0), len) {
            (s, 1) => format!("{}", s + 1),
            (s, 0) => format!("{s},0"),
            (s, n) => format!("{},{n}", s + 1),
        };
        out.push_str(&format!("@@ -{} +{} @@\n", range(from, removed), range(to, added)));
        for o in hunk {
            let (sign, line) = match o {
                Op::Keep(i, _) => (' ', a[*i]),
                Op::Remove(i) => ('-', a[*i]),
                Op::Add(j) => ('+', b[*j]),
            };
            out.push(sign);
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::diff;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn shows_what_changed() {
        let a = json!({"a": 1, "b": {"c": [1, 2]}, "z": true});
        let b = json!({"a": 2, "b": {"c": [1, 2]}, "z": true});
        expect![[r#"
            @@ -1,5 +1,5 @@
             {
            - "a": 1,
            + "a": 2,
              "b": {
               "c": [
                1,
        "#]]
        .assert_eq(&diff(&a, &b));
        assert_eq!(diff(&a, &a), "");
    }
}

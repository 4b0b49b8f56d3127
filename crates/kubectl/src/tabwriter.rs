//! Text in columns as Go's `text/tabwriter` aligns it: a column is a run of lines that have a cell there which ends with a
//! tab, and is as wide as the widest of them.

/// Aligns text whose cells end with tabs.
pub fn align(text: &str, min: usize, pad: usize) -> String {
    if text.is_empty() {
        return String::new();
    }
    let body = text.strip_suffix('\n').unwrap_or(text);
    let lines: Vec<Vec<&str>> = body.split('\n').map(|l| l.split('\t').collect()).collect();
    let mut out = String::with_capacity(text.len() * 2);
    format(&lines, &mut Vec::new(), min, pad, &mut out);
    if !text.ends_with('\n') {
        out.pop();
    }
    out
}

fn format(lines: &[Vec<&str>], widths: &mut Vec<usize>, min: usize, pad: usize, out: &mut String) {
    let column = widths.len();
    let has = |l: &Vec<&str>| column + 1 < l.len();
    let mut from = 0;
    let mut at = 0;
    while at < lines.len() {
        if !has(&lines[at]) {
            at += 1;
            continue;
        }
        write(&lines[from..at], widths, out);
        from = at;
        let mut width = min;
        while at < lines.len() && has(&lines[at]) {
            width = width.max(lines[at][column].chars().count() + pad);
            at += 1;
        }
        widths.push(width);
        format(&lines[from..at], widths, min, pad, out);
        widths.pop();
        from = at;
    }
    write(&lines[from..], widths, out);
}

fn write(lines: &[Vec<&str>], widths: &[usize], out: &mut String) {
    for l in lines {
        for (i, c) in l.iter().enumerate() {
            out.push_str(c);
            if let Some(w) = widths.get(i) {
                out.extend(std::iter::repeat_n(' ', w.saturating_sub(c.chars().count())));
            }
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns() {
        let t = "Name:\tx\nLonger Name:\ty\nplain\n  A\tB\tC\n  aaa\tb\tc\nq:\tv\n";
        let want = "Name:         x\nLonger Name:  y\nplain\n  A    B  C\n  aaa  b  c\nq:     v\n";
        assert_eq!(align(t, 0, 2), want);
        assert_eq!(align("a\t\tb\nc\t\td\n", 0, 2), "a    b\nc    d\n");
        assert_eq!(align("a\t", 0, 2), "a  ");
    }
}

//! How cost grows, as SVG: one curve a side, both axes logarithmic.

use super::side::Who;
use std::fmt::Write;

/// A picture: what is drawn over the size of the cluster.
pub struct Plot {
    pub file: &'static str,
    pub title: &'static str,
    pub x: &'static str,
    pub y: &'static str,
    pub points: Vec<(Who, f64, f64)>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;

const SIDES: [(Who, &str, &str); 3] = [
    (Who::Ours, "#1668c7", "keelson"),
    (Who::Peer, "#c7541d", "upstream"),
    (Who::PeerTuned, "#8a8a8a", "upstream, GOGC=400"),
];

/// The powers of ten around the values.
fn decades(values: impl Iterator<Item = f64>) -> Option<(i32, i32)> {
    let (lo, hi) = values
        .filter(|v| v.is_finite() && *v > 0.0)
        .fold((f64::MAX, 0.0_f64), |(lo, hi), v| (lo.min(v), hi.max(v)));
    if hi <= 0.0 {
        return None;
    }
    let (lo, hi) = (lo.log10().floor() as i32, hi.log10().ceil() as i32);
    Some((lo, hi.max(lo + 1)))
}

fn number(power: i32) -> String {
    if power < 0 {
        return format!("{:.*}", power.unsigned_abs() as usize, 10_f64.powi(power));
    }
    let digits = format!("1{}", "0".repeat(power.unsigned_abs() as usize));
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

impl Plot {
    /// The picture; none of nothing.
    pub fn svg(&self) -> Option<String> {
        let (x0, x1) = decades(self.points.iter().map(|p| p.1))?;
        let (y0, y1) = decades(self.points.iter().map(|p| p.2))?;
        let part = |v: f64, (a, b): (i32, i32)| (v.log10() - f64::from(a)) / f64::from(b - a);
        let x = |v: f64| LEFT + part(v, (x0, x1)) * (WIDTH - LEFT - RIGHT);
        let y = |v: f64| HEIGHT - BOTTOM - part(v, (y0, y1)) * (HEIGHT - TOP - BOTTOM);
        let mut s = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{}</text>\n",
            self.title
        );
        let line = |x1: f64, y1: f64, x2: f64, y2: f64| {
            format!("<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ddd\"/>\n")
        };
        for p in x0..=x1 {
            let at = x(10_f64.powi(p));
            s += &line(at, TOP, at, HEIGHT - BOTTOM);
            let _ = writeln!(
                s,
                "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                HEIGHT - BOTTOM + 18.0,
                number(p)
            );
        }
        for p in y0..=y1 {
            let at = y(10_f64.powi(p));
            s += &line(LEFT, at, WIDTH - RIGHT, at);
            let _ = writeln!(
                s,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                number(p)
            );
        }
        let _ = writeln!(
            s,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 12.0,
            self.x
        );
        let _ = writeln!(
            s,
            "<text transform=\"translate(16 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(TOP, HEIGHT - BOTTOM),
            self.y
        );
        let mut legend = 0.0;
        for (who, colour, name) in SIDES {
            let mut mine: Vec<(f64, f64)> = self
                .points
                .iter()
                .filter(|p| p.0 == who && p.1 > 0.0 && p.2 > 0.0)
                .map(|p| (p.1, p.2))
                .collect();
            if mine.is_empty() {
                continue;
            }
            mine.sort_by(|a, b| a.0.total_cmp(&b.0));
            let path: Vec<String> = mine.iter().map(|p| format!("{:.1},{:.1}", x(p.0), y(p.1))).collect();
            let _ = writeln!(
                s,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.join(" ")
            );
            for p in mine {
                let _ = writeln!(
                    s,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{colour}\"/>",
                    x(p.0),
                    y(p.1)
                );
            }
            let at = TOP + 16.0 + legend;
            let _ =
                writeln!(s, "<text x=\"{:.1}\" y=\"{at:.1}\" fill=\"{colour}\">{name}</text>", LEFT + 10.0);
            legend += 16.0;
        }
        s += "</svg>\n";
        Some(s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_lies_between_its_decades() {
        let points = vec![(Who::Ours, 1000.0, 0.02), (Who::Ours, 100_000.0, 2.0), (Who::Peer, 1000.0, 0.3)];
        let p = Plot { file: "x", title: "t", x: "pods", y: "s", points };
        let s = p.svg().unwrap();
        // 1,000 is the left edge, 100,000 the right one; 0.01 to 10 go from the bottom to the top.
        assert!(s.contains("points=\"70.0,318.9 620.0,112.2\""), "{s}");
        assert!(
            s.contains(">100,000</text>") && s.contains(">0.01</text>") && s.contains(">upstream</text>")
        );
        assert!(Plot { points: Vec::new(), ..p }.svg().is_none());
    }
}

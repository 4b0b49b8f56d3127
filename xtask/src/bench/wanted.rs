//! How many times better than the peer ours is to be, in the end: the figures of the project's second goal.

/// What a line's name begins with, what it ends with, times. The first that fits holds.
const WANTED: &[(&str, &str, f64)] = &[
    ("first start", "start", 60.0),
    ("idle memory", "", 15.0),
    ("10,000 pods more", "", 15.0),
    ("create ", "", 20.0),
    ("patch ", "", 20.0),
    ("get ", "", 20.0),
    ("list ", "label, json", 1.0),
    ("list ", "label, proto", 1.0),
    ("list ", "json", 15.0),
    ("list ", "proto", 8.0),
    ("events to ", "CPU of an event", 7.0),
    ("store put, ", "CPU of a put", 6.0),
    ("schedule, ", "plain", 20.0),
    ("schedule, ", "affinity", 50.0),
    ("10,000 Services: ", "first sync", 30.0),
    ("10,000 Services: ", "a change in effect", 100.0),
    ("DNS, ", "CPU of a question", 4.0),
    ("1 pods ", "Running", 2.0),
    ("50 pods ", "Running", 2.0),
];

/// What is wanted of the line of this name; of most it is not to be slower.
pub fn wanted(what: &str) -> f64 {
    let fits = |begin: &str, end: &str| what.starts_with(begin) && what.ends_with(end);
    WANTED.iter().find(|(begin, end, _)| fits(begin, end)).map_or(1.0, |w| w.2)
}

#[cfg(test)]
mod tests {
    use super::wanted;

    #[test]
    fn lines_have_their_figures() {
        for (what, times) in [
            ("first start", 60.0),
            ("first start: CPU", 1.0),
            ("create pods, 16 clients, json", 20.0),
            ("update pods, 16 clients, json", 1.0),
            ("list 10000 pods, whole, json", 15.0),
            ("list 10000 pods, paged, proto", 8.0),
            ("list 10000 pods, label, proto", 1.0),
            ("events to 100 watchers", 1.0),
            ("events to 100 watchers: CPU of an event", 7.0),
            ("store put, 16 clients", 1.0),
            ("store put, 16 clients: CPU of a put", 6.0),
            ("schedule, 500 nodes, affinity", 50.0),
            ("10,000 Services: a change in effect", 100.0),
            ("5,000 Services: a change in effect", 1.0),
            ("DNS, 64 clients: CPU of a question", 4.0),
            ("1 pods from create to Running", 2.0),
            ("1 pods from create to Running: CPU of a pod", 1.0),
        ] {
            assert_eq!(wanted(what), times, "{what}");
        }
    }
}

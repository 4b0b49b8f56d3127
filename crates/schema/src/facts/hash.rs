//! The hash of a field's name, shared by the builder of the tables (`build.rs`) and those who look into them.

pub fn hash(name: &str) -> usize {
    let b = name.as_bytes();
    match (b.first(), b.get(b.len() / 2), b.last()) {
        (Some(a), Some(m), Some(z)) => {
            b.len() * 31 + usize::from(*a) * 7 + usize::from(*m) * 29 + usize::from(*z) * 13
        }
        _ => 0,
    }
}

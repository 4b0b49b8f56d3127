//! Numbers that may be percentages.

use crate::k8s::IntOrString;

/// The number, or that part of `total`, rounded up or down.
pub fn scaled(v: &IntOrString, total: i32, up: bool) -> Result<i32, String> {
    match v {
        IntOrString::Int(n) => Ok(*n),
        IntOrString::String(s) => {
            let bad =
                || format!("invalid value for IntOrString: invalid value {s:?}: {s:?} is not a percentage");
            let p: i64 = s.strip_suffix('%').and_then(|p| p.parse().ok()).ok_or_else(bad)?;
            let x = p.saturating_mul(i64::from(total));
            let r =
                if up { x.div_euclid(100) + i64::from(x.rem_euclid(100) != 0) } else { x.div_euclid(100) };
            Ok(i32::try_from(r).unwrap_or(i32::MAX))
        }
    }
}

/// Surge and unavailability of a rolling update; not both can be zero.
pub fn fenceposts(
    surge: Option<&IntOrString>,
    unavailable: Option<&IntOrString>,
    desired: i32,
) -> (i32, i32) {
    let zero = IntOrString::Int(0);
    let surge = scaled(surge.unwrap_or(&zero), desired, true).unwrap_or(0);
    let unavailable = scaled(unavailable.unwrap_or(&zero), desired, false).unwrap_or(0);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales() {
        let p = |s: &str| IntOrString::String(s.into());
        assert_eq!(scaled(&p("25%"), 10, true), Ok(3));
        assert_eq!(scaled(&p("25%"), 10, false), Ok(2));
        assert_eq!(scaled(&IntOrString::Int(7), 10, false), Ok(7));
        assert!(scaled(&p("x"), 10, false).is_err());
        assert_eq!(fenceposts(Some(&p("1%")), Some(&p("1%")), 3), (1, 0));
        assert_eq!(fenceposts(None, Some(&p("1%")), 3), (0, 1));
    }
}

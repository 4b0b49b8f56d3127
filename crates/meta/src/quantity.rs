//! Quantities: `100m`, `1Gi`, `1e3` (apimachinery `pkg/api/resource`). Exact, canonical form as upstream prints it.

use std::cmp::Ordering;
use std::fmt;

/// The suffix family a quantity is printed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    BinarySi,
    DecimalSi,
    DecimalExponent,
}

/// An exact decimal number: `units` nano-units (1e-9), saturating at the ends of i128.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    pub nanos: i128,
    pub format: Format,
}

impl Quantity {
    pub fn parse(_s: &str) -> Result<Self, String> {
        todo!()
    }
    pub fn from_milli(_m: i64, _f: Format) -> Self {
        todo!()
    }
    pub fn from_units(_v: i64, _f: Format) -> Self {
        todo!()
    }
    /// Whole units, rounded up.
    pub fn value(&self) -> i64 {
        todo!()
    }
    /// Thousandths, rounded up.
    pub fn milli_value(&self) -> i64 {
        todo!()
    }
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }
    /// Rounded up to thousandths, as defaulting does with resource lists.
    #[must_use]
    pub fn round_up_milli(&self) -> Self {
        todo!()
    }
    #[must_use]
    pub fn plus(&self, _o: &Self) -> Self {
        todo!()
    }
    #[must_use]
    pub fn minus(&self, _o: &Self) -> Self {
        todo!()
    }
}

impl fmt::Display for Quantity {
    /// Canonical: no fraction, the largest suffix that keeps it exact.
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
impl PartialEq for Quantity {
    fn eq(&self, o: &Self) -> bool {
        self.nanos == o.nanos
    }
}
impl Eq for Quantity {}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, o: &Self) -> Option<Ordering> {
        Some(self.cmp(o))
    }
}
impl Ord for Quantity {
    fn cmp(&self, o: &Self) -> Ordering {
        self.nanos.cmp(&o.nanos)
    }
}

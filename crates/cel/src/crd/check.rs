//! Are the rules in a definition valid, and cheap enough? (apiextensions-apiserver
//! `pkg/apis/apiextensions/validation/{validation,cel_validation}.go`)

use super::decl::{Decl, decl};
use super::rule::{Place, field_path};
use crate::escape::escape;
use meta::{ErrorList, FieldError, Path};
use structural::{Additional, Schema};

/// What one rule may cost, and all of a definition's version together.
const RULE_LIMIT: u64 = 10_000_000;
const TOTAL_LIMIT: u64 = 100_000_000;
/// The most expensive rules that are named when the total is too high.
const NAMED: usize = 4;

struct Check {
    errors: ErrorList,
    total: u64,
    expensive: Vec<(u64, Path)>,
}

/// Checks the rules of a version's schema, which is structural and otherwise valid.
pub fn check(s: &Schema, path: &Path) -> ErrorList {
    let mut c = Check { errors: ErrorList::new(), total: 0, expensive: Vec::new() };
    let d = decl(s, true, "selfType");
    c.at(s, d.as_ref(), path, Some(1), None);
    if c.total > TOTAL_LIMIT {
        for (_, p) in &c.expensive {
            let why =
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            c.errors.push(FieldError::forbidden(p, why));
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        c.errors.push(FieldError::forbidden(path, too_expensive(what, c.total, TOTAL_LIMIT)));
    }
    c.errors
}

fn too_expensive(what: &str, cost: u64, limit: u64) -> String {
    #[allow(clippy::cast_precision_loss)]
    let times = cost as f64 / limit as f64;
    let factor = if times > 100.0 {
        "more than 100x".to_owned()
    } else if times < 1.5 {
        format!("{times:.6}x")
    } else {
        format!("{times:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}

impl Check {
    /// `often`: how often the place can stand in one object, if that is bounded. `loose`: the place above from which on
    /// old and new cannot be told to be the same.
    fn at(&mut self, s: &Schema, d: Option<&Decl>, path: &Path, often: Option<u64>, loose: Option<&Path>) {
        let elements = match s.ty.as_str() {
            "object" if matches!(s.additional, Additional::Schema(_)) => s.max_properties,
            "array" => s.max_items,
            _ => Some(1),
        };
        let below = often.zip(elements).map(|(a, b)| a.saturating_mul(b));
        // Upstream looks at what is below first.
        if let Additional::Schema(a) = &s.additional {
            let loose = loose.or(if uncorrelatable(s) { Some(path) } else { None });
            let inner = path.child("additionalProperties");
            self.at(a, d.and_then(|d| d.elem.as_deref()), &inner, below, loose);
        }
        for (k, p) in &s.properties {
            let loose = loose.or(if uncorrelatable(s) { Some(path) } else { None });
            let own;
            let field = match escape(k).and_then(|e| d.and_then(|d| d.fields.get(&e))) {
                Some(f) => Some(f),
                None => {
                    own = decl(p, p.embedded, "selfType");
                    own.as_ref()
                }
            };
            self.at(p, field, &path.child("properties").key(k), below, loose);
        }
        if let Some(i) = &s.items {
            let loose = loose.or(if s.list_type == "map" { None } else { Some(path) });
            let inner = path.child("items");
            self.at(i, d.and_then(|d| d.elem.as_deref()), &inner, below, loose);
        }
        self.rules(s, d, path, often, loose);
    }

    fn rules(&mut self, s: &Schema, d: Option<&Decl>, path: &Path, often: Option<u64>, loose: Option<&Path>) {
        if s.validations.is_empty() {
            return;
        }
        let list = path.child("x-kubernetes-validations");
        let Some(d) = d else {
            let why = "internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations";
            self.errors.push(FieldError::internal(&list, why));
            return;
        };
        let place = Place::new(d);
        for (i, raw) in s.validations.iter().enumerate() {
            let at = list.index(i);
            let r = place.compile(raw, s);
            let cost = r.cost.saturating_mul(often.unwrap_or(r.cardinality));
            if cost > RULE_LIMIT {
                let why = too_expensive("estimated rule cost", cost, RULE_LIMIT);
                self.errors.push(FieldError::forbidden(&at.child("rule"), why));
            }
            self.observe(cost, at.child("rule"));
            if let Err(e) = &r.program {
                self.errors.push(FieldError::invalid(&at.child("rule"), raw.clone(), e.clone()));
            }
            match &r.message_program {
                Some(Err(e)) => {
                    self.errors.push(FieldError::invalid(
                        &at.child("messageExpression"),
                        raw.clone(),
                        e.clone(),
                    ));
                }
                Some(Ok(_)) => {
                    if r.message_cost > RULE_LIMIT {
                        let why =
                            too_expensive("estimated messageExpression cost", r.message_cost, RULE_LIMIT);
                        self.errors.push(FieldError::forbidden(&at.child("messageExpression"), why));
                    }
                    self.observe(r.message_cost, at.child("messageExpression"));
                }
                None => {}
            }
            if r.uses_old {
                if let Some(p) = loose {
                    let why = format!(
                        "oldSelf cannot be used on the uncorrelatable portion of the schema within {p}"
                    );
                    self.errors.push(FieldError::invalid(&at.child("rule"), r.rule.clone(), why));
                }
            } else if let Some(o) = r.optional_old.filter(|_| r.program.is_ok()) {
                let why = "may not be set if oldSelf is not used in rule";
                self.errors.push(FieldError::invalid(&at.child("optionalOldSelf"), o, why));
            }
            if let Some(f) = raw.get("fieldPath").and_then(|f| f.as_str()).filter(|f| !f.is_empty())
                && field_path(f, s).is_err()
            {
                self.errors.push(FieldError::invalid(&at.child("fieldPath"), f, "must be a valid path"));
            }
        }
    }

    fn observe(&mut self, cost: u64, path: Path) {
        self.total = self.total.saturating_add(cost);
        if cost < TOTAL_LIMIT / 100 {
            return;
        }
        self.expensive.push((cost, path));
        self.expensive.sort_by_key(|e| std::cmp::Reverse(e.0));
        self.expensive.truncate(NAMED);
    }
}

fn uncorrelatable(s: &Schema) -> bool {
    !matches!(s.map_type.as_str(), "" | "granular" | "atomic")
}

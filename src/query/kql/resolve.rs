//! Resolves a syntax tree to a filter: names to fields, values to tests.

use super::{
    MAX_CLAUSES,
    error::SpannedError,
    names::{self, ResolvedName, Target},
    syntax::{Expression, Literal, Values},
    values::{self, Mismatch},
};
use crate::{
    event::UnixMillis,
    query::{
        Subject,
        filter::{Filter, Test},
    },
    schema::{Field, Kind, Search},
};

pub(super) fn filter(expression: &Expression, now: UnixMillis) -> Result<Filter, SpannedError> {
    Resolver { now, clauses: 0 }.expression(expression, None)
}

struct Resolver {
    now: UnixMillis,
    /// Number of tests so far.
    clauses: usize,
}

/// The nested field of the enclosing braces.
type Group = Option<&'static Field>;

impl Resolver {
    fn expression(&mut self, expression: &Expression, group: Group) -> Result<Filter, SpannedError> {
        match expression {
            Expression::Or(parts) => Ok(Filter::any(self.each(parts, group)?)),
            Expression::And(parts) => Ok(Filter::all(self.each(parts, group)?)),
            Expression::Not(inner) => Ok(self.expression(inner, group)?.negated()),
            Expression::Group(name, inner) => {
                let field = names::group(name, group)?;
                Ok(Filter::Element(field, Box::new(self.expression(inner, Some(field))?)))
            }
            Expression::Compare(name, comparison, value) => {
                let now = self.now;
                let test = |target: &Target| values::compare(target, *comparison, value, now);
                let names = names::resolve(name, group)?;
                refuse_object(&names, name)?;
                let names = of_first_order(names, |target| test(target).is_ok());
                self.tests(&names, name, value, group, test)
            }
            Expression::Field(name, values) => {
                if let Values::One(value) = values
                    && name.is_any()
                    && value.is_any()
                    && !value.quoted
                {
                    return Ok(Filter::EVERYTHING);
                }
                let names = names::resolve(name, group)?;
                self.values(values, &names, name, group)
            }
            Expression::Free(value) if value.is_any() => Ok(Filter::EVERYTHING),
            Expression::Free(value) => self.equal(&names::without_field(group), value, value, group),
        }
    }

    fn each(&mut self, parts: &[Expression], group: Group) -> Result<Vec<Filter>, SpannedError> {
        parts.iter().map(|part| self.expression(part, group)).collect()
    }

    fn values(
        &mut self,
        values: &Values,
        names: &ResolvedName,
        name: &Literal,
        group: Group,
    ) -> Result<Filter, SpannedError> {
        let mut each = |parts: &[Values]| -> Result<Vec<Filter>, SpannedError> {
            parts.iter().map(|part| self.values(part, names, name, group)).collect()
        };
        match values {
            Values::Or(parts) => Ok(Filter::any(merge_value_lists(each(parts)?))),
            Values::And(parts) => Ok(Filter::all(each(parts)?)),
            Values::Not(inner) => Ok(self.values(inner, names, name, group)?.negated()),
            Values::One(value) => self.equal(names, name, value, group),
        }
    }

    fn equal(
        &mut self,
        names: &ResolvedName,
        name: &Literal,
        value: &Literal,
        group: Group,
    ) -> Result<Filter, SpannedError> {
        if !value.is_any() {
            refuse_object(names, name)?;
        }
        let now = self.now;
        self.tests(names, name, value, group, |target| values::equal(target, value, now))
    }

    /// Tests one field, or any of several that can have the value.
    fn tests(
        &mut self,
        names: &ResolvedName,
        name: &Literal,
        value: &Literal,
        group: Group,
        test: impl Fn(&Target) -> Result<Filter, Mismatch>,
    ) -> Result<Filter, SpannedError> {
        match names {
            ResolvedName::One(target) => {
                if target.field.search == Search::Never {
                    let message = format!("{} is kept, but not indexed, so it cannot be searched", target.field.path);
                    return Err(SpannedError::new(name.span, message));
                }
                let to_error = |mismatch: Mismatch| {
                    SpannedError::new(value.span, mismatch.message(target, &quoted_excerpt(value)))
                };
                let found = test(target).map_err(to_error)?;
                self.count_clauses(found, target, value, group)
            }
            ResolvedName::Several(targets) | ResolvedName::Object(targets) => {
                let fitting: Vec<_> = targets.iter().filter_map(|target| Some((target, test(target).ok()?))).collect();
                if fitting.len() > MAX_CLAUSES {
                    let message = format!(
                        "{} stands for {} fields that can have {}; name a set of fields, such as user.*, or write the \
                         value alone",
                        quoted_excerpt(name),
                        fitting.len(),
                        quoted_excerpt(value)
                    );
                    return Err(SpannedError::new(name.span, message));
                }
                let found: Vec<Filter> = fitting
                    .into_iter()
                    .map(|(target, found)| self.count_clauses(found, target, value, group))
                    .collect::<Result<_, _>>()?;
                if found.is_empty() {
                    let message =
                        format!("No field that matches {} can have {}", quoted_excerpt(name), quoted_excerpt(value));
                    return Err(SpannedError::new(value.span, message));
                }
                Ok(Filter::any(found))
            }
        }
    }

    /// Counts the clauses of a test. Outside a group, wraps the test of a field in a nested field into
    /// [`Filter::Element`].
    fn count_clauses(
        &mut self,
        test: Filter,
        target: &Target,
        value: &Literal,
        group: Group,
    ) -> Result<Filter, SpannedError> {
        self.clauses += clauses(&test);
        if self.clauses > MAX_CLAUSES {
            let message = format!("The filter has more than {MAX_CLAUSES} values and words in all its fields");
            return Err(SpannedError::new(value.span, message));
        }
        Ok(match target.nested().filter(|_| group.is_none()) {
            Some(nested) => Filter::Element(nested, Box::new(test)),
            None => test,
        })
    }
}

/// An object has no value: only whether there is one of its fields can be asked.
fn refuse_object(names: &ResolvedName, name: &Literal) -> Result<(), SpannedError> {
    let ResolvedName::Object(members) = names else { return Ok(()) };
    let shown = name.shown();
    let mut some: Vec<_> = members.iter().map(|member| member.field.path).collect();
    some.sort_by_key(|path| (path.matches('.').count(), *path));
    some.truncate(3);
    let message = format!("{shown} is an object; name a field of it, such as {}, or write {shown}.*", some.join(", "));
    Err(SpannedError::new(name.span, message))
}

/// Of several fields, keeps those of the first order that the value fits into: numbers, addresses, times, then texts.
/// Nearly every value is a text too, and a number of four digits is also a year: `event.* > 1000` is about numbers.
fn of_first_order(names: ResolvedName, fits: impl Fn(&Target) -> bool) -> ResolvedName {
    let order = |target: &Target| match target.field.kind {
        Kind::Long | Kind::Long64 | Kind::Float => 0,
        Kind::Ip => 1,
        Kind::Date | Kind::DateRange => 2,
        Kind::Keyword
        | Kind::Text
        | Kind::Json
        | Kind::Boolean
        | Kind::GeoPoint
        | Kind::Version
        | Kind::Labels
        | Kind::Flattened
        | Kind::Nested
        | Kind::Objects => 3,
    };
    match names {
        ResolvedName::Several(mut targets) => {
            let first = targets.iter().filter(|target| fits(target)).map(order).min();
            targets.retain(|target| Some(order(target)) == first);
            ResolvedName::Several(targets)
        }
        names @ (ResolvedName::One(_) | ResolvedName::Object(_)) => names,
    }
}

fn quoted_excerpt(literal: &Literal) -> String {
    let text = literal.shown();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}", format!("{}…", text.get(..end).unwrap_or_default())),
        None => format!("{text:?}"),
    }
}

fn clauses(filter: &Filter) -> usize {
    match filter {
        Filter::All(parts) | Filter::Any(parts) => parts.iter().map(clauses).sum(),
        Filter::Not(inner) | Filter::Element(_, inner) => clauses(inner).max(1),
        Filter::Value(_, Test::OneOf(values)) => values.len(),
        Filter::Value(_, Test::Words(words) | Test::Phrase(words)) => words.len(),
        Filter::Value(_, Test::Exists | Test::Range { .. } | Test::Like(_) | Test::WordLike(_)) => 1,
    }
}

/// Merges consecutive values of the same field into one list.
fn merge_value_lists(parts: Vec<Filter>) -> Vec<Filter> {
    let mut joined: Vec<Filter> = Vec::new();
    for part in parts {
        let is_joined = match (list(&part), joined.last_mut().and_then(list_mut)) {
            (Some((subject, more)), Some((same, values))) if subject == same => {
                values.extend_from_slice(more);
                true
            }
            _ => false,
        };
        if !is_joined {
            joined.push(part);
        }
    }
    joined
}

type List<'a, V> = (&'a Subject, V);

fn list(filter: &Filter) -> Option<List<'_, &Vec<crate::query::filter::Value>>> {
    match filter {
        Filter::Element(_, inner) => list(inner),
        Filter::Value(subject, Test::OneOf(values)) => Some((subject, values)),
        Filter::All(_) | Filter::Any(_) | Filter::Not(_) | Filter::Value(..) => None,
    }
}

fn list_mut(filter: &mut Filter) -> Option<List<'_, &mut Vec<crate::query::filter::Value>>> {
    match filter {
        Filter::Element(_, inner) => list_mut(inner),
        Filter::Value(subject, Test::OneOf(values)) => Some((subject, values)),
        Filter::All(_) | Filter::Any(_) | Filter::Not(_) | Filter::Value(..) => None,
    }
}

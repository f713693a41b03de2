//! What most conditions are made of, decided without the library, which takes a good part of a decision: comparisons of an attribute with
//! something written out, `in` a list written out, `has`, and `&&`, `||`, `!` of these.
//!
//! Invariant: it never says anything but what the library says. Wherever CEL could fail, a missing attribute or another type, it
//! says nothing, and the library is asked.

use std::cmp::Ordering;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, SelectExpr, operators};

use crate::domain::Context;
use crate::domain::context::Value;
use crate::targeting::condition::CONTEXT_NAME;

/// A condition, or a part of one.
#[derive(Debug)]
pub(super) enum Shortcut {
    Both(Box<[Self; 2]>),
    Either(Box<[Self; 2]>),
    Not(Box<Self>),
    Has(Box<str>),
    /// An attribute that is true or false itself.
    Holds(Box<str>),
    Compares(Box<str>, Comparison, Value<'static>),
    OneOf(Box<str>, Box<[Value<'static>]>),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Shortcut {
    /// `None` if something in it is for the library alone.
    pub(super) fn of(expression: &IdedExpr) -> Option<Self> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else there is, or will be, is for the library")]
        match &expression.expr {
            Expr::Call(call) if call.target.is_none() => Self::of_call(call),
            Expr::Select(select) if select.test => Some(Self::Has(named(select)?)),
            _ => Some(Self::Holds(name(expression)?)),
        }
    }

    fn of_call(call: &CallExpr) -> Option<Self> {
        let pair = |left, right| Some(Box::new([Self::of(left)?, Self::of(right)?]));
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, [left, right]) => Some(Self::Both(pair(left, right)?)),
            (operators::LOGICAL_OR, [left, right]) => Some(Self::Either(pair(left, right)?)),
            (operators::LOGICAL_NOT, [operand]) => Some(Self::Not(Box::new(Self::of(operand)?))),
            (operators::IN, [element, list]) => {
                let Expr::List(list) = &list.expr else { return None };
                let values = list.optional_indices.is_empty().then(|| list.elements.iter().map(literal))?;
                Some(Self::OneOf(name(element)?, values.collect::<Option<_>>()?))
            }
            (operator, [left, right]) => {
                let comparison = Comparison::of(operator)?;
                let straight = || Some(Self::Compares(name(left)?, comparison, literal(right)?));
                let turned = || Some(Self::Compares(name(right)?, comparison.turned(), literal(left)?));
                straight().or_else(turned)
            }
            _ => None,
        }
    }

    /// Whether it holds; `None` if only the library can tell.
    pub(super) fn holds(&self, context: &Context<'_>) -> Option<bool> {
        match self {
            Self::Both(parts) => Some(parts[0].holds(context)? && parts[1].holds(context)?),
            Self::Either(parts) => Some(parts[0].holds(context)? || parts[1].holds(context)?),
            Self::Not(part) => Some(!part.holds(context)?),
            Self::Has(name) => Some(context.get(name).is_some()),
            Self::Holds(name) => match context.get(name)? {
                Value::Bool(holds) => Some(*holds),
                Value::Int(_) | Value::Float(_) | Value::Text(_) => None,
            },
            Self::Compares(name, comparison, value) => Some(comparison.admits(compare(context.get(name)?, value)?)),
            Self::OneOf(name, values) => {
                let given = context.get(name)?;
                for value in values {
                    if compare(given, value)? == Ordering::Equal {
                        return Some(true);
                    }
                }
                Some(false)
            }
        }
    }
}

impl Comparison {
    fn of(operator: &str) -> Option<Self> {
        match operator {
            operators::EQUALS => Some(Self::Equal),
            operators::NOT_EQUALS => Some(Self::Unequal),
            operators::LESS => Some(Self::Less),
            operators::LESS_EQUALS => Some(Self::AtMost),
            operators::GREATER => Some(Self::More),
            operators::GREATER_EQUALS => Some(Self::AtLeast),
            _ => None,
        }
    }

    /// The same with its sides exchanged.
    const fn turned(self) -> Self {
        match self {
            Self::Equal | Self::Unequal => self,
            Self::Less => Self::More,
            Self::AtMost => Self::AtLeast,
            Self::More => Self::Less,
            Self::AtLeast => Self::AtMost,
        }
    }

    const fn admits(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Unequal => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::AtMost => ordering.is_le(),
            Self::More => ordering.is_gt(),
            Self::AtLeast => ordering.is_ge(),
        }
    }
}

/// `country`, or `ctx.country`.
fn name(expression: &IdedExpr) -> Option<Box<str>> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else there is, or will be, is no name")]
    match &expression.expr {
        Expr::Ident(name) if name != CONTEXT_NAME => Some(name.as_str().into()),
        Expr::Select(select) if !select.test => named(select),
        _ => None,
    }
}

/// What of `ctx` is selected.
fn named(select: &SelectExpr) -> Option<Box<str>> {
    matches!(&select.operand.expr, Expr::Ident(name) if name == CONTEXT_NAME).then(|| select.field.as_str().into())
}

fn literal(expression: &IdedExpr) -> Option<Value<'static>> {
    let Expr::Literal(literal) = &expression.expr else { return None };
    match literal {
        LiteralValue::Boolean(value) => Some(Value::Bool(*value.inner())),
        LiteralValue::Int(value) => Some(Value::Int(*value.inner())),
        LiteralValue::Double(value) => Some(Value::Float(*value.inner())),
        LiteralValue::String(value) => Some(Value::Text(value.inner().to_owned().into())),
        LiteralValue::Bytes(_) | LiteralValue::Null | LiteralValue::UInt(_) => None,
    }
}

/// As CEL compares values of these types; `None` of types that it does not compare.
fn compare(given: &Value<'_>, written: &Value<'_>) -> Option<Ordering> {
    #[expect(clippy::cast_precision_loss, reason = "as the library compares whole numbers with others")]
    match (given, written) {
        (Value::Bool(given), Value::Bool(written)) => Some(given.cmp(written)),
        (Value::Int(given), Value::Int(written)) => Some(given.cmp(written)),
        (Value::Float(given), Value::Float(written)) => given.partial_cmp(written),
        (Value::Int(given), Value::Float(written)) => (*given as f64).partial_cmp(written),
        (Value::Float(given), Value::Int(written)) => given.partial_cmp(&(*written as f64)),
        (Value::Text(given), Value::Text(written)) => Some(given.as_ref().cmp(written.as_ref())),
        (Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    //! What it says, the library says.

    use proptest::prelude::*;

    use super::*;
    use crate::targeting::condition::{Condition, Verdict};

    fn value() -> impl Strategy<Value = Value<'static>> {
        prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            prop_oneof![-2_i64..4, Just(i64::MAX), Just(9_007_199_254_740_993)].prop_map(Value::Int),
            prop_oneof![-1.5_f64..3.5, Just(2.0), Just(-0.0), Just(9.223_372_036_854_776e18)].prop_map(Value::Float),
            "[A-C]{0,2}|é".prop_map(|text| Value::Text(text.into())),
        ]
    }

    fn written(value: &Value<'_>) -> String {
        match value {
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => format!("{value:?}"),
            Value::Text(value) => format!("{value:?}"),
        }
    }

    fn attribute() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["country", "ctx.visits", "basket", "ctx.returning", "missing", "size", "int"])
    }

    fn source() -> impl Strategy<Value = String> {
        let operator = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
        let of_one = prop_oneof![
            4 => (attribute(), operator.clone(), value()).prop_map(|(a, o, v)| format!("{a} {o} {}", written(&v))),
            2 => (attribute(), operator, value()).prop_map(|(a, o, v)| format!("{} {o} {a}", written(&v))),
            3 => (attribute(), prop::collection::vec(value(), 0..4)).prop_map(|(attribute, values)| {
                format!("{attribute} in [{}]", values.iter().map(written).collect::<Vec<_>>().join(", "))
            }),
            1 => attribute().prop_map(str::to_owned),
            1 => prop::sample::select(vec!["country", "visits", "missing"]).prop_map(|name| format!("has(ctx.{name})")),
        ];
        of_one.prop_recursive(4, 16, 2, |part| {
            prop_oneof![
                (part.clone(), part.clone()).prop_map(|(left, right)| format!("({left}) && ({right})")),
                (part.clone(), part.clone()).prop_map(|(left, right)| format!("({left}) || ({right})")),
                part.prop_map(|part| format!("!({part})")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]
        #[test]
        fn it_says_what_the_library_says_or_nothing(
            source in source(),
            values in [value(), value(), value(), value(), value(), value()],
        ) {
            let mut context = Context::new();
            for (name, value) in ["country", "visits", "basket", "returning", "size", "int"].into_iter().zip(values) {
                prop_assert!(context.insert(name.into(), value));
            }
            let condition = Condition::compile(&source).expect("what is made here compiles");
            let by_library = condition.by_library(&context);
            prop_assert_eq!(condition.evaluate(&context), by_library, "{}", &source);
            let shortcut = condition.shortcut.as_ref().expect("what is made here has no other parts");
            if let Some(holds) = shortcut.holds(&context) {
                prop_assert_eq!(if holds { Verdict::Match } else { Verdict::NoMatch }, by_library, "{}", &source);
            }
        }
    }

    #[test]
    fn what_marketers_write_needs_no_library_where_nothing_is_missing() {
        let context = Context::from([
            ("country", "FR".into()),
            ("visits", Value::Int(3)),
            ("basket", Value::Float(49.5)),
            ("returning", Value::Bool(true)),
        ]);
        for (source, holds) in [
            (r#"country in ["FR", "DE"] && visits >= 1"#, Some(true)),
            ("basket > 49 && !(3 <= visits)", Some(false)),
            ("returning || missing == 1", Some(true)),
            ("has(ctx.device) || ctx.visits == 3.0", Some(true)),
            // A missing attribute, another type: whatever the library makes of it.
            ("missing == 1 || returning", None),
            ("country > 3", None),
            ("!country", None),
        ] {
            let condition = Condition::compile(source).expect(source);
            assert_eq!(condition.shortcut.as_ref().expect(source).holds(&context), holds, "{source}");
        }
        for source in ["size(country) == 2", "visits + 1 == 4", "visits == basket", "returning ? true : false"] {
            assert!(Condition::compile(source).expect(source).shortcut.is_none(), "{source}");
        }
    }
}

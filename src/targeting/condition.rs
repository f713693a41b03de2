//! Conditions over attributes in CEL. Every attribute is a variable and also stands under `ctx`, so that
//! `has(ctx.country)` asks whether it is there.

mod shortcut;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use cel::common::ast::{EntryExpr, Expr};
use cel::common::types::{CelBool, CelDouble, CelInt, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;

use crate::domain::Context;
use crate::domain::context::Value;
use crate::targeting::condition::shortcut::Shortcut;

/// A condition that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the condition {source_text:?} is not usable: {reason}")]
pub struct ConditionError {
    /// What was given, cut to 200 characters.
    pub source_text: String,
    /// What is wrong with it, or what is allowed.
    pub reason: String,
}

/// What a condition says of a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Match,
    /// It does not.
    NoMatch,
    /// It could not be decided (a missing attribute, a wrong type), which counts as no match and is counted.
    Failed,
}

/// A compiled condition.
#[derive(Debug)]
pub struct Condition {
    source: String,
    program: cel::Program,
    /// Tells what the program does, where nothing can fail; `None` if the program has other parts.
    shortcut: Option<Shortcut>,
}

/// Longest source, in bytes.
const MAX_SOURCE_BYTES: usize = 2_000;
/// The name under which all attributes stand together.
const CONTEXT_NAME: &str = "ctx";
/// What may be called by name. Operators are always allowed; comprehensions are not, since attributes are never lists and
/// nested ones could take exponential time.
const FUNCTIONS: [&str; 9] = ["size", "contains", "startsWith", "endsWith", "int", "uint", "double", "string", "bool"];

/// Building an environment registers every standard function: done once.
fn environment() -> Arc<cel::Env> {
    static ENVIRONMENT: OnceLock<Arc<cel::Env>> = OnceLock::new();
    Arc::clone(ENVIRONMENT.get_or_init(|| Arc::new(cel::Env::stdlib())))
}

impl Condition {
    /// Compiles a source of at most 2,000 bytes.
    ///
    /// # Errors
    /// [`ConditionError`] if it does not parse, calls an unknown function, or uses a comprehension.
    pub fn compile(source: &str) -> Result<Self, ConditionError> {
        let refused = |reason: String| ConditionError { source_text: source.chars().take(200).collect(), reason };
        if source.len() > MAX_SOURCE_BYTES {
            return Err(refused(format!("it is {} bytes long, at most {MAX_SOURCE_BYTES} are allowed", source.len())));
        }
        let program = environment().compile(source).map_err(|error| refused(one_line(&error.to_string())))?;
        for function in program.references().functions() {
            let operator = !function.starts_with(|c: char| c.is_ascii_alphabetic());
            if !operator && !FUNCTIONS.contains(&function) {
                return Err(refused(format!("there is no function {function:?}; there are {}", FUNCTIONS.join(", "))));
            }
        }
        if has_comprehension(program.expression()) {
            return Err(refused(
                "all, exists, exists_one, map and filter are not allowed: attributes are never lists".into(),
            ));
        }
        let shortcut = Shortcut::of(program.expression());
        Ok(Self { source: source.to_owned(), program, shortcut })
    }

    /// What it was compiled from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it says of a context.
    #[must_use]
    pub fn evaluate(&self, context: &Context<'_>) -> Verdict {
        match self.shortcut.as_ref().and_then(|shortcut| shortcut.holds(context)) {
            Some(true) => Verdict::Match,
            Some(false) => Verdict::NoMatch,
            None => self.by_library(context),
        }
    }

    fn by_library(&self, context: &Context<'_>) -> Verdict {
        let resolver = Attributes(context);
        let mut scope = cel::Context::with_env(environment());
        scope.set_variable_resolver(&resolver);
        match self.program.execute(&scope) {
            Ok(cel::Value::Bool(true)) => Verdict::Match,
            Ok(cel::Value::Bool(false)) => Verdict::NoMatch,
            Ok(_) | Err(_) => Verdict::Failed,
        }
    }

    /// Names of attributes the condition can depend on, and perhaps other words of its source: an attribute that is not
    /// among them has no effect.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.source.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn has_comprehension(expression: &cel::IdedExpr) -> bool {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "literals, identifiers and what CEL may add have no parts to look into"
    )]
    match &expression.expr {
        Expr::Comprehension(_) => true,
        Expr::Call(call) => {
            call.target.as_deref().is_some_and(has_comprehension) || call.args.iter().any(has_comprehension)
        }
        Expr::Select(select) => has_comprehension(&select.operand),
        Expr::List(list) => list.elements.iter().any(has_comprehension),
        Expr::Map(map) => map.entries.iter().any(|entry| entry_has_comprehension(&entry.expr)),
        Expr::Struct(fields) => fields.entries.iter().any(|entry| entry_has_comprehension(&entry.expr)),
        _ => false,
    }
}

fn entry_has_comprehension(entry: &EntryExpr) -> bool {
    match entry {
        EntryExpr::MapEntry(entry) => has_comprehension(&entry.key) || has_comprehension(&entry.value),
        EntryExpr::StructField(field) => has_comprehension(&field.value),
    }
}

/// Hands CEL the attributes it asks for, borrowed.
struct Attributes<'c>(&'c Context<'c>);

impl VariableResolver for Attributes<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        if variable == CONTEXT_NAME {
            let all: HashMap<String, cel::Value> =
                self.0.iter().map(|(name, value)| (name.to_owned(), owned(value))).collect();
            let all: Box<dyn Val> = cel::Value::from(all).try_into().ok()?;
            return Some(CowVal::Owned(all));
        }
        // CEL asks for `ctx.country` whole before it asks for `ctx`.
        let name = variable.strip_prefix("ctx.").unwrap_or(variable);
        self.0.get(name).map(|value| match value {
            Value::Bool(value) => CowVal::owned(CelBool::from(*value)),
            Value::Int(value) => CowVal::owned(CelInt::from(*value)),
            Value::Float(value) => CowVal::owned(CelDouble::from(*value)),
            Value::Text(value) => CowVal::owned(CelString::from(value.as_ref())),
        })
    }
}

fn owned(value: &Value<'_>) -> cel::Value {
    match value {
        Value::Bool(value) => cel::Value::Bool(*value),
        Value::Int(value) => cel::Value::Int(*value),
        Value::Float(value) => cel::Value::Float(*value),
        Value::Text(value) => cel::Value::String(Arc::new(value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    //! Conditions as marketers write them.

    use crate::domain::Context;
    use crate::domain::context::Value;
    use crate::targeting::condition::*;

    fn context() -> Context<'static> {
        Context::from([
            ("country", "FR".into()),
            ("visits", Value::Int(3)),
            ("basket", Value::Float(49.5)),
            ("returning", Value::Bool(true)),
        ])
    }

    fn check(source: &str, expected: Verdict) {
        assert_eq!(Condition::compile(source).expect(source).evaluate(&context()), expected, "{source}");
    }

    #[test]
    fn conditions_hold_do_not_hold_or_cannot_be_decided() {
        for source in [
            r#"country in ["FR", "DE"] && !(visits <= 1)"#,
            "basket > 49 && visits >= 3",
            "visits == 3.0",
            "returning",
            "has(ctx.country) && !has(ctx.device)",
            r#"ctx.country == "FR""#,
            r#"ctx["country"] == "FR""#,
            r#"country.startsWith("F") && size(country) == 2"#,
            "returning || missing == 1",
            r#"has(ctx.device) ? device == "mobile" : true"#,
        ] {
            check(source, Verdict::Match);
        }
        for source in ["visits > 3", r#"country == "DE""#, "!returning", "has(ctx.device)", "false && missing > 1"] {
            check(source, Verdict::NoMatch);
        }
        for source in [r#"device == "mobile""#, "visits", "country > 3", "!country"] {
            check(source, Verdict::Failed);
        }
    }

    #[test]
    fn what_is_not_usable_says_why() {
        for (source, why) in [
            ("country ==", "Syntax error"),
            ("", "Syntax error"),
            (r#"country.startswith("F")"#, "startsWith"),
            ("[1,2].all(x, x > visits)", "not allowed"),
            ("{1: [1].exists(x, true)} == {}", "not allowed"),
            (&"visits > 1 && ".repeat(200), "2000"),
        ] {
            let error = Condition::compile(source).expect_err(source).to_string();
            assert!(error.contains(why), "{source}: {error}");
            assert!(error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_never_overflows_the_stack() {
        let deep = format!("{}true{}", "(".repeat(900), ")".repeat(900));
        let _ = Condition::compile(&deep).map(|condition| condition.evaluate(&context()));
        let deep = format!("{}true", "!".repeat(1_900));
        let _ = Condition::compile(&deep).map(|condition| condition.evaluate(&context()));
        let deep = format!("{}1 == 1", "1 + ".repeat(480));
        let _ = Condition::compile(&deep).map(|condition| condition.evaluate(&context()));
    }

    #[test]
    fn a_condition_knows_what_it_depends_on() {
        let condition = Condition::compile(r#"country == "FR" && has(ctx.device)"#).expect("compiles");
        let names: Vec<&str> = condition.names().collect();
        assert!(names.contains(&"country") && names.contains(&"device") && !names.contains(&"visits"));
    }
}

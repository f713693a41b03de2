//! Strategies as a scenario writes them: `name`, `policy`, the policy's parameters, and what else a definition says, with
//! `floor` and `control` where they differ from the scenario's.

use std::collections::BTreeMap;

use mabel::domain::{GoalKind, Probability, Span};
use mabel::engine::definition::{Delay, HalfLife, Objective};
use mabel::policy::{Parameter, Parameters, REGISTRY};

use crate::simulations::scenario::{Refusal, trouble};
use crate::simulations::strategies::{Budget, Expected, Plan, Strategy, Terms, Winner};

/// Share of the visitors whom an A/B test shows all variations alike (STATISTICS §16).
const EXPLORE: f64 = 0.25;

/// What a scenario without strategies compares. Where there is one segment, rows that would be the same are left out.
pub(super) fn defaults(segmented: bool, floor: f64, control: f64) -> Vec<Strategy> {
    let policy = |kind: &str, pooling: Option<&str>| {
        let pooling = pooling.map(|value| ("pooling".to_owned(), Parameter::Text(value.to_owned())));
        Plan::Policy { kind: kind.to_owned(), parameters: pooling.into_iter().collect() }
    };
    let ab_test = |winner| Plan::AbTest { explore: EXPLORE, winner };
    let mut plans =
        vec![("oracle", Plan::Oracle), ("uniform", policy("uniform", None)), ("A/B test", ab_test(Winner::Global))];
    if segmented {
        plans.push(("A/B test per segment", ab_test(Winner::PerSegment)));
        plans.push(("epsilon-greedy per segment", policy("epsilon-greedy", Some("none"))));
        plans.push(("global Thompson", policy("thompson", Some("complete"))));
        plans.push(("per-segment Thompson", policy("thompson", Some("none"))));
        plans.push(("partial pooling", policy("thompson", Some("partial"))));
    } else {
        plans.push(("epsilon-greedy", policy("epsilon-greedy", Some("none"))));
        plans.push(("Thompson", policy("thompson", Some("none"))));
    }
    let terms = Terms { floor, control, ..Terms::default() };
    plans.into_iter().map(|(name, plan)| Strategy { name: name.to_owned(), plan, terms }).collect()
}

/// Reads the tables of a scenario.
pub(super) fn read_all(tables: Vec<toml::Table>, floor: f64, control: f64) -> Result<Vec<Strategy>, Refusal> {
    if tables.is_empty() {
        return Err(Refusal::new("strategies", "none", "at least one; leave it out for the usual ones"));
    }
    let mut strategies: Vec<Strategy> = Vec::with_capacity(tables.len());
    for (index, table) in tables.into_iter().enumerate() {
        let strategy = read(table, &format!("strategies[{index}]"), floor, control)?;
        if strategies.iter().any(|known| known.name == strategy.name) {
            return Err(Refusal::new(format!("strategies[{index}].name"), strategy.name, "each name once"));
        }
        strategies.push(strategy);
    }
    Ok(strategies)
}

fn read(mut table: toml::Table, at: &str, floor: f64, control: f64) -> Result<Strategy, Refusal> {
    let policy = take_text(&mut table, at, "policy")?;
    let name = if table.contains_key("name") { take_text(&mut table, at, "name")? } else { policy.clone() };
    let terms = take_terms(&mut table, at, floor, control)?;
    let plan = match policy.as_str() {
        "oracle" => Plan::Oracle,
        "ab-test" => Plan::AbTest { explore: take_explore(&mut table, at)?, winner: Winner::Global },
        "ab-test-per-segment" => Plan::AbTest { explore: take_explore(&mut table, at)?, winner: Winner::PerSegment },
        kind if REGISTRY.iter().any(|registered| registered.kind == kind) => {
            let parameters = std::mem::take(&mut table);
            let parameters: Result<Parameters, Refusal> =
                parameters.into_iter().map(|(name, value)| parameter(at, name, value)).collect();
            Plan::Policy { kind: policy, parameters: parameters? }
        }
        unknown => {
            let kinds: Vec<&str> = REGISTRY.iter().map(|registered| registered.kind).collect();
            let allowed = format!("oracle, ab-test, ab-test-per-segment, {}", kinds.join(", "));
            return Err(Refusal::new(format!("{at}.policy"), format!("{unknown:?}"), allowed));
        }
    };
    match table.keys().next() {
        Some(unknown) => {
            let own = if matches!(plan, Plan::AbTest { .. }) { "explore, " } else { "" };
            let allowed = format!("name, policy, {own}{}", TERMS.join(", "));
            Err(Refusal::new(at, format!("the field {unknown:?}"), allowed))
        }
        None => Ok(Strategy { name, plan, terms }),
    }
}

/// Fields that every strategy has.
const TERMS: [&str; 10] = [
    "floor",
    "control",
    "half_life",
    "objective",
    "delay",
    "typical_delay",
    "goal",
    "expected_visitors",
    "budget",
    "trouble",
];

fn take_terms(table: &mut toml::Table, at: &str, floor: f64, control: f64) -> Result<Terms, Refusal> {
    let floor = take_number(table, at, "floor", floor)?;
    let control = take_number(table, at, "control", control)?;
    if Probability::new(control).is_none() {
        return Err(Refusal::new(format!("{at}.control"), control, "a share from 0 to 1"));
    }
    let objectives = [("goal", Objective::Goal), ("margin", Objective::Margin)];
    let delays = [("none", Delay::None), ("wait", Delay::Wait), ("survival", Delay::Survival)];
    let goals = [("conversion", GoalKind::Conversion), ("revenue", GoalKind::Revenue)];
    Ok(Terms {
        floor,
        control,
        half_life: take_half_life(table, at)?,
        objective: take_word(table, at, "objective", &objectives)?,
        delay: take_word(table, at, "delay", &delays)?.unwrap_or(Delay::None),
        typical_delay: take_span(table, at, "typical_delay", "a length, as in \"2d\"")?,
        goal: take_word(table, at, "goal", &goals)?,
        expected: take_expected(table, at)?,
        budget: take_budget(table, at)?,
        trouble: trouble::take(table, at)?,
    })
}

fn take_word<T: Copy>(
    table: &mut toml::Table,
    at: &str,
    field: &str,
    words: &[(&str, T)],
) -> Result<Option<T>, Refusal> {
    let Some(value) = table.remove(field) else { return Ok(None) };
    let known = words.iter().find(|(word, _)| value.as_str() == Some(word));
    known.map(|(_, meaning)| Some(*meaning)).ok_or_else(|| {
        let allowed: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        Refusal::new(format!("{at}.{field}"), value, allowed.join(", "))
    })
}

fn take_span(table: &mut toml::Table, at: &str, field: &str, allowed: &str) -> Result<Option<Span>, Refusal> {
    let Some(value) = table.remove(field) else { return Ok(None) };
    let span = value.as_str().and_then(Span::parse);
    span.map(Some).ok_or_else(|| Refusal::new(format!("{at}.{field}"), value, allowed))
}

fn take_half_life(table: &mut toml::Table, at: &str) -> Result<HalfLife, Refusal> {
    match table.get("half_life").and_then(toml::Value::as_str) {
        Some("off") => {
            table.remove("half_life");
            Ok(HalfLife::Off)
        }
        Some("auto") => {
            table.remove("half_life");
            Ok(HalfLife::Auto)
        }
        _ => {
            let span = take_span(table, at, "half_life", "\"off\", \"auto\" or a length, as in \"7d\"")?;
            Ok(span.map_or(HalfLife::Off, HalfLife::Fixed))
        }
    }
}

fn take_expected(table: &mut toml::Table, at: &str) -> Result<Expected, Refusal> {
    match table.remove("expected_visitors") {
        None => Ok(Expected::Unsaid),
        Some(toml::Value::String(word)) if word == "run" => Ok(Expected::Run),
        Some(value) => {
            let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
            let allowed = "a whole number, or \"run\": as many as there will be";
            number.map(Expected::Number).ok_or_else(|| Refusal::new(format!("{at}.expected_visitors"), value, allowed))
        }
    }
}

fn take_budget(table: &mut toml::Table, at: &str) -> Result<Option<Budget>, Refusal> {
    let allowed = "{ per_visitor = a number above 0, hard = true or false }";
    match table.remove("budget") {
        None => Ok(None),
        Some(toml::Value::Table(budget)) => {
            let refused =
                || Refusal::new(format!("{at}.budget"), format!("{{ {} }}", budget.to_string().trim()), allowed);
            let per_visitor = budget.get("per_visitor").and_then(number).filter(|number| *number > 0.0);
            let hard = budget.get("hard").map_or(Some(false), toml::Value::as_bool);
            let known = budget.keys().all(|field| ["per_visitor", "hard"].contains(&field.as_str()));
            match (per_visitor, hard) {
                (Some(per_visitor), Some(hard)) if known => Ok(Some(Budget { per_visitor, hard })),
                (_, _) => Err(refused()),
            }
        }
        Some(other) => Err(Refusal::new(format!("{at}.budget"), other, allowed)),
    }
}

fn take_text(table: &mut toml::Table, at: &str, field: &str) -> Result<String, Refusal> {
    match table.remove(field) {
        Some(toml::Value::String(text)) if !text.is_empty() => Ok(text),
        Some(other) => Err(Refusal::new(format!("{at}.{field}"), other, "a text that is not empty")),
        None => Err(Refusal::new(format!("{at}.{field}"), "nothing", "a text that is not empty")),
    }
}

fn take_number(table: &mut toml::Table, at: &str, field: &str, default: f64) -> Result<f64, Refusal> {
    let Some(value) = table.remove(field) else { return Ok(default) };
    number(&value).ok_or_else(|| Refusal::new(format!("{at}.{field}"), value, "a finite number"))
}

fn take_explore(table: &mut toml::Table, at: &str) -> Result<f64, Refusal> {
    let explore = take_number(table, at, "explore", EXPLORE)?;
    if explore > 0.0 && explore < 1.0 {
        Ok(explore)
    } else {
        Err(Refusal::new(format!("{at}.explore"), explore, "a share of the visitors above 0 and below 1"))
    }
}

fn number(value: &toml::Value) -> Option<f64> {
    let number = value.as_float().or_else(|| value.as_integer().map(|integer| integer as f64));
    number.filter(|number| number.is_finite())
}

fn parameter(at: &str, name: String, value: toml::Value) -> Result<(String, Parameter), Refusal> {
    let read = match &value {
        toml::Value::String(text) => Some(Parameter::Text(text.clone())),
        toml::Value::Boolean(flag) => Some(Parameter::Flag(*flag)),
        toml::Value::Array(values) => values.iter().map(number).collect::<Option<Vec<f64>>>().map(Parameter::Numbers),
        toml::Value::Table(shares) => {
            let shares = shares.iter().map(|(key, value)| Some((key.clone(), number(value)?)));
            shares.collect::<Option<BTreeMap<String, f64>>>().map(Parameter::Shares)
        }
        toml::Value::Integer(_) | toml::Value::Float(_) => number(&value).map(Parameter::Number),
        toml::Value::Datetime(_) => None,
    };
    let allowed = "a text, a finite number, true, false, a list of numbers, or a table of numbers";
    match read {
        Some(read) => Ok((name, read)),
        None => Err(Refusal::new(format!("{at}.{name}"), value, allowed)),
    }
}

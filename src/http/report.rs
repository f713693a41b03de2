//! `GET /v1/experiments/{key}/report`.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, block};
use serde_json::{Map, Value, json};

use crate::domain::{Currency, Span, VariationKey};
use crate::http::body::rfc3339;
use crate::http::definition::{objective_word, status_word};
use crate::http::problem::{Kind, Problem};
use crate::report::borrowing::Borrowing;
use crate::report::delays::DelaysByVariation;
use crate::report::intervals::{Estimate, Interval};
use crate::report::stopping::Reason;
use crate::service::Service;
use crate::service::report::{
    AgainstControl, AllocationOf, Cell, ControlReport, GoalReport, Report, Spending, Stopped, ValueReport,
    VariationReport,
};

pub(crate) async fn report(service: Data<Service>, key: Path<String>) -> Result<HttpResponse, Problem> {
    // Many segments take many milliseconds: not on a thread that answers decisions.
    let made = block(move || service.report(&key)).await;
    let made =
        made.map_err(|error| Problem::new(Kind::Unavailable, format!("the report could not be made: {error}")))?;
    Ok(HttpResponse::Ok().json(to_json(&made?)))
}

fn to_json(report: &Report) -> Value {
    let segments: Vec<Value> = report
        .segments
        .iter()
        .map(|segment| {
            let mut cell = cell(&segment.cell);
            let allocation: Map<String, Value> =
                segment.allocation.iter().map(|(key, share)| (key.to_string(), json!(share))).collect();
            cell.insert("segment".into(), json!(segment.segment.as_str()));
            cell.insert("allocation".into(), Value::Object(allocation));
            if let Some(own_weight) = segment.own_weight {
                cell.insert("own_weight".into(), json!(own_weight));
            }
            Value::Object(cell)
        })
        .collect();
    let newest = report.rewards.newest;
    json!({
        "experiment": report.experiment.as_str(),
        "definition": report.definition,
        "epoch": report.epoch,
        "status": status_word(report.status),
        "generated_at": rfc3339(report.generated_at),
        "objective": objective_word(report.objective),
        "allocation_of": match report.allocation_of {
            AllocationOf::Segment => "segment",
            AllocationOf::UnknownVisitor => "unknown_visitor",
        },
        "totals": cell(&report.totals),
        "segments": segments,
        "control": control(&report.totals.control),
        "borrowing": report.borrowing.as_ref().map(borrowing),
        "delays": report.delays.as_ref().map(delays),
        "spending": report.spending.as_ref().map(spending),
        "stopping": report.stopping.as_ref().map(stopping),
        "rewards": {
            "recorded": report.rewards.recorded,
            "repeated": report.rewards.repeated,
            "late": report.rewards.late,
            "capped": report.rewards.capped,
            "amended": report.rewards.amended,
            "retracted": report.rewards.retracted,
            "refused": report.refused,
            "refused_unattributed": report.refused_unattributed,
        },
        "newest_reward_at": newest.map(rfc3339),
        "newest_reward_age_seconds": newest.map(|at| report.generated_at.since(at).as_millis() / 1_000),
        "conditions_failed": report.failed_conditions,
    })
}

fn borrowing(borrowing: &Borrowing) -> Value {
    json!({
        "tau": borrowing.tau,
        "difference": borrowing.difference,
        "even_at": borrowing.even_at,
        "words": borrowing.words(),
    })
}

fn delays(delays: &DelaysByVariation) -> Value {
    let half = |(key, half): &(VariationKey, Span)| (key.to_string(), json!(half.as_millis() / 1_000));
    json!({
        "depend_on_variation": delays.depend(),
        "p_value": delays.p,
        "half_within_seconds": delays.halves.iter().map(half).collect::<Map<String, Value>>(),
        "words": delays.words(),
    })
}

fn spending(spending: &Spending) -> Value {
    let budget = spending.budget.map(|budget| {
        json!({
            "amount": budget.amount,
            "visitors": budget.visitors,
            "spent": spending.spent,
            "price": budget.price,
            "exhausted": budget.exhausted,
        })
    });
    json!({ "spent": spending.spent, "currency": spending.currency.as_ref().map(Currency::as_str), "budget": budget })
}

fn stopping(stopped: &Stopped) -> Value {
    let verdict = &stopped.verdict;
    json!({
        "finished": verdict.finished(),
        "reason": match verdict.reason {
            Reason::ValueRemaining => "value_remaining",
            Reason::NoPracticalDifference => "no_practical_difference",
            Reason::Limit => "limit",
            Reason::Younger(_) => "too_young",
            Reason::Fewer(..) => "too_few_conversions",
            Reason::Uncertain => "uncertain",
        },
        "sentence": stopped.sentence,
        // JSON has no infinity: null where the best's score may not be above 0.
        "value_remaining": verdict.value_remaining,
        "equivalence_probability": verdict.equivalence_probability,
        "best": stopped.best.as_str(),
    })
}

fn cell(cell: &Cell) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("exposures".into(), json!(cell.exposures));
    if let Some(effective) = cell.effective_exposures {
        object.insert("effective_exposures".into(), json!(effective));
    }
    object.insert("open_exposures".into(), json!(cell.open_exposures));
    if let Some(half_life) = cell.half_life {
        object.insert("half_life".into(), json!(half_life.to_string()));
    }
    object.insert("variations".into(), cell.variations.iter().map(variation).collect());
    object.insert("control".into(), control(&cell.control));
    object
}

fn variation(variation: &VariationReport) -> Value {
    let goals: Map<String, Value> =
        variation.goals.iter().map(|(key, goal)| (key.to_string(), self::goal(goal))).collect();
    let mut object = json!({
        "variation": variation.variation.as_str(),
        "removed": variation.removed,
        "exposures": variation.exposures,
        "goals": goals,
        "best_probability": variation.best_probability,
        "expected_loss": variation.expected_loss,
    });
    if let Some(margin) = variation.margin {
        object["margin"] = estimate(margin);
    }
    object
}

fn goal(goal: &GoalReport) -> Value {
    let mut object =
        json!({ "conversions": goal.conversions, "mean": goal.mean, "interval": goal.interval.map(interval) });
    if let Some(shrunken) = goal.shrunken {
        object["shrunken"] = estimate(shrunken);
    }
    match goal.value {
        ValueReport::Conversion => {}
        ValueReport::Count { sum } => object["sum"] = whole(sum),
        ValueReport::Revenue { sum, currency, conversion_rate, order_value } => {
            object["sum"] = whole(sum);
            object["currency"] = json!(currency.as_ref().map(Currency::as_str));
            object["conversion_rate"] = json!(conversion_rate.map(estimate));
            object["order_value"] = json!(order_value.map(estimate));
        }
    }
    object
}

fn estimate(Estimate { mean, low, high }: Estimate) -> Value {
    json!({ "mean": mean, "interval": [low, high] })
}

/// As an integer, or as a number where a sum has outgrown what JSON readers take for one.
fn whole(sum: i128) -> Value {
    i64::try_from(sum).map_or_else(|_| json!(sum as f64), |sum| json!(sum))
}

fn control(control: &ControlReport) -> Value {
    let goals: Map<String, Value> =
        control.goals.iter().map(|(key, against)| (key.to_string(), self::against(against))).collect();
    json!({ "exposures": control.exposures, "goals": goals })
}

fn against(AgainstControl { conversions, lift, mean_lift }: &AgainstControl) -> Value {
    let mut object = json!({
        "conversions": conversions,
        "control_rate": lift.control_rate,
        "treated_rate": lift.treated_rate,
        "difference": lift.difference,
        "difference_interval": lift.difference_interval.map(interval),
        "relative_lift": lift.relative,
    });
    if let Some(lift) = mean_lift {
        object["value"] = json!({
            "control_mean": lift.control,
            "treated_mean": lift.treated,
            "difference": lift.difference,
            "difference_interval": interval(lift.difference_interval),
            "relative_lift": lift.relative,
        });
    }
    object
}

fn interval(interval: Interval) -> Value {
    json!([interval.low, interval.high])
}

//! `GET /v1/experiments/{key}/report`.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, block};
use serde_json::{Map, Value, json};

use crate::domain::GoalKey;
use crate::http::body::rfc3339;
use crate::http::definition::status_word;
use crate::http::problem::{Kind, Problem};
use crate::report::intervals::Interval;
use crate::report::lift::Lift;
use crate::service::Service;
use crate::service::report::{Cell, ControlReport, GoalReport, Report};

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
            Value::Object(cell)
        })
        .collect();
    let newest = report.rewards.newest_learned;
    json!({
        "experiment": report.experiment.as_str(),
        "definition": report.definition,
        "epoch": report.epoch,
        "status": status_word(report.status),
        "generated_at": rfc3339(report.generated_at),
        "totals": cell(&report.totals),
        "segments": segments,
        "control": control(&report.totals.control),
        "rewards": {
            "recorded": report.rewards.recorded,
            "repeated": report.rewards.repeated,
            "late": report.rewards.late,
            "refused": report.refused,
            "refused_unattributed": report.refused_unattributed,
        },
        "newest_reward_at": newest.map(rfc3339),
        "newest_reward_age_seconds": newest.map(|at| report.generated_at.since(at).as_millis() / 1_000),
        "conditions_failed": report.failed_conditions,
    })
}

fn cell(cell: &Cell) -> Map<String, Value> {
    let variations: Vec<Value> = cell
        .variations
        .iter()
        .map(|variation| {
            let goals: Map<String, Value> =
                variation.goals.iter().map(|(key, goal)| (key.to_string(), self::goal(goal))).collect();
            json!({
                "variation": variation.variation.as_str(),
                "removed": variation.best_probability.is_none(),
                "exposures": variation.exposures,
                "goals": goals,
                "best_probability": variation.best_probability,
                "expected_loss": variation.expected_loss,
            })
        })
        .collect();
    let mut object = Map::new();
    object.insert("exposures".into(), json!(cell.exposures));
    object.insert("variations".into(), json!(variations));
    object.insert("control".into(), control(&cell.control));
    object
}

fn goal(goal: &GoalReport) -> Value {
    json!({ "conversions": goal.conversions, "mean": goal.mean, "interval": interval(goal.interval) })
}

fn control(control: &ControlReport) -> Value {
    let goals: Map<String, Value> =
        control.goals.iter().map(|(key, conversions, lift)| against(key, *conversions, lift)).collect();
    json!({ "exposures": control.exposures, "goals": goals })
}

fn against(key: &GoalKey, conversions: u64, lift: &Lift) -> (String, Value) {
    let value = json!({
        "conversions": conversions,
        "control_rate": lift.control_rate,
        "treated_rate": lift.treated_rate,
        "difference": lift.difference,
        "difference_interval": lift.difference_interval.map(interval),
        "relative_lift": lift.relative,
    });
    (key.to_string(), value)
}

fn interval(interval: Interval) -> Value {
    json!([interval.low, interval.high])
}

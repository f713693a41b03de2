//! `GET /v1/experiments/{key}/report`.

mod shape;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, block};
use serde_json::Number;

use crate::domain::{GoalKey, Span, VariationKey};
use crate::http::body::rfc3339;
use crate::http::definition::{objective_word, status_word};
use crate::http::openapi::schema::ExperimentPath;
use crate::http::problem::document::problems;
use crate::http::problem::{Kind, Problem, quoted};
use crate::report::borrowing::Borrowing;
use crate::report::delays::DelaysByVariation;
use crate::report::intervals::{Estimate, Interval};
use crate::report::stopping::Reason;
use crate::service::Service;
use crate::service::report::{
    AgainstControl, AllocationOf, Cell, ControlReport, GoalReport, Report, SegmentReport, Spending, Stopped,
    ValueReport, VariationReport,
};

/// What was learned
#[utoipa::path(
    get, path = "/v1/experiments/{key}/report", tag = "experiments", operation_id = "getReport",
    params(ExperimentPath),
    responses((status = 200, description = "Of the current epoch", body = shape::Shown), ReportProblems),
)]
pub(crate) async fn report(service: Data<Service>, key: Path<String>) -> Result<HttpResponse, Problem> {
    // Many segments take many milliseconds: not on a thread that answers decisions.
    let made =
        block(move || service.report(&key).map_err(|error| Problem::from(error).of_experiment("key", &quoted(&key))))
            .await;
    let made =
        made.map_err(|error| Problem::new(Kind::Unavailable, format!("the report could not be made: {error}")))?;
    Ok(HttpResponse::Ok().json(shown(&made?)))
}

problems!(ReportProblems: ExperimentUnknown, ExperimentDeleted, Unavailable);

fn shown(report: &Report) -> shape::Shown {
    let newest = report.rewards.newest;
    shape::Shown {
        experiment: report.experiment.to_string(),
        definition: report.definition,
        epoch: report.epoch,
        status: status_word(report.status),
        generated_at: rfc3339(report.generated_at),
        objective: objective_word(report.objective),
        allocation_of: match report.allocation_of {
            AllocationOf::Segment => "segment",
            AllocationOf::UnknownVisitor => "unknown_visitor",
        },
        totals: cell(&report.totals),
        segments: report.segments.iter().map(segment).collect(),
        control: control(&report.totals.control),
        borrowing: report.borrowing.as_ref().map(borrowing),
        delays: report.delays.as_ref().map(delays),
        spending: report.spending.as_ref().map(spending),
        stopping: report.stopping.as_ref().map(stopping),
        rewards: shape::Rewards {
            recorded: report.rewards.recorded,
            repeated: report.rewards.repeated,
            late: report.rewards.late,
            capped: report.rewards.capped,
            amended: report.rewards.amended,
            retracted: report.rewards.retracted,
            refused: report.refused,
            refused_unattributed: report.refused_unattributed,
        },
        newest_reward_at: newest.map(rfc3339),
        newest_reward_age_seconds: newest.map(|at| report.generated_at.since(at).as_millis() / 1_000),
        conditions_failed: report.failed_conditions,
    }
}

fn borrowing(borrowing: &Borrowing) -> shape::Borrowing {
    shape::Borrowing {
        tau: borrowing.tau,
        difference: borrowing.difference,
        even_at: borrowing.even_at,
        words: borrowing.words(),
    }
}

fn delays(delays: &DelaysByVariation) -> shape::Delays {
    let half = |(key, half): &(VariationKey, Span)| (key.to_string(), half.as_millis() / 1_000);
    shape::Delays {
        depend_on_variation: delays.depend(),
        p_value: delays.p,
        half_within_seconds: delays.halves.iter().map(half).collect(),
        words: delays.words(),
    }
}

fn spending(spending: &Spending) -> shape::Spending {
    let budget = spending.budget.map(|budget| shape::Budget {
        amount: budget.amount,
        visitors: budget.visitors,
        spent: spending.spent,
        price: budget.price,
        exhausted: budget.exhausted,
    });
    shape::Spending { spent: spending.spent, currency: spending.currency.map(|currency| currency.to_string()), budget }
}

fn stopping(stopped: &Stopped) -> shape::Stopping {
    let verdict = &stopped.verdict;
    shape::Stopping {
        finished: verdict.finished(),
        reason: match verdict.reason {
            Reason::ValueRemaining => "value_remaining",
            Reason::NoPracticalDifference => "no_practical_difference",
            Reason::Limit => "limit",
            Reason::Younger(_) => "too_young",
            Reason::Fewer(..) => "too_few_conversions",
            Reason::Uncertain => "uncertain",
        },
        sentence: stopped.sentence.clone(),
        value_remaining: verdict.value_remaining,
        equivalence_probability: verdict.equivalence_probability,
        best: stopped.best.to_string(),
    }
}

fn segment(segment: &SegmentReport) -> shape::Segment {
    let shape::Cell { exposures, effective_exposures, open_exposures, half_life, variations, control } =
        cell(&segment.cell);
    shape::Segment {
        segment: segment.segment.to_string(),
        allocation: segment.allocation.iter().map(|(key, share)| (key.to_string(), *share)).collect(),
        own_weight: segment.own_weight,
        exposures,
        effective_exposures,
        open_exposures,
        half_life,
        variations,
        control,
    }
}

fn cell(cell: &Cell) -> shape::Cell {
    shape::Cell {
        exposures: cell.exposures,
        effective_exposures: cell.effective_exposures,
        open_exposures: cell.open_exposures,
        half_life: cell.half_life.map(|half_life| half_life.to_string()),
        variations: cell.variations.iter().map(variation).collect(),
        control: control(&cell.control),
    }
}

fn variation(variation: &VariationReport) -> shape::Variation {
    shape::Variation {
        variation: variation.variation.to_string(),
        removed: variation.removed,
        exposures: variation.exposures,
        goals: variation.goals.iter().map(|(key, goal)| (key.to_string(), self::goal(goal))).collect(),
        best_probability: variation.best_probability,
        expected_loss: variation.expected_loss,
        margin: variation.margin.map(estimate),
    }
}

fn goal(goal: &GoalReport) -> shape::Goal {
    let plain = shape::Goal {
        conversions: goal.conversions,
        mean: goal.mean,
        interval: goal.interval.map(interval),
        shrunken: goal.shrunken.map(estimate),
        sum: None,
        currency: None,
        conversion_rate: None,
        order_value: None,
    };
    match goal.value {
        ValueReport::Conversion => plain,
        ValueReport::Count { sum } => shape::Goal { sum: whole(sum), ..plain },
        ValueReport::Revenue { sum, currency, conversion_rate, order_value } => shape::Goal {
            sum: whole(sum),
            currency: currency.map(|currency| currency.to_string()),
            conversion_rate: Some(conversion_rate.map(estimate)),
            order_value: Some(order_value.map(estimate)),
            ..plain
        },
    }
}

fn estimate(Estimate { mean, low, high }: Estimate) -> shape::Estimate {
    shape::Estimate { mean, interval: [low, high] }
}

/// As an integer, or as a number where a sum has outgrown what JSON readers take for one.
fn whole(sum: i128) -> Option<Number> {
    i64::try_from(sum).map_or_else(|_| Number::from_f64(sum as f64), |sum| Some(sum.into()))
}

fn control(control: &ControlReport) -> shape::Control {
    let against = |(key, against): &(GoalKey, AgainstControl)| (key.to_string(), self::against(against));
    shape::Control { exposures: control.exposures, goals: control.goals.iter().map(against).collect() }
}

fn against(AgainstControl { conversions, lift, mean_lift }: &AgainstControl) -> shape::Against {
    shape::Against {
        conversions: *conversions,
        control_rate: lift.control_rate,
        treated_rate: lift.treated_rate,
        difference: lift.difference,
        difference_interval: lift.difference_interval.map(interval),
        relative_lift: lift.relative,
        value: mean_lift.as_ref().map(|lift| shape::MeanLift {
            control_mean: lift.control,
            treated_mean: lift.treated,
            difference: lift.difference,
            difference_interval: interval(lift.difference_interval),
            relative_lift: lift.relative,
        }),
    }
}

fn interval(interval: Interval) -> shape::Ends {
    [interval.low, interval.high]
}

//! What was found, as JSON.

use mabel::domain::{GoalKey, Slot, Timestamp, VariationKey};
use mabel::engine::definition::Status;
use mabel::engine::event::Event;
use mabel::engine::ledger::{Fact, LedgerEntry, Position, Standing};
use mabel::engine::redraw::Allocated;
use mabel::engine::settings::Settings;
use mabel::http::definition_to_json;
use mabel::posterior::tally::Tally;
use mabel::service::inspect::{AllocationFound, DecisionInspection, Happening, Origin, SegmentInspection};
use serde_json::{Map, Value, json};

pub(super) fn segment(found: &SegmentInspection) -> Value {
    let active = &found.active;
    let settings = &active.settings;
    let definition = definition_to_json(&settings.definition);
    let allocation = found.allocation.as_ref().map(|state| {
        json!({
            "id": state.shares.id.to_string(),
            "of": if found.shared { "all segments together" } else { "this segment" },
            "definition": state.definition,
            "evidence": state.evidence,
            "effective_evidence": state.effective,
            "fit": state.fit.map(|fit| fit.to_string()),
            "next_at_events": found.due_at,
            "next_at_conversions": found.due_at_conversions,
            "shares": state.shares.variations.iter().zip(&state.shares.shares)
                .map(|(slot, share)| (variation(active.variation_keys(), *slot), json!(share))).collect::<Map<_, _>>(),
        })
    });
    json!({
        "experiment": settings.definition.key.as_str(),
        "status": status(found.status),
        "definition": settings.version,
        "epoch": found.epoch,
        "epoch_closed_at": found.closed_at.map(time),
        "segment": found.segment.as_str(),
        "segments_of_epoch": found.segments,
        "policy": definition["policy"],
        "goals": definition["goals"],
        "events": found.events,
        "amendments": found.amendments,
        "buckets": found.buckets,
        "buckets_from": found.reach.map(|(from, _)| time(from)),
        "buckets_to": found.reach.map(|(_, to)| time(to)),
        "effective_exposures": found.effective_exposures,
        "half_life": found.half_life.map(|span| span.to_string()),
        "exposures": found.learning.all_exposures(),
        "variations": variations(found, &found.learning),
        "control": { "exposures": found.control.all_exposures(), "variations": variations(found, &found.control) },
        "allocation": allocation,
        "propensities": by_key(settings, &found.propensities),
        "journal_head": found.head,
    })
}

/// Counts of every variation that has any or is still shown.
fn variations(found: &SegmentInspection, tally: &Tally) -> Vec<Value> {
    let settings = &found.active.settings;
    let keys = found.active.variation_keys().iter().enumerate();
    let rows = keys.filter_map(|(index, key)| {
        let slot = Slot(u16::try_from(index).ok()?);
        let removed = settings.variation_of(slot).is_none();
        let goals = settings.definition.goals.iter().enumerate().map(|(index, goal)| {
            let goal_slot = settings.goal_slot(index);
            let moments = tally.moments(slot, goal_slot);
            let counts = json!({
                "conversions": tally.conversions(slot, goal_slot),
                // Beyond 2^53 a reader of JSON may round; texts are exact.
                "sum": moments.sum.to_string(),
                "squares": moments.squares.to_string(),
            });
            (goal.key.to_string(), counts)
        });
        let exposures = tally.exposures(slot);
        (!removed || exposures > 0).then(|| {
            json!({
                "variation": key.as_str(), "removed": removed, "exposures": exposures,
                "goals": goals.collect::<Map<_, _>>(),
            })
        })
    });
    rows.collect()
}

pub(super) fn decision(found: &DecisionInspection) -> Value {
    let record = &found.receipt.record;
    json!({
        "decision": {
            "experiment": record.experiment.as_str(),
            "experiment_deleted": found.deleted,
            "decision_id": record.decision.to_string(),
            "decided_at": time(record.decided_at()),
            "epoch": record.epoch,
            "definition": record.definition,
            "segment": record.segment.as_str(),
            "variation": variation(&found.variations, record.variation),
            "propensity": record.propensity,
            "control": record.control,
            "deferred": found.receipt.deferred,
            "visitor_hash": format!("{:016x}", found.receipt.visitor),
            "allocation": record.allocation.to_string(),
            "features": record.features.entries(),
            "excluded": found.excluded.as_ref().map(|keys| keys.iter().map(VariationKey::as_str).collect::<Vec<_>>()),
            "rewards_learned_until": found.expires.map(|(learned, _)| time(learned)),
            "rewards_taken_until": found.expires.map(|(_, taken)| time(taken)),
        },
        "allocation": found.allocation.as_ref().map(|allocation| allocation_found(found, allocation)),
        "draw": draw(found),
        "events": found.older.iter().map(|entry| older(found, entry))
            .chain(found.happenings.iter().map(|happening| happened(found, happening))).collect::<Vec<_>>(),
        "journal": { "first": found.journal.0, "last": found.journal.1 },
    })
}

fn allocation_found(found: &DecisionInspection, allocation: &AllocationFound) -> Value {
    let (place, position) = match allocation.origin {
        Origin::Journal(position) => ("journal", Some(position)),
        Origin::Replay(position) => ("replay", Some(position)),
        Origin::Seal => ("seal", None),
    };
    let shares = match &allocation.allocated {
        Allocated::Shares { shares, .. } => {
            let named = shares.variations.iter().zip(&shares.shares);
            Some(named.map(|(slot, share)| (variation(&found.variations, *slot), json!(share))).collect::<Map<_, _>>())
        }
        Allocated::Beliefs(_) => None,
    };
    json!({
        "found": place,
        "block": position.map(|position| position.block),
        "event": position.map(|position| position.index),
        "evidence": allocation.evidence.map(|(evidence, _)| evidence),
        "at": allocation.evidence.map(|(_, at)| time(at)),
        "computed_again": allocation.again,
        "shares": shares,
    })
}

fn draw(found: &DecisionInspection) -> Value {
    let record = &found.receipt.record;
    match (&found.draw, &found.settings) {
        (Ok(drawn), Some(settings)) => {
            let slot = settings.slot(drawn.variation);
            let place = settings.variations_by_key().iter().position(|index| *index == drawn.variation);
            let propensity = place.map_or(0.0, |place| drawn.propensities[place]);
            json!({
                "uniform": drawn.uniform,
                "shares": by_key(settings, &drawn.shares),
                "propensities": by_key(settings, &drawn.propensities),
                "variation": variation(&found.variations, slot),
                "as_decided": slot == record.variation && propensity.to_bits() == record.propensity.to_bits(),
            })
        }
        (Ok(_), None) => json!({ "why_not": "the definition that decided is gone" }),
        (Err(failure), _) => json!({ "why_not": failure.to_string() }),
    }
}

fn happened(found: &DecisionInspection, happening: &Happening) -> Value {
    let Happening { position, event, outcome, standing } = happening;
    let mut shown = match event {
        Event::Exposed(exposed) => json!({ "what": "exposure", "at": time(exposed.record.decided_at()) }),
        // One that is deferred becomes an exposure by its activation.
        Event::Assigned(assigned) => json!({
            "what": if assigned.deferred { "assignment" } else { "exposure" },
            "at": time(assigned.record.decided_at()),
        }),
        Event::Activated(activated) => json!({ "what": "activation", "at": time(activated.at) }),
        Event::Rewarded(rewarded) => json!({
            "what": "reward", "goal": goal(&found.goals, rewarded.goal), "reward_id": rewarded.reward_id.as_str(),
            "value": rewarded.value, "at": time(rewarded.arrived_at), "occurred_at": rewarded.occurred_at.map(time),
        }),
        Event::Amended(amended) => json!({
            "what": "amendment", "goal": goal(&found.goals, amended.goal), "reward_id": amended.reward_id.as_str(),
            "value": amended.value, "at": time(amended.arrived_at),
        }),
        Event::Retracted(retracted) => json!({
            "what": "retraction", "goal": goal(&found.goals, retracted.goal), "reward_id": retracted.reward_id.as_str(),
            "at": time(retracted.arrived_at),
        }),
        Event::ExperimentSaved(_)
        | Event::StatusChanged { .. }
        | Event::ExperimentDeleted { .. }
        | Event::Aliased(_)
        | Event::VisitorErased(_)
        | Event::ProfileSaved(_)
        | Event::AllocationComputed(_)
        | Event::PoolFitted(_) => json!({ "what": "another event" }),
    };
    shown["outcome"] = json!(outcome.word());
    if !matches!(event, Event::Exposed(_) | Event::Assigned(_) | Event::Activated(_)) {
        shown["standing"] = json!(standing.word());
    }
    placed(shown, "journal", *position)
}

/// What the ledger remembers where the event itself is gone.
fn older(found: &DecisionInspection, entry: &LedgerEntry) -> Value {
    let decided = entry.decision.time();
    let shown = match &entry.fact {
        Fact::Activated { in_time, delay } => json!({
            "what": "activation", "at": time(decided + *delay), "outcome": if *in_time { "recorded" } else { "late" },
        }),
        Fact::Rewarded(reward) => json!({
            "what": "reward", "goal": goal(&found.goals, reward.goal), "reward_id": reward.reward_id.as_str(),
            "value": reward.value, "at": time(decided + reward.delay), "standing": reward.standing.word(),
            "outcome": if reward.standing == Standing::AfterWindow { "late" } else { "recorded" },
        }),
        Fact::Corrected { goal: slot, reward_id, value } => json!({
            "what": if value.is_some() { "amendment" } else { "retraction" }, "goal": goal(&found.goals, *slot),
            "reward_id": reward_id.as_str(), "value": value, "outcome": "recorded",
        }),
        Fact::Erased => json!({ "what": "erasure", "outcome": "recorded" }),
    };
    placed(shown, "ledger", entry.position)
}

fn placed(mut shown: Value, found: &str, position: Position) -> Value {
    shown["found"] = json!(found);
    shown["block"] = json!(position.block);
    shown["event"] = json!(position.index);
    shown
}

fn by_key(settings: &Settings, numbers: &[f64]) -> Map<String, Value> {
    let variations = &settings.definition.variations;
    let keys = settings.variations_by_key().iter().map(|index| variations[*index].key.to_string());
    keys.zip(numbers.iter().map(|number| json!(number))).collect()
}

fn variation(keys: &[VariationKey], slot: Slot) -> String {
    keys.get(slot.index()).map_or_else(|| format!("slot {}", slot.0), ToString::to_string)
}

fn goal(keys: &[GoalKey], slot: Slot) -> String {
    keys.get(slot.index()).map_or_else(|| format!("slot {}", slot.0), ToString::to_string)
}

/// RFC 3339; what lies beyond its years is the last of them.
fn time(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).ok();
    millis.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok()).unwrap_or(jiff::Timestamp::MAX).to_string()
}

const fn status(status: Status) -> &'static str {
    match status {
        Status::Draft => "draft",
        Status::Running => "running",
        Status::Paused => "paused",
        Status::Ended => "ended",
    }
}

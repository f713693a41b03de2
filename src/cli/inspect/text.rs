//! The same for people, from the JSON.

use serde_json::Value;

pub(super) fn segment(shown: &Value) -> String {
    let mut lines = vec![
        format!(
            "segment     {} of {} ({}), epoch {}, one of {}",
            text(&shown["segment"]),
            text(&shown["experiment"]),
            text(&shown["status"]),
            shown["epoch"],
            shown["segments_of_epoch"]
        ),
        format!("policy      {}, by definition {}", pairs(&shown["policy"]), shown["definition"]),
        format!(
            "counts      {} events, {} amendments, in {} time buckets{}",
            shown["events"],
            shown["amendments"],
            shown["buckets"],
            match shown["buckets_from"].as_str() {
                None => String::new(),
                Some(from) => format!(" from {from} to {}", text(&shown["buckets_to"])),
            }
        ),
    ];
    if let Some(effective) = shown["effective_exposures"].as_f64() {
        let half_life = shown["half_life"].as_str().map_or_else(String::new, |span| format!(", half-life {span}"));
        lines
            .push(format!("            beliefs rest on {effective:.1} exposures of {}{half_life}", shown["exposures"]));
    }
    if let Some(closed) = shown["epoch_closed_at"].as_str() {
        lines.push(format!("            the epoch was closed at {closed}"));
    }
    lines.push("tallies".into());
    tallies(&mut lines, &shown["variations"]);
    if shown["control"]["exposures"] != 0 {
        lines.push("control group".into());
        tallies(&mut lines, &shown["control"]["variations"]);
    }
    match Some(&shown["allocation"]).filter(|allocation| !allocation.is_null()) {
        None => lines.push("allocation  from each visitor's features; of whom nothing is known:".into()),
        Some(allocation) => {
            let fit = allocation["fit"].as_str().map_or_else(String::new, |fit| format!(" with fit {fit}"));
            let conversions = allocation["next_at_conversions"].as_u64();
            let conversions = conversions.map_or_else(String::new, |count| format!(" or at {count} conversions"));
            lines.push(format!(
                "allocation  {} of {}, by definition {} from {} events{fit}; the next at {}{conversions}",
                text(&allocation["id"]),
                text(&allocation["of"]),
                allocation["definition"],
                allocation["evidence"],
                allocation["next_at_events"]
            ));
            lines.push(format!("  shares    {}", pairs(&allocation["shares"])));
        }
    }
    lines.push(format!("  shown by  {}", pairs(&shown["propensities"])));
    lines.push(format!("journal     up to block {}", shown["journal_head"]));
    lines.join("\n")
}

fn tallies(lines: &mut Vec<String>, variations: &Value) {
    let variations = variations.as_array().map(Vec::as_slice).unwrap_or_default();
    let width = variations.iter().map(|row| text(&row["variation"]).chars().count()).max().unwrap_or_default();
    for row in variations {
        let goals = row["goals"].as_object().into_iter().flatten().map(|(goal, counts)| match text(&counts["sum"]) {
            zero if zero == "0" => format!("{goal} {}", counts["conversions"]),
            sum => format!("{goal} {} (sum {sum}, squares {})", counts["conversions"], text(&counts["squares"])),
        });
        let goals: Vec<String> = goals.collect();
        let removed = if row["removed"] == true { "  removed" } else { "" };
        lines.push(format!(
            "  {:width$}  {:>10} exposures  {}{removed}",
            text(&row["variation"]),
            row["exposures"].to_string(),
            goals.join(", ")
        ));
    }
}

pub(super) fn decision(shown: &Value) -> String {
    let decision = &shown["decision"];
    let mut lines = vec![
        format!("decision    {} of {}", text(&decision["decision_id"]), text(&decision["experiment"])),
        format!("  when      {}", text(&decision["decided_at"])),
        format!("  under     definition {}, epoch {}", decision["definition"], decision["epoch"]),
        format!("  segment   {}", text(&decision["segment"])),
        format!("  shown     {}, with probability {}", text(&decision["variation"]), decision["propensity"]),
        format!("  flags     {}", flags(decision)),
        format!("  excluded  {}", excluded(decision)),
        format!("  visitor   hash {}", text(&decision["visitor_hash"])),
    ];
    if let Some(features) = decision["features"].as_array().filter(|features| !features.is_empty()) {
        let entries: Vec<String> = features.iter().map(|entry| format!("{}: {}", entry[0], entry[1])).collect();
        lines.push(format!("  features  {}", entries.join(", ")));
    }
    lines.push(match decision["rewards_learned_until"].as_str() {
        Some(learned) => {
            format!("  rewards   learned until {learned}, taken until {}", text(&decision["rewards_taken_until"]))
        }
        None => "  rewards   not taken any more: its epoch is closed for good".into(),
    });
    lines.push(allocation(shown));
    draw(&mut lines, shown);
    happenings(&mut lines, shown);
    lines.join("\n")
}

fn flags(decision: &Value) -> String {
    let flags = [("control", "control group"), ("deferred", "deferred"), ("experiment_deleted", "experiment deleted")];
    let set: Vec<&str> = flags.iter().filter(|(name, _)| decision[*name] == true).map(|(_, word)| *word).collect();
    if set.is_empty() { "none".into() } else { set.join(", ") }
}

fn excluded(decision: &Value) -> String {
    match decision["excluded"].as_array() {
        None => "not known: no exposure in the journal says so".into(),
        Some(keys) if keys.is_empty() => "nothing".into(),
        Some(keys) => keys.iter().map(text).collect::<Vec<_>>().join(", "),
    }
}

fn allocation(shown: &Value) -> String {
    let (decision, found) = (&shown["decision"], &shown["allocation"]);
    let id = text(&decision["allocation"]);
    if decision["control"] == true {
        return format!("allocation  {id}, which a control group does not draw from");
    }
    let again = match found["computed_again"].as_bool() {
        Some(true) => "; computed again, the same bits",
        Some(false) => "; COMPUTED AGAIN, IT DIFFERS: `mabel verify` says where",
        None => "",
    };
    let evidence = found["evidence"].as_u64().map_or_else(String::new, |evidence| format!(" from {evidence} events"));
    match found["found"].as_str() {
        Some("journal") => format!("allocation  {id}, of block {}, computed{evidence}{again}", found["block"]),
        Some("replay") => format!("allocation  {id}, what the model had learned by block {}", found["block"]),
        Some(_) => format!("allocation  {id}, from the seal of the blocks that were dropped"),
        None => format!(
            "allocation  {id} is gone with retention: the journal begins at block {}",
            shown["journal"]["first"]
        ),
    }
}

fn draw(lines: &mut Vec<String>, shown: &Value) {
    let draw = &shown["draw"];
    if let Some(why) = draw["why_not"].as_str() {
        lines.push(format!("draw        not done again: {why}"));
        return;
    }
    lines.push(format!("  shares    {}", pairs(&draw["shares"])));
    lines.push(format!("draw        {} gives {}", draw["uniform"], text(&draw["variation"])));
    lines.push(format!("  from      {}", pairs(&draw["propensities"])));
    lines.push(if draw["as_decided"] == true {
        "            as it was decided, bit for bit".into()
    } else if shown["decision"]["excluded"].is_null() {
        "            NOT as it was decided: variations may have been excluded, or the request gave its decision_id"
            .into()
    } else {
        "            NOT as it was decided: say --decision-id if the request gave one".to_owned()
    });
}

fn happenings(lines: &mut Vec<String>, shown: &Value) {
    let events = shown["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    let (first, last) = (&shown["journal"]["first"], &shown["journal"]["last"]);
    lines.push(format!("since then  in blocks {first} to {last}"));
    let exposes = |event: &&Value| event["what"] == "exposure" || event["what"] == "activation";
    if !events.iter().any(|event| exposes(&event)) {
        let dropped = if *first == 1 { "" } else { " that are left" };
        lines.push(match shown["decision"]["deferred"] == true {
            true => format!("  no activation of it in the blocks{dropped}: it is no exposure"),
            false => format!("  no exposure of it in the blocks{dropped}"),
        });
    }
    for event in events {
        let mut words = vec![format!("  {:10}", text(&event["what"]))];
        if let Some(goal) = event["goal"].as_str() {
            words.push(format!("{goal} {}", text(&event["reward_id"])));
        }
        if !event["value"].is_null() {
            words.push(format!("= {}", event["value"]));
        }
        words.push(text(&event["outcome"]));
        if let Some(standing) = event["standing"].as_str().filter(|standing| *standing != "learned") {
            words.push(format!("({})", standing.replace('_', " ")));
        }
        if let Some(at) = event["at"].as_str() {
            words.push(format!("at {at}"));
        }
        if let Some(occurred) = event["occurred_at"].as_str() {
            words.push(format!("(occurred at {occurred})"));
        }
        words.push(match event["found"] == "ledger" {
            true => format!("block {}, from the ledger: its event is gone with retention", event["block"]),
            false => format!("block {}", event["block"]),
        });
        lines.push(words.join("  "));
    }
    let rewarded = events.iter().any(|event| event["what"] == "reward");
    if !rewarded {
        lines.push("  no reward of it".into());
    }
}

/// `name value, name value`.
fn pairs(object: &Value) -> String {
    let pairs = object.as_object().into_iter().flatten();
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name} {}", text(value))).collect();
    pairs.join(", ")
}

/// A text without its quotes, anything else as JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

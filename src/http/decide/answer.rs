//! A decision's answer.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use crate::access::key::Role;
use crate::domain::{Context, SegmentKey, Timestamp};
use crate::engine::decide::{Basis, Reason};
use crate::engine::experiment::Active;
use crate::http::body::{rfc3339, write_json};
use crate::http::problem::Problem;
use crate::http::visitors::attributes;
use crate::service::decide::{Answer, DecisionName, Query, Why};

/// The word for a reason.
pub(crate) fn reason(why: Why) -> &'static str {
    match why {
        Why::Decided(Reason::Policy) => "policy",
        Why::Decided(Reason::Control) => "control",
        Why::Decided(Reason::Sticky) => "sticky",
        Why::Decided(Reason::NotRunning) => "not_running",
        Why::Decided(Reason::NotInAudience) => "not_in_audience",
        Why::Decided(Reason::NotInTraffic) => "not_in_traffic",
        Why::Decided(Reason::AllExcluded) => "all_excluded",
        Why::Decided(Reason::InOtherExperiment) => "in_other_experiment",
        Why::Decided(Reason::NoConsent) => "no_consent",
        Why::Overloaded => "overloaded",
        Why::Unavailable => "unavailable",
    }
}

/// What answers to queries that come together have in common: it is written once and copied from where it stands.
#[derive(Default)]
pub(super) struct Common<'q> {
    last: Option<Written<'q>>,
    /// Propensities, by their bits, and where each was written first: those of a segment are few.
    propensities: Vec<(u64, Range<usize>)>,
}

/// Most propensities that are looked through before one is written anew.
const MAX_PROPENSITIES: usize = 16;

/// All that the common part of an answer is made of, and where it was written last.
struct Written<'q> {
    active: Arc<Active>,
    context: &'q Context<'q>,
    expires: Option<Timestamp>,
    segment: Option<SegmentKey>,
    at: Range<usize>,
}

impl<'q> Common<'q> {
    fn write_propensity(&mut self, propensity: f64, out: &mut Vec<u8>) {
        let bits = propensity.to_bits();
        if let Some((_, at)) = self.propensities.iter().find(|(known, _)| *known == bits) {
            return out.extend_from_within(at.clone());
        }
        let start = out.len();
        write_json(out, &propensity);
        if self.propensities.len() < MAX_PROPENSITIES {
            self.propensities.push((bits, start..out.len()));
        }
    }

    /// The common part, written before into the same memory or now. All are for the same role.
    fn write(&mut self, answer: &Answer<'_>, query: &Query<'q>, role: Role, out: &mut Vec<u8>) {
        let is_same = |written: &&Written<'_>| {
            std::ptr::eq(written.context, query.context)
                && Arc::ptr_eq(&written.active, &answer.active)
                && (written.expires, written.segment.as_ref()) == (answer.expires, answer.segment.as_deref())
        };
        if let Some(written) = self.last.as_ref().filter(is_same) {
            return out.extend_from_within(written.at.clone());
        }
        let start = out.len();
        write_common(answer, query, role, out);
        self.last = Some(Written {
            active: Arc::clone(&answer.active),
            context: query.context,
            expires: answer.expires,
            segment: answer.segment.as_deref().cloned(),
            at: start..out.len(),
        });
    }
}

/// Written by hand: the payload is JSON already, and a decision's answer is the one that must be fast.
pub(super) fn write(answer: &Answer<'_>, query: &Query<'_>, role: Role, out: &mut Vec<u8>) {
    write_beginning(answer, query, out);
    write_json(out, &answer.propensity);
    write_holdout(answer, out);
    write_common(answer, query, role, out);
    write_end(answer, query, out);
}

/// The same among others, which go into the same memory.
pub(super) fn write_among<'q>(
    common: &mut Common<'q>,
    answer: &Answer<'_>,
    query: &Query<'q>,
    role: Role,
    out: &mut Vec<u8>,
) {
    write_beginning(answer, query, out);
    common.write_propensity(answer.propensity, out);
    write_holdout(answer, out);
    common.write(answer, query, role, out);
    write_end(answer, query, out);
}

fn write_beginning(answer: &Answer<'_>, query: &Query<'_>, out: &mut Vec<u8>) {
    let settings = &answer.active.settings;
    let variation = &settings.definition.variations[answer.variation];
    out.extend_from_slice(br#"{"experiment":""#);
    // Keys need no escapes.
    out.extend_from_slice(settings.definition.key.as_str().as_bytes());
    out.extend_from_slice(br#"","variation":""#);
    out.extend_from_slice(variation.key.as_str().as_bytes());
    out.extend_from_slice(br#"","payload":"#);
    out.extend_from_slice(variation.payload.as_bytes());
    out.extend_from_slice(br#","reason":""#);
    out.extend_from_slice(reason(answer.why).as_bytes());
    out.extend_from_slice(br#"","#);
    if let Some(visitor) = answer.visitor(query) {
        out.extend_from_slice(br#""visitor":"#);
        write_text(out, visitor);
        out.push(b',');
    }
    out.extend_from_slice(br#""decision_id":"#);
    match &answer.decision_id {
        DecisionName::Given(name) => write_text(out, name),
        DecisionName::Minted(id) => {
            out.push(b'"');
            // As they are made: from memory that was just written in other pieces they would be read slowly.
            id.digits().for_each(|eight| out.extend_from_slice(&eight));
            out.push(b'"');
        }
    }
    if let Some(receipt) = &answer.receipt {
        out.extend_from_slice(br#","receipt":""#);
        out.extend_from_slice(receipt.as_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(br#","control":"#);
    out.extend_from_slice(if answer.control { b"true" } else { b"false" });
    out.extend_from_slice(br#","propensity":"#);
}

fn write_holdout(answer: &Answer<'_>, out: &mut Vec<u8>) {
    if answer.holdout {
        out.extend_from_slice(br#","holdout":true"#);
    }
}

/// What is the same for all who bring the same context at the same time and are in the same segment.
fn write_common(answer: &Answer<'_>, query: &Query<'_>, role: Role, out: &mut Vec<u8>) {
    let settings = &answer.active.settings;
    out.extend_from_slice(br#","definition":"#);
    write_json(out, &settings.version);
    if let Some(expires) = answer.expires {
        out.extend_from_slice(br#","expires":""#);
        write_time(expires, out);
        out.push(b'"');
    }
    out.extend_from_slice(br#","ignored":["#);
    let mut first = true;
    for (name, _) in query.context.iter().filter(|(name, _)| !settings.uses(name)) {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write_text(out, name);
    }
    out.push(b']');
    // What a site knows of its visitors is not for whoever reads a page's source.
    if let Some(segment) = answer.segment.as_ref().filter(|_| role >= Role::Write) {
        out.extend_from_slice(br#","segment":"#);
        write_text(out, segment.as_str());
    }
}

fn write_end(answer: &Answer<'_>, query: &Query<'_>, out: &mut Vec<u8>) {
    if let Some(refused) = answer.receipt_refused {
        out.extend_from_slice(br#","receipt_refused":"#);
        write_json(out, &Problem::from(refused).to_json());
    }
    if let Some(basis) = &answer.basis {
        write_explanation(answer, query, basis, out);
    }
    out.push(b'}');
}

/// Many answers are made within one millisecond, and a date is written in the time of some ten of their fields.
fn write_time(at: Timestamp, out: &mut Vec<u8>) {
    thread_local! {
        static LAST: RefCell<(Timestamp, String)> = const { RefCell::new((Timestamp::ZERO, String::new())) };
    }
    LAST.with_borrow_mut(|(of, text)| {
        if *of != at || text.is_empty() {
            (*of, *text) = (at, rfc3339(at));
        }
        out.extend_from_slice(text.as_bytes());
    });
}

fn write_explanation(answer: &Answer<'_>, query: &Query<'_>, basis: &Basis, out: &mut Vec<u8>) {
    let settings = &answer.active.settings;
    let named = |numbers: &[f64]| {
        let variations = &settings.definition.variations;
        let keys = settings.variations_by_key().iter().map(|index| variations[*index].key.to_string());
        keys.zip(numbers.iter().map(|number| serde_json::json!(number))).collect::<serde_json::Map<_, _>>()
    };
    let known = answer.known.iter().flat_map(|known| known.iter()).map(|(name, _)| name);
    let explanation = serde_json::json!({
        "attributes": answer.known.as_ref().map(attributes),
        "from_profile": known.filter(|name| query.context.get(name).is_none()).collect::<Vec<_>>(),
        "recorded": false,
        "epoch": settings.epoch,
        "policy": settings.definition.policy.kind,
        "shares": named(&basis.shares),
        "floor": settings.definition.policy.floor,
        "propensities": named(&basis.propensities),
        "uniform": basis.uniform,
    });
    out.extend_from_slice(br#","explanation":"#);
    write_json(out, &explanation);
}

/// Few texts have anything to escape.
fn write_text(out: &mut Vec<u8>, text: &str) {
    // All bytes, many at once, and not until one is found.
    let has_any = |found, byte| found | (byte < b' ') | (byte == b'"') | (byte == b'\\');
    if text.bytes().fold(false, has_any) {
        return write_json(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::write_text;

    proptest! {
        #[test]
        fn a_text_is_written_as_json_writes_it(text in prop_oneof!["[a-z\"\\\\\u{0}-\u{20}]{0,12}", any::<String>()]) {
            let mut out = Vec::new();
            write_text(&mut out, &text);
            prop_assert_eq!(out, serde_json::to_vec(&text).expect("a text"));
        }
    }
}

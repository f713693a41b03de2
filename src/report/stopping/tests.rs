//! Each answer, and the error the rule promises.

use crate::domain::{Seed, Span};
use crate::policy::belief::Model;
use crate::policy::{Arm, Evidence, Pooling};
use crate::posterior::Beta;
use crate::report::lift::Counts;
use crate::report::stopping::*;

const MONTH: Span = Span::DAY.times(30);

fn counts(arms: &[(u64, u64)]) -> Vec<Counts> {
    arms.iter().map(|&(exposures, conversions)| Counts { exposures, conversions }).collect()
}

/// Draws from the arms' posteriors, 4,000 rows.
fn drawn(counts: &[Counts]) -> Vec<f64> {
    let arms: Vec<Arm> = counts.iter().map(|c| Arm::converting(c.exposures as f64, c.conversions as f64)).collect();
    let model = Model { pooling: Pooling::None, prior: Beta::UNIFORM, sharpening: 1.0, draws: 4_000 };
    model.believe(&Evidence::of(&arms, Seed(3))).draws(Seed(3)).rows().flatten().copied().collect()
}

fn asked(arms: &[(u64, u64)], age: Span, rule: &StoppingRule) -> Verdict {
    let counts = counts(arms);
    stopping(&Progress { age, counts: &counts, scores: &drawn(&counts), default: 0 }, rule)
}

fn check(arms: &[(u64, u64)], age: Span, rule: &StoppingRule, reason: Reason, sentence: &str) {
    let verdict = asked(arms, age, rule);
    assert_eq!(verdict.reason, reason);
    let finished = matches!(reason, Reason::ValueRemaining | Reason::NoPracticalDifference | Reason::Limit);
    assert_eq!(verdict.finished(), finished);
    let found = verdict.sentence(&["plain", "bold", "odd"], rule);
    assert!(found.starts_with(sentence), "{found}");
}

#[test]
fn each_answer_has_its_case_and_its_sentence() {
    let clear = [(20_000, 800), (60_000, 3_600)];
    check(
        &clear,
        MONTH,
        &StoppingRule::default(),
        Reason::ValueRemaining,
        "Finished: show bold. With 95 % model probability",
    );
    let day = Span::DAY;
    check(
        &clear,
        day,
        &StoppingRule::default(),
        Reason::Younger(day.times(6)),
        "Not finished: it has to run 6 more days",
    );
    check(
        &clear,
        day.times(6),
        &StoppingRule::default(),
        Reason::Younger(day),
        "Not finished: it has to run 1 more day,",
    );
    let alike = [(3_000_000, 150_000), (3_000_000, 150_000)];
    check(&alike, MONTH, &StoppingRule::default(), Reason::ValueRemaining, "Finished: show ");
    let strict = StoppingRule { value_remaining: 0.0001, ..StoppingRule::default() };
    check(&alike, MONTH, &strict, Reason::NoPracticalDifference, "Finished: with 100 % model probability no variation");
    let open = [(10_000, 500), (10_000, 540)];
    check(
        &open,
        MONTH,
        &StoppingRule::default(),
        Reason::Uncertain,
        "Not finished: bold leads, but another variation could still add ",
    );
    let limited = StoppingRule { exposures_max: Some(20_000), ..StoppingRule::default() };
    check(
        &open,
        MONTH,
        &limited,
        Reason::Limit,
        "Finished: the experiment has had the visitors it was given. bold leads",
    );
    let few = [(2_000, 104), (2_000, 95)];
    check(
        &few,
        MONTH,
        &StoppingRule::default(),
        Reason::Fewer(1, 5),
        "Not finished: bold could be the best and lacks 5 conversions",
    );
    // The limit asks for no conversions, but for the days.
    let limited = StoppingRule { exposures_max: Some(4_000), ..StoppingRule::default() };
    assert_eq!(asked(&few, MONTH, &limited).reason, Reason::Limit);
    assert_eq!(asked(&few, Span::DAY, &limited).reason, Reason::Younger(Span::DAY.times(6)));
}

#[test]
fn a_variation_that_lost_early_needs_no_hundred_conversions() {
    let lost = [(60_000, 3_600), (20_000, 800), (1_500, 20)];
    assert_eq!(asked(&lost, MONTH, &StoppingRule::default()).reason, Reason::ValueRemaining);
    // Seen just as seldom, but it could be the best.
    let unknown = [(60_000, 3_600), (20_000, 800), (400, 22)];
    assert_eq!(asked(&unknown, MONTH, &StoppingRule::default()).reason, Reason::Fewer(2, 78));
}

#[test]
fn quantiles_and_probabilities_are_those_of_the_draws() {
    // 20 draws: the second is better by 10 % in 2 of them, by 2 % in 3, and else worse.
    let mut scores = Vec::new();
    for row in 0..20 {
        scores.extend([
            1.0,
            if row < 2 {
                1.1
            } else if row < 5 {
                1.02
            } else {
                0.5
            },
        ]);
    }
    let counts = counts(&[(1_000, 500), (1_000, 500)]);
    let verdict =
        stopping(&Progress { age: MONTH, counts: &counts, scores: &scores, default: 0 }, &StoppingRule::default());
    assert_eq!(verdict.best, 0);
    assert!((verdict.value_remaining - 0.1).abs() < 1e-12);
    assert!((verdict.equivalence_probability - 0.9).abs() < 1e-12);
    let looser = StoppingRule { probability: 0.9, ..StoppingRule::default() };
    let verdict = stopping(&Progress { age: MONTH, counts: &counts, scores: &scores, default: 0 }, &looser);
    assert!((verdict.value_remaining - 0.02).abs() < 1e-12);
}

#[test]
fn a_score_that_may_be_a_loss_has_no_share() {
    let counts = counts(&[(1_000, 500), (1_000, 500)]);
    let scores = [-1.0, -2.0, -1.0, -0.5];
    let verdict =
        stopping(&Progress { age: MONTH, counts: &counts, scores: &scores, default: 0 }, &StoppingRule::default());
    assert!(verdict.value_remaining.is_infinite() && verdict.reason == Reason::Uncertain);
    assert!(verdict.sentence(&["a", "b"], &StoppingRule::default()).ends_with("still add more than it earns now."));
    let one = [Counts { exposures: 1_000, conversions: 500 }];
    let alone =
        stopping(&Progress { age: MONTH, counts: &one, scores: &[0.5, 0.4], default: 0 }, &StoppingRule::default());
    assert_eq!((alone.reason, alone.best), (Reason::ValueRemaining, 0));
}

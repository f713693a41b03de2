//! The two-way oracle, computed with scipy; laws; hostile counts.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::domain::GoalKind;
use crate::posterior::Arm;
use crate::posterior::pooling::{Fit, Hyper, Node, Pooled, expected_visitors, fit, fit_with};

const KINDS: [GoalKind; 3] = [GoalKind::Conversion, GoalKind::Revenue, GoalKind::Count];

fn segments(rows: &[&[(f64, f64)]]) -> Vec<Vec<Arm>> {
    rows.iter().map(|row| row.iter().map(|&(n, x)| Arm::converting(n, x)).collect()).collect()
}

fn oracle_segments() -> Vec<Vec<Arm>> {
    segments(&[
        &[(100.0, 5.0), (110.0, 9.0), (90.0, 4.0)],
        &[(400.0, 12.0), (420.0, 20.0), (380.0, 10.0)],
        &[(20.0, 1.0), (25.0, 0.0), (15.0, 2.0)],
    ])
}

fn assert_close(got: f64, want: f64, relative: f64) {
    assert!((got - want).abs() <= relative * want.abs(), "{got} is not {want} within {relative}");
}

/// Diagonal of L Lᵀ.
fn variances(node: &Node) -> Vec<f64> {
    let mut rest = &node.factor[..];
    (0..node.gamma.len())
        .map(|row| {
            let (entries, others) = rest.split_at(row + 1);
            rest = others;
            entries.iter().map(|entry| entry * entry).sum()
        })
        .collect()
}

#[test]
fn the_two_way_oracle() {
    const GRID: Hyper = Hyper { segment_sd: 1.0, arm_sd: 0.5, taus: &[0.0, 0.1, 0.2, 0.4, 0.8], steps: 40 };
    let fit = fit_with(GoalKind::Conversion, &oracle_segments(), &GRID);
    let weights = [
        0.299_440_159_781_520_2,
        0.281_744_095_110_306,
        0.238_890_788_795_863_5,
        0.143_323_942_392_638_04,
        0.036_601_013_919_672_22,
    ];
    for (node, want) in fit.nodes().iter().zip(weights) {
        assert_close(node.weight, want, 1e-8);
    }
    let node = &fit.nodes()[2];
    for (got, want) in
        node.gamma.iter().zip([-0.080_735_367_133_345_73, 0.238_513_060_804_337_8, -0.091_904_239_147_848_87])
    {
        assert_close(*got, want, 1e-8);
    }
    for (got, want) in
        variances(node).iter().zip([0.107_137_615_988_662_19, 0.101_437_134_488_319_55, 0.109_140_037_634_255_57])
    {
        assert_close(*got, want, 1e-8);
    }
    for (got, want) in
        fit.nodes()[0].gamma.iter().zip([-0.089_552_018_866_797_85, 0.274_801_642_349_439, -0.122_240_273_864_592_27])
    {
        assert_close(*got, want, 1e-8);
    }
}

fn draws(pooled: &Pooled, arms_count: usize, draws: usize) -> Vec<Vec<f64>> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
    (0..draws)
        .map(|_| {
            let mut rewards = vec![0.0; arms_count];
            pooled.draw(&mut rng, &mut rewards);
            rewards
        })
        .collect()
}

fn shares(pooled: &Pooled, arms_count: usize) -> Vec<f64> {
    let mut wins = vec![0.0; arms_count];
    for row in draws(pooled, arms_count, 4_000) {
        let best = (0..arms_count).reduce(|a, b| if row[b] > row[a] { b } else { a }).expect("an arm");
        wins[best] += 1.0 / 4_000.0;
    }
    wins
}

/// Rewards of 1,000 each at these rates.
fn paid(n: f64, x: f64) -> Arm {
    Arm { exposures: n, conversions: x, sum: 1e3 * x, squares: 1e6 * x }
}

#[test]
fn segments_that_agree_share_a_ranking_and_keep_their_base_rates() {
    for kind in KINDS {
        let rows: Vec<Vec<Arm>> = (0..30)
            .map(|s| [1.0, 1.0, 1.3].map(|arm| paid(1_000.0, 1_000.0 * arm * (0.02 + 0.002 * f64::from(s)))).to_vec())
            .collect();
        let fit = fit(kind, &rows);
        let pooled = fit.believe(&[Arm::default(); 3], 200.0, 1.0);
        assert!(shares(&pooled, 3)[2] > 0.95, "{kind:?}: an unseen segment begins at the common ranking");
        let means = fit.believe(&rows[29], 4_000.0, 1.0).means();
        let unit = if kind == GoalKind::Conversion { 1.0 } else { 1e3 };
        assert!((means[0] - 0.078 * unit).abs() < 0.006 * unit, "{kind:?}: {means:?}");
    }
}

#[test]
fn segments_that_disagree_are_left_to_themselves() {
    for kind in KINDS {
        let row =
            |best: usize| (0..3).map(|a| paid(4_000.0, if a == best { 360.0 } else { 200.0 })).collect::<Vec<_>>();
        let rows: Vec<_> = (0..30).map(|s| row(s % 3)).collect();
        let fit = fit(kind, &rows);
        for (best, arms) in rows.iter().enumerate().take(3) {
            let shares = shares(&fit.believe(arms, 16_000.0, 1.0), 3);
            assert!(shares[best] > 0.99, "{kind:?}: {shares:?}");
        }
        let agreeing: Vec<_> = (0..30).map(|_| row(0)).collect();
        assert!(super::fit(kind, &agreeing).spread() < 0.2 * fit.spread(), "{kind:?}");
    }
}

#[test]
fn sharpening_narrows_what_is_drawn() {
    for kind in KINDS {
        let rows = vec![vec![paid(1_000.0, 50.0), paid(1_000.0, 60.0)]; 5];
        let fit = fit(kind, &rows);
        let variance = |sharpening: f64| {
            let rows = draws(&fit.believe(&rows[0], 1e6, sharpening), 2, 20_000);
            let lifts: Vec<f64> = rows.iter().map(|row| row[1] - row[0]).collect();
            let mean = lifts.iter().sum::<f64>() / 20_000.0;
            lifts.iter().map(|lift| (lift - mean).powi(2)).sum::<f64>() / 20_000.0
        };
        let ratio = variance(1.0) / variance(2.0);
        assert!((1.6..2.4).contains(&ratio), "{kind:?}: {ratio}");
    }
}

#[test]
fn means_are_those_of_the_draws() {
    for kind in KINDS {
        let rows = vec![vec![paid(900.0, 50.0), paid(1_000.0, 60.0)], vec![paid(500.0, 30.0), paid(400.0, 10.0)]];
        let pooled = fit(kind, &rows).believe(&rows[1], 1e9, 1.0);
        let rows = draws(&pooled, 2, 100_000);
        for (arm, mean) in pooled.means().into_iter().enumerate() {
            let drawn = rows.iter().map(|row| row[arm]).sum::<f64>() / 1e5;
            // Means are taken at the most probable effects, which differs by the curvature of the logit.
            assert_close(drawn, mean, 0.02);
        }
    }
}

#[test]
fn a_fit_is_read_back_bit_for_bit() {
    for kind in KINDS {
        let fit = fit(kind, &oracle_segments());
        let parts = || (fit.base(), fit.segment_sd(), fit.deviation(), fit.nodes().to_vec());
        let (base, segment_sd, deviation, nodes) = parts();
        assert_eq!(Fit::from_parts(kind, base, segment_sd, deviation, nodes).as_ref(), Some(&fit));
        let (base, segment_sd, _, mut nodes) = parts();
        assert_eq!(Fit::from_parts(kind, base, segment_sd, 0.0, nodes.clone()), None);
        nodes[0].factor.pop();
        assert_eq!(Fit::from_parts(kind, base, segment_sd, deviation, nodes), None);
        assert_eq!(Fit::from_parts(kind, base, segment_sd, deviation, Vec::new()), None);
    }
}

#[test]
fn hostile_counts_give_numbers() {
    let huge = 1e9;
    let cases: Vec<Vec<Vec<Arm>>> = vec![
        vec![vec![Arm::default(); 4]; 3],
        vec![vec![Arm::default()]],
        vec![vec![paid(huge, 0.0); 4], vec![paid(huge, huge); 4]],
        vec![vec![paid(0.0, 7.0), paid(3.0, 9.0)]; 2],
        vec![vec![paid(huge, 5e7), Arm::default(), paid(30.0, 2.0), paid(2_000.0, 90.0)]; 40],
        (0..300).map(|s| vec![paid(1e4, 1e2 * f64::from(s % 90)), paid(huge, 1e3 * f64::from(s))]).collect(),
        vec![vec![paid(50.0, 3.0); 256]; 2],
        vec![vec![Arm { exposures: 9.0, conversions: 4.0, sum: -1e13, squares: 1e26 }, paid(9.0, 1.0)]; 2],
    ];
    for kind in KINDS {
        for rows in &cases {
            let fit = fit(kind, rows);
            assert!(fit.spread().is_finite(), "{kind:?} {:?}", rows[0][0]);
            let total: f64 = fit.nodes().iter().map(|node| node.weight).sum();
            assert!((total - 1.0).abs() < 1e-12, "{total}");
            for sharpening in [0.1, 1.0, 8.0] {
                for expected in [0.0, 1.0, 1e12] {
                    let pooled = fit.believe(&rows[0], expected, sharpening);
                    let means = pooled.means();
                    assert!(means.iter().all(|mean| mean.is_finite()), "{kind:?}: {means:?}");
                    for row in draws(&pooled, means.len(), 20) {
                        assert!(row.iter().all(|reward| reward.is_finite()), "{kind:?} {:?}: {row:?}", rows[0][0]);
                    }
                }
            }
        }
    }
}

#[test]
fn nobody_seen_leaves_arms_alike() {
    for kind in KINDS {
        let fit = Fit::unseen(kind, 3);
        let nobody = [Arm::default(); 3];
        let shares = shares(&fit.believe(&nobody, expected_visitors(&nobody), 1.0), 3);
        // Five standard errors of 4,000 draws.
        assert!(shares.iter().all(|share| (share - 1.0 / 3.0).abs() < 0.038), "{kind:?}: {shares:?}");
    }
}

#[test]
fn own_counts_weigh_by_how_many_there_are_and_how_far_segments_differ() {
    // Equal rates in every segment, or another best arm in every other one.
    let agree = vec![vec![Arm::converting(20_000.0, 1_000.0); 3]; 20];
    let differ: Vec<Vec<Arm>> = (0..20)
        .map(|segment| {
            let rate = |arm: usize| if arm == segment % 3 { 2_000.0 } else { 800.0 };
            (0..3).map(|arm| Arm::converting(20_000.0, rate(arm))).collect()
        })
        .collect();
    let own = |rows: &[Vec<Arm>], arm: Arm| fit(GoalKind::Conversion, rows).believe(&[arm; 3], 1e9, 1.0).own_weight();
    assert!(own(&agree, agree[0][0]) < 0.1, "{}", own(&agree, agree[0][0]));
    assert!(own(&differ, differ[0][0]) > 0.95, "{}", own(&differ, differ[0][0]));
    assert!(own(&differ, Arm::default()).abs() < 1e-12);
    // κ = 1/(τ² m (1 − m)): with the τ of 0.4 or 0.8 that these rates have, tens of exposures.
    let few = own(&differ, Arm::converting(50.0, 2.0));
    assert!((0.3..0.8).contains(&few), "{few}");
    let earn =
        |rate: f64| Arm { exposures: 1e4, conversions: 500.0, sum: 1e4 * rate, squares: 1e4 * (rate * rate + 4.0) };
    let rows: Vec<Vec<Arm>> =
        (0..20).map(|segment| vec![earn(1.0), earn(1.0 + 0.5 * f64::from(segment % 2))]).collect();
    let revenue = fit(GoalKind::Revenue, &rows).believe(&rows[1], 1e9, 1.0);
    assert!(revenue.own_weight() > 0.9, "{}", revenue.own_weight());
}

#[test]
fn segments_drawn_together_share_what_they_have_in_common() {
    // One fit from little evidence: what is not known of the arms is not known in any segment.
    let rows = vec![vec![Arm::converting(100.0, 10.0); 2]; 8];
    let fit = fit(GoalKind::Conversion, &rows);
    let pooled = fit.believe(&rows[0], 1e9, 1.0);
    let lift = |common: u64, own: u64| -> Vec<f64> {
        let (mut common, mut own) = (Xoshiro256PlusPlus::seed_from_u64(common), Xoshiro256PlusPlus::seed_from_u64(own));
        let mut row = [0.0; 2];
        let mut draw = || {
            pooled.draw_among(&mut common, &mut own, &mut row);
            row[1] - row[0]
        };
        (0..20_000).map(|_| draw()).collect()
    };
    let variance = |draws: &[f64]| {
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64
    };
    let sum = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
    let (one, together, apart) = (lift(1, 2), lift(1, 3), lift(4, 5));
    let single = variance(&one);
    // Independent sums have twice the variance; the standard error of a variance is some 1 %.
    assert!((variance(&sum(&one, &apart)) / single - 2.0).abs() < 0.12);
    assert!(variance(&sum(&one, &together)) / single > 2.5);
}

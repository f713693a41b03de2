//! Of the experiments of a group a visitor stays with one, in whatever order they are asked for and whatever becomes of their
//! priorities and audiences.

use super::*;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Deed {
    Decide { visitor: usize, experiment: usize, mobile: bool },
    Save { experiment: usize, priority: i32, mobile_only: bool },
    Restart,
}

const EXPERIMENTS: [&str; 3] = ["hero", "banner", "footer"];

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        12 => (0..4_usize, 0..3_usize, any::<bool>())
            .prop_map(|(visitor, experiment, mobile)| Deed::Decide { visitor, experiment, mobile }),
        3 => (0..3_usize, -1..=1_i32, any::<bool>())
            .prop_map(|(experiment, priority, mobile_only)| Deed::Save { experiment, priority, mobile_only }),
        1 => Just(Deed::Restart),
    ]
}

fn member(experiment: usize, priority: i32, mobile_only: bool) -> Definition {
    Definition {
        group: Some(Group { key: GroupKey::new("page").expect("a key"), priority }),
        audience: mobile_only.then(|| "has(ctx.device) && device == \"mobile\"".to_owned()),
        ..definition(EXPERIMENTS[experiment], Unit::Visitor)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_visitor_stays_with_one_experiment_of_a_group(deeds in proptest::collection::vec(deed(), 1..60)) {
        let mut world = World::new();
        (0..3).for_each(|experiment| world.save(member(experiment, 0, false)));
        let nothing = Context::new();
        for deed in &deeds {
            match deed {
                Deed::Decide { visitor, experiment, mobile } => {
                    let answer = world.decide_with(EXPERIMENTS[*experiment], &format!("v{visitor}"), |query| {
                        query.context = if *mobile { &MOBILE } else { &nothing };
                    });
                    let outside = matches!(answer.why, Why::Decided(Reason::InOtherExperiment | Reason::NotInAudience));
                    prop_assert_eq!(outside, answer.receipt.is_none(), "{:?}", answer.why);
                }
                Deed::Save { experiment, priority, mobile_only } => {
                    world.save(member(*experiment, *priority, *mobile_only));
                }
                Deed::Restart => world.restart(),
            }
        }
        for visitor in 0..4 {
            let known = world.service.visitor(&format!("v{visitor}")).expect("readable");
            let units = known.assignments.iter().map(|known| &known.experiment);
            prop_assert!(known.assignments.len() <= 1, "v{} stays with {:?}", visitor, units.collect::<Vec<_>>());
        }
        world.end();
    }
}

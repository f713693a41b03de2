//! Profiles: under the context at a decision, joined with an alias, and gone with their visitor as if they had never been known.

use std::collections::BTreeMap;

use super::*;
use crate::engine::event::ProfileJoined;
use crate::service::backup::restore;
use crate::service::error::ProfileError;
use crate::store::Space;
use crate::store::record::profile::{decode_profile, encode_profile, profile_row, profile_value};

/// Segments by tier; whoever has a note is in the audience as everybody is.
fn tiered(unit: Unit) -> Definition {
    let segments = Segments::By(vec![AttributeName::new("tier").expect("a name")]);
    Definition { segments, audience: Some("!has(ctx.note) || note != \"\"".into()), ..definition("hero", unit) }
}

fn context<const N: usize>(attributes: [(&'static str, &'static str); N]) -> Context<'static> {
    Context::from(attributes.map(|(name, text)| (name, text.into())))
}

impl World {
    fn put(&self, visitor: &str, profile: &Context<'_>) {
        run(self.service.save_profile(visitor, profile)).expect("saved");
    }

    fn profile(&self, visitor: &str) -> Option<Context<'static>> {
        self.service.visitor(visitor).expect("readable").profile
    }

    /// What a decision looks at.
    fn known(&self, visitor: &str) -> Context<'static> {
        let answer = self.decide_with("hero", visitor, |query| query.explain = true);
        answer.known.clone().expect("explained")
    }
}

#[test]
fn a_profile_stands_under_the_context_of_a_decision() {
    for unit in [Unit::Visitor, Unit::Decision] {
        let mut world = World::new();
        world.save(tiered(unit));
        let segment = |world: &World, visitor: &str, context: &Context<'_>, consent| {
            let query = |query: &mut Query<'_>| query.consent = consent;
            let mut asked = Query::new("hero", Some(visitor), context);
            query(&mut asked);
            let answer = run(world.service.decide(&asked)).expect("there is an experiment");
            answer.segment.as_ref().map(ToString::to_string)
        };
        let nothing = Context::new();
        let without = segment(&world, "before", &nothing, true).expect("recorded");
        world.put("v", &context([("tier", "gold"), ("unused", "x")]));
        for life in 0..2 {
            let name = |visitor: &str| format!("{visitor}-{life}");
            world.put(&name("a"), &context([("tier", "gold"), ("unused", "x")]));
            world.put(&name("b"), &context([("tier", "gold")]));
            assert_eq!(segment(&world, &name("a"), &nothing, true).as_deref(), Some("tier=gold"), "{unit:?}");
            let silver = context([("tier", "silver")]);
            assert_eq!(segment(&world, &name("b"), &silver, true).as_deref(), Some("tier=silver"), "context wins");
            assert_eq!(segment(&world, &name("nobody"), &nothing, true).as_ref(), Some(&without));
            let named = segment(&world, "v", &nothing, false);
            assert_eq!(
                named,
                (unit == Unit::Decision).then(|| without.clone()),
                "without consent nothing is looked up"
            );
            world.restart();
        }
        world.put("v", &context([("tier", "bronze")]));
        assert_eq!(world.known("v"), context([("tier", "bronze")]), "replaced, and only what is used");
        let kept = world.service.visitor("a-1").expect("readable").contexts.newest;
        assert_eq!(kept[0].context, Some(context([("tier", "gold")])), "what was known is kept beside the decision");
        world.end();
    }
}

/// A visitor must not be counted in the segment of those of whom nothing is known.
#[test]
fn a_profile_that_cannot_be_read_makes_the_default_and_counts_nothing() {
    let mut world = World::new();
    world.save(tiered(Unit::Decision));
    let token = world.service.engine().token("v");
    world.service.stop();
    world.store.reopen();
    world.store.append(&[], &[profile_row(token, Some(vec![99]))]).expect("taken");
    (world.service, world.clock) = start(&world.store, START);
    let answer = world.decide("v");
    assert_eq!((answer.why, answer.variation, &answer.receipt), (Why::Unavailable, 0, &None));
    assert_eq!(world.decide("w").why, Why::Decided(Reason::Policy));
    let verified = verify(&*world.store, &mut |_| {}).expect("readable");
    let differences: Vec<&str> = verified.differences.iter().map(|difference| &*difference.what).collect();
    assert!(differences.iter().any(|what| what.starts_with("the profile of visitor")), "{differences:?}");
    world.put("v", &context([("tier", "gold")]));
    assert_eq!(world.decide("v").why, Why::Decided(Reason::Policy), "replaced by one that can be read");
}

#[test]
fn a_backup_a_rebuild_and_a_restart_keep_profiles() {
    let mut world = World::new();
    world.put("v", &context([("tier", "gold")]));
    world.put("cookie", &context([("tier", "none"), ("seen", "shoes")]));
    run(world.service.alias("cookie", "v")).expect("joined");
    world.put("gone", &context([("tier", "gold")]));
    run(world.service.erase("gone")).expect("erased");
    world.restart();
    let expected = Some(context([("tier", "gold"), ("seen", "shoes")]));
    assert_eq!(world.profile("v"), expected);
    let mut bytes = Vec::new();
    world.service.backup(&mut bytes).expect("written");
    let store = world.end();
    let restored = MemoryStore::new();
    restore(&mut &bytes[..], &restored).expect("restored");
    for store in [&*store, &restored] {
        rebuild(store, &mut |_| {}).expect("whole");
        let verified = verify(store, &mut |_| {}).expect("readable");
        assert!(verified.passed(), "{:#?}", verified.differences);
    }
    let (service, _) = start(&Arc::new(restored), START);
    assert_eq!(service.visitor("cookie").expect("readable").profile, expected);
    assert_eq!(service.visitor("gone").expect("readable"), KnownVisitor::default());
}

#[test]
fn a_profile_from_before_an_erasure_is_a_difference() {
    let world = World::new();
    world.put("v", &context([("tier", "gold")]));
    let token = world.service.engine().token("v");
    let row = world.store.rows(Space::Profile, &token.to_bytes(), None, 1).expect("readable").remove(0);
    run(world.service.erase("v")).expect("erased");
    world.service.stop();
    world.store.reopen();
    world.store.append(&[], &[profile_row(token, Some(row.1))]).expect("taken");
    let verified = verify(&*world.store, &mut |_| {}).expect("readable");
    assert!(verified.differences[0].what.starts_with("the profile of visitor"), "{:#?}", verified.differences);
    assert_eq!(verified.differences_count, 1);
}

/// A device that two people used, one after the other.
#[test]
fn what_was_seen_under_an_id_that_moved_on_goes_with_either_of_its_visitors() {
    for erased in ["first", "cookie", "second"] {
        let world = World::new();
        world.save(Definition { segments: Segments::All, ..tiered(Unit::Decision) });
        world.put("first", &context([("note", MARK)]));
        run(world.service.alias("cookie", "first")).expect("joined");
        world.decide("cookie");
        run(world.service.alias("cookie", "second")).expect("moved on");
        // The exposure is on disk by now, as it came before.
        assert!(is_anywhere(&world.store, "cookie") && is_anywhere(&world.store, MARK));
        let done = run(world.service.erase(erased)).expect("erased");
        assert_eq!(done.contexts, 1, "{erased}");
        assert!(!is_anywhere(&world.store, "cookie"), "{erased}");
        assert_eq!(is_anywhere(&world.store, MARK), erased != "first", "a profile that is not theirs stays: {erased}");
        world.end();
    }
}

#[test]
fn what_does_not_fit_is_refused_or_left_out_and_counted() {
    let world = World::new();
    let long = |name: &'static str| Context::from([(name, Value::Text("x".repeat(4_000).into()))]);
    world.put("cookie", &long("one"));
    world.put("v", &long("two"));
    let done = run(world.service.alias("cookie", "v")).expect("joined");
    assert_eq!(done.profile, ProfileJoined { adopted: 0, left_out: 1 });
    assert_eq!((world.profile("v"), world.profile("cookie")), (Some(long("two")), Some(long("two"))));
    let both =
        Context::from([("one", Value::Text("x".repeat(4_000).into())), ("two", Value::Text("x".repeat(4_000).into()))]);
    let refused = run(world.service.save_profile("w", &both)).expect_err("too long");
    assert!(matches!(refused, ProfileError::TooLong { bytes: 8_000.., most: 6_000..7_000 }), "{refused}");
    assert_eq!(world.profile("w"), None);
    world.end();
}

/// One thing that a site does.
#[derive(Debug, Clone)]
enum Deed {
    Save { visitor: usize, attributes: Vec<usize> },
    Decide { visitor: usize },
    Alias { anonymous: usize, visitor: usize },
    Erase { visitor: usize },
    Restart,
}

const NAMES: [&str; 3] = ["note", "place", "car"];
/// In every text of a profile, and in nothing else.
const MARK: &str = "told by the CRM";

fn deed() -> impl Strategy<Value = Deed> {
    let visitor = 0..5_usize;
    prop_oneof![
        5 => (visitor.clone(), proptest::collection::vec(0..NAMES.len(), 0..4))
            .prop_map(|(visitor, attributes)| Deed::Save { visitor, attributes }),
        4 => visitor.clone().prop_map(|visitor| Deed::Decide { visitor }),
        3 => (visitor.clone(), visitor.clone()).prop_map(|(anonymous, visitor)| Deed::Alias { anonymous, visitor }),
        2 => visitor.prop_map(|visitor| Deed::Erase { visitor }),
        1 => Just(Deed::Restart),
    ]
}

/// Whether a text stands in any row or block.
fn is_anywhere(store: &MemoryStore, text: &str) -> bool {
    let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let rows = Space::ALL.into_iter().flat_map(|space| store.rows(space, &[], None, usize::MAX).expect("readable"));
    let mut rows = rows.chain(
        [crate::store::CheckpointKind::Current, crate::store::CheckpointKind::Sealed]
            .into_iter()
            .flat_map(|kind| store.load_checkpoint(kind).expect("whole").rows),
    );
    rows.any(|(key, value)| holds(&key) || holds(&value))
        || store.blocks(1).any(|block| holds(block.expect("whole").payload()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Beside a model in a few maps.
    #[test]
    fn erased_is_never_known(deeds in proptest::collection::vec(deed(), 1..50)) {
        let mut world = World::new();
        world.save(Definition { segments: Segments::All, ..tiered(Unit::Decision) });
        let name = |visitor: usize| format!("visitor-{visitor}");
        let mut known_as: Vec<usize> = (0..5).collect();
        let mut profiles: Vec<Option<BTreeMap<&str, String>>> = vec![None; 5];
        // What is kept beside decisions: under which id, whose profile was looked at, and what it may have said.
        let mut beside: Vec<(usize, usize, Vec<String>)> = Vec::new();
        for (number, deed) in deeds.iter().enumerate() {
            match deed {
                Deed::Save { visitor, attributes } => {
                    let said: BTreeMap<&str, String> =
                        attributes.iter().map(|at| (NAMES[*at], format!("{MARK}, deed {number}."))).collect();
                    let mut profile = Context::new();
                    for (name, text) in &said {
                        prop_assert!(profile.insert((*name).into(), Value::Text(text.as_str().into())));
                    }
                    world.put(&name(*visitor), &profile);
                    profiles[known_as[*visitor]] = Some(said);
                }
                Deed::Decide { visitor } => {
                    world.decide(&name(*visitor));
                    let owner = known_as[*visitor];
                    let said = profiles[owner].iter().flat_map(BTreeMap::values).cloned().collect();
                    beside.push((*visitor, owner, said));
                    let note = profiles[known_as[*visitor]].as_ref().and_then(|said| said.get("note"));
                    let known = world.known(&name(*visitor));
                    let found = known.get("note").cloned();
                    prop_assert_eq!(found, note.map(|note| Value::Text(note.clone().into())), "{}", number);
                }
                Deed::Alias { anonymous, visitor } => {
                    let to = known_as[*visitor];
                    if run(world.service.alias(&name(*anonymous), &name(*visitor))).is_ok_and(|done| !done.repeated) {
                        known_as[*anonymous] = to;
                        if let Some(before) = profiles[*anonymous].take() {
                            let own = profiles[to].get_or_insert_default();
                            for (name, text) in before {
                                own.entry(name).or_insert(text);
                            }
                        }
                    }
                }
                Deed::Erase { visitor } => {
                    let who = known_as[*visitor];
                    let theirs: Vec<usize> = (0..5).filter(|other| known_as[*other] == who || other == visitor).collect();
                    let had = theirs.iter().filter(|other| profiles[**other].is_some()).count();
                    let texts: Vec<String> =
                        theirs.iter().filter_map(|other| profiles[*other].take()).flat_map(BTreeMap::into_values).collect();
                    theirs.iter().for_each(|other| known_as[*other] = *other);
                    // A decision of an id that has become somebody else's since is that one's: of a device that two people use.
                    beside.retain(|(visitor, owner, _)| !theirs.contains(visitor) && !theirs.contains(owner));
                    world.clock.set(world.now() + Span::SECOND);
                    let done = run(world.service.erase(&name(*visitor))).expect("erased");
                    prop_assert_eq!(done.profiles, had, "{}", number);
                    for text in texts {
                        let others = profiles.iter().flatten().any(|said| said.values().any(|other| *other == text))
                            || beside.iter().any(|(_, _, said)| said.contains(&text));
                        prop_assert!(others || !is_anywhere(&world.store, &text), "{} after deed {}", text, number);
                    }
                }
                Deed::Restart => world.restart(),
            }
            for visitor in 0..5 {
                let said = world.profile(&name(visitor)).map(|profile| {
                    let text = |(name, value): (&str, &Value<'_>)| (name.to_owned(), value.clone().kept());
                    profile.iter().map(text).collect::<Vec<_>>()
                });
                let mut said = said;
                said.iter_mut().for_each(|said| said.sort_by(|a, b| a.0.cmp(&b.0)));
                let expected = profiles[known_as[visitor]].as_ref().map(|said| {
                    said.iter().map(|(name, text)| ((*name).to_owned(), Value::Text(text.clone().into()))).collect::<Vec<_>>()
                });
                prop_assert_eq!(said, expected, "visitor {} after deed {}: {:?}", visitor, number, deed);
            }
        }
        for visitor in 0..5 {
            run(world.service.erase(&name(visitor))).expect("erased");
        }
        let store = world.end();
        prop_assert!(!is_anywhere(&store, MARK));
    }

    #[test]
    fn a_profile_reads_back_and_no_damage_panics(
        texts in proptest::collection::vec("\\PC{0,60}", 0..30),
        position in any::<(u64, u32)>(),
        damage: prop::sample::Index,
    ) {
        let mut profile = Context::new();
        for (number, text) in texts.into_iter().enumerate() {
            let name = format!("a{number}");
            prop_assert!(profile.insert(name.into(), Value::Text(text.into())));
        }
        let position = crate::engine::ledger::Position { block: position.0, index: position.1 };
        let mut value = profile_value(position, &encode_profile(&profile).expect("short"));
        let read = decode_profile(&value).expect("what was written");
        prop_assert_eq!((read.position, read.attributes), (position, profile));
        let at = damage.index(value.len());
        prop_assert!(decode_profile(&value[..at]).is_err());
        value[at] ^= 0x80;
        // An error or a value, and no panic.
        drop(decode_profile(&value));
    }
}

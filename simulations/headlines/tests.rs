//! Reading what others recorded, broken rows and all.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::simulations::scenario::{Overrides, ScenarioFile};

const CSV: &str = "clickability_test_id,headline,impressions,clicks\n\
    t1,\"two\nlines\",1000,100\n\
    t1,plain,1000,300\n\
    t2,alone,1000,10\n\
    t3,none,0,0\n\
    t3,many,10,11\n\
    t3,word,ten,1\n\
    t3,short\n\
    t4,same,100,5\n\
    t4,same,200,10\n";

const SCENARIO: &str = r#"
about = "recorded"
seed = 1
runs = 2
visitors = 2_000
data = "headline-tests"
[[strategies]]
policy = "oracle"
[[strategies]]
policy = "uniform"
[[strategies]]
policy = "thompson"
"#;

#[test]
fn bad_rows_are_counted_and_the_rest_is_read() {
    let tests = parse(CSV.as_bytes()).expect("CSV");
    assert_eq!(tests.read, ReadCounts { rows: 9, rows_refused: 4, tests_left_out: 1 });
    let rates: Vec<&[f64]> = tests.worlds.iter().map(|world| world.stated_rates()).collect();
    assert_eq!(rates, [&[0.1, 0.3][..], &[0.05, 0.05][..]]);
}

#[test]
fn the_best_closes_the_gap_and_all_alike_does_not() {
    let scenario = ScenarioFile::parse("f", "recorded", SCENARIO, Overrides::default()).expect("complete");
    let scenario = &scenario.scenarios[0];
    let tests = parse(CSV.as_bytes()).expect("CSV");
    let result = run_all(scenario, &tests, &AtomicBool::new(false), &ProgressBar::hidden()).expect("not stopped");
    let closed = |row: usize| result.strategies[row].gap_closed_mean;
    assert!((closed(0) - 1.0).abs() < 1e-9, "{}", closed(0));
    // 4,000 viewers who are shown the better headline or not: a share of the gap with standard deviation 1/sqrt(4,000).
    assert!(closed(1).abs() < 4.0 / 4_000_f64.sqrt(), "{}", closed(1));
    assert!(closed(2) > 0.9 && closed(2) < 1.0, "{}", closed(2));
    assert!((result.uniform_rate - 0.125).abs() < 1e-12 && (result.best_rate - 0.175).abs() < 1e-12);
}

#[test]
fn what_cannot_be_used_is_named() {
    let missing = read(Path::new("no/tests.csv.gz")).expect_err("missing").to_string();
    assert!(missing.starts_with("no/tests.csv.gz: cannot be read"), "{missing}");
    let wrong = parse("a,b\n1,2\n".as_bytes()).expect_err("columns").to_string();
    assert!(wrong.contains("clickability_test_id is missing"), "{wrong}");
}

# `just` lists what there is; each of these is one command that can be typed as well.

_:
    @just --list

# The whole gate: format, lints, tests, docs, licences, a demo and a simulation.
check:
    scripts/test

# The tests alone; arguments go to `cargo test`.
test *arguments:
    cargo test {{ arguments }}

# Benchmarks; a name runs one.
bench *names:
    cargo bench {{ if names == "" { "--benches" } else { "--bench " + names } }}

# A server that learns while you watch.
demo *arguments:
    cargo run --release -- demo {{ arguments }}

# As many visitors as the machine takes, once.
load visitors="200000":
    cargo run --release -- demo --once --visitors {{ visitors }} --port 0 --data out/load

# Scenarios through the engine, strategies compared; results under out/simulations. `headlines` also needs `--data`.
simulations scenario="spread" *arguments:
    cargo run --release -- simulate --out out/simulations {{ arguments }} simulations/scenarios/{{ scenario }}.toml

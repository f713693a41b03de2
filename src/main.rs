//! Mabel.
fn main() {}

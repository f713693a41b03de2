//! Parameters of a policy as they stand in a definition.

use std::collections::BTreeMap;

/// One value of a policy's table.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// A finite number.
    Number(f64),
    /// A text.
    Text(String),
    /// A list of finite numbers.
    Numbers(Vec<f64>),
    /// Numbers by name.
    Shares(BTreeMap<String, f64>),
    /// True or false.
    Flag(bool),
}

/// By name.
pub type Parameters = BTreeMap<String, Parameter>;

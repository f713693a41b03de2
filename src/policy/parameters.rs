//! Parameters of policies: named values, each checked where a policy is built, and refusals a user can act on.

use std::collections::BTreeMap;
use std::fmt;

use crate::policy::Pooling;
use crate::posterior::Beta;

/// The value of one parameter, as a definition writes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// A number.
    Number(f64),
    /// A text, one of a few that are allowed.
    Text(String),
    /// A list of numbers.
    Numbers(Vec<f64>),
    /// Shares by variation key.
    Shares(BTreeMap<String, f64>),
    /// True or false.
    Flag(bool),
}

impl fmt::Display for Parameter {
    /// As a definition in TOML writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Numbers(numbers) => write!(f, "[{}]", join(numbers)),
            Self::Shares(shares) => {
                write!(f, "{{ {} }}", join(shares.iter().map(|(key, share)| format!("{key:?} = {share}"))))
            }
            Self::Flag(flag) => write!(f, "{flag}"),
        }
    }
}

/// What a policy's documentation and its defaults are made from.
#[derive(Debug, Clone, Copy)]
pub struct ParameterSpec {
    /// What stands under `policy` in a definition.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Which values are allowed; refusals quote it.
    pub allowed: &'static str,
    /// The value it has where none is given; nothing if one must be given.
    pub default: fn(&Setting<'_>) -> Option<Parameter>,
}

/// What a default can depend on.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// The parameters given, and the defaults of those that the policy lists earlier.
    pub parameters: &'a Parameters,
    /// How many variations the definition has.
    pub variations_count: usize,
}

impl ParameterSpec {
    /// The refusal of a definition without this parameter.
    #[must_use]
    pub fn missing(&self) -> PolicyError {
        PolicyError::Refused { field: self.field(), given: "nothing".to_owned(), allowed: self.allowed.to_owned() }
    }

    /// The refusal of a value.
    #[must_use]
    pub fn refuse(&self, given: &Parameter) -> PolicyError {
        PolicyError::Refused {
            field: self.field(),
            given: excerpt(&given.to_string()),
            allowed: self.allowed.to_owned(),
        }
    }

    /// Where the parameter stands in a definition, such as `policy.epsilon`.
    #[must_use]
    pub fn field(&self) -> String {
        format!("policy.{}", self.name)
    }
}

/// Why a policy cannot be built: the field, what was given, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No policy has this name.
    #[error("policy.kind {given:?} is not known: allowed are {allowed}")]
    UnknownKind {
        /// The name given, cut to 80 characters.
        given: String,
        /// The kinds there are.
        allowed: String,
    },
    /// The policy has no such parameter.
    #[error("policy.{given} is not a parameter of {kind:?}: allowed are {allowed}")]
    UnknownParameter {
        /// The kind of policy.
        kind: &'static str,
        /// The name given, cut to 80 characters.
        given: String,
        /// The parameters there are, or "none".
        allowed: String,
    },
    /// A value is missing or outside what is allowed.
    #[error("{field}: {given} is not allowed: {allowed}")]
    Refused {
        /// Where the value stands in a definition, such as `policy.epsilon`.
        field: String,
        /// The value given, cut to 80 characters.
        given: String,
        /// What is allowed.
        allowed: String,
    },
}

/// Parameters by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters(BTreeMap<String, Parameter>);

impl Parameters {
    /// No parameters.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The same and one more; an earlier value of the same name is replaced.
    #[must_use]
    pub fn with(mut self, name: &str, value: Parameter) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.0.get(name)
    }

    /// All parameters, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The value of a parameter as `read` understands it: `None` from `read` is a refusal.
    ///
    /// # Errors
    /// [`PolicyError::Refused`] if it is missing or `read` does not accept it.
    pub fn read<'a, T>(
        &'a self,
        spec: &ParameterSpec,
        read: impl FnOnce(&'a Parameter) -> Option<T>,
    ) -> Result<T, PolicyError> {
        let value = self.get(spec.name).ok_or_else(|| spec.missing())?;
        read(value).ok_or_else(|| spec.refuse(value))
    }

    /// A number within a range, ends included.
    ///
    /// # Errors
    /// [`PolicyError::Refused`] if it is missing, no number, or outside.
    pub fn number(&self, spec: &ParameterSpec, least: f64, most: f64) -> Result<f64, PolicyError> {
        self.read(spec, |value| match value {
            Parameter::Number(number) if (least..=most).contains(number) => Some(*number),
            Parameter::Number(_)
            | Parameter::Text(_)
            | Parameter::Numbers(_)
            | Parameter::Shares(_)
            | Parameter::Flag(_) => None,
        })
    }
}

impl FromIterator<(String, Parameter)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (String, Parameter)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

/// `pooling`, which every policy that learns takes.
pub const POOLING: ParameterSpec = ParameterSpec {
    name: "pooling",
    summary: "whose evidence a segment's allocation is computed from",
    allowed: "\"none\" (each segment on its own), \"partial\" (segments borrow from each other as far as they agree; up to 64 \
              variations) or \"complete\" (all segments together)",
    default: |_| Some(Parameter::Text("none".to_owned())),
};

/// [`POOLING`] for policies that pool partially where nothing is said and there are not too many variations.
pub const POOLING_PARTIAL: ParameterSpec = ParameterSpec {
    default: |setting| {
        let pooling = if setting.variations_count > PARTIAL_ARMS_MAX { "none" } else { "partial" };
        Some(Parameter::Text(pooling.to_owned()))
    },
    ..POOLING
};

/// Most variations for partial pooling: a fit takes segments × variations² steps.
pub const PARTIAL_ARMS_MAX: usize = 64;

/// `prior`, for every policy on Beta posteriors.
pub const PRIOR: ParameterSpec = ParameterSpec {
    name: "prior",
    summary: "conversions and failures that every variation is credited with before its first exposure",
    allowed: "[alpha, beta], each a number from 0.000001 to 1000000",
    default: |_| Some(Parameter::Numbers(vec![1.0, 1.0])),
};

/// `sharpening`, for every policy on posteriors.
pub const SHARPENING: ParameterSpec = ParameterSpec {
    name: "sharpening",
    summary: "how many times each exposure counts: above 1 exploits earlier",
    allowed: "a number from 0.1 to 8",
    default: |setting| {
        // Segments that borrow know more than their own counts say, and 1 would explore too long; 2 more often settles on
        // the wrong arm for good.
        let partial = matches!(pooling(setting.parameters), Ok(Pooling::Partial));
        Some(Parameter::Number(if partial { 1.5 } else { 1.0 }))
    },
};

/// `draws`, for every policy on posteriors.
pub const DRAWS: ParameterSpec = ParameterSpec {
    name: "draws",
    summary: "joint draws that shares are counted from where they have no closed form",
    allowed: "a whole number from 64 to 65536",
    default: |_| Some(Parameter::Number(1_024.0)),
};

/// Reads [`DRAWS`].
///
/// # Errors
/// [`PolicyError::Refused`].
pub fn draws(parameters: &Parameters) -> Result<usize, PolicyError> {
    let number = parameters.number(&DRAWS, 64.0, 65_536.0)?;
    if number.fract() > 0.0 {
        return Err(DRAWS.refuse(&Parameter::Number(number)));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number up to 65,536")]
    let draws = number as usize;
    Ok(draws)
}

/// Reads [`POOLING`].
///
/// # Errors
/// [`PolicyError::Refused`].
pub fn pooling(parameters: &Parameters) -> Result<Pooling, PolicyError> {
    parameters.read(&POOLING, as_text).and_then(|text| match text {
        "none" => Ok(Pooling::None),
        "partial" => Ok(Pooling::Partial),
        "complete" => Ok(Pooling::Complete),
        other => Err(POOLING.refuse(&Parameter::Text(other.to_owned()))),
    })
}

/// Reads [`POOLING`] for so many variations.
///
/// # Errors
/// [`PolicyError::Refused`], with the reason where partial pooling would cost too much.
pub fn pooling_of(parameters: &Parameters, variations_count: usize) -> Result<Pooling, PolicyError> {
    let pooling = pooling(parameters)?;
    if pooling == Pooling::Partial && variations_count > PARTIAL_ARMS_MAX {
        return Err(PolicyError::Refused {
            field: POOLING.field(),
            given: format!("\"partial\" with {variations_count} variations"),
            allowed: format!(
                "at most {PARTIAL_ARMS_MAX}, since its cost grows with segments × variations²; \"none\" and \"complete\" take more"
            ),
        });
    }
    Ok(pooling)
}

/// Reads [`PRIOR`].
///
/// # Errors
/// [`PolicyError::Refused`].
pub fn prior(parameters: &Parameters) -> Result<Beta, PolicyError> {
    const RANGE: std::ops::RangeInclusive<f64> = 1e-6..=1e6;
    parameters.read(&PRIOR, |value| match value {
        Parameter::Numbers(numbers) => match numbers[..] {
            [alpha, beta] if RANGE.contains(&alpha) && RANGE.contains(&beta) => Beta::new(alpha, beta).ok(),
            _ => None,
        },
        Parameter::Number(_) | Parameter::Text(_) | Parameter::Shares(_) | Parameter::Flag(_) => None,
    })
}

fn as_text(value: &Parameter) -> Option<&str> {
    match value {
        Parameter::Text(text) => Some(text),
        Parameter::Number(_) | Parameter::Numbers(_) | Parameter::Shares(_) | Parameter::Flag(_) => None,
    }
}

/// At most 80 characters of a text from outside, for a refusal.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Entries with commas between them.
pub(crate) fn join<T: fmt::Display>(entries: impl IntoIterator<Item = T>) -> String {
    entries.into_iter().map(|entry| entry.to_string()).collect::<Vec<_>>().join(", ")
}

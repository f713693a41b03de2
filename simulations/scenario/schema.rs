//! What contextual policies see of a visitor: attributes as definitions write them, in the scenario or in a file beside it.

use std::path::Path;

use mabel::domain::AttributeName;
use mabel::targeting::features::{Attribute, Encoding};
use serde::Deserialize;

use crate::simulations::scenario::Refusal;
use crate::simulations::world::SeenInWorld;
use crate::simulations::world::blueprint::Family;

/// The fields of a file of attributes; a scenario has them too.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemaInFile {
    #[serde(default)]
    attributes: Vec<AttributeInFile>,
    #[serde(default)]
    interactions: Vec<(String, String)>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttributeInFile {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    levels: Option<Vec<String>>,
    mean: Option<f64>,
    sd: Option<f64>,
    bins: Option<Vec<f64>>,
}

/// What a scenario in `directory` says, by the path of a file; where it says nothing, what its family is known to have.
pub(super) fn read(given: Option<&str>, directory: &Path, family: Option<&Family>) -> Result<SeenInWorld, Refusal> {
    let Some(given) = given else {
        return Ok(match family {
            Some(Family::Logistic(family)) => SeenInWorld { attributes: family.attributes(), interactions: Vec::new() },
            Some(Family::Stated(..) | Family::TwoWay(_) | Family::Rows(_)) | None => SeenInWorld::default(),
        });
    };
    let refused = |reason: String| Refusal::new("schema", format!("{given:?}"), reason);
    let text = std::fs::read_to_string(directory.join(given))
        .map_err(|error| refused(format!("a file beside the scenario: {error}")))?;
    let file: SchemaInFile =
        toml::from_str(&text).map_err(|error| refused(format!("attributes as in a definition: {error}")))?;
    let attributes = file.attributes.into_iter().enumerate().map(|(index, given)| attribute(index, given));
    let pair = |(index, (one, other)): (usize, (String, String))| {
        let name = |text: &str| name(&format!("schema: interactions[{index}]"), text);
        Ok((name(&one)?, name(&other)?))
    };
    Ok(SeenInWorld {
        attributes: attributes.collect::<Result<_, Refusal>>()?,
        interactions: file.interactions.into_iter().enumerate().map(pair).collect::<Result<_, Refusal>>()?,
    })
}

fn name(field: &str, text: &str) -> Result<AttributeName, Refusal> {
    AttributeName::new(text).map_err(|error| Refusal::new(field, format!("{text:?}"), error.allowed))
}

/// One attribute; what its numbers and levels must be, the engine checks.
fn attribute(index: usize, given: AttributeInFile) -> Result<Attribute, Refusal> {
    let at = format!("schema: attributes[{index}]");
    let encoding = match (given.kind.as_str(), given.levels, given.mean, given.sd, given.bins) {
        ("text", Some(levels), None, None, None) => Encoding::Levels(levels),
        ("boolean", None, None, None, None) => Encoding::Boolean,
        ("number", None, None, None, Some(bins)) => Encoding::Bins(bins),
        ("number", None, mean, sd, None) => Encoding::Standardised { mean: mean.unwrap_or(0.0), sd: sd.unwrap_or(1.0) },
        (other, ..) => {
            let allowed = "\"text\" with levels, \"boolean\" with nothing, \"number\" with mean and sd or with bins";
            return Err(Refusal::new(format!("{at}.type"), format!("{other:?}"), allowed));
        }
    };
    Ok(Attribute { name: name(&format!("{at}.name"), &given.name)?, encoding })
}

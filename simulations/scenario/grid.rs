//! Grids: scenarios that say everything once and differ by what their cells say instead.

use toml::{Table, Value};

use crate::simulations::scenario::Refusal;

/// Most cells of a file.
const CELLS_MAX: usize = 1_000;

/// Each cell's name, and the file with what the cell says instead.
pub(super) fn cells(mut file: Table) -> Result<Vec<(String, Table)>, Refusal> {
    let Some(Value::Array(given)) = file.remove("cells") else {
        return Err(Refusal::new("cells", "something else", "a list: [[cells]]"));
    };
    if given.is_empty() || given.len() > CELLS_MAX {
        return Err(Refusal::new("cells", format!("{} of them", given.len()), format!("1 to {CELLS_MAX}")));
    }
    let mut cells: Vec<(String, Table)> = Vec::with_capacity(given.len());
    for (index, cell) in given.into_iter().enumerate() {
        let field = format!("cells[{index}].name");
        let Value::Table(mut cell) = cell else {
            return Err(Refusal::new(format!("cells[{index}]"), cell, "a table: [[cells]]"));
        };
        let name = match cell.remove("name") {
            Some(Value::String(name)) => name,
            Some(other) => return Err(Refusal::new(field, other, "a text")),
            None => return Err(Refusal::new(field, "nothing", "a text")),
        };
        if cells.iter().any(|(known, _)| *known == name) {
            return Err(Refusal::new(field, format!("{name:?}"), "each name once"));
        }
        let mut whole = file.clone();
        overlay(&mut whole, cell);
        cells.push((name, whole));
    }
    Ok(cells)
}

/// Puts what is said over what was: tables field by field, unless they are of another kind; all else as a whole.
fn overlay(under: &mut Table, over: Table) {
    for (name, value) in over {
        match (under.get_mut(&name), value) {
            (Some(Value::Table(known)), Value::Table(said)) if !said.contains_key("kind") => overlay(known, said),
            (_, value) => {
                under.insert(name, value);
            }
        }
    }
}

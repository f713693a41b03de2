//! What version 4 adds, behind what version 3 does: the group of an experiment.

use std::sync::Arc;

use bincode::{BorrowDecode, Encode};

use crate::domain::GroupKey;
use crate::engine::checkpoint::StateRecord;
use crate::engine::definition::{Definition, Group};
use crate::engine::event::Event;
use crate::store::record::Checked;

/// Of a definition, in an event or in a checkpoint row.
#[derive(Encode, BorrowDecode, Default, PartialEq)]
pub(super) struct Additions {
    /// Key and priority.
    group: Option<(String, i32)>,
}

impl Additions {
    fn of(definition: &Definition) -> Self {
        Self { group: definition.group.as_ref().map(|group| (group.key.to_string(), group.priority)) }
    }

    fn complete(self, definition: &mut Definition) -> Checked<()> {
        let group = |(key, priority): (String, i32)| -> Checked<Group> {
            Ok(Group { key: GroupKey::new(&key).map_err(|invalid| invalid.to_string())?, priority })
        };
        definition.group = self.group.map(group).transpose()?;
        Ok(())
    }

    /// The event as it was.
    pub(super) fn add_to_event(self, mut event: Event) -> Checked<Event> {
        if let Event::ExperimentSaved(saved) = &mut event {
            self.complete(&mut Arc::make_mut(saved).definition)?;
        }
        Ok(event)
    }

    /// The part of the state as it was.
    pub(super) fn add_to_state(self, mut record: StateRecord) -> Checked<StateRecord> {
        if let StateRecord::Experiment(experiment) = &mut record {
            self.complete(Arc::make_mut(&mut experiment.definition))?;
        }
        Ok(record)
    }
}

impl From<&Event> for Additions {
    fn from(event: &Event) -> Self {
        if let Event::ExperimentSaved(saved) = event { Self::of(&saved.definition) } else { Self::default() }
    }
}

impl From<&StateRecord> for Additions {
    fn from(record: &StateRecord) -> Self {
        if let StateRecord::Experiment(experiment) = record {
            Self::of(&experiment.definition)
        } else {
            Self::default()
        }
    }
}

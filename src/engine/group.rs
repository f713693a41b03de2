//! Groups of experiments, of which a visitor takes part in one: the one that it stays with, else the first by priority that would
//! decide for it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::domain::{ExperimentKey, GroupKey};
use crate::engine::Engine;
use crate::engine::decide::{Request, decides_for, is_running};
use crate::engine::definition::{Definition, Group, Status, Unit};
use crate::engine::error::FieldError;
use crate::engine::experiment::Experiment;

/// Most experiments of a group that have not ended: each may be asked before one of them decides.
pub const MAX_MEMBERS: usize = 32;

/// Members of every group, in the order in which they are asked.
#[derive(Debug, Default)]
pub(crate) struct Groups(ArcSwap<BTreeMap<GroupKey, Vec<Arc<Experiment>>>>);

impl Engine {
    /// The experiment that a visitor takes part in instead of another one of the same group, if there is one. `stays` says whether
    /// the visitor stays with something in an experiment.
    ///
    /// # Errors
    /// Those of `stays`.
    pub fn rival<E>(
        &self,
        experiment: &Experiment,
        request: &Request<'_>,
        mut stays: impl FnMut(&ExperimentKey) -> Result<bool, E>,
    ) -> Result<Option<ExperimentKey>, E> {
        let active = experiment.active();
        let Some(group) = &active.settings.definition.group else { return Ok(None) };
        let groups = self.groups.0.load();
        let members = groups.get(&group.key).map_or(&[][..], Vec::as_slice);
        let running = |member: &&Arc<Experiment>| is_running(member, &member.active().settings, request);
        let others = || members.iter().filter(|member| member.key() != experiment.key()).filter(running);
        for other in others().filter(|other| other.active().settings.definition.unit == Unit::Visitor) {
            if stays(other.key())? {
                return Ok(Some(other.key().clone()));
            }
        }
        let own = rank(group, experiment.key());
        let before = |other: &&Arc<Experiment>| {
            let active = other.active();
            active.settings.definition.group.as_ref().is_some_and(|group| rank(group, other.key()) < own)
        };
        let site = self.site();
        Ok(others().filter(before).find(|other| decides_for(other, request, site)).map(|other| other.key().clone()))
    }

    /// Looks anew who is in which group. For the writer, after an experiment came, changed or went.
    pub(crate) fn regroup(&self) {
        let mut groups: BTreeMap<GroupKey, Vec<Arc<Experiment>>> = BTreeMap::new();
        for experiment in self.experiments() {
            if let Some(group) = &experiment.active().settings.definition.group {
                groups.entry(group.key.clone()).or_default().push(Arc::clone(&experiment));
            }
        }
        for members in groups.values_mut() {
            members.sort_by_cached_key(|member| {
                let group = member.active().settings.definition.group.clone();
                (Reverse(group.map_or(0, |group| group.priority)), member.key().clone())
            });
        }
        self.groups.0.store(Arc::new(groups));
    }

    /// Refuses one more where a group has as many as are asked.
    pub(crate) fn check_group(&self, definition: &Definition) -> Result<(), FieldError> {
        let Some(group) = &definition.group else { return Ok(()) };
        let groups = self.groups.0.load();
        let others = groups.get(&group.key).into_iter().flatten();
        let others = others.filter(|other| *other.key() != definition.key && other.status() != Status::Ended).count();
        if others < MAX_MEMBERS {
            return Ok(());
        }
        let given = format!("{}, with {others} other experiments", group.key);
        Err(FieldError::new("group.key", given, format!("a group of at most {MAX_MEMBERS} that have not ended")))
    }
}

fn rank<'a>(group: &Group, key: &'a ExperimentKey) -> (Reverse<i32>, &'a ExperimentKey) {
    (Reverse(group.priority), key)
}

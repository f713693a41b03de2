//! Changing experiments: one at a time, each answered once it is on disk and in force.

use std::sync::Arc;

use crate::engine::definition::{Definition, Status};
use crate::engine::event::Event;
use crate::engine::experiment::Experiment;
use crate::service::Service;
use crate::service::error::ChangeError;

impl Service {
    /// Saves a definition: a new experiment with this status, or a new version of a known one, whose status stays. Saving
    /// what is in force changes nothing. Says whether it is new.
    ///
    /// # Errors
    /// [`ChangeError`]; then nothing was changed.
    pub async fn save(&self, definition: Definition, status: Status) -> Result<(Arc<Experiment>, bool), ChangeError> {
        let _one_at_a_time = self.changing.lock().await;
        self.queue.certain()?;
        let key = definition.key.clone();
        let new = self.engine.experiment(key.as_str()).is_err();
        if let Some(saved) = self.engine.save(definition, status, self.clock.now())? {
            self.queue.submit(Event::ExperimentSaved(Arc::new(saved)))?.done().await?;
        }
        Ok((self.engine.experiment(key.as_str())?, new))
    }

    /// Starts, pauses or ends an experiment. An end is final; what is so already stays so.
    ///
    /// # Errors
    /// [`ChangeError`]; then nothing was changed.
    pub async fn set_status(&self, key: &str, status: Status) -> Result<Arc<Experiment>, ChangeError> {
        let _one_at_a_time = self.changing.lock().await;
        let experiment = self.engine.experiment(key)?;
        let before = experiment.status();
        if before == status {
            return Ok(experiment);
        }
        if before == Status::Ended {
            return Err(ChangeError::Ended);
        }
        let event = Event::StatusChanged { experiment: experiment.key().clone(), status, at: self.clock.now() };
        self.queue.submit(event)?.done().await?;
        Ok(experiment)
    }

    /// Deletes an experiment; its key is never used again.
    ///
    /// # Errors
    /// [`ChangeError`]; then nothing was changed.
    pub async fn delete(&self, key: &str) -> Result<(), ChangeError> {
        let _one_at_a_time = self.changing.lock().await;
        let experiment = self.engine.experiment(key)?.key().clone();
        self.queue.submit(Event::ExperimentDeleted { experiment, at: self.clock.now() })?.done().await?;
        Ok(())
    }

    /// All experiments, in order of their keys.
    #[must_use]
    pub fn experiments(&self) -> Vec<Arc<Experiment>> {
        self.engine.experiments()
    }
}

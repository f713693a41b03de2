//! What is known of visitors ahead of their requests.

use crate::domain::Context;
use crate::engine::event::{Event, ProfileSaved};
use crate::engine::profile::AttributeTypes;
use crate::service::Service;
use crate::service::committer::{Beside, Pending};
use crate::service::error::ProfileError;
use crate::store::record::profile::{MAX_PROFILE_BYTES, encode_profile};

impl Service {
    /// Replaces the profile of a visitor, or of who it turned out to be.
    ///
    /// # Errors
    /// [`ProfileError`]; then nothing is changed.
    pub async fn save_profile(&self, visitor: &str, profile: &Context<'_>) -> Result<(), ProfileError> {
        self.submit_profile(&self.engine.attribute_types(), visitor, profile)?.done().await?;
        Ok(())
    }

    /// Replaces several at the price of one sync, one after the other; answers in order.
    pub async fn save_profiles(&self, profiles: &[(&str, &Context<'_>)]) -> Vec<Result<(), ProfileError>> {
        let types = self.engine.attribute_types();
        let pending: Vec<_> =
            profiles.iter().map(|(visitor, profile)| self.submit_profile(&types, visitor, profile)).collect();
        let mut results = Vec::with_capacity(pending.len());
        for pending in pending {
            results.push(match pending {
                Ok(pending) => pending.done().await.map(drop).map_err(ProfileError::from),
                Err(error) => Err(error),
            });
        }
        results
    }

    fn submit_profile(
        &self,
        types: &AttributeTypes,
        visitor: &str,
        profile: &Context<'_>,
    ) -> Result<Pending, ProfileError> {
        if let Some(clash) = types.clash(profile) {
            return Err(ProfileError::Clash(clash));
        }
        let encoded =
            encode_profile(profile).map_err(|bytes| ProfileError::TooLong { bytes, most: MAX_PROFILE_BYTES })?;
        let event = ProfileSaved { visitor: self.engine.token(visitor), at: self.clock.now() };
        Ok(self.queue.submit_with(Event::ProfileSaved(event), Some(Beside::Profile(encoded)))?)
    }
}

//! What is known of a visitor ahead of its request, put under what the request says.

use crate::engine::error::NoExperiment;
use crate::service::Service;
use crate::service::decide::round::{Found, Round};
use crate::service::decide::{Made, Query, Who};

impl Service {
    /// Decides with the visitor's profile under the request's context. A profile that cannot be read is not taken for none: the
    /// visitor would be counted in a segment that it is not in, so the site gets the default, and nothing is counted.
    pub(super) fn decide_knowing<'a>(
        &self,
        query: &Query<'_>,
        round: &'a mut Round<'_>,
    ) -> Result<Made<'a>, NoExperiment> {
        let Some(visitor) = query.visitor.filter(|_| query.consent && self.visitors.have_profiles()) else {
            return self.decide_at(query, round, None);
        };
        let token = self.engine.token(visitor);
        match self.visitors.profile(token) {
            Ok((_, None)) => self.decide_at(query, round, None),
            Ok((owner, Some(profile))) => {
                let Found { active, .. } = round.last.find(&self.engine, query.experiment)?;
                let context = query.context.over(&profile, |name| active.settings.uses(name));
                self.decide_at(&Query { context: &context, ..query.clone() }, round, Some(owner))
            }
            Err(error) => {
                let who = Who { visitor: Some(visitor), token, profile_of: None, held: None, now: round.now };
                let Found { active, .. } = round.last.find(&self.engine, query.experiment)?;
                Ok(self.unreadable(query, active, &who, &error))
            }
        }
    }
}

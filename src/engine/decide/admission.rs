//! Whether an experiment takes a visitor, and what is the same for a visitor in all of them.

use crate::domain::{Context, VisitorToken};
use crate::engine::decide::{Reason, Request};
use crate::engine::definition::Status;
use crate::engine::draw::Placed;
use crate::engine::experiment::{Active, Experiment};
use crate::engine::secret::{KeyedHash, Secret};
use crate::engine::settings::Settings;
use crate::targeting::{Condition, Verdict};

/// What is the same for a visitor in every experiment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    visitors: KeyedHash,
    holding_out: KeyedHash,
    /// Share of visitors in the control group of every experiment.
    pub(crate) holdout: f64,
}

impl Site {
    pub(crate) fn new(secret: &Secret) -> Self {
        Self { visitors: secret.site_hash("visitor"), holding_out: secret.site_hash("holdout"), holdout: 0.0 }
    }

    pub(crate) fn token(self, visitor: &str) -> VisitorToken {
        VisitorToken(self.visitors.wide_bits(visitor.as_bytes()))
    }

    pub(crate) fn holds_out(self, visitor: VisitorToken) -> bool {
        self.holdout > 0.0 && self.holding_out.uniform(&visitor.to_bytes()) < self.holdout
    }
}

/// What a context comes to in what is in force of an experiment: worked out once for decisions that bring the same.
#[derive(Debug, Default)]
pub struct Bearing {
    audience: Option<Verdict>,
    placed: Option<Option<Placed>>,
}

impl Bearing {
    fn audience(bearing: Option<&mut Self>, evaluate: impl FnOnce() -> Verdict) -> Verdict {
        match bearing {
            Some(bearing) => *bearing.audience.get_or_insert_with(evaluate),
            None => evaluate(),
        }
    }

    /// The segment that decides, where one does.
    pub(super) fn place(&mut self, active: &Active, context: &Context<'_>) -> Option<&mut Placed> {
        self.placed.get_or_insert_with(|| Placed::find(active, context)).as_mut()
    }
}

/// Whether an experiment that a visitor has no part in yet would take it.
pub(crate) fn decides_for(experiment: &Experiment, request: &Request<'_>, site: Site) -> bool {
    let active = experiment.active();
    let token = || request.token.unwrap_or_else(|| site.token(request.visitor));
    is_running(experiment, &active.settings, request)
        && closed_to(experiment, &active.settings, request, None, token).is_none()
}

pub(crate) fn is_running(experiment: &Experiment, settings: &Settings, request: &Request<'_>) -> bool {
    let schedule = &settings.definition.schedule;
    let begun = schedule.starts.is_none_or(|starts| starts <= request.now);
    let over = schedule.ends.is_some_and(|ends| ends <= request.now);
    experiment.status() == Status::Running && begun && !over
}

/// Why a running experiment does not decide for this visitor, if so.
pub(super) fn closed_to(
    experiment: &Experiment,
    settings: &Settings,
    request: &Request<'_>,
    bearing: Option<&mut Bearing>,
    token: impl FnOnce() -> VisitorToken,
) -> Option<Reason> {
    let evaluate = |audience: &Condition| Bearing::audience(bearing, || audience.evaluate(request.context));
    match settings.audience.as_ref().map(evaluate) {
        None | Some(Verdict::Match) => {}
        Some(Verdict::NoMatch) => return Some(Reason::NotInAudience),
        Some(Verdict::Failed) => {
            experiment.count_failed_conditions(1);
            return Some(Reason::NotInAudience);
        }
    }
    let traffic = settings.definition.traffic.get();
    let outside = traffic < 1.0 && settings.traffic.uniform(&token().to_bytes()) >= traffic;
    outside.then_some(Reason::NotInTraffic)
}

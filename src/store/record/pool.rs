//! Fits of all segments.

use bincode::{BorrowDecode, Encode};

use crate::domain::{GoalKind, Span, Timestamp};
use crate::engine::event::PoolFitted;
use crate::posterior::pooling::{Fit, Node};
use crate::store::record::Checked;
use crate::store::record::event::{StoredShares, experiment_key};

#[derive(Encode, BorrowDecode, PartialEq)]
pub(super) struct StoredPool {
    experiment: String,
    epoch: u32,
    definition: u32,
    at: u64,
    evidence: u64,
    effective: Option<u64>,
    half_life: Option<u64>,
    kind: StoredKind,
    base: f64,
    segment_sd: f64,
    deviation: f64,
    /// τ, its weight, effects, and the lower triangle of their covariance's factor.
    nodes: Vec<(f64, f64, Vec<f64>, Vec<f64>)>,
    unseen: StoredShares,
}

/// What rewards are.
#[derive(Encode, BorrowDecode, Clone, Copy, PartialEq)]
pub(super) enum StoredKind {
    Conversion,
    Revenue,
    Count,
}

impl From<GoalKind> for StoredKind {
    fn from(kind: GoalKind) -> Self {
        match kind {
            GoalKind::Conversion => Self::Conversion,
            GoalKind::Revenue => Self::Revenue,
            GoalKind::Count => Self::Count,
        }
    }
}

impl From<StoredKind> for GoalKind {
    fn from(stored: StoredKind) -> Self {
        match stored {
            StoredKind::Conversion => Self::Conversion,
            StoredKind::Revenue => Self::Revenue,
            StoredKind::Count => Self::Count,
        }
    }
}

impl From<&PoolFitted> for StoredPool {
    fn from(fitted: &PoolFitted) -> Self {
        let nodes = fitted.fit.nodes().iter();
        Self {
            experiment: fitted.experiment.to_string(),
            epoch: fitted.epoch,
            definition: fitted.definition,
            at: fitted.at.as_millis(),
            evidence: fitted.evidence,
            effective: fitted.effective,
            half_life: fitted.half_life.map(Span::as_millis),
            kind: fitted.fit.kind().into(),
            base: fitted.fit.base(),
            segment_sd: fitted.fit.segment_sd(),
            deviation: fitted.fit.deviation(),
            nodes: nodes.map(|node| (node.tau, node.weight, node.gamma.clone(), node.factor.clone())).collect(),
            unseen: (&fitted.unseen).into(),
        }
    }
}

impl TryFrom<StoredPool> for PoolFitted {
    type Error = String;

    fn try_from(stored: StoredPool) -> Checked<Self> {
        let nodes = stored.nodes.into_iter().map(|(tau, weight, gamma, factor)| Node { tau, weight, gamma, factor });
        let fit =
            Fit::from_parts(stored.kind.into(), stored.base, stored.segment_sd, stored.deviation, nodes.collect());
        Ok(Self {
            experiment: experiment_key(&stored.experiment)?,
            epoch: stored.epoch,
            definition: stored.definition,
            at: Timestamp::from_millis(stored.at),
            evidence: stored.evidence,
            effective: stored.effective,
            half_life: stored.half_life.map(Span::from_millis),
            fit: fit.ok_or("a fit whose parts do not fit together")?,
            unseen: stored.unseen.try_into()?,
        })
    }
}

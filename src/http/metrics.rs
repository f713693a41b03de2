//! `GET /metrics`: what the server does, in the text of OpenMetrics, for Prometheus and whatever reads it.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::HttpResponse;
use actix_web::web::Data;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::http::decide::reason;
use crate::http::problem::document::problems;
use crate::http::problem::{Kind, Problem};
use crate::http::roles::ROWS;
use crate::service::Service;
use crate::service::counts::Durations;
use crate::service::sample_ratio::ALARM;

/// How long requests took, by address.
#[derive(Debug)]
pub(crate) struct Latencies(Vec<(&'static str, Arc<Durations>)>);

impl Latencies {
    pub(crate) fn new() -> Self {
        let mut paths: Vec<&'static str> = ROWS.iter().map(|row| row.path).collect();
        paths.dedup();
        Self(paths.into_iter().map(|path| (path, Arc::default())).collect())
    }

    /// Those of an address.
    ///
    /// # Panics
    /// If it has no row in `http/roles.rs`.
    pub(crate) fn of(&self, path: &str) -> Arc<Durations> {
        let found = self.0.iter().find(|(known, _)| *known == path).map(|(_, durations)| durations);
        Arc::clone(found.unwrap_or_else(|| panic!("{path} has no row in http/roles.rs")))
    }
}

/// What the server does, for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "getMetrics",
    responses(
        (status = 200, description = "The text of OpenMetrics", body = String, content_type = "application/openmetrics-text"),
        MetricsProblems
    ),
)]
pub(crate) async fn metrics(service: Data<Service>, latencies: Data<Latencies>) -> Result<HttpResponse, Problem> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { service: service.into_inner(), latencies: latencies.into_inner() }));
    let mut text = String::with_capacity(16_384);
    encode(&mut text, &registry).map_err(|error| Problem::new(Kind::Unavailable, error))?;
    Ok(HttpResponse::Ok().content_type("application/openmetrics-text; version=1.0.0; charset=utf-8").body(text))
}

/// Reads everything off the service as it stands.
#[derive(Debug)]
struct Scrape {
    service: Arc<Service>,
    latencies: Arc<Latencies>,
}

type Encoded = Result<(), Error>;

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Encoded {
        let mut out = Out(&mut encoder);
        self.requests(&mut out)?;
        self.experiments(&mut out)?;
        self.writing(&mut out)
    }
}

impl Scrape {
    fn requests(&self, out: &mut Out<'_, '_>) -> Encoded {
        let counts = self.service.counts();
        let decisions = counts.decisions().map(|(why, count)| ([("reason", reason(why).to_owned())], count));
        out.counters("mabel_decisions", "Answered decisions by reason, explanations aside", decisions)?;
        let requests = self.latencies.0.iter().map(|(path, durations)| (Some(*path), &**durations));
        let seen = requests.filter(|(_, durations)| durations.seconds() > 0.0);
        out.histograms("mabel_http_request_seconds", "Time from a request's head to its answer, by address", seen)
    }

    fn experiments(&self, out: &mut Out<'_, '_>) -> Encoded {
        let experiments = self.service.engine().experiments();
        let mut rewards = Vec::new();
        for experiment in &experiments {
            let counts = experiment.reward_counts();
            let refused = self.service.refused(Some(experiment.key()));
            for (outcome, count) in [
                ("recorded", counts.recorded),
                ("repeated", counts.repeated),
                ("late", counts.late),
                ("amended", counts.amended),
                ("retracted", counts.retracted),
                ("refused", refused),
            ] {
                rewards.push(([("experiment", experiment.key().to_string()), ("outcome", outcome.to_owned())], count));
            }
        }
        out.counters(
            "mabel_rewards",
            "Rewards by outcome: refused since the start, others in all",
            rewards.into_iter(),
        )?;
        let unknown = [([("why", "receipt".to_owned())], self.service.refused(None))];
        out.counters("mabel_rewards_unattributed", "Rewards whose experiment could not be told", unknown.into_iter())?;
        let failed = experiments
            .iter()
            .map(|experiment| ([("experiment", experiment.key().to_string())], experiment.failed_conditions()));
        out.counters("mabel_failed_conditions", "Conditions that could not be decided", failed)?;
        let segments = experiments.iter().map(|experiment| {
            ([("experiment", experiment.key().to_string())], experiment.active().segments().len() as f64)
        });
        out.gauges("mabel_segments", "Segments of the current epoch", segments)?;
        let distances = self.service.counts().sample_ratios.distances();
        let z = distances.iter().map(|(key, distance)| ([("experiment", key.to_string())], *distance));
        out.gauges(
            "mabel_sample_ratio_z",
            "Largest distance of how often a variation is shown from what its propensities say, in standard errors",
            z,
        )?;
        let alarms = distances
            .iter()
            .map(|(key, distance)| ([("experiment", key.to_string())], f64::from(u8::from(*distance > ALARM))));
        out.gauges("mabel_sample_ratio_alarm", "1 where that distance is above 4", alarms)
    }

    fn writing(&self, out: &mut Out<'_, '_>) -> Encoded {
        let (service, counts) = (&self.service, self.service.counts());
        let ready = if service.health().failing() { 0.0 } else { 1.0 };
        out.gauge("mabel_ready", "1 while events can be recorded", ready)?;
        out.counter(
            "mabel_exposures_lost",
            "Answered exposures that could not be recorded",
            service.health().exposures_lost(),
        )?;
        out.gauge("mabel_queue_events", "Events that wait for a commit", service.waiting_events() as f64)?;
        out.gauge("mabel_queue_refreshes", "Allocations that wait to be computed", service.waiting_refreshes() as f64)?;
        out.counter("mabel_committed_events", "Events committed", counts.events.load(Ordering::Relaxed))?;
        let commits = std::iter::once((None, &counts.commits));
        out.histograms("mabel_commit_seconds", "Time of a commit: written, synced, applied, answered", commits)?;
        let refreshes = std::iter::once((None, &counts.refreshes));
        out.histograms(
            "mabel_refresh_seconds",
            "Age of an allocation when it is computed: from its being due",
            refreshes,
        )?;
        out.gauge("mabel_journal_head", "Number of the journal's newest block", service.journal_head() as f64)
    }
}

/// Where metrics are written, by kind.
struct Out<'o, 'e>(&'o mut DescriptorEncoder<'e>);

impl Out<'_, '_> {
    fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        write: impl FnOnce(MetricEncoder<'_>) -> Encoded,
    ) -> Encoded {
        write(self.0.encode_descriptor(name, help, None, kind)?)
    }

    fn counter(&mut self, name: &str, help: &str, count: u64) -> Encoded {
        self.family(name, help, MetricType::Counter, |mut out| out.encode_counter::<NoLabelSet, _, u64>(&count, None))
    }

    fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        counts: impl Iterator<Item = ([(&'static str, String); N], u64)>,
    ) -> Encoded {
        self.family(name, help, MetricType::Counter, |mut out| {
            for (labels, count) in counts {
                out.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
            Ok(())
        })
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> Encoded {
        self.family(name, help, MetricType::Gauge, |mut out| out.encode_gauge(&value))
    }

    fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = ([(&'static str, String); N], f64)>,
    ) -> Encoded {
        self.family(name, help, MetricType::Gauge, |mut out| {
            for (labels, value) in values {
                out.encode_family(&labels)?.encode_gauge(&value)?;
            }
            Ok(())
        })
    }

    fn histograms<'d>(
        &mut self,
        name: &str,
        help: &str,
        all: impl Iterator<Item = (Option<&'static str>, &'d Durations)>,
    ) -> Encoded {
        self.family(name, help, MetricType::Histogram, |mut out| {
            for (path, durations) in all {
                let buckets = durations.buckets();
                let count = buckets.iter().map(|(_, count)| count).sum();
                match path {
                    Some(path) => out.encode_family(&[("path", path)])?.encode_histogram::<NoLabelSet>(
                        durations.seconds(),
                        count,
                        &buckets,
                        None,
                    )?,
                    None => out.encode_histogram::<NoLabelSet>(durations.seconds(), count, &buckets, None)?,
                }
            }
            Ok(())
        })
    }
}

problems!(MetricsProblems: Unavailable);

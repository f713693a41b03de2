//! Spans, sent to an OpenTelemetry collector: OTLP in protobuf over HTTP, by a thread of its own with a bounded queue.
//!
//! Invariant: nothing waits for the collector but a stop, and that no longer than [`STOP_WITHIN`].

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mabel::service::spans::{Fact, Parent, Span, Tracer};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

/// How long a stop waits for what was not sent yet.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Most bytes of a collector's answer, of which only complaints are of interest.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Where spans go.
#[derive(Debug)]
pub(crate) struct Otlp {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Otlp {
    /// Begins to send to a collector, whose address is without `/v1/traces`. Whether it is there is found out by the first spans.
    ///
    /// # Errors
    /// In words, if the address is none.
    pub(crate) fn start(collector: &str, agent: ureq::Agent) -> Result<Arc<Self>, String> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client(agent))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", collector.trim_end_matches('/')))
            .build()
            .map_err(|error| error.to_string())?;
        let mut resource = Resource::builder();
        // OTEL_SERVICE_NAME is read by the builder, and would be written over.
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("mabel");
        }
        let resource = resource.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let tracer = provider.tracer_with_scope(InstrumentationScope::builder("mabel").build());
        Ok(Arc::new(Self { provider, tracer }))
    }

    /// Sends what waits; what ends later is dropped.
    pub(crate) fn stop(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(STOP_WITHIN) {
            tracing::warn!(%error, "some spans were not sent");
        }
    }
}

impl Tracer for Otlp {
    #[expect(
        clippy::disallowed_methods,
        reason = "collectors put spans in order by the wall clock; no event's time comes from it"
    )]
    fn ended(&self, span: &Span<'_>) {
        let end = SystemTime::now();
        let facts = span.facts.iter().map(|(name, fact)| match fact {
            Fact::Text(text) => KeyValue::new(*name, (*text).to_owned()),
            Fact::Number(number) => KeyValue::new(*name, i64::try_from(*number).unwrap_or(i64::MAX)),
        });
        let builder = SpanBuilder::from_name(span.name.to_owned())
            .with_kind(if span.served { SpanKind::Server } else { SpanKind::Internal })
            .with_start_time(end.checked_sub(span.took).unwrap_or(end))
            .with_attributes(facts);
        let parent =
            span.parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(context(parent)));
        let mut sent = self.tracer.build_with_context(builder, &parent);
        if span.failed {
            sent.set_status(Status::error(""));
        }
        sent.end_with_timestamp(end);
    }
}

fn context(Parent { trace, span, sampled }: Parent) -> SpanContext {
    let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    SpanContext::new(TraceId::from(trace), SpanId::from(span), flags, true, TraceState::default())
}

/// The client that is in the program already. It blocks, and so does the thread that sends: it does nothing else.
struct Client(ureq::Agent);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let answer = self.0.run(Request::from_parts(head, body.to_vec()))?;
        let (head, mut body) = answer.into_parts();
        let body = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        Ok(Response::from_parts(head, body.into()))
    }
}

impl HttpClient for Client {
    // As `async_trait` writes it.
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(ready(self.send(request)))
    }
}

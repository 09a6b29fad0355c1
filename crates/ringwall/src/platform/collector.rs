//! Sends spans to the collector that the manifests name.
//!
//! In: spans that wait in telemetry. Out: batches, posted from a thread of its own. Never: a wait for a call: while the
//! collector does not answer, the next try comes later and later, and what waits too long makes room for what is newer.

use super::dial::MeshResolve;
use ringwall_control::fetch::{FetchError, Fetcher};
use ringwall_manifest::istio::mesh_config::{Speaks, Tracing};
use ringwall_model::Millis;
use ringwall_telemetry::span::{self, Finished};
use ringwall_telemetry::{Posted, Telemetry};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Between two looks at what waits.
const EVERY: Duration = Duration::from_secs(1);
/// The longest between two tries.
const LATEST: Duration = Duration::from_secs(60);
/// Spans of one batch.
const BATCH: usize = 512;
/// For one batch.
const PATIENCE: Millis = Millis(5_000);
/// For the last batch, when the process ends.
const LAST: Millis = Millis(500);

/// The thread; dropping it ends it.
pub struct Collector {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Collector {
    /// Starts it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(telemetry: Arc<Telemetry>, resolve: MeshResolve) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("collector".into()).spawn(move || {
            let resolve = Arc::new(resolve);
            let mut sending = Sending { telemetry, resolve, fetcher: None, batch: Vec::new(), failing: None };
            runtime.block_on(sending.run(stopped));
            // A name that is still being resolved is nothing to wait for.
            runtime.shutdown_background();
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).unwrap_or(());
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or(());
        }
    }
}

struct Sending {
    telemetry: Arc<Telemetry>,
    resolve: Arc<MeshResolve>,
    /// Made with the first batch: it reads the system's roots.
    fetcher: Option<Fetcher>,
    /// What is being sent.
    batch: Vec<Finished>,
    /// The collector that failed last, so that it is said once.
    failing: Option<Arc<str>>,
}

impl Sending {
    async fn run(&mut self, mut stopped: oneshot::Receiver<()>) {
        let mut wait = EVERY;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = &mut stopped => break,
            }
            wait = tokio::select! {
                outcome = self.send(PATIENCE) => match outcome {
                    Ok(()) => EVERY,
                    Err(_) => (wait * 2).min(LATEST),
                },
                _ = &mut stopped => break,
            };
        }
        if self.failing.is_none() {
            // It is said already when this fails, and nobody could try again.
            let _ = self.send(LAST).await;
        }
    }

    /// Sends all that waits.
    async fn send(&mut self, patience: Millis) -> Result<(), FetchError> {
        let Some(tracing) = self.resolve.current.load().world.settings.tracing.clone() else {
            // What waits was meant for a collector that the World in force does not have.
            self.batch = self.telemetry.take_spans(usize::MAX);
            self.telemetry.posted(Posted::Refused, self.batch.len());
            self.batch.clear();
            return Ok(());
        };
        loop {
            if self.batch.is_empty() {
                self.batch = self.telemetry.take_spans(BATCH);
            }
            if self.batch.is_empty() {
                return Ok(());
            }
            let outcome = self.post(&tracing, patience).await;
            self.tell(&tracing.collector, outcome.as_ref().err());
            let became = match outcome {
                Ok(()) => Posted::Taken,
                // The same batch would be refused again; too many or too slow (RFC 6585, RFC 9110) may be taken later.
                Err(FetchError::Status(status @ 400..=499)) if !matches!(status, 408 | 429) => Posted::Refused,
                Err(error) => return Err(error),
            };
            self.telemetry.posted(became, self.batch.len());
            self.batch.clear();
        }
    }

    async fn post(&mut self, tracing: &Tracing, patience: Millis) -> Result<(), FetchError> {
        let body = match tracing.speaks {
            Speaks::Zipkin => span::zipkin(&self.batch),
            Speaks::Otlp => span::otlp(&self.batch),
        };
        let fetcher = self.fetcher.get_or_insert_with(|| Fetcher::new(self.resolve.clone()));
        fetcher.post(&tracing.collector, body.into(), patience).await
    }

    fn tell(&mut self, collector: &Arc<str>, error: Option<&FetchError>) {
        match error {
            Some(error) if self.failing.as_ref() != Some(collector) => {
                eprintln!("ringwall: spans are not sent, calls go on: {collector}: {error}");
                self.failing = Some(collector.clone());
            }
            None if self.failing.take().is_some() => eprintln!("ringwall: spans are sent again: {collector}"),
            _ => {}
        }
    }
}

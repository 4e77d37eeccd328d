//! Background jobs. One driver starts them, counts their runs, restarts those that panic, and ends them; the server lists them.

pub mod erasure;
pub mod key_usage;
mod pace;
pub mod search_index;
pub mod sweep;

use std::{pin::Pin, sync::Arc, time::Duration};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    clock::Clock,
    error::{Result, chain},
};

/// Pause before a job that panicked or ended is started again.
const RESTART: Duration = Duration::from_secs(1);
/// Maximum time for the last run of a job when the server stops.
const LAST_RUN: Duration = Duration::from_secs(2);

type Run<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A background job.
pub struct Job {
    name: &'static str,
    work: Work,
    runs_at_stop: bool,
}

enum Work {
    /// Runs, pauses, and runs again.
    Periodic(Duration, Box<dyn Fn() -> Run<Result<()>> + Send + Sync>),
    /// Runs until the server stops.
    Continuous(Box<dyn Fn() -> Run<()> + Send + Sync>),
}

impl Job {
    /// Runs after each pause of this length. A failed run is logged, and repeated after the next pause.
    pub fn periodic<F>(name: &'static str, pause: Duration, work: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        Self { name, work: Work::Periodic(pause, Box::new(move || Box::pin(work()))), runs_at_stop: false }
    }

    /// Runs without an end of its own.
    pub fn continuous<F>(name: &'static str, work: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { name, work: Work::Continuous(Box::new(move || Box::pin(work()))), runs_at_stop: false }
    }

    /// Runs the periodic job once more after the last call, so that it stores what the calls left behind.
    pub fn also_at_stop(self) -> Self {
        Self { runs_at_stop: true, ..self }
    }

    /// Runs the job until it ends, which only a continuous one may do.
    async fn run(self: Arc<Self>, counts: Counts) {
        match &self.work {
            Work::Continuous(work) => work().await,
            Work::Periodic(pause, work) => loop {
                sleep(*pause).await;
                self.run_once(work, &counts).await;
            },
        }
    }

    async fn run_once(&self, work: &(dyn Fn() -> Run<Result<()>> + Send + Sync), counts: &Counts) {
        let done = work().await;
        counts.count(self.name, if done.is_ok() { "completed" } else { "failed" });
        if let Err(error) = done {
            tracing::warn!(job = self.name, error = chain(&error), "a background job failed and will be retried");
        }
    }

    /// Runs the job, again and again if it panics.
    async fn drive(self: Arc<Self>, counts: Counts) {
        loop {
            // In a task of its own: a panic ends that task and not this one.
            let mut run = JoinSet::new();
            run.spawn(Arc::clone(&self).run(counts.clone()));
            let panicked = matches!(run.join_next().await, Some(Err(_)));
            counts.count(self.name, if panicked { "panicked" } else { "ended" });
            tracing::error!(job = self.name, panicked, "a background job ended and will be restarted");
            sleep(RESTART).await;
        }
    }
}

/// The metrics of all jobs.
#[derive(Clone)]
struct Counts {
    clock: Arc<dyn Clock>,
    runs: Family<[(&'static str, &'static str); 2], Counter>,
    completed: Family<[(&'static str, &'static str); 1], Gauge>,
}

impl Counts {
    fn count(&self, job: &'static str, outcome: &'static str) {
        self.runs.get_or_create(&[("job", job), ("outcome", outcome)]).inc();
        if outcome == "completed" {
            self.completed.get_or_create(&[("job", job)]).set(self.clock.now().as_micros() / 1_000_000);
        }
    }
}

/// The running jobs of a server. Dropping them aborts them.
pub struct Jobs {
    started: Vec<Arc<Job>>,
    tasks: JoinSet<()>,
    counts: Counts,
}

impl Jobs {
    /// No jobs yet.
    pub fn new(clock: Arc<dyn Clock>, registry: &mut Registry) -> Self {
        let counts = Counts { clock, runs: Family::default(), completed: Family::default() };
        let help = "Runs of background jobs, by outcome; a job that panicked or ended was restarted";
        registry.register("job_runs", help, counts.runs.clone());
        let help = "When a periodic job last completed, in seconds since 1970";
        registry.register("job_last_completed_seconds", help, counts.completed.clone());
        Self { started: Vec::new(), tasks: JoinSet::new(), counts }
    }

    /// Starts jobs.
    pub fn start(&mut self, jobs: Vec<Job>) {
        for job in jobs.into_iter().map(Arc::new) {
            self.tasks.spawn(Arc::clone(&job).drive(self.counts.clone()));
            self.started.push(job);
        }
    }

    /// Ends all jobs, and runs those once more that must run after the last call.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
        for job in self.started.iter().filter(|job| job.runs_at_stop) {
            let Work::Periodic(_, work) = &job.work else { continue };
            if tokio::time::timeout(LAST_RUN, job.run_once(work, &self.counts)).await.is_err() {
                tracing::warn!(job = job.name, "a background job did not complete its last run in time");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;
    use crate::{clock::SystemClock, error::Error};

    #[tokio::test(start_paused = true)]
    async fn a_job_that_panics_is_restarted_and_one_that_fails_is_retried_and_both_are_counted() {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let job = Job::periodic("odd", Duration::from_secs(1), move || {
            let run = counted.fetch_add(1, SeqCst);
            async move {
                match run {
                    0 => Err(Error::internal("not this time")),
                    1 => std::panic::resume_unwind(Box::new("out of order")),
                    _ => Ok(()),
                }
            }
        });
        let mut jobs = Jobs::new(Arc::new(SystemClock), &mut Registry::default());
        jobs.start(vec![job.also_at_stop()]);
        let count = |outcome| jobs.counts.runs.get_or_create(&[("job", "odd"), ("outcome", outcome)]).get();
        while count("completed") < 2 {
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!((count("failed"), count("panicked")), (1, 1));
        let before = runs.load(SeqCst);
        jobs.stop().await;
        assert_eq!(runs.load(SeqCst), before + 1, "it runs once more at the stop");
        sleep(Duration::from_mins(1)).await;
        assert_eq!(runs.load(SeqCst), before + 1, "and then no more");
    }
}

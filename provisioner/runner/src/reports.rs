use crate::{
    agent::Agent,
    endpoint::{CallError, Endpoint},
    log::Log,
    patience::Patience,
    usage::Meter,
};
use nix::sys::signal::Signal;
use std::{
    io,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

/// Tells Warren that the agent lives, on a thread, and obeys when it wants the agent to stop.
#[derive(Debug)]
pub(crate) struct Reports {
    over: Arc<(Mutex<bool>, Condvar)>,
    thread: JoinHandle<Meter>,
}

/// What the thread needs.
pub(crate) struct Reporter {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) patience: Arc<Patience>,
    pub(crate) agent: Arc<Agent>,
    pub(crate) log: Arc<Log>,
    pub(crate) process: i32,
}

impl Reports {
    const HEARTBEAT: Duration = Duration::from_secs(5);
    /// After so many refusals the run is over for Warren, and another one may be at work: the agent has
    /// to end. A single one may come from a database that lags behind.
    const REFUSALS: u32 = 2;

    pub(crate) fn start(reporter: Reporter, meter: Meter) -> io::Result<Self> {
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let until = Arc::clone(&over);
        let thread = thread::Builder::new()
            .name("reports".to_owned())
            .spawn(move || reporter.report(meter, &until))?;
        Ok(Self { over, thread })
    }

    /// Ends the reports. By then Warren knows that the agent was started, if it can be reached.
    pub(crate) fn finish(self) -> Option<Meter> {
        *self.over.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.over.1.notify_all();
        self.thread.join().ok()
    }
}

impl Reporter {
    fn report(self, mut meter: Meter, over: &(Mutex<bool>, Condvar)) -> Meter {
        let started = self.patience.persist(|| self.endpoint.started(self.process));
        if let Err(error) = started {
            eprintln!("warren-runner: the start was not reported: {error}");
        }
        let mut is_stopping = false;
        let mut refusals = 0;
        loop {
            let is_over = over.0.lock().unwrap_or_else(PoisonError::into_inner);
            let waited =
                over.1.wait_timeout_while(is_over, Reports::HEARTBEAT, |is_over| !*is_over);
            if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                return meter;
            }
            let usage = meter.sample(None);
            if self.patience.is_over() && refusals == 0 || refusals >= Reports::REFUSALS {
                continue;
            }
            match self.endpoint.heartbeat(&usage, self.log.missing_lines()) {
                Ok(true) if !is_stopping => {
                    is_stopping = true;
                    self.agent.terminate(Signal::SIGTERM);
                }
                Err(CallError::Unauthorized) => {
                    self.patience.end_in(Duration::ZERO);
                    refusals += 1;
                    if refusals == Reports::REFUSALS {
                        eprintln!("warren-runner: the run is over for Warren; its agent is ended");
                        self.agent.terminate(Signal::SIGTERM);
                    }
                }
                // The next one is soon.
                Ok(_) | Err(_) => {}
            }
        }
    }
}

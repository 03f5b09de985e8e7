//! The life of one run, from the manifest to the last report.

use crate::{
    agent::{Agent, End, How, Pipes},
    artifacts,
    endpoint::{CallError, Endpoint, Exited, Manifest},
    gate::{self, GateError, Limits},
    inputs::{self, InputError},
    log::Log,
    patience::Patience,
    reports::{Reporter, Reports},
    settings::{Settings, SettingsError},
    signals,
    usage::{self, Meter, Usage},
};
use std::{
    ffi::{OsStr, OsString},
    io,
    process::ExitCode,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

/// How long Warren may be away before the agent is started.
const START_PATIENCE: Duration = Duration::from_mins(1);
/// How long Warren may be away when all that is left is to report.
const END_PATIENCE: Duration = Duration::from_mins(15);
/// How long processes that the agent left may hold its output open.
const PIPE_PATIENCE: Duration = Duration::from_secs(2);

/// `EX_DATAERR` of sysexits.h.
const EXIT_INPUT: i32 = 65;
/// What shells return for a program that is there and cannot be started.
const EXIT_NOT_EXECUTABLE: i32 = 126;
/// What shells return for a program that is not there.
const EXIT_NOT_FOUND: i32 = 127;

/// Why the run ended before there was anything to report.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("{0}")]
    Settings(#[from] SettingsError),
    #[error("cannot take signals or start threads: {0}")]
    System(#[from] io::Error),
    #[error("the certificate of the run authority is not usable: {0}")]
    Authority(ureq::Error),
    #[error("{0}")]
    Gate(#[from] GateError),
    #[error("{0}")]
    Call(#[from] CallError),
}

impl StartError {
    /// A code of sysexits.h.
    const fn exit_code(&self) -> u8 {
        const UNAVAILABLE: u8 = 70;
        const POD: u8 = 71;
        const PERMISSION: u8 = 77;
        const GATE: u8 = 78;
        match self {
            Self::Settings(_) | Self::System(_) | Self::Authority(_) => POD,
            Self::Gate(GateError::Open { .. }) => GATE,
            Self::Call(CallError::Unauthorized) => PERMISSION,
            Self::Gate(GateError::Away { .. }) | Self::Call(_) => UNAVAILABLE,
        }
    }
}

/// Runs the agent and returns what it returned.
pub(crate) fn run(program: &OsStr, arguments: &[OsString]) -> ExitCode {
    let outcome = Run::prepare().and_then(|run| run.go(program, arguments));
    ExitCode::from(outcome.unwrap_or_else(|error| {
        eprintln!("warren-runner: {error}");
        error.exit_code()
    }))
}

/// A run whose Warren is known.
struct Run {
    settings: Settings,
    manifest: Manifest,
    endpoint: Arc<Endpoint>,
    patience: Arc<Patience>,
    agent: Arc<Agent>,
    log: Arc<Log>,
    sender: JoinHandle<u64>,
    /// Before the agent's start.
    out_of_memory_kills: u64,
}

impl Run {
    fn prepare() -> Result<Self, StartError> {
        let settings = Settings::read()?;
        let agent = Arc::new(Agent::default());
        // As process 1 of the container it has them anyway: orphans are ours to wait for.
        nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from)?;
        // The agent is the same user: what this process has open and in memory is not for it (proc(5)).
        nix::sys::prctl::set_dumpable(false).map_err(io::Error::from)?;
        signals::watch(Arc::clone(&agent))?;
        let endpoint = Arc::new(Endpoint::new(&settings).map_err(StartError::Authority)?);
        let patience = Arc::new(Patience::default());
        patience.end_in(START_PATIENCE);
        let manifest = patience.persist(|| endpoint.manifest())?;
        // Before the agent's start, so that it never sees the file.
        let log = Arc::new(Log::new(&settings.outputs));
        let sending = (Arc::clone(&log), Arc::clone(&endpoint), Arc::clone(&patience));
        let sender = thread::Builder::new().name("log".to_owned()).spawn(move || {
            let (log, endpoint, patience) = sending;
            log.send_all(|lines, are_last_words| {
                patience.persist(|| endpoint.logs(lines, are_last_words))
            })
        })?;
        let out_of_memory_kills = usage::out_of_memory_kills();
        Ok(Self { settings, manifest, endpoint, patience, agent, log, sender, out_of_memory_kills })
    }

    fn go(self, program: &OsStr, arguments: &[OsString]) -> Result<u8, StartError> {
        if self.manifest.stop {
            self.log.note("the session was stopped before its agent was started");
            return Ok(self.conclude_early(nix::sys::signal::SIGTERM as i32 + 128));
        }
        // With a manifest in hand: a gate that was found shut before it came may have been shut by a
        // Warren that was ending.
        gate::pass(self.settings.endpoint, self.settings.gate, Limits::default())?;
        let path = &self.settings.manifest;
        match inputs::fetch(&self.endpoint, &self.patience, &self.manifest, path) {
            Ok(()) => {}
            Err(InputError::Call {
                source: error @ (CallError::Away(_) | CallError::Unauthorized),
                ..
            }) => return Err(error.into()),
            Err(error) => {
                self.log.note(&format!("{error}; the agent was not started"));
                return Ok(self.conclude_early(EXIT_INPUT));
            }
        }
        let meter = Meter::start();
        let grace = Duration::from_secs(self.manifest.grace_period_seconds);
        match self.agent.start(program, arguments, &self.log, &self.settings.secrets, grace) {
            Ok((process, pipes)) => self.accompany(process.as_raw(), &pipes, meter),
            Err(error) => {
                self.agent.signal(nix::sys::signal::SIGKILL);
                let is_missing = error.kind() == io::ErrorKind::NotFound;
                let code = if is_missing { EXIT_NOT_FOUND } else { EXIT_NOT_EXECUTABLE };
                let program = program.display();
                self.log.note(&format!("the program {program} cannot be started: {error}"));
                Ok(self.conclude_early(code))
            }
        }
    }

    /// From the agent's start to the end of everything.
    fn accompany(self, process: i32, pipes: &Pipes, meter: Meter) -> Result<u8, StartError> {
        self.patience.endless();
        let reporter = Reporter {
            endpoint: Arc::clone(&self.endpoint),
            patience: Arc::clone(&self.patience),
            agent: Arc::clone(&self.agent),
            log: Arc::clone(&self.log),
            process,
        };
        let reports = Reports::start(reporter, meter)?;
        let end = self.agent.wait();
        if !self.agent.wait_for_pipes(PIPE_PATIENCE) {
            pipes.finish(&self.log);
            self.log.note("processes that the agent left behind are ended");
        }
        Agent::sweep();
        if !self.patience.is_over() {
            self.patience.end_in(END_PATIENCE);
        }
        artifacts::send_all(&self.endpoint, &self.patience, &self.log, &self.settings.outputs);
        let usage = reports.finish().map(|mut meter| meter.sample(Some(end.at)));
        Ok(self.conclude(end, usage.unwrap_or_default()))
    }

    fn conclude_early(self, code: i32) -> u8 {
        let end = self.agent.give_up(code);
        self.patience.end_in(START_PATIENCE);
        self.conclude(end, Usage::default())
    }

    /// The rest of the log, and how the agent ended.
    fn conclude(self, end: End, usage: Usage) -> u8 {
        let out_of_memory = usage::out_of_memory_kills() > self.out_of_memory_kills;
        if out_of_memory {
            self.log.note("the memory limit was reached: the kernel ended processes of the agent");
        }
        self.log.close();
        let last_line = self.sender.join().unwrap_or(0);
        let (code, signal) = match end.how {
            How::Code(code) => (Some(code), None),
            How::Signal(signal) => (None, Some(signal)),
        };
        let exited = Exited {
            code,
            signal,
            was_terminated: end.was_terminated,
            out_of_memory,
            last_line,
            missing_lines: self.log.missing_lines(),
            usage,
        };
        if let Err(error) = self.patience.persist(|| self.endpoint.exited(&exited)) {
            eprintln!("warren-runner: the end was not reported: {error}");
        }
        end.how.exit_code()
    }
}

//! The agent's process, with everything that it leaves behind.

use crate::{
    lines::Splitter,
    log::{Log, Stream},
    mask::{Masker, Secrets},
    settings, usage,
};
use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill, killpg},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{
    ffi::{OsStr, OsString},
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// The agent, from before its start until after its end.
#[derive(Debug, Default)]
pub(crate) struct Agent {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    was_terminated: bool,
    /// How long the agent has to end once it was told to.
    grace: Duration,
    /// Of the two pipes, how many have not come to their end.
    open_pipes: u8,
}

#[derive(Debug, Default, Clone, Copy)]
enum Phase {
    #[default]
    Waiting,
    Running(Pid),
    Ended(End),
}

/// How the agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) how: How,
    pub(crate) at: Instant,
    /// Whether this program was told to end before the agent ended.
    pub(crate) was_terminated: bool,
}

/// In which way the agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Code(i32),
    Signal(i32),
}

/// The agent's output, read by threads of their own.
#[derive(Debug)]
pub(crate) struct Pipes {
    out: Arc<Mutex<Splitter>>,
    err: Arc<Mutex<Splitter>>,
}

impl How {
    /// What a shell would report.
    pub(crate) fn exit_code(self) -> u8 {
        let code = match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        };
        u8::try_from(code & 0xff).unwrap_or(u8::MAX)
    }
}

impl Agent {
    /// Starts the agent in a process group of its own.
    ///
    /// # Errors
    /// Those of fork and exec.
    pub(crate) fn start(
        self: &Arc<Self>,
        program: &OsStr,
        arguments: &[OsString],
        log: &Arc<Log>,
        secrets: &Secrets,
        grace: Duration,
    ) -> io::Result<(Pid, Pipes)> {
        let mut command = Command::new(program);
        command.args(arguments);
        for kept in [settings::ENDPOINT, settings::GATE, settings::SECRETS] {
            command.env_remove(kept);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        // Held over the start: nobody may wait for the process before it is known.
        let mut state = self.lock();
        let mut child = command.spawn()?;
        let id = Pid::from_raw(child.id().cast_signed());
        state.phase = Phase::Running(id);
        state.open_pipes = 2;
        state.grace = grace;
        drop(state);
        let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(io::Error::other("its outputs are not pipes"));
        };
        let out = self.follow(out, io::stdout(), Stream::Out, log, secrets)?;
        let err = self.follow(err, io::stderr(), Stream::Err, log, secrets)?;
        Ok((id, Pipes { out, err }))
    }

    /// Says that there never was a process.
    pub(crate) fn give_up(&self, code: i32) -> End {
        let mut state = self.lock();
        let was_terminated = state.was_terminated;
        let end = End { how: How::Code(code), at: Instant::now(), was_terminated };
        state.phase = Phase::Ended(end);
        end
    }

    /// Waits for the agent's end.
    pub(crate) fn wait(&self) -> End {
        let mut state = self.lock();
        loop {
            if let Phase::Ended(end) = state.phase {
                return end;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until both pipes have come to their end; whether they have.
    pub(crate) fn wait_for_pipes(&self, time: Duration) -> bool {
        let state = self.lock();
        let is_open = |state: &mut State| state.open_pipes > 0;
        let waited = self.changed.wait_timeout_while(state, time, is_open);
        waited.unwrap_or_else(PoisonError::into_inner).0.open_pipes == 0
    }

    /// Passes a signal on that this program was sent, and ends an agent that does not end within its
    /// grace period: there is time left to tell how it ended. False if there is nobody to pass it to.
    pub(crate) fn terminate(self: &Arc<Self>, signal: Signal) -> bool {
        let mut state = self.lock();
        match state.phase {
            Phase::Waiting => false,
            Phase::Running(id) => {
                let is_first = !state.was_terminated;
                state.was_terminated = true;
                let _gone = killpg(id, signal);
                if is_first {
                    let (agent, grace) = (Arc::clone(self), state.grace);
                    let kill = move || {
                        let runs = |state: &mut State| matches!(state.phase, Phase::Running(_));
                        drop(agent.changed.wait_timeout_while(agent.lock(), grace, runs));
                        agent.signal(Signal::SIGKILL);
                    };
                    // Without a thread it is ended with its container.
                    drop(thread::Builder::new().name("grace".to_owned()).spawn(kill));
                }
                true
            }
            Phase::Ended(_) => true,
        }
    }

    /// Sends a signal to the agent's process group, if the agent runs.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Phase::Running(id) = self.lock().phase {
            let _gone = killpg(id, signal);
        }
    }

    /// Waits for all children that have ended: the agent, and orphans that became ours.
    pub(crate) fn reap(&self) {
        let mut state = self.lock();
        loop {
            let (id, how) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(id, code)) => (id, How::Code(code)),
                Ok(WaitStatus::Signaled(id, signal, _)) => (id, How::Signal(signal as i32)),
                Err(Errno::EINTR) => continue,
                Ok(_) | Err(_) => return,
            };
            if matches!(state.phase, Phase::Running(agent) if agent == id) {
                let was_terminated = state.was_terminated;
                state.phase = Phase::Ended(End { how, at: Instant::now(), was_terminated });
                self.changed.notify_all();
            }
        }
    }

    /// Ends every process that the agent has left, so that nothing changes any more.
    pub(crate) fn sweep() {
        for id in usage::left_behind() {
            let _gone = kill(Pid::from_raw(id), Signal::SIGKILL);
        }
    }

    /// Reads a pipe to its end, on a thread: lines to the log, bytes to this program's own output.
    fn follow(
        self: &Arc<Self>,
        mut pipe: impl Read + Send + 'static,
        mut copy: impl Write + Send + 'static,
        stream: Stream,
        log: &Arc<Log>,
        secrets: &Secrets,
    ) -> io::Result<Arc<Mutex<Splitter>>> {
        let mut masker = Masker::new(secrets.clone());
        let splitter = Arc::new(Mutex::new(Splitter::default()));
        let (agent, log, lines) = (Arc::clone(self), Arc::clone(log), Arc::clone(&splitter));
        let read = move || {
            let mut buffer = vec![0; 64 << 10];
            loop {
                match pipe.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => {
                        let bytes = masker.feed(&buffer[..count]);
                        log.write(stream, &mut locked(&lines), &bytes);
                        // The pod's own log is a second copy: without a reader it is lost.
                        drop(copy.write_all(&bytes).and_then(|()| copy.flush()));
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            let rest = masker.finish();
            log.write(stream, &mut locked(&lines), &rest);
            drop(copy.write_all(&rest).and_then(|()| copy.flush()));
            log.finish(stream, &mut locked(&lines));
            agent.lock().open_pipes -= 1;
            agent.changed.notify_all();
        };
        thread::Builder::new().name("pipe".to_owned()).spawn(read)?;
        Ok(splitter)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl Pipes {
    /// Hands out unfinished lines, when nobody waits for their end any more.
    pub(crate) fn finish(&self, log: &Log) {
        log.finish(Stream::Out, &mut locked(&self.out));
        log.finish(Stream::Err, &mut locked(&self.err));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

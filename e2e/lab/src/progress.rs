//! What the user sees of long work: one line per step, with the time since the start.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Work that takes longer than this is announced.
const QUIET: Duration = Duration::from_secs(2);
/// How often work that goes on is mentioned again.
const REMIND: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(250);

/// Prints steps to standard error.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    tasks: Mutex<BTreeMap<u64, Running>>,
}

#[derive(Debug)]
struct Running {
    name: String,
    start: Instant,
    mentioned: Option<Instant>,
}

/// Ends its task when dropped.
#[derive(Debug)]
pub(crate) struct Task {
    shared: Arc<Shared>,
    id: u64,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let shared = Arc::new(Shared { start: Instant::now(), tasks: Mutex::default() });
        let watched = Arc::downgrade(&shared);
        std::thread::spawn(move || remind(&watched));
        Self { shared }
    }

    /// Prints one line with the time since the start.
    pub(crate) fn say(&self, text: impl std::fmt::Display) {
        self.shared.say(&text.to_string());
    }

    /// Begins work that is mentioned only if it takes long.
    pub(crate) fn task(&self, name: impl Into<String>) -> Task {
        let mut tasks = self.shared.tasks();
        let id = tasks.last_key_value().map_or(0, |(id, _)| id + 1);
        tasks.insert(id, Running { name: name.into(), start: Instant::now(), mentioned: None });
        Task { shared: Arc::clone(&self.shared), id }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let ended = self.shared.tasks().remove(&self.id);
        if let Some(Running { name, start, mentioned: Some(_) }) = ended {
            self.shared.say(&format!("{name}: {:.1} s", start.elapsed().as_secs_f64()));
        }
    }
}

impl Shared {
    fn say(&self, text: &str) {
        // Nobody may be reading any more; the work goes on.
        let seconds = self.start.elapsed().as_secs_f64();
        let _ = writeln!(std::io::stderr(), "{seconds:7.1} s  {text}");
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<u64, Running>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remind(watched: &Weak<Shared>) {
    loop {
        std::thread::park_timeout(TICK);
        let Some(shared) = watched.upgrade() else { return };
        for task in shared.tasks().values_mut() {
            let due = match task.mentioned {
                None => task.start.elapsed() >= QUIET,
                Some(last) => last.elapsed() >= REMIND,
            };
            if due {
                let so_far = task.start.elapsed().as_secs();
                shared.say(&format!("{} … ({so_far} s so far)", task.name));
                task.mentioned = Some(Instant::now());
            }
        }
    }
}

use super::*;
use domain::{Drain, DrainEnd, sample};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("an instant in 2027")
}

/// 60 s of time, 10 s of grace; accepted at 0.
fn session(state: SessionState) -> Session {
    let begun = state != SessionState::Queued;
    Session {
        created_at: at(0),
        starting_at: begun.then(|| at(0)),
        running_at: (state == SessionState::Running).then(|| at(1)),
        stop_requested_at: (state == SessionState::Stopping).then(|| at(5)),
        ..sample::session(state)
    }
}

fn run(job_created_at: Option<Timestamp>) -> Run {
    Run { created_at: at(0), job_created_at, ..sample::run() }
}

struct Case {
    state: SessionState,
    run: Run,
    job: JobState,
    second: i64,
    is_ready: bool,
    has_slot: bool,
    last: Option<i64>,
    listening_since: i64,
    retry_at: Option<i64>,
}

impl Case {
    fn new(state: SessionState, job: JobState, second: i64) -> Self {
        let run = run(Some(at(0)));
        Self {
            state,
            run,
            job,
            second,
            is_ready: true,
            has_slot: true,
            last: None,
            listening_since: 0,
            retry_at: None,
        }
    }

    fn decide(&self) -> Todo {
        let session = Session { retry_at: self.retry_at.map(at), ..session(self.state) };
        let known = Known {
            run: Some(&self.run),
            job: &self.job,
            now: at(self.second),
            listening_since: at(self.listening_since),
            is_ready: self.is_ready,
            has_slot: self.has_slot,
            last: self.last.map(at),
        };
        decide(&session, &known)
    }
}

const THERE: JobState = JobState::Active { is_going: false };
const GOING: JobState = JobState::Active { is_going: true };

#[test]
fn a_queued_session_waits_for_its_tenant_and_for_a_slot() {
    let mut case = Case::new(SessionState::Queued, JobState::Unknown, 0);
    case.run.settled_at = Some(at(0));
    assert_eq!(case.decide(), Todo::Submit);
    case.has_slot = false;
    assert_eq!(case.decide(), Todo::Wait(None));
    case.has_slot = true;
    case.is_ready = false;
    assert_eq!(case.decide(), Todo::Wait(None));
}

#[test]
fn a_run_whose_job_was_not_noted_is_taken_up_again() {
    let mut case = Case::new(SessionState::Starting, JobState::Absent, 1);
    case.run = run(None);
    assert_eq!(case.decide(), Todo::Resume);
    case.is_ready = false;
    assert_eq!(case.decide(), Todo::Wait(Some(at(100))));
}

#[test]
fn an_agent_that_does_not_start_is_looked_at_every_ten_seconds() {
    let mut case = Case::new(SessionState::Starting, THERE, 9);
    assert_eq!(case.decide(), Todo::Wait(Some(at(10))));
    case.second = 10;
    assert_eq!(case.decide(), Todo::Look);
    case.last = Some(10);
    assert_eq!(case.decide(), Todo::Wait(Some(at(20))));
}

#[test]
fn a_running_session_is_left_alone_until_its_time_is_over() {
    let mut case = Case::new(SessionState::Running, THERE, 95);
    case.run.heartbeat_at = Some(at(94));
    // Running since second 1, and 60 + 10 + 30 seconds.
    assert_eq!(case.decide(), Todo::Wait(Some(at(101))));
    case.second = 101;
    for job in [THERE, JobState::Unknown, JobState::Absent] {
        case.job = job;
        assert_eq!(case.decide(), Todo::TimeOut, "whatever the cluster says");
    }
}

#[test]
fn a_runner_that_is_not_heard_of_is_looked_for_again_and_again() {
    let mut case = Case::new(SessionState::Running, THERE, 20);
    case.run.heartbeat_at = Some(at(19));
    assert_eq!(case.decide(), Todo::Wait(Some(at(31))));
    case.second = 31;
    assert_eq!(case.decide(), Todo::Listen { since: at(19) });
    case.last = Some(31);
    assert_eq!(case.decide(), Todo::Wait(Some(at(34))));
    case.second = 34;
    assert_eq!(case.decide(), Todo::Listen { since: at(19) });
    case.listening_since = 30;
    assert_eq!(case.decide(), Todo::Wait(Some(at(42))), "nobody was heard before that");
    case.run.heartbeat_at = Some(at(33));
    assert_eq!(case.decide(), Todo::Wait(Some(at(45))), "it is back");
}

#[test]
fn the_next_run_waits_for_the_end_of_the_last_one_and_for_its_time() {
    let mut case = Case::new(SessionState::Queued, JobState::Unknown, 10);
    case.run.ended_at = Some(at(9));
    assert_eq!(case.decide(), Todo::Settle);
    case.last = Some(10);
    assert_eq!(case.decide(), Todo::Wait(Some(at(12))));
    case.run.settled_at = Some(at(10));
    case.retry_at = Some(20);
    assert_eq!(case.decide(), Todo::Wait(Some(at(20))));
    case.second = 20;
    assert_eq!(case.decide(), Todo::Submit);
}

#[test]
fn a_process_that_is_over_ends_a_session_whose_job_does_not_notice() {
    let mut case = Case::new(SessionState::Running, THERE, 29);
    case.run.exited_at = Some(at(20));
    assert_eq!(case.decide(), Todo::Wait(Some(at(30))));
    case.second = 30;
    assert_eq!(case.decide(), Todo::Over);
    case.job = JobState::Unknown;
    assert_eq!(case.decide(), Todo::Wait(Some(at(101))), "the Job may know better");
}

#[test]
fn a_finished_job_ends_its_session() {
    let mut case = Case::new(SessionState::Running, JobState::Complete { seen: at(20) }, 24);
    assert_eq!(case.decide(), Todo::Wait(Some(at(25))), "the runner's report may still come");
    case.second = 25;
    assert_eq!(case.decide(), Todo::SucceedUnreported);
    let (reason, message) = ("BackoffLimitExceeded".to_owned(), "m".to_owned());
    case.job = JobState::Failed { reason: reason.clone(), message: message.clone() };
    assert_eq!(case.decide(), Todo::Judge { reason, message });
    case.job = JobState::Absent;
    assert_eq!(case.decide(), Todo::Gone);
    case.job = JobState::Unknown;
    assert_eq!(case.decide(), Todo::Wait(Some(at(101))), "not knowing is not absence");
}

#[test]
fn a_stop_deletes_the_job_and_then_asks_the_host_until_it_is_proven() {
    // Asked at second 5 with 10 s of grace.
    let mut case = Case::new(SessionState::Stopping, THERE, 6);
    assert_eq!(case.decide(), Todo::Stop);
    case.last = Some(6);
    case.job = GOING;
    assert_eq!(case.decide(), Todo::Wait(Some(at(22))));
    case.second = 22;
    assert_eq!(case.decide(), Todo::Prove { is_late: false });
    case.last = None;
    assert_eq!(
        case.decide(),
        Todo::Prove { is_late: false },
        "though the Job could not be deleted"
    );
    case.last = Some(22);
    // After a tenth of the time that has gone by, or when the token has to be dead.
    case.last = Some(23);
    assert_eq!(case.decide(), Todo::Wait(Some(at(24))));
    case.second = 24;
    assert_eq!(case.decide(), Todo::Prove { is_late: true }, "its token dies by now");
    (case.second, case.last) = (7_205, Some(7_180));
    assert_eq!(case.decide(), Todo::Wait(Some(at(7_210))), "it never gives up");
}

#[test]
fn a_stop_is_proven_as_soon_as_the_job_is_over() {
    let failed = JobState::Failed { reason: String::new(), message: String::new() };
    for job in [JobState::Absent, JobState::Complete { seen: at(6) }, failed] {
        let mut case = Case::new(SessionState::Stopping, job, 7);
        assert_eq!(case.decide(), Todo::Prove { is_late: false });
        case.last = Some(7);
        assert_eq!(case.decide(), Todo::Wait(Some(at(8))));
    }
}

#[test]
fn a_job_that_may_have_been_made_unnoticed_is_deleted_when_its_session_is_stopped() {
    let mut case = Case::new(SessionState::Stopping, JobState::Unknown, 6);
    case.run = run(None);
    assert_eq!(case.decide(), Todo::Stop);
}

#[test]
fn a_run_whose_node_is_emptied_is_told_to_end_and_is_over_after_its_grace_period() {
    let drain = Drain { at: at(20), ..sample::drain(DrainEnd::Restart) };
    for state in [SessionState::Starting, SessionState::Running] {
        let mut case = Case::new(state, THERE, 20);
        case.run.drain = Some(drain.clone());
        case.run.heartbeat_at = Some(at(19));
        case.last = Some(12);
        assert_eq!(case.decide(), Todo::Leave);
        case.last = Some(20);
        assert_eq!(case.decide(), Todo::Wait(Some(at(23))), "it is told again if it does not go");
        case.job = GOING;
        assert_eq!(case.decide(), Todo::Wait(Some(at(39))), "10 s of grace, and 9");
        for job in [THERE, GOING, JobState::Unknown] {
            (case.job, case.second) = (job, 39);
            assert_eq!(case.decide(), Todo::Drained, "whatever the cluster says");
        }
        case.job = JobState::Absent;
        assert_eq!(case.decide(), Todo::Gone);
    }
}

#[test]
fn nothing_is_done_about_a_session_that_is_over() {
    for state in SessionState::ALL.into_iter().filter(|state| state.is_final()) {
        assert_eq!(Case::new(state, THERE, 10_000).decide(), Todo::Wait(None), "{state}");
    }
}

//! What tests begin with, here and in other crates: a session and its run, and a change of plan,
//! of which each test changes what it is about.

use crate::{
    Capacity, Drain, DrainEnd, OnDrain, OperationId, OperationKind, PlanPreview, ProjectName,
    Resources, RetryPolicy, Run, RunId, Session, SessionId, SessionSpec, SessionState,
    Subscription, Survey, TenantId, VolumesDuringMove,
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use uuid::Uuid;

/// An agent with the least that is needed: 60 s of time, 10 s of grace.
#[must_use]
pub fn spec() -> SessionSpec {
    SessionSpec {
        project: ProjectName::standard(),
        image: "registry.example/agent:1".to_owned(),
        command: vec!["/agent".to_owned()],
        args: Vec::new(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        inputs: Vec::new(),
        resources: Resources::default(),
        run_as_user: SessionSpec::STANDARD_USER,
        timeout_seconds: 60,
        grace_period_seconds: 10,
        labels: BTreeMap::new(),
        retry: RetryPolicy::none(),
        on_drain: OnDrain::Wait,
        result_schema: None,
    }
}

/// A session with [`spec`] that was accepted at the epoch; one that is not queued has [`run`].
#[must_use]
pub fn session(state: SessionState) -> Session {
    Session {
        id: SessionId::new(Uuid::from_u128(1)),
        tenant: TenantId::new(Uuid::from_u128(2)),
        spec: spec(),
        state,
        cause: None,
        revision: 2,
        run: (state != SessionState::Queued).then(|| run().id),
        retry_at: None,
        created_at: Timestamp::UNIX_EPOCH,
        starting_at: None,
        running_at: None,
        stop_requested_at: None,
        finished_at: None,
        log_removed_at: None,
        files_removed_at: None,
    }
}

/// The first run of [`session`], whose Job is not made yet.
#[must_use]
pub fn run() -> Run {
    Run {
        id: RunId::new(Uuid::from_u128(3)),
        session: SessionId::new(Uuid::from_u128(1)),
        tenant: TenantId::new(Uuid::from_u128(2)),
        attempt: 1,
        resources: spec().resources,
        created_at: Timestamp::UNIX_EPOCH,
        job_created_at: None,
        started_at: None,
        heartbeat_at: None,
        exited_at: None,
        exit: None,
        usage: None,
        next_log_line: 1,
        lines_before: 0,
        log_bytes: 0,
        log_bytes_before: 0,
        log_full_at: None,
        log_missing_lines: 0,
        ended_at: None,
        cause: None,
        drain: None,
        settled_at: None,
    }
}

/// The order that ends [`run`] because its node is stopped.
#[must_use]
pub fn drain(end: DrainEnd) -> Drain {
    Drain {
        at: Timestamp::UNIX_EPOCH,
        operation: OperationId::new(Uuid::from_u128(9)),
        kind: OperationKind::NodeStop,
        node: "w-1".to_owned(),
        end,
    }
}

/// A change of plan that costs nothing, moves nobody, and that nothing is in the way of.
#[must_use]
pub fn preview(from: Subscription, to: Subscription) -> PlanPreview {
    PlanPreview {
        from,
        to,
        price_delta: 0,
        machines_made: 0,
        machines_freed: 0,
        restarts: true,
        api_away: None,
        survey: Survey::default(),
        sessions: Vec::new(),
        moved_sessions: Vec::new(),
        capacity: Capacity::default(),
        volumes: VolumesDuringMove::Stop,
        blockers: Vec::new(),
    }
}

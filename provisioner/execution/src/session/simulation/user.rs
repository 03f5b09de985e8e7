//! What users ask of Warren, and what runners tell it.

use super::{
    ground::{Ground, Killed},
    history::{History, alive},
    process::{Call, Heard, Process},
};
use application::{
    App,
    log::{LinePart, LogLine, LogStream},
    run::{self, AppendError, Caller, Report, RunError},
};
use bytes::Bytes;
use domain::{
    Actor, Authorized, ConditionKind, ConditionStatus, Conditions, CreateSession, CreateTenant,
    Digest, FailureClass, OnDrain, PlanName, RetryPolicy, RetryRule, Role, Scope, SessionId,
    SessionSpec, StopSession, TenantId, TenantName, TokenId, authorize, sample,
};
use futures::stream;
use jiff::Timestamp;
use rand::{Rng as _, seq::IndexedRandom as _};
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeMap, convert::Infallible};
use store::{IdempotencyKey, SessionCreateError, StopMode, TenantReport};
use uuid::Uuid;

pub(super) fn actor() -> Actor {
    Actor::of_token(TokenId::new(Uuid::nil()), Role::Operator, None, "simulation".to_owned())
}

/// A tenant that is ready.
pub(super) async fn tenant(ground: &Ground, seed: u64) -> TenantId {
    let store = &ground.cx.store;
    let proof: Authorized<CreateTenant> =
        authorize(&actor(), Scope::Platform).expect("operators may");
    let name = TenantName::parse("/name", &format!("tenant-{seed}")).expect("a name");
    let made = store.tenant_create(&proof, name, PlanName::Starter, 0, None).await;
    let tenant = made.expect("a new tenant").value.0;
    let mut conditions = Conditions::default();
    let now = ground.clock.peek();
    conditions.set(ConditionKind::Ready, ConditionStatus::True, "Ready", "", now);
    let report = TenantReport {
        observed_generation: tenant.generation,
        conditions,
        usage: None,
        steps: None,
        is_operation_running: false,
    };
    store.tenant_report(tenant.id, report).await.expect("a report");
    tenant.id
}

/// Asks for a session until there is an answer; sometimes again, as if that had been lost.
pub(super) async fn create(history: &mut History<'_>) {
    let spec = match history.asked.take() {
        Some(spec) => spec,
        None => spec(history),
    };
    let key = |digest| IdempotencyKey {
        actor: domain::Subject::Token(TokenId::new(Uuid::nil())),
        key: format!("{}-{}", history.tenant, history.created),
        request_digest: [digest; 32],
    };
    let (same, other) = (key(1), key(2));
    let proof: Authorized<CreateSession> =
        authorize(&actor(), Scope::tenant(history.tenant)).expect("operators may");
    let (store, tenant) = (history.ground.cx.store.clone(), history.tenant);
    let is_repeated = history.rng.random_ratio(1, 3);
    let asked = alive(async {
        let ask = |key| store.session_create(&proof, tenant, spec.clone(), Some(key));
        let made = ask(&same).await.expect("a session").value.id;
        if is_repeated {
            let again = ask(&same).await.expect("the same session");
            let another = ask(&other).await;
            let is_refused = matches!(another, Err(SessionCreateError::IdempotencyMismatch));
            return again.value.id == made && again.is_replay && is_refused;
        }
        true
    });
    if let Ok(is_as_it_should_be) = asked.await {
        history.created += 1;
        if !is_as_it_should_be {
            history.violations.push("a repeated request was not repeated".to_owned());
        }
    } else {
        history.asked = Some(spec);
        history.kill();
    }
}

fn spec(history: &mut History<'_>) -> SessionSpec {
    let rng = &mut history.rng;
    let mut rules = BTreeMap::new();
    for class in FailureClass::ALL {
        if rng.random_ratio(1, 2) {
            let attempts = rng.random_range(1..4);
            let backoff_seconds = rng.random_range(0..6);
            rules.insert(class, RetryRule { attempts, backoff_seconds, ..RetryRule::NONE });
        }
    }
    SessionSpec {
        timeout_seconds: [15, 30, 60].choose(rng).copied().unwrap_or(15),
        grace_period_seconds: rng.random_range(1..6),
        retry: RetryPolicy(rules),
        on_drain: OnDrain::ALL.choose(rng).copied().unwrap_or_default(),
        ..sample::spec()
    }
}

pub(super) async fn stop(history: &mut History<'_>, session: SessionId) {
    let proof: Authorized<StopSession> =
        authorize(&actor(), Scope::tenant(history.tenant)).expect("operators may");
    let is_patient = history.rng.random_ratio(5, 6);
    let mode = if is_patient { StopMode::Proven } else { StopMode::Unproven };
    history.stopped.insert(session);
    let store = history.ground.cx.store.clone();
    match alive(store.session_stop(&proof, session, mode)).await {
        Ok(stopped) => {
            stopped.expect("the record answers");
        }
        Err(Killed) => history.kill(),
    }
}

/// What a runner says, and is answered.
pub(super) async fn say(app: &App, process: &Process, call: &Call, now: Timestamp) -> Heard {
    let caller = match run::authenticate(app, &process.token).await {
        Ok(caller) => caller,
        Err(RunError::NoRun) => return Heard::Refused,
        Err(_) => return Heard::Nothing,
    };
    match tell(app, &caller, process, call, now).await {
        Ok(heard) => heard,
        Err(RunError::NoRun) => Heard::Refused,
        Err(_) => Heard::Nothing,
    }
}

async fn tell(
    app: &App,
    caller: &Caller,
    process: &Process,
    call: &Call,
    now: Timestamp,
) -> Result<Heard, RunError> {
    match call {
        Call::Manifest => {
            let manifest = run::manifest(app, caller).await?;
            Ok(Heard::Fine { is_stopping: manifest.is_stopping })
        }
        Call::Started => run::started(app, caller).await.map(|()| Heard::WELL),
        Call::Heartbeat => {
            let is_stopping = run::heartbeat(app, caller, Process::USAGE, 0).await?;
            Ok(Heard::Fine { is_stopping })
        }
        Call::Log(lines) => {
            let mut body = Vec::new();
            for number in lines.clone() {
                let line = LogLine {
                    number,
                    at: now,
                    stream: LogStream::Out,
                    text: process.line(number),
                    part: LinePart::Whole,
                };
                serde_json::to_writer(&mut body, &line).expect("lines are JSON");
                body.push(b'\n');
            }
            match run::append_log(app, caller, &body, run::Words::Agents).await {
                Ok(run::Appended { next, .. }) | Err(AppendError::Gap { next }) => {
                    Ok(Heard::Kept(next))
                }
                Err(AppendError::Run(error)) => Err(error),
                Err(_) => Ok(Heard::Nothing),
            }
        }
        Call::Result => {
            let result = Bytes::from(result(process));
            let digest = Digest::of_sha256(Sha256::digest(&result).into());
            let bytes = stream::iter([Ok::<_, Infallible>(result.clone())]);
            let kept = run::put_artifact(app, caller, "out.json", &digest, None, bytes).await;
            let kept = match kept {
                Ok(()) => run::put_result(app, caller, result).await,
                Err(error) => Err(error),
            };
            match kept {
                Ok(()) => Ok(Heard::WELL),
                Err(run::OutputError::Run(error)) => Err(error),
                Err(_) => Ok(Heard::Nothing),
            }
        }
        Call::Exited { exit, was_terminated, is_out_of_memory, last_line } => {
            let report = Report {
                exit: *exit,
                was_terminated: *was_terminated,
                is_out_of_memory: *is_out_of_memory,
                last_line: *last_line,
                missing_lines: 0,
                usage: Process::USAGE,
            };
            run::exited(app, caller, report).await.map(|()| Heard::WELL)
        }
    }
}

pub(super) fn result(process: &Process) -> String {
    format!("{{\"run\":\"{}\"}}", process.run)
}

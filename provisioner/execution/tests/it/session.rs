use crate::{fake::Fault, world::World};
use domain::{FailureClass, RetryPolicy, RetryRule, Session, SessionState, Tenant};
use http::Method;
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use serde_json::json;

#[tokio::test]
async fn a_session_becomes_one_job_with_its_secret() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    let session = world.session(tenant.id).await;
    world.until("its Job is there", async |world| !world.jobs().is_empty()).await;
    let is_noted = async |world: &World| {
        let Some(run) = world.session_now(&session).await.run else { return false };
        let run = world.store.run_get(run).await.expect("answers");
        run.is_some_and(|run| run.job_created_at.is_some())
    };
    world.until("the Job is noted as made", is_noted).await;
    let session = world.session_now(&session).await;
    assert_eq!(session.state, SessionState::Starting);
    let run = session.run.expect("a run");
    assert_eq!(world.jobs(), [format!("run-{}", run.digits())]);
    let secrets = world.inside.objects(|objects| objects.list("secrets"));
    assert!(secrets[0]["metadata"]["ownerReferences"].is_array(), "its Secret goes with the Job");
    controllers.stop().await;
}

#[tokio::test]
async fn whatever_is_lost_while_a_job_is_made_there_is_one_job_in_the_end() {
    for part in ["/secrets", "/jobs"] {
        for fault in [
            Fault::Break,
            Fault::LoseReply,
            Fault::Refuse(429, "TooManyRequests"),
            Fault::Refuse(500, "InternalError"),
        ] {
            let world = World::new().await;
            let controllers = world.start();
            let tenant = world.ready("acme").await;
            world.inside.fail(Method::POST, part, fault, 2);
            let session = world.session(tenant.id).await;
            let is_noted = async |world: &World| {
                let Some(run) = world.session_now(&session).await.run else { return false };
                let run = world.store.run_get(run).await.expect("answers");
                run.is_some_and(|run| run.job_created_at.is_some())
            };
            world.until("the Job is noted as made", is_noted).await;
            controllers.stop().await;
            assert_eq!(world.jobs().len(), 1, "{part} {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_process_that_died_before_it_noted_the_job_does_not_make_a_second_one() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    controllers.stop().await;
    // What the first process did before it died: the run, and its Job under another token.
    let session = world.session(tenant.id).await;
    let new = world.store.run_create(session.id, session.revision).await.expect("a run");
    let name = format!("run-{}", new.run.id.digits());
    let labels = json!({ "warren.dev/run": new.run.id.digits() });
    world.inside.objects(|objects| {
        let metadata = json!({ "name": name, "namespace": "agents", "labels": labels });
        objects.put("batch/v1", "jobs", json!({ "metadata": metadata }));
    });
    let controllers = world.start();
    let is_noted = async |world: &World| {
        let run = world.store.run_get(new.run.id).await.expect("answers");
        run.is_some_and(|run| run.job_created_at.is_some())
    };
    world.until("the Job is found", is_noted).await;
    controllers.stop().await;
    assert_eq!(world.jobs(), [name]);
    let token = world.store.run_by_token(new.token.expose_secret()).await.expect("answers");
    assert!(token.is_some(), "the pod may have the first token already: it stays good");
}

#[tokio::test]
async fn a_job_that_the_api_server_will_not_have_ends_its_session_with_its_words() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    world.inside.fail(Method::POST, "/jobs", Fault::Refuse(403, "Forbidden"), 1);
    let session = world.session(tenant.id).await;
    let session = world.session_in(&session, SessionState::Failed).await;
    let cause = session.cause.expect("a cause");
    assert_eq!(cause.class, Some(FailureClass::PolicyDenied));
    assert!(cause.message.contains("refused on purpose"), "{}", cause.message);
    controllers.stop().await;
    assert!(world.inside.objects(|objects| objects.list("secrets").is_empty()), "no token stays");
}

#[tokio::test]
async fn the_end_of_a_job_is_the_end_of_its_session() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;

    let session = world.session(tenant.id).await;
    world.until("its Job is there", async |world| world.jobs().len() == 1).await;
    world.end_job(&world.jobs()[0], "Failed", "DeadlineExceeded");
    world.session_in(&session, SessionState::TimedOut).await;

    let session = world.session(tenant.id).await;
    world.until("its Job is there", async |world| world.jobs().len() == 2).await;
    let name = format!("run-{}", world.session_now(&session).await.run.expect("a run").digits());
    let run = name.trim_start_matches("run-").to_owned();
    world.inside.objects(|objects| {
        let labels = json!({ "warren.dev/run": run });
        let metadata = json!({ "name": "pod", "namespace": "agents", "labels": labels });
        let terminated = json!({ "reason": "OOMKilled", "exitCode": 137 });
        let status = json!({ "containerStatuses": [{ "name": "agent", "state": { "terminated": terminated } }] });
        objects.put("v1", "pods", json!({ "metadata": metadata, "status": status }));
    });
    world.end_job(&name, "Failed", "BackoffLimitExceeded");
    let session = world.session_in(&session, SessionState::Failed).await;
    assert_eq!(session.cause.and_then(|cause| cause.class), Some(FailureClass::Resource));

    let session = world.session(tenant.id).await;
    world.until("its Job is there", async |world| world.jobs().len() == 3).await;
    let name = format!("run-{}", world.session_now(&session).await.run.expect("a run").digits());
    world.inside.objects(|objects| objects.remove("jobs", "agents", &name));
    let session = world.session_in(&session, SessionState::Failed).await;
    let cause = session.cause.expect("a cause");
    assert_eq!((cause.class, cause.reason.as_str()), (Some(FailureClass::Transient), "JobGone"));
    controllers.stop().await;
}

#[tokio::test]
async fn a_stopped_session_ends_when_its_job_is_gone() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    let session = world.session(tenant.id).await;
    world.until("its Job is there", async |world| !world.jobs().is_empty()).await;
    world.stop_session(&session).await;
    world.session_in(&session, SessionState::Stopped).await;
    controllers.stop().await;
    assert!(world.jobs().is_empty());
}

#[tokio::test]
async fn a_session_ends_in_time_even_if_its_cluster_does_not_answer() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    let session = world.session(tenant.id).await;
    world.until("its Job is there", async |world| !world.jobs().is_empty()).await;
    controllers.stop().await;
    for method in [Method::GET, Method::POST, Method::DELETE, Method::PATCH] {
        world.inside.fail(method, "/", Fault::Break, usize::MAX);
    }
    world.clock.advance(SignedDuration::from_hours(1));
    let controllers = world.start();
    world.session_in(&session, SessionState::TimedOut).await;
    controllers.stop().await;
}

/// A session with a Job that was stopped while its tenant's cluster deletes nothing: it counts as
/// stopped, and the Job is there.
async fn stopped_in_the_record_only(world: &World) -> Session {
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    let session = world.session(tenant.id).await;
    world.until("its Job is there", async |world| !world.jobs().is_empty()).await;
    controllers.stop().await;
    world.inside.fail(Method::DELETE, "/", Fault::Refuse(500, "InternalError"), usize::MAX);
    world.stop_session(&session).await;
    world.clock.advance(SignedDuration::from_mins(2));
    session
}

#[tokio::test]
async fn the_job_of_a_stopped_session_is_deleted_as_soon_as_its_cluster_lets_it_be() {
    let world = World::new().await;
    let session = stopped_in_the_record_only(&world).await;
    let controllers = world.start();
    let session = world.session_in(&session, SessionState::Stopped).await;
    assert_eq!(session.cause.expect("a cause").reason, "Stopped", "the host has no pod of it");
    let attempts = async |world: &World| {
        let writes = world.inside.writes();
        writes.iter().filter(|made| made.method == Method::DELETE).count() > 2
    };
    world.until("it is tried again and again", attempts).await;
    assert_eq!(world.jobs().len(), 1);
    world.inside.heal();
    world.until("its Job is gone", async |world| world.jobs().is_empty()).await;
    controllers.stop().await;
}

#[tokio::test]
async fn what_a_server_that_ended_left_running_is_found_by_the_next_one() {
    let world = World::new().await;
    let session = stopped_in_the_record_only(&world).await;
    let controllers = world.start();
    world.session_in(&session, SessionState::Stopped).await;
    controllers.stop().await;
    world.inside.heal();
    assert_eq!(world.jobs().len(), 1);
    let controllers = world.start();
    world.until("its Job is gone", async |world| world.jobs().is_empty()).await;
    controllers.stop().await;
}

#[tokio::test]
async fn no_more_sessions_run_than_the_plan_allows_and_the_oldest_goes_first() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    let mut sessions = Vec::new();
    for _ in 0..6 {
        sessions.push(world.session(tenant.id).await);
    }
    // The plan starter allows four.
    world.until("four Jobs are there", async |world| world.jobs().len() == 4).await;
    assert_eq!(world.session_now(&sessions[4]).await.state, SessionState::Queued);
    world.stop_session(&sessions[1]).await;
    let has_begun =
        async |world: &World| world.session_now(&sessions[4]).await.state == SessionState::Starting;
    world.until("the fifth has begun", has_begun).await;
    assert_eq!(world.session_now(&sessions[5]).await.state, SessionState::Queued);
    controllers.stop().await;
}

#[tokio::test]
async fn a_standard_project_that_somebody_deleted_is_made_anew_and_the_session_runs() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    world.inside.objects(|objects| objects.remove("namespaces", "", "agents"));
    world.session(tenant.id).await;
    world.until("its Job is there", async |world| !world.jobs().is_empty()).await;
    controllers.stop().await;
}

#[tokio::test]
async fn a_project_is_made_at_its_first_session_and_not_in_a_namespace_of_somebody_else() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    world.session_in_project(tenant.id, "research").await;
    world.until("its Job is there", async |world| !world.jobs().is_empty()).await;
    world.inside.objects(|objects| {
        assert!(objects.get("serviceaccounts", "research", "agent").is_some());
        assert!(objects.get("limitranges", "research", "warren").is_some());
        objects.put("v1", "namespaces", json!({ "metadata": { "name": "theirs" } }));
    });
    let session = world.session_in_project(tenant.id, "theirs").await;
    let session = world.session_in(&session, SessionState::Failed).await;
    let cause = session.cause.expect("a cause");
    assert_eq!(
        (cause.class, cause.reason.as_str()),
        (Some(FailureClass::UserConfig), "ProjectTaken")
    );
    assert!(cause.message.contains("namespace theirs"), "{}", cause.message);
    controllers.stop().await;
    world.inside.objects(|objects| {
        assert!(objects.get("serviceaccounts", "theirs", "agent").is_none(), "it is left alone");
    });
}

#[tokio::test]
async fn a_run_that_failed_is_followed_by_another_when_nothing_of_it_is_left() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    let rule = RetryRule { attempts: 2, backoff_seconds: 0, memory_percent: 100 };
    let retry = RetryPolicy([(FailureClass::Transient, rule)].into());
    let session = world.session_with_retry(tenant.id, retry).await;
    world.until("its Job is there", async |world| world.jobs().len() == 1).await;
    let first = world.session_now(&session).await.run.expect("a run");
    // The Job says that it failed, and nobody can find out whether its pod still runs.
    let part = format!("/jobs/run-{}", first.digits());
    world.inside.fail(Method::GET, &part, Fault::Break, 2);
    world.end_job(&world.jobs()[0], "Failed", "BackoffLimitExceeded");
    let is_second = async |world: &World| world.session_now(&session).await.run != Some(first);
    world.until("another run begins", is_second).await;
    let run = world.store.run_get(first).await.expect("answers").expect("there");
    assert!(run.settled_at.is_some(), "nothing of the first one runs: {run:?}");
    world.until("its Job is there too", async |world| world.jobs().len() == 2).await;

    let second = world.session_now(&session).await.run.expect("a run");
    world.end_job(&format!("run-{}", second.digits()), "Failed", "BackoffLimitExceeded");
    let session = world.session_in(&session, SessionState::Failed).await;
    let cause = session.cause.expect("a cause");
    assert_eq!((cause.class, &*cause.reason), (Some(FailureClass::Transient), "PodGone"));
    controllers.stop().await;
}

/// A session whose agent runs in a pod on `node`, and the name of its Job.
async fn running(world: &World, tenant: &Tenant, node: &str) -> (Session, String) {
    let session = world.session(tenant.id).await;
    let known = world.jobs().len();
    let is_placed = async |world: &World| {
        let Some(run) = world.session_now(&session).await.run else { return false };
        let run = world.store.run_get(run).await.expect("answers").expect("there");
        run.job_created_at.is_some()
    };
    world.until("its Job is noted", is_placed).await;
    assert!(world.jobs().len() >= known);
    let session = world.session_now(&session).await;
    let run = session.run.expect("a run");
    world.inside.objects(|objects| {
        let labels = json!({ "warren.dev/run": run.digits() });
        let name = format!("run-{}-x", run.digits());
        let metadata = json!({ "name": name, "namespace": "agents", "labels": labels });
        let status = json!({ "phase": "Running" });
        let spec = json!({ "nodeName": node });
        objects.put("v1", "pods", json!({ "metadata": metadata, "spec": spec, "status": status }));
    });
    world.store.run_started(run).await.expect("it is there");
    let moved = world.store.session_move(session.id, session.revision, SessionState::Running, None);
    (moved.await.expect("it starts"), format!("run-{}", run.digits()))
}

/// Makes the worker look at the clock: something has to happen.
async fn look(world: &World, tenant: &Tenant) {
    let poke = world.session(tenant.id).await;
    let has_run = async |world: &World| world.session_now(&poke).await.run.is_some();
    world.until("another session is begun", has_run).await;
    world.stop_session(&poke).await;
    let name = format!("run-{}", world.session_now(&poke).await.run.expect("a run").digits());
    world.until("its Job is deleted", async |world| !world.jobs().contains(&name)).await;
    world.session_in(&poke, SessionState::Stopped).await;
}

/// Time passes as it does for a worker that looks again and again.
async fn pass(world: &World, tenant: &Tenant, seconds: u32) {
    for _ in 0..seconds / 5 {
        world.clock.advance(SignedDuration::from_secs(5));
        look(world, tenant).await;
    }
}

/// A node that nobody hears of, and one that is well.
fn two_nodes(world: &World) {
    world.host.objects(|objects| {
        for (name, ready, message) in
            [("lost", "Unknown", "Kubelet stopped posting node status."), ("well", "True", "")]
        {
            let ready = json!({ "type": "Ready", "status": ready, "message": message });
            let status = json!({ "conditions": [ready] });
            objects.put("v1", "nodes", json!({ "metadata": { "name": name }, "status": status }));
        }
    });
}

#[tokio::test]
async fn a_stop_is_not_over_before_it_is_proven_and_its_token_is_dead_meanwhile() {
    let world = World::new().await;
    two_nodes(&world);
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    let namespace = tenant.cluster.host_namespace();
    let (session, job) = running(&world, &tenant, "lost").await;
    world.host.objects(|objects| {
        // Its label is gone: tenants may do that.
        let note = json!({ "vcluster.loft.sh/object-name": format!("{job}-x") });
        let metadata = json!({
            "name": "its-pod", "namespace": namespace, "annotations": note,
            "deletionTimestamp": "2025-01-01T00:00:00Z",
        });
        let spec = json!({ "nodeName": "lost" });
        objects.put("v1", "pods", json!({ "metadata": metadata, "spec": spec }));
    });
    world.stop_session(&session).await;
    world.until("its Job is deleted", async |world| !world.jobs().contains(&job)).await;
    world.clock.advance(SignedDuration::from_secs(20));
    look(&world, &tenant).await;
    let run = async || {
        let run = session.run.expect("a run");
        world.store.run_get(run).await.expect("answers").expect("there")
    };
    world.until("its token is dead", async |_| run().await.ended_at.is_some()).await;
    let now = world.session_now(&session).await;
    let cause = now.cause.expect("a cause");
    assert_eq!((now.state, &*cause.reason), (SessionState::Stopping, "StopUnproven"));
    assert!(
        cause.message.contains("its node lost is not ready (Kubelet stopped"),
        "{}",
        cause.message
    );

    world.host.objects(|objects| objects.remove("pods", &namespace, "its-pod"));
    world.clock.advance(SignedDuration::from_secs(5));
    look(&world, &tenant).await;
    let over = world.session_in(&session, SessionState::Stopped).await;
    assert_eq!(over.cause.expect("a cause").reason, "Stopped");
    world.until("it is noted", async |_| run().await.settled_at.is_some()).await;
    let run = run().await;
    assert_eq!(run.cause.expect("a cause").reason, "Stopped");
    controllers.stop().await;
}

#[tokio::test]
async fn a_stop_ends_the_pod_on_the_host_when_the_tenants_cluster_does_not_answer() {
    let world = World::new().await;
    two_nodes(&world);
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    let namespace = tenant.cluster.host_namespace();
    let (session, job) = running(&world, &tenant, "well").await;
    world.host.objects(|objects| {
        let note = json!({ "vcluster.loft.sh/object-name": format!("{job}-x") });
        let metadata = json!({ "name": "its-pod", "namespace": namespace, "annotations": note });
        let spec = json!({ "nodeName": "well" });
        objects.put("v1", "pods", json!({ "metadata": metadata, "spec": spec }));
    });
    for method in [Method::GET, Method::POST, Method::DELETE, Method::PATCH] {
        world.inside.fail(method, "/", Fault::Break, usize::MAX);
    }
    world.stop_session(&session).await;
    let is_gone = async |world: &World| {
        world.host.objects(|objects| objects.get("pods", &namespace, "its-pod").is_none())
    };
    world.until("its pod is deleted", is_gone).await;
    world.clock.advance(SignedDuration::from_secs(20));
    world.session_in(&session, SessionState::Stopped).await;
    assert!(world.jobs().contains(&job), "nobody could delete it");
    world.inside.heal();
    world.until("its Job is deleted", async |world| !world.jobs().contains(&job)).await;
    controllers.stop().await;
}

#[tokio::test]
async fn a_run_on_a_lost_node_is_over_and_one_on_a_node_that_is_well_is_waited_for() {
    let world = World::new().await;
    two_nodes(&world);
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    let (lost, job) = running(&world, &tenant, "lost").await;
    let (well, _) = running(&world, &tenant, "well").await;
    let before = (world.session_now(&lost).await.state, world.session_now(&well).await.state);
    assert_eq!(before, (SessionState::Running, SessionState::Running));
    // Whoever stood still itself has heard nobody.
    world.clock.advance(SignedDuration::from_mins(5));
    look(&world, &tenant).await;
    let after = (world.session_now(&lost).await.state, world.session_now(&well).await.state);
    assert_eq!(after, before);
    pass(&world, &tenant, 15).await;
    let lost = world.session_in(&lost, SessionState::Failed).await;
    let cause = lost.cause.expect("a cause");
    assert_eq!((cause.class, &*cause.reason), (Some(FailureClass::Infrastructure), "NodeLost"));
    assert!(cause.message.contains("Kubelet stopped posting node status"), "{}", cause.message);
    world.until("its Job is gone", async |world| !world.jobs().contains(&job)).await;
    assert_eq!(world.session_now(&well).await.state, SessionState::Running);

    pass(&world, &tenant, 50).await;
    let well = world.session_in(&well, SessionState::Failed).await;
    assert_eq!(well.cause.map(|cause| cause.reason), Some("Silent".to_owned()));
    controllers.stop().await;
}

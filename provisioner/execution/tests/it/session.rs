use crate::{fake::Fault, world::World};
use domain::{FailureClass, Session, SessionState};
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
    let has_owner = async |world: &World| {
        world.inside.objects(|objects| {
            objects
                .list("secrets")
                .iter()
                .any(|secret| secret["metadata"]["ownerReferences"].is_array())
        })
    };
    world.until("its Secret goes with the Job", has_owner).await;
    let session = world.session_now(&session).await;
    assert_eq!(session.state, SessionState::Starting);
    let run = session.run.expect("a run");
    assert_eq!(world.jobs(), [format!("run-{}", run.digits())]);
    let run = world.store.run_get(run).await.expect("answers").expect("there");
    assert!(run.job_created_at.is_some());
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
    assert_eq!(
        (cause.class, cause.reason.as_str()),
        (Some(FailureClass::Infrastructure), "JobGone")
    );
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
    assert_eq!(session.cause.expect("a cause").reason, "StoppedUnconfirmed");
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

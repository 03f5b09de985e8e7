//! Changes of plan of many tenants, and such that begin later.

mod capacity;

use crate::harness::{Mood, TestApp, TestTenant, request};
use application::plan_batch::{self, PlanBatches};
use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use domain::{Bytes, Clock as _, Conditions, Millicores, Problem, Share, Survey, Usage};
use jiff::ToSpan as _;
use serde_json::{Value, json};
use std::time::Duration;
use store::TenantReport;

const BATCHES: &str = "/api/v1/plan-change-batches";

async fn ready(server: &TestApp, name: &str) -> TestTenant {
    let tenant = server.tenant(name).await;
    server.make_ready(&tenant).await;
    tenant
}

async fn all_ready(server: &TestApp, count: u32) -> (Vec<TestTenant>, Vec<String>) {
    let names: Vec<_> = (0..count).map(|number| format!("tenant-{number}")).collect();
    let mut tenants = Vec::new();
    for name in &names {
        tenants.push(ready(server, name).await);
    }
    (tenants, names)
}

async fn made(server: &TestApp, body: Value) -> String {
    let answer = server.post(BATCHES, body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    let location = answer.header("location").to_owned();
    assert_eq!(server.get(&location).await.json(), answer.json());
    location
}

async fn act(server: &TestApp, batch: &str, verb: &str) -> Value {
    let answer = server.post(&format!("{batch}/{verb}"), json!({})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
    answer.json()
}

/// A look by a process that has just started.
async fn look(server: &TestApp) -> Duration {
    PlanBatches::default().look(&server.app).await.expect("the record answers")
}

/// The states of a batch's lines.
async fn states(server: &TestApp, batch: &str) -> Vec<String> {
    let batch = server.get(batch).await.json();
    let lines = batch["lines"].as_array().expect("lines").iter();
    lines.map(|line| line["state"].as_str().expect("a state").to_owned()).collect()
}

async fn line(server: &TestApp, batch: &str, index: usize) -> Value {
    server.get(batch).await.json()["lines"][index].clone()
}

fn problem() -> Problem {
    Problem { code: "broken".to_owned(), detail: "it broke".to_owned(), hint: "-".to_owned() }
}

/// What the provisioner does at the end of a change.
async fn end(server: &TestApp, line: &Value, problem: Option<Problem>) {
    let id = line["operation"].as_str().expect("it has begun").parse().expect("an operation's id");
    let store = &server.app.store;
    let operation = store.operation_get(id).await.expect("a record").expect("there");
    if problem.is_none() {
        store.plan_change_commit(id).await.expect("it is under way");
    }
    store.plan_change_end(&operation, problem).await.expect("it is open");
}

/// What the provisioner says of a tenant that uses so much; `pro` has 8000.
async fn use_cpu(server: &TestApp, tenant: &TestTenant, cpu: u64) {
    let known = server.app.store.tenant_get(tenant.id).await.expect("a record").expect("there");
    let none = Share { yours: Bytes(0), overhead: Bytes(0), limit: Bytes(0) };
    let cpu = Share { yours: Millicores(cpu), overhead: Millicores(0), limit: Millicores(9000) };
    let report = TenantReport {
        observed_generation: known.generation,
        conditions: Conditions::clone(&known.conditions),
        usage: Some(Usage {
            cpu,
            memory: none,
            storage: none,
            pods: Share { yours: 0, overhead: 0, limit: 0 },
        }),
        steps: None,
        is_operation_running: false,
    };
    server.app.store.tenant_report(tenant.id, report).await.expect("reported");
}

#[tokio::test]
async fn a_dry_run_foresees_each_tenant_and_the_sums_and_makes_nothing() {
    let server = TestApp::new().await;
    let (tenants, mut names) = all_ready(&server, 3).await;
    use_cpu(&server, &tenants[1], 9000).await;
    server.tenant("early").await;
    names.push("early".to_owned());
    let body = json!({ "tenants": names, "plan": "pro" });
    let answer = server.post(&format!("{BATCHES}?dryRun=true"), body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let foreseen = answer.json();
    let sums = &foreseen["sums"];
    assert_eq!((&sums["tenants"], &sums["blocked"]), (&json!(4), &json!(2)), "{sums}");
    let price = foreseen["lines"][0]["preview"]["priceDelta"].as_i64().expect("a price");
    assert_eq!(sums["priceDelta"], 2 * price, "of those that nothing is in the way of");
    let blockers = json!([
        { "code": "does-not-fit", "count": 1 }, { "code": "tenant-not-ready", "count": 1 }
    ]);
    assert_eq!(sums["blockers"], blockers);
    assert_eq!(foreseen["lines"][3]["problem"]["code"], "tenant-not-ready");
    assert_eq!(server.get(BATCHES).await.json()["items"], json!([]));

    let own = json!({ "selector": { "plan": "starter" }, "plan": "dedicated-s", "nodes": 2 });
    let own = server.post(&format!("{BATCHES}?dryRun=true"), own).await.json();
    assert_eq!(own["sums"]["machinesMade"], 4, "{own}");
    server.world.set(Mood::Away);
    let body = json!({ "tenants": ["tenant-0"], "plan": "pro" });
    let away = server.post(&format!("{BATCHES}?dryRun=true"), body).await.json();
    assert_eq!(away["lines"][0]["problem"]["code"], "cluster-unreachable");
}

#[tokio::test]
async fn what_breaks_a_rule_is_named_by_its_field_and_nothing_is_made() {
    let server = TestApp::new().await;
    let (tenants, _) = all_ready(&server, 2).await;
    let id = tenants[0].id.to_string();
    let going = ready(&server, "going").await;
    server.send(&going.owner, Method::DELETE, &going.path, None).await;
    let many: Vec<_> = (0..501).map(|number| format!("t-{number}")).collect();
    let now = server.clock.now();
    for (body, field) in [
        (json!({ "plan": "pro" }), "/tenants"),
        (json!({ "tenants": [], "plan": "pro" }), "/tenants"),
        (json!({ "tenants": many, "plan": "pro" }), "/tenants"),
        (json!({ "tenants": ["tenant-0", "nobody"], "plan": "pro" }), "/tenants/1"),
        (json!({ "tenants": ["tenant-0", "No Name"], "plan": "pro" }), "/tenants/1"),
        (json!({ "tenants": ["tenant-0", "tenant-1", id], "plan": "pro" }), "/tenants/2"),
        (json!({ "tenants": ["going"], "plan": "pro" }), "/tenants/0"),
        (json!({ "tenants": ["tenant-0"], "plan": "starter" }), "/tenants/0"),
        (json!({ "tenants": ["tenant-0", 7], "plan": "pro" }), "/tenants/1"),
        (json!({ "selector": { "plan": "gold" }, "plan": "pro" }), "/selector/plan"),
        (json!({ "selector": { "plan": "pro" }, "plan": "enterprise" }), "/selector/plan"),
        (json!({ "selector": { "plan": "starter" }, "plan": "starter" }), "/selector/plan"),
        (json!({ "tenants": ["tenant-0"], "plan": "gold" }), "/plan"),
        (json!({ "tenants": ["tenant-0"], "plan": "pro", "nodes": 2 }), "/nodes"),
        (json!({ "tenants": ["tenant-0"], "plan": "pro", "sessions": "kill" }), "/sessions"),
        (json!({ "tenants": ["tenant-0"], "plan": "pro", "maxParallel": 0 }), "/maxParallel"),
        (json!({ "tenants": ["tenant-0"], "plan": "pro", "maxParallel": 21 }), "/maxParallel"),
        (json!({ "tenants": ["tenant-0"], "plan": "pro", "stopOnFailure": 1 }), "/stopOnFailure"),
        (json!({ "tenants": ["tenant-0"], "plan": "pro", "name": "a\nb" }), "/name"),
        (json!({ "tenants": ["tenant-0"], "plan": "pro", "startAt": "soon" }), "/startAt"),
        (json!({ "tenants": ["tenant-0"], "plan": "pro", "startAt": now.to_string() }), "/startAt"),
        (
            json!({ "tenants": ["tenant-0"], "plan": "pro", "startAt": (now + 9000.hours()).to_string() }),
            "/startAt",
        ),
    ] {
        for query in ["", "?dryRun=true"] {
            let refused = server.post(&format!("{BATCHES}{query}"), body.clone()).await;
            assert_eq!(refused.problem(), (422, "invalid-input".to_owned()), "{body}");
            assert_eq!(refused.json()["errors"][0]["field"], field, "{body}");
        }
    }
    let both = json!({ "tenants": ["nobody"], "plan": "gold", "maxParallel": 99 });
    let refused = server.post(BATCHES, both).await.json();
    assert_eq!(refused["errors"].as_array().map(Vec::len), Some(3), "{refused}");
    assert_eq!(server.get(BATCHES).await.json()["items"], json!([]));
}

#[tokio::test]
async fn no_more_are_under_way_than_may_across_restarts_and_looks_that_are_cut_off() {
    let server = TestApp::new().await;
    all_ready(&server, 7).await;
    let body = json!({ "selector": { "plan": "starter" }, "plan": "pro", "maxParallel": 2 });
    let batch = made(&server, body).await;
    assert_eq!(states(&server, &batch).await, ["waiting"; 7]);
    let mut history = Vec::new();
    for cut in 0_usize..200 {
        {
            let mut batches = PlanBatches::default();
            let patience = async {
                for _ in 0..cut % 40 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                biased;
                () = patience => {}
                looked = batches.look(&server.app) => { looked.expect("the record answers"); }
            }
        }
        look(&server).await;
        let states = states(&server, &batch).await;
        let running: Vec<_> = (0..7).filter(|index| states[*index] == "running").collect();
        assert!(running.len() <= 2, "{states:?}");
        let Some(first) = running.first() else { break };
        history.push(running.len());
        end(&server, &line(&server, &batch, *first).await, None).await;
    }
    assert_eq!(history, [2, 2, 2, 2, 2, 2, 1], "two at a time to the last one");
    let over = server.get(&batch).await.json();
    assert_eq!((&over["state"], &over["counts"]["succeeded"]), (&json!("succeeded"), &json!(7)));
    let changes = server.get("/api/v1/tenants/tenant-3/plan-changes").await.json();
    assert_eq!(changes["items"].as_array().map(Vec::len), Some(1), "none began twice");
    let entries = server.app.store.audit_list(None, None, 100).await.expect("readable");
    let begun: Vec<_> = entries.iter().filter(|entry| entry.action == "plan.change").collect();
    assert_eq!(begun.len(), 7);
    let is_asked =
        |entry: &&&store::AuditEntry| entry.subject.is_some() && entry.request_id == "test";
    assert_eq!(begun.iter().filter(is_asked).count(), 7, "whoever asked did it: {begun:?}");
}

#[tokio::test]
async fn the_first_that_is_blocked_skips_the_rest_and_a_retry_tries_again() {
    let server = TestApp::new().await;
    let (tenants, names) = all_ready(&server, 4).await;
    use_cpu(&server, &tenants[1], 9000).await;
    let body = json!({ "tenants": names, "plan": "pro", "maxParallel": 1, "name": "spring" });
    let batch = made(&server, body).await;
    look(&server).await;
    end(&server, &line(&server, &batch, 0).await, None).await;
    look(&server).await;
    assert_eq!(states(&server, &batch).await, ["succeeded", "failed", "skipped", "skipped"]);
    let blocked = line(&server, &batch, 1).await;
    assert_eq!(blocked["problem"]["code"], "plan-change-blocked");
    assert!(blocked["problem"]["detail"].as_str().is_some_and(|text| text.contains("cpu 9")));
    assert_eq!(blocked["operation"], json!(null), "nothing was begun");
    let skipped = line(&server, &batch, 3).await;
    let text = skipped["problem"]["detail"].as_str().expect("why");
    assert!(text.contains("tenant-1") && text.contains("cpu 9"), "the first is named: {text}");
    assert_eq!(server.get(&batch).await.json()["state"], "failed");

    use_cpu(&server, &tenants[1], 100).await;
    let again = act(&server, &batch, "retry").await;
    assert_eq!((&again["state"], &again["counts"]["waiting"]), (&json!("running"), &json!(3)));
    look(&server).await;
    end(&server, &line(&server, &batch, 1).await, None).await;
    look(&server).await;
    end(&server, &line(&server, &batch, 2).await, Some(problem())).await;
    assert_eq!(states(&server, &batch).await, ["succeeded", "succeeded", "failed", "skipped"]);
}

#[tokio::test]
async fn a_failure_on_the_way_stops_the_rest_unless_they_are_to_go_on() {
    let server = TestApp::new().await;
    let (_, names) = all_ready(&server, 3).await;
    for stops in [true, false] {
        let plan = if stops { "pro" } else { "enterprise" };
        let body =
            json!({ "tenants": names, "plan": plan, "maxParallel": 1, "stopOnFailure": stops });
        let batch = made(&server, body).await;
        look(&server).await;
        end(&server, &line(&server, &batch, 0).await, Some(problem())).await;
        let rest = if stops { "skipped" } else { "waiting" };
        assert_eq!(states(&server, &batch).await, ["failed", rest, rest]);
        assert_eq!(line(&server, &batch, 0).await["problem"]["code"], "broken");
        look(&server).await;
        let next = if stops { "skipped" } else { "running" };
        assert_eq!(states(&server, &batch).await, ["failed", next, rest]);
    }
}

#[tokio::test]
async fn who_is_busy_is_waited_for_and_given_up_when_that_takes_too_long() {
    let server = TestApp::new().await;
    let slow = ready(&server, "slow").await;
    let own = format!("{}/plan-changes", slow.path);
    let own = server.post(&own, json!({ "plan": "enterprise" })).await.json();
    let quick = ready(&server, "quick").await;
    let body = json!({ "tenants": ["slow", "quick"], "plan": "pro", "maxParallel": 1 });
    let batch = made(&server, body).await;
    look(&server).await;
    assert_eq!(states(&server, &batch).await, ["waiting", "running"], "it holds up nobody");
    let busy = line(&server, &batch, 0).await;
    assert_eq!(busy["problem"]["code"], "tenant-busy");
    assert!(busy["problem"]["detail"].as_str().is_some_and(|text| text.contains("plan-change")));
    assert!(busy["busyUntil"].is_string(), "{busy}");
    end(&server, &line(&server, &batch, 1).await, None).await;
    server.clock.forward(119);
    let pause = look(&server).await;
    assert_eq!(states(&server, &batch).await, ["waiting", "succeeded"]);
    assert!(pause <= Duration::from_mins(1) + Duration::from_millis(1), "{pause:?}");
    server.clock.forward(1);
    look(&server).await;
    assert_eq!(states(&server, &batch).await, ["failed", "succeeded"]);
    let failed = line(&server, &batch, 0).await;
    assert!(failed["problem"]["detail"].as_str().is_some_and(|text| text.contains("2 hours")));

    end(&server, &json!({ "operation": own["id"] }), None).await;
    act(&server, &batch, "retry").await;
    server.world.set(Mood::Away);
    assert_eq!(look(&server).await, Duration::from_secs(30), "nobody tells when it is back");
    assert_eq!(line(&server, &batch, 0).await["problem"]["code"], "cluster-unreachable");
    server.world.set(Mood::Well);
    look(&server).await;
    assert_eq!(states(&server, &batch).await, ["running", "succeeded"]);
    let owned = server.get(&quick.path).await.json();
    assert_eq!(owned["plan"], "pro");
}

#[tokio::test]
async fn a_batch_is_halted_goes_on_and_is_given_up_while_what_runs_goes_on() {
    let server = TestApp::new().await;
    let (_, names) = all_ready(&server, 3).await;
    let batch = made(&server, json!({ "tenants": names, "plan": "pro", "maxParallel": 1 })).await;
    look(&server).await;
    assert_eq!(act(&server, &batch, "pause").await["state"], "paused");
    end(&server, &line(&server, &batch, 0).await, None).await;
    look(&server).await;
    assert_eq!(states(&server, &batch).await, ["succeeded", "waiting", "waiting"]);
    assert_eq!(act(&server, &batch, "resume").await["state"], "running");
    look(&server).await;
    for _ in 0..2 {
        let given_up = act(&server, &batch, "cancel").await;
        assert_eq!(given_up["state"], "cancelling");
        let text = given_up["message"].as_str().expect("a sentence");
        assert!(text.contains("1 go on to their ends"), "{text}");
    }
    assert_eq!(states(&server, &batch).await, ["succeeded", "running", "cancelled"]);
    for verb in ["pause", "resume", "retry"] {
        let late = server.post(&format!("{batch}/{verb}"), json!({})).await;
        assert_eq!(late.problem(), (409, "plan-change-batch-over".to_owned()), "{verb}");
    }
    let id = line(&server, &batch, 1).await["operation"].as_str().expect("begun").to_owned();
    let path = format!("/api/v1/tenants/tenant-1/plan-changes/{id}/cancel");
    let one = server.post(&path, json!({})).await;
    assert_eq!(one.status, StatusCode::ACCEPTED, "each can be taken back by itself");
    end(&server, &line(&server, &batch, 1).await, Some(problem())).await;
    assert_eq!(server.get(&batch).await.json()["state"], "cancelled");
}

#[tokio::test]
async fn a_change_for_later_is_its_tenants_until_it_begins_under_the_same_id() {
    let server = TestApp::new().await;
    let tenant = ready(&server, "acme").await;
    let path = format!("{}/plan-changes", tenant.path);
    let send = async |token: &str, method: Method, path: &str, body: Option<Value>| {
        server.send(token, method, path, body).await
    };
    let at = (server.clock.now() + 5.minutes()).to_string();
    let wish = json!({ "plan": "pro", "startAt": at });
    let dry = server.post(&format!("{path}?dryRun=true"), wish.clone()).await;
    assert_eq!(dry.status, StatusCode::OK, "{}", dry.text());
    let planned = send(&tenant.owner, Method::POST, &path, Some(wish.clone())).await;
    assert_eq!(planned.status, StatusCode::ACCEPTED, "{}", planned.text());
    let (location, planned) = (planned.header("location").to_owned(), planned.json());
    assert_eq!(send(&tenant.owner, Method::GET, &location, None).await.json(), planned);
    assert_eq!(planned["planned"]["state"], "waiting");
    assert_eq!((&planned["planned"]["batch"], &planned["preview"]), (&json!(null), &json!(null)));
    let listed = send(&tenant.owner, Method::GET, &path, None).await.json();
    assert_eq!(listed["items"], json!([planned]));
    assert_eq!(server.get(BATCHES).await.json()["items"], json!([]), "it is no batch of operators");
    let again = send(&tenant.owner, Method::POST, &path, Some(wish.clone())).await;
    assert_eq!(again.problem(), (409, "plan-change-waiting".to_owned()));
    let id = planned["id"].as_str().expect("an id").to_owned();
    assert!(again.text().contains(&id), "the one that waits is named: {}", again.text());
    let in_batch = json!({ "tenants": ["acme"], "plan": "pro" });
    let in_batch = server.post(BATCHES, in_batch).await;
    assert_eq!(in_batch.problem(), (409, "plan-change-waiting".to_owned()));
    assert!(in_batch.text().contains(&id), "{}", in_batch.text());
    let halted = server.post(&format!("{location}/pause"), json!({})).await;
    assert_eq!(halted.problem(), (409, "plan-change-waiting".to_owned()));

    assert_eq!(look(&server).await, Duration::from_mins(5) + Duration::from_millis(1));
    let admin = server.token(&tenant.path, "admin").await;
    let refused = send(&admin, Method::POST, &format!("{location}/cancel"), None).await;
    assert_eq!(refused.problem(), (403, "forbidden".to_owned()));
    let given_up = send(&tenant.owner, Method::POST, &format!("{location}/cancel"), None).await;
    assert_eq!(given_up.json()["planned"]["state"], "cancelled", "{}", given_up.text());
    let late = send(&tenant.owner, Method::POST, &format!("{location}/cancel"), None).await;
    assert_eq!(late.problem(), (409, "plan-change-over".to_owned()));

    let planned = send(&tenant.owner, Method::POST, &path, Some(wish)).await.json();
    server.clock.forward(5);
    look(&server).await;
    let location = format!("{path}/{}", planned["id"].as_str().expect("an id"));
    let begun = send(&tenant.owner, Method::GET, &location, None).await.json();
    assert_eq!((&begun["id"], &begun["planned"]), (&planned["id"], &json!(null)));
    assert_eq!(begun["operation"]["kind"], "plan-change");
    let listed = send(&tenant.owner, Method::GET, &format!("{path}?limit=1"), None).await.json();
    assert_eq!(listed["items"][0]["id"], planned["id"]);
    assert!(listed["nextCursor"].is_string(), "the one that was given up comes after it");
}

#[tokio::test]
async fn a_plan_whose_promise_does_not_hold_or_whose_asker_is_gone_fails_with_the_reason() {
    let server = TestApp::new().await;
    let tenant = ready(&server, "acme").await;
    let path = format!("{}/plan-changes", tenant.path);
    let seen = server.post(&format!("{path}?dryRun=true"), json!({ "plan": "dedicated-s" })).await;
    let wish = |server: &TestApp| {
        let at = (server.clock.now() + 5.minutes()).to_string();
        json!({ "plan": "dedicated-s", "startAt": at, "preview": seen.json()["id"] })
    };
    let planned = server.post(&path, wish(&server)).await.json();
    *server.world.survey.lock().expect("no test panics with it") =
        Survey { volumes: vec!["default/data".to_owned()], ..Survey::default() };
    server.clock.forward(5);
    look(&server).await;
    let failed = server.get(&format!("{path}/{}", planned["id"].as_str().expect("an id"))).await;
    assert_eq!(failed.json()["planned"]["problem"]["code"], "plan-change-outdated");

    *server.world.survey.lock().expect("no test panics with it") = Survey::default();
    let owner = server.token(&tenant.path, "owner").await;
    let planned = server.send(&owner, Method::POST, &path, Some(wish(&server))).await.json();
    let tokens = format!("{}/tokens", tenant.path);
    let all = server.get(&tokens).await.json()["items"].clone();
    let newest = all.as_array().and_then(|all| all.last()).expect("tokens")["id"].clone();
    let newest = format!("{tokens}/{}", newest.as_str().expect("an id"));
    assert_eq!(server.send(&tenant.owner, Method::DELETE, &newest, None).await.status, 204);
    server.clock.forward(5);
    look(&server).await;
    let failed = server.get(&format!("{path}/{}", planned["id"].as_str().expect("an id"))).await;
    assert_eq!(failed.json()["planned"]["problem"]["code"], "forbidden", "{}", failed.text());
    assert_eq!(failed.json()["planned"]["state"], "failed");
    assert!(server.get(&tenant.path).await.json()["operation"].is_null());
}

#[tokio::test]
async fn who_is_deleted_or_has_it_already_is_skipped_and_stops_nobody() {
    let server = TestApp::new().await;
    let (tenants, names) = all_ready(&server, 4).await;
    let batch = made(&server, json!({ "tenants": names, "plan": "pro", "maxParallel": 1 })).await;
    look(&server).await;
    for tenant in &tenants[..2] {
        let going = server.send(&tenant.owner, Method::DELETE, &tenant.path, None).await;
        assert_eq!(going.status, StatusCode::ACCEPTED, "{}", going.text());
    }
    let itself = format!("{}/plan-changes", tenants[2].path);
    let itself = server.post(&itself, json!({ "plan": "pro" })).await.json();
    end(&server, &json!({ "operation": itself["id"] }), None).await;
    look(&server).await;
    assert_eq!(states(&server, &batch).await, ["skipped", "skipped", "skipped", "running"]);
    for (index, code) in ["superseded", "tenant-deleting", "nothing-to-change"].iter().enumerate() {
        assert_eq!(line(&server, &batch, index).await["problem"]["code"], *code);
    }
    end(&server, &line(&server, &batch, 3).await, None).await;
    assert_eq!(server.get(&batch).await.json()["state"], "succeeded");
}

#[tokio::test]
async fn batches_come_in_pages_once_for_each_key_and_for_operators_only() {
    let server = TestApp::new().await;
    let (tenants, _) = all_ready(&server, 3).await;
    let send = async |name: &str, key: &str| {
        let body = json!({ "tenants": [name], "plan": "pro", "name": name }).to_string();
        let request = request(&server.operator, Method::POST, BATCHES)
            .header("content-type", "application/json")
            .header("idempotency-key", key);
        server.call(request.body(Body::from(body))).await
    };
    let first = send("tenant-0", "a").await;
    let again = send("tenant-0", "a").await;
    assert_eq!((first.json(), again.header("idempotent-replayed")), (again.json(), "true"));
    assert_eq!(send("tenant-1", "a").await.problem(), (422, "idempotency-mismatch".to_owned()));
    for (name, key) in [("tenant-1", "b"), ("tenant-2", "c")] {
        assert_eq!(send(name, key).await.status, StatusCode::CREATED);
    }
    let page = server.get(&format!("{BATCHES}?limit=2")).await.json();
    let cursor = page["nextCursor"].as_str().expect("there is more");
    let rest = server.get(&format!("{BATCHES}?limit=2&cursor={cursor}")).await.json();
    let items = [&page["items"][0], &page["items"][1], &rest["items"][0]];
    assert_eq!(
        items.map(|item| item["name"].as_str()),
        [Some("tenant-2"), Some("tenant-1"), Some("tenant-0")]
    );
    assert!(items.iter().all(|item| item.get("lines").is_none()));
    let hidden = server.send(&tenants[0].owner, Method::GET, BATCHES, None).await;
    assert_eq!(hidden.problem(), (404, "not-found".to_owned()));
    let own = format!("{}/plan-changes", tenants[0].path);
    let own = server.send(&tenants[0].owner, Method::GET, &own, None).await.json();
    assert!(
        own["items"][0]["planned"]["batch"].is_string(),
        "its people see what is planned: {own}"
    );
}

#[tokio::test]
async fn whoever_waits_hears_of_ends_and_of_what_is_new() {
    let server = TestApp::new().await;
    let (_, names) = all_ready(&server, 2).await;
    let until = async |index: usize, batch: &str, state: &str| {
        while line(&server, batch, index).await["state"] != state {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let story = async {
        // It looks, finds nothing, and waits for ten minutes.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let batch =
            made(&server, json!({ "tenants": names, "plan": "pro", "maxParallel": 1 })).await;
        until(0, &batch, "running").await;
        end(&server, &line(&server, &batch, 0).await, None).await;
        until(1, &batch, "running").await;
    };
    tokio::select! {
        told = tokio::time::timeout(Duration::from_secs(20), story) => told.expect("in time"),
        () = plan_batch::run(&server.app) => {}
    }
}

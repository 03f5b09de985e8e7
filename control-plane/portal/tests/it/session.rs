//! Sessions: the list, the form, one session's page, and what is done to it.

use crate::harness::{Answer, TestPortal};
use application::{
    blobs::BlobPath,
    log::{LinePart, LogLine, LogStream},
    session::{self, NewSession},
    tenant::TenantRef,
};
use axum::http::StatusCode;
use domain::{Bytes, Cause, Digest, RunId, Session, SessionId, SessionState, Tenant};
use sha2::{Digest as _, Sha256};
use store::{LogGrowth, LogSegment};

/// A session that says what it wants; its owner is the operator.
pub(crate) async fn session(portal: &TestPortal, tenant: &Tenant, new: NewSession) -> SessionId {
    let (actor, reference) = (portal.actor().await, TenantRef::Id(tenant.id));
    let made = session::create(&portal.app, &actor, &reference, new.into(), None).await;
    made.expect("started").value.session.id
}

pub(crate) fn agent() -> NewSession {
    NewSession {
        image: "agent:1".to_owned(),
        command: vec!["/agent".to_owned()],
        ..NewSession::default()
    }
}

pub(crate) async fn record(portal: &TestPortal, session: SessionId) -> Session {
    portal.app.store.session_get(session).await.expect("a record").expect("there")
}

/// What the provisioner and the runner do until the agent's process runs.
pub(crate) async fn run(portal: &TestPortal, session: SessionId) -> RunId {
    let revision = record(portal, session).await.revision;
    let new = portal.app.store.run_create(session, revision).await.expect("it was queued");
    portal.app.store.run_started(new.run.id).await.expect("noted");
    advance(portal, session, SessionState::Running, None).await;
    new.run.id
}

pub(crate) async fn advance(
    portal: &TestPortal,
    session: SessionId,
    next: SessionState,
    cause: Option<Cause>,
) {
    let revision = record(portal, session).await.revision;
    portal.app.store.session_move(session, revision, next, cause).await.expect("allowed");
}

/// Appends lines to a log as the run endpoint does; those that begin with `!` are of the other stream.
pub(crate) async fn log(portal: &TestPortal, run: RunId, first: u64, lines: &[&str]) {
    let mut bytes = Vec::new();
    for (number, line) in (first..).zip(lines) {
        let stream = if line.starts_with('!') { LogStream::Err } else { LogStream::Out };
        let text = line.trim_start_matches('!').to_owned();
        let (at, part) = (portal.app.clock.now(), LinePart::Whole);
        let line = LogLine { number, at, stream, text, part };
        serde_json::to_writer(&mut bytes, &line).expect("JSON");
        bytes.push(b'\n');
    }
    let path = BlobPath::log_segment(run, first, ".ndjson");
    let digest = Digest::of_sha256(Sha256::digest(&bytes).into());
    let (count, size) = (lines.len() as u64, bytes.len() as u64);
    portal.app.blobs.put(&path, bytes.into()).await.expect("written");
    let path = path.to_string();
    let segment = LogSegment { first, lines: count, bytes: size, path, digest };
    portal.app.store.log_append(run, segment, LogGrowth::default()).await.expect("contiguous");
}

/// The value of a hidden field.
fn field(text: &str, name: &str) -> String {
    let value = text.split(&format!("name=\"{name}\" value=\"")).nth(1);
    value.and_then(|rest| rest.split('"').next()).expect("a field").to_owned()
}

fn location(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    answer.header("location").to_owned()
}

#[tokio::test]
async fn a_list_without_sessions_says_how_to_start_one() {
    let portal = TestPortal::new().await;
    let tenant = portal.tenant("acme", "starter", None).await;
    let page = portal.get("/tenants/acme/sessions").await;
    assert_eq!(page.status, StatusCode::OK);
    page.shows("No session was started yet");
    page.shows("warren session run --tenant acme");
    page.shows("href=\"/tenants/acme/sessions/new\"");
    let viewer = portal.member(&tenant, "viewer").await;
    let page = portal.get_as(&viewer, "/tenants/acme/sessions").await;
    assert!(!page.text.contains("sessions/new"), "a viewer starts nothing");
    let page = portal.get_as(&viewer, "/tenants/acme/sessions/new").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_list_has_every_session_and_those_of_one_state() {
    let portal = TestPortal::new().await;
    let tenant = portal.tenant("acme", "starter", None).await;
    let labels = [("team".to_owned(), "blue".to_owned())].into();
    let queued = session(&portal, &tenant, NewSession { labels, ..agent() }).await;
    let failed = session(&portal, &tenant, agent()).await;
    run(&portal, failed).await;
    let cause = Cause::out_of_memory(Bytes::mebi(256), None);
    advance(&portal, failed, SessionState::Failed, Some(cause)).await;
    let page = portal.get("/tenants/acme/sessions").await;
    for text in ["team=blue", "agent:1", "/agent", "Queued", "out of memory", "agents"] {
        page.shows(text);
    }
    for id in [queued, failed] {
        page.shows(&format!("href=\"/tenants/acme/sessions/{id}\""));
    }
    page.shows(&format!("name=\"session\" value=\"{queued}\""));
    assert!(!page.text.contains(&format!("value=\"{failed}\"")), "it is over");
    let page = portal.get("/tenants/acme/sessions?state=failed").await;
    page.shows(&failed.to_string());
    assert!(!page.text.contains(&queued.to_string()));
    let page = portal.get("/tenants/acme/sessions?state=running").await;
    page.shows("No session is running.");
    let page = portal.get(&format!("/tenants/acme/sessions?after={failed}")).await;
    page.shows(&format!("href=\"/tenants/acme/sessions/{queued}\""));
    page.hides(&format!("href=\"/tenants/acme/sessions/{failed}\""));
}

#[tokio::test]
async fn long_lists_come_in_pages_that_keep_their_filter() {
    let portal = TestPortal::new().await;
    let tenant = portal.tenant("acme", "starter", None).await;
    let first = session(&portal, &tenant, agent()).await;
    for _ in 0..50 {
        let one = session(&portal, &tenant, agent()).await;
        let (actor, reference) = (portal.actor().await, TenantRef::Id(tenant.id));
        let mode = session::StopMode::Proven;
        session::stop(&portal.app, &actor, &reference, one, mode).await.expect("stopped");
    }
    let page = portal.get("/tenants/acme/sessions").await;
    assert!(!page.text.contains(&first.to_string()));
    let next =
        page.text.split("href=\"").find(|rest| rest.starts_with("/tenants/acme/sessions?after="));
    let next = next.and_then(|rest| rest.split('"').next()).expect("a link to older ones");
    portal.get(next).await.shows(&first.to_string());
}

#[tokio::test]
async fn a_form_with_faults_names_each_and_keeps_what_was_typed() {
    let portal = TestPortal::new().await;
    portal.tenant("acme", "starter", None).await;
    let page = portal.get("/tenants/acme/sessions/new").await;
    let key = field(&page.text, "key");
    let form = format!(
        "key={key}&image=&command=%2Fagent%0D%0A--x&env=A%3D1%0D%0Anonsense&timeout=soon&memory=900Gi&labels=a%3Db&drain=wait"
    );
    let page = portal.post("/tenants/acme/sessions", &form).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    for text in [
        "4 fields break a rule.",
        "href=\"#image\"",
        "href=\"#env\"",
        "href=\"#timeout\"",
        "href=\"#memory\"",
        "line 2 has no &#39;=&#39;",
        "id=\"memory-error-1\"",
        "aria-describedby=\"memory-hint memory-error-1\"",
        "aria-invalid=\"true\"",
        "/agent\r\n--x</textarea>",
        "value=\"900Gi\"",
        "value=\"soon\"",
        "Error: ",
        "req_test",
    ] {
        page.shows(text);
    }
    assert_eq!(field(&page.text, "key"), key, "the same form, not a new one");
    let list = portal.get("/tenants/acme/sessions").await;
    list.shows("No session was started yet");
}

#[tokio::test]
async fn a_form_starts_one_session_however_often_it_is_sent() {
    let portal = TestPortal::new().await;
    portal.tenant("acme", "starter", None).await;
    let page = portal.get("/tenants/acme/sessions/new").await;
    let key = field(&page.text, "key");
    let form = format!(
        "key={key}&image=agent:2&command=%2Fagent%0D%0A--once&env=MODE%3Dfast&secrets=KEY%3Dhunter22&\
         timeout=60&memory=128Mi&retry-agent=2&drain=restart&project=&cpu=&grace=&labels=team%3Dblue"
    );
    let twin = portal.post("/tenants/acme/sessions", &format!("{form}&then=twin")).await;
    assert_eq!(twin.status, StatusCode::OK);
    twin.shows("warren session run --tenant acme \\\n  --image agent:2 \\\n  --env MODE=fast \\\n  --secret KEY");
    twin.shows("api/v1/tenants/acme/sessions");
    let command = twin.text.split("id=\"twin\"").nth(1).expect("a section");
    assert!(!command.contains("hunter22"), "a secret is in no command");

    let first = location(&portal.post("/tenants/acme/sessions", &form).await);
    let again = location(&portal.post("/tenants/acme/sessions", &form).await);
    assert_eq!(first, again);
    let changed = portal.post("/tenants/acme/sessions", &form.replace("agent:2", "agent:3")).await;
    assert_eq!(changed.status, StatusCode::UNPROCESSABLE_ENTITY);
    changed.shows("idempotency-mismatch");

    let page = portal.get(&first).await;
    for text in
        ["Queued", "agent:2", "/agent --once", "fast", "128Mi", "agent 2", "restart", "team=blue"]
    {
        page.shows(text);
    }
    page.shows("secret, shown to nobody");
    assert!(!page.text.contains("hunter22"), "secrets are never shown");
}

#[tokio::test]
async fn a_failure_is_explained_and_its_way_out_filled_in() {
    let portal = TestPortal::new().await;
    let tenant = portal.tenant("acme", "starter", None).await;
    let id = session(&portal, &tenant, agent()).await;
    let path = format!("/tenants/acme/sessions/{id}");
    let made_run = run(&portal, id).await;
    let page = portal.get(&path).await;
    page.shows("Running");
    page.shows(&format!("action=\"{path}/stop\""));
    assert!(!page.text.contains("/rerun"), "it is not over");
    log(&portal, made_run, 1, &["last words"]).await;
    let cause = Cause::out_of_memory(Bytes::mebi(256), None);
    advance(&portal, id, SessionState::Failed, Some(cause)).await;
    let page = portal.get(&path).await;
    for text in [
        "It needed more than its 256Mi of memory.",
        "Too little of a resource",
        "OutOfMemory",
        "Run it with more",
        "name=\"memory\" value=\"512Mi\"",
        "last words",
        "Attempt 1",
        "Archived",
        "<svg",
        "It left no <code>result.json</code>.",
    ] {
        page.shows(text);
    }
    assert!(!page.text.contains("hx-sse"), "nothing moves after the end");

    let key = field(&page.text, "key");
    let bad =
        portal.post(&format!("{path}/rerun"), &format!("key={key}&memory=much&timeout=60")).await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);
    bad.shows("memory is &#34;much&#34;, and has to be a quantity of bytes");
    bad.shows("name=\"memory\" value=\"much\"");
    let form = format!("key={key}&memory=512Mi&timeout=60&cpu=");
    let next = location(&portal.post(&format!("{path}/rerun"), &form).await);
    assert_ne!(next, path);
    assert_eq!(location(&portal.post(&format!("{path}/rerun"), &form).await), next);
    portal.get(&next).await.shows("512Mi");
}

#[tokio::test]
async fn a_viewer_sees_no_button_and_is_refused_without_one() {
    let portal = TestPortal::new().await;
    let tenant = portal.tenant("acme", "starter", None).await;
    let env = [("PASSWORD".to_owned(), "hunter22".to_owned())].into();
    let id = session(&portal, &tenant, NewSession { env, ..agent() }).await;
    let viewer = portal.member(&tenant, "viewer").await;
    let path = format!("/tenants/acme/sessions/{id}");
    let page = portal.get_as(&viewer, &path).await;
    page.shows("Your role may look at it only.");
    page.shows("not shown to your role");
    assert!(!page.text.contains("hunter22") && !page.text.contains("/stop"));
    let list = portal.get_as(&viewer, "/tenants/acme/sessions").await;
    assert!(!list.text.contains("checkbox"));
    for (path, form) in [
        (format!("{path}/stop"), String::new()),
        (format!("{path}/rerun"), String::new()),
        ("/tenants/acme/sessions".to_owned(), "image=agent:1&command=a".to_owned()),
    ] {
        let refused = portal.post_as(&viewer, &path, &form).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
        refused.shows("forbidden");
        refused.shows("req_test");
    }
    let many =
        portal.post_as(&viewer, "/tenants/acme/sessions/stop", &format!("session={id}")).await;
    many.shows("The role viewer may not do this.");
    assert_eq!(record(&portal, id).await.state, SessionState::Queued);
}

#[tokio::test]
async fn several_are_stopped_at_once_each_with_its_answer() {
    let portal = TestPortal::new().await;
    let tenant = portal.tenant("acme", "starter", None).await;
    let (one, two) =
        (session(&portal, &tenant, agent()).await, session(&portal, &tenant, agent()).await);
    run(&portal, two).await;
    let missing = two.to_string().replace("ses_01", "ses_02");
    let form = format!("session={one}&session={two}&session={missing}&session=nonsense");
    let page = portal.post("/tenants/acme/sessions/stop", &form).await;
    assert_eq!(page.status, StatusCode::OK);
    for text in ["Stopped", "Stopping", "There is no such session in this tenant."] {
        page.shows(text);
    }
    assert_eq!(record(&portal, one).await.state, SessionState::Stopped);
    let path = format!("/tenants/acme/sessions/{two}");
    portal.get(&path).await.shows("Stop without proof");
    assert_eq!(location(&portal.post(&format!("{path}/stop"), "force=1").await), path);
    portal.get(&path).await.shows("Stopped");
    portal.post("/tenants/acme/sessions/stop", "").await.shows("None was chosen");
}

#[tokio::test]
async fn nothing_of_another_tenant_and_nothing_that_is_not_there_is_found() {
    let portal = TestPortal::new().await;
    let acme = portal.tenant("acme", "starter", None).await;
    let other = portal.tenant("other", "starter", None).await;
    let (theirs, ours) =
        (session(&portal, &acme, agent()).await, session(&portal, &other, agent()).await);
    let owner = portal.member(&other, "owner").await;
    let below = ["", "/log", "/log.txt", "/events", "/result.json", "/artifacts/a/b"];
    let mut paths: Vec<_> = below.map(|end| format!("/tenants/acme/sessions/{theirs}{end}")).into();
    paths.extend(below.map(|end| format!("/tenants/other/sessions/{theirs}{end}")));
    paths.extend(["/tenants/acme/sessions", "/tenants/acme/sessions/new"].map(str::to_owned));
    paths.push("/tenants/other/sessions/nonsense".to_owned());
    paths.push(format!("/tenants/other/sessions/{ours}/result.json"));
    paths.push(format!("/tenants/other/sessions/{ours}/artifacts/none"));
    for path in paths {
        assert_eq!(portal.get_as(&owner, &path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for end in ["/stop", "/rerun"] {
        for tenant in ["acme", "other"] {
            let path = format!("/tenants/{tenant}/sessions/{theirs}{end}");
            let answer = portal.post_as(&owner, &path, "").await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        }
    }
}

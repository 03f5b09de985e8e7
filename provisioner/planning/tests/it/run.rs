//! The Job and the Secret of a run.

use crate::fixture::{host, readable, run, run_objects, session};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::ProjectName;
use planning::{RunAccess, UserNamespaces, job, render_run_job};
use serde_json::json;

#[test]
fn the_job_of_a_run_is_as_it_was() {
    let objects = run_objects();
    insta::assert_yaml_snapshot!("run", [readable(&objects.secret), readable(&objects.job)]);
}

#[test]
fn secret_and_job_share_a_name_and_the_secret_goes_with_the_job() {
    let objects = run_objects();
    assert_eq!(objects.job.key, job::job_key(&ProjectName::standard(), run().id));
    assert_eq!(objects.secret.key, job::secret_key(&ProjectName::standard(), run().id));
    let owner = &job::owner_patch(run().id, "1234")["metadata"]["ownerReferences"][0];
    assert_eq!(owner["name"], objects.job.key.name);
    assert_eq!(owner["uid"], "1234");
}

#[test]
fn the_token_is_in_the_secret_and_nowhere_else() {
    let objects = run_objects();
    let token = STANDARD.encode("wrr_TOP-SECRET-TOKEN");
    assert_eq!(objects.secret.body["data"]["token"], token);
    let job = objects.job.body.to_string();
    assert!(!job.contains(&token) && !job.contains("TOP-SECRET"));
    assert!(!format!("{objects:?}").contains("SECRET"));
    let access = RunAccess { token: "wrr_TOP-SECRET-TOKEN", authority: "certificate" };
    assert!(!format!("{access:?}").contains("SECRET"));
}

#[test]
fn what_the_caller_wrote_reaches_the_agent_although_kubernetes_replaces_references() {
    let container = &run_objects().job.body["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["command"], json!(["/warren/bin/runner", "--", "/agent", "--price=$$5"]));
    assert_eq!(container["args"], json!(["$$(HOME) is not replaced"]));
    let env = container["env"].as_array().expect("a list");
    let model = env.iter().find(|entry| entry["name"] == "MODEL").expect("is there");
    assert_eq!(model["value"], "large $$$$");
}

#[test]
fn a_host_without_user_namespaces_gets_jobs_without_them() {
    let mut host = host();
    host.user_namespaces = UserNamespaces::Unavailable;
    let access = RunAccess { token: "wrr_x", authority: "certificate" };
    let objects = render_run_job(&session(), &run(), &host, access);
    assert_eq!(objects.job.body["spec"]["template"]["spec"].get("hostUsers"), None);
}

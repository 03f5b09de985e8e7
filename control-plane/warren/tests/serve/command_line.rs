//! The command line against the server itself.

use crate::server::{Home, Server};
use serde_json::{Value, json};
use std::path::Path;

struct Caller<'a> {
    server: &'a Server,
    token: String,
    folder: &'a Path,
}

impl Caller<'_> {
    /// What it writes when all is well.
    async fn run(&self, arguments: &[&str]) -> String {
        let (code, stdout, stderr) = self.server.warren(&self.token, self.folder, arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
        stdout
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let text = self.run(&[arguments, &["-o", "json"]].concat()).await;
        serde_json::from_str(&text).unwrap()
    }

    /// Exit code and what it says.
    async fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let (code, stdout, stderr) = self.server.warren(&self.token, self.folder, arguments).await;
        assert_eq!(stdout, "", "{arguments:?}");
        (code, stderr)
    }
}

#[tokio::test]
async fn every_form_of_an_answer_tells_the_same() {
    let home = Home::new();
    let server = home.start().await;
    let caller = Caller { server: &server, token: server.token(), folder: home.folder.path() };
    let made = caller.json(&["tenant", "create", "acme", "--plan", "starter"]).await;
    for (get, id) in
        [(&["tenant", "get", "acme"][..], "/id"), (&["tenant", "describe", "acme"], "/tenant/id")]
    {
        assert_eq!(caller.json(get).await.pointer(id), Some(&made["id"]), "{get:?}");
        let with = async |form| caller.run(&[get, &["-o", form]].concat()).await;
        assert_eq!(with("name").await, "tenant/acme\n");
        let id = made["id"].as_str().unwrap();
        for form in ["yaml", "table"] {
            assert!(with(form).await.contains(id), "{get:?} {form}");
        }
    }
    let operation = made["operation"].as_str().unwrap();
    assert_eq!(caller.json(&["operation", "get", operation]).await["kind"], "tenant-create");
    let list = caller.json(&["tenant", "get"]).await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn the_verbs_of_a_session_work_from_run_to_stop() {
    let home = Home::new();
    let server = home.start().await;
    let caller = Caller { server: &server, token: server.token(), folder: home.folder.path() };
    caller.run(&["tenant", "create", "acme", "--plan", "starter"]).await;
    std::fs::write(home.folder.path().join("input.bin"), [0xff; 100]).unwrap();
    let run = ["session", "run", "-t", "acme", "--image", "agent:1", "--input", "input.bin"];
    let name = caller.run(&[&run[..], &["-o", "name", "--", "/agent"]].concat()).await;
    let id = name.trim().strip_prefix("session/").unwrap();
    let of = |verb| ["session", verb, id, "-t", "acme"];
    let session = caller.json(&of("get")).await;
    assert_eq!((&session["id"], &session["state"]), (&json!(id), &json!("queued")));
    assert!(session["spec"]["inputs"][0]["digest"].is_string(), "{session}");
    let list = caller.run(&["session", "get", "-t", "acme", "-o", "name"]).await;
    assert_eq!(list, name);
    assert_eq!(caller.json(&of("stop")).await["state"], "stopped");
    assert_eq!(caller.run(&of("logs")).await, "");
    assert_eq!(caller.refused(&of("result")).await.0, 3, "it left none");
    let deleted = caller.json(&["tenant", "delete", "acme", "--yes"]).await;
    assert_eq!(deleted["kind"], "tenant-delete");
}

#[tokio::test]
async fn what_is_wrong_is_told_with_field_value_and_rule_and_nothing_is_made() {
    let home = Home::new();
    let server = home.start().await;
    let caller = Caller { server: &server, token: server.token(), folder: home.folder.path() };
    caller.run(&["tenant", "create", "acme", "--plan", "starter"]).await;
    let run = ["session", "run", "-t", "acme", "--image", "agent:1"];
    let session = |more: &[&'static str]| [&run[..], more, &["--", "/agent"]].concat();
    let cases = [
        (vec!["tenant", "create", "Acme_Inc", "--plan", "starter"], 2, "/name = \"Acme_Inc\""),
        (vec!["tenant", "create", "other", "--plan", "gold"], 2, "/plan = \"gold\""),
        (vec!["tenant", "create", "acme", "--plan", "starter"], 5, "name-taken"),
        (session(&["--memory", "900Gi"]), 2, "/resources/memory = \"900Gi\""),
        (session(&["--cpu", "much"]), 2, "/resources/cpu = \"much\""),
        (vec!["tenant", "get", "nobody"], 3, "not-found"),
    ];
    for (arguments, code, part) in cases {
        let (exit, said) = caller.refused(&arguments).await;
        assert_eq!(exit, code, "{arguments:?}: {said}");
        assert!(said.contains(part) && said.contains("request: req_"), "{arguments:?}: {said}");
    }
    assert_eq!(caller.run(&["tenant", "get", "-o", "name"]).await, "tenant/acme\n");
    assert_eq!(caller.run(&["session", "get", "-t", "acme", "-o", "name"]).await, "");
}

#[tokio::test]
async fn a_host_cluster_that_is_away_is_named_by_what_needs_it_and_stops_nothing_else() {
    let home = Home::new();
    let server = home.start().await;
    let caller = Caller { server: &server, token: server.token(), folder: home.folder.path() };
    caller.run(&["tenant", "create", "acme", "--plan", "starter"]).await;
    let (exit, said) = caller.refused(&["explain", "tenant", "acme"]).await;
    assert_eq!(exit, 1, "{said}");
    assert!(said.contains("cluster-unreachable"), "{said}");
    let (exit, stdout, _) = server.warren(&caller.token, caller.folder, &["doctor"]).await;
    assert_eq!(exit, 1);
    assert!(stdout.contains("host-version") && stdout.contains("record"), "{stdout}");
    assert!(caller.run(&["plans", "-o", "name"]).await.contains("plan/starter\n"));
    assert!(caller.run(&["version"]).await.contains(env!("CARGO_PKG_VERSION")));
    let wait = ["tenant", "wait", "acme", "--timeout", "300ms"];
    assert_eq!(caller.refused(&wait).await.0, 7, "it is not ready, and nobody says it is");
}

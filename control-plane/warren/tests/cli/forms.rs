use crate::{
    server::{Server, json_answer, operation, tenant},
    warren,
};
use serde_json::{Value, json};

async fn tenants() -> Server {
    Server::start(|asked, _| match asked.uri.path() {
        "/api/v1/tenants"
            if asked.uri.query().is_some_and(|query| query.contains("cursor=next")) =>
        {
            let mut second = tenant("pending");
            second["name"] = json!("second");
            json_answer(200, &json!({"items": [second], "nextCursor": null}))
        }
        "/api/v1/tenants" => {
            json_answer(200, &json!({"items": [tenant("ready")], "nextCursor": "next"}))
        }
        "/api/v1/operations/op_1" => json_answer(200, &operation("running", "running")),
        _ => json_answer(200, &tenant("provisioning")),
    })
    .await
}

#[tokio::test]
async fn a_list_is_read_to_its_end_in_every_form() {
    let server = tenants().await;
    let table = warren(&server.url, &["tenant", "get"]).await;
    let words: Vec<Vec<_>> =
        table.stdout.lines().map(|line| line.split_whitespace().take(5).collect()).collect();
    assert_eq!(words[0], ["NAME", "PLAN", "PHASE", "READY", "REASON"]);
    assert_eq!(words[1], ["acme", "starter", "ready", "True", "AllGood"]);
    assert_eq!(words[2], ["second", "starter", "pending", "False", "AllGood"]);
    assert_eq!(table.stderr, "");

    let names = warren(&server.url, &["tenant", "get", "-o", "name"]).await;
    assert_eq!(names.stdout, "tenant/acme\ntenant/second\n");

    let json = warren(&server.url, &["tenant", "-o", "json", "get"]).await;
    let list: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(list["items"][0], tenant("ready"), "exactly as the API says it");
    assert_eq!(list["items"][1]["name"], "second");

    let yaml = warren(&server.url, &["tenant", "get", "-o", "yaml"]).await;
    let same: Value = serde_saphyr::from_str(&yaml.stdout).unwrap();
    assert_eq!(same, list);
}

#[tokio::test]
async fn describe_shows_conditions_usage_and_the_operation_on_its_way() {
    let server = tenants().await;
    let ended = warren(&server.url, &["tenant", "describe", "acme"]).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let has = |words: &[&str]| {
        ended.stdout.lines().any(|line| line.split_whitespace().collect::<Vec<_>>() == words)
    };
    assert!(has(&["Phase:", "provisioning"]), "{}", ended.stdout);
    assert!(has(&["cpu", "500m", "2", "25", "%", "300m"]), "{}", ended.stdout);
    assert!(has(&["memory", "1Gi", "4Gi", "25", "%", "600Mi"]), "{}", ended.stdout);
    assert!(has(&["pods", "3", "20", "15", "%", "2"]), "{}", ended.stdout);
    assert!(has(&["Operation:", "op_1", "tenant-create", "running"]), "{}", ended.stdout);
    let step = ["namespace", "running", "1.2", "s", "2.1", "s", "14", "objects"];
    assert!(has(&step), "{}", ended.stdout);
    assert!(ended.stdout.contains("All is well."), "{}", ended.stdout);
}

#[tokio::test]
async fn doctor_shows_every_check_and_fails_if_one_does() {
    let server = Server::start(|_, _| {
        json_answer(
            200,
            &json!({"items": [
                {"name": "record", "isOk": true, "detail": "answers", "wayOut": ""},
                {"name": "host", "isOk": false, "detail": "no answer", "wayOut": "check the host"},
            ]}),
        )
    })
    .await;
    let ended = warren(&server.url, &["doctor"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.stdout.contains("record") && ended.stdout.contains("check the host"));
    assert!(ended.stderr.starts_with("error: 1 of 2 checks failed\n  host\n"), "{}", ended.stderr);
}

#[tokio::test]
async fn doctor_prints_what_to_do_in_full_and_a_manifest_so_that_it_can_be_piped() {
    let rule = format!(
        "- {}",
        json!({"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": [
            "create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]})
    );
    let manifest = format!(
        "# Give this to kubectl.\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\n\
         metadata: {{\"name\":\"warren-missing\"}}\nrules:\n{rule}\n"
    );
    let long = "see that the host can start pods, and look at what the others say ".repeat(3);
    let checks = json!([
        {"name": "record", "isOk": true, "detail": "answers", "wayOut": ""},
        {"name": "clock", "isOk": false, "detail": "late", "wayOut": long.trim()},
        {"name": "rights", "isOk": false, "detail": "1 of 9", "wayOut": manifest},
        {"name": "odd", "isOk": false, "detail": "-", "wayOut": "two\nlines \u{1b}[2J"},
        {"name": "nodes", "isOk": true, "detail": "pve3 offline", "wayOut": "start it"},
    ]);
    let server = Server::start(move |_, _| json_answer(200, &json!({"checks": checks}))).await;
    let ended = warren(&server.url, &["doctor"]).await;
    assert_eq!(ended.code, 1);
    let (table, below) = ended.stdout.split_once("\n\n").expect("a table, and what to do");
    assert_eq!(table.lines().count(), 6, "{table}");
    assert!(table.contains("see below") && !table.contains("apiVersion"), "{table}");
    let (clock, rest) = below.split_once("\n\n").expect("one after the other");
    assert_eq!(clock, format!("# clock: {}", long.trim()), "whole");
    let (rights, rest) = rest.split_once("\n\n").expect("one after the other");
    assert_eq!(rights, format!("# rights:\n{}", manifest.trim_end()), "as it was given");
    let (odd, nodes) = rest.split_once("\n\n").expect("one after the other");
    assert_eq!(odd, "# odd:\ntwo\nlines \u{fffd}[2J", "nothing moves the cursor");
    assert_eq!(nodes, "# nodes: start it\n", "also where it is only a warning");
    let yaml = format!("{clock}\n{rights}");
    let read: Value = serde_saphyr::from_str(&yaml).expect("it is YAML from the table on");
    assert_eq!(read["rules"][0]["verbs"][7], "watch");
    let hint = "hint: see that the host can start pods";
    assert!(ended.stderr.contains(hint), "{}", ended.stderr);
}

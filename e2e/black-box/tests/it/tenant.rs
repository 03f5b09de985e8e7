//! A tenant's life: made, put right, explained, deleted.

use anyhow::{Context, Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[test]
fn a_new_tenant_answers_with_a_credential_that_warren_minted() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let account = tenant.objects(&["-n", "agents", "serviceaccount", "agent"])?;
    ensure!(
        account["automountServiceAccountToken"] == false,
        "no token is mounted by itself: {account}"
    );
    for object in ["role/agent", "rolebinding/agent", "limitrange/warren"] {
        tenant.kubectl(&["-n", "agents", "get", object])?.success()?;
    }
    tenant.kubectl(&["get", "validatingadmissionpolicy", "warren-pods"])?.success()?;
    is_restricted(&tenant.objects(&["namespace", "agents"])?)?;

    let conditions = tenant.describe()?["conditions"].clone();
    for kind in ["NamespaceReady", "ControlPlaneReady", "DnsReady", "BaselineReady", "Ready"] {
        let is_told = |c: &Value| {
            let words = [&c["reason"], &c["message"], &c["since"]];
            c["status"] == "True"
                && words.iter().all(|word| word.as_str().is_some_and(|w| !w.is_empty()))
        };
        let holds = conditions
            .as_array()
            .is_some_and(|all| all.iter().any(|c| c["type"] == kind && is_told(c)));
        ensure!(holds, "{kind} holds, with a reason and a time: {conditions}");
    }
    Ok(())
}

#[test]
fn everything_on_the_host_was_applied_by_warren_and_nothing_by_helm() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let namespace = tenant.host_namespace()?;
    is_restricted(&tenant.host_objects(&["namespace", &namespace])?)?;
    let label = format!("warren.dev/cluster={}", tenant.cluster()?);
    let objects = tenant.host_objects(&[RENDERED, "-l", &label, "--show-managed-fields"])?;
    let objects = objects["items"].as_array().context("a list")?;
    let kinds: BTreeSet<&str> =
        objects.iter().filter_map(|object| object["kind"].as_str()).collect();
    ensure!(kinds.len() == RENDERED.split(',').count(), "some of each kind: {kinds:?}");
    for object in objects {
        let is_applied = object["metadata"]["managedFields"].as_array().is_some_and(|fields| {
            fields.iter().any(|f| f["manager"] == "warren-provisioner" && f["operation"] == "Apply")
        });
        ensure!(is_applied, "it was applied by Warren: {object}");
    }
    let secrets = tenant.host_objects(&["secrets"])?;
    ensure!(!secrets.to_string().contains("helm.sh/release"), "{secrets}");
    Ok(())
}

/// The kinds that Warren renders into a tenant's namespace.
const RENDERED: &str = "serviceaccounts,rolebindings,services,secrets,resourcequotas,limitranges,networkpolicies,statefulsets";

fn is_restricted(namespace: &Value) -> Result<()> {
    let level = &namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    ensure!(level == "restricted", "Pod Security is enforced: {namespace}");
    Ok(())
}

#[test]
fn a_tenants_numbers_are_yours_overhead_and_limit() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let plans = lab.get("/api/v1/plans")?;
    let sizes: Vec<String> = plans["items"]
        .as_array()
        .context("a list")?
        .iter()
        .map(|plan| {
            let quota = &plan["quota"];
            let text = |name: &str| quota[name].as_str().unwrap_or_default().to_owned();
            let (cpu, memory, storage) = (text("cpu"), text("memory"), text("storage"));
            format!("{} {cpu} {memory} {storage} {}", plan["name"], quota["pods"])
        })
        .collect();
    ensure!(
        sizes
            == [
                "\"starter\" 2 4Gi 20Gi 20",
                "\"pro\" 8 16Gi 100Gi 100",
                "\"enterprise\" 32 64Gi 500Gi 500",
                "\"dedicated-s\" 3500m 14Gi 160Gi 100",
                "\"dedicated-m\" 7500m 30Gi 460Gi 100",
                "\"dedicated-l\" 15500m 62Gi 960Gi 100",
            ],
        "{sizes:?}"
    );
    let tenant = TestTenant::created_with_plan(&lab, "numbers", "pro")?;
    tenant.wait_ready()?;
    let session = tenant
        .session(&json!({"image": lab.image("busybox"), "command": ["/bin/sleep", "600"],
        "resources": {"cpu": "300m", "memory": "64Mi"}}))?;
    tenant.session_wait(&session, &["running"], 60)?;
    let usage = until("the session counts as the tenant's", 30, || {
        let usage = tenant.describe()?["usage"].clone();
        let is_counted = usage["cpu"]["yours"] == "300m" && usage["pods"]["yours"] == 1;
        Ok(if is_counted { Ok(usage) } else { Err(usage.to_string()) })
    })?;
    let limits = [("cpu", "8"), ("memory", "16Gi"), ("storage", "100Gi")];
    for (name, limit) in limits {
        ensure!(usage[name]["limit"] == limit, "{name} ends at {limit}: {usage}");
        let overhead = usage[name]["overhead"].as_str();
        ensure!(overhead.is_some_and(|text| text != "0"), "{name} of the control plane: {usage}");
    }
    let quota = tenant.host_objects(&["resourcequota", "warren-tenant"])?;
    ensure!(quota["spec"]["hard"]["pods"] == "104", "the host holds 100 and the overhead: {quota}");
    Ok(())
}

#[test]
fn the_create_operation_shows_its_steps_with_durations() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let operations = lab.get(&tenant.path("/operations"))?;
    let operation = operations["items"][0].clone();
    ensure!(
        operation["kind"] == "tenant-create" && operation["state"] == "succeeded",
        "{operation}"
    );
    let steps = operation["steps"].as_array().context("steps")?;
    ensure!(
        steps.len() == 4
            && steps.iter().all(|s| s["state"] == "done" && s["durationMs"].is_number()),
        "{operation}"
    );
    Ok(())
}

/// Names of everything that Warren keeps right in a tenant's namespace.
fn rendered(tenant: &TestTenant) -> Result<BTreeSet<String>> {
    let label = format!("warren.dev/cluster={}", tenant.cluster()?);
    let names = tenant.on_host(&["get", RENDERED, "-l", &label, "-o", "name"])?.success()?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// Loosens by hand what holds a tenant, one thing after the other, each of which has to be put right.
fn loosen(tenant: &TestTenant) -> Result<()> {
    let (account, namespace) = (format!("vc-{}", tenant.cluster()?), tenant.host_namespace()?);
    let changes = [
        (
            ["limitrange", "warren-tenant"],
            "{.spec}",
            r#"{"spec":{"limits":[{"type":"Container","default":{"cpu":"64"}}]}}"#,
        ),
        (["resourcequota", "warren-tenant"], "{.spec}", r#"{"spec":{"hard":{"pods":"9999"}}}"#),
        (
            ["networkpolicy", "warren-default-deny"],
            "{.spec}",
            r#"{"spec":{"ingress":[{}],"egress":[{}]}}"#,
        ),
        (
            ["rolebinding", &account],
            "{.subjects}",
            r#"{"subjects":[{"kind":"Group","apiGroup":"rbac.authorization.k8s.io","name":"system:authenticated"}]}"#,
        ),
        (
            ["namespace", &namespace],
            "{.metadata.labels}",
            r#"{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}"#,
        ),
    ];
    for ([kind, name], field, patch) in changes {
        let path = format!("jsonpath={field}");
        let look = || tenant.on_host(&["get", kind, name, "-o", &path])?.success();
        let before = look()?;
        let edit = ["patch", kind, name, "--type=merge", "-o", &path, "-p", patch];
        let loose = tenant.on_host(&edit)?.success()?;
        ensure!(loose != before, "{kind} {name} was changed: {loose}");
        until(&format!("{kind} {name} is as it was"), 10, || {
            let now = look()?;
            Ok(if now == before { Ok(()) } else { Err(now) })
        })?;
    }
    Ok(())
}

#[test]
fn what_is_changed_or_deleted_by_hand_is_put_right() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "drift")?;
    loosen(&tenant)?;
    let before = rendered(&tenant)?;
    let owner = format!("service/{}", tenant.cluster()?);
    ensure!(before.len() > 12 && before.contains(&owner), "{before:?}");
    // Each kind, but what must never be recreated. The control plane goes by itself afterwards: it has to get
    // on with an account and with keys that were made anew.
    let is_set = |name: &String| name.starts_with("statefulset");
    let (sets, others): (Vec<&String>, Vec<&String>) =
        before.iter().filter(|name| **name != owner).partition(|name| is_set(name));
    for names in [others, sets] {
        ensure!(!names.is_empty(), "{before:?}");
        let mut delete = vec!["delete", "--wait=false"];
        delete.extend(names.into_iter().map(String::as_str));
        tenant.on_host(&delete)?.success()?;
        until("all of it is back", 10, || {
            let now = rendered(&tenant)?;
            let missing: Vec<&String> = before.difference(&now).collect();
            Ok(if missing.is_empty() { Ok(()) } else { Err(format!("missing {missing:?}")) })
        })?;
        let session = tenant.shell_session("echo works")?;
        let session = tenant.session_end(&session, 90)?;
        ensure!(session["state"] == "succeeded", "the tenant works as before: {session}");
    }
    Ok(())
}

#[test]
fn a_lost_service_is_damage_that_explain_names_and_nobody_recreates() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "damage")?;
    let text = lab.warren(&["explain", "tenant", &tenant.name])?.success()?;
    ensure!(!text.contains("Service"), "nothing to change: {text}");
    let explanation = lab.get(&tenant.path("/explanation"))?;
    ensure!(explanation["changes"] == json!([]), "{explanation}");

    let cluster = tenant.cluster()?;
    tenant.on_host(&["delete", "service", &cluster, "--wait=false"])?.success()?;
    until("the damage is reported", 15, || {
        let tenant = tenant.describe()?;
        let text = tenant["conditions"].to_string();
        let is_reported = tenant["phase"] == "degraded"
            && text.contains(&cluster)
            && text.contains("Damage")
            && text.contains("Look at what is left");
        Ok(if is_reported { Ok(()) } else { Err(text) })
    })?;
    // What guards the tenant is put right all the same; after failures a look may be a minute away.
    let quota = ["get", "resourcequota", "warren-tenant", "-o", "jsonpath={.spec.hard.pods}"];
    let patch = r#"{"spec":{"hard":{"pods":"9999"}}}"#;
    tenant
        .on_host(&["patch", "resourcequota", "warren-tenant", "--type=merge", "-p", patch])?
        .success()?;
    until("the quota is as it was", 90, || {
        let pods = tenant.on_host(&quota)?.success()?;
        Ok(if pods == "9999" { Err(pods) } else { Ok(()) })
    })?;
    let text = lab.warren(&["explain", "tenant", &tenant.name])?.success()?;
    ensure!(text.contains(&cluster), "explain names what is damaged: {text}");
    let service = tenant.on_host(&["get", "service", &cluster, "-o", "name"])?;
    ensure!(service.code != 0, "the service is not recreated");
    let operation = tenant.delete("")?;
    let end = tenant.operation_end(&operation, 120)?;
    ensure!(end["state"] == "succeeded", "a damaged tenant can be deleted: {end}");
    Ok(())
}

#[test]
fn a_repeated_request_with_the_same_key_makes_one_tenant() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let name = format!("once-{}", std::process::id());
    let post = |plan: &str| {
        let request = lab.request(reqwest::Method::POST, "/api/v1/tenants")?;
        let answer = request
            .header("Idempotency-Key", &name)
            .json(&json!({"name": name, "plan": plan}))
            .send()?;
        anyhow::Ok((answer.status().as_u16(), answer.json::<Value>()?))
    };
    let (first_status, first) = post("starter")?;
    let (second_status, second) = post("starter")?;
    ensure!(
        first_status == 201 && second_status == 201 && first["id"] == second["id"],
        "{first} {second}"
    );
    let (other, problem) = post("pro")?;
    ensure!(other == 422, "another body under the same key is refused: {other} {problem}");
    lab.request(reqwest::Method::DELETE, &format!("/api/v1/tenants/{name}"))?.send()?;
    Ok(())
}

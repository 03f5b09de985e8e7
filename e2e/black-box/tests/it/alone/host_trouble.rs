//! The host's API server refuses, is away, is slow, or holds something that is in Warren's way: a condition says so
//! in words, nothing is asked in a storm, and work goes on by itself when the trouble is over.

use crate::rights::Withheld;
use anyhow::{Context, Result, ensure};
use black_box::{Audit, Lab, TestTenant, kubectl_in, until};
use serde_json::{Value, json};
use std::{
    process::{Child, Stdio},
    time::{Duration, Instant},
};

/// How long work may take to go on after the trouble is over, beyond the time that a new tenant takes, in seconds.
const RESUMES: u64 = 150;

/// Finds a condition, and says what all of them are if there is none like it.
fn condition(
    tenant: &TestTenant,
    is_it: impl Fn(&str, &str) -> bool,
) -> Result<Result<Value, String>> {
    let conditions = tenant.describe()?["conditions"].clone();
    let found = conditions.as_array().into_iter().flatten().find(|condition| {
        let text = |name: &str| condition[name].as_str().unwrap_or_default();
        condition["status"] != "True" && is_it(text("reason"), text("message"))
    });
    Ok(found.cloned().ok_or_else(|| conditions.to_string()))
}

fn wait_ready(tenant: &TestTenant) -> Result<()> {
    until(&format!("{} is ready", tenant.name), RESUMES, || {
        let tenant = tenant.describe()?;
        Ok(if tenant["phase"] == "ready" { Ok(()) } else { Err(tenant.to_string()) })
    })
}

/// One of each thing that a tenant is made of, and one operation that made it.
fn assert_nothing_is_doubled(lab: &Lab, tenant: &TestTenant) -> Result<()> {
    let (namespace, cluster) = (tenant.host_namespace()?, tenant.cluster()?);
    let label = format!("warren.dev/cluster={cluster}");
    let count = |arguments: &[&str]| {
        let arguments = [&["get", "-o", "name"], arguments].concat();
        anyhow::Ok(lab.kubectl(&arguments)?.success()?.lines().count())
    };
    for kind in ["namespaces", "statefulsets"] {
        ensure!(count(&[kind, "-A", "-l", &label])? == 1, "one of {kind}");
    }
    ensure!(count(&["-n", &namespace, "pods", "-l", "app=vcluster"])? == 1, "one control plane");
    ensure!(count(&["-n", &namespace, "persistentvolumeclaims"])? == 1, "one volume");
    let operations = lab.get(&tenant.path("/operations"))?;
    let operations = operations["items"].as_array().context("operations")?;
    ensure!(
        operations.len() == 1 && operations[0]["state"] == "succeeded",
        "one operation, and it succeeded: {operations:?}"
    );
    Ok(())
}

#[test]
fn a_right_that_is_missing_is_named_and_what_the_doctor_prints_mends_it() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let warren = lab.process("warren")?;
    let _back = Withheld::new(&lab, "networkpolicies", &["create", "patch"])?;
    let tenant = TestTenant::created(&lab, "forbidden")?;
    until("the condition names the right", 20, || {
        condition(&tenant, |reason, message| {
            reason == "Forbidden"
                && message.contains("on the host cluster: 403")
                && message.contains("cannot patch resource \"networkpolicies\"")
        })
    })?;
    let output = lab.warren(&["doctor", "-o", "json"])?;
    ensure!(output.code == 1, "the doctor is not content: {}", output.text());
    let finding = super::doctor::finding(&output.stdout, "rights")?;
    let detail = finding["detail"].as_str().unwrap_or_default();
    ensure!(
        finding["isOk"] == false
            && detail.contains("create, patch networkpolicies.networking.k8s.io"),
        "{finding}"
    );
    let manifest = finding["wayOut"].as_str().context("what to do")?;
    lab.kubectl_with_input(&["apply", "-f", "-"], manifest)?.success()?;
    wait_ready(&tenant)?;
    ensure!(lab.process("warren")? == warren, "nobody had to start Warren again");
    Ok(())
}

/// A level of priority with no room, and Warren in it: the host's API server answers 429 to Warren and to nobody else.
struct Jail<'a> {
    lab: &'a Lab,
    /// Even a level without room lets one request in while there is no other: this one, which never ends.
    only: Option<Child>,
}

const JAIL: &str = "warren-test-jail";

impl<'a> Jail<'a> {
    fn new(lab: &'a Lab) -> Result<Self> {
        let api = "flowcontrol.apiserver.k8s.io/v1";
        let level = json!({"apiVersion": api, "kind": "PriorityLevelConfiguration", "metadata": {"name": JAIL},
            "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 0, "lendablePercent": 0,
                "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}}});
        let schema = json!({"apiVersion": api, "kind": "FlowSchema", "metadata": {"name": JAIL}, "spec": {
            "priorityLevelConfiguration": {"name": JAIL}, "matchingPrecedence": 2,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [{
                "subjects": [{"kind": "User", "user": {"name": "warren"}}],
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true,
                    "namespaces": ["*"]}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}});
        let mut jail = Self { lab, only: None };
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [level, schema]});
        lab.kubectl_with_input(&["create", "-f", "-"], &list.to_string())?.success()?;
        until("the host has no room for Warren", 20, || {
            let is_waiting = match &mut jail.only {
                Some(only) => only.try_wait()?.is_none(),
                None => false,
            };
            if !is_waiting {
                jail.only = Some(jail.never_ending()?);
            }
            let executing = jail.metric("apiserver_flowcontrol_current_executing_requests")?;
            let is_full = is_waiting && executing == 1;
            Ok(if is_full { Ok(()) } else { Err(format!("{executing} are being carried out")) })
        })?;
        Ok(jail)
    }

    /// A request of Warren's user whose body never comes.
    fn never_ending(&self) -> Result<Child> {
        let kubeconfig = self.lab.state.join("pki/warren.kubeconfig");
        let mut kubectl = kubectl_in(&self.lab.control_namespace, &self.lab.kubectl, &kubeconfig);
        kubectl.args(["--request-timeout=0", "create", "--raw", "/api/v1/namespaces", "-f", "-"]);
        kubectl.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        kubectl.spawn().context("start kubectl")
    }

    /// How many requests have been turned away.
    fn rejected(&self) -> Result<u64> {
        self.metric("apiserver_flowcontrol_rejected_requests_total")
    }

    /// A figure of the host's API server about the jail.
    fn metric(&self, name: &str) -> Result<u64> {
        let metrics = self.lab.kubectl(&["get", "--raw", "/metrics"])?.success()?;
        let is_ours = |line: &&str| {
            line.starts_with(name) && line.contains(&format!("flow_schema=\"{JAIL}\""))
        };
        let number = |line: &str| line.rsplit(' ').next()?.parse::<u64>().ok();
        Ok(metrics.lines().filter(is_ours).filter_map(number).sum())
    }
}

impl Drop for Jail<'_> {
    fn drop(&mut self) {
        if let Some(mut only) = self.only.take() {
            let _ = only.kill();
            let _ = only.wait();
        }
        for kind in ["flowschema", "prioritylevelconfiguration"] {
            let _ = self.lab.kubectl(&["delete", kind, JAIL, "--ignore-not-found"]);
        }
    }
}

/// Waits until Warren, which has just started, has opened its watches: for some seconds no more of them came.
fn watches(audit: &mut Audit) -> Result<()> {
    let calm = Duration::from_secs(3);
    let (mut open, mut last) = (0, Instant::now());
    until("its watches are open", 30, || {
        let asked = audit.of_warren()?;
        let is_watch = |one: &&Value| one["verb"] == "watch" && one["stage"] == "ResponseStarted";
        let more = asked.iter().filter(is_watch).count();
        if more > 0 {
            (open, last) = (open + more, Instant::now());
        }
        let is_calm = open > 0 && last.elapsed() > calm;
        Ok(if is_calm { Ok(()) } else { Err(format!("{open} are")) })
    })
}

#[test]
fn an_overloaded_host_is_named_is_asked_seldom_and_work_goes_on_when_it_answers() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    // Its watches are young: none of them ends, and is opened again, while requests are counted.
    let mut audit = lab.audit()?;
    lab.restart("warren", "TERM")?;
    watches(&mut audit)?;
    let jail = Jail::new(&lab)?;
    let tenant = TestTenant::created(&lab, "overload")?;
    until("the condition says so", 20, || {
        condition(&tenant, |reason, message| {
            // Which request is the first to be turned away depends on how far Warren's start is.
            reason == "TooManyRequests" && message.contains("on the host cluster: 429")
        })
    })?;
    let (before, start) = (jail.rejected()?, Instant::now());
    let window = Duration::from_secs(5);
    until("five seconds have passed", 6, || {
        Ok(if start.elapsed() < window { Err("not yet".to_owned()) } else { Ok(()) })
    })?;
    let asked = jail.rejected()? - before;
    ensure!((1..=25).contains(&asked), "in five seconds it was asked {asked} times");
    drop(jail);
    wait_ready(&tenant)?;
    assert_nothing_is_doubled(&lab, &tenant)
}

#[test]
fn an_api_server_that_is_killed_or_hangs_while_a_tenant_is_made_delays_it_and_nothing_more()
-> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let killed = TestTenant::created(&lab, "away")?;
    let restart = lab.restart_begin("kube-apiserver", "KILL")?;
    let said = until("the condition says so", 30, || {
        condition(&killed, |reason, message| {
            (reason == "Unreachable" || reason == "NoAnswer")
                && message.contains("on the host cluster: no ")
        })
    });
    // Whatever was said: the next test finds a host that answers.
    restart.wait()?;
    until("the host answers again", 60, || {
        let ready = lab.kubectl(&["get", "--raw", "/readyz"])?;
        Ok(if ready.code == 0 { Ok(()) } else { Err(ready.text()) })
    })?;
    let said = said?;
    ensure!(said["status"] == "Unknown", "nobody could look, so nobody knows: {said}");
    wait_ready(&killed)?;

    let hung = TestTenant::created(&lab, "slow")?;
    let frozen = lab.freeze("kube-apiserver")?;
    until("the condition says what was not answered", 60, || {
        let asked = Instant::now();
        let phase = hung.describe()?["phase"].clone();
        ensure!(asked.elapsed() < Duration::from_secs(1), "Warren's own API hangs too");
        ensure!(phase != "ready", "nothing is ready that nobody could make: {phase}");
        condition(&hung, |reason, message| {
            reason == "NoAnswer" && message.contains("on the host cluster: no answer")
        })
    })?;
    drop(frozen);
    wait_ready(&hung)?;
    assert_nothing_is_doubled(&lab, &killed)?;
    assert_nothing_is_doubled(&lab, &hung)
}

#[test]
fn a_host_that_hangs_or_refuses_when_the_server_starts_is_named_and_work_goes_on() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let frozen = lab.freeze("kube-apiserver")?;
    lab.restart("warren", "KILL")?;
    let tenant = TestTenant::created(&lab, "early")?;
    until("the condition says what was not answered", 60, || {
        condition(&tenant, |reason, message| {
            reason == "NoAnswer"
                && message.contains("list EndpointSlice default/* on the host cluster")
        })
    })?;
    drop(frozen);
    wait_ready(&tenant)?;

    let withheld = Withheld::new(&lab, "validatingadmissionpolicies", &["list"])?;
    lab.restart("warren", "KILL")?;
    let refused = TestTenant::created(&lab, "unguarded")?;
    until("the condition names the right", 60, || {
        condition(&refused, |reason, message| {
            reason == "Forbidden"
                && message.contains("list ValidatingAdmissionPolicy")
                && message.contains("on the host cluster: 403")
        })
    })?;
    let namespace = lab.kubectl(&["get", "namespace", &refused.host_namespace()?])?;
    ensure!(namespace.code != 0, "nothing is made before the host's policies hold");
    drop(withheld);
    wait_ready(&refused)?;
    assert_nothing_is_doubled(&lab, &tenant)?;
    assert_nothing_is_doubled(&lab, &refused)
}

/// Somebody else's objects under names that are Warren's.
fn squat(lab: &Lab, namespace: &str, cluster: &str) -> Result<()> {
    let role = format!("vc-{cluster}");
    let labels = json!({ "app": "somebody-elses" });
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "none"}]}});
    let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": cluster, "namespace": namespace},
        "spec": {"replicas": 0, "serviceName": "other", "selector": {"matchLabels": labels}, "template": template}});
    lab.kubectl_with_input(&["create", "-f", "-"], &set.to_string())?.success()?;
    // Warren makes its own binding again as soon as that is gone.
    until("the binding is somebody else's", 20, || {
        lab.kubectl(&["-n", namespace, "delete", "rolebinding", &role, "--ignore-not-found"])?;
        let account = format!("--serviceaccount={namespace}:{role}");
        let rights = ["create", "rolebinding", &role, "--clusterrole=view", &account];
        let created = lab.kubectl(&[&["-n", namespace], &rights[..]].concat())?;
        Ok(if created.code == 0 { Ok(()) } else { Err(created.text()) })
    })?;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "warren-tenant", "namespace": namespace}, "spec": {"hard": {"pods": "1"}}});
    let apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=other", "-f", "-"];
    lab.kubectl_with_input(&apply, &quota.to_string())?.success()?;
    Ok(())
}

#[test]
fn what_somebody_else_put_in_the_way_is_put_right_or_named() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    // Without this right everything is made but the control plane: there is time to be in its way.
    let withheld = Withheld::new(&lab, "statefulsets", &["create"])?;
    let tenant = TestTenant::created(&lab, "conflict")?;
    until("everything else is made", 20, || {
        condition(&tenant, |reason, message| {
            reason == "Forbidden" && message.contains("\"statefulsets\"")
        })
    })?;
    let (namespace, cluster) = (tenant.host_namespace()?, tenant.cluster()?);
    squat(&lab, &namespace, &cluster)?;
    drop(withheld);
    until("the stateful set that cannot be changed is named", RESUMES, || {
        condition(&tenant, |reason, message| {
            reason == "Damaged" && message.contains(&format!("StatefulSet {namespace}/{cluster}"))
        })
    })?;
    lab.kubectl(&["-n", &namespace, "delete", "statefulset", &cluster])?.success()?;
    wait_ready(&tenant)?;
    let get = |what: &str, path: &str| {
        let path = format!("jsonpath={{{path}}}");
        lab.kubectl(&["-n", &namespace, "get", what, "-o", &path])?.success()
    };
    let role = get(&format!("rolebinding/vc-{cluster}"), ".roleRef.name")?;
    ensure!(role == "warren-control-plane", "the binding is to Warren's role: {role}");
    let pods = get("resourcequota/warren-tenant", ".spec.hard.pods")?;
    ensure!(pods != "1", "the quota is the plan's: {pods}");
    Ok(())
}

/// An API of the host whose server is not there; gone when this is dropped.
struct DeadApi<'a>(&'a Lab);

const DEAD_API: &str = "v1.dead.example.com";

impl<'a> DeadApi<'a> {
    fn new(lab: &'a Lab) -> Result<Self> {
        let service = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": DEAD_API}, "spec": {"group": "dead.example.com", "version": "v1",
                "groupPriorityMinimum": 100, "versionPriority": 1, "insecureSkipTLSVerify": true,
                "service": {"name": "nobody", "namespace": "default"}}});
        let api = Self(lab);
        lab.kubectl_with_input(&["create", "-f", "-"], &service.to_string())?.success()?;
        Ok(api)
    }
}

impl Drop for DeadApi<'_> {
    fn drop(&mut self) {
        let _ = self.0.kubectl(&["delete", "apiservice", DEAD_API, "--ignore-not-found"]);
    }
}

/// Waits until a step of an operation is blocked by something.
fn wait_blocked(lab: &Lab, operation: &Value, step: &str, words: &[&str]) -> Result<()> {
    let id = operation["id"].as_str().context("an operation has an id")?;
    until(&format!("{step} is blocked by {words:?}"), 40, || {
        let operation = lab.get(&format!("/api/v1/operations/{id}"))?;
        let steps = operation["steps"].as_array().cloned().unwrap_or_default();
        let is_blocked = steps.iter().any(|found| {
            let message = found["message"].as_str().unwrap_or_default();
            found["name"] == step
                && found["state"] == "blocked"
                && words.iter().all(|word| message.contains(word))
        });
        Ok(if is_blocked { Ok(()) } else { Err(operation.to_string()) })
    })
}

#[test]
fn a_held_volume_and_an_api_that_does_not_answer_are_named_and_force_says_what_it_left()
-> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let tenant = TestTenant::created(&lab, "held")?;
    let (namespace, cluster) = (tenant.host_namespace()?, tenant.cluster()?);
    let claim = format!("data-{cluster}-0");
    until("it has a volume", 30, || {
        let found = lab.kubectl(&["-n", &namespace, "get", "persistentvolumeclaim", &claim])?;
        Ok(if found.code == 0 { Ok(()) } else { Err(found.text()) })
    })?;
    let hold = |finalizers: &Value| {
        let patch = json!({ "metadata": { "finalizers": finalizers } }).to_string();
        let what = ["patch", "persistentvolumeclaim", &claim, "--type=merge", "-p", &patch];
        lab.kubectl(&[&["-n", &namespace], &what[..]].concat())?.success()
    };
    hold(&json!(["example.com/kept"]))?;
    let api = DeadApi::new(&lab)?;
    let operation = tenant.delete("")?;
    let named = wait_blocked(&lab, &operation, "volumes", &["example.com/kept", &claim]);
    hold(&Value::Null)?;
    named?;
    wait_blocked(&lab, &operation, "namespace", &["dead.example.com", "APIService"])?;
    let forced = tenant.delete("?force=true")?;
    let end = tenant.operation_end(&forced, 60)?;
    let problem = end["problem"].to_string();
    ensure!(
        problem.contains(&namespace) && problem.contains("dead.example.com"),
        "it says what it left and why: {end}"
    );
    drop(api);
    until("the rest goes by itself once the API is gone", 60, || {
        let left =
            lab.kubectl(&["get", "namespace", &namespace, "--ignore-not-found"])?.success()?;
        Ok(if left.is_empty() { Ok(()) } else { Err(left) })
    })
}

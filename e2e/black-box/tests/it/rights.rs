//! Rights on the host cluster: Warren needs none that its role does not give it, and what happens when one is taken away.

use anyhow::{Context, Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::Value;

/// Rights that Warren does not have at present; it has them again when this is dropped.
pub(crate) struct Withheld {
    lab: Lab,
    /// The role as it was.
    role: Value,
    verbs: Vec<String>,
    resource: String,
}

impl Withheld {
    /// Takes verbs on a resource out of Warren's role.
    pub(crate) fn new(lab: &Lab, resource: &str, verbs: &[&str]) -> Result<Self> {
        let role = lab.kubectl(&["get", "clusterrole", "warren", "-o", "json"])?.success()?;
        let mut role: Value = serde_json::from_str(&role)?;
        if let Some(metadata) = role["metadata"].as_object_mut() {
            metadata.retain(|name, _| name == "name" || name == "labels");
        }
        let withheld = Self {
            lab: lab.clone(),
            role: role.clone(),
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            resource: resource.to_owned(),
        };
        let mut count = 0;
        for rule in role["rules"].as_array_mut().context("rules")? {
            let has = |list: &Value, text: &str| {
                list.as_array().is_some_and(|list| list.iter().any(|item| item == text))
            };
            if has(&rule["resources"], resource) {
                let granted = rule["verbs"].as_array_mut().context("verbs")?;
                let before = granted.len();
                granted.retain(|verb| !verbs.iter().any(|withheld| verb == withheld));
                count += before - granted.len();
                // A rule without a verb is refused.
                if granted.is_empty() {
                    granted.push("get".into());
                }
            }
        }
        ensure!(count >= verbs.len(), "the role has all of {verbs:?} on {resource}");
        lab.kubectl_with_input(&["replace", "-f", "-"], &role.to_string())?.success()?;
        // The host's authorizer hears of it a little later.
        withheld.wait("no")?;
        Ok(withheld)
    }

    /// Waits until the host says of all these rights whether Warren has them.
    fn wait(&self, word: &str) -> Result<()> {
        for verb in &self.verbs {
            until("the host knows", 10, || {
                let question = ["auth", "can-i", verb, &self.resource, "-A", "--as=warren"];
                let answer = self.lab.kubectl(&question)?;
                Ok(if answer.stdout.trim() == word { Ok(()) } else { Err(answer.text()) })
            })?;
        }
        Ok(())
    }
}

impl Drop for Withheld {
    fn drop(&mut self) {
        let role = self.role.to_string();
        let _ = self.lab.kubectl_with_input(&["replace", "-f", "-"], &role);
        // What the doctor has prescribed meanwhile.
        for kind in ["clusterrolebinding", "clusterrole"] {
            let _ = self.lab.kubectl(&["delete", kind, "warren-missing", "--ignore-not-found"]);
        }
        // Nobody else is to be refused for what this test took away.
        let _ = self.wait("yes");
    }
}

#[test]
fn a_tenants_whole_life_needs_no_right_that_warrens_role_does_not_give() -> Result<()> {
    // Those that take rights away on purpose have the lab alone, and give them back before they let go of it.
    let Some(lab) = Lab::running() else { return Ok(()) };
    let mut audit = lab.audit()?;
    let tenant = TestTenant::ready(&lab, "rights")?;
    let namespace = tenant.host_namespace()?;
    let session = tenant.shell_session("echo hello")?;
    tenant.session_end(&session, 60)?;
    lab.kubectl(&["-n", &namespace, "delete", "networkpolicy", "--all"])?.success()?;
    until("what was deleted is back", 20, || {
        let text = lab.kubectl(&["-n", &namespace, "get", "networkpolicy", "-o", "name"])?;
        Ok(if text.stdout.is_empty() { Err(text.text()) } else { Ok(()) })
    })?;
    lab.warren(&["explain", "tenant", &tenant.name])?.success()?;
    tenant.removed(120)?;

    let asked = audit.of_warren()?;
    ensure!(asked.len() > 20, "Warren asked for something: {asked:?}");
    let is_refused =
        |event: &&Value| event["annotations"]["authorization.k8s.io/decision"] == "forbid";
    let told = |event: &Value| format!("{} {}", event["verb"], event["requestURI"]);
    let refused: Vec<String> = asked.iter().filter(is_refused).map(told).collect();
    ensure!(refused.is_empty(), "refused for lack of rights: {refused:?}");
    Ok(())
}

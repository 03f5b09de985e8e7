//! What all tenants of a host stand on.

use anyhow::{Result, ensure};
use black_box::{Lab, TestTenant, until};

#[test]
fn what_all_tenants_of_the_host_stand_on_is_back_and_works_when_somebody_deletes_it() -> Result<()>
{
    // Meanwhile no policy holds.
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let kinds = ["validating", "mutating"].map(|kind| format!("{kind}admissionpolicies"));
    let kinds =
        kinds.iter().flat_map(|kind| [kind.clone(), kind.replace("policies", "policybindings")]);
    let kinds: Vec<String> = kinds.chain(["clusterroles".to_owned()]).collect();
    let kinds = kinds.join(",");
    let ours = ["-l", "app.kubernetes.io/managed-by=warren"];
    let look = || lab.kubectl(&[&["get", &kinds, "-o", "name"], &ours[..]].concat())?.success();
    let before = look()?;
    for kind in ["validatingadmissionpolicy.", "mutatingadmissionpolicybinding.", "clusterrole."] {
        ensure!(before.contains(kind), "there are some: {before}");
    }
    lab.kubectl(&[&["delete", &kinds], &ours[..]].concat())?.success()?;
    until("all of them are back", 10, || {
        let now = look()?;
        Ok(if now == before { Ok(()) } else { Err(now) })
    })?;
    // Those that have parameters go by them as they are now.
    let tenant = TestTenant::created_with_nodes(&lab, "after-policies", 1)?;
    tenant.wait_ready()
}

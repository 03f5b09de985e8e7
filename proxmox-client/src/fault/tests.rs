use super::*;
use proptest::prelude::*;

fn locked(lock: &str) -> Fault {
    Fault::Locked { lock: lock.to_owned() }
}

#[test]
fn the_same_text_is_the_same_fault_in_an_answer_and_in_a_task() {
    for (text, expected) in [
        (
            "Configuration file 'nodes/pve1/qemu-server/120.conf' does not exist",
            Fault::NotFound(Missing::Vm),
        ),
        ("no such cluster node 'pve9'", Fault::NotFound(Missing::Node)),
        (
            "hostname lookup 'pve9' failed - failed to get address info",
            Fault::NotFound(Missing::Node),
        ),
        ("volume 'local:snippets/x.yaml' does not exist", Fault::NotFound(Missing::Volume)),
        ("storage 'fast' does not exist", Fault::NotFound(Missing::Storage)),
        ("pool 'warren' does not exist", Fault::NotFound(Missing::Pool)),
        ("snapshot 'before' does not exist", Fault::NotFound(Missing::Snapshot)),
        ("unable to create VM 120: config file already exists", Fault::AlreadyExists),
        ("snapshot name 'a' already used", Fault::AlreadyExists),
        ("VM is locked (clone)", locked("clone")),
        ("VM 120 is locked (snapshot-delete)", locked("snapshot-delete")),
        ("can't lock file '/var/lock/qemu-server/lock-120.conf' - got timeout", Fault::LockTimeout),
        ("cfs-lock 'storage-fast' error: got lock request timeout", Fault::LockTimeout),
        ("cluster not ready - no quorum?", Fault::NoQuorum),
        ("VM 120 is running - destroy failed", Fault::Running),
        ("VM 120 already running", Fault::Running),
        ("VM 120 not running", Fault::NotRunning),
        ("can't remove VM 120 - protection mode enabled", Fault::Protected),
        (
            "detected modified configuration - file changed by other user? Try again. - checksum mismatch",
            Fault::DigestMismatch,
        ),
        ("QEMU guest agent is not running", Fault::AgentDown),
        ("VM 120 qga command 'guest-ping' failed - got timeout", Fault::AgentDown),
        ("VM quit/powerdown failed - got timeout", Fault::TimedOut),
        ("command 'qemu-img convert' failed: interrupted by signal", Fault::Interrupted),
        ("unexpected status", Fault::Interrupted),
        ("something new", Fault::Other),
        ("", Fault::Other),
    ] {
        assert_eq!(Fault::of_task(text), expected, "{text}");
        assert_eq!(Fault::of_answer(500, text, Vec::new()), expected, "{text}");
    }
}

#[test]
fn a_storage_that_is_gone_is_not_a_vm_that_is_gone() {
    let text = "clone failed: storage 'fast' does not exist";
    assert_eq!(Fault::of_task(text), Fault::NotFound(Missing::Storage));
}

#[test]
fn a_missing_right_is_told_by_path_and_privilege() {
    let refused = |path: Option<&str>, privilege: Option<&str>| Fault::Forbidden {
        path: path.map(str::to_owned),
        privilege: privilege.map(str::to_owned),
    };
    for (text, expected) in [
        (
            "Permission check failed (/vms/120, VM.Audit)",
            refused(Some("/vms/120"), Some("VM.Audit")),
        ),
        (
            "Permission check failed (/vms/120, VM.Audit|VM.GuestAgent.Audit)",
            refused(Some("/vms/120"), Some("VM.Audit|VM.GuestAgent.Audit")),
        ),
        ("Permission check failed", refused(None, None)),
        ("", refused(None, None)),
        ("Permission check failed (user != root@pam)", refused(None, None)),
    ] {
        assert_eq!(Fault::of_answer(403, text, Vec::new()), expected, "{text}");
    }
    assert_eq!(
        Fault::of_task("Permission check failed (/storage/fast, Datastore.AllocateSpace)"),
        refused(Some("/storage/fast"), Some("Datastore.AllocateSpace"))
    );
}

#[test]
fn refused_parameters_keep_their_texts() {
    let field =
        |field: &str, text: &str| FieldFault { field: field.to_owned(), text: text.to_owned() };
    let fields = vec![field("full", "type check ('boolean') failed - got 'true'")];
    let fault = Fault::of_answer(400, "Parameter verification failed.", fields.clone());
    assert_eq!(fault, Fault::BadParameter { fields });
    let lost = vec![field("upid", "no such task")];
    assert_eq!(Fault::of_answer(400, "", lost), Fault::NotFound(Missing::Task));
}

#[test]
fn a_status_tells_what_the_text_does_not() {
    for (status, text, expected) in [
        (401, "No ticket", Fault::Unauthorized),
        (501, "Method 'GET /x' not implemented", Fault::NotImplemented),
        (595, "No route to host", Fault::NodeUnreachable),
        (596, "Broken pipe", Fault::NodeUnreachable),
        (599, "Too many redirections", Fault::NodeUnreachable),
        (503, "Service Unavailable", Fault::NodeUnreachable),
        (429, "", Fault::TooManyCalls),
    ] {
        assert_eq!(Fault::of_answer(status, text, Vec::new()), expected, "{status}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*|(Permission check failed|VM is locked) \\(?[a-z/,|)]{0,20}", status in 400_u16..600) {
        let _ = Fault::of_answer(status, &text, Vec::new());
    }
}

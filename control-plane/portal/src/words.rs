//! The words and the tones of all states, in one place.

use domain::{
    Bytes, ConditionKind, ConditionStatus, Millicores, NodeState, OperationKind, OperationState,
    Role, SessionState, StepState, TenantPhase,
};

/// How something is, beside its word: picks icon and colour, which never stand alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Ok,
    /// Something is being done.
    Busy,
    /// It needs a look.
    Warn,
    Bad,
    /// Neither well nor unwell.
    Info,
    /// Not begun, or over.
    Off,
}

impl Tone {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Busy => "busy",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Info => "info",
            Self::Off => "off",
        }
    }
}

pub(crate) const fn phase(phase: TenantPhase) -> (Tone, &'static str) {
    match phase {
        TenantPhase::Pending => (Tone::Info, "Pending"),
        TenantPhase::Provisioning => (Tone::Busy, "Provisioning"),
        TenantPhase::Ready => (Tone::Ok, "Ready"),
        TenantPhase::Degraded => (Tone::Warn, "Degraded"),
        TenantPhase::Deleting => (Tone::Busy, "Deleting"),
    }
}

pub(crate) const fn operation(state: OperationState) -> (Tone, &'static str) {
    match state {
        OperationState::Waiting => (Tone::Off, "Waiting"),
        OperationState::Running => (Tone::Busy, "Running"),
        OperationState::Undoing => (Tone::Warn, "Undoing"),
        OperationState::Succeeded => (Tone::Ok, "Succeeded"),
        OperationState::Failed => (Tone::Bad, "Failed"),
    }
}

pub(crate) const fn step(state: StepState) -> (Tone, &'static str) {
    match state {
        StepState::Waiting => (Tone::Off, "Waiting"),
        StepState::Running => (Tone::Busy, "Running"),
        StepState::Done => (Tone::Ok, "Done"),
        StepState::Blocked => (Tone::Bad, "Blocked"),
        StepState::Undoing => (Tone::Warn, "Undoing"),
        StepState::Undone => (Tone::Off, "Undone"),
    }
}

pub(crate) const fn condition(status: ConditionStatus) -> (Tone, &'static str) {
    match status {
        ConditionStatus::True => (Tone::Ok, "True"),
        ConditionStatus::False => (Tone::Warn, "False"),
        ConditionStatus::Unknown => (Tone::Off, "Unknown"),
    }
}

pub(crate) const fn node(state: NodeState) -> (Tone, &'static str) {
    match state {
        NodeState::Attaching => (Tone::Busy, "Attaching"),
        NodeState::Ready => (Tone::Ok, "Ready"),
        NodeState::Stopping => (Tone::Busy, "Stopping"),
        NodeState::Stopped => (Tone::Off, "Stopped"),
        NodeState::Starting => (Tone::Busy, "Starting"),
        NodeState::Rebooting => (Tone::Busy, "Rebooting"),
        NodeState::Releasing => (Tone::Busy, "Releasing"),
        NodeState::Released => (Tone::Off, "Released"),
    }
}

pub(crate) const fn session(state: SessionState) -> (Tone, &'static str) {
    match state {
        SessionState::Queued => (Tone::Off, "Queued"),
        SessionState::Starting => (Tone::Busy, "Starting"),
        SessionState::Running => (Tone::Busy, "Running"),
        SessionState::Stopping => (Tone::Warn, "Stopping"),
        SessionState::Succeeded => (Tone::Ok, "Succeeded"),
        SessionState::Failed => (Tone::Bad, "Failed"),
        SessionState::TimedOut => (Tone::Bad, "Timed out"),
        SessionState::Stopped => (Tone::Off, "Stopped"),
    }
}

/// What an operation does, as the name of a list entry.
pub(crate) const fn operation_kind(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::TenantCreate => "Create tenant",
        OperationKind::TenantDelete => "Delete tenant",
        OperationKind::NodeAttach => "Attach node",
        OperationKind::NodeRelease => "Release node",
        OperationKind::NodeStop => "Stop node",
        OperationKind::NodeStart => "Start node",
        OperationKind::NodeReboot => "Reboot node",
        OperationKind::PlanChange => "Change plan",
    }
}

/// What a condition is about.
pub(crate) const fn condition_kind(kind: ConditionKind) -> &'static str {
    match kind {
        ConditionKind::NamespaceReady => "Namespace",
        ConditionKind::ControlPlaneReady => "Control plane",
        ConditionKind::NodesReady => "Nodes",
        ConditionKind::NodesExclusive => "Exclusivity",
        ConditionKind::DnsReady => "DNS",
        ConditionKind::BaselineReady => "Baseline",
        ConditionKind::Ready => "Ready",
    }
}

/// What somebody with a role does; the end of a sentence that begins with them.
pub(crate) const fn role(role: Role) -> &'static str {
    match role {
        Role::Operator => "runs the platform: sees and changes every tenant",
        Role::Owner => "does everything: people, tenants, plans, and deletion",
        Role::Admin => "does what an owner does, but changes no plans and deletes no tenants",
        Role::Developer => "runs sessions and uses the clusters",
        Role::Viewer => "looks on: sees tenants, sessions and their logs",
        Role::Billing => "sees tenants and their numbers, no sessions",
    }
}

/// Cores as people write them: `3.5`.
pub(crate) fn cores(Millicores(millicores): Millicores) -> String {
    let (whole, rest) = (millicores / 1000, millicores % 1000);
    let text = format!("{whole}.{rest:03}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Memory or storage as people write it: `13 GiB`.
pub(crate) fn size(bytes: Bytes) -> String {
    let text = bytes.rounded().to_string();
    match text.strip_suffix('i') {
        Some(amount) => {
            let (number, unit) = amount.split_at(amount.len() - 1);
            format!("{number} {unit}iB")
        }
        None => format!("{text} B"),
    }
}

/// So many of something: `1 session`, `2 sessions`.
pub(crate) fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// A stable name in kebab-case as a heading: `control-plane` becomes `Control plane`.
pub(crate) fn heading(name: &str) -> String {
    if name == "dns" {
        return "DNS".to_owned();
    }
    let text = name.replace('-', " ");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_their_units_and_nothing_that_says_nothing() {
        let cores = [0, 250, 3500, 8000, 15_125].map(|one| cores(Millicores(one)));
        assert_eq!(cores, ["0", "0.25", "3.5", "8", "15.125"]);
        let sizes = [Bytes(0), Bytes::mebi(640), Bytes::gibi(13), Bytes::gibi(2048)].map(size);
        assert_eq!(sizes, ["0 B", "640 MiB", "13 GiB", "2 TiB"]);
        assert_eq!([count(0, "node"), count(1, "node")], ["0 nodes", "1 node"]);
    }
}

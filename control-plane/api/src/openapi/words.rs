//! Texts that are one of some words, for the OpenAPI document.

use domain::{
    ConditionKind, NodeShape, NodeState, OnDrain, OperationKind, OrphanKind, OrphanProof,
    OrphanState, PlanBatchLineState, PlanBatchState, PlanName, Role, SessionState,
    SessionsDuringMove, Verdict, VolumesDuringMove, VolumesOnDisk,
};
use utoipa::openapi::{Object, ObjectBuilder, Type, schema::SchemaType};

fn one_of(words: impl IntoIterator<Item = &'static str>) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).build()
}

fn one_of_or_null(words: impl IntoIterator<Item = &'static str>) -> Object {
    let words: Vec<_> = words.into_iter().map(Some).chain([None]).collect();
    let types = SchemaType::from_iter([Type::String, Type::Null]);
    ObjectBuilder::new().schema_type(types).enum_values(Some(words)).build()
}

pub(crate) fn plan() -> Object {
    one_of(PlanName::ALL.map(PlanName::as_str))
}

pub(crate) fn phase() -> Object {
    one_of(["pending", "provisioning", "ready", "degraded", "deleting"])
}

pub(crate) fn condition() -> Object {
    one_of(ConditionKind::ALL.map(ConditionKind::as_str))
}

pub(crate) fn condition_status() -> Object {
    one_of(["True", "False", "Unknown"])
}

pub(crate) fn on_drain() -> Object {
    one_of(OnDrain::ALL.map(OnDrain::as_str))
}

pub(crate) fn sessions_during_move() -> Object {
    one_of(SessionsDuringMove::ALL.map(SessionsDuringMove::as_str))
}

pub(crate) fn volumes_during_move() -> Object {
    one_of(VolumesDuringMove::ALL.map(VolumesDuringMove::as_str))
}

pub(crate) fn volumes_on_disk() -> Object {
    one_of(VolumesOnDisk::ALL.map(VolumesOnDisk::as_str))
}

pub(crate) fn verdict() -> Object {
    one_of(Verdict::ALL.map(Verdict::as_str))
}

pub(crate) fn plan_batch_state() -> Object {
    one_of(PlanBatchState::ALL.map(PlanBatchState::as_str))
}

pub(crate) fn plan_batch_line_state() -> Object {
    one_of(PlanBatchLineState::ALL.map(PlanBatchLineState::as_str))
}

pub(crate) fn operation_kind() -> Object {
    one_of(OperationKind::ALL.map(OperationKind::as_str))
}

pub(crate) fn operation_state() -> Object {
    one_of(["waiting", "running", "undoing", "succeeded", "failed"])
}

pub(crate) fn step_state() -> Object {
    one_of(["waiting", "running", "done", "blocked", "undoing", "undone"])
}

pub(crate) fn session_state() -> Object {
    one_of(SessionState::ALL.map(SessionState::as_str))
}

/// Or null.
pub(crate) fn failure_class() -> Object {
    let words =
        ["transient", "resource", "user-config", "policy-denied", "agent", "infrastructure"];
    one_of_or_null(words)
}

pub(crate) fn role() -> Object {
    one_of(Role::ALL.map(Role::as_str))
}

pub(crate) fn optional_role() -> Object {
    one_of_or_null(Role::ALL.map(Role::as_str))
}

pub(crate) fn tenant_role() -> Object {
    one_of(Role::ALL.into_iter().filter(|role| *role != Role::Operator).map(Role::as_str))
}

pub(crate) fn change_action() -> Object {
    one_of(["create", "update", "delete", "damage"])
}

pub(crate) fn log_stream() -> Object {
    one_of(["out", "err"])
}

pub(crate) fn line_part() -> Object {
    one_of(["first", "middle", "last"])
}

pub(crate) fn shape() -> Object {
    one_of(NodeShape::ALL.map(NodeShape::as_str))
}

pub(crate) fn node_state() -> Object {
    one_of(NodeState::ALL.map(NodeState::as_str))
}

pub(crate) fn orphan_kind() -> Object {
    one_of(OrphanKind::ALL.map(OrphanKind::as_str))
}

pub(crate) fn orphan_proof() -> Object {
    one_of(OrphanProof::ALL.map(OrphanProof::as_str))
}

pub(crate) fn orphan_state() -> Object {
    one_of(OrphanState::ALL.map(OrphanState::as_str))
}

/// Or null.
pub(crate) fn node_shape() -> Object {
    one_of_or_null(NodeShape::ALL.map(NodeShape::as_str))
}

pub(crate) fn isolation() -> Object {
    one_of(["shared", "dedicated"])
}

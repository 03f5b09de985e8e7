//! Tenants' own nodes.

use crate::{openapi::words, operation::OperationBody, problem::Problem};
use application::{App, operation::typicals};
use axum::{Json, http::StatusCode, response::IntoResponse};
use domain::{Node, NodeState, Operation};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) mod exclusivity;
pub(crate) mod list;
pub(crate) mod reboot;
pub(crate) mod replace;
pub(crate) mod start;
pub(crate) mod stop;

/// A node that nobody else uses: one virtual machine.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Node)]
pub(crate) struct NodeBody {
    #[schema(examples("node_01893f2ec3a77d6ab54bd0a2d0c1c1f5"))]
    id: String,
    /// What it is called as a machine and in the host cluster; never used again.
    #[schema(examples("wn-f3k9x2m7q8hbvt5n"))]
    name: String,
    /// How large it is.
    #[schema(schema_with = words::shape)]
    shape: &'static str,
    #[schema(schema_with = words::node_state)]
    state: NodeState,
    /// Where it is on Proxmox VE; for operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<MachineBody>,
    created_at: Timestamp,
    /// When it was proven to be the machine that was made.
    ready_at: Option<Timestamp>,
    release_requested_at: Option<Timestamp>,
    /// The operation about it that is not over.
    operation: Option<String>,
}

/// A virtual machine.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Machine)]
struct MachineBody {
    /// Its number.
    vm: Option<u32>,
    /// The node of Proxmox VE that it was made on.
    place: Option<String>,
    address: Option<String>,
}

/// The answer to whoever asked for something to be done about a node.
async fn begun(app: &App, operation: Operation) -> Result<impl IntoResponse + use<>, Problem> {
    let headers = [("location", format!("/api/v1/operations/{}", operation.id))];
    let typicals = typicals(app, [operation.kind]).await?;
    let body = OperationBody::new(operation, &typicals, app.clock.now());
    Ok((StatusCode::ACCEPTED, headers, Json(body)))
}

impl NodeBody {
    fn new(node: Node, operation: Option<String>, is_operator: bool) -> Self {
        let state = node.state();
        let machine = is_operator.then(|| MachineBody {
            vm: node.vm.map(|vm| vm.0),
            place: node.place,
            address: node.address.map(|address| address.to_string()),
        });
        Self {
            id: node.id.to_string(),
            name: node.name.to_string(),
            shape: node.shape.as_str(),
            state,
            machine,
            created_at: node.created_at,
            ready_at: node.ready_at,
            release_requested_at: node.release_requested_at,
            operation,
        }
    }
}

//! `warren version`

use clap::Args;
use serde_json::json;

use super::{Context, format::visible, problem::Failure};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  warren version\n  warren version --client -o json")]
pub(crate) struct Arguments {
    /// Do not ask the server
    #[arg(long)]
    client: bool,
}

pub(super) async fn run(cx: &Context, Arguments { client }: &Arguments) -> Result<(), Failure> {
    let own = env!("CARGO_PKG_VERSION");
    let answer = if *client { None } else { Some(cx.client.get(&["version"]).await) };
    let server = answer.as_ref().and_then(|answer| answer.as_ref().ok());
    let value = json!({ "client": { "version": own }, "server": server });
    cx.printer.item("version", own, &value, || {
        let server = server.map(|server| {
            let version = server["version"].as_str().unwrap_or("unknown");
            format!("Server: {} at {}\n", visible(version), cx.client.server())
        });
        format!("Client: {own}\n{}", server.unwrap_or_default())
    })?;
    answer.map_or(Ok(()), |answer| answer.map(|_| ()))
}

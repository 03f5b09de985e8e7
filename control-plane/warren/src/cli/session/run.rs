//! `warren session run`: starts an agent.

use clap::Args;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, time::Duration};

use super::{
    super::{
        Context,
        answer::{Session, decode},
        client::Repeat,
        options::{Format, TenantOption, duration, duration_or_zero, environment_pair, pair},
        problem::Failure,
        upload::{self, InputFile},
        wait::{self, Goal},
    },
    One, log, print, verdict,
};

/// What the server assumes when `--timeout` and `--grace` are left out, and time for the queue.
const USUAL_TIMEOUT: Duration = Duration::from_hours(1);
const USUAL_GRACE: Duration = Duration::from_secs(30);
const QUEUE_TIME: Duration = Duration::from_mins(10);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren session run --tenant acme --image registry.example/agent:1 --follow -- /agent --once
  warren session run --tenant acme --image registry.example/agent:1 \\
      --input prompt.txt --input build/model.bin=model --env MODE=fast --env API_KEY --wait -- /agent

--env NAME without a value takes it from your environment, so that it is in no argument list.
Texts of at most 64 KiB travel in the request; larger and binary inputs are uploaded first.")]
pub(crate) struct Run {
    #[command(flatten)]
    tenant: TenantOption,
    /// The agent's image
    #[arg(long)]
    image: String,
    /// A file that the agent finds in /warren/inputs; may be repeated
    #[arg(long = "input", value_name = "FILE[=NAME]", value_parser = InputFile::parse)]
    inputs: Vec<InputFile>,
    /// A variable of its environment; may be repeated
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = environment_pair)]
    env: Vec<(String, String)>,
    /// A label for finding it again; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// CPU, e.g. 500m or 2
    #[arg(long)]
    cpu: Option<String>,
    /// Memory, e.g. 512Mi or 2Gi
    #[arg(long)]
    memory: Option<String>,
    /// How long it may run, e.g. 30m
    #[arg(long, value_parser = duration)]
    timeout: Option<Duration>,
    /// How long it has to end after SIGTERM, e.g. 10s
    #[arg(long, value_parser = duration_or_zero)]
    grace: Option<Duration>,
    /// The project, a namespace in the tenant's cluster
    #[arg(long)]
    project: Option<String>,
    /// Wait until it is over; exits 8 unless it succeeded
    #[arg(long)]
    wait: bool,
    /// Print its log while it runs; exits as with --wait
    #[arg(short, long)]
    follow: bool,
    /// How long to wait [default: its timeout and grace, and ten minutes for the queue]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    wait_timeout: Option<Duration>,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Run {
    pub(super) async fn run(&self, cx: &Context) -> Result<(), Failure> {
        if self.follow && cx.printer.format != Format::Table {
            return Err(Failure::usage("--follow prints the log, which is no session")
                .hint("take --wait for the session as it ended, or leave -o out"));
        }
        let tenant = &self.tenant.tenant;
        let inputs = upload::inputs(cx, tenant, &self.inputs).await?;
        let path = ["api", "v1", "tenants", tenant, "sessions"];
        let made = cx.client.post(&path, &self.body(inputs), Repeat::WithKey).await?;
        let session: Session = decode(&made)?;
        let id = session.id;
        let limit = self.wait_limit();
        cx.when_interrupted(format!(
            "the session goes on; end it: warren session stop {id} --tenant {tenant}"
        ));
        if self.follow {
            wait::session(cx, tenant, &id, limit, Goal::Running).await?;
            let one = One { id: id.clone(), tenant: TenantOption { tenant: tenant.clone() } };
            log::follow(cx, &one, 1).await?;
            let (_, session) = wait::session(cx, tenant, &id, limit, Goal::Finished).await?;
            return verdict(&session, tenant);
        }
        if self.wait {
            let (value, session) = wait::session(cx, tenant, &id, limit, Goal::Finished).await?;
            print(cx, &value)?;
            return verdict(&session, tenant);
        }
        print(cx, &made)?;
        cx.messages.note(&format!("Follow it: warren session logs {id} --tenant {tenant} -f"));
        Ok(())
    }

    /// The request; what was not said is left to the server.
    fn body(&self, inputs: Vec<Value>) -> Value {
        let (program, args) = self.command.split_first().expect("clap asks for a command");
        let mut body = json!({ "image": self.image, "command": [program], "args": args });
        let mut set = |name: &str, value: Value| body[name] = value;
        let map =
            |pairs: &[(String, String)]| json!(pairs.iter().cloned().collect::<BTreeMap<_, _>>());
        if !inputs.is_empty() {
            set("inputs", inputs.into());
        }
        if !self.env.is_empty() {
            set("env", map(&self.env));
        }
        if !self.labels.is_empty() {
            set("labels", map(&self.labels));
        }
        if let Some(project) = &self.project {
            set("project", json!(project));
        }
        let amounts = [("cpu", &self.cpu), ("memory", &self.memory)];
        let amounts =
            amounts.into_iter().filter_map(|(name, amount)| Some((name, amount.as_ref()?)));
        let resources: Map<_, _> =
            amounts.map(|(name, amount)| (name.to_owned(), json!(amount))).collect();
        if !resources.is_empty() {
            set("resources", resources.into());
        }
        if let Some(timeout) = self.timeout {
            set("timeoutSeconds", whole_seconds(timeout).into());
        }
        if let Some(grace) = self.grace {
            set("gracePeriodSeconds", whole_seconds(grace).into());
        }
        body
    }

    fn wait_limit(&self) -> Duration {
        self.wait_timeout.unwrap_or_else(|| {
            self.timeout.unwrap_or(USUAL_TIMEOUT) + self.grace.unwrap_or(USUAL_GRACE) + QUEUE_TIME
        })
    }
}

/// Rounded up, so that nothing is cut off.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

//! `warren session run`: starts an agent.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, time::Duration};

use super::{
    super::{
        Context,
        client::Repeat,
        format::whole_seconds,
        options::{
            TenantOption, duration, duration_or_zero, environment_pair, environment_value, pair,
        },
        problem::Failure,
        upload::{self, InputFile},
    },
    watch::Watch,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren session run --tenant acme --image registry.example/agent:1 --follow -- /agent --once
  warren session run --tenant acme --image registry.example/agent:1 \\
      --input prompt.txt --input build/model.bin=model --env MODE=fast --env API_KEY --wait -- /agent

  warren session run --tenant acme --image registry.example/agent:1 \\
      --retry infrastructure=3 --retry resource=2 --retry-memory 200% --wait -- /agent

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
    /// A variable whose value is masked in its log and shown to nobody; taken from your environment, so that it is
    /// in no argument list; may be repeated
    #[arg(long = "secret", value_name = "NAME", value_parser = environment_value)]
    secrets: Vec<(String, String)>,
    /// A label for finding it again; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// CPU, e.g. 500m or 2
    #[arg(long)]
    cpu: Option<String>,
    /// Memory, e.g. 512Mi or 2Gi
    #[arg(long)]
    memory: Option<String>,
    /// The user that it runs as; 0 is root of its own user namespace [default: 65532]
    #[arg(long, value_name = "ID")]
    user: Option<u32>,
    /// A JSON Schema that its result.json has to obey; without such a result it has failed
    #[arg(long, value_name = "FILE", value_parser = schema)]
    result_schema: Option<Value>,
    /// How many runs there may be in all when one fails like this; CLASS is transient, resource,
    /// user-config, policy-denied, agent or infrastructure; may be repeated
    #[arg(long, value_name = "CLASS=RUNS", value_parser = retry)]
    retry: Vec<(String, u32)>,
    /// How much memory the next run gets after one that had too little, e.g. 200%
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    retry_memory: Option<u32>,
    /// The pause before the second run; it doubles with every further one [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = duration_or_zero, requires = "retry")]
    retry_backoff: Option<Duration>,
    /// What may be done with it when its node has to be emptied [default: wait]
    #[arg(long, value_enum)]
    on_drain: Option<OnDrain>,
    /// How long it may run, e.g. 30m
    #[arg(long, value_parser = duration)]
    timeout: Option<Duration>,
    /// How long it has to end after SIGTERM, e.g. 10s
    #[arg(long, value_parser = duration_or_zero)]
    grace: Option<Duration>,
    /// The project, a namespace in the tenant's cluster
    #[arg(long)]
    project: Option<String>,
    #[command(flatten)]
    watch: Watch,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnDrain {
    /// It runs to its end, at most to the end of the time that the node has
    Wait,
    /// It is stopped, with its grace period
    Stop,
    /// Its run ends, with its grace period, and another one begins elsewhere; that uses up no attempt
    Restart,
}

impl OnDrain {
    const fn word(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

impl Run {
    pub(super) async fn run(&self, cx: &Context) -> Result<(), Failure> {
        self.watch.check(cx)?;
        let has_rule = |class: &str| self.retry.iter().any(|(known, _)| known == class);
        if self.retry_memory.is_some() && !has_rule("resource") {
            return Err(Failure::usage("--retry-memory is for runs that had too little memory")
                .hint("say how many there may be: --retry resource=2"));
        }
        let tenant = &self.tenant.tenant;
        let inputs = upload::inputs(cx, tenant, &self.inputs).await?;
        let path = ["api", "v1", "tenants", tenant, "sessions"];
        let made = cx.client.post(&path, &self.body(inputs), Repeat::WithKey).await?;
        self.watch.run(cx, tenant, &made).await
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
        if !self.secrets.is_empty() {
            set("secrets", map(&self.secrets));
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
        if let Some(user) = self.user {
            set("runAsUser", user.into());
        }
        if let Some(schema) = &self.result_schema {
            set("resultSchema", schema.clone());
        }
        let rules = self.rules();
        if !rules.is_empty() {
            set("retry", rules.into());
        }
        if let Some(on_drain) = self.on_drain {
            set("onDrain", on_drain.word().into());
        }
        if let Some(timeout) = self.timeout {
            set("timeoutSeconds", whole_seconds(timeout).into());
        }
        if let Some(grace) = self.grace {
            set("gracePeriodSeconds", whole_seconds(grace).into());
        }
        body
    }

    /// What follows failures, by their class.
    fn rules(&self) -> Map<String, Value> {
        let mut rules = Map::new();
        for (class, attempts) in &self.retry {
            let mut rule = json!({ "attempts": attempts });
            if let Some(pause) = self.retry_backoff {
                rule["backoffSeconds"] = whole_seconds(pause).into();
            }
            if let Some(percent) = self.retry_memory.filter(|_| class == "resource") {
                rule["memoryPercent"] = percent.into();
            }
            rules.insert(class.clone(), rule);
        }
        rules
    }
}

fn retry(text: &str) -> Result<(String, u32), String> {
    let rule = "write CLASS=RUNS, e.g. infrastructure=3";
    let (class, runs) = text.split_once('=').ok_or(rule)?;
    Ok((class.to_owned(), runs.parse().map_err(|_| rule)?))
}

fn schema(path: &str) -> Result<Value, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| format!("it is not JSON: {error}"))
}

fn percent(text: &str) -> Result<u32, &'static str> {
    text.trim_end_matches('%').parse().map_err(|_| "write a whole number of percent, e.g. 200%")
}

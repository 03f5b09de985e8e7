//! What is done with a session that was just started: nothing, waiting, or following its log.

use clap::Args;
use serde_json::Value;
use std::time::Duration;

use super::{
    super::{
        Context,
        answer::{Session, decode},
        options::{Format, TenantOption, duration},
        problem::Failure,
        wait::{self, Goal},
    },
    One, log, print, verdict,
};

/// Time for the queue.
const QUEUE_TIME: Duration = Duration::from_mins(10);

#[derive(Debug, Args)]
pub(super) struct Watch {
    /// Wait until it is over; exits 8 unless it succeeded
    #[arg(long)]
    wait: bool,
    /// Print its log while it runs; exits as with --wait
    #[arg(short, long)]
    follow: bool,
    /// How long to wait [default: its timeout and grace, and ten minutes for the queue]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    wait_timeout: Option<Duration>,
}

impl Watch {
    /// To be asked before anything is started.
    pub(super) fn check(&self, cx: &Context) -> Result<(), Failure> {
        if self.follow && cx.printer.format != Format::Table {
            return Err(Failure::usage("--follow prints the log, which is no session")
                .hint("take --wait for the session as it ended, or leave -o out"));
        }
        Ok(())
    }

    /// `made` is the session as the server answered it.
    pub(super) async fn run(
        &self,
        cx: &Context,
        tenant: &str,
        made: &Value,
    ) -> Result<(), Failure> {
        let session: Session = decode(made)?;
        let limit = self.wait_timeout.unwrap_or_else(|| {
            let spec = &session.spec;
            Duration::from_secs(spec.timeout_seconds + spec.grace_period_seconds) + QUEUE_TIME
        });
        let id = session.id;
        cx.when_interrupted(format!(
            "the session goes on; end it: warren session stop {id} --tenant {tenant}"
        ));
        if self.follow {
            wait::session(cx, tenant, &id, limit, Goal::Running).await?;
            let one = One { id: id.clone(), tenant: TenantOption { tenant: tenant.to_owned() } };
            log::follow(cx, &one, 1).await?;
            let (_, session) = wait::session(cx, tenant, &id, limit, Goal::Finished).await?;
            return verdict(&session, tenant);
        }
        if self.wait {
            let (value, session) = wait::session(cx, tenant, &id, limit, Goal::Finished).await?;
            print(cx, &value)?;
            return verdict(&session, tenant);
        }
        print(cx, made)?;
        cx.messages.note(&format!("Follow it: warren session logs {id} --tenant {tenant} -f"));
        Ok(())
    }
}

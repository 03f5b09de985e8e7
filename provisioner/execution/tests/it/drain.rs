//! What is under way when the process is to end.

use crate::{fake::Fault, world::World};
use http::Method;
use std::time::Duration;

/// How long what is under way may take here.
const DRAIN: Duration = Duration::from_millis(200);
/// Long enough for a busy machine; shorter than anything else that bounds a request.
const AT_MOST: Duration = Duration::from_secs(5);

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_off_and_taken_up_again() {
    let world = World::new().await;
    let controllers = execution::start(&world.cx, DRAIN);
    world.host.fail(Method::PATCH, "resourcequotas", Fault::Hang, 1);
    let tenant = world.create("acme").await;
    let is_asked = async |world: &World| {
        world
            .host
            .made()
            .iter()
            .any(|made| made.method == Method::PATCH && made.path.contains("resourcequotas"))
    };
    world.until("the request hangs", is_asked).await;
    let stopped = tokio::time::timeout(AT_MOST, controllers.stop()).await;
    stopped.expect("nobody waits for an answer that does not come");

    let controllers = world.start();
    world.until("the tenant is ready", async |world| world.is_ready(tenant.id).await).await;
    controllers.stop().await;
}

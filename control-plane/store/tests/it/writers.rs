use crate::{
    on_both,
    world::{World, create, owner, start_session},
};
use domain::RunUsage;
use store::{Change, StopMode};

on_both! {
    many_writers_and_readers_do_not_stand_in_each_others_way,
    who_is_woken_reads_what_was_written,
    a_caller_that_goes_away_leaves_a_whole_write_or_none,
}

/// "database is locked" must not be seen by anybody.
async fn many_writers_and_readers_do_not_stand_in_each_others_way(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let tasks = (0..40).map(|_| {
        let (store, id) = (store.clone(), tenant.id);
        tokio::spawn(async move {
            let session = start_session(&store, id).await;
            let run = store.run_create(session.id, 1).await.expect("it is queued").run;
            for _ in 0..5 {
                store.run_heartbeat(run.id, Some(RunUsage::default())).await.expect("it exists");
                store.session_active(id).await.expect("readable");
            }
            store
                .session_stop(&owner(id), session.id, StopMode::Proven)
                .await
                .expect("the owner may");
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("nobody fails");
    }
    let all = store.session_list(tenant.id, None, 100, None).await;
    assert_eq!(all.expect("readable").len(), 40);
}

async fn who_is_woken_reads_what_was_written(world: World) {
    let store = world.open().await;
    let mut changes = store.changes();
    let reader = {
        let store = store.clone();
        tokio::spawn(async move {
            let mut seen = 0;
            while seen < 20 {
                if let Ok(Change::Tenant(id)) = changes.recv().await {
                    let tenant = store.tenant_get(id).await.expect("readable");
                    assert!(tenant.is_some(), "a wake-up comes after the commit");
                    seen += 1;
                }
            }
        })
    };
    for number in 0..20 {
        create(&store, &format!("tenant-{number}")).await;
    }
    reader.await.expect("it saw all of them");
}

async fn a_caller_that_goes_away_leaves_a_whole_write_or_none(world: World) {
    let store = world.open().await;
    for number in 0..30_u32 {
        let text = format!("tenant-{number}");
        let write = create(&store, &text);
        tokio::select! {
            biased;
            () = yields(number) => {}
            _ = write => {}
        }
    }
    create(&store, "last").await;
    let tables = world.tables().await;
    let tenants = tables.number("SELECT count(*) FROM tenants").await;
    for table in ["operations", "audit"] {
        let rows = tables.number(&format!("SELECT count(*) FROM {table}")).await;
        assert_eq!(rows, tenants, "{table}");
    }
    assert_eq!(tables.number("SELECT count(*) FROM outbox").await, 2 * tenants);
}

/// Lets the other side go on a number of times.
async fn yields(count: u32) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

//! Looks from time to time for what is there and nobody needs: machines, disks, images, join tokens, passwords and nodes.
//! It is reported first; what is proven to be ours is removed when an operator says so, and never anything else.

mod judge;
mod remove;
mod things;
mod world;

use crate::Context;
use domain::{Orphan, OrphanId, SweepLook};
use judge::Known;
use std::{collections::HashMap, error::Error, time::Duration};
use store::{Change, StoreError};
use things::Seen;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// From the start to the first look: what is begun anew at a start is under way by then.
const FIRST: Duration = Duration::from_mins(1);
/// Between two attempts at a removal.
const RETRY: Duration = Duration::from_secs(15);
/// When wishes are looked for although nobody told of one.
const IDLE: Duration = Duration::from_mins(10);

/// Looks, and removes what operators want to be removed, until cancelled.
pub(crate) async fn run(cx: Context, cancel: CancellationToken) {
    let work = async { tokio::join!(watch(&cx), work(&cx)) };
    cancel.run_until_cancelled(Box::pin(work)).await;
}

async fn watch(cx: &Context) {
    sleep(FIRST).await;
    loop {
        match look(cx).await {
            Ok(0) => {}
            Ok(reported) => tracing::warn!(
                reported,
                "something is left over that nobody needs; `warren node orphans` shows it"
            ),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn Error,
                    "what is left over could not be written down"
                );
            }
        }
        sleep(cx.sweep_every).await;
    }
}

/// Looks once, and says how much was reported that was not before.
pub(crate) async fn look(cx: &Context) -> Result<u64, StoreError> {
    // First the world, then the record: whatever Warren has made is in the record before it is in the world.
    let seen = world::look(cx).await;
    let known = Known::of(cx, seen.iter().flat_map(|seen| &seen.things)).await?;
    let looks: Vec<SweepLook> = seen.into_iter().map(|seen| judged(cx, seen, &known)).collect();
    cx.store.orphan_note(&looks).await
}

fn judged(cx: &Context, seen: Seen, known: &Known) -> SweepLook {
    let settings = cx.machines.as_ref().map(|machines| &*machines.settings);
    let sightings = seen.things.iter().filter_map(|thing| judge::judge(thing, known, settings));
    SweepLook { sightings: sightings.collect(), area: seen.area, obstacle: seen.obstacle }
}

/// Removes what operators want to be removed.
async fn work(cx: &Context) {
    let mut changes = cx.store.changes();
    let mut later: HashMap<OrphanId, Instant> = HashMap::new();
    loop {
        match cx.store.orphan_asked().await {
            Ok(asked) => attend(cx, asked, &mut later).await,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn Error,
                    "what is to be removed could not be read"
                );
                sleep(RETRY).await;
            }
        }
        let idle = Instant::now() + IDLE;
        let until = later.values().min().copied().unwrap_or(idle);
        // Too late is no error: then it is time for the next attempt.
        let _ = timeout_at(until, changed(&mut changes)).await;
    }
}

/// One attempt at everything whose turn it is.
async fn attend(cx: &Context, mut asked: Vec<Orphan>, later: &mut HashMap<OrphanId, Instant>) {
    later.retain(|id, _| asked.iter().any(|orphan| orphan.id == *id));
    // Machines go before their nodes, and before disks that they may still need.
    asked.sort_by_key(|orphan| (orphan.seen.kind, orphan.id));
    for orphan in asked {
        if later.get(&orphan.id).is_some_and(|at| *at > Instant::now()) {
            continue;
        }
        later.insert(orphan.id, Instant::now() + RETRY);
        match remove::attempt(cx, &orphan).await {
            Ok(is_over) if is_over => {
                later.remove(&orphan.id);
            }
            Ok(_) => {}
            Err(error) => {
                let error = &error as &dyn Error;
                tracing::warn!(orphan.id = %orphan.id, error, "a removal could not be written down");
            }
        }
    }
}

async fn changed(changes: &mut Receiver<Change>) {
    loop {
        match changes.recv().await {
            Ok(Change::Orphan(_)) | Err(RecvError::Lagged(_)) => return,
            Ok(_) => {}
            // The record is closing, and this task with it.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

//! The store on real databases: every test runs on SQLite and on PostgreSQL.

mod attempts;
mod audit;
mod crash;
mod drain;
mod files;
mod holder;
mod node;
mod node_power;
mod open;
mod orphan;
mod people;
mod plan_batch;
mod plan_change;
mod postgres;
mod retention;
mod run;
mod secret;
mod session;
mod session_states;
mod spans;
mod tenant;
mod tenant_delete;
mod token;
mod unproven;
mod upkeep;
mod world;
mod writers;

/// Makes two tests of each function: one on SQLite and one on PostgreSQL.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                super::$name(crate::world::World::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                if let Some(world) = crate::world::World::postgres().await {
                    super::$name(world).await;
                }
            }
        }
    )+};
}
pub(crate) use on_both;

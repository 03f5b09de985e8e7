//! Opening the record, and the operator's token that everything else begins with.

use crate::{
    config::Config,
    system::{SystemClock, SystemIds},
};
use anyhow::{Context as _, Result};
use domain::{Clock, IdGen, Role};
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    fs::OpenOptions, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path, sync::Arc,
};
use store::{SecretKey, Store, StoreOptions};

/// `warren bootstrap`: another operator's token for whoever has the server's files in hand. The old
/// ones stay good; `warren token revoke` takes them back.
///
/// # Errors
/// If the record cannot be opened, as while a server has it.
pub(crate) async fn recover(path: &Path) -> Result<()> {
    let config = Config::load(path)?;
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn IdGen>) =
        (Arc::new(SystemClock), Arc::new(SystemIds));
    let store = open_store(&config, &clock, &ids).await?;
    let token = store.token_recover("recovered").await;
    store.close().await.context("close the database")?;
    show(&token.context("make a token")?.secret, config.api.bootstrap_token_file.as_deref())
}

/// Opens the record with the key that encrypts its secrets.
pub(crate) async fn open_store(
    config: &Config,
    clock: &Arc<dyn Clock>,
    ids: &Arc<dyn IdGen>,
) -> Result<Store> {
    let secret_key =
        SecretKey::load_or_create(&config.secrets.key_file).context("open secrets.key_file")?;
    let options = StoreOptions {
        url: config.database.url.expose_secret().to_owned(),
        secret_key,
        clock: Arc::clone(clock),
        ids: Arc::clone(ids),
    };
    Store::open(options).await.context("open the database")
}

/// The first operator's token: made once, shown once.
pub(crate) async fn first_token(store: &Store, file: Option<&Path>) -> Result<()> {
    if store.token_is_any().await? {
        return Ok(());
    }
    let token = store.token_create(None, Role::Operator, None, "bootstrap").await?;
    show(&token.secret, file)
}

fn show(token: &SecretString, file: Option<&Path>) -> Result<()> {
    let secret = token.expose_secret();
    match file {
        Some(path) => {
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)
                .with_context(|| {
                format!("write api.bootstrap_token_file {}", path.display())
            })?;
            writeln!(file, "{secret}")?;
            file.sync_all()?;
        }
        None => writeln!(std::io::stderr(), "The operator's token, shown once: {secret}")?,
    }
    Ok(())
}

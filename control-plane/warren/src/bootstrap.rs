//! Opening the record, and the operator's token that everything else begins with.

use crate::{
    config::Config,
    system::{SystemClock, SystemIds},
};
use anyhow::{Context as _, Result};
use application::organisation::INVITE_VALID;
use domain::{Clock, IdGen, Role};
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    fs::OpenOptions, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path, sync::Arc,
};
use store::{SecretKey, Store, StoreOptions};

/// Something that is shown to whoever starts the server, and where that is configured.
#[derive(Clone, Copy)]
struct Shown {
    key: &'static str,
    words: &'static str,
}

const TOKEN: Shown =
    Shown { key: "api.bootstrap_token_file", words: "The operator's token, shown once" };
const LINK: Shown = Shown {
    key: "portal.bootstrap_link_file",
    words: "The first operator makes an account with this link, once",
};

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
    show(TOKEN, &token.context("make a token")?.secret, config.api.bootstrap_token_file.as_deref())
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

/// What an operator begins with: a token for programs, and the way to an account.
pub(crate) async fn first(store: &Store, config: &Config) -> Result<()> {
    first_token(store, config.api.bootstrap_token_file.as_deref()).await?;
    first_operator(store, config).await
}

/// The first operator's token: made once, shown once.
async fn first_token(store: &Store, file: Option<&Path>) -> Result<()> {
    if store.token_is_any().await? {
        return Ok(());
    }
    let token = store.token_create(None, Role::Operator, None, "bootstrap").await?;
    show(TOKEN, &token.secret, file)
}

/// The link with which the first operator makes an account. Until somebody has followed one, each start makes another,
/// and the earlier ones lead nowhere.
async fn first_operator(store: &Store, config: &Config) -> Result<()> {
    if store.member_is_any_operator().await? {
        return Ok(());
    }
    let invite = store.invite_create(None, Role::Operator, "the first operator", INVITE_VALID);
    let secret = invite.await?.secret;
    let link = format!("{}/join?code={}", config.portal_url(), secret.expose_secret());
    show(LINK, &SecretString::from(link), config.portal.bootstrap_link_file.as_deref())
}

fn show(shown: Shown, secret: &SecretString, file: Option<&Path>) -> Result<()> {
    let secret = secret.expose_secret();
    match file {
        Some(path) => {
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)
                .with_context(|| format!("write {} {}", shown.key, path.display()))?;
            writeln!(file, "{secret}")?;
            file.sync_all()?;
        }
        None => writeln!(std::io::stderr(), "{}: {secret}", shown.words)?,
    }
    Ok(())
}

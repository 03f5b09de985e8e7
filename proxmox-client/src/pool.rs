use crate::{
    Client, Error, NodeName, PoolId, StorageId, Version, VmId,
    form::Form,
    request::{self, Request},
    scalar,
};
use serde::Deserialize;

/// A pool as the list of pools shows it.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct PoolEntry {
    /// Its name.
    #[serde(rename = "poolid", deserialize_with = "scalar::parsed")]
    pub id: PoolId,
    /// What somebody noted about it.
    #[serde(default, deserialize_with = "scalar::text")]
    pub comment: String,
}

/// Something in a pool.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct PoolMember {
    /// `qemu`, `lxc` or `storage`.
    #[serde(rename = "type", deserialize_with = "scalar::text")]
    pub kind: String,
    /// Where it is.
    #[serde(default, deserialize_with = "scalar::maybe_parsed")]
    pub node: Option<NodeName>,
    /// The number of a VM.
    #[serde(default, rename = "vmid", deserialize_with = "scalar::maybe_parsed")]
    pub vm: Option<VmId>,
    /// The name of a VM.
    #[serde(default, deserialize_with = "scalar::maybe_text")]
    pub name: Option<String>,
    /// The name of a storage.
    #[serde(default, deserialize_with = "scalar::maybe_parsed")]
    pub storage: Option<StorageId>,
}

#[derive(Debug, Deserialize)]
struct PoolAnswer {
    #[serde(default)]
    members: Vec<PoolMember>,
}

/// Whether a VM joins a pool or leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Membership {
    Joins,
    Leaves,
}

impl Client {
    /// The pools that the token may see: `GET /pools`.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn pools(&self) -> Result<Vec<PoolEntry>, Error> {
        self.fetch(Request::get("/pools".to_owned())).await
    }

    /// What is in a pool. A pool inside another one needs release 8.1.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn pool_members(&self, pool: &PoolId) -> Result<Vec<PoolMember>, Error> {
        if is_nested(pool) {
            self.require("a pool inside a pool", Version::V8_1).await?;
            let request = Request::get("/pools".to_owned()).with(named(pool));
            let answer: Vec<PoolAnswer> = self.fetch(request).await?;
            return Ok(answer.into_iter().flat_map(|pool| pool.members).collect());
        }
        let request = Request::get(request::path(&["pools", pool.as_str()]));
        let answer: PoolAnswer = self.fetch(request).await?;
        Ok(answer.members)
    }

    /// Makes a pool: `POST /pools`, with the right Pool.Allocate on it.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn pool_create(&self, pool: &PoolId, comment: &str) -> Result<(), Error> {
        if is_nested(pool) {
            self.require("a pool inside a pool", Version::V8_1).await?;
        }
        let mut form = named(pool);
        if !comment.is_empty() {
            form.set("comment", comment);
        }
        self.done(Request::post("/pools".to_owned()).with(form)).await
    }

    /// Puts a VM into a pool. It must not be in another one.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn pool_add(&self, pool: &PoolId, vm: VmId) -> Result<(), Error> {
        self.pool_change(pool, vm, Membership::Joins).await
    }

    /// Takes a VM out of a pool.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn pool_remove(&self, pool: &PoolId, vm: VmId) -> Result<(), Error> {
        self.pool_change(pool, vm, Membership::Leaves).await
    }

    async fn pool_change(&self, pool: &PoolId, vm: VmId, change: Membership) -> Result<(), Error> {
        let (path, mut form) = self.pool_place(pool).await?;
        form.set("vms", vm);
        if change == Membership::Leaves {
            form.flag("delete", true);
        }
        self.done(Request::put(path).with(form)).await
    }

    /// Removes an empty pool.
    ///
    /// # Errors
    /// If the server refuses it, e.g. because something is in it.
    pub async fn pool_delete(&self, pool: &PoolId) -> Result<(), Error> {
        let (path, form) = self.pool_place(pool).await?;
        self.done(Request::delete(path).with(form)).await
    }

    /// How a pool is named in a change: from 8.1 on as a parameter.
    async fn pool_place(&self, pool: &PoolId) -> Result<(String, Form), Error> {
        if self.version().await? >= Version::V8_1 {
            return Ok(("/pools".to_owned(), named(pool)));
        }
        if is_nested(pool) {
            self.require("a pool inside a pool", Version::V8_1).await?;
        }
        Ok((request::path(&["pools", pool.as_str()]), Form::new()))
    }
}

fn is_nested(pool: &PoolId) -> bool {
    pool.as_str().contains('/')
}

fn named(pool: &PoolId) -> Form {
    let mut form = Form::new();
    form.set("poolid", pool);
    form
}

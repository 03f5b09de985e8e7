use crate::stack;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// The host cluster: where every tenant's control plane and pods run.
#[derive(Clone)]
pub struct HostCluster {
    client: kube::Client,
    server: String,
}

/// Why the host cluster's client could not be made. Nothing has been sent yet.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig could not be read or used.
    #[error("read the kubeconfig {path:?}")]
    Kubeconfig {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: KubeconfigError,
    },
    /// The pod's service account could not be used.
    #[error(
        "use the service account of this pod; give host_cluster.kubeconfig outside of a cluster"
    )]
    InCluster(#[source] kube::config::InClusterError),
    /// The client could not be built from the configuration.
    #[error("build a client for the host cluster")]
    Client(#[source] kube::Error),
}

impl fmt::Debug for HostCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostCluster").field("server", &self.server).finish_non_exhaustive()
    }
}

impl HostCluster {
    /// Prepares a client from a kubeconfig file or, without one, from the service account of the pod
    /// that this process runs in. Sends nothing.
    ///
    /// # Errors
    /// If the file, the service account or their certificates cannot be used.
    pub async fn connect(kubeconfig: Option<&Path>) -> Result<Self, ConnectError> {
        let config = match kubeconfig {
            Some(path) => {
                let failed = |source| ConnectError::Kubeconfig { path: path.to_owned(), source };
                let file = Kubeconfig::read_from(path).map_err(failed)?;
                kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                    .await
                    .map_err(failed)?
            }
            None => kube::Config::incluster().map_err(ConnectError::InCluster)?,
        };
        let client = stack::client(&config, stack::direct(), None).map_err(ConnectError::Client)?;
        Ok(Self { client, server: config.cluster_url.to_string() })
    }

    /// A host cluster behind any client, e.g. a fake one.
    #[must_use]
    pub fn from_client(client: kube::Client) -> Self {
        Self { client, server: "given".to_owned() }
    }

    /// The client; cheap to clone.
    #[must_use]
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// The address of its API server, for messages.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }
}

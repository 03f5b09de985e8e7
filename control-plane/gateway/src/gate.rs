use std::time::Duration;
use tokio::{io::AsyncWriteExt, net::TcpListener};
use tokio_util::sync::CancellationToken;

/// Accepts connections, says that the way is open, and closes them; until `shutdown`.
///
/// The network policies of a tenant do not allow this address: a runner that is told "open" knows
/// that they are not in force yet.
pub async fn serve_gate(listener: TcpListener, shutdown: CancellationToken) {
    const TIME: Duration = Duration::from_secs(1);
    shutdown
        .run_until_cancelled(async {
            loop {
                match listener.accept().await {
                    Ok((mut connection, _)) => {
                        // Five bytes fit every socket's buffer: nobody can hold the gate up. A peer that
                        // is gone already has seen that it was let in.
                        let _ = tokio::time::timeout(TIME, connection.write_all(b"open\n")).await;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accept a connection at the gate");
                        tokio::time::sleep(TIME).await;
                    }
                }
            }
        })
        .await;
}

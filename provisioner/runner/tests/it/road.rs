//! A road to the run endpoint on which connections break.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
};

pub(crate) struct Road {
    pub(crate) address: SocketAddr,
    sent: Arc<AtomicU64>,
}

impl Road {
    /// Each connection breaks after so many bytes from the runner.
    pub(crate) async fn to(endpoint: SocketAddr, breaks_after: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((runner, _)) = listener.accept().await {
                tokio::spawn(pass(runner, endpoint, breaks_after, Arc::clone(&count)));
            }
        });
        Self { address, sent }
    }

    /// How many bytes came from the runner.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

async fn pass(runner: TcpStream, endpoint: SocketAddr, most: u64, count: Arc<AtomicU64>) {
    let Ok(warren) = TcpStream::connect(endpoint).await else { return };
    let (mut from_runner, mut to_runner) = runner.into_split();
    let (mut from_warren, mut to_warren) = warren.into_split();
    let forth = async {
        let (mut left, mut buffer) = (most, vec![0; 64 << 10]);
        while let Ok(read @ 1..) = from_runner.read(&mut buffer).await {
            count.fetch_add(read as u64, Ordering::Relaxed);
            left = left.saturating_sub(read as u64);
            if left == 0 || to_warren.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = forth => {}
        _ = copy(&mut from_warren, &mut to_runner) => {}
    }
}

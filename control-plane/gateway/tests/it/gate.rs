use gateway::serve_gate;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn the_gate_says_that_it_is_open_until_it_is_shut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    let shutdown = CancellationToken::new();
    let gate = tokio::spawn(serve_gate(listener, shutdown.clone()));
    for _ in 0..3 {
        let mut connection = TcpStream::connect(address).await.expect("the gate accepts");
        let mut said = String::new();
        connection.read_to_string(&mut said).await.expect("it closes the connection");
        assert_eq!(said, "open\n");
    }
    shutdown.cancel();
    gate.await.expect("it ends");
    assert!(TcpStream::connect(address).await.is_err());
}

use crate::world::{DEADLINE, World};
use domain::{Input, InputSource};
use gateway::{Listeners, serve_gate};
use reqwest::{Certificate, Client, StatusCode};
use std::sync::Arc;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    time::timeout,
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

#[tokio::test]
async fn the_gate_is_shut_only_after_the_last_runner_is_gone_and_the_endpoint_before_all() {
    let mut world = World::start().await;
    world.go_away().await;
    // More than all buffers on the way hold.
    let digest = world.blob(vec![7; 32 << 20].leak()).await;
    let large = Input { name: "large".to_owned(), source: InputSource::Blob(digest) };
    let run = world.run(vec![large]).await;
    let gate = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let run_endpoint = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addresses = [&gate, &run_endpoint].map(|bound| bound.local_addr().expect("it is bound"));
    let [at_gate, at_endpoint] = addresses;
    let shutdown = CancellationToken::new();
    let listeners = Listeners { gate, run_endpoint };
    let tls = Arc::clone(&world.tls);
    let relays = world.relays.clone();
    let served = gateway::serve(world.app.clone(), relays, listeners, tls, shutdown.clone());
    let mut served = tokio::spawn(served);

    // An answer that nobody reads to its end holds the endpoint up.
    let authority = Certificate::from_pem(world.authority.as_bytes()).expect("a certificate");
    let client = Client::builder().tls_certs_only([authority]).no_proxy().build();
    let url = format!("https://{at_endpoint}/run/v1/inputs/large");
    let request = client.expect("a client").get(url).bearer_auth(&run.token);
    let answer = request.send().await.expect("the endpoint answers");
    assert_eq!(answer.status(), StatusCode::OK);
    shutdown.cancel();
    let refused = async { while TcpStream::connect(at_endpoint).await.is_ok() {} };
    timeout(DEADLINE, refused).await.expect("nobody gets a new connection");
    assert!(!served.is_finished(), "the request holds it up");
    let mut connection = TcpStream::connect(at_gate).await.expect("the gate is still there");
    let mut said = String::new();
    connection.read_to_string(&mut said).await.expect("it closes the connection");
    assert_eq!(said, "open\n");
    drop(answer);
    timeout(DEADLINE, &mut served).await.expect("it ends in time").expect("it does not panic");
    assert!(TcpStream::connect(at_gate).await.is_err());
}

//! One peer's connections are not all connections.

use crate::{
    endpoint::{Runner, world_with_run},
    world::DEADLINE,
};
use reqwest::{Method, StatusCode};
use std::io::ErrorKind;
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

async fn ask(runner: &Runner) -> StatusCode {
    let answer = runner.request(Method::GET, "/manifest").send().await;
    let answer = answer.expect("the endpoint answers");
    let status = answer.status();
    // Read to its end, so that the connection is kept.
    answer.bytes().await.expect("the answer is whole");
    status
}

#[tokio::test]
async fn whoever_shows_no_token_takes_the_places_of_its_own_address_only() {
    let (world, run, known) = world_with_run().await;
    assert_eq!(ask(&known).await, StatusCode::OK);
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(world.address).await.expect("it listens"));
    }
    let mut further = TcpStream::connect(world.address).await.expect("it listens");
    let said = timeout(DEADLINE, further.read(&mut [0])).await.expect("it is closed");
    assert!(matches!(said, Ok(0) | Err(_)), "{said:?}");
    let first = silent[0].try_read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(first, Err(ErrorKind::WouldBlock), "it was closed for the number, not for the time");

    assert_eq!(ask(&known).await, StatusCode::OK, "it has shown its token");
    let elsewhere = Runner::at(&world, &run.token, [127, 0, 0, 2]);
    assert_eq!(ask(&elsewhere).await, StatusCode::OK);
    drop(silent);
    let new = Runner::new(&world, &run.token);
    let request = || new.request(Method::GET, "/manifest").send();
    let served = async { while request().await.is_err() {} };
    timeout(DEADLINE, served).await.expect("the places are free again");
}

#[tokio::test]
async fn one_run_has_a_bounded_number_of_connections_and_others_have_theirs() {
    let (world, run, first) = world_with_run().await;
    let mut held = vec![first];
    held.extend((1..16).map(|_| Runner::new(&world, &run.token)));
    for runner in &held {
        assert_eq!(ask(runner).await, StatusCode::OK);
    }
    let further = Runner::new(&world, &run.token);
    assert_eq!(ask(&further).await, StatusCode::TOO_MANY_REQUESTS);
    let other = world.run(Vec::new()).await;
    assert_eq!(ask(&Runner::new(&world, &other.token)).await, StatusCode::OK);
    drop(held);
    let served = async { while ask(&further).await != StatusCode::OK {} };
    timeout(DEADLINE, served).await.expect("the places are free again");
}

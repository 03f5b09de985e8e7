use crate::{
    on_both,
    world::{World, name, platform},
};
use domain::{Node, NodeState, OperationKind, PlanName, Problem, Tenant, VmNumber};
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use std::net::Ipv4Addr;
use store::{NodeEnd, Store, StoreError};

on_both! {
    a_tenant_gets_as_many_nodes_as_it_pays_for_and_each_has_an_operation,
    numbers_and_addresses_are_given_once_and_a_number_rests_when_its_machine_is_gone,
    a_number_that_is_somebody_elses_is_given_to_nobody,
    what_a_machine_joins_with_stays_the_same_and_is_forgotten_at_the_end,
    a_node_that_is_being_made_is_undone_and_one_that_is_there_is_released,
}

/// A tenant that pays for so many nodes.
async fn tenant(store: &Store, nodes: u32) -> Tenant {
    let made =
        store.tenant_create(&platform(), name("acme"), PlanName::DedicatedS, nodes, None).await;
    made.expect("the name is free").value.0
}

async fn node(store: &Store, tenant: &Tenant) -> Node {
    let shape = tenant.plan.node_shape().expect("a plan with nodes");
    let attached = store.node_attach(tenant.id, shape).await.expect("there is the tenant");
    attached.expect("it pays for one more").0
}

async fn a_tenant_gets_as_many_nodes_as_it_pays_for_and_each_has_an_operation(world: World) {
    let store = world.open().await;
    let tenant = tenant(&store, 2).await;
    let (first, second) = (node(&store, &tenant).await, node(&store, &tenant).await);
    assert_ne!(first.name, second.name);
    assert_ne!((first.mark.as_str(), first.machine), (second.mark.as_str(), second.machine));
    let shape = tenant.plan.node_shape().expect("a plan with nodes");
    let third = store.node_attach(tenant.id, shape).await.expect("there is the tenant");
    assert!(third.is_none(), "it pays for two");
    // What is done about the tenant and about each node are operations beside each other.
    let own = store.operation_open(tenant.id).await.expect("readable").expect("it is being made");
    assert_eq!(own.kind, OperationKind::TenantCreate);
    assert!(own.steps.iter().any(|step| step.name == "nodes"), "{own:?}");
    let about = store.node_operation(first.id).await.expect("readable").expect("it is being made");
    assert_eq!((about.kind, about.node), (OperationKind::NodeAttach, Some(first.id)));
    assert_eq!(store.operation_sagas().await.expect("readable").len(), 2);
    store.node_end(&about, NodeEnd::Ready).await.expect("it is open");
    let ready = store.node_get(first.id).await.expect("readable").expect("it is there");
    assert_eq!(ready.state(), NodeState::Ready);
    assert_eq!(store.node_operation(first.id).await.expect("readable"), None);
    let again = store.node_end(&about, NodeEnd::Ready).await;
    assert!(matches!(again, Err(StoreError::Stale)), "an operation ends once: {again:?}");
}

async fn numbers_and_addresses_are_given_once_and_a_number_rests_when_its_machine_is_gone(
    world: World,
) {
    let store = world.open().await;
    let tenant = tenant(&store, 3).await;
    let addresses = Ipv4Addr::new(10, 0, 0, 254)..=Ipv4Addr::new(10, 0, 0, 255);
    let (first, second) = (node(&store, &tenant).await, node(&store, &tenant).await);
    for (node, vm) in [(&first, 100), (&first, 100), (&second, 101)] {
        let number = store.node_reserve_vm(node.id, 100..=101).await.expect("it is there");
        assert_eq!(number.map(|vm| vm.0), Some(vm), "and it keeps it");
    }
    for (node, last) in [(&first, 254), (&second, 255)] {
        let address = store.node_reserve_address(node.id, addresses.clone()).await;
        assert_eq!(address.expect("it is there"), Some(Ipv4Addr::new(10, 0, 0, last)));
    }
    let about = store.node_operation(first.id).await.expect("readable").expect("it is open");
    let problem = Problem { code: "a".to_owned(), detail: "b".to_owned(), hint: "c".to_owned() };
    let end = NodeEnd::Released(Some(problem));
    store.node_end(&about, end).await.expect("it is open");

    let third = node(&store, &tenant).await;
    let address = store.node_reserve_address(third.id, addresses).await.expect("it is there");
    assert_eq!(address, Some(Ipv4Addr::new(10, 0, 0, 254)), "an address is free at once");
    let number = store.node_reserve_vm(third.id, 100..=101).await.expect("it is there");
    assert_eq!(number, None, "a number rests");
    let resting = async || store.node_resting_vms().await.expect("readable");
    assert_eq!(resting().await, [VmNumber(100)]);
    world.clock.advance(SignedDuration::from_hours(25));
    assert_eq!(resting().await, []);
    let number = store.node_reserve_vm(third.id, 100..=101).await.expect("it is there");
    assert_eq!(number.map(|vm| vm.0), Some(100), "for a day");
}

async fn a_number_that_is_somebody_elses_is_given_to_nobody(world: World) {
    let store = world.open().await;
    let tenant = tenant(&store, 2).await;
    let (first, second) = (node(&store, &tenant).await, node(&store, &tenant).await);
    store.node_reserve_vm(first.id, 100..=102).await.expect("it is there");
    store.node_refuse_vm(first.id, "taken by hand").await.expect("it is there");
    for (node, vm) in [(&second, 101), (&first, 102)] {
        let number = store.node_reserve_vm(node.id, 100..=102).await.expect("it is there");
        assert_eq!(number.map(|vm| vm.0), Some(vm));
    }
}

async fn what_a_machine_joins_with_stays_the_same_and_is_forgotten_at_the_end(world: World) {
    let store = world.open().await;
    let tenant = tenant(&store, 1).await;
    let node = node(&store, &tenant).await;
    let (one, two) = (store.node_secrets(node.id).await, store.node_secrets(node.id).await);
    let (one, two) = (one.expect("made"), two.expect("read"));
    assert_eq!(one.token_id, two.token_id);
    assert_eq!(one.token_secret.expose_secret(), two.token_secret.expose_secret());
    assert_eq!((one.token_id.len(), one.token_secret.expose_secret().len()), (6, 16));
    assert_eq!(one.password.expose_secret().len(), 32);
    assert!(!format!("{one:?}").contains(one.token_secret.expose_secret()));
    let about = store.node_operation(node.id).await.expect("readable").expect("it is open");
    store.node_end(&about, NodeEnd::Released(None)).await.expect("it is open");
    let kept = "SELECT count(*) FROM nodes WHERE secrets IS NOT NULL";
    assert_eq!(world.tables().await.number(kept).await, 0);
    let after = store.node_secrets(node.id).await;
    assert!(matches!(after, Err(StoreError::Stale)), "{after:?}");
}

async fn a_node_that_is_being_made_is_undone_and_one_that_is_there_is_released(world: World) {
    let store = world.open().await;
    let tenant = tenant(&store, 2).await;
    let (first, second) = (node(&store, &tenant).await, node(&store, &tenant).await);
    let undone = store.node_release(first.id).await.expect("it is there");
    assert_eq!(undone.kind, OperationKind::NodeAttach);
    assert!(undone.cancel_requested_at.is_some(), "what was begun is taken back");

    let about = store.node_operation(second.id).await.expect("readable").expect("it is open");
    store.node_end(&about, NodeEnd::Ready).await.expect("it is open");
    let release = store.node_release(second.id).await.expect("it is there");
    assert_eq!(release.kind, OperationKind::NodeRelease);
    let again = store.node_release(second.id).await.expect("it is there");
    assert_eq!(again.id, release.id, "asked twice, done once");
    let state = store.node_get(second.id).await.expect("readable").expect("it is there").state();
    assert_eq!(state, NodeState::Releasing);
    store.node_end(&release, NodeEnd::Released(None)).await.expect("it is open");
    let gone = store.node_release(second.id).await;
    assert!(matches!(gone, Err(StoreError::Ended)), "{gone:?}");
    assert_eq!(store.node_of_tenant(tenant.id).await.expect("readable").len(), 1);
}

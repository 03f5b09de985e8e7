//! People: invites, accounts, who is signed in where, and who may what in an organisation.

use crate::{
    on_both,
    world::{World, name, platform},
};
use domain::{
    Account, AccountId, Action, Actor, Authorized, Email, ManageMembers, Organisation,
    OrganisationName, PlanName, ReadMembers, Role, Scope, Subject, Within, authorize,
};
use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};
use store::{
    Change, JoinError, Joining, MemberError, OrganisationCreateError, Store, StoreError,
    TenantCreateError,
};

const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

on_both! {
    an_invite_lets_one_person_in_and_only_in_time,
    the_first_operator_is_invited_without_a_proof_and_only_the_first,
    somebody_is_signed_in_until_it_is_over_or_they_leave,
    wrong_passwords_are_counted_until_a_right_one,
    the_last_owner_stays_and_nobody_changes_who_is_mightier,
    a_role_in_an_organisation_reaches_its_tenants_up_to_their_number,
    what_is_over_is_not_kept,
}

fn email(text: &str) -> Email {
    Email::parse("/email", text).expect("an address")
}

fn person(text: &str) -> Joining {
    let password = SecretString::from("$argon2id$of a password");
    Joining::New { email: email(text), name: "Somebody".to_owned(), password }
}

async fn organisation(store: &Store, text: &str) -> Organisation {
    let name = OrganisationName::parse("/name", text).expect("a good name");
    store.organisation_create(&platform(), &name, 2).await.expect("the name is free")
}

/// An operator's proof in an organisation.
fn inside<A: Action>(organisation: &Organisation) -> Authorized<A> {
    let operator = crate::world::actor(Role::Operator, None);
    authorize(&operator, Scope::Organisation(organisation.id)).expect("operators may")
}

async fn join(store: &Store, organisation: &Organisation, role: Role, who: &str) -> Account {
    let proof = inside::<ManageMembers>(organisation);
    let invite = store.invite_create(Some(&proof), role, "", WEEK).await.expect("made");
    store.invite_accept(&invite.secret, &person(who), "r").await.expect("it is open")
}

async fn actor(store: &Store, account: AccountId) -> Actor {
    let actor = store.actor_of(Subject::Account(account), "r".to_owned()).await;
    actor.expect("readable").expect("it is there")
}

async fn an_invite_lets_one_person_in_and_only_in_time(world: World) {
    let store = world.open().await;
    let acme = organisation(&store, "acme").await;
    let again = store.organisation_create(&platform(), &acme.name, 2).await;
    assert!(matches!(again, Err(OrganisationCreateError::NameTaken)), "{again:?}");
    let proof = inside::<ManageMembers>(&acme);
    let wrong = store.invite_create(Some(&proof), Role::Operator, "", WEEK).await;
    assert!(matches!(wrong, Err(StoreError::Refused(_))), "{wrong:?}");

    let invite = store.invite_create(Some(&proof), Role::Owner, "Anna", WEEK).await.expect("made");
    let reader = inside::<ReadMembers>(&acme);
    assert_eq!(
        store.invite_list(&reader).await.expect("readable"),
        std::slice::from_ref(&invite.invite)
    );
    let anna = store.invite_accept(&invite.secret, &person("anna@example.com"), "r").await;
    let anna = anna.expect("it is open");
    let twice = store.invite_accept(&invite.secret, &person("ben@example.com"), "r").await;
    assert!(matches!(twice, Err(JoinError::Store(StoreError::NotFound))), "{twice:?}");
    assert_eq!(store.invite_list(&reader).await.expect("readable"), []);

    let next = store.invite_create(Some(&proof), Role::Viewer, "", WEEK).await.expect("made");
    let taken = store.invite_accept(&next.secret, &person("anna@example.com"), "r").await;
    assert!(matches!(taken, Err(JoinError::EmailTaken)), "{taken:?}");
    let already = store.invite_accept(&next.secret, &Joining::Known(anna.id), "r").await;
    assert!(matches!(already, Err(JoinError::Already)), "{already:?}");
    world.clock.advance(WEEK);
    let late = store.invite_accept(&next.secret, &person("ben@example.com"), "r").await;
    assert!(matches!(late, Err(JoinError::Store(StoreError::NotFound))), "{late:?}");
    let members = store.member_list(&reader).await.expect("readable");
    assert_eq!(
        members.iter().map(|it| (&it.account, it.role)).collect::<Vec<_>>(),
        [(&anna, Role::Owner)]
    );

    let other = organisation(&store, "other").await;
    let proof = inside::<ManageMembers>(&other);
    let third = store.invite_create(Some(&proof), Role::Owner, "", WEEK).await.expect("made");
    let elsewhere = store.invite_revoke(&inside(&acme), third.invite.id).await;
    assert!(matches!(elsewhere, Err(StoreError::NotFound)), "{elsewhere:?}");
    store.invite_revoke(&proof, third.invite.id).await.expect("it is there");
    let revoked = store.invite_by_secret(&third.secret).await.expect("readable");
    assert_eq!(revoked, None);
}

async fn the_first_operator_is_invited_without_a_proof_and_only_the_first(world: World) {
    let store = world.open().await;
    let earlier = store.invite_create(None, Role::Operator, "", WEEK).await.expect("made");
    let invite = store.invite_create(None, Role::Operator, "", WEEK).await.expect("made");
    assert_eq!(store.invite_by_secret(&earlier.secret).await.expect("readable"), None);
    let nobody = store.invite_create(None, Role::Owner, "", WEEK).await;
    assert!(matches!(nobody, Err(StoreError::Refused(_))), "{nobody:?}");
    let oscar = store.invite_accept(&invite.secret, &person("oscar@example.com"), "r").await;
    let oscar = oscar.expect("it is open");
    assert!(actor(&store, oscar.id).await.is_operator());
    let second = store.invite_create(None, Role::Operator, "", WEEK).await;
    assert!(matches!(second, Err(StoreError::Refused(_))), "{second:?}");
    let last = store.member_change(&platform(), oscar.id, None).await;
    assert!(matches!(last, Err(MemberError::Last)), "{last:?}");
}

async fn somebody_is_signed_in_until_it_is_over_or_they_leave(world: World) {
    let store = world.open().await;
    let acme = organisation(&store, "acme").await;
    let anna = join(&store, &acme, Role::Owner, "anna@example.com").await;
    let here = store.sign_in_create(&anna, "Firefox", WEEK, "r").await.expect("signed in");
    let there = store.sign_in_create(&anna, "Chromium", WEEK, "r").await.expect("signed in");
    let shown = here.secret.expose_secret();
    let person = store.signed_in(shown, "r7".to_owned()).await.expect("readable");
    let person = person.expect("she is in");
    assert_eq!((&person.account, person.sign_in), (&anna, here.sign_in.id));
    assert_eq!(person.actor.grants[0].within, Within::Organisation(acme.id));
    assert_eq!(person.actor.request_id, "r7");
    for wrong in ["", "wrs_", &shown[..shown.len() - 1], &shown.replace("wrs_", "wrn_")] {
        assert!(store.signed_in(wrong, String::new()).await.expect("readable").is_none());
    }
    let hashes = world.tables().await.bytes("SELECT hash FROM sign_ins").await;
    assert!(hashes.iter().all(|hash| hash.len() == 32), "nothing else is stored");

    let mut changes = store.changes();
    store.sign_in_end(&person.actor, anna.id, there.sign_in.id).await.expect("she is in there");
    assert_eq!(changes.try_recv().ok(), Some(Change::Account(anna.id)));
    let gone = store.signed_in(there.secret.expose_secret(), String::new()).await;
    assert!(gone.expect("readable").is_none());
    let theirs = AccountId::new(uuid::Uuid::from_u128(999));
    let foreign = store.sign_in_end(&person.actor, theirs, here.sign_in.id).await;
    assert!(matches!(foreign, Err(StoreError::NotFound)), "{foreign:?}");

    let other = store.sign_in_create(&anna, "Safari", WEEK, "r").await.expect("signed in");
    let password = SecretString::from("$argon2id$of another password");
    store.account_password(&person.actor, anna.id, here.sign_in.id, &password).await.expect("hers");
    let elsewhere = store.signed_in(other.secret.expose_secret(), String::new()).await;
    assert!(elsewhere.expect("readable").is_none(), "another password ends what is elsewhere");
    let list = store.sign_in_list(anna.id).await.expect("readable");
    assert_eq!(list.iter().map(|it| &*it.device).collect::<Vec<_>>(), ["Firefox"]);
    world.clock.advance(WEEK);
    assert!(store.signed_in(shown, String::new()).await.expect("readable").is_none());
}

async fn wrong_passwords_are_counted_until_a_right_one(world: World) {
    let store = world.open().await;
    let acme = organisation(&store, "acme").await;
    let anna = join(&store, &acme, Role::Owner, "anna@example.com").await;
    let nobody = email("nobody@example.com");
    for count in 1..=3 {
        for who in [&anna.email, &nobody] {
            store.sign_in_failed(who, "r").await.expect("written");
            let failures = store.sign_in_failures(who).await.expect("readable");
            assert_eq!(failures.map(|failures| failures.count), Some(count));
        }
    }
    store.sign_in_create(&anna, "", WEEK, "r").await.expect("signed in");
    assert_eq!(store.sign_in_failures(&anna.email).await.expect("readable"), None);
    world.clock.advance(SignedDuration::from_hours(25));
    store.sign_in_failed(&anna.email, "r").await.expect("written");
    assert_eq!(store.sign_in_failures(&nobody).await.expect("readable"), None, "long ago");
    let audit = store.audit_list(None, None, 100).await.expect("readable");
    let told = format!("{audit:?}");
    assert!(told.contains("account.sign-in.failed") && !told.contains("nobody@"), "{told}");
}

async fn the_last_owner_stays_and_nobody_changes_who_is_mightier(world: World) {
    let store = world.open().await;
    let acme = organisation(&store, "acme").await;
    let anna = join(&store, &acme, Role::Owner, "anna@example.com").await;
    let ben = join(&store, &acme, Role::Admin, "ben@example.com").await;
    let proof = |actor: &Actor| {
        authorize::<ManageMembers>(actor, Scope::Organisation(acme.id)).expect("they may")
    };
    let by_ben = proof(&actor(&store, ben.id).await);
    let refused = store.member_change(&by_ben, anna.id, Some(Role::Viewer)).await;
    assert!(matches!(refused, Err(MemberError::Mightier(Role::Owner))), "{refused:?}");
    let by_anna = proof(&actor(&store, anna.id).await);
    for role in [Some(Role::Admin), None] {
        let last = store.member_change(&by_anna, anna.id, role).await;
        assert!(matches!(last, Err(MemberError::Last)), "{last:?}");
    }
    store.member_change(&by_anna, ben.id, Some(Role::Owner)).await.expect("she may");
    store.member_change(&by_anna, anna.id, None).await.expect("ben is left");
    assert_eq!(actor(&store, anna.id).await.grants, []);
    let gone = store.member_change(&by_anna, anna.id, None).await;
    assert!(matches!(gone, Err(MemberError::Store(StoreError::NotFound))), "{gone:?}");
}

async fn a_role_in_an_organisation_reaches_its_tenants_up_to_their_number(world: World) {
    let store = world.open().await;
    let (acme, other) = (organisation(&store, "acme").await, organisation(&store, "other").await);
    let anna = join(&store, &acme, Role::Owner, "anna@example.com").await;
    let made = async |organisation: &Organisation, text: &str| {
        let proof = inside(organisation);
        store.tenant_create(&proof, name(text), PlanName::Starter, 0, None).await
    };
    let first = made(&acme, "one").await.expect("the first").value.0;
    assert_eq!(first.organisation, Some(acme.id));
    made(&acme, "two").await.expect("the second");
    let more = made(&acme, "three").await;
    assert!(matches!(more, Err(TenantCreateError::TooMany(_))), "{more:?}");
    made(&other, "three").await.expect("another organisation's");
    let reach: Vec<_> = actor(&store, anna.id).await.grants.iter().map(|it| it.within).collect();
    let seen = store.tenant_list_within(&reach, None, 10).await.expect("readable");
    assert_eq!(seen.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    let rest = store.tenant_list_within(&reach, Some(first.id), 10).await.expect("readable");
    assert_eq!(rest.len(), 1);
    assert_eq!(store.tenant_list_within(&[], None, 10).await.expect("readable"), []);
    let scope = store.tenant_scope(first.id).await.expect("readable");
    assert_eq!(scope, first.scope());
}

async fn what_is_over_is_not_kept(world: World) {
    let store = world.open().await;
    let acme = organisation(&store, "acme").await;
    let anna = join(&store, &acme, Role::Owner, "anna@example.com").await;
    store.sign_in_create(&anna, "", WEEK, "r").await.expect("signed in");
    let proof = inside::<ManageMembers>(&acme);
    store.invite_create(Some(&proof), Role::Viewer, "", WEEK).await.expect("made");
    store.close().await.expect("closed");
    let rows = "SELECT (SELECT count(*) FROM sign_ins) + (SELECT count(*) FROM invites)";
    world.open().await.close().await.expect("closed");
    assert_eq!(world.tables().await.number(rows).await, 2);
    world.clock.advance(WEEK + SignedDuration::from_secs(1));
    world.open().await.close().await.expect("closed");
    assert_eq!(world.tables().await.number(rows).await, 0);
}

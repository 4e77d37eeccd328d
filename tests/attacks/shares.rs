//! Shares cannot be multiplied: every limit counts for the accountable user, however many keys and organizations that user has.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};
use tokio::task::JoinSet;

use crate::support::{
    Answered as _, Api, Test, both,
    follow::{Watch, list},
    raw,
    refusal::reason_of,
    refused,
};

async fn watch(api: &Api) -> Result<Watch, tonic::Status> {
    Watch::open(api, pb::WatchEventsRequest::default()).await
}

#[both]
async fn v12_organizations_of_one_user_open_no_more_streams_than_one(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let mut streams = Vec::new();
    for _ in 0..12 {
        let organization = t.organization(&ada).await;
        let api = t.with_key(&t.organization_key(&organization).await);
        loop {
            match watch(&api).await {
                Ok(stream) => streams.push(stream),
                Err(status) => {
                    refused(Err::<(), _>(status), ErrorReason::StreamLimitReached);
                    break;
                }
            }
            assert!(streams.len() <= 20, "a tenth of 200");
        }
    }
    assert_eq!(streams.len(), 20);
    refused(watch(&t.with_key(&t.user_key(&ada).await)).await.map(drop), ErrorReason::StreamLimitReached);
    let other = t.organization(&bob).await;
    watch(&t.with_key(&t.organization_key(&other).await)).await.unwrap();
}

#[both(options = ["--max-streams", "10"])]
async fn an_organization_is_counted_for_its_owner_and_by_itself_when_that_one_has_gone(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let organization = t.organization(&ada).await;
    let own = t.with_key(&t.organization_key(&organization).await);
    let (adas, bobs) = (t.with_key(&t.user_key(&ada).await), t.with_key(&t.user_key(&bob).await));
    t.member(&bob, &organization, "member").await;
    let held = watch(&adas).await.unwrap();
    refused(watch(&own).await.map(drop), ErrorReason::StreamLimitReached);
    let transfer = pb::TransferOwnershipRequest {
        organization_id: organization.id.clone(),
        new_owner_user_id: bob.id.clone(),
        former_owner_user_id: ada.id.clone(),
        former_owner_role: "member".to_owned(),
        ..Default::default()
    };
    t.admin().organizations().transfer_ownership(transfer).await.unwrap();
    // Bob has not agreed to answer for the keys of others, so the organization has a share of its own.
    let by_itself = watch(&own).await.unwrap();
    refused(watch(&own).await.map(drop), ErrorReason::StreamLimitReached);
    let of_bob = watch(&bobs).await.unwrap();
    drop((held, of_bob, by_itself));
}

#[both]
async fn a_removed_founder_is_no_longer_accountable(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let organization = t.organization(&ada).await;
    t.member(&bob, &organization, "owner").await;
    let accountable = async || {
        t.database.texts("SELECT slug AS value FROM cf_organizations WHERE accountable_user_id IS NOT NULL").await
    };
    assert_eq!(accountable().await.len(), 1);
    let membership = t.membership(&ada.id, &organization.id).await.unwrap();
    let delete = pb::DeleteMembershipRequest { membership_id: membership.id, ..Default::default() };
    t.admin().memberships().delete_membership(delete).await.unwrap();
    assert!(accountable().await.is_empty());
}

#[both]
async fn v19_keys_made_with_a_key_of_a_rate_share_it(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let new = |rate_limit| pb::CreateApiKeyRequest {
        owner: Some(Owner::UserId(ada.id.clone())),
        name: "Key".to_owned(),
        scopes: vec!["*".to_owned()],
        environment: pb::ApiKeyEnvironment::Live.into(),
        rate_limit,
        ..Default::default()
    };
    let first = t.admin().api_keys().create_api_key(new(20)).await.answered().plaintext_key;
    let mut keys = Vec::new();
    while keys.len() < 15 {
        match t.with_key(&first).api_keys().create_api_key(new(0)).await {
            Ok(created) => keys.push(created.into_inner().plaintext_key),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    let (mut calls, begun) = (JoinSet::new(), Instant::now());
    for key in &keys {
        let (api, user_id) = (t.with_key(key), ada.id.clone());
        for _ in 0..30 {
            let (api, request) = (api.clone(), pb::GetUserRequest { user_id: user_id.clone() });
            calls.spawn(async move { api.users().get_user(request).await.is_ok() });
        }
    }
    let answered = calls.join_all().await.into_iter().filter(|is_ok| *is_ok).count();
    let most = 20.0 * (begun.elapsed().as_secs_f64() + 1.0) + 1.0;
    assert!(f64::from(u32::try_from(answered).unwrap()) <= most, "{answered} of 450 in {:?}", begun.elapsed());
}

#[both(options = ["--rate-limit", "5"])]
async fn the_rate_that_the_server_sets_is_for_all_keys_of_a_tenant_and_not_for_platform_admins(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let keys = [t.user_key(&ada).await, t.organization_key(&t.organization(&ada).await).await];
    let get = |key: &str| {
        let (api, request) = (t.with_key(key), pb::GetUserRequest { user_id: ada.id.clone() });
        async move { api.users().get_user(request).await }
    };
    for _ in 0..50 {
        get(&t.admin_key).await.unwrap();
    }
    // Even on a slow machine some of these concurrent calls come too soon.
    loop {
        let mut calls = JoinSet::new();
        for number in 0..64 {
            calls.spawn(get(&keys[number % 2]));
        }
        let ended = calls.join_all().await;
        if ended.iter().any(|ended| ended.as_ref().is_err_and(|status| reason_of(status) == "RATE_LIMITED")) {
            break;
        }
    }
}

#[both]
async fn v29_refusals_of_many_kinds_are_distinguished_up_to_a_number_and_nobody_elses_are_lost(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let mut keys = Vec::new();
    for _ in 0..4 {
        keys.push(t.key(Owner::UserId(ada.id.clone()), &["nothing:here"]).await.1);
    }
    let denied = async |user: &pb::User| {
        let actions = vec!["call.denied".to_owned()];
        let user_id = user.id.clone();
        list(&t.admin(), pb::ListEventsRequest { actions, user_id, ..Default::default() }).await
    };
    let methods: Vec<_> = raw::methods().into_iter().filter(|method| !raw::access(method).scope.is_empty()).collect();
    let (api, mut calls) = (t.anonymous(), 0);
    for key in &keys {
        for method in &methods {
            let answer = raw::call(&api, &raw::path(method), Vec::new(), raw::bearer(&[key])).await;
            refused(answer, ErrorReason::ScopeMissing);
            calls += 1;
        }
    }
    assert!(calls > 150, "{calls}");
    // A hundred, and one for all others.
    assert_eq!(denied(&ada).await.len(), 101);
    let other = t.key(Owner::UserId(bob.id.clone()), &["nothing:here"]).await.1;
    refused(t.with_key(&other).users().create_user(pb::CreateUserRequest::default()).await, ErrorReason::ScopeMissing);
    assert_eq!(denied(&bob).await.len(), 1);
    // Folded denials are recorded with the next one of their kind.
    t.advance(Duration::from_secs(61));
    for key in &keys {
        for method in &methods {
            refused(
                raw::call(&api, &raw::path(method), Vec::new(), raw::bearer(&[key])).await,
                ErrorReason::ScopeMissing,
            );
        }
    }
    let reported: i32 = denied(&ada).await.iter().map(|event| event.count).sum();
    // All from the first round, and 101 kinds from the second.
    assert_eq!(reported, calls + 101);
}

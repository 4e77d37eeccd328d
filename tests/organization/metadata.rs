//! Settings of organizations by single keys, what only platform admins see, and filters.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, event::Resource};

use crate::support::{
    Answered as _, Api, Test, both, having, json, mask, mirror, object, refusal::fields, refused, words,
};

fn update(
    organization: &pb::Organization,
    paths: &[&str],
    settings: Option<prost_types::Struct>,
) -> pb::UpdateOrganizationRequest {
    pb::UpdateOrganizationRequest {
        organization_id: organization.id.clone(),
        settings,
        update_mask: mask(paths),
        ..Default::default()
    }
}

/// The ids of the organizations that a list returns, page by page.
async fn found(api: &Api, request: pb::ListOrganizationsRequest) -> Vec<String> {
    let (mut ids, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListOrganizationsRequest { page_token, page_size: 2, ..request.clone() };
        let page = api.organizations().list_organizations(request).await.answered();
        ids.extend(page.organizations.into_iter().map(|organization| organization.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return ids;
        }
    }
}

fn with(key: &str, value: &str) -> pb::ListOrganizationsRequest {
    pb::ListOrganizationsRequest { settings_filter: having(key, value), ..Default::default() }
}

#[both]
async fn single_keys_of_the_settings_are_set_and_removed(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let mut owner = t.with_key(&t.user_key(&ada).await).organizations();
    let stored = json(&[("color", words("red")), ("a.b", words("x")), ("keep", words("y"))]);
    owner.update_organization(update(&acme, &["settings"], stored)).await.unwrap();
    let request = update(&acme, &["settings.color", "settings.`a.b`"], object("color", "blue"));
    let after = owner.update_organization(request).await.answered().organization.unwrap();
    assert_eq!(after.settings, json(&[("color", words("blue")), ("keep", words("y"))]));
    let large = update(&acme, &["settings.large"], object("large", &"x".repeat(16_350)));
    let status = refused(owner.update_organization(large).await, ErrorReason::InvalidArgument);
    assert_eq!(fields(&status), ["settings"]);
}

#[both]
async fn private_metadata_is_for_platform_admins_only(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let secret = pb::UpdateOrganizationRequest {
        private_metadata: object("risk", "canary"),
        ..update(&acme, &["private_metadata.risk"], None)
    };
    let owner = t.with_key(&t.user_key(&ada).await);
    refused(owner.organizations().update_organization(secret.clone()).await, ErrorReason::PlatformAdminRequired);
    let create = pb::CreateOrganizationRequest {
        name: "Own".to_owned(),
        owner_user_id: ada.id.clone(),
        private_metadata: object("risk", "none"),
        ..Default::default()
    };
    refused(owner.organizations().create_organization(create).await, ErrorReason::PlatformAdminRequired);
    let whole = t.admin().organizations().update_organization(secret).await.answered().organization.unwrap();
    assert_eq!(whole.private_metadata, object("risk", "canary"));
    let get = pb::GetOrganizationRequest { organization_id: acme.id.clone() };
    assert_eq!(
        t.admin().organizations().get_organization(get.clone()).await.answered().organization,
        Some(whole.clone())
    );
    let open = pb::Organization { private_metadata: None, ..whole.clone() };
    for key in [t.user_key(&ada).await, t.organization_key(&acme).await] {
        let api = t.with_key(&key);
        assert_eq!(api.organizations().get_organization(get.clone()).await.answered().organization, Some(open.clone()));
        let listed = api.organizations().list_organizations(pb::ListOrganizationsRequest::default()).await.answered();
        assert_eq!(listed.organizations, std::slice::from_ref(&open));
        let filter =
            pb::ListOrganizationsRequest { private_metadata_filter: having("risk", "canary"), ..Default::default() };
        refused(api.organizations().list_organizations(filter).await, ErrorReason::PlatformAdminRequired);
        let list = pb::ListEventsRequest { organization_id: acme.id.clone(), ..Default::default() };
        let events = api.events().list_events(list).await.answered().events;
        assert!(events.iter().any(|event| event.resource == Some(Resource::Organization(open.clone()))));
        let items = mirror::export(&api, vec![pb::ResourceType::Organization], &acme.id).await.unwrap();
        assert!(!format!("{events:?} {items:?}").contains("canary"));
    }
    let filter =
        pb::ListOrganizationsRequest { private_metadata_filter: having("risk", "canary"), ..Default::default() };
    assert_eq!(found(&t.admin(), filter).await, [acme.id]);
}

#[both]
async fn organizations_are_found_by_their_settings_within_reach(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let (mut own, mut all) = (Vec::new(), Vec::new());
    for number in 0..6 {
        let owner = if number % 2 == 0 { &ada } else { &eve };
        let organization = t.organization(owner).await;
        t.admin()
            .organizations()
            .update_organization(update(&organization, &["settings"], object("region", "eu")))
            .await
            .unwrap();
        if number % 2 == 0 {
            own.push(organization.id.clone());
        }
        all.push(organization);
    }
    let ids: Vec<String> = all.iter().map(|organization| organization.id.clone()).collect();
    assert_eq!(found(&t.admin(), with("region", "eu")).await, ids);
    assert_eq!(found(&t.with_key(&t.user_key(&ada).await), with("region", "eu")).await, own);
    let key = t.organization_key(&all[1]).await;
    assert_eq!(found(&t.with_key(&key), with("region", "eu")).await, [ids[1].clone()]);
    assert_eq!(found(&t.with_key(&key), with("region", "us")).await, Vec::<String>::new());
    let member = pb::ListOrganizationsRequest { member_user_id: eve.id.clone(), ..with("region", "eu") };
    assert_eq!(found(&t.admin(), member).await.len(), 3);
    let prefix = pb::ListOrganizationsRequest { name_prefix: "acme".to_owned(), ..with("region", "eu") };
    assert_eq!(found(&t.admin(), prefix).await.len(), 6);
    t.admin().organizations().update_organization(update(&all[0], &["settings.region"], None)).await.unwrap();
    assert_eq!(found(&t.admin(), with("region", "eu")).await, ids[1..]);
    let purge = pb::PurgeOrganizationRequest { organization_id: ids[1].clone(), ..Default::default() };
    t.admin().organizations().purge_organization(purge).await.unwrap();
    assert_eq!(found(&t.admin(), with("region", "eu")).await, ids[2..]);
}

#[both]
async fn a_list_by_external_id_finds_the_one_within_reach(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    for (owner, external_id) in [(&ada, "billing-1"), (&eve, "billing-2")] {
        let create = pb::CreateOrganizationRequest {
            name: "Acme".to_owned(),
            owner_user_id: owner.id.clone(),
            external_id: external_id.to_owned(),
            ..Default::default()
        };
        t.admin().organizations().create_organization(create).await.unwrap();
    }
    let by =
        |external_id: &str| pb::ListOrganizationsRequest { external_id: external_id.to_owned(), ..Default::default() };
    let api = t.with_key(&t.user_key(&ada).await);
    assert_eq!(found(&t.admin(), by("billing-2")).await.len(), 1);
    assert_eq!(found(&api, by("billing-1")).await.len(), 1);
    assert_eq!(found(&api, by("billing-2")).await.len(), 0);
    let of_eve = pb::ListOrganizationsRequest { member_user_id: eve.id.clone(), ..by("billing-1") };
    assert_eq!(found(&t.admin(), of_eve).await.len(), 0);
}

#[both]
async fn filters_by_value_combine_with_a_search_and_an_order(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let mut ids = Vec::new();
    for (name, color) in [("Acme One", "red"), ("Acme Two", "blue"), ("Acme Three", "red"), ("Other", "red")] {
        let request = pb::CreateOrganizationRequest {
            name: name.to_owned(),
            owner_user_id: ada.id.clone(),
            settings: object("color", color),
            external_id: name.to_owned(),
            ..Default::default()
        };
        ids.push(t.admin().organizations().create_organization(request).await.answered().organization.unwrap().id);
    }
    let red = with("color", "red");
    let newest = pb::ListOrganizationsRequest { order: pb::Order::NewestFirst.into(), ..red };
    let expected = [ids[3].clone(), ids[2].clone(), ids[0].clone()];
    let searched = pb::ListOrganizationsRequest { query: "acme".to_owned(), ..newest.clone() };
    for key in [t.admin_key.clone(), t.user_key(&ada).await] {
        let api = t.with_key(&key);
        assert_eq!(found(&api, newest.clone()).await, expected);
        assert_eq!(found(&api, searched.clone()).await, expected[1..]);
        for (query, count) in [("two", 1), ("one", 0)] {
            let external_id = "Acme Two".to_owned();
            let query = pb::ListOrganizationsRequest { query: query.to_owned(), external_id, ..Default::default() };
            assert_eq!(found(&api, query).await, ids[1..][..count]);
        }
    }
}

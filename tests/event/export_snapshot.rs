//! `EventService.ExportSnapshot`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, export_snapshot_response::Item};

use crate::support::{
    Test, both,
    follow::Watch,
    mirror::{Mirror, every_kind, export},
    refused,
    request::World,
};

#[both]
async fn a_snapshot_holds_every_resource_and_no_secret(t: Arc<Test>) {
    let world = World::make(&t).await;
    let items = export(&t.admin(), every_kind(), "").await.unwrap();
    let kind = |item: &Item| match item {
        Item::User(_) => 1,
        Item::Organization(_) => 2,
        Item::Membership(_) => 3,
        Item::OauthAccount(_) => 4,
        Item::Session(_) => 5,
        Item::ApiKey(_) => 6,
        Item::Role(_) => 7,
        Item::Invitation(_) => 8,
        Item::Cursor(_) => 9,
    };
    // The admin with its key, and the world.
    assert_eq!(items.iter().map(kind).collect::<Vec<_>>(), [1, 1, 1, 2, 3, 4, 5, 6, 6, 7, 8, 9]);
    assert!(items.contains(&Item::User(world.user.clone())));
    let text = format!("{items:?}");
    for secret in [
        &world.plaintext_token,
        &world.invitation_token,
        &world.plaintext_key,
        "canary-access",
        "canary-refresh",
        &t.admin_key,
    ] {
        assert!(!text.contains(secret));
    }
    // Deleted resources are included until they are purged; expired ones are not.
    let delete = pb::DeleteOrganizationRequest { organization_id: world.organization_id.clone(), ..Default::default() };
    t.admin().organizations().delete_organization(delete).await.unwrap();
    let revoke = pb::RevokeAllSessionsRequest { user_id: world.user.id.clone(), ..Default::default() };
    t.admin().sessions().revoke_all_sessions(revoke).await.unwrap();
    let items = export(&t.admin(), every_kind(), "").await.unwrap();
    assert_eq!(items.iter().map(kind).collect::<Vec<_>>(), [1, 1, 1, 2, 3, 4, 6, 6, 7, 8, 9]);
}

#[both]
async fn a_snapshot_and_the_watch_after_it_equal_the_database(t: Arc<Test>) {
    for _ in 0..10 {
        // Concurrent writes during the whole export.
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let t = std::sync::Arc::clone(&t);
                tokio::spawn(async move {
                    for _ in 0..5 {
                        let world = World::make(&t).await;
                        let request = pb::PurgeOrganizationRequest {
                            organization_id: world.organization_id,
                            ..Default::default()
                        };
                        t.admin().organizations().purge_organization(request).await.unwrap();
                        let request = pb::PurgeUserRequest { user_id: world.user.id, ..Default::default() };
                        t.admin().users().purge_user(request).await.unwrap();
                    }
                })
            })
            .collect();
        let mut mirror = Mirror::take(&t.admin()).await.unwrap();
        let mut watch = Watch::resume(&t.admin(), &mirror.cursor).await;
        for writer in writers {
            writer.await.unwrap();
        }
        let last = t.user("last").await;
        loop {
            let event = watch.event().await;
            let is_last = event.resource_id == last.id;
            mirror.apply(event);
            if is_last {
                break;
            }
        }
        mirror.assert_equals(&Mirror::take(&t.admin()).await.unwrap());
    }
}

#[both]
async fn a_tenant_exports_what_belongs_to_it(t: Arc<Test>) {
    let (world, other) = (World::make(&t).await, World::make(&t).await);
    let organization = pb::Organization { id: world.organization_id.clone(), ..Default::default() };
    let key = t.with_key(&t.organization_key(&organization).await);
    let kinds = || vec![pb::ResourceType::Organization, pb::ResourceType::ApiKey, pb::ResourceType::Membership];
    let items = export(&key, kinds(), &world.organization_id).await.unwrap();
    let text = format!("{items:?}");
    assert_eq!(items.len(), 5);
    assert!(
        text.contains(&world.membership_id) && !text.contains(&other.organization_id) && !text.contains(&other.user.id)
    );
    refused(export(&key, kinds(), &other.organization_id).await, ErrorReason::OrganizationNotFound);
    refused(export(&key, kinds(), "").await, ErrorReason::PlatformAdminRequired);
    refused(export(&key, every_kind(), &world.organization_id).await, ErrorReason::InvalidArgument);
    let owner = t.with_key(&t.user_key(&world.user).await);
    assert_eq!(export(&owner, kinds(), &world.organization_id).await.unwrap().len(), 5);
    refused(export(&owner, kinds(), "").await, ErrorReason::PlatformAdminRequired);
}

#[both]
async fn kinds_are_named_once_and_at_least_one(t: Arc<Test>) {
    use pb::ResourceType as R;
    for kinds in [vec![], vec![R::User, R::User], vec![R::Unspecified]] {
        refused(export(&t.admin(), kinds, "").await, ErrorReason::InvalidArgument);
    }
}

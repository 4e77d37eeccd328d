//! `OrganizationService.PurgeOrganization`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Test, both, refused};

#[both]
async fn a_purged_organization_leaves_nothing(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let key = t.organization_key(&acme).await;
    let purge =
        pb::PurgeOrganizationRequest { organization_id: acme.id.clone(), etag: String::new(), ..Default::default() };
    t.admin().organizations().purge_organization(purge.clone()).await.unwrap();
    refused(t.with_key(&key).users().list_users(pb::ListUsersRequest::default()).await, ErrorReason::Unauthenticated);
    for table in ["cf_organizations", "cf_memberships", "cf_api_keys WHERE user_id IS NULL"] {
        let count = t.database.texts(&format!("SELECT CAST(count(*) AS text) AS value FROM {table}")).await;
        assert_eq!(count, ["0"], "{table}");
    }
    refused(t.admin().organizations().purge_organization(purge).await, ErrorReason::OrganizationNotFound);
    // The owner still exists and owns nothing now.
    t.suspend(&ada).await;
}

#[both]
async fn a_deleted_one_can_be_purged_and_an_owner_may_not(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let purge =
        pb::PurgeOrganizationRequest { organization_id: acme.id.clone(), etag: String::new(), ..Default::default() };
    let adas = t.with_key(&t.user_key(&ada).await);
    refused(adas.organizations().purge_organization(purge.clone()).await, ErrorReason::PlatformAdminRequired);
    let delete = pb::DeleteOrganizationRequest { organization_id: acme.id, etag: String::new(), ..Default::default() };
    adas.organizations().delete_organization(delete).await.unwrap();
    t.admin().organizations().purge_organization(purge).await.unwrap();
}

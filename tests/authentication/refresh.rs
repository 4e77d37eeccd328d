//! `AuthenticationService.Refresh`. `refresh_token/rotate.rs` tests the refresh tokens themselves.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use super::{claims, refresh};
use crate::support::{MISSING_ID, Test, both, given::Issued as _, refused};

#[both]
async fn a_session_goes_on_with_a_new_pair(t: Arc<Test>) {
    let (user, first, _) = t.signed_in_user("ada").await;
    let second = refresh(&t, &first.plaintext_token).await.unwrap();
    let (before, after) = (claims(&first.access_token), claims(&second.access_token));
    assert_eq!((after["sub"].as_str(), &after["sid"]), (Some(user.id.as_str()), &before["sid"]));
    assert_ne!(after["jti"], before["jti"]);
    assert_eq!(second.session.unwrap().id, first.session.unwrap().id);
    refresh(&t, &second.plaintext_token).await.unwrap();
}

#[both]
async fn a_session_can_be_for_another_organization_and_for_none(t: Arc<Test>) {
    let (user, first, _) = t.signed_in_user("ada").await;
    let (one, other) = (t.organization(&user).await, t.organization(&user).await);
    let foreign = t.organization(&t.user("eve").await).await;
    let go_on = async |plaintext_token: &str, organization_id: Option<&str>| {
        let organization_id = organization_id.map(str::to_owned);
        let request =
            pb::RefreshRequest { plaintext_token: plaintext_token.to_owned(), organization_id, ..Default::default() };
        t.admin().authentication().refresh(request).await.map(|answer| answer.into_inner().issued())
    };
    let of_one = go_on(&first.plaintext_token, Some(&one.id)).await.unwrap();
    assert_eq!(claims(&of_one.access_token)["org_id"], one.id.as_str());
    // The session stays with the organization.
    let again = go_on(&of_one.plaintext_token, None).await.unwrap();
    assert_eq!(claims(&again.access_token)["org_id"], one.id.as_str());
    // A refusal does not spend the token.
    for not_open in [&foreign.id, MISSING_ID] {
        refused(go_on(&again.plaintext_token, Some(not_open)).await, ErrorReason::OrganizationNotFound);
    }
    refused(go_on(&again.plaintext_token, Some("x")).await, ErrorReason::InvalidArgument);
    let of_other = go_on(&again.plaintext_token, Some(&other.id)).await.unwrap();
    assert_eq!(claims(&of_other.access_token)["org_id"], other.id.as_str());
    let bare = go_on(&of_other.plaintext_token, Some("")).await.unwrap();
    assert!(claims(&bare.access_token).get("org_id").is_none());
    assert_eq!(bare.session.unwrap().organization_id, "");
}

#[both]
async fn malformed_tokens_are_rejected(t: Arc<Test>) {
    for text in ["x", "cf_rt_x"] {
        refused(refresh(&t, text).await, ErrorReason::RefreshTokenRejected);
    }
    refused(refresh(&t, "").await, ErrorReason::InvalidArgument);
}

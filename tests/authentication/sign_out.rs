//! `AuthenticationService.SignOut`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use super::refresh;
use crate::support::{Answered as _, Test, both, refused};

#[both]
async fn a_session_ends_with_its_access_tokens(t: Arc<Test>) {
    let (user, first, api) = t.signed_in_user("ada").await;
    let other = t.signed_in(&user).await;
    let get = pb::GetUserRequest { user_id: user.id.clone() };
    api.users().get_user(get.clone()).await.unwrap();
    let request = pb::SignOutRequest { plaintext_token: first.plaintext_token.clone(), ..Default::default() };
    assert_eq!(t.admin().authentication().sign_out(request).await.answered().ended_sessions, 1);
    refused(api.users().get_user(get.clone()).await, ErrorReason::Unauthenticated);
    refused(refresh(&t, &first.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    t.with_key(&other.access_token).users().get_user(get).await.unwrap();
    refresh(&t, &other.plaintext_token).await.unwrap();
}

#[both]
async fn a_user_ends_its_own_session_or_all_of_them(t: Arc<Test>) {
    let (user, first, api) = t.signed_in_user("ada").await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(t.signed_in(&user).await);
    }
    assert_eq!(api.authentication().sign_out(pb::SignOutRequest::default()).await.answered().ended_sessions, 1);
    refused(refresh(&t, &first.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    let of_other = t.with_key(&others[0].access_token);
    let all = pb::SignOutRequest { all_sessions: true, ..Default::default() };
    assert_eq!(of_other.authentication().sign_out(all).await.answered().ended_sessions, 3);
    for other in others {
        refused(refresh(&t, &other.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    }
}

#[both]
async fn nobody_ends_the_session_of_another_one(t: Arc<Test>) {
    let (_, victim, _) = t.signed_in_user("victim").await;
    let (eve, _, of_eve) = t.signed_in_user("eve").await;
    let organization = t.organization(&eve).await;
    let of_organization = t.with_key(&t.organization_key(&organization).await);
    let request = pb::SignOutRequest { plaintext_token: victim.plaintext_token.clone(), ..Default::default() };
    for api in [of_eve, of_organization.clone()] {
        refused(api.authentication().sign_out(request.clone()).await, ErrorReason::RefreshTokenRejected);
    }
    refused(
        of_organization.authentication().sign_out(pb::SignOutRequest::default()).await,
        ErrorReason::InvalidArgument,
    );
    refresh(&t, &victim.plaintext_token).await.unwrap();
}

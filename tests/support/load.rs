//! A mixed load of changes, each with a request id, and their outcomes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use prost::Message;
use tenantry::pb;
use tonic::Code;
use uuid::Uuid;

use super::{Api, given::Issued as _, mask, object, random::Random, raw};

/// A sent request, which can be repeated.
#[derive(Clone, Debug)]
pub struct Sent {
    pub method: &'static str,
    pub message: Vec<u8>,
    pub request_id: String,
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer.
    Answered(Vec<u8>),
    /// Refused: it certainly changed nothing.
    Refused(String),
    /// Unknown.
    Unknown,
}

impl Sent {
    /// Sends the request, or repeats it.
    pub async fn send(&self, api: &Api, key: &str) -> Outcome {
        let path = format!("/tenantry.v1.{}", self.method);
        match raw::call(api, &path, self.message.clone(), raw::bearer(&[key])).await {
            Ok(answer) => Outcome::Answered(answer),
            Err(status) => match status.code() {
                Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded | Code::Internal => {
                    assert!(!format!("{status:?}").contains("internal error"), "{}: {status:?}", self.method);
                    Outcome::Unknown
                }
                _ => Outcome::Refused(super::refusal::reason_of(&status)),
            },
        }
    }
}

/// Resources to change, shared by all clients of a load.
#[derive(Default)]
struct Things {
    users: Vec<String>,
    organizations: Vec<String>,
    memberships: Vec<String>,
    accounts: Vec<String>,
    sessions: HashMap<String, String>,
    tokens: Vec<String>,
    keys: Vec<String>,
}

/// A client that sends changes.
#[derive(Clone)]
pub struct Client {
    random: Random,
    things: Arc<Mutex<Things>>,
}

macro_rules! sent {
    ($method:literal, $request_id:expr, $request:ident { all $($field:ident: $value:expr),* $(,)? }) => {{
        let request_id: String = $request_id;
        let request = pb::$request { $($field: $value,)* request_id: request_id.clone() };
        Sent { method: $method, message: request.encode_to_vec(), request_id }
    }};
    ($method:literal, $request_id:expr, $request:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let request_id: String = $request_id;
        let request = pb::$request { $($field: $value,)* request_id: request_id.clone(), ..Default::default() };
        Sent { method: $method, message: request.encode_to_vec(), request_id }
    }};
}

/// The arguments of the next request. Ids fall back to the user's if no resource of the kind exists yet.
struct Picked {
    id: String,
    word: String,
    user: String,
    organization: String,
    membership: String,
    account: String,
    key: String,
    token: String,
    role: String,
}

impl Picked {
    /// Changes of users.
    fn user_change(self, kind: usize) -> Sent {
        match kind {
            2 | 3 => sent!(
                "UserService/UpdateUser",
                self.id,
                UpdateUserRequest { user_id: self.user, name: self.word, update_mask: mask(&["name"]) }
            ),
            4 => sent!("UserService/SuspendUser", self.id, SuspendUserRequest { user_id: self.user }),
            5 => sent!("UserService/ReactivateUser", self.id, ReactivateUserRequest { user_id: self.user }),
            6 => sent!("UserService/DeleteUser", self.id, DeleteUserRequest { user_id: self.user }),
            7 => sent!("UserService/UndeleteUser", self.id, UndeleteUserRequest { user_id: self.user }),
            _ => sent!("UserService/PurgeUser", self.id, PurgeUserRequest { user_id: self.user }),
        }
    }

    /// Changes of organizations.
    fn organization_change(self, kind: usize, random: &mut Random) -> Sent {
        match kind {
            9 | 10 => sent!(
                "OrganizationService/CreateOrganization",
                self.id,
                CreateOrganizationRequest { name: self.word.clone(), slug: self.word, owner_user_id: self.user }
            ),
            11 => sent!(
                "OrganizationService/UpdateOrganization",
                self.id,
                UpdateOrganizationRequest {
                    organization_id: self.organization,
                    name: self.word,
                    update_mask: mask(&["name"])
                }
            ),
            _ => match random.below(3) {
                0 => sent!(
                    "OrganizationService/DeleteOrganization",
                    self.id,
                    DeleteOrganizationRequest { organization_id: self.organization }
                ),
                1 => sent!(
                    "OrganizationService/UndeleteOrganization",
                    self.id,
                    UndeleteOrganizationRequest { organization_id: self.organization }
                ),
                _ => sent!(
                    "OrganizationService/PurgeOrganization",
                    self.id,
                    PurgeOrganizationRequest { organization_id: self.organization }
                ),
            },
        }
    }

    /// Changes of memberships.
    fn membership_change(self, kind: usize) -> Sent {
        match kind {
            13 | 14 => sent!(
                "MembershipService/CreateMembership",
                self.id,
                CreateMembershipRequest { user_id: self.user, organization_id: self.organization, role: self.role }
            ),
            15 => sent!(
                "MembershipService/UpdateMembership",
                self.id,
                UpdateMembershipRequest {
                    membership_id: self.membership,
                    role: self.role,
                    update_mask: mask(&["role"])
                }
            ),
            _ => sent!(
                "MembershipService/DeleteMembership",
                self.id,
                DeleteMembershipRequest { membership_id: self.membership }
            ),
        }
    }

    /// Changes of OAuth accounts.
    fn account_change(self, kind: usize) -> Sent {
        match kind {
            17 => sent!(
                "OauthAccountService/LinkOauthAccount",
                self.id,
                LinkOauthAccountRequest {
                    user_id: self.user,
                    provider: "github".to_owned(),
                    provider_user_id: self.word.clone(),
                    tokens: Some(pb::OauthTokens { access_token: Some(self.word), ..Default::default() }),
                }
            ),
            18 => sent!(
                "OauthAccountService/SetOauthAccountTokens",
                self.id,
                SetOauthAccountTokensRequest {
                    oauth_account_id: self.account,
                    tokens: Some(pb::OauthTokens { refresh_token: Some(self.word), ..Default::default() }),
                }
            ),
            _ => sent!(
                "OauthAccountService/UnlinkOauthAccount",
                self.id,
                UnlinkOauthAccountRequest { oauth_account_id: self.account }
            ),
        }
    }

    /// Changes of sessions.
    fn session_change(self, kind: usize) -> Sent {
        match kind {
            20 => {
                sent!(
                    "RefreshTokenService/CreateRefreshToken",
                    self.id,
                    CreateRefreshTokenRequest { user_id: self.user }
                )
            }
            21 | 22 => sent!(
                "RefreshTokenService/RotateRefreshToken",
                self.id,
                RotateRefreshTokenRequest { all plaintext_token: self.token }
            ),
            _ => sent!("SessionService/RevokeAllSessions", self.id, RevokeAllSessionsRequest { user_id: self.user }),
        }
    }

    /// Changes of API keys.
    fn key_change(self, kind: usize) -> Sent {
        if kind != 24 {
            return sent!("ApiKeyService/RevokeApiKey", self.id, RevokeApiKeyRequest { api_key_id: self.key });
        }
        sent!(
            "ApiKeyService/CreateApiKey",
            self.id,
            CreateApiKeyRequest {
                owner: Some(pb::create_api_key_request::Owner::UserId(self.user)),
                name: self.word,
                scopes: vec!["users:read".to_owned()],
                environment: pb::ApiKeyEnvironment::Live.into(),
            }
        )
    }
}

impl Client {
    /// Creates clients that share their resources.
    pub fn several(count: u64, random: &mut Random) -> Vec<Self> {
        let things = Arc::default();
        (0..count).map(|_| Self { random: Random::new(random.next()), things: Arc::clone(&things) }).collect()
    }

    /// The next request. It may be refused, for example because another client has just removed the resource.
    pub fn next(&mut self) -> Sent {
        let random = &mut self.random;
        let id = Uuid::from_u64_pair(random.next(), random.next());
        let id = uuid::Builder::from_random_bytes(*id.as_bytes()).into_uuid().to_string();
        let things = self.things.lock().unwrap();
        let word = format!("x{:x}", random.next());
        let user = random.pick(&things.users).cloned();
        let organization = random.pick(&things.organizations).cloned();
        let membership = random.pick(&things.memberships).cloned();
        let account = random.pick(&things.accounts).cloned();
        let token = random.pick(&things.tokens).cloned();
        let key = random.pick(&things.keys).cloned();
        let new_user = sent!(
            "UserService/CreateUser",
            id.clone(),
            CreateUserRequest {
                email: format!("{word}@example.com"),
                name: word.clone(),
                metadata: object("word", &word),
            }
        );
        let (Some(user), 10..) = (user, things.users.len()) else { return new_user };
        let role = random.one(&["owner", "admin", "member"]).to_owned();
        let kind = random.below(26);
        let of = |thing: Option<String>| thing.unwrap_or_else(|| user.clone());
        let picked = Picked {
            id,
            word,
            organization: of(organization),
            membership: of(membership),
            account: of(account),
            key: of(key),
            token: token.unwrap_or_else(|| "x".to_owned()),
            role,
            user,
        };
        match kind {
            0 | 1 => new_user,
            2..=8 => picked.user_change(kind),
            9..=12 => picked.organization_change(kind, random),
            13..=16 => picked.membership_change(kind),
            17..=19 => picked.account_change(kind),
            20..=23 => picked.session_change(kind),
            _ => picked.key_change(kind),
        }
    }

    /// Records the resources that an answer created.
    pub fn learn(&mut self, sent: &Sent, answer: &[u8]) {
        let mut things = self.things.lock().unwrap();
        match sent.method {
            "UserService/CreateUser" => {
                things.users.push(pb::CreateUserResponse::decode(answer).unwrap().user.unwrap().id);
            }
            "OrganizationService/CreateOrganization" => {
                let created = pb::CreateOrganizationResponse::decode(answer).unwrap();
                things.organizations.push(created.organization.unwrap().id);
                things.memberships.push(created.owner_membership_id);
            }
            "MembershipService/CreateMembership" => {
                things.memberships.push(pb::CreateMembershipResponse::decode(answer).unwrap().membership.unwrap().id);
            }
            "OauthAccountService/LinkOauthAccount" => {
                things.accounts.push(pb::LinkOauthAccountResponse::decode(answer).unwrap().oauth_account.unwrap().id);
            }
            "RefreshTokenService/CreateRefreshToken" => {
                let created = pb::CreateRefreshTokenResponse::decode(answer).unwrap().issued();
                things.tokens.push(created.plaintext_token.clone());
                things.sessions.insert(created.session.unwrap().id, created.plaintext_token);
            }
            "RefreshTokenService/RotateRefreshToken" => {
                let created = pb::RotateRefreshTokenResponse::decode(answer).unwrap().issued();
                let session = created.session.unwrap().id;
                if let Some(old) = things.sessions.insert(session, created.plaintext_token.clone()) {
                    things.tokens.retain(|token| *token != old);
                }
                things.tokens.push(created.plaintext_token);
            }
            "ApiKeyService/CreateApiKey" => {
                things.keys.push(pb::CreateApiKeyResponse::decode(answer).unwrap().api_key.unwrap().id);
            }
            _ => {}
        }
        // Keeps few resources that change often, since that provokes races.
        let things = &mut *things;
        for all in [
            &mut things.users,
            &mut things.organizations,
            &mut things.memberships,
            &mut things.accounts,
            &mut things.tokens,
            &mut things.keys,
        ] {
            if all.len() > 40 {
                all.drain(..10);
            }
        }
    }
}

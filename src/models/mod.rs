//! The domain types and their pure rules, without a database, the wire, a clock or randomness.
//!
//! A `parse` function returns the rule that the input breaks as its error, in the words of a field violation.

pub mod action;
pub mod api_key;
pub mod authority;
pub mod call;
pub mod caller;
pub mod characters;
pub mod email;
pub mod erasure;
pub mod event;
pub mod fold;
pub mod id;
pub mod impact;
pub mod invitation;
pub mod ip_range;
pub mod json;
pub mod membership;
pub mod metadata;
pub mod oauth_account;
pub mod one_time_token;
pub mod organization;
pub mod page;
pub mod password;
pub mod permission;
pub mod plan;
pub mod priority;
pub mod reserved_slug;
pub mod resource;
pub mod role;
pub mod scope;
pub mod search;
pub mod secret;
pub mod session;
pub mod sign_in;
pub mod signing_key;
pub mod slug;
pub mod stored;
pub mod text;
pub mod timestamp;
pub mod user;

pub use action::Action;
pub use api_key::{
    ApiKey, ApiKeyChanges, ApiKeyFilter, ApiKeyOwner, Credential, Environment, KeyWithUses, LastUses, NewApiKey,
    OwnerState, Use, Verdict,
};
pub use authority::Grant;
pub use call::{Actor, Call, DeniedItems, Once, Origin};
pub use caller::{Caller, Presented, Principal, Reach, Seen};
pub use email::{Email, EmailPrefix, NormalizedEmail};
pub use erasure::{Erased, Erasure, Person, Trace};
pub use event::{ActorKind, Change, Event, EventFilter, ResourceType, Sequence, State};
pub use id::{
    ApiKeyId, CredentialId, EventId, InvitationId, MembershipId, OauthAccountId, OneTimeTokenId, OrganizationId,
    PersonId, PrincipalId, RequestId, ResourceId, RoleId, SessionId, SigningKeyId, UserId,
};
pub use impact::Impact;
pub use invitation::{Invitation, InvitationFilter, InvitationKey, NewInvitation, ShownInvitation};
pub use ip_range::{IpRange, IpRanges};
pub use json::{JsonChanges, JsonObject};
pub use membership::{
    Member, MemberFilter, MemberOrder, Membership, MembershipChanges, MembershipFilter, MembershipKey, MembershipState,
    NewMembership, Profile,
};
pub use metadata::{MetadataFilters, MetadataKind, MetadataMatch};
pub use oauth_account::{NewOauthAccount, OauthAccount, OauthAccountFilter, ProviderAccount, ProviderTokens};
pub use one_time_token::{OneTimeToken, Purpose};
pub use organization::{
    NewOrganization, Organization, OrganizationChanges, OrganizationFilter, OrganizationState, StateFilter,
};
pub use page::{Count, Cursor, Order, Page, PageRequest, Parts, Period};
pub use password::Password;
pub use permission::HeldPermissions;
pub use plan::{Plan, Plans};
pub use priority::Priority;
pub use reserved_slug::ReservedSlugs;
pub use resource::{Resource, Revision};
pub use role::{BuiltInRole, NewRole, Role, RoleChanges, RoleKey, RoleName, RoleOf};
pub use scope::{Permissions, RequiredScope, Scope, Scopes};
pub use search::Fragment;
pub use secret::{PasswordHash, Plaintext, Sealed, SecretHash, SecretPrefix};
pub use session::{Generation, NewSession, RevokedReason, Session, TokenState};
pub use sign_in::{AccountId, Failures, Source};
pub use signing_key::{PublicKey, SigningAlgorithm, SigningKey};
pub use slug::Slug;
pub use text::{Name, SearchKey, WebUrl};
pub use timestamp::Timestamp;
pub use user::{ExternalId, NewUser, User, UserChanges, UserFilter, UserRestoration, UserState};

//! API keys on the wire.

use std::time::Duration;

use bytes::Bytes;

use super::{Listing, Lists, Validation, json, texts, time};
use crate::{
    app::{
        target::Target,
        verification::{Verification, VerificationRequest},
    },
    error::{Error, Result, Violation},
    models::{
        ApiKey, ApiKeyChanges, ApiKeyFilter, ApiKeyId, ApiKeyOwner, Environment, IpRange, IpRanges, KeyWithUses, Name,
        NewApiKey, Plaintext, Resource as _, Scope, Timestamp, Verdict, api_key::MAX_RATE_LIMIT, characters::shown,
        ip_range::parse_address, stored::StoredText as _,
    },
    pb::{self, api_key::Owner as WireOwner, create_api_key_request, list_api_keys_request},
    security::token::SecretPrefixes,
};

/// Maximum size of a presented key in bytes.
const MAX_PRESENTED_BYTES: usize = 512;
/// Maximum number of questions in a batch.
const MAX_QUESTIONS: usize = 1000;
/// Maximum number of characters in the reason of a revocation.
const MAX_REASON_CHARS: usize = 200;
/// Default time for which the former secret stays valid after a rotation.
const OVERLAP: Duration = Duration::from_hours(24);
/// Maximum of that time.
const MAX_OVERLAP: Duration = Duration::from_hours(720);

/// The owner in a request: each request has a oneof of its own for it.
macro_rules! owner {
    ($check:ident, $request:ident, $owner:expr) => {
        match $owner {
            None => $check.field("owner", Err("must be organization_id or user_id")),
            Some($request::Owner::OrganizationId(id)) => {
                $check.id("organization_id", id).map(ApiKeyOwner::Organization)
            }
            Some($request::Owner::UserId(id)) => $check.id("user_id", id).map(ApiKeyOwner::User),
        }
    };
}

/// Parses a CreateApiKey request at `now`.
pub fn create(request: pb::CreateApiKeyRequest, now: Timestamp) -> Result<NewApiKey> {
    let mut check = Validation::default();
    let owner = owner!(check, create_api_key_request, &request.owner);
    let name = check.field("name", Name::parse(&request.name));
    let scopes = check.scopes("scopes", &request.scopes, 1);
    let environment = check.choice("environment", environment(request.environment));
    let expires_at = expiry(&mut check, request.expires_at.as_ref(), now);
    let allowed_ip_ranges = ip_ranges(&mut check, &request.allowed_ip_ranges);
    let rate_limit = rate_limit(&mut check, request.rate_limit);
    let metadata = check.object("metadata", request.metadata);
    let (
        Some(owner),
        Some(name),
        Some(scopes),
        Some(environment),
        Some(expires_at),
        Some(allowed_ip_ranges),
        Some(rate_limit),
        Some(metadata),
    ) = (owner, name, scopes, environment, expires_at, allowed_ip_ranges, rate_limit, metadata)
    else {
        return Err(check.failed());
    };
    Ok(NewApiKey { owner, name, scopes, environment, expires_at, allowed_ip_ranges, rate_limit, metadata })
}

/// Parses a ListApiKeys request.
pub fn list(lists: Lists<'_>, request: &pb::ListApiKeysRequest) -> Result<Listing<ApiKeyFilter>> {
    let mut check = Validation::default();
    let page = check.page(lists, request);
    let owner = owner!(check, list_api_keys_request, &request.owner);
    let fragment = check.fragment(&request.query);
    let created_by = check.optional_id("created_by", &request.created_by);
    let range = [request.expires_from.as_ref(), request.expires_before.as_ref()];
    let expires = check.period("expires_from", "expires_before", range);
    let range = [request.last_used_from.as_ref(), request.last_used_before.as_ref()];
    let last_used = check.period("last_used_from", "last_used_before", range);
    let metadata = check.metadata_filter("metadata_filter", request.metadata_filter.as_ref());
    let filter = (|| {
        Some(ApiKeyFilter {
            owner: owner?,
            include_revoked: request.include_revoked,
            fragment: fragment?,
            created_by: created_by?,
            expires: expires?,
            last_used: last_used?,
            metadata: metadata?,
        })
    })();
    let (Some(filter), Some(page)) = (filter, page) else { return Err(check.failed()) };
    Ok(Listing::new(filter, page))
}

/// Parses an UpdateApiKey request at `now`.
pub fn update(request: pb::UpdateApiKeyRequest, now: Timestamp) -> Result<(Target<ApiKeyId>, ApiKeyChanges)> {
    let mut check = Validation::default();
    let id = check.id("api_key_id", &request.api_key_id);
    let fields = ["name", "scopes", "expires_at", "metadata", "allowed_ip_ranges", "rate_limit"];
    let mask = check.mask_with_keys(request.update_mask.as_ref(), &fields, &["metadata"]);
    let Some(mask) = mask else { return Err(check.failed()) };
    let name = mask.named("name", || check.field("name", Name::parse(&request.name)));
    let scopes = mask.named("scopes", || check.scopes("scopes", &request.scopes, 1));
    let expires_at = mask.named("expires_at", || expiry(&mut check, request.expires_at.as_ref(), now));
    let metadata = check.object_changes(&mask, "metadata", request.metadata);
    let ranges = mask.named("allowed_ip_ranges", || ip_ranges(&mut check, &request.allowed_ip_ranges));
    let rate_limit = mask.named("rate_limit", || rate_limit(&mut check, request.rate_limit));
    let (
        Some(id),
        Some(name),
        Some(scopes),
        Some(expires_at),
        Some(metadata),
        Some(allowed_ip_ranges),
        Some(rate_limit),
    ) = (id, name, scopes, expires_at, metadata, ranges, rate_limit)
    else {
        return Err(check.failed());
    };
    let changes = ApiKeyChanges { name, scopes, expires_at, allowed_ip_ranges, rate_limit, metadata };
    Ok((Target { id, etag: request.etag }, changes))
}

/// Parses a RotateApiKey request: the key, and how long its former secret stays valid.
pub fn rotate(request: pb::RotateApiKeyRequest) -> Result<(Target<ApiKeyId>, Duration)> {
    let mut check = Validation::default();
    let id = check.id("api_key_id", &request.api_key_id);
    let overlap = check.duration("overlap", request.overlap, Duration::ZERO..=MAX_OVERLAP, OVERLAP);
    let (Some(id), Some(overlap)) = (id, overlap) else { return Err(check.failed()) };
    Ok((Target { id, etag: request.etag }, overlap))
}

/// Parses a RevokeApiKey request.
pub fn revoke(request: pb::RevokeApiKeyRequest) -> Result<(Target<ApiKeyId>, Option<String>)> {
    let mut check = Validation::default();
    let id = check.id("api_key_id", &request.api_key_id);
    let reason = reason(&mut check, &request.reason);
    let (Some(id), Some(reason)) = (id, reason) else { return Err(check.failed()) };
    Ok((Target { id, etag: request.etag }, reason))
}

/// Parses a RevokeOwnApiKey request: the reason.
pub fn revoke_own(request: &pb::RevokeOwnApiKeyRequest) -> Result<Option<String>> {
    let mut check = Validation::default();
    let reason = reason(&mut check, &request.reason);
    reason.ok_or_else(|| check.failed())
}

fn reason(check: &mut Validation, text: &str) -> Option<Option<String>> {
    check.optional("reason", text, |text| {
        // Bytes first, so that refusing a huge text is cheap.
        if text.len() > MAX_REASON_CHARS * 4 || text.chars().count() > MAX_REASON_CHARS {
            Err("must have at most 200 characters")
        } else {
            shown(text, &[]).map(|()| text.to_owned())
        }
    })
}

fn ip_ranges(check: &mut Validation, texts: &[String]) -> Option<IpRanges> {
    if texts.len() > IpRanges::MAX {
        check.violation("allowed_ip_ranges", format!("must have at most {} items", IpRanges::MAX));
        return None;
    }
    check.items("allowed_ip_ranges", texts, |text| IpRange::parse(text)).map(IpRanges::from_iter)
}

fn rate_limit(check: &mut Validation, per_second: u32) -> Option<i64> {
    let limit = (per_second <= MAX_RATE_LIMIT).then_some(per_second.into());
    check.field("rate_limit", limit.ok_or("must be at most 1000000"))
}

/// Reads a question about a key, with every violation at once. A malformed key is not a violation: the verdict reports it.
fn question(asked: pb::ApiKeyQuestion, secrets: &SecretPrefixes) -> Result<VerificationRequest> {
    let mut check = Validation::default();
    let presented = Plaintext::new(asked.plaintext_key);
    let length = presented.expose().len();
    let length = (1..=MAX_PRESENTED_BYTES).contains(&length).then_some(()).ok_or("must have 1 to 512 bytes");
    let length = check.field("plaintext_key", length);
    let scope = check.optional("required_scope", &asked.required_scope, Scope::parse);
    let address = check
        .optional("ip_address", &asked.ip_address, |text| parse_address(text).ok_or("must be an IPv4 or IPv6 address"));
    let (Some(()), Some(scope), Some(address)) = (length, scope, address) else { return Err(check.failed()) };
    Ok(VerificationRequest { presented: secrets.read_api_key(presented.expose()), scope, address })
}

/// Reads the one question of a request.
///
/// # Errors
/// Every violation at once, each named within the question.
pub fn only_question(asked: Option<pb::ApiKeyQuestion>, secrets: &SecretPrefixes) -> Result<VerificationRequest> {
    let asked = asked.ok_or_else(|| Error::invalid("question", "must be set"))?;
    question(asked, secrets).map_err(|error| match error {
        Error::Invalid(violations) => {
            let within = |found: Violation| Violation { field: format!("question.{}", found.field), ..found };
            Error::Invalid(violations.into_iter().map(within).collect())
        }
        error => error,
    })
}

/// Parses a BatchVerifyApiKeys request. An invalid question does not affect the others.
///
/// # Errors
/// [`crate::error::Error::Invalid`] for an empty batch or too many questions.
pub fn questions(
    request: pb::BatchVerifyApiKeysRequest,
    secrets: &SecretPrefixes,
) -> Result<Vec<Result<VerificationRequest>>> {
    super::batch_size("questions", request.questions.len(), MAX_QUESTIONS)?;
    Ok(request.questions.into_iter().map(|asked| question(asked, secrets)).collect())
}

/// The result of a verification, at `now`.
pub fn verification(verification: &Verification, now: Timestamp) -> pb::ApiKeyVerification {
    let (verdict, api_key) = match &verification.found {
        None => (pb::ApiKeyVerdict::Unknown, Bytes::new()),
        Some((verdict, known)) => (wire_verdict(*verdict), known.encoded.clone()),
    };
    pb::ApiKeyVerification {
        verdict: verdict.into(),
        api_key,
        valid_until: Some(time(verification.valid_until(now))),
        ends_at: verification.ends_at().map(time),
    }
}

fn wire_verdict(verdict: Verdict) -> pb::ApiKeyVerdict {
    match verdict {
        Verdict::WrongSecret => pb::ApiKeyVerdict::Unknown,
        Verdict::Valid => pb::ApiKeyVerdict::Valid,
        Verdict::Revoked => pb::ApiKeyVerdict::Revoked,
        Verdict::Expired => pb::ApiKeyVerdict::Expired,
        Verdict::Disabled => pb::ApiKeyVerdict::Disabled,
        Verdict::OwnerInactive => pb::ApiKeyVerdict::OwnerInactive,
        Verdict::IpNotAllowed => pb::ApiKeyVerdict::IpNotAllowed,
        Verdict::ScopeMissing => pb::ApiKeyVerdict::ScopeMissing,
    }
}

fn environment(environment: i32) -> Option<Option<Environment>> {
    Some(match pb::ApiKeyEnvironment::try_from(environment).ok()? {
        pb::ApiKeyEnvironment::Unspecified => None,
        pb::ApiKeyEnvironment::Live => Some(Environment::Live),
        pb::ApiKeyEnvironment::Test => Some(Environment::Test),
    })
}

fn expiry(check: &mut Validation, time: Option<&prost_types::Timestamp>, now: Timestamp) -> Option<Option<Timestamp>> {
    let expires_at = check.optional_time("expires_at", time)?;
    let in_future = expires_at.is_none_or(|expires_at| expires_at > now);
    check.field("expires_at", in_future.then_some(expires_at).ok_or("must lie in the future"))
}

impl From<ApiKey> for pb::ApiKey {
    fn from(key: ApiKey) -> Self {
        let environment = match key.environment {
            Environment::Live => pb::ApiKeyEnvironment::Live,
            Environment::Test => pb::ApiKeyEnvironment::Test,
        };
        let organization = key.organization_id.map(|id| WireOwner::OrganizationId(id.to_string()));
        Self {
            etag: key.etag(),
            id: key.id.to_string(),
            owner: organization.or(key.user_id.map(|id| WireOwner::UserId(id.to_string()))),
            created_by: key.created_by.filter(|_| !key.by_platform).map(|id| id.to_string()).unwrap_or_default(),
            name: key.name.as_str().to_owned(),
            prefix: key.prefix.as_stored().to_owned(),
            scopes: texts(&key.scopes),
            allowed_ip_ranges: key.allowed_ip_ranges.texts().collect(),
            rotated_at: key.rotated_at.map(time),
            rate_limit: u32::try_from(key.rate_limit).unwrap_or_default(),
            environment: environment.into(),
            metadata: Some(json::object(key.metadata)),
            expires_at: key.expires_at.map(time),
            revoked_at: key.revoked_at.map(time),
            revoked_reason: key.revoked_reason.unwrap_or_default(),
            created_at: Some(time(key.created_at)),
            updated_at: Some(time(key.updated_at)),
            disabled_at: key.disabled_at.map(time),
            last_used_at: None,
        }
    }
}

impl From<KeyWithUses> for pb::ApiKey {
    fn from(KeyWithUses { api_key, last_uses }: KeyWithUses) -> Self {
        Self { last_used_at: last_uses.current.max(last_uses.former).map(time), ..api_key.into() }
    }
}

/// The secrets of a key, the current one first, each with its last use.
pub fn secrets(KeyWithUses { api_key: key, last_uses }: &KeyWithUses) -> Vec<pb::ApiKeySecret> {
    let current = pb::ApiKeySecret {
        prefix: key.prefix.as_stored().to_owned(),
        created_at: Some(time(key.secret_created_at())),
        expires_at: None,
        last_used_at: last_uses.current.map(time),
    };
    let former = key.former_prefix.map(|prefix| pb::ApiKeySecret {
        prefix: prefix.as_stored().to_owned(),
        created_at: key.former_created_at.map(time),
        expires_at: key.former_expires_at.map(time),
        last_used_at: last_uses.former.map(time),
    });
    [current].into_iter().chain(former).collect()
}

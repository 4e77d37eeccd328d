//! Every table. Written by hand; a test compares it with the migrated schema on both databases.

mod erasure;
mod search;

pub(crate) use erasure::{answer_persons, erasures};
pub(crate) use search::{search_members, search_pending, search_postings, search_segments};

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::{Id, Instant, JsonDoc};

    #[sql_name = "cf_users"]
    users (id) {
        id -> Id,
        revision -> BigInt,
        email -> Text,
        email_normalized -> Text,
        name -> Text,
        avatar_url -> Nullable<Text>,
        email_verified_at -> Nullable<Instant>,
        is_platform_admin -> Bool,
        state -> Text,
        metadata -> JsonDoc,
        last_sign_in_at -> Nullable<Instant>,
        deleted_at -> Nullable<Instant>,
        created_at -> Instant,
        updated_at -> Instant,
        external_id -> Nullable<Text>,
        private_metadata -> JsonDoc,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::{Id, Instant, JsonDoc};

    #[sql_name = "cf_organizations"]
    organizations (id) {
        id -> Id,
        revision -> BigInt,
        name -> Text,
        name_normalized -> Text,
        slug -> Text,
        logo_url -> Nullable<Text>,
        settings -> JsonDoc,
        state -> Text,
        deleted_at -> Nullable<Instant>,
        created_at -> Instant,
        updated_at -> Instant,
        accountable_user_id -> Nullable<Id>,
        plan -> Text,
        external_id -> Nullable<Text>,
        private_metadata -> JsonDoc,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::{Id, Instant, JsonDoc};

    #[sql_name = "cf_memberships"]
    memberships (id) {
        id -> Id,
        revision -> BigInt,
        user_id -> Id,
        organization_id -> Id,
        role -> Text,
        permissions -> JsonDoc,
        created_at -> Instant,
        updated_at -> Instant,
        user_email -> Text,
        state -> Text,
        external_id -> Nullable<Text>,
        metadata -> JsonDoc,
        private_metadata -> JsonDoc,
        user_search -> Text,
        user_state -> Text,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::{Id, Instant, JsonDoc};

    #[sql_name = "cf_oauth_accounts"]
    oauth_accounts (id) {
        id -> Id,
        revision -> BigInt,
        user_id -> Id,
        provider -> Text,
        provider_user_id -> Text,
        email -> Nullable<Text>,
        scopes -> JsonDoc,
        access_token -> Nullable<Binary>,
        refresh_token -> Nullable<Binary>,
        token_expires_at -> Nullable<Instant>,
        created_at -> Instant,
        updated_at -> Instant,
        user_deleted_at -> Nullable<Instant>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::{Id, Instant};

    #[sql_name = "cf_sessions"]
    sessions (id) {
        id -> Id,
        revision -> BigInt,
        user_id -> Id,
        generation -> BigInt,
        secret_sealed -> Binary,
        by_password -> Bool,
        user_agent -> Nullable<Text>,
        ip_address -> Nullable<Text>,
        expires_at -> Instant,
        ends_at -> Instant,
        sweep_at -> Instant,
        refreshed_at -> Nullable<Instant>,
        revoked_at -> Nullable<Instant>,
        revoked_reason -> Nullable<Text>,
        created_at -> Instant,
        updated_at -> Instant,
        organization_id -> Nullable<Id>,
        api_key_id -> Nullable<Id>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::{Id, Instant, JsonDoc};

    #[sql_name = "cf_api_keys"]
    api_keys (id) {
        id -> Id,
        revision -> BigInt,
        organization_id -> Nullable<Id>,
        user_id -> Nullable<Id>,
        created_by -> Nullable<Id>,
        name -> Text,
        prefix -> Text,
        secret_hash -> Binary,
        scopes -> JsonDoc,
        environment -> Text,
        metadata -> JsonDoc,
        expires_at -> Nullable<Instant>,
        last_used_at -> Nullable<Instant>,
        revoked_at -> Nullable<Instant>,
        revoked_reason -> Nullable<Text>,
        created_at -> Instant,
        updated_at -> Instant,
        former_prefix -> Nullable<Text>,
        former_secret_hash -> Nullable<Binary>,
        former_created_at -> Nullable<Instant>,
        former_expires_at -> Nullable<Instant>,
        former_last_used_at -> Nullable<Instant>,
        rotated_at -> Nullable<Instant>,
        allowed_ip_ranges -> JsonDoc,
        rate_limit -> BigInt,
        by_platform -> Bool,
        disabled_at -> Nullable<Instant>,
        name_search -> Text,
        source_user_id -> Nullable<Id>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::Instant;

    #[sql_name = "cf_sealing_keys"]
    sealing_keys (id) {
        id -> Text,
        key_check -> Binary,
        created_at -> Instant,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::{Id, Instant};

    #[sql_name = "cf_events"]
    events (sequence) {
        sequence -> BigInt,
        id -> Id,
        created_at -> Instant,
        action -> Text,
        actor_kind -> Text,
        actor_user_id -> Nullable<Id>,
        actor_organization_id -> Nullable<Id>,
        actor_api_key_id -> Nullable<Id>,
        organization_id -> Nullable<Id>,
        user_id -> Nullable<Id>,
        resource_type -> Nullable<Text>,
        resource_id -> Nullable<Id>,
        revision -> BigInt,
        details -> Binary,
        address -> Nullable<Id>,
    }
}

diesel::table! {
    use crate::db::types::Id;

    #[sql_name = "cf_member_events"]
    member_events (organization_id, event_id) {
        organization_id -> Id,
        event_id -> Id,
    }
}

diesel::table! {
    use diesel::sql_types::*;

    #[sql_name = "cf_event_floor"]
    event_floor (sequence) {
        sequence -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::{Id, Instant};

    #[sql_name = "cf_remembered_answers"]
    remembered_answers (credential_id, request_id) {
        credential_id -> Id,
        request_id -> Id,
        answer -> Nullable<Binary>,
        created_at -> Instant,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::{Id, Instant, JsonDoc};

    #[sql_name = "cf_roles"]
    roles (id) {
        id -> Id,
        revision -> BigInt,
        organization_id -> Id,
        name -> Text,
        description -> Nullable<Text>,
        permissions -> JsonDoc,
        created_at -> Instant,
        updated_at -> Instant,
        display_name -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::{Id, Instant};

    #[sql_name = "cf_invitations"]
    invitations (id) {
        id -> Id,
        revision -> BigInt,
        organization_id -> Id,
        email -> Text,
        email_normalized -> Text,
        role -> Text,
        message -> Nullable<Text>,
        token_hash -> Binary,
        invited_by -> Nullable<Id>,
        expires_at -> Instant,
        created_at -> Instant,
        updated_at -> Instant,
        by_platform -> Bool,
        session_id -> Nullable<Id>,
        api_key_id -> Nullable<Id>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::{Id, Instant};

    #[sql_name = "cf_passwords"]
    passwords (user_id) {
        user_id -> Id,
        hash -> Text,
        is_imported -> Bool,
        changed_at -> Instant,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::{Id, Instant};

    #[sql_name = "cf_sign_in_failures"]
    sign_in_failures (account_id, source) {
        account_id -> Id,
        source -> Text,
        failures -> BigInt,
        last_failed_at -> Instant,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::{Id, Instant};

    #[sql_name = "cf_one_time_tokens"]
    one_time_tokens (id) {
        id -> Id,
        user_id -> Id,
        purpose -> Text,
        token_hash -> Binary,
        user_email_normalized -> Text,
        email -> Text,
        expires_at -> Instant,
        created_at -> Instant,
        plaintext_sealed -> Nullable<Binary>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::{Id, Instant};

    #[sql_name = "cf_signing_keys"]
    signing_keys (id) {
        id -> Id,
        algorithm -> Text,
        public_key -> Binary,
        private_key -> Binary,
        signs_from -> Instant,
        verifies_until -> Nullable<Instant>,
        created_at -> Instant,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::Id;

    #[sql_name = "cf_metadata_entries"]
    metadata_entries (kind, resource_id, key) {
        kind -> Text,
        resource_id -> Id,
        key -> Text,
        scope_id -> Id,
        value -> Text,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::Id;

    #[sql_name = "cf_former_slugs"]
    former_slugs (slug) {
        slug -> Text,
        organization_id -> Id,
        revision -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    users,
    passwords,
    one_time_tokens,
    organizations,
    former_slugs,
    memberships,
    roles,
    invitations,
    oauth_accounts,
    sessions,
    api_keys,
    events,
    member_events,
    metadata_entries,
);

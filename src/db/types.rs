//! Column types: native `uuid`, `timestamptz` and `jsonb` on PostgreSQL, `blob`, `integer` and `text` on SQLite, and the mapping of every
//! model type to them.

use std::io::Write as _;

use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, Queryable},
    expression::AsExpression,
    internal::derives::as_expression::Bound,
    pg::{Pg, PgValue},
    query_builder::QueryId,
    serialize::{self, IsNull, Output, ToSql},
    sql_types::{BigInt, Binary, Nullable, SingleValue, SqlType, Text},
    sqlite::Sqlite,
};
use uuid::Uuid;

use crate::models::{
    AccountId, Action, ActorKind, ApiKeyId, CredentialId, Environment, EventId, ExternalId, InvitationId, IpRanges,
    JsonObject, MembershipId, MembershipState, MetadataKind, Name, NormalizedEmail, OauthAccountId, OneTimeTokenId,
    OrganizationId, OrganizationState, PasswordHash, PersonId, Plan, PublicKey, Purpose, RequestId, ResourceId,
    ResourceType, RevokedReason, RoleId, RoleName, Scopes, Sealed, SearchKey, SecretHash, SessionId, SigningAlgorithm,
    SigningKeyId, Slug, Source, Timestamp, Trace, UserId, UserState, WebUrl,
    api_key::KeyPrefix,
    email::GivenEmail,
    event::Details,
    oauth_account::{Provider, ProviderScopes, ProviderUserId},
    session::{IpText, UserAgent},
    stored::{StoredJson, StoredText},
    text::Lines,
};

/// A UUID.
#[derive(Clone, Copy, Debug, SqlType, QueryId)]
#[diesel(postgres_type(oid = 2950, array_oid = 2951))]
#[diesel(sqlite_type(name = "Binary"))]
pub struct Id;

/// A point in time.
#[derive(Clone, Copy, Debug, SqlType, QueryId)]
#[diesel(postgres_type(oid = 1184, array_oid = 1185))]
#[diesel(sqlite_type(name = "Long"))]
pub struct Instant;

/// A JSON document.
#[derive(Clone, Copy, Debug, SqlType, QueryId)]
#[diesel(postgres_type(oid = 3802, array_oid = 3807))]
#[diesel(sqlite_type(name = "Text"))]
pub struct JsonDoc;

/// The version byte that PostgreSQL puts before a `jsonb` value on the wire.
const JSONB_VERSION: u8 = 1;
/// PostgreSQL counts microseconds from 2000-01-01.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Makes a type usable as a bind and as a result of a column type, nullable or not, by reference or by value.
macro_rules! column_value {
    ($($value:ty as $sql:ty),+ $(,)?) => {$(
        column_value!(@bind $value, $sql);
        column_value!(@bind $value, Nullable<$sql>);

        impl<DB: Backend> ToSql<Nullable<$sql>, DB> for $value
        where
            Self: ToSql<$sql, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
                ToSql::<$sql, DB>::to_sql(self, out)
            }
        }

        impl<DB: Backend, ST: SingleValue> Queryable<ST, DB> for $value
        where
            Self: FromSql<ST, DB>,
        {
            type Row = Self;

            fn build(value: Self) -> deserialize::Result<Self> {
                Ok(value)
            }
        }
    )+};
    (@bind $value:ty, $sql:ty) => {
        impl AsExpression<$sql> for $value {
            type Expression = Bound<$sql, Self>;

            fn as_expression(self) -> Self::Expression {
                Bound::new(self)
            }
        }

        impl<'a> AsExpression<$sql> for &'a $value {
            type Expression = Bound<$sql, Self>;

            fn as_expression(self) -> Self::Expression {
                Bound::new(self)
            }
        }
    };
}

macro_rules! ids {
    ($($id:ident),+ $(,)?) => {$(
        column_value!($id as Id);

        impl ToSql<Id, Pg> for $id {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                out.write_all(self.0.as_bytes())?;
                Ok(IsNull::No)
            }
        }

        impl ToSql<Id, Sqlite> for $id {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
                out.set_value(self.0.as_bytes().as_slice());
                Ok(IsNull::No)
            }
        }

        impl FromSql<Id, Pg> for $id {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                Ok(Self(Uuid::from_slice(value.as_bytes())?))
            }
        }

        impl FromSql<Id, Sqlite> for $id {
            fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
                Ok(Self(Uuid::from_slice(&<Vec<u8> as FromSql<Binary, Sqlite>>::from_sql(value)?)?))
            }
        }
    )+};
}

ids!(
    UserId,
    OrganizationId,
    MembershipId,
    RoleId,
    InvitationId,
    OauthAccountId,
    SessionId,
    ApiKeyId,
    EventId,
    ResourceId,
    RequestId,
    OneTimeTokenId,
    SigningKeyId,
    CredentialId,
    AccountId,
    PersonId,
);

column_value!(Timestamp as Instant);

// Stored times are whole milliseconds, and so are the times that they are compared with: see `Timestamp::RESOLUTION`.
impl ToSql<Instant, Pg> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&(self.floor(Timestamp::RESOLUTION).as_micros() - POSTGRES_EPOCH_MICROS).to_be_bytes())?;
        Ok(IsNull::No)
    }
}

impl ToSql<Instant, Sqlite> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.floor(Timestamp::RESOLUTION).as_micros());
        Ok(IsNull::No)
    }
}

impl FromSql<Instant, Pg> for Timestamp {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let micros = i64::from_be_bytes(value.as_bytes().try_into()?);
        timestamp(micros.checked_add(POSTGRES_EPOCH_MICROS))
    }
}

impl FromSql<Instant, Sqlite> for Timestamp {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        timestamp(Some(<i64 as FromSql<BigInt, Sqlite>>::from_sql(value)?))
    }
}

fn timestamp(micros: Option<i64>) -> deserialize::Result<Timestamp> {
    micros.and_then(Timestamp::from_micros).ok_or_else(|| "a stored time is out of range".into())
}

macro_rules! texts {
    ($($text:ty),+ $(,)?) => {$(
        column_value!($text as Text);

        impl ToSql<Text, Pg> for $text {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                out.write_all(self.as_stored().as_bytes())?;
                Ok(IsNull::No)
            }
        }

        impl ToSql<Text, Sqlite> for $text {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
                out.set_value(self.as_stored());
                Ok(IsNull::No)
            }
        }

        impl<DB: Backend> FromSql<Text, DB> for $text
        where
            String: FromSql<Text, DB>,
        {
            fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
                Ok(Self::from_stored(String::from_sql(value)?)?)
            }
        }
    )+};
}

texts!(
    Name,
    Lines,
    SearchKey,
    WebUrl,
    GivenEmail,
    NormalizedEmail,
    UserState,
    MembershipState,
    Slug,
    Plan,
    OrganizationState,
    RoleName,
    Provider,
    ProviderUserId,
    UserAgent,
    IpText,
    RevokedReason,
    KeyPrefix,
    Environment,
    Action,
    ActorKind,
    ResourceType,
    ExternalId,
    PasswordHash,
    Source,
    Purpose,
    SigningAlgorithm,
    Trace,
    MetadataKind,
);

macro_rules! documents {
    ($($document:ty),+ $(,)?) => {$(
        column_value!($document as JsonDoc);

        impl ToSql<JsonDoc, Pg> for $document {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                out.write_all(&[JSONB_VERSION])?;
                out.write_all(self.to_stored().to_string().as_bytes())?;
                Ok(IsNull::No)
            }
        }

        impl ToSql<JsonDoc, Sqlite> for $document {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
                out.set_value(self.to_stored().to_string());
                Ok(IsNull::No)
            }
        }

        impl FromSql<JsonDoc, Pg> for $document {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                match value.as_bytes().split_first() {
                    Some((&JSONB_VERSION, json)) => Ok(Self::from_stored(serde_json::from_slice(json)?)?),
                    _ => Err("a stored JSON document has an unknown version".into()),
                }
            }
        }

        impl FromSql<JsonDoc, Sqlite> for $document {
            fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
                let text = <String as FromSql<Text, Sqlite>>::from_sql(value)?;
                Ok(Self::from_stored(serde_json::from_str(&text)?)?)
            }
        }
    )+};
}

documents!(JsonObject, Scopes, ProviderScopes, IpRanges);

macro_rules! bytes {
    ($($bytes:ty: $read:expr),+ $(,)?) => {$(
        column_value!($bytes as Binary);

        impl ToSql<Binary, Pg> for $bytes {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                out.write_all(self.as_bytes())?;
                Ok(IsNull::No)
            }
        }

        impl ToSql<Binary, Sqlite> for $bytes {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
                out.set_value(&self.as_bytes()[..]);
                Ok(IsNull::No)
            }
        }

        impl<DB: Backend> FromSql<Binary, DB> for $bytes
        where
            Vec<u8>: FromSql<Binary, DB>,
        {
            fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
                let read: fn(Vec<u8>) -> deserialize::Result<Self> = $read;
                read(Vec::from_sql(value)?)
            }
        }
    )+};
}

bytes!(
    SecretHash: |bytes| {
        let digest = bytes.try_into().map_err(|_| "a stored hash does not have 32 bytes")?;
        Ok(SecretHash::new(digest))
    },
    Sealed: |bytes| Ok(Sealed::new(bytes)),
    Details: |bytes| Ok(Details(bytes)),
    PublicKey: |bytes| Ok(PublicKey(bytes)),
);

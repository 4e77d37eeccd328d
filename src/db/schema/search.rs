//! The tables of the search index.

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::Id;

    #[sql_name = "cf_search_pending"]
    search_pending (kind, id) {
        kind -> BigInt,
        id -> Id,
        changes -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::Id;

    #[sql_name = "cf_search_segments"]
    search_segments (kind, segment) {
        kind -> BigInt,
        segment -> BigInt,
        first_id -> Id,
        last_id -> Id,
        size -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::*;

    #[sql_name = "cf_search_members"]
    search_members (kind, chunk) {
        kind -> BigInt,
        chunk -> BigInt,
        ids -> Binary,
    }
}

diesel::table! {
    use diesel::sql_types::*;

    #[sql_name = "cf_search_postings"]
    search_postings (kind, segment, bucket) {
        kind -> BigInt,
        segment -> BigInt,
        bucket -> BigInt,
        postings -> Binary,
    }
}

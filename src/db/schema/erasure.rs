//! The tables of erasures.

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::Id;

    #[sql_name = "cf_answer_persons"]
    answer_persons (credential_id, request_id, person) {
        credential_id -> Id,
        request_id -> Id,
        person -> Id,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::db::types::{Id, Instant};

    #[sql_name = "cf_erasures"]
    erasures (user_id, trace, subject) {
        user_id -> Id,
        trace -> Text,
        subject -> Id,
        requested_at -> Instant,
        due_at -> Instant,
        reached -> Nullable<Id>,
    }
}

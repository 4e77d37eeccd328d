//! `AuthenticationService.ImportPasswordHash`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use super::sign_in;
use crate::support::{Test, both, refusal::fields, refused};

const PHRASE: &str = "correct horse – battéry staple";

/// Hashes of the phrase by other libraries: argon2-cffi, bcrypt, passlib and hashlib of Python, Django's format.
const MADE_ELSEWHERE: [(&str, &str); 19] = [
    (
        "argon2 ID v19",
        "$argon2id$v=19$m=1024,t=2,p=2$MDEyMzQ1Njc4OWFiY2RlZg$PCWi3cw2bXSZsU4uMqJwOiZwEWuzkznT2xEb/sk0Yec",
    ),
    (
        "argon2 ID v16",
        "$argon2id$v=16$m=1024,t=2,p=2$MDEyMzQ1Njc4OWFiY2RlZg$KA3uBwMbQjqxfubRXLxjD7O99HHD8XpqaC/IR6wk778",
    ),
    ("argon2 I v19", "$argon2i$v=19$m=1024,t=2,p=2$MDEyMzQ1Njc4OWFiY2RlZg$XSwB+1pxtfuX1QVIC8Q7gBGKR9RMHZExr+t4BbiO/bs"),
    ("argon2 I v16", "$argon2i$v=16$m=1024,t=2,p=2$MDEyMzQ1Njc4OWFiY2RlZg$5JJ4paNpk/PxbiGWMEWqLJBtiWEa5Lcn43pwgAfRIE8"),
    ("argon2 D v19", "$argon2d$v=19$m=1024,t=2,p=2$MDEyMzQ1Njc4OWFiY2RlZg$v7xmeQAPwMqBOwalT/U0foAj0dplIw7J+WkZBJqfT9Q"),
    ("argon2 D v16", "$argon2d$v=16$m=1024,t=2,p=2$MDEyMzQ1Njc4OWFiY2RlZg$1Hxh4LcY+3UTQKe8OrEML65q0X4QDRUYGm8h/5ts/uw"),
    ("bcrypt 2a", "$2a$05$5i2g0A.0SEyXt/KQrNkiouRFEQQaKuI5S5/zu4vo/gMFFn/h8UJxW"),
    ("bcrypt 2b", "$2b$05$5i2g0A.0SEyXt/KQrNkiouRFEQQaKuI5S5/zu4vo/gMFFn/h8UJxW"),
    ("bcrypt 2y", "$2y$05$5i2g0A.0SEyXt/KQrNkiouRFEQQaKuI5S5/zu4vo/gMFFn/h8UJxW"),
    ("scrypt PHC", "$scrypt$ln=10,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$VmUpFpjEbL+70OEPnmeWKxeZN1jYaAFlT4f1aZqrtyo"),
    ("scrypt passlib", "$scrypt$ln=8,r=8,p=1$dU4phVAqJSQkJGRs7f3fWw$WEGu/43CmjW8IkGTcfUQg1/JtF37HMPRfPx+tlgZAeA"),
    ("pbkdf2 Django sha1", "pbkdf2_sha1$1000$0123456789abcdef$wQq406ZNHaX+DjtuED+EBy9OXxM="),
    (
        "pbkdf2 PHC sha256",
        "$pbkdf2-sha256$i=1000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$uF2rJGECjtKcA3wfFGahNc+5Kz93dJCWCAHdpIJI6bA",
    ),
    ("pbkdf2 Django sha256", "pbkdf2_sha256$1000$0123456789abcdef$uF2rJGECjtKcA3wfFGahNc+5Kz93dJCWCAHdpIJI6bA="),
    (
        "pbkdf2 PHC sha512",
        "$pbkdf2-sha512$i=1000,l=64$MDEyMzQ1Njc4OWFiY2RlZg$dS05I9z8j+pJEudFuraws0gJwMl+M9w9ps/+3fKltBUr/yqGu7zjmNS8yBdfDqp6iIBKDI7lh9TUBnnx4vi2qw",
    ),
    (
        "pbkdf2 Django sha512",
        "pbkdf2_sha512$1000$0123456789abcdef$dS05I9z8j+pJEudFuraws0gJwMl+M9w9ps/+3fKltBUr/yqGu7zjmNS8yBdfDqp6iIBKDI7lh9TUBnnx4vi2qw==",
    ),
    ("pbkdf2 passlib sha1", "$pbkdf2$1000$i/Gek5IyBoAQQsj53zunlA$lvczWKIaywb5fhwV.zuGSvQsg6E"),
    ("pbkdf2 passlib sha256", "$pbkdf2-sha256$1000$FaJUCqF0bq1VCmEMIeRcCw$BngYmQsnpbIfr7KhxK4w3KycvQvQfVbge2SserWxqMM"),
    (
        "pbkdf2 passlib sha512",
        "$pbkdf2-sha512$1000$vTcmhFAqpbQ2hjDG2FtrDQ$.6ILCczmZdfgsdU5xXLClTLEQZrFJbH/HAri2/bKAOAnWu8SCSGMtbSMALcxoEMjOKxvOLU6We1TLXdX1Hewtg",
    ),
];
/// A bcrypt hash of 100 times `x`. bcrypt uses the first 72 bytes.
const OF_100_X: &str = "$2b$04$6JCoDZzz73r3sghjxStFDurrmjO1JuzPbW0GKPIvUglcX0C7zSP7C";

async fn import(t: &Test, user: &pb::User, hash: &str) -> Result<(), tonic::Status> {
    let (user_id, password_hash) = (user.id.clone(), hash.to_owned());
    let request = pb::ImportPasswordHashRequest { user_id, password_hash, ..Default::default() };
    t.admin().authentication().import_password_hash(request).await.map(drop)
}

async fn stored(t: &Test) -> String {
    t.database.texts("SELECT hash AS value FROM cf_passwords ORDER BY changed_at DESC LIMIT 1").await.remove(0)
}

#[both]
async fn imported_hashes_are_verified_with_their_algorithm_and_replaced_at_sign_in(t: Arc<Test>) {
    for (what, hash) in MADE_ELSEWHERE {
        let user = t.user("moved").await;
        import(&t, &user, hash).await.unwrap_or_else(|status| panic!("{what}: {status:?}"));
        t.advance(std::time::Duration::from_secs(1));
        assert_eq!(stored(&t).await, hash);
        for wrong in ["correct horse – battery staple", "correct horse – battéry staple ", "x"] {
            refused(sign_in(&t, &user.email, wrong).await, ErrorReason::SignInRejected);
        }
        assert_eq!(stored(&t).await, hash, "{what}");
        sign_in(&t, &user.email, PHRASE).await.unwrap_or_else(|status| panic!("{what}: {status:?}"));
        assert!(stored(&t).await.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{what}");
        sign_in(&t, &user.email, PHRASE).await.unwrap();
        refused(sign_in(&t, &user.email, "x").await, ErrorReason::SignInRejected);
    }
}

#[both]
async fn a_password_that_bcrypt_truncated_keeps_its_hash(t: Arc<Test>) {
    let user = t.user("moved").await;
    import(&t, &user, OF_100_X).await.unwrap();
    for length in [100, 99, 72, 101, 100] {
        sign_in(&t, &user.email, &"x".repeat(length)).await.unwrap();
        assert_eq!(stored(&t).await, OF_100_X);
    }
    refused(sign_in(&t, &user.email, &"x".repeat(71)).await, ErrorReason::SignInRejected);
}

#[both]
async fn malformed_and_too_costly_hashes_are_refused(t: Arc<Test>) {
    let user = t.user("moved").await;
    let digest = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
    let bad = [
        String::new(),
        "x".to_owned(),
        "x".repeat(513),
        // 4 GiB of memory, 272 MiB, a million passes, no lane, no pass.
        format!("$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ${digest}"),
        format!("$argon2id$v=19$m=278528,t=1,p=1$c2FsdHNhbHQ${digest}"),
        format!("$argon2id$v=19$m=1024,t=1000000,p=1$c2FsdHNhbHQ${digest}"),
        format!("$argon2id$v=19$m=1024,t=1,p=0$c2FsdHNhbHQ${digest}"),
        format!("$argon2id$v=19$m=1024,t=0,p=1$c2FsdHNhbHQ${digest}"),
        format!("$argon2id$v=20$m=1024,t=1,p=1$c2FsdHNhbHQ${digest}"),
        format!("$argon2id$v=19$m=1024,m=1024,t=1,p=1$c2FsdHNhbHQ${digest}"),
        "$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHQ$c2hvcnQ".to_owned(),
        format!("$argon2id$v=19$m=1024,t=1,p=1$c2FsdA${digest}"),
        // 32 GiB, and a shift beyond all bits.
        format!("$scrypt$ln=25,r=8,p=1$c2FsdHNhbHQ${digest}"),
        format!("$scrypt$ln=255,r=1,p=1$c2FsdHNhbHQ${digest}"),
        format!("$scrypt$ln=10,r=4294967295,p=4294967295$c2FsdHNhbHQ${digest}"),
        format!("$scrypt$ln=0,r=8,p=1$c2FsdHNhbHQ${digest}"),
        format!("$pbkdf2-sha256$i=4000000000$c2FsdHNhbHQ${digest}"),
        format!("$pbkdf2-sha256$i=0$c2FsdHNhbHQ${digest}"),
        format!("$pbkdf2-md5$i=1000$c2FsdHNhbHQ${digest}"),
        OF_100_X.replace("$04$", "$31$"),
        OF_100_X.replace("$2b$", "$2x$"),
        "5f4dcc3b5aa765d61d8327deb882cf99".to_owned(),
    ];
    for hash in bad {
        let status = refused(import(&t, &user, &hash).await, ErrorReason::InvalidArgument);
        assert_eq!(fields(&status), ["password_hash"], "{hash}");
    }
}

#[both]
async fn no_hash_comes_over_a_password(t: Arc<Test>) {
    let user = t.user("moved").await;
    t.give_password(&user).await;
    refused(import(&t, &user, OF_100_X).await, ErrorReason::PasswordExists);
}

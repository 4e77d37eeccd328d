//! Clients in other languages: they verify access tokens with third-party libraries and keys fetched over HTTP.

use std::{io::Write as _, path::Path, process::Command, process::Stdio, sync::Arc};

use crate::{
    authentication::introspect_token::forged,
    support::{REPOSITORY, Test, both},
};

/// The output lines of a script, one per token.
async fn said(t: &Test, script: &str, algorithm: &str, tokens: Vec<String>) -> Vec<String> {
    let root = Path::new(REPOSITORY);
    let tools = root.join("target/tools");
    let mut command = if Path::new(script).extension().is_some_and(|extension| extension == "py") {
        Command::new(tools.join("jwt-python/bin/python"))
    } else {
        let mut command = Command::new("node");
        command.env("JOSE", tools.join("jwt-node"));
        command
    };
    command.arg(root.join("tests/clients").join(script));
    command.args([&format!("http://{}/.well-known/jwks.json", t.address), algorithm, "tenantry", "tenantry"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = move || {
        let mut child = command.spawn().expect("the libraries of other languages are missing: run `make test`");
        child.stdin.take().unwrap().write_all((tokens.join("\n") + "\n").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

const SCRIPTS: [&str; 2] = ["verify.py", "verify.mjs"];

/// Tokens that a library refuses without knowing sessions, and perhaps without checking `typ`.
const REFUSED_ANYWHERE: [&str; 13] = [
    "no signature, alg none",
    "alg none with the signature",
    "alg ES256 for the key",
    "HMAC with the public key",
    "an unknown kid",
    "another audience",
    "another issuer",
    "expired",
    "signed with another key",
    "another payload",
    "a changed signature",
    "no jti",
    "a key of its own",
];

#[both(options = ["--signing-algorithm", "EdDSA"])]
async fn pyjwt_and_jose_verify_our_tokens_and_refuse_forged_ones(t: Arc<Test>) {
    let (user, signed_in, _) = t.signed_in_user("ada").await;
    let forged = forged(&t, &signed_in.access_token).await;
    let bad: Vec<String> =
        forged.into_iter().filter(|(what, _)| REFUSED_ANYWHERE.contains(what)).map(|(_, token)| token).collect();
    assert_eq!(bad.len(), REFUSED_ANYWHERE.len());
    for script in SCRIPTS {
        let tokens = [vec![signed_in.access_token.clone()], bad.clone()].concat();
        let said = said(&t, script, "EdDSA", tokens).await;
        assert_eq!(said[0], format!("good {}", user.id), "{script}");
        assert!(
            said.len() == bad.len() + 1 && said[1..].iter().all(|line| line.starts_with("bad ")),
            "{script}: {said:?}"
        );
    }
}

#[both]
async fn pyjwt_and_jose_verify_our_tokens_of_the_default_algorithm(t: Arc<Test>) {
    let (user, signed_in, _) = t.signed_in_user("ada").await;
    for script in SCRIPTS {
        let said = said(&t, script, "ES256", vec![signed_in.access_token.clone()]).await;
        assert_eq!(said, [format!("good {}", user.id)], "{script}");
    }
}

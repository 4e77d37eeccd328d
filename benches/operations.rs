//! Scripts of the measured operations.

use prost::Message as _;
use tenantry::pb;

use crate::{
    limits::{
        databases::email,
        echo::{self, Payload},
    },
    wire::Script,
};

/// Repeats the same request.
pub struct Same {
    path: &'static str,
    message: Vec<u8>,
}

impl Same {
    /// Creates a script for a full method path, such as `/tenantry.v1.UserService/GetUser`.
    pub fn boxed(path: &'static str, request: &impl prost::Message) -> Box<dyn Script> {
        Box::new(Self { path, message: request.encode_to_vec() })
    }
}

impl Script for Same {
    fn path(&self, _: usize) -> &str {
        self.path
    }

    fn request(&mut self, _: usize, message: &mut Vec<u8>) {
        message.extend_from_slice(&self.message);
    }
}

/// Calls the bare server with requests and answers of the given sizes in bytes.
pub fn echo(request: usize, answer: usize) -> Box<dyn Script> {
    let answer = u32::try_from(answer).unwrap_or(0);
    Same::boxed(echo::PATH, &Payload { answer, bytes: vec![1; request] })
}

/// Repeats the same question on a stream.
pub struct Asked(pub pb::VerifyStreamRequest);

impl Script for Asked {
    fn path(&self, _: usize) -> &'static str {
        "/tenantry.v1.ApiKeyService/VerifyStream"
    }

    fn request(&mut self, _: usize, message: &mut Vec<u8>) {
        self.0.encode(message).expect("a vector has room for a message");
    }

    fn answer(&mut self, _: usize, message: &[u8]) {
        use pb::{verify_stream_answer::Outcome, verify_stream_response::Kind};
        let answer = pb::VerifyStreamResponse::decode(message).expect("an answer decodes");
        let Some(Kind::Answer(answer)) = answer.kind else { panic!("{answer:?}") };
        let Some(Outcome::Verification(found)) = answer.outcome else { panic!("{answer:?}") };
        assert_eq!(found.verdict(), pb::ApiKeyVerdict::Valid);
    }
}

/// Verifies each key once.
pub struct Cold {
    /// The encoded requests.
    pub requests: Vec<Vec<u8>>,
}

impl Script for Cold {
    fn path(&self, _: usize) -> &'static str {
        "/tenantry.v1.ApiKeyService/VerifyApiKey"
    }

    fn request(&mut self, _: usize, message: &mut Vec<u8>) {
        message.extend(self.requests.pop().unwrap_or_default());
    }

    fn is_over(&self) -> bool {
        self.requests.is_empty()
    }
}

/// Creates users.
pub struct CreateUser;

impl Script for CreateUser {
    fn path(&self, _: usize) -> &'static str {
        "/tenantry.v1.UserService/CreateUser"
    }

    fn request(&mut self, _: usize, message: &mut Vec<u8>) {
        let request = pb::CreateUserRequest { email: email(), name: "A name".to_owned(), ..Default::default() };
        request.encode(message).expect("a vector has room for a message");
    }
}

/// Rotates refresh tokens; each slot has its own session.
pub struct Rotate {
    /// The current token of each slot.
    pub tokens: Vec<String>,
}

impl Script for Rotate {
    fn path(&self, _: usize) -> &'static str {
        "/tenantry.v1.RefreshTokenService/RotateRefreshToken"
    }

    fn request(&mut self, slot: usize, message: &mut Vec<u8>) {
        let plaintext_token = self.tokens[slot].clone();
        let request = pb::RotateRefreshTokenRequest { plaintext_token, ..Default::default() };
        request.encode(message).expect("a vector has room for a message");
    }

    fn answer(&mut self, slot: usize, message: &[u8]) {
        let answer = pb::RotateRefreshTokenResponse::decode(message).expect("an answer can be read");
        self.tokens[slot] = answer.session.expect("a rotation was refused").plaintext_token;
    }
}

//! Cryptography: randomness, the format of credentials, passwords, access tokens, sealing, page tokens, event cursors. No I/O but the
//! key file's text.

pub mod access_token;
pub mod event_cursor;
pub mod page_token;
pub mod password;
pub mod random;
pub mod sealing;
pub mod token;

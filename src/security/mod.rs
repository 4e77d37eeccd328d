//! Cryptography: randomness, the format of credentials, passwords, access tokens, sealing, page tokens, event cursors. No I/O, except that
//! the caller passes in the text of key files.

pub mod access_token;
pub mod event_cursor;
pub mod page_token;
pub mod password;
pub mod random;
pub mod sealing;
pub mod token;

//! Cryptography: randomness, the format of credentials, sealing, page tokens, event cursors. No I/O but the key file's text.

pub mod event_cursor;
pub mod page_token;
pub mod random;
pub mod sealing;
pub mod token;

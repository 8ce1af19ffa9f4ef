//! The two names of a session: the secret [`Token`] that its client holds, and the public [`SessionId`].

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng as _;

use crate::error::{Error, Result};
use crate::fork;

/// Bytes of a token: 6 of locator and 24 random.
const TOKEN_BYTES: usize = 30;
/// Characters of a token.
pub const TOKEN_CHARS: usize = 40;
/// Characters of a session id.
pub const ID_CHARS: usize = 22;

/// Where a table keeps the session, and 192 random bits: the secret that a client holds, 40 characters of base64url.
///
/// The locator is masked with the table's key, so that it tells neither how many sessions there are nor their order.
/// `Debug` and `Display` never show it; [`Token::reveal`] does, for the cookie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub(crate) locator: u64,
    pub(crate) secret: [u8; 24],
}

/// Random bytes of a generator that is seeded by the operating system and reseeds itself.
///
/// After a fork it is seeded anew: it does not see by itself that it was copied, and the tokens of two children would
/// be the same.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    thread_local! {
        static SEEDED: Cell<u64> = const { Cell::new(u64::MAX) };
    }
    let mut generator = rand::rng();
    let generation = fork::generation();
    if SEEDED.get() != generation {
        match generator.reseed() {
            Ok(()) => SEEDED.set(generation),
            // As the generator itself does when it can't be seeded.
            Err(error) => panic!("the operating system gives no random bytes: {error}"),
        }
    }
    let mut bytes = [0; N];
    generator.fill_bytes(&mut bytes);
    bytes
}

/// The bytes of a token's text; `None` if it is not base64url. No branch and no address depends on a character.
fn decode(text: &[u8; TOKEN_CHARS]) -> Option<[u8; TOKEN_BYTES]> {
    // Padded to whole vectors: three of 16 are less work than five of 8.
    let mut sextets = [b'A'; 48];
    sextets[..TOKEN_CHARS].copy_from_slice(text);
    let mut all = [0; 16];
    for sixteen in sextets.as_chunks_mut::<16>().0 {
        for (sextet, all) in sixteen.iter_mut().zip(&mut all) {
            *sextet = sextet_of(*sextet);
            *all |= *sextet;
        }
    }
    let mut bytes = [0; TOKEN_BYTES];
    for (eight, six) in sextets.as_chunks::<8>().0.iter().zip(bytes.as_chunks_mut::<6>().0) {
        // 8 lanes of 6 bits become 4 of 12, 2 of 24, then one of 48.
        let lanes = u64::from_be_bytes(*eight);
        let lanes = (lanes & 0x3f00_3f00_3f00_3f00) >> 2 | lanes & 0x003f_003f_003f_003f;
        let lanes = (lanes & 0x0fff_0000_0fff_0000) >> 4 | lanes & 0x0000_0fff_0000_0fff;
        let whole = lanes >> 32 << 24 | lanes & 0x00ff_ffff;
        six.copy_from_slice(&whole.to_be_bytes()[2..]);
    }
    all.iter().all(|bits| *bits < 64).then_some(bytes)
}

/// 0 to 63, or 255. Written so that a compiler does many at once.
#[inline]
fn sextet_of(character: u8) -> u8 {
    let between = |first: u8, count: u8| character.wrapping_sub(first) < count;
    let mut sextet = 255;
    sextet = if between(b'A', 26) { character.wrapping_sub(b'A') } else { sextet };
    sextet = if between(b'a', 26) { character.wrapping_sub(b'a' - 26) } else { sextet };
    sextet = if between(b'0', 10) { character.wrapping_add(52 - b'0') } else { sextet };
    sextet = if character == b'-' { 62 } else { sextet };
    if character == b'_' { 63 } else { sextet }
}

impl Token {
    /// A fresh token for a place in a table; the locator must fit into 48 bits and be masked already.
    pub(crate) fn new(locator: u64, secret: [u8; 24]) -> Self {
        debug_assert!(locator < 1 << 48);
        Self { locator, secret }
    }

    /// Reads what a client presented. `None` for whatever is not the text of a token: the caller answers `absent`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = decode(text.as_bytes().try_into().ok()?)?;
        let mut locator = [0; 8];
        locator[..6].copy_from_slice(&bytes[..6]);
        let mut secret = [0; 24];
        secret.copy_from_slice(&bytes[6..]);
        Some(Self { locator: u64::from_le_bytes(locator), secret })
    }

    /// The 40 characters for the client. Whoever has them has the session.
    pub fn reveal(&self) -> String {
        let mut text = String::with_capacity(TOKEN_CHARS);
        self.reveal_into(&mut text);
        text
    }

    /// Appends the 40 characters to `text`.
    pub fn reveal_into(&self, text: &mut String) {
        let mut bytes = [0; TOKEN_BYTES];
        bytes[..6].copy_from_slice(&self.locator.to_le_bytes()[..6]);
        bytes[6..].copy_from_slice(&self.secret);
        URL_SAFE_NO_PAD.encode_string(bytes, text);
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The public, stable handle of a session: 22 characters, shown in events, lists and logs.
///
/// It names a session for administration; no request can be begun with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(crate) [u8; 16]);

impl SessionId {
    /// The id with all bits 0, which no session has.
    pub const NIL: SessionId = SessionId([0; 16]);

    /// Reads an id. Errors: `invalid` if it is not 22 characters of base64url.
    pub fn parse(text: &str) -> Result<Self> {
        let mut bytes = [0; 16];
        match URL_SAFE_NO_PAD.decode_slice(text.as_bytes(), &mut bytes) {
            Ok(16) if text.len() == ID_CHARS => Ok(Self(bytes)),
            _ => Err(Error::invalid(format!(
                "a session id has {ID_CHARS} characters of base64url, this one has {} and is not one; a token is no id",
                text.chars().count()
            ))),
        }
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; ID_CHARS + 2];
        let written = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text).unwrap_or(0);
        f.write_str(std::str::from_utf8(&text[..written]).unwrap_or(""))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SessionId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_text() {
        let token = Token::new(0x1234_5678_9abc, random());
        let text = token.reveal();
        assert_eq!(text.len(), TOKEN_CHARS);
        assert!(Token::parse(&text) == Some(token));
    }

    #[test]
    fn every_character_is_read_as_base64url_reads_it() {
        for place in 0..TOKEN_CHARS {
            for character in 0..=127 {
                let mut text = [b'Q'; TOKEN_CHARS];
                text[place] = character;
                let known = URL_SAFE_NO_PAD.decode(text).ok();
                assert_eq!(decode(&text).map(|bytes| bytes.to_vec()), known, "{character} at {place}");
            }
        }
    }

    #[test]
    fn whatever_is_no_token_is_none() {
        for text in ["", "a", &"ä".repeat(20), &"=".repeat(40), &"a".repeat(39), &"a".repeat(41), &" ".repeat(40)] {
            assert!(Token::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn debug_never_shows_a_token() {
        let token = Token::new(1, [7; 24]);
        assert!(!format!("{token:?}").contains(&token.reveal()));
    }

    #[test]
    fn an_id_survives_its_text_and_a_token_is_no_id() {
        let id = SessionId([9; 16]);
        assert_eq!(SessionId::parse(&id.to_string()), Ok(id));
        assert!(SessionId::parse(&Token::new(1, [7; 24]).reveal()).is_err());
    }
}

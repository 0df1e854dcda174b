//! xenstore's messages: a header of four words, and up to 4096 bytes. Texts are ended, or
//! separated, by a byte of 0.

use super::super::abi::store::LONGEST;
use alloc::string::String;
use alloc::vec::Vec;

/// Bytes of a header.
pub(super) const HEADER: usize = 16;

/// What comes before each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: u32,
    pub id: u32,
    /// Bytes behind it.
    pub len: u32,
}

impl Header {
    /// Reads one. `None` if it announces more than a message can have.
    pub(super) fn read(bytes: &[u8; HEADER]) -> Option<Self> {
        let word = |at: usize| {
            bytes[4 * at..]
                .first_chunk()
                .map_or(0, |word| u32::from_le_bytes(*word))
        };
        let header = Self {
            kind: word(0),
            id: word(1),
            len: word(3),
        };
        (header.len as usize <= LONGEST).then_some(header)
    }
}

/// A request, outside of a transaction. `None` if it is too long.
pub(super) fn request(kind: u32, id: u32, parts: &[&[u8]]) -> Option<Vec<u8>> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    if len > LONGEST {
        return None;
    }
    let mut bytes = Vec::with_capacity(HEADER + len);
    for word in [kind, id, 0, len as u32] {
        bytes.extend(word.to_le_bytes());
    }
    parts.iter().for_each(|part| bytes.extend(*part));
    Some(bytes)
}

/// A text, without the 0 that may end it.
pub(super) fn text(body: &[u8]) -> String {
    let body = body.strip_suffix(b"\0").unwrap_or(body);
    String::from_utf8_lossy(body).into_owned()
}

/// A list of texts, without those that are empty.
pub(super) fn texts(body: &[u8]) -> Vec<String> {
    body.split(|byte| *byte == 0)
        .filter(|part| !part.is_empty())
        .map(text)
        .collect()
}

/// The second text of an event: the first is the path, the second the word of who asked.
pub(super) fn token(body: &[u8]) -> Option<String> {
    body.split(|byte| *byte == 0).nth(1).map(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    #[test]
    fn messages_are_as_the_header_says() {
        let bytes = request(11, 7, &[b"device/vif/0/state", b"\0", b"4"]).unwrap();
        let header = Header::read(bytes.first_chunk().unwrap()).unwrap();
        assert_eq!(
            header,
            Header {
                kind: 11,
                id: 7,
                len: 20
            }
        );
        assert_eq!(&bytes[HEADER..], b"device/vif/0/state\x004");
        assert!(request(2, 1, &[&[b'a'; 4097]]).is_none());
        assert_eq!(texts(b"vif\0vbd\0\0"), ["vif", "vbd"]);
        assert_eq!(
            token(b"control/shutdown\0power\0").as_deref(),
            Some("power")
        );
        assert_eq!(token(b"control/shutdown"), None);
        assert_eq!(text(b"\xff\0"), "\u{fffd}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn whatever_comes_is_a_message_or_none(bytes in prop::collection::vec(any::<u8>(), 16..200)) {
            let header = Header::read(bytes.first_chunk().unwrap());
            if let Some(header) = header {
                prop_assert!(header.len as usize <= LONGEST);
            }
            let body = &bytes[HEADER..];
            prop_assert!(texts(body).iter().all(|text| !text.is_empty()));
            let _ = (token(body), text(body));
        }

        #[test]
        fn what_is_asked_can_be_read(kind: u32, id: u32, parts in prop::collection::vec("[a-z/]{0,30}", 0..5)) {
            let pieces: vec::Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
            let bytes = request(kind, id, &pieces).unwrap();
            let header = Header::read(bytes.first_chunk().unwrap()).unwrap();
            prop_assert_eq!((header.kind, header.id), (kind, id));
            prop_assert_eq!(header.len as usize, bytes.len() - HEADER);
            let all = parts.concat();
            prop_assert_eq!(&bytes[HEADER..], all.as_bytes());
        }
    }
}

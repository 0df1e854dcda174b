//! Short texts.

use super::Malformed;
use core::fmt;

/// At most `N` bytes of UTF-8 (of 255), without control characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text<const N: usize> {
    // What is behind its end is zero.
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Text<N> {
    /// None.
    pub const EMPTY: Self = Self {
        bytes: [0; N],
        len: 0,
    };

    /// This text.
    ///
    /// # Errors
    /// It is longer, or has control characters in it.
    pub fn new(text: &str) -> Result<Self, Malformed> {
        const { assert!(N <= u8::MAX as usize) };
        let mut new = Self::EMPTY;
        let room = new.bytes.get_mut(..text.len()).ok_or(Malformed)?;
        if text.contains(char::is_control) {
            return Err(Malformed);
        }
        room.copy_from_slice(text.as_bytes());
        new.len = text.len() as u8;
        Ok(new)
    }

    /// As much of a text as there is room for, with spaces for control characters.
    pub fn cut(text: &str) -> Self {
        let mut new = Self::EMPTY;
        let mut end = 0;
        for char in text.chars() {
            let char = if char.is_control() { ' ' } else { char };
            let Some(room) = new.bytes.get_mut(end..end + char.len_utf8()) else {
                break;
            };
            end += char.encode_utf8(room).len();
        }
        new.len = end as u8;
        new
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // It was made from such.
        core::str::from_utf8(&self.bytes[..self.len.into()]).unwrap_or_default()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

//! Dictionaries in the packed format of `nv(9)`.
//!
//! A list is a header, and its pairs up to the end of the bytes; a header says how many
//! bytes come after it in all. A pair is a header, a name with a 0 behind it, and the
//! value. A list within a list ends with a pair of the type UP, and each list of an array
//! with one of the type NEXT; both have an empty name. Nothing is aligned, and numbers are
//! little-endian unless a flag says otherwise.

use super::{DEPTH, Dictionary, Value};
use rump_sys::abi::npf::nvlist as abi;

const MAGIC: u8 = 0x6c;
const VERSION: u8 = 0;
/// The flag of numbers that are big-endian.
const BIG_ENDIAN: u8 = 0x80;
/// Magic, version and flags; number of descriptors; bytes that follow.
const LIST_HEADER: usize = 3 + 8 + 8;
/// Type; bytes of the name, and of the value; lists in an array.
const PAIR_HEADER: usize = 1 + 2 + 8 + 8;
const NEXT: u8 = 254;
const UP: u8 = 255;

/// Writes a dictionary. Empty arrays and binary values are left out: the format has none.
///
/// # Panics
/// If a name is longer than the format allows.
pub(in crate::npf) fn pack(dictionary: &Dictionary) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut headers = Vec::new();
    list(dictionary, &mut bytes, &mut headers);
    // Each header says what follows in the whole, so this is known at the end.
    let total = bytes.len();
    for header in headers {
        let after = (total - header - LIST_HEADER) as u64;
        bytes[header + LIST_HEADER - 8..][..8].copy_from_slice(&after.to_le_bytes());
    }
    bytes
}

fn list(dictionary: &Dictionary, bytes: &mut Vec<u8>, headers: &mut Vec<usize>) {
    headers.push(bytes.len());
    bytes.extend([MAGIC, VERSION, 0]);
    bytes.extend([0; 16]);
    for (name, value) in &dictionary.0 {
        match value {
            Value::Bool(value) => pair(bytes, abi::NV_TYPE_BOOL, name, &[u8::from(*value)]),
            Value::Number(number) => {
                pair(bytes, abi::NV_TYPE_NUMBER, name, &number.to_le_bytes());
            }
            Value::Text(text) => {
                let text = [text.as_bytes(), b"\0"].concat();
                pair(bytes, abi::NV_TYPE_STRING, name, &text);
            }
            Value::Binary(value) if !value.is_empty() => {
                pair(bytes, abi::NV_TYPE_BINARY, name, value);
            }
            Value::Dictionary(inner) => {
                // The size of its value is not counted.
                header(bytes, abi::NV_TYPE_NVLIST, name, 1, 0);
                list(inner, bytes, headers);
                header(bytes, UP, "", 0, 0);
            }
            Value::Array(array) if !array.is_empty() => {
                header(bytes, abi::NV_TYPE_NVLIST_ARRAY, name, 0, array.len());
                for element in array {
                    list(element, bytes, headers);
                    header(bytes, NEXT, "", 0, 0);
                }
            }
            Value::Binary(_) | Value::Array(_) | Value::Other => {}
        }
    }
}

fn pair(bytes: &mut Vec<u8>, kind: u8, name: &str, value: &[u8]) {
    header(bytes, kind, name, value.len(), 0);
    bytes.extend(value);
}

fn header(bytes: &mut Vec<u8>, kind: u8, name: &str, value: usize, items: usize) {
    let length = name.len() + 1;
    assert!(length <= abi::NV_NAME_MAX && !name.contains('\0'), "{name}");
    bytes.push(kind);
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend((value as u64).to_le_bytes());
    bytes.extend((items as u64).to_le_bytes());
    bytes.extend(name.as_bytes());
    bytes.push(0);
}

/// Reads a dictionary.
///
/// # Errors
/// What is wrong with the bytes.
pub(in crate::npf) fn unpack(bytes: &[u8]) -> Result<Dictionary, &'static str> {
    let mut reader = Reader(bytes);
    reader.list_header()?;
    let (dictionary, end) = reader.pairs(0)?;
    match end {
        None => Ok(dictionary),
        Some(_) => Err("a list ends that did not begin"),
    }
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

/// A pair, but for its value.
struct Pair<'a> {
    kind: u8,
    name: &'a str,
    length: usize,
    items: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("it is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn length(&mut self) -> Result<usize, &'static str> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| "a length is too large")
    }

    fn list_header(&mut self) -> Result<(), &'static str> {
        let [magic, version, flags] = self.array()?;
        if magic != MAGIC || version != VERSION {
            return Err("no list begins where one should");
        }
        if flags & BIG_ENDIAN != 0 {
            return Err("its numbers are big-endian");
        }
        let descriptors = self.length()?;
        let after = self.length()?;
        if descriptors != 0 || after != self.0.len() {
            return Err("a list is not as long as it says");
        }
        Ok(())
    }

    fn pair(&mut self) -> Result<Pair<'a>, &'static str> {
        let [kind] = self.array()?;
        let name = usize::from(u16::from_le_bytes(self.array()?));
        let length = self.length()?;
        let items = self.length()?;
        let name = text(self.take(name)?)?;
        Ok(Pair {
            kind,
            name,
            length,
            items,
        })
    }

    /// Pairs up to the end of the bytes, or of the list; says by which type it ended.
    fn pairs(&mut self, depth: usize) -> Result<(Dictionary, Option<u8>), &'static str> {
        if depth > DEPTH {
            return Err("lists are in lists too deep");
        }
        let mut dictionary = Dictionary::new();
        while !self.0.is_empty() {
            let pair = self.pair()?;
            if matches!(pair.kind, UP | NEXT) {
                return Ok((dictionary, Some(pair.kind)));
            }
            let value = self.value(&pair, depth)?;
            dictionary.0.push((pair.name.into(), value));
        }
        Ok((dictionary, None))
    }

    fn value(&mut self, pair: &Pair<'_>, depth: usize) -> Result<Value, &'static str> {
        Ok(match pair.kind {
            abi::NV_TYPE_NVLIST => Value::Dictionary(self.list(depth, UP)?),
            abi::NV_TYPE_NVLIST_ARRAY => {
                // Each takes a header at least, so their number is bounded by the bytes.
                if pair.items > self.0.len() / (LIST_HEADER + PAIR_HEADER) {
                    return Err("an array is longer than its bytes");
                }
                let lists = (0..pair.items).map(|_| self.list(depth, NEXT));
                Value::Array(lists.collect::<Result<_, _>>()?)
            }
            abi::NV_TYPE_BOOL => match self.take(pair.length)? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => return Err("a truth value is neither 0 nor 1"),
            },
            abi::NV_TYPE_NUMBER if pair.length == 8 => {
                Value::Number(u64::from_le_bytes(self.array()?))
            }
            abi::NV_TYPE_NUMBER => return Err("a number has not 8 bytes"),
            abi::NV_TYPE_STRING => Value::Text(text(self.take(pair.length)?)?.into()),
            abi::NV_TYPE_BINARY => Value::Binary(self.take(pair.length)?.to_vec()),
            abi::NV_TYPE_BOOL_ARRAY | abi::NV_TYPE_NUMBER_ARRAY | abi::NV_TYPE_STRING_ARRAY => {
                self.take(pair.length)?;
                Value::Other
            }
            _ => return Err("a value has a type that is not known"),
        })
    }

    /// A list within another, with its header and its end.
    fn list(&mut self, depth: usize, end: u8) -> Result<Dictionary, &'static str> {
        self.list_header()?;
        match self.pairs(depth + 1)? {
            (dictionary, Some(found)) if found == end => Ok(dictionary),
            _ => Err("a list within another does not end"),
        }
    }
}

/// Text with a 0 at its end, and nowhere else.
fn text(bytes: &[u8]) -> Result<&str, &'static str> {
    match bytes.split_last() {
        Some((0, text)) if !text.contains(&0) => {
            std::str::from_utf8(text).map_err(|_| "a text is not UTF-8")
        }
        _ => Err("a text does not end in 0"),
    }
}

//! Dictionaries as XML property lists, `proplib(3)`.

use super::{DEPTH, Dictionary, Value};
use std::fmt::Write as _;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes a dictionary.
pub(in crate::npf) fn write(dictionary: &Dictionary) -> String {
    let mut xml = String::from("<plist version=\"1.0\">\n");
    element(&mut xml, dictionary);
    xml.push_str("</plist>\n");
    xml
}

fn element(xml: &mut String, dictionary: &Dictionary) {
    xml.push_str("<dict>\n");
    for (name, value) in &dictionary.0 {
        let _ = writeln!(xml, "<key>{}</key>", escaped(name));
        match value {
            Value::Bool(true) => xml.push_str("<true/>\n"),
            Value::Bool(false) => xml.push_str("<false/>\n"),
            // What begins with 0x has no sign.
            Value::Number(number) => {
                let _ = writeln!(xml, "<integer>{number:#x}</integer>");
            }
            Value::Text(text) => {
                let _ = writeln!(xml, "<string>{}</string>", escaped(text));
            }
            Value::Binary(bytes) => {
                let _ = writeln!(xml, "<data>{}</data>", base64(bytes));
            }
            Value::Dictionary(inner) => element(xml, inner),
            Value::Array(array) => {
                xml.push_str("<array>\n");
                for inner in array {
                    element(xml, inner);
                }
                xml.push_str("</array>\n");
            }
            Value::Other => xml.push_str("<false/>\n"),
        }
    }
    xml.push_str("</dict>\n");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(group);
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place) & 0x3f) as usize;
            text.push(if place <= chunk.len() {
                char::from(ALPHABET[digit])
            } else {
                '='
            });
        }
    }
    text
}

/// Reads a dictionary.
///
/// # Errors
/// What is wrong with the text.
pub(in crate::npf) fn read(bytes: &[u8]) -> Result<Dictionary, &'static str> {
    // The kernel sends the 0 at the end of its text with it.
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    let mut reader = Reader(std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?);
    loop {
        match reader.tag()? {
            tag if tag.starts_with(['?', '!']) => {}
            tag if tag.starts_with("plist") => {}
            "dict" => return reader.dictionary(0),
            "dict/" => return Ok(Dictionary::new()),
            _ => return Err("no dictionary begins where one should"),
        }
    }
}

/// What is left to read.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    /// The next tag, without its brackets.
    fn tag(&mut self) -> Result<&'a str, &'static str> {
        let text = self.0.trim_start().strip_prefix('<');
        let (tag, rest) = text
            .and_then(|text| text.split_once('>'))
            .ok_or("there is no tag where one should be")?;
        self.0 = rest;
        Ok(tag)
    }

    /// The text up to the tag that ends an element.
    fn text(&mut self, end: &str) -> Result<String, &'static str> {
        let (text, rest) = self.0.split_once('<').ok_or("it is cut off")?;
        let rest = rest
            .strip_prefix(end)
            .and_then(|rest| rest.strip_prefix('>'));
        self.0 = rest.ok_or("an element does not end")?;
        Ok(text
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&apos;", "'")
            .replace("&amp;", "&"))
    }

    /// What is in a dictionary, and its end.
    fn dictionary(&mut self, depth: usize) -> Result<Dictionary, &'static str> {
        if depth > DEPTH {
            return Err("elements are in elements too deep");
        }
        let mut dictionary = Dictionary::new();
        loop {
            match self.tag()? {
                "/dict" => return Ok(dictionary),
                "key" => {}
                _ => return Err("there is no key where one should be"),
            }
            let name = self.text("/key")?;
            let value = self.value(depth)?;
            dictionary.0.push((name, value));
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, &'static str> {
        Ok(match self.tag()? {
            "true/" => Value::Bool(true),
            "false/" => Value::Bool(false),
            "integer" => Value::Number(number(&self.text("/integer")?)?),
            "string" => Value::Text(self.text("/string")?),
            "string/" => Value::Text(String::new()),
            "dict" => Value::Dictionary(self.dictionary(depth + 1)?),
            "dict/" => Value::Dictionary(Dictionary::new()),
            "array" => self.array(depth)?,
            "array/" => Value::Array(Vec::new()),
            // Nothing of what is read is in binary.
            "data" => {
                self.text("/data")?;
                Value::Other
            }
            "data/" => Value::Other,
            _ => return Err("a value has a type that is not known"),
        })
    }

    /// Dictionaries, up to the end of the array.
    fn array(&mut self, depth: usize) -> Result<Value, &'static str> {
        let mut array = Vec::new();
        loop {
            match self.tag()? {
                "/array" => return Ok(Value::Array(array)),
                "dict" => array.push(self.dictionary(depth + 1)?),
                "dict/" => array.push(Dictionary::new()),
                _ => return Err("an array has something else than dictionaries"),
            }
        }
    }
}

/// A number, with the bits that it has in the kernel if it is less than 0.
fn number(text: &str) -> Result<u64, &'static str> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text
            .parse()
            .ok()
            .or_else(|| text.parse::<i64>().ok().map(i64::cast_unsigned)),
    };
    number.ok_or("a number is none")
}

//! Named values, in which npf's configuration goes into the kernel and its answers come
//! out.
//!
//! How they are written depends on the version of npf: as an [`nvlist`] (`nv(9)`) or a
//! [`plist`] (`proplib(3)`). What comes out of the kernel is checked at each step.

pub(super) mod nvlist;
pub(super) mod plist;
#[cfg(test)]
mod tests;

/// Names and values, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Dictionary(Vec<(String, Value)>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Bool(bool),
    Number(u64),
    Text(String),
    Binary(Vec<u8>),
    Dictionary(Dictionary),
    Array(Vec<Dictionary>),
    /// Of a type that npf's configuration has no use for.
    Other,
}

/// How deep dictionaries in dictionaries may be that are read.
const DEPTH: usize = 16;

impl Dictionary {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The same with one more value.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let (_, value) = self.0.iter().find(|(own, _)| own == name)?;
        Some(value)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn bool(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<Dictionary>> for Value {
    fn from(array: Vec<Dictionary>) -> Self {
        Self::Array(array)
    }
}

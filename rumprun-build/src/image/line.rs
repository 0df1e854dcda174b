//! The command line of an image: what it is to do, and what its program is given.
//!
//! ```text
//! net=10.0.2.15/24,10.0.2.2 env=RUST_LOG=debug -- serve "two words"
//! ```
//!
//! Words are separated by blanks. `"` begins and ends a part in which blanks stand for
//! themselves; `\` takes its meaning from the next character, also there. What comes behind
//! the first word that is `--` is the program's; before it are settings, which `rumprun`
//! reads.

/// What an image is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Settings of the platform, `NAME=VALUE`.
    pub settings: Vec<(String, String)>,
    /// The program's arguments, without its name.
    pub arguments: Vec<String>,
}

impl Line {
    /// Adds a setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Its words, as they are.
    pub(super) fn words(&self) -> Vec<String> {
        let settings = self.settings.iter();
        let mut words: Vec<_> = settings
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !self.arguments.is_empty() {
            words.push("--".into());
            words.extend(self.arguments.iter().cloned());
        }
        words
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<String> = self.words().iter().map(|word| quote(word)).collect();
        f.write_str(&words.join(" "))
    }
}

/// A word that is read as this.
fn quote(word: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && c != '"' && c != '\\';
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    let mut quoted = String::from('"');
    for c in word.chars() {
        if c == '"' || c == '\\' {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn words_are_quoted_where_they_must_be() {
        let line = Line {
            arguments: ["serve", "two words", "", "a\"b\\"]
                .map(String::from)
                .into(),
            ..Line::default()
        };
        let line = line
            .with("net", "10.0.2.15/24,10.0.2.2")
            .with("env", "A=b c");
        let expected = r#"net=10.0.2.15/24,10.0.2.2 "env=A=b c" -- serve "two words" "" "a\"b\\""#;
        assert_eq!(line.to_string(), expected);
        assert_eq!(Line::default().to_string(), "");
    }
}

//! The image's command line: settings, and the program's arguments.
//!
//! ```text
//! net=10.0.2.15/24,10.0.2.2 env=RUST_LOG=debug -- serve "two words"
//! ```
//!
//! Words are separated by blanks. `"` begins and ends a part in which blanks stand for
//! themselves; `\` takes its meaning from the next character, also there. What comes behind
//! the first word that is `--` is the program's. `rumprun-build` writes such lines.

use alloc::string::String;
use alloc::vec::Vec;

/// What the image is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// `NAME=VALUE`; a word without `=` has an empty value.
    pub settings: Vec<(String, String)>,
    /// The program's, without its name.
    pub arguments: Vec<String>,
}

impl Line {
    /// Reads a line. Every text is one: a quote that is not closed ends with it.
    pub fn parse(text: &str) -> Self {
        let mut words = words(text).into_iter();
        let mut line = Self::default();
        for word in words.by_ref() {
            if word == "--" {
                break;
            }
            let (name, value) = word.split_once('=').unwrap_or((&word, ""));
            line.settings.push((name.into(), value.into()));
        }
        line.arguments.extend(words);
        line
    }

    /// The last value of a setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut from_last = self.settings.iter().rev();
        let found = from_last.find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All values of a setting, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of = move |(key, _): &&(String, String)| key == name;
        self.settings
            .iter()
            .filter(of)
            .map(|(_, value)| value.as_str())
    }
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' => word
                .get_or_insert_default()
                .push(characters.next().unwrap_or('\\')),
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::Line;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    #[test]
    fn what_the_tool_writes_is_read() {
        let text = r#"net=10.0.2.15/24,10.0.2.2 "env=A=b c" env=B= quiet -- serve "two words" "" "a\"b\\" --"#;
        let line = Line::parse(text);
        assert_eq!(line.get("net"), Some("10.0.2.15/24,10.0.2.2"));
        assert_eq!(line.all("env").collect::<Vec<_>>(), ["A=b c", "B="]);
        assert_eq!(line.get("quiet"), Some(""));
        assert_eq!(line.get("none"), None);
        assert_eq!(line.arguments, ["serve", "two words", "", "a\"b\\", "--"]);
        assert_eq!(Line::parse("  "), Line::default());
    }

    proptest::proptest! {
        #[test]
        fn every_text_is_a_line(text in ".*") {
            let line = Line::parse(&text);
            let letters = |text: &str| text.chars().count();
            let all = line.arguments.iter().map(|word| letters(word)).sum::<usize>();
            proptest::prop_assert!(all <= letters(&text));
        }

        #[test]
        fn quoted_words_come_back(words in proptest::collection::vec("[ a-c\"\\\\=]*", 0..5)) {
            let mut text = String::from("--");
            for word in &words {
                text.push_str(" \"");
                for c in word.chars() {
                    if c == '"' || c == '\\' {
                        text.push('\\');
                    }
                    text.push(c);
                }
                text.push('"');
            }
            let expected: Vec<String> = words.iter().map(ToString::to_string).collect();
            proptest::prop_assert_eq!(Line::parse(&text).arguments, expected);
        }
    }
}

//! Characters to tokens, as config(5) files are written.
//!
//! A newline ends a statement unless the next line starts with a blank. `#` starts a
//! comment. The lines that steer reading itself (`include`, `ifdef` and their kin) are
//! recognised here, because they are whole lines and not statements.

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A name or a keyword.
    Word(String),
    /// A name with a dot or a slash in it.
    Path(String),
    /// Text in double quotes, without them; backslashes are kept.
    Quoted(String),
    /// A number in the notation it was written in.
    Number(Number),
    /// `+=`
    PlusEquals,
    /// `:=`
    ColonEquals,
    /// Any other single character.
    Sign(char),
}

/// A number and its radix, because it is printed as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub value: i64,
    pub radix: u32,
}

impl Number {
    /// The number as it goes into C.
    pub fn text(self) -> String {
        match self.radix {
            16 => format!("{:#x}", self.value),
            8 if self.value != 0 => format!("0{:o}", self.value),
            _ => self.value.to_string(),
        }
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(text) | Self::Path(text) => f.write_str(text),
            Self::Quoted(text) => write!(f, "\"{text}\""),
            Self::Number(number) => f.write_str(&number.text()),
            Self::PlusEquals => f.write_str("+="),
            Self::ColonEquals => f.write_str(":="),
            Self::Sign(c) => write!(f, "{c}"),
        }
    }
}

/// A line that steers reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Directive {
    /// `include`; with `optional`, `cinclude`.
    Include { path: String, optional: bool },
    /// `package`: `include` with the file's folder as the prefix.
    Package { path: String },
    /// `ifdef`, and with `negated` `ifndef`.
    If { attribute: String, negated: bool },
    /// `elifdef`, `elifndef`.
    ElseIf { attribute: String, negated: bool },
    /// `else`.
    Else,
    /// `endif`.
    EndIf,
}

/// What the lexer found next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lexeme {
    Token(Token),
    Directive(Directive),
    Newline,
    End,
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// Length of the path that `text` starts with, 0 if none: no `-` before the first
/// dot or slash.
fn path_length(text: &str) -> usize {
    let head = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    if !text[head..].starts_with(['.', '/']) {
        return 0;
    }
    let tail = &text[head..];
    head + tail
        .find(|c: char| !(is_word(c) || c == '.' || c == '/'))
        .unwrap_or(tail.len())
}

/// Length of the quoted text that `text` starts with, quotes included; 0 if none.
fn quoted_length(text: &str) -> usize {
    let mut characters = text.char_indices();
    if characters.next() != Some((0, '"')) {
        return 0;
    }
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return at + 1,
            '\\' => drop(characters.next()),
            _ => {}
        }
    }
    0
}

fn word_length(text: &str) -> usize {
    match text.chars().next() {
        Some(c) if c.is_ascii_alphabetic() || c == '_' => {
            text.find(|c: char| !is_word(c)).unwrap_or(text.len())
        }
        _ => 0,
    }
}

/// A file being read.
#[derive(Debug)]
pub(super) struct Lexer {
    text: String,
    at: usize,
    line: u32,
}

impl Lexer {
    pub fn new(text: String) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
        }
    }

    /// The line the next lexeme is looked for on.
    pub fn line(&self) -> u32 {
        self.line
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Takes `length` bytes and counts the lines in them.
    fn take(&mut self, length: usize) -> String {
        let taken = self.text[self.at..self.at + length].to_owned();
        self.at += length;
        self.line += taken.bytes().filter(|&b| b == b'\n').count() as u32;
        taken
    }

    /// Skips blanks, comments and continued line ends.
    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let length = if rest.starts_with(is_blank) {
                rest.find(|c| !is_blank(c)).unwrap_or(rest.len())
            } else if rest.starts_with('#') {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with('\n') && rest[1..].starts_with(is_blank) {
                2
            } else {
                return;
            };
            self.take(length);
        }
    }

    /// The next token, directive or line end.
    pub fn next(&mut self) -> Lexeme {
        self.skip_blanks();
        if let Some((directive, length)) = directive(self.rest()) {
            self.take(length);
            return Lexeme::Directive(directive);
        }
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Lexeme::End;
        };
        let (path, word) = (path_length(rest), word_length(rest));
        if path > word {
            return Lexeme::Token(Token::Path(self.take(path)));
        }
        if word > 0 {
            return Lexeme::Token(Token::Word(self.take(word)));
        }
        let quoted = quoted_length(rest);
        if quoted > 0 {
            let text = self.take(quoted);
            return Lexeme::Token(Token::Quoted(text[1..quoted - 1].to_owned()));
        }
        if first.is_ascii_digit() {
            return Lexeme::Token(Token::Number(self.number()));
        }
        let token = match first {
            '\n' => {
                self.take(1);
                return Lexeme::Newline;
            }
            '+' if rest.starts_with("+=") => Token::PlusEquals,
            ':' if rest.starts_with(":=") => Token::ColonEquals,
            '-' if rest.starts_with("-no") => Token::Word("-no".into()),
            other => Token::Sign(other),
        };
        self.take(match &token {
            Token::Word(text) => text.len(),
            Token::Sign(c) => c.len_utf8(),
            _ => 2,
        });
        Lexeme::Token(token)
    }

    fn number(&mut self) -> Number {
        let rest = self.rest();
        let digits = |text: &str, radix| {
            text.find(|c: char| !c.is_digit(radix))
                .unwrap_or(text.len())
        };
        let hexadecimal = rest
            .strip_prefix("0x")
            .or_else(|| rest.strip_prefix("0X"))
            .map_or(0, |digits_text| digits(digits_text, 16));
        if hexadecimal > 0 {
            let text = self.take(hexadecimal + 2);
            // Sixteen digits may set the sign bit, as C's conversion does.
            let value = u64::from_str_radix(&text[2..], 16)
                .unwrap_or(u64::MAX)
                .cast_signed();
            return Number { value, radix: 16 };
        }
        let radix = if rest.starts_with('0') { 8 } else { 10 };
        let text = self.take(digits(rest, radix));
        Number {
            value: i64::from_str_radix(&text, radix).unwrap_or(i64::MAX),
            radix,
        }
    }

    /// Within a branch that is not taken: the next line that may end it.
    pub fn skip_to_conditional(&mut self) -> Lexeme {
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return Lexeme::End;
            }
            let blanks = rest.find(|c| !is_blank(c)).unwrap_or(rest.len());
            match directive(&rest[blanks..]) {
                Some((found, length))
                    if !matches!(found, Directive::Include { .. } | Directive::Package { .. }) =>
                {
                    self.take(blanks + length);
                    return Lexeme::Directive(found);
                }
                _ => {
                    let line = rest.find('\n').map_or(rest.len(), |end| end + 1);
                    self.take(line);
                }
            }
        }
    }
}

/// The directive that `text` starts with, and the length of its line with its end.
fn directive(text: &str) -> Option<(Directive, usize)> {
    let length = word_length(text);
    let (keyword, rest) = text.split_at(length);
    let blanks = rest.find(|c| !is_blank(c)).unwrap_or(rest.len());
    let argument = &rest[blanks..];
    let argument_length = match keyword {
        "else" | "endif" => 0,
        "ifdef" | "ifndef" | "elifdef" | "elifndef" => word_length(argument),
        "include" | "cinclude" | "package" => path_length(argument).max(quoted_length(argument)),
        _ => return None,
    };
    let bare = matches!(keyword, "else" | "endif");
    if !bare && (argument_length == 0 || blanks == 0) {
        return None;
    }
    let end = &argument[argument_length..];
    let comment = end.find(|c| !is_blank(c)).unwrap_or(end.len());
    let end_length = match end[comment..].chars().next() {
        None => end.len(),
        Some('#' | '\n') => end.find('\n').map_or(end.len(), |at| at + 1),
        Some(_) => return None,
    };
    let argument = argument[..argument_length].trim_matches('"').to_owned();
    let negated = matches!(keyword, "ifndef" | "elifndef");
    let directive = match keyword {
        "else" => Directive::Else,
        "endif" => Directive::EndIf,
        "ifdef" | "ifndef" => Directive::If {
            attribute: argument,
            negated,
        },
        "elifdef" | "elifndef" => Directive::ElseIf {
            attribute: argument,
            negated,
        },
        "package" => Directive::Package { path: argument },
        _ => Directive::Include {
            path: argument,
            optional: keyword == "cinclude",
        },
    };
    Some((directive, length + blanks + argument_length + end_length))
}

//! What every statement is made of: names, numbers, values, lists and conditions.

use super::syntax::Condition;
use super::token::Token;

/// Parentheses deeper than this are refused.
const NESTING: usize = 64;

/// Words with a meaning of their own, which cannot be names.
#[rustfmt::skip]
pub(super) const KEYWORDS: &[&str] = &[
    "and", "at", "attach", "block", "build", "buildprefix", "char", "compile-with", "config",
    "deffs", "define", "defflag", "defopt", "defparam", "defpseudo", "defpseudodev", "devclass",
    "device", "device-major", "dumps", "file", "file-system", "flags", "ident", "ioconf",
    "linkzero", "machine", "major", "makeoptions", "maxpartitions", "maxusers", "minor",
    "mkflagvar", "needs-count", "needs-flag", "no", "-no", "object", "obsolete", "on", "options",
    "prefix", "pseudo-device", "pseudo-root", "root", "select", "single", "source", "type",
    "vector", "version", "with",
];

/// A piece of a statement, or what was expected instead.
pub(super) type Parsed<T> = Result<T, String>;

/// A place in a line.
pub(super) struct Parser<'a> {
    tokens: &'a [Token],
    pub at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub fn new(tokens: &'a [Token]) -> Self {
        Self {
            tokens,
            at: 0,
            depth: 0,
        }
    }

    pub fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    pub fn expected(&self, what: &str) -> String {
        match self.peek() {
            Some(token) => format!("expected {what}, found `{token}`"),
            None => format!("expected {what}, found the end of the line"),
        }
    }

    /// Takes the token if `pick` wants it.
    pub fn take<T>(&mut self, pick: impl FnOnce(&Token) -> Option<T>) -> Option<T> {
        let picked = pick(self.tokens.get(self.at)?)?;
        self.at += 1;
        Some(picked)
    }

    pub fn key(&mut self, keyword: &str) -> bool {
        self.take(|t| matches!(t, Token::Word(w) if w == keyword).then_some(()))
            .is_some()
    }

    pub fn sign(&mut self, sign: char) -> bool {
        self.take(|t| (*t == Token::Sign(sign)).then_some(()))
            .is_some()
    }

    pub fn need_key(&mut self, keyword: &str) -> Parsed<()> {
        if self.key(keyword) {
            Ok(())
        } else {
            Err(self.expected(&format!("`{keyword}`")))
        }
    }

    pub fn need_sign(&mut self, sign: char) -> Parsed<()> {
        if self.sign(sign) {
            Ok(())
        } else {
            Err(self.expected(&format!("`{sign}`")))
        }
    }

    pub fn try_word(&mut self) -> Option<String> {
        self.take(|t| match t {
            Token::Word(word) if !KEYWORDS.contains(&word.as_str()) => Some(word.clone()),
            _ => None,
        })
    }

    pub fn word(&mut self, what: &str) -> Parsed<String> {
        self.try_word().ok_or_else(|| self.expected(what))
    }

    pub fn try_quoted(&mut self) -> Option<String> {
        self.take(|t| match t {
            Token::Quoted(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        })
    }

    /// A name that may stand in quotes.
    pub fn string(&mut self, what: &str) -> Parsed<String> {
        match self.try_quoted() {
            Some(text) => Ok(text),
            None => self.word(what),
        }
    }

    pub fn try_file_name(&mut self) -> Option<String> {
        let path = self.take(|t| match t {
            Token::Path(path) => Some(path.clone()),
            _ => None,
        });
        path.or_else(|| self.try_quoted())
    }

    pub fn integer(&mut self) -> Parsed<i32> {
        let number = self.take(|t| match t {
            Token::Number(number) => Some(*number),
            _ => None,
        });
        let number = number.ok_or_else(|| self.expected("a number"))?;
        i32::try_from(number.value).map_err(|_| format!("{} does not fit 32 bits", number.text()))
    }

    pub fn try_value(&mut self) -> Parsed<Option<String>> {
        if self.sign('-') {
            return match self.take(|t| {
                if let Token::Number(n) = t {
                    Some(*n)
                } else {
                    None
                }
            }) {
                Some(mut number) => {
                    number.value = number.value.wrapping_neg();
                    Ok(Some(number.text()))
                }
                None => Err(self.expected("a number after `-`")),
            };
        }
        let value = self.take(|t| match t {
            Token::Quoted(text) => Some(text.clone()),
            Token::Number(number) => Some(number.text()),
            _ => None,
        });
        Ok(value.or_else(|| self.try_word()))
    }

    pub fn value(&mut self) -> Parsed<String> {
        self.try_value()?.ok_or_else(|| self.expected("a value"))
    }

    /// `item, item, ...`
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.sign(',') {
            items.push(item(self)?);
        }
        Ok(items)
    }

    pub fn words(&mut self, what: &str) -> Parsed<Vec<String>> {
        let mut words = vec![self.word(what)?];
        while let Some(word) = self.try_word() {
            words.push(word);
        }
        Ok(words)
    }

    pub fn optional_condition(&mut self) -> Parsed<Option<Condition>> {
        match self.peek() {
            Some(Token::Sign('!' | '(')) => self.condition().map(Some),
            Some(Token::Word(word)) if !KEYWORDS.contains(&word.as_str()) => {
                self.condition().map(Some)
            }
            _ => Ok(None),
        }
    }

    /// `a | b & !c`: `!` binds closest, then `&`, then `|`.
    pub fn condition(&mut self) -> Parsed<Condition> {
        let mut any = vec![self.conjunction()?];
        while self.sign('|') {
            any.push(self.conjunction()?);
        }
        Ok(if any.len() == 1 {
            any.remove(0)
        } else {
            Condition::Any(any)
        })
    }

    fn conjunction(&mut self) -> Parsed<Condition> {
        let mut all = vec![self.term()?];
        while self.sign('&') {
            all.push(self.term()?);
        }
        Ok(if all.len() == 1 {
            all.remove(0)
        } else {
            Condition::All(all)
        })
    }

    fn term(&mut self) -> Parsed<Condition> {
        let (not, open) = (self.sign('!'), self.sign('('));
        let term = if open {
            if self.depth == NESTING {
                return Err(format!("more than {NESTING} nested parentheses"));
            }
            self.depth += 1;
            let inner = self.condition()?;
            self.depth -= 1;
            self.need_sign(')')?;
            inner
        } else {
            Condition::Selected(self.word("a name")?)
        };
        Ok(if not {
            Condition::Not(Box::new(term))
        } else {
            term
        })
    }
}

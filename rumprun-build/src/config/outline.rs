//! What an `.ioconf` file itself says, without what it includes: enough to know which
//! devices a component attaches, at a hundredth of the cost of reading all `files.*`.

use super::choose::split;
use super::error::Error;
use super::parse;
use super::syntax::Statement;
use super::token::{Directive, Lexeme, Lexer};
use std::path::Path;

/// The statements of an `.ioconf` file that tell what it is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outline {
    /// The files it includes, as it names them.
    pub includes: Vec<String>,
    /// The devices it attaches, and where: a device or an interface; `None` is the root.
    /// Without units.
    pub devices: Vec<(String, Option<String>)>,
}

impl Outline {
    /// Reads the file. Lines that make no sense are left to [`super::read`], and both
    /// branches of a conditional count.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn read(ioconf: &Path) -> Result<Self, Error> {
        let text = std::fs::read(ioconf).map_err(|source| Error::Read {
            path: ioconf.into(),
            source,
        })?;
        Ok(Self::parse(&String::from_utf8_lossy(&text)))
    }

    pub(super) fn parse(text: &str) -> Self {
        let mut outline = Self::default();
        let mut lexer = Lexer::new(text.into());
        let mut tokens = Vec::new();
        loop {
            let lexeme = lexer.next();
            if let Lexeme::Token(token) = lexeme {
                tokens.push(token);
                continue;
            }
            if let Ok(Statement::Instance(instance)) = parse::parse(&tokens) {
                let base = |name: &str| Some(split(name)?.0.to_owned());
                // `at mainbus` is as good as `at mainbus?`.
                let at = instance.at.map(|at| base(&at).unwrap_or(at));
                outline
                    .devices
                    .extend(base(&instance.name).map(|name| (name, at)));
            }
            tokens.clear();
            match lexeme {
                Lexeme::Directive(Directive::Include { path, .. }) => outline.includes.push(path),
                Lexeme::End => return outline,
                _ => {}
            }
        }
    }
}

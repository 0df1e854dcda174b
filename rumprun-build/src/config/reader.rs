//! Files to statements' lines: inclusion and conditionals.
//!
//! Both depend on what the statements read so far mean (`ifdef` asks for an attribute,
//! `include` obeys `prefix`), so the reader is pulled line by line and asks its caller
//! through [`Scope`]. Conditionals are balanced within each file.

use super::error::{Error, Position};
use super::token::{Directive, Lexeme, Lexer, Token};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What reading needs to know of the statements before.
pub(super) trait Scope {
    /// Has the attribute been defined or mentioned?
    fn is_attribute(&self, name: &str) -> bool;
    /// The innermost `prefix`.
    fn prefix(&self) -> Option<&str>;
}

/// A statement's tokens, none of them for an empty line.
#[derive(Debug)]
pub(super) struct Line {
    pub at: Position,
    pub tokens: Vec<Token>,
}

/// What the reader hands out.
#[derive(Debug)]
pub(super) enum Event {
    Line(Line),
    /// `package` starts: everything up to the matching pop is below this folder.
    PushPrefix(String),
    /// The package's file ended.
    PopPrefix,
}

/// One `ifdef` ... `endif`.
#[derive(Debug)]
struct Conditional {
    /// The branch being read counts.
    active: bool,
    /// Some branch counted already.
    taken: bool,
    /// `else` was seen.
    last: bool,
    at: Position,
}

#[derive(Debug)]
struct Frame {
    path: Arc<Path>,
    lexer: Lexer,
    conditionals: Vec<Conditional>,
    package: bool,
}

impl Frame {
    fn position(&self) -> Position {
        Position {
            file: self.path.clone(),
            line: self.lexer.line(),
        }
    }
}

/// The files being read, innermost last.
#[derive(Debug)]
pub(super) struct Reader {
    sys: PathBuf,
    stack: Vec<Frame>,
    /// A package that was met: its file is opened once its prefix is known.
    package: Option<(Position, String)>,
    /// A prefix change that waits for the line before it.
    pending: Option<Event>,
    /// Every file opened, in order, each once.
    pub read: Vec<PathBuf>,
}

impl Reader {
    /// Starts with `file`; what it includes is relative to `sys`.
    pub fn open(sys: &Path, file: &Path) -> Result<Self, Error> {
        let text = std::fs::read(file).map_err(|source| Error::Read {
            path: file.into(),
            source,
        })?;
        let mut reader = Self {
            sys: sys.into(),
            stack: Vec::new(),
            package: None,
            pending: None,
            read: Vec::new(),
        };
        reader.push(file, &text, false);
        Ok(reader)
    }

    fn push(&mut self, path: &Path, text: &[u8], package: bool) {
        if !self.read.iter().any(|known| known == path) {
            self.read.push(path.into());
        }
        // Comments in the tree are not always UTF-8; what counts is ASCII.
        let lexer = Lexer::new(String::from_utf8_lossy(text).into_owned());
        self.stack.push(Frame {
            path: path.into(),
            lexer,
            conditionals: Vec::new(),
            package,
        });
    }

    fn include(
        &mut self,
        at: Position,
        path: &str,
        optional: bool,
        package: bool,
        scope: &dyn Scope,
    ) -> Result<(), Error> {
        let file = match path.strip_prefix("./") {
            Some(beside) => at.file.parent().unwrap_or(Path::new("")).join(beside),
            // `join` keeps an absolute path as it is.
            None => self.sys.join(scope.prefix().unwrap_or("")).join(path),
        };
        if self.stack.iter().any(|frame| *frame.path == *file) {
            return Err(Error::IncludeCycle { at, path: file });
        }
        match std::fs::read(&file) {
            Ok(text) => self.push(&file, &text, package),
            Err(_) if optional => {}
            Err(source) => {
                return Err(Error::Include {
                    at,
                    path: file,
                    source,
                });
            }
        }
        Ok(())
    }

    /// The next line or prefix change; `None` at the end of the first file.
    pub fn next(&mut self, scope: &dyn Scope) -> Result<Option<Event>, Error> {
        if let Some(event) = self.pending.take() {
            return Ok(Some(event));
        }
        if let Some((at, path)) = self.package.take() {
            let name = Path::new(&path)
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            self.include(at, &name, false, true, scope)?;
        }
        let mut line: Option<Line> = None;
        while let Some(frame) = self.stack.last_mut() {
            let skipping = frame.conditionals.last().is_some_and(|c| !c.active);
            let before = frame.position();
            let lexeme = if skipping {
                frame.lexer.skip_to_conditional()
            } else {
                frame.lexer.next()
            };
            match lexeme {
                Lexeme::Token(token) => {
                    let at = Position {
                        line: frame.lexer.line(),
                        ..before
                    };
                    line.get_or_insert_with(|| Line {
                        at,
                        tokens: Vec::new(),
                    })
                    .tokens
                    .push(token);
                }
                Lexeme::Newline => {
                    if let Some(line) = line.take() {
                        return Ok(Some(Event::Line(line)));
                    }
                }
                Lexeme::Directive(directive) => {
                    let at = Position {
                        line: frame.lexer.line().saturating_sub(1).max(before.line),
                        ..before
                    };
                    let event = self.directive(at, directive, scope)?;
                    if let Some(line) = line.take() {
                        self.pending = event;
                        return Ok(Some(Event::Line(line)));
                    }
                    if event.is_some() {
                        return Ok(event);
                    }
                }
                Lexeme::End => {
                    // A file need not end with a newline.
                    if let Some(line) = line.take() {
                        return Ok(Some(Event::Line(line)));
                    }
                    if let Some(open) = frame.conditionals.pop() {
                        let problem = "this conditional has no `endif`";
                        return Err(Error::Conditional {
                            at: open.at,
                            problem,
                        });
                    }
                    let package = frame.package;
                    self.stack.pop();
                    if package {
                        return Ok(Some(Event::PopPrefix));
                    }
                }
            }
        }
        Ok(None)
    }

    fn directive(
        &mut self,
        at: Position,
        directive: Directive,
        scope: &dyn Scope,
    ) -> Result<Option<Event>, Error> {
        let conditionals = match self.stack.last_mut() {
            Some(frame) => &mut frame.conditionals,
            None => return Ok(None),
        };
        let outer_active = |conditionals: &[Conditional]| conditionals.iter().all(|c| c.active);
        match directive {
            Directive::Include { path, optional } => {
                self.include(at, &path, optional, false, scope)?;
            }
            Directive::Package { path } => {
                let folder = Path::new(&path).parent().unwrap_or(Path::new(""));
                let folder = folder.to_string_lossy().into_owned();
                self.package = Some((at, path));
                return Ok(Some(Event::PushPrefix(folder)));
            }
            Directive::If { attribute, negated } => {
                let active =
                    outer_active(conditionals) && scope.is_attribute(&attribute) != negated;
                conditionals.push(Conditional {
                    active,
                    taken: active,
                    last: false,
                    at,
                });
            }
            Directive::ElseIf { attribute, negated } => {
                let holds = scope.is_attribute(&attribute) != negated;
                branch(conditionals, at, holds, false)?;
            }
            Directive::Else => branch(conditionals, at, true, true)?,
            Directive::EndIf => {
                if conditionals.pop().is_none() {
                    let problem = "`endif` without `ifdef`";
                    return Err(Error::Conditional { at, problem });
                }
            }
        }
        Ok(None)
    }
}

/// Starts the next branch of the innermost conditional.
fn branch(
    conditionals: &mut [Conditional],
    at: Position,
    holds: bool,
    last: bool,
) -> Result<(), Error> {
    let Some((current, outer)) = conditionals.split_last_mut() else {
        return Err(Error::Conditional {
            at,
            problem: "`else` or `elifdef` without `ifdef`",
        });
    };
    if current.last {
        return Err(Error::Conditional {
            at,
            problem: "a branch after `else`",
        });
    }
    current.active = holds && !current.taken && outer.iter().all(|c| c.active);
    current.taken |= current.active;
    current.last = last;
    Ok(())
}

//! Which source file probably defines a symbol.
//!
//! Compiling all components to learn who defines what would take minutes, so the text
//! of the sources is asked first: an identifier at the outermost level of a C file,
//! outside of comments, strings and preprocessor lines, that is followed by `(`, `[`,
//! `=` or `;`, may be a definition there. It is only a hint. The choice is proven by
//! the symbols of the objects that are then compiled, and a wrong hint costs time,
//! never correctness.

use std::collections::HashSet;

/// How sure the text is that a file defines a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hint {
    /// The name stands at the outermost level.
    Mentioned,
    /// The name starts a line and is followed by an argument list, as NetBSD writes
    /// function definitions.
    Defined,
}

/// Calls `found` for each of `wanted` that the C text may define.
pub(crate) fn scan(text: &[u8], wanted: &HashSet<&[u8]>, mut found: impl FnMut(&[u8], Hint)) {
    let mut at = 0;
    let mut depth = 0u32;
    let mut line_start = true;
    while at < text.len() {
        let byte = text[at];
        let fresh = std::mem::replace(&mut line_start, false);
        match byte {
            b'\n' => {
                line_start = true;
                at += 1;
            }
            b'#' if fresh => at = end_of_directive(text, at),
            b'/' if text[at..].starts_with(b"/*") => {
                at = find(text, at + 2, b"*/").map_or(text.len(), |end| end + 2);
            }
            b'/' if text[at..].starts_with(b"//") => {
                at = find(text, at, b"\n").unwrap_or(text.len())
            }
            b'"' | b'\'' => at = end_of_literal(text, at),
            b'{' => {
                depth += 1;
                at += 1;
            }
            b'}' => {
                // A brace in the first column closes a function even where
                // conditional compilation unbalanced the ones before it.
                depth = if fresh { 0 } else { depth.saturating_sub(1) };
                at += 1;
            }
            _ if is_word(byte) => {
                let end = text[at..]
                    .iter()
                    .position(|byte| !is_word(*byte))
                    .map_or(text.len(), |len| at + len);
                let word = &text[at..end];
                if depth == 0 && wanted.contains(word) {
                    let hint = if fresh && text[end..].first() == Some(&b'(') {
                        Hint::Defined
                    } else {
                        Hint::Mentioned
                    };
                    found(word, hint);
                }
                at = end;
            }
            _ => {
                at += 1;
            }
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn find(text: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    text.get(from..)?
        .windows(what.len())
        .position(|window| window == what)
        .map(|at| from + at)
}

fn end_of_directive(text: &[u8], mut at: usize) -> usize {
    while let Some(end) = find(text, at, b"\n") {
        if text[end - 1] != b'\\' {
            return end;
        }
        at = end + 1;
    }
    text.len()
}

fn end_of_literal(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() && text[at] != text[start] && text[at] != b'\n' {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(text: &str, names: &[&str]) -> Vec<(String, Hint)> {
        let wanted = names.iter().map(|name| name.as_bytes()).collect();
        let mut found = Vec::new();
        scan(text.as_bytes(), &wanted, |name, hint| {
            found.push((String::from_utf8_lossy(name).into(), hint))
        });
        found
    }

    #[test]
    fn definitions_are_told_from_uses() {
        let text = "/* foo( */\n#define foo(x) \\\n foo(x)\nstatic int\nfoo(int a)\n{\n\tbar(\"}\", '{');\n}\nint bar = 1;\n";
        assert_eq!(
            hints(text, &["foo", "bar"]),
            [
                ("foo".into(), Hint::Defined),
                ("bar".into(), Hint::Mentioned)
            ]
        );
    }

    #[test]
    fn a_brace_in_the_first_column_resets_the_level() {
        let text = "f()\n{\n#ifdef A\n if (a) {\n#else\n if (b) {\n#endif\n }\n}\ng()\n{\n}\n";
        assert_eq!(hints(text, &["g"]), [("g".into(), Hint::Defined)]);
    }

    #[test]
    fn any_text_is_survived() {
        for text in ["\"", "'\\", "/*", "#", "#\\\n", "}", "//", "a\\"] {
            hints(text, &["a"]);
        }
    }
}

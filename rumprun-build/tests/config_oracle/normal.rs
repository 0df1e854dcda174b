//! C tables as what they mean: without comments, blanks, and the notation of numbers.

/// Preprocessor lines, and declarations with all tokens one blank apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Normal {
    pub directives: Vec<String>,
    /// Declarations of interfaces, sorted: config(1) prints them in a hash's order.
    pub interfaces: Vec<String>,
    /// All others, in order.
    pub declarations: Vec<String>,
}

fn without_comments(text: &str) -> String {
    let mut parts = text.split("/*");
    let mut kept = parts.next().unwrap_or("").to_owned();
    for part in parts {
        kept.push(' ');
        kept.push_str(part.split_once("*/").map_or("", |(_, after)| after));
    }
    kept
}

fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => rest[1..].find('"').map_or(rest.len(), |end| end + 2),
            c if c.is_alphanumeric() || c == '_' => rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let token = &rest[..length];
        let hexadecimal = token
            .strip_prefix("0x")
            .and_then(|t| u64::from_str_radix(t, 16).ok());
        tokens.push(hexadecimal.map_or_else(|| token.to_owned(), |value| value.to_string()));
        rest = rest[length..].trim_start();
    }
    tokens
}

/// Takes a C file apart.
pub fn normal(text: &str) -> Normal {
    let text = without_comments(text);
    let (directives, code): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with('#'));
    let code = code.join("\n");
    let all = code
        .split(';')
        .map(|text| tokens(text).join(" "))
        .filter(|text| !text.is_empty());
    let (mut interfaces, declarations): (Vec<_>, Vec<_>) =
        all.partition(|text| text.contains("cf_iattrdata = {"));
    interfaces.sort();
    let directives = directives
        .iter()
        .map(|line| tokens(line).join(" "))
        .collect();
    Normal {
        directives,
        interfaces,
        declarations,
    }
}

/// Says how `ours` differs from `theirs`.
///
/// # Errors
/// The first difference of each sort.
pub fn compare(file: &str, ours: &Normal, theirs: &Normal) -> Result<(), String> {
    let sorts = [
        ("preprocessor line", &ours.directives, &theirs.directives),
        ("interface", &ours.interfaces, &theirs.interfaces),
        ("declaration", &ours.declarations, &theirs.declarations),
    ];
    let mut differences = String::new();
    for (sort, ours, theirs) in sorts {
        if ours == theirs {
            continue;
        }
        let none = "(none)".to_owned();
        let at = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
        let (ours, theirs) = (
            ours.get(at).unwrap_or(&none),
            theirs.get(at).unwrap_or(&none),
        );
        differences.push_str(&format!(
            "{file}: {sort} {at} differs\n  config(1): {theirs}\n  ours:      {ours}\n"
        ));
    }
    if differences.is_empty() {
        Ok(())
    } else {
        Err(differences)
    }
}

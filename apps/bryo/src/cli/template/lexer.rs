//! Words of an action.

/// A word.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// `.Field` (without the dot), attached to what stands before when there is no space.
    Field(String),
    /// `.` alone.
    Dot,
    /// `$name`, or `$` with nothing.
    Variable(String),
    /// A function, keyword, `true`, `nil` …
    Word(String),
    /// A string, unquoted.
    Text(String),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// `|`.
    Pipe,
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// `:=`.
    Declare,
    /// `=`.
    Assign,
    /// `,`.
    Comma,
    /// A space; it tells `.A.B` from `.A .B`.
    Space,
}

impl std::fmt::Display for Token {
    /// As Go quotes it in its complaints.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Token::Field(name) => write!(f, "\".{name}\""),
            Token::Dot => f.write_str("\".\""),
            Token::Variable(name) => write!(f, "\"${name}\""),
            Token::Word(word) => write!(f, "<{word}>"),
            Token::Text(text) => write!(f, "{text:?}"),
            Token::Int(n) => write!(f, "\"{n}\""),
            Token::Float(n) => write!(f, "\"{n}\""),
            Token::Pipe => f.write_str("\"|\""),
            Token::Open => f.write_str("\"(\""),
            Token::Close => f.write_str("\")\""),
            Token::Declare => f.write_str("\":=\""),
            Token::Assign => f.write_str("\"=\""),
            Token::Comma => f.write_str("\",\""),
            Token::Space => f.write_str("\" \""),
        }
    }
}

/// A token and where it begins in the template, in bytes.
pub type Placed = (Token, usize);

/// Cuts an action into tokens. `offset` is where it begins in the template.
pub fn tokens(action: &str, offset: usize) -> Result<Vec<Placed>, String> {
    let mut list = Vec::new();
    let mut rest = action;
    while let Some(first) = rest.chars().next() {
        let at = offset + action.len() - rest.len();
        let (token, used) = token(first, rest)?;
        list.push((token, at));
        rest = rest.get(used..).unwrap_or_default();
    }
    while matches!(list.first(), Some((Token::Space, _))) {
        list.remove(0);
    }
    while matches!(list.last(), Some((Token::Space, _))) {
        list.pop();
    }
    Ok(list)
}

fn token(first: char, rest: &str) -> Result<(Token, usize), String> {
    let single = |token| Ok((token, 1));
    match first {
        ' ' | '\t' | '\n' | '\r' => {
            let used = rest.len() - rest.trim_start().len();
            Ok((Token::Space, used))
        }
        '|' => single(Token::Pipe),
        '(' => single(Token::Open),
        ')' => single(Token::Close),
        ',' => single(Token::Comma),
        '=' => single(Token::Assign),
        ':' if rest.starts_with(":=") => Ok((Token::Declare, 2)),
        '"' | '`' | '\'' => quoted(first, rest),
        '.' => {
            let name = name_at(rest, 1);
            if name.is_empty() {
                single(Token::Dot)
            } else {
                Ok((Token::Field(name.into()), 1 + name.len()))
            }
        }
        '$' => {
            let name = name_at(rest, 1);
            Ok((Token::Variable(name.into()), 1 + name.len()))
        }
        '-' | '+' | '0'..='9' => number(rest),
        c if c.is_alphabetic() || c == '_' => {
            let name = name_at(rest, 0);
            Ok((Token::Word(name.into()), name.len()))
        }
        other => Err(format!("unexpected \"{other}\" in operand")),
    }
}

fn name_at(text: &str, start: usize) -> &str {
    let tail = text.get(start..).unwrap_or_default();
    let end = tail.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(tail.len());
    tail.get(..end).unwrap_or_default()
}

fn number(rest: &str) -> Result<(Token, usize), String> {
    let end = rest
        .char_indices()
        .skip(1)
        .find(|(_, c)| !(c.is_ascii_alphanumeric() || *c == '.' || *c == '_'))
        .map_or(rest.len(), |(i, _)| i);
    let text = rest.get(..end).unwrap_or_default();
    if let Ok(n) = text.parse() {
        return Ok((Token::Int(n), end));
    }
    match text.parse() {
        Ok(n) => Ok((Token::Float(n), end)),
        Err(_) => Err(format!("bad number syntax: \"{text}\"")),
    }
}

fn quoted(quote: char, rest: &str) -> Result<(Token, usize), String> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        if c == quote {
            let end = i + 1;
            return match (quote, text.chars().next()) {
                ('\'', Some(only)) => Ok((Token::Int(i64::from(u32::from(only))), end)),
                _ => Ok((Token::Text(text), end)),
            };
        }
        if c != '\\' || quote == '`' {
            text.push(c);
            continue;
        }
        match chars.next().map(|(_, c)| c) {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some(other) => text.push(other),
            None => break,
        }
    }
    Err("unterminated quoted string".to_owned())
}

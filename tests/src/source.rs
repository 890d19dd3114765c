//! A small reader of Rust text: blanks out comments and literals, so that a word found in the rest is code.
//!
//! It knows line and nested block comments, strings with escapes, raw strings and character literals – all that the
//! policy tests need – and keeps line breaks, so that line numbers stay right.

/// `text` with comments, strings and character literals replaced by blanks.
pub fn code_only(text: &str) -> String {
    let mut reader = Reader { rest: text, out: String::with_capacity(text.len()) };
    while reader.step() {}
    reader.out
}

struct Reader<'a> {
    rest: &'a str,
    out: String,
}

impl Reader<'_> {
    /// Handles one token or one character; false at the end.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else { return false };
        let length = match first {
            '/' if self.rest.starts_with("//") => self.rest.find('\n').unwrap_or(self.rest.len()),
            '/' if self.rest.starts_with("/*") => block_comment(self.rest),
            '"' => string(self.rest),
            'r' if !self.inside_word() => raw_string(self.rest).unwrap_or(0),
            '\'' => character(self.rest).unwrap_or(0),
            _ => 0,
        };
        if length == 0 {
            self.out.push(first);
            self.rest = self.rest.get(first.len_utf8()..).unwrap_or("");
        } else {
            let (token, rest) = self.rest.split_at(length);
            self.out.extend(token.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            self.rest = rest;
        }
        true
    }

    fn inside_word(&self) -> bool {
        self.out.ends_with(|c: char| c.is_alphanumeric() || c == '_')
    }
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.get(1..)?.chars().take_while(|c| *c == '#').count();
    let body = text.get(1 + hashes..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let found = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(1 + hashes + 1 + found)
}

/// A character literal; a lifetime (`'a` without a closing quote) is none.
fn character(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        let (at, _) = chars.skip(1).find(|(_, c)| *c == '\'')?;
        return Some(at + 1);
    }
    chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::code_only;

    #[test]
    fn words_in_comments_and_literals_vanish() {
        let text =
            "let a = \"unsafe\"; // unsafe\n/* unsafe /* x */ unsafe */ let b = r#\"unsafe\"#;";
        assert!(!code_only(text).contains("unsafe"));
        assert_eq!(code_only(text).lines().count(), 2);
    }

    #[test]
    fn code_after_literals_stays() {
        let text = "fn f<'a>(x: &'a str) -> char { let q = '\"'; let e = '\\''; unsafe { g(x) } }";
        assert!(code_only(text).contains("unsafe"));
        assert!(code_only(text).contains("<'a>"));
    }
}

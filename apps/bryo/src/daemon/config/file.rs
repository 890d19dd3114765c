//! daemon.json: read, checked key by key, each error with the line it is on.

use std::collections::BTreeMap;
use std::path::Path;

use bryo_rootless::SetupError;
use serde_json::{Map, Value};

use super::options::{Kind, by_key};

/// The file's content, and where each key stands.
#[derive(Debug, Default)]
pub struct File {
    /// Options by key.
    pub values: Map<String, Value>,
    /// Line of each key, from 1.
    pub lines: BTreeMap<String, usize>,
}

/// Reads and checks a configuration file.
pub fn read(path: &Path) -> Result<File, SetupError> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        let mend = "give another file with --config-file";
        SetupError::new(
            "unable to read the configuration file",
            format!("{}: {e}", path.display()),
            mend,
        )
    })?;
    parse(&text, path)
}

/// Checks the text of a configuration file; `path` is for the messages.
pub fn parse(text: &str, path: &Path) -> Result<File, SetupError> {
    let bad = |line: usize, what: String| {
        SetupError::new(
            format!("unable to configure the daemon with file {}: {what}", path.display()),
            format!(
                "{}:{line}: {}",
                path.display(),
                text.lines().nth(line.max(1) - 1).unwrap_or("").trim()
            ),
            format!(
                "correct line {line} of {}\nthen check with: bryo daemon --validate --config-file {}",
                path.display(),
                path.display()
            ),
        )
    };
    if text.trim().is_empty() {
        return Ok(File::default());
    }
    let value: Value = serde_json::from_str(text).map_err(|e| {
        let place = format!(" at line {} column {}", e.line(), e.column());
        // Column 0 is the line end before.
        let line = if e.column() == 0 { e.line() - 1 } else { e.line() };
        bad(line, format!("invalid JSON: {}", e.to_string().replace(&place, "")))
    })?;
    let Value::Object(values) = value else {
        return Err(bad(1, "an object is expected".into()));
    };
    let lines = key_lines(text);
    let line = |key: &str| lines.get(key).copied().unwrap_or(1);
    for (key, value) in &values {
        let Some(option) = by_key(key) else {
            return Err(bad(
                line(key),
                format!("the following directives don't match any configuration option: {key}"),
            ));
        };
        if let Err(expected) = check(option.kind, value) {
            return Err(bad(
                line(key),
                format!("key {key:?}: {expected} is expected, not {value}"),
            ));
        }
    }
    Ok(File { values, lines })
}

/// Whether a value has the shape; the error says what is expected.
fn check(kind: Kind, value: &Value) -> Result<(), &'static str> {
    let texts = |v: &Value| v.as_array().is_some_and(|a| a.iter().all(Value::is_string));
    let entries =
        |v: &Value, f: fn(&Value) -> bool| v.as_object().is_some_and(|o| o.values().all(f));
    let (fits, expected) = match kind {
        Kind::Text => (value.is_string(), "a string"),
        Kind::Bool => (value.is_boolean(), "true or false"),
        Kind::Number => (value.is_i64(), "a whole number"),
        Kind::Bytes => (value.is_string() || value.is_u64(), "a size such as \"64m\""),
        Kind::List => (texts(value), "an array of strings"),
        Kind::Pairs => (entries(value, Value::is_string), "an object of strings"),
        Kind::Ulimits => (
            entries(value, |v| v["Soft"].is_i64() && v["Hard"].is_i64()),
            "an object of {\"Name\", \"Soft\", \"Hard\"}",
        ),
        Kind::Runtimes => {
            (entries(value, |v| v["path"].is_string()), "an object of {\"path\", \"runtimeArgs\"}")
        }
        Kind::Pools => (
            value.as_array().is_some_and(|a| {
                a.iter()
                    .all(|p| p["base"].is_string() && p["size"].as_u64().is_some_and(|n| n <= 128))
            }),
            "an array of {\"base\", \"size\"}",
        ),
        Kind::Any => (true, ""),
    };
    if fits { Ok(()) } else { Err(expected) }
}

/// The line of each top-level key of a valid JSON object.
fn key_lines(text: &str) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    let (mut line, mut depth) = (1, 0);
    let mut bytes = text.char_indices().peekable();
    while let Some((start, c)) = bytes.next() {
        match c {
            '\n' => line += 1,
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            '"' => {
                let end = string_end(&mut bytes, start);
                let is_key = text[end..].trim_start().starts_with(':');
                let key = serde_json::from_str::<String>(&text[start..end]);
                if let (1, true, Ok(key)) = (depth, is_key, key) {
                    lines.insert(key, line);
                }
            }
            _ => {}
        }
    }
    lines
}

/// Goes past a string; the index after its closing quote. (A string holds no line end in JSON.)
fn string_end(chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>, start: usize) -> usize {
    let mut end = start + 1;
    while let Some((at, c)) = chars.next() {
        end = at + c.len_utf8();
        match c {
            '\\' => {
                chars.next();
            }
            '"' => break,
            _ => {}
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text, Path::new("/x/daemon.json")).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_line_and_key() {
        let e = error("{\n  \"debug\": true,\n  \"no-such\": 1\n}\n");
        assert!(e.contains("don't match any configuration option: no-such"), "{e}");
        assert!(e.contains("/x/daemon.json:3: \"no-such\": 1"), "{e}");
        let e = error("{\n\"labels\": [\"debug: x\"],\n\n\"mtu\": \"big\"}");
        assert!(e.contains("key \"mtu\": a whole number is expected, not \"big\""), "{e}");
        assert!(e.contains("daemon.json:4:"), "{e}");
        let e = error("{\n \"debug\": tru\n}");
        assert!(e.contains("invalid JSON") && e.contains("daemon.json:2:"), "{e}");
        assert!(error("[]").contains("an object is expected"));
    }

    #[test]
    fn keys_are_found_at_the_top_level_only() {
        let text = "{ \"log-opts\": {\"a\\\"b\": \"{\"},\n \"hosts\": [\"x\"], \"runtimes\":\n {\"dns\": {\"path\": \"p\"}}}";
        let lines = key_lines(text);
        assert_eq!(lines.get("log-opts"), Some(&1));
        assert_eq!((lines.get("hosts"), lines.get("runtimes")), (Some(&2), Some(&2)));
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn an_empty_file_says_nothing() {
        assert!(parse(" \n", Path::new("x")).unwrap().values.is_empty());
    }
}

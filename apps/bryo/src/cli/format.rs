//! Lists: tables with docker's columns, `--format` with templates, `json`, `--quiet`.

use serde_json::{Map, Value};

use super::error::{CliError, Result};
use super::template::{Template, json};

/// Under this key a row keeps its labels as a map, for `.Label "key"`; it is never printed.
pub const LABELS: &str = "\0labels";

/// A kind of list: its columns by default, and the titles of all its fields.
pub struct Columns {
    /// docker's name of the rows' type, which its complaints about templates tell.
    pub kind: &'static str,
    /// Template of the default table, without `table`.
    pub default: &'static str,
    /// Field and title.
    pub titles: &'static [(&'static str, &'static str)],
}

/// Prints rows by a format: nothing or `table` for the default table, `table …`, `json`, or a template.
pub fn print_list(rows: &[Value], format: Option<&str>, columns: &Columns) -> Result<()> {
    print!("{}", list(rows, format, columns)?);
    Ok(())
}

/// The text that [`print_list`] prints.
pub fn list(rows: &[Value], format: Option<&str>, columns: &Columns) -> Result<String> {
    let rows = &rows.iter().map(ordered).collect::<Vec<_>>();
    match format.map(str::trim) {
        None | Some("" | "table") => table(rows, columns.default, columns),
        Some("json") => Ok(rows.iter().map(|row| json_line(row) + "\n").collect()),
        Some(text) => match text.strip_prefix("table") {
            Some(template) => table(rows, template.trim_start(), columns),
            None => {
                let template = parse(text)?;
                rows.iter().map(|row| Ok(render(&template, row, columns)? + "\n")).collect()
            }
        },
    }
}

fn table(rows: &[Value], template: &str, columns: &Columns) -> Result<String> {
    let mut titles: Map<String, Value> =
        columns.titles.iter().map(|(f, t)| ((*f).to_owned(), (*t).into())).collect();
    titles.insert(LABELS.to_owned(), true.into());
    let template = parse(template)?;
    let mut lines = vec![render(&template, &titles.into(), columns)?];
    for row in rows {
        lines.push(render(&template, row, columns)?);
    }
    Ok(align(&lines, 10))
}

fn parse(template: &str) -> Result<Template> {
    let template = template.replace("\\t", "\t").replace("\\n", "\n");
    Template::parse(&template).map_err(CliError::new)
}

fn render(template: &Template, row: &Value, columns: &Columns) -> Result<String> {
    template.render(row).map_err(|e| {
        let (place, missing) = e.split_once("map has no entry for key ").unwrap_or((&e, ""));
        match missing.trim_matches('"') {
            "" => CliError::new(e),
            field => CliError::new(format!(
                "{place}can't evaluate field {field} in type {}",
                columns.kind
            )),
        }
    })
}

fn json_line(row: &Value) -> String {
    json(&sorted(row))
}

/// A row as it is printed: its fields by name, without those that are never shown.
fn sorted(row: &Value) -> Value {
    let Some(map) = row.as_object() else { return row.clone() };
    let fields = map.iter().filter(|(key, _)| !key.starts_with('\0'));
    let sorted: std::collections::BTreeMap<&String, &Value> = fields.collect();
    sorted
        .into_iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect::<Map<_, _>>()
        .into()
}

/// A row with its fields in the order in which `{{json .}}` shows them.
fn ordered(row: &Value) -> Value {
    let Value::Object(mut shown) = sorted(row) else { return row.clone() };
    let hidden = row.as_object().into_iter().flatten().filter(|(key, _)| key.starts_with('\0'));
    shown.extend(hidden.map(|(key, value)| (key.clone(), value.clone())));
    Value::Object(shown)
}

/// Columns between tabs: each at least `least` wide and 3 apart; the last is not padded.
pub fn align(lines: &[String], least: usize) -> String {
    let rows: Vec<Vec<&str>> = lines.iter().map(|line| line.split('\t').collect()).collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|i| {
            let cells = rows.iter().filter(|row| row.len() > i + 1).filter_map(|row| row.get(i));
            (cells.map(|cell| cell.chars().count()).max().unwrap_or(0) + 3).max(least)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let last = row.len().saturating_sub(1);
        for (i, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if i < last {
                let width = widths.get(i).copied().unwrap_or(0);
                out.push_str(&" ".repeat(width.saturating_sub(cell.chars().count())));
            }
        }
        out.push('\n');
    }
    out
}

/// Cuts text to `width` characters, with `…` at the end.
pub fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// The short form of an id.
pub fn short_id(id: &str) -> &str {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    id.get(..12).unwrap_or(id)
}

/// Indents JSON as it stands, keeping the order of its fields (docker prints the daemon's bytes).
pub fn indent(json: &str, base: usize) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = base;
    let mut in_string = false;
    let mut escaped = false;
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&" ".repeat(4 * depth));
    };
    let mut chars = json.chars().filter(|c| *c != '\r').peekable();
    while let Some(c) = chars.next() {
        if in_string {
            out.push(c);
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match c {
            '"' => {
                in_string = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|n| n.is_whitespace()).is_some() {}
                if let Some(close) = chars.next_if(|n| matches!(n, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    newline(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                newline(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                newline(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables_are_dockers() {
        let columns = Columns {
            kind: "*x",
            default: "{{.ID}}\t{{.Image}}\t{{.Names}}",
            titles: &[("ID", "CONTAINER ID"), ("Image", "IMAGE"), ("Names", "NAMES")],
        };
        let rows =
            [json!({"ID": "455c541c8205", "Image": "busybox", "Names": "web", LABELS: {"a": "b"}})];
        assert_eq!(
            list(&rows, None, &columns).unwrap(),
            "CONTAINER ID   IMAGE     NAMES\n455c541c8205   busybox   web\n"
        );
        assert_eq!(list(&rows, Some("{{.Names}}"), &columns).unwrap(), "web\n");
        assert_eq!(list(&rows, Some(r#"{{.Label "a"}}{{.Label "x"}}"#), &columns).unwrap(), "b\n");
        assert_eq!(
            list(&rows, Some("json"), &columns).unwrap(),
            "{\"ID\":\"455c541c8205\",\"Image\":\"busybox\",\"Names\":\"web\"}\n"
        );
        assert_eq!(
            list(&rows, Some("table {{.Names}}\\t{{.ID}}"), &columns).unwrap(),
            "NAMES     CONTAINER ID\nweb       455c541c8205\n"
        );
    }

    #[test]
    fn json_is_indented_as_it_stands() {
        assert_eq!(
            indent(r#"{"b":[],"a":{"x":[1,"}"]},"c":{}}"#, 0),
            "{\n    \"b\": [],\n    \"a\": {\n        \"x\": [\n            1,\n            \"}\"\n        ]\n    },\n    \"c\": {}\n}"
        );
    }
}

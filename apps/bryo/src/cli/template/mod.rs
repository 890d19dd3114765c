//! Go templates, as far as `--format` needs them.
//!
//! Text with `{{ actions }}`: fields, `$variables`, pipelines, `if`/`else if`/`else`, `range` (with index and value), `with`, and
//! the functions of docker's formats (`json`, `join`, `lower`, `upper`, `title`, `split`, `pad`, `truncate`, `println`) and of Go
//! (`index`, `len`, `printf`, `print`, `eq` …, `and`, `or`, `not`). The data is JSON. [`lexer`] cuts an action into words,
//! [`parser`] makes a tree of them, [`eval`] walks it. Errors have Go's words where users meet them (a field that is not
//! there, text that cannot be parsed).

mod eval;
mod functions;
mod lexer;
mod parser;
mod print;

use serde_json::Value;

use parser::Node;

/// A template that was parsed.
#[derive(Debug)]
pub struct Template {
    nodes: Vec<Node>,
}

impl Template {
    /// Parses; the error is Go's text.
    pub fn parse(text: &str) -> Result<Template, String> {
        parser::parse(text)
            .map(|nodes| Template { nodes })
            .map_err(|e| format!("template parsing error: template: :1: {e}"))
    }

    /// Fills it with data.
    pub fn render(&self, data: &Value) -> Result<String, String> {
        eval::render(&self.nodes, data)
            .map_err(|e| format!("template parsing error: template: {e}"))
    }
}

pub use print::json;

/// Text as a JSON string in Go's spelling.
pub fn json_text(text: &str) -> String {
    print::quote(text)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

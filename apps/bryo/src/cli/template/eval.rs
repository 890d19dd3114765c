//! Walking the tree.

use serde_json::Value;

use super::functions;
use super::parser::{Base, Expr, Node, Pipeline};
use super::print::{self, print};

/// Renders a template.
pub fn render(nodes: &[Node], data: &Value) -> Result<String, String> {
    let mut state = State { variables: vec![(String::new(), data.clone())], out: String::new() };
    state.nodes(nodes, data)?;
    Ok(state.out)
}

struct State {
    /// Innermost last; the one without a name is `$`.
    variables: Vec<(String, Value)>,
    out: String,
}

impl State {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), String> {
        nodes.iter().try_for_each(|node| self.node(node, dot))
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<(), String> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.declares.is_empty() {
                    let text =
                        if value.is_null() { print::null(field(pipeline)) } else { print(&value) };
                    self.out.push_str(&text);
                }
            }
            Node::If { pipeline, with, then, otherwise } => {
                let scope = self.variables.len();
                let value = self.pipeline(pipeline, dot)?;
                let branch = if functions::truth(&value) { then } else { otherwise };
                let inner = if *with && functions::truth(&value) { &value } else { dot };
                self.nodes(branch, inner)?;
                self.variables.truncate(scope);
            }
            Node::Range { pipeline, body, otherwise } => {
                self.range(pipeline, body, otherwise, dot)?;
            }
        }
        Ok(())
    }

    fn range(
        &mut self,
        pipeline: &Pipeline,
        body: &[Node],
        otherwise: &[Node],
        dot: &Value,
    ) -> Result<(), String> {
        let plain = Pipeline { declares: Vec::new(), ..pipeline.clone() };
        let items: Vec<(Value, Value)> = match self.pipeline(&plain, dot)? {
            Value::Array(list) => {
                list.into_iter().enumerate().map(|(i, v)| (i.into(), v)).collect()
            }
            Value::Object(map) => map.into_iter().map(|(k, v)| (k.into(), v)).collect(),
            Value::Null => Vec::new(),
            other => {
                let why = format!("range can't iterate over {}", print(&other));
                let first = pipeline.commands.first().map(Vec::as_slice).unwrap_or_default();
                return Err(match first.first() {
                    Some(expr) => failed(expr, first, &why),
                    None => why,
                });
            }
        };
        if items.is_empty() {
            return self.nodes(otherwise, dot);
        }
        for (key, value) in items {
            let scope = self.variables.len();
            match pipeline.declares.as_slice() {
                [] => {}
                [only] => self.variables.push((only.clone(), value.clone())),
                [first, second, ..] => {
                    self.variables.push((first.clone(), key));
                    self.variables.push((second.clone(), value.clone()));
                }
            }
            self.nodes(body, &value)?;
            self.variables.truncate(scope);
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, value, dot)?);
        }
        let value = value.unwrap_or_default();
        for name in &pipeline.declares {
            let known = self.variables.iter_mut().rev().find(|(n, _)| n == name);
            match known {
                Some((_, slot)) if pipeline.assigns => *slot = value.clone(),
                _ => self.variables.push((name.clone(), value.clone())),
            }
        }
        Ok(value)
    }

    fn command(
        &mut self,
        words: &[Expr],
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Value, String> {
        let Some((first, rest)) = words.split_first() else { return Ok(Value::Null) };
        let mut args =
            rest.iter().map(|word| self.operand(word, dot)).collect::<Result<Vec<_>, _>>()?;
        args.extend(piped);
        if let Base::Function(name) = &first.base {
            let value = functions::call(name, &args).map_err(|why| failed(first, words, &why))?;
            return fields(value, first);
        }
        if args.is_empty() {
            return self.operand(first, dot);
        }
        self.method(first, &args, dot)
    }

    /// `.Label "key"`: the one method of docker's list formats that takes an argument.
    fn method(&mut self, expr: &Expr, args: &[Value], dot: &Value) -> Result<Value, String> {
        let (Some(name), [Value::String(key)]) = (expr.fields.last(), args) else {
            return Err(format!(
                ":1:{}: executing \"\": can't give argument to non-function",
                expr.at
            ));
        };
        let labels = dot.get(super::super::format::LABELS);
        match labels {
            // The row of titles: the column is called by the label's key.
            Some(Value::Bool(true)) if name == "Label" => Ok(Value::String(key.clone())),
            Some(labels) if name == "Label" => {
                Ok(labels.get(key).cloned().unwrap_or_else(|| Value::String(String::new())))
            }
            _ => Err(format!(
                ":1:{}: executing \"\" at <.{name}>: {name} is not a method but has arguments",
                expr.at
            )),
        }
    }

    fn operand(&mut self, expr: &Expr, dot: &Value) -> Result<Value, String> {
        let base = match &expr.base {
            Base::Dot => dot.clone(),
            Base::Value(value) => value.clone(),
            Base::Function(name) => functions::call(name, &[])
                .map_err(|why| failed(expr, std::slice::from_ref(expr), &why))?,
            Base::Nested(pipeline) => self.pipeline(pipeline, dot)?,
            Base::Variable(name) => self
                .variables
                .iter()
                .rev()
                .find(|(n, _)| n == name)
                .map(|(_, value)| value.clone())
                .ok_or_else(|| format!(":1: undefined variable \"${name}\""))?,
        };
        fields(base, expr)
    }
}

/// The field that a pipeline shows, if it is no more than that.
fn field(pipeline: &Pipeline) -> Option<&str> {
    match pipeline.commands.as_slice() {
        [command] => match command.as_slice() {
            [Expr { base: Base::Dot | Base::Variable(_), fields, .. }] => {
                fields.last().map(String::as_str)
            }
            _ => None,
        },
        _ => None,
    }
}

/// Takes the fields of an operand, one after the other.
fn fields(mut value: Value, expr: &Expr) -> Result<Value, String> {
    for (i, name) in expr.fields.iter().enumerate() {
        let chain = || expr.fields.get(..=i).unwrap_or_default().join(".");
        let start = || {
            let before: usize = expr.fields.iter().take(i).map(|f| f.len() + 1).sum();
            expr.at + before
        };
        value = match value {
            Value::Object(map) => entry(map, name).ok_or_else(|| {
                format!(
                    ":1:{}: executing \"\" at <.{}>: map has no entry for key \"{name}\"",
                    start(),
                    chain()
                )
            })?,
            Value::Null => {
                return Err(format!(
                    ":1:{}: executing \"\" at <.{}>: nil data; no entry for key \"{name}\"",
                    start(),
                    chain()
                ));
            }
            _ => {
                return Err(format!(
                    ":1:{}: executing \"\" at <.{}>: can't evaluate field {name} in type interface {{}}",
                    start(),
                    chain(),
                ));
            }
        };
    }
    Ok(value)
}

/// A field of a map. Go's names of fields and their names in JSON differ in their capitals (`ID`, `Id`), and both are used; a
/// field that lists do not print stands under a name that begins with a zero byte.
fn entry(mut map: serde_json::Map<String, Value>, name: &str) -> Option<Value> {
    if let Some(value) = map.remove(name) {
        return Some(value);
    }
    let other = map.keys().find(|key| {
        key.strip_prefix('\0') == Some(name)
            || (key.eq_ignore_ascii_case(name) && name.starts_with(char::is_uppercase))
    });
    match other.cloned() {
        Some(other) => map.remove(&other),
        None => print::is_optional(name).then_some(Value::Null),
    }
}

/// A failure of a command, in Go's form: where it stands, its text, and why.
fn failed(first: &Expr, words: &[Expr], why: &str) -> String {
    let text: Vec<String> = words.iter().map(source).collect();
    format!(":1:{}: executing \"\" at <{}>: {why}", first.at, text.join(" "))
}

/// An operand as it was written.
fn source(expr: &Expr) -> String {
    let base = match &expr.base {
        Base::Dot if expr.fields.is_empty() => ".".to_owned(),
        Base::Dot => String::new(),
        Base::Variable(name) => format!("${name}"),
        Base::Function(name) => name.clone(),
        Base::Value(value) => value.to_string(),
        Base::Nested(pipeline) => {
            let commands: Vec<String> = pipeline
                .commands
                .iter()
                .map(|words| words.iter().map(source).collect::<Vec<_>>().join(" "))
                .collect();
            format!("({})", commands.join(" | "))
        }
    };
    expr.fields.iter().fold(base, |text, field| format!("{text}.{field}"))
}

//! From text to a tree.

use super::functions;
use super::lexer::{Placed, Token, tokens};

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Text as it is.
    Text(String),
    /// A pipeline whose value is printed (unless it declares a variable).
    Print(Pipeline),
    /// `if`, or `with` (which also sets the dot).
    If {
        /// The condition.
        pipeline: Pipeline,
        /// Set the dot to its value.
        with: bool,
        /// When it holds.
        then: Vec<Node>,
        /// When it does not.
        otherwise: Vec<Node>,
    },
    /// `range`.
    Range {
        /// What is gone through; may declare an index and a value.
        pipeline: Pipeline,
        /// For each.
        body: Vec<Node>,
        /// When there is nothing.
        otherwise: Vec<Node>,
    },
}

/// `$a, $b := command | command …`
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// Variables that take the value.
    pub declares: Vec<String>,
    /// `=` instead of `:=`.
    pub assigns: bool,
    /// The commands; each gets the value before as its last argument.
    pub commands: Vec<Vec<Expr>>,
}

/// An operand.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// Where the value comes from.
    pub base: Base,
    /// Fields taken of it.
    pub fields: Vec<String>,
    /// Byte offset of its first field (or itself) in the template, for errors.
    pub at: usize,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Base {
    /// The dot.
    Dot,
    /// `$name`; `$` is the data at the start.
    Variable(String),
    /// A function without its arguments, or with them when it stands first in a command.
    Function(String),
    /// A constant.
    Value(serde_json::Value),
    /// `( … )`.
    Nested(Pipeline),
}

enum Piece {
    Text(String),
    Action(Vec<Placed>),
}

/// Parses a template.
pub fn parse(text: &str) -> Result<Vec<Node>, String> {
    let mut pieces = split(text)?.into_iter();
    let (nodes, end) = block(&mut pieces)?;
    match end {
        None => Ok(nodes),
        Some(end) => Err(format!("unexpected {{{{{}}}}}", end.name)),
    }
}

/// Cuts text and actions apart, and trims spaces where actions ask for it.
fn split(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim_next = false;
    while let Some(start) = rest.find("{{") {
        let (before, after) = rest.split_at(start);
        let action_offset = text.len() - after.len() + 2;
        let inside = after.get(2..).unwrap_or_default();
        let end = action_end(inside).ok_or("unclosed action")?;
        let mut action = inside.get(..end).unwrap_or_default();
        let mut before = if trim_next { before.trim_start() } else { before };
        if let Some(trimmed) = action.strip_prefix("- ") {
            action = trimmed;
            before = before.trim_end();
        }
        trim_next = action.ends_with(" -");
        action = action.strip_suffix(" -").unwrap_or(action);
        pieces.push(Piece::Text(before.to_owned()));
        if !action.trim_start().starts_with("/*") {
            let shift = inside.find(action).unwrap_or(0);
            pieces.push(Piece::Action(tokens(action, action_offset + shift)?));
        }
        rest = inside.get(end + 2..).unwrap_or_default();
    }
    let rest = if trim_next { rest.trim_start() } else { rest };
    pieces.push(Piece::Text(rest.to_owned()));
    pieces.retain(|p| !matches!(p, Piece::Text(t) if t.is_empty()));
    Ok(pieces)
}

/// Where `}}` ends an action, outside strings.
fn action_end(inside: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (i, c) in inside.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(q) if c == '\\' && q != '`' => escaped = true,
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '`') => quote = Some(c),
            None if inside.get(i..).is_some_and(|t| t.starts_with("}}")) => return Some(i),
            None => {}
        }
    }
    None
}

/// How a block ended: `end`, `else`, or `else if …`.
struct End {
    name: &'static str,
    rest: Vec<Placed>,
}

fn block(pieces: &mut std::vec::IntoIter<Piece>) -> Result<(Vec<Node>, Option<End>), String> {
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let tokens = match piece {
            Piece::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Piece::Action(tokens) => tokens,
        };
        let keyword = match tokens.first() {
            Some((Token::Word(word), _)) => word.clone(),
            None => return Err("missing value for command".to_owned()),
            _ => String::new(),
        };
        let rest = || tokens.get(1..).unwrap_or_default().to_vec();
        match keyword.as_str() {
            "end" => return Ok((nodes, Some(End { name: "end", rest: Vec::new() }))),
            "else" => return Ok((nodes, Some(End { name: "else", rest: rest() }))),
            "if" | "with" | "range" => nodes.push(control(&keyword, &rest(), pieces)?),
            _ => nodes.push(Node::Print(pipeline(&tokens)?)),
        }
    }
    Ok((nodes, None))
}

fn control(
    keyword: &str,
    tokens: &[Placed],
    pieces: &mut std::vec::IntoIter<Piece>,
) -> Result<Node, String> {
    let pipeline = pipeline(tokens)?;
    let (then, end) = block(pieces)?;
    let otherwise = match end {
        None => return Err("unexpected EOF".to_owned()),
        Some(End { name: "end", .. }) => Vec::new(),
        Some(End { rest, .. }) => otherwise(rest, pieces)?,
    };
    Ok(match keyword {
        "range" => Node::Range { pipeline, body: then, otherwise },
        _ => Node::If { pipeline, with: keyword == "with", then, otherwise },
    })
}

fn otherwise(
    rest: Vec<Placed>,
    pieces: &mut std::vec::IntoIter<Piece>,
) -> Result<Vec<Node>, String> {
    let mut words = rest.into_iter().skip_while(|(t, _)| *t == Token::Space);
    if let Some((Token::Word(word), _)) = words.next() {
        if word == "if" || word == "with" {
            let condition: Vec<Placed> = words.collect();
            return Ok(vec![control(&word, &condition, pieces)?]);
        }
        return Err(format!("unexpected <{word}> in else"));
    }
    match block(pieces)? {
        (nodes, Some(End { name: "end", .. })) => Ok(nodes),
        _ => Err("expected end; found {{else}}".to_owned()),
    }
}

fn pipeline(tokens: &[Placed]) -> Result<Pipeline, String> {
    let mut parser = Parser { tokens, next: 0 };
    let pipeline = parser.pipeline()?;
    match parser.peek() {
        None => Ok(pipeline),
        Some(token) => Err(format!("unexpected {token} in command")),
    }
}

struct Parser<'t> {
    tokens: &'t [Placed],
    next: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(token, _)| token)
    }

    fn skip_space(&mut self) {
        while self.peek() == Some(&Token::Space) {
            self.next += 1;
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline, String> {
        let (declares, assigns) = self.declarations();
        let mut commands = vec![self.command()?];
        while self.peek() == Some(&Token::Pipe) {
            self.next += 1;
            commands.push(self.command()?);
        }
        Ok(Pipeline { declares, assigns, commands })
    }

    /// `$i, $e :=` if that is what comes.
    fn declarations(&mut self) -> (Vec<String>, bool) {
        let start = self.next;
        let mut names = Vec::new();
        loop {
            self.skip_space();
            let Some(Token::Variable(name)) = self.peek().cloned() else { break };
            names.push(name);
            self.next += 1;
            self.skip_space();
            match self.peek() {
                Some(Token::Comma) => self.next += 1,
                Some(token @ (Token::Declare | Token::Assign)) => {
                    let assigns = *token == Token::Assign;
                    self.next += 1;
                    return (names, assigns);
                }
                _ => break,
            }
        }
        self.next = start;
        (Vec::new(), false)
    }

    fn command(&mut self) -> Result<Vec<Expr>, String> {
        let mut words = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                None | Some(Token::Pipe | Token::Close) => break,
                _ => words.push(self.operand()?),
            }
        }
        if words.is_empty() {
            return Err("missing value for command".to_owned());
        }
        Ok(words)
    }

    fn operand(&mut self) -> Result<Expr, String> {
        let Some((token, at)) = self.tokens.get(self.next).cloned() else {
            return Err("unexpected end of action".to_owned());
        };
        self.next += 1;
        let mut fields = Vec::new();
        let base = match token {
            Token::Dot => Base::Dot,
            Token::Field(name) => {
                fields.push(name);
                Base::Dot
            }
            Token::Variable(name) => Base::Variable(name),
            Token::Text(text) => Base::Value(text.into()),
            Token::Int(n) => Base::Value(n.into()),
            Token::Float(n) => Base::Value(n.into()),
            Token::Word(word) => match word.as_str() {
                "true" => Base::Value(true.into()),
                "false" => Base::Value(false.into()),
                "nil" => Base::Value(serde_json::Value::Null),
                _ if functions::NAMES.contains(&word.as_str()) => Base::Function(word),
                _ => return Err(format!("function \"{word}\" not defined")),
            },
            Token::Open => {
                let inner = self.pipeline()?;
                if self.peek() != Some(&Token::Close) {
                    return Err("unclosed left paren".to_owned());
                }
                self.next += 1;
                Base::Nested(inner)
            }
            other => return Err(format!("unexpected {other} in operand")),
        };
        while let Some(Token::Field(name)) = self.peek() {
            fields.push(name.clone());
            self.next += 1;
        }
        Ok(Expr { base, fields, at })
    }
}

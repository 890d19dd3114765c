//! Functions of templates.

use std::cmp::Ordering;

use serde_json::Value;

use super::print::{json, print, quote};

/// All functions: a name that is none of them makes a template invalid before it is filled.
pub const NAMES: &[&str] = &[
    "and", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not",
    "or", "pad", "print", "printf", "println", "slice", "split", "title", "truncate", "upper",
];

/// Calls a function; the error says only why.
pub fn call(name: &str, args: &[Value]) -> Result<Value, String> {
    let text = |i: usize| args.get(i).map(print).unwrap_or_default();
    let number = |i: usize| args.get(i).and_then(Value::as_i64).unwrap_or_default();
    match name {
        "json" => one(name, args).map(|v| json(v).into()),
        "lower" => one(name, args).map(|v| print(v).to_lowercase().into()),
        "upper" => one(name, args).map(|v| print(v).to_uppercase().into()),
        "title" => one(name, args).map(|v| title(&print(v)).into()),
        "join" => match args {
            [Value::Array(list), separator] => {
                let words: Vec<String> = list.iter().map(print).collect();
                Ok(words.join(&print(separator)).into())
            }
            [Value::Null, _] => Ok("".into()),
            _ => Err(wrong(name, "a list and a separator")),
        },
        "split" => Ok(text(0).split(text(1).as_str()).map(str::to_owned).collect()),
        "pad" => Ok(pad(&text(0), number(1), number(2)).into()),
        "truncate" => {
            let limit = usize::try_from(number(1)).unwrap_or_default();
            Ok(text(0).chars().take(limit).collect::<String>().into())
        }
        "len" => length(one(name, args)?),
        "index" => index(args),
        "slice" => slice(args),
        "print" => Ok(args.iter().map(print).collect::<String>().into()),
        "println" => Ok((args.iter().map(print).collect::<Vec<_>>().join(" ") + "\n").into()),
        "printf" => printf(args).map(Value::from),
        "eq" => compare(args, |o| o == Ordering::Equal),
        "ne" => compare(args, |o| o != Ordering::Equal),
        "lt" => compare(args, |o| o == Ordering::Less),
        "le" => compare(args, |o| o != Ordering::Greater),
        "gt" => compare(args, |o| o == Ordering::Greater),
        "ge" => compare(args, |o| o != Ordering::Less),
        "and" => Ok(pick(args, |v| !truth(v))),
        "or" => Ok(pick(args, truth)),
        "not" => one(name, args).map(|v| (!truth(v)).into()),
        _ => Err(format!("function \"{name}\" not defined")),
    }
}

/// Whether a value counts as true.
pub fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Go's name of a value's type.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn one<'a>(name: &str, args: &'a [Value]) -> Result<&'a Value, String> {
    match args {
        [only] => Ok(only),
        _ => Err(format!("wrong number of args for {name}: want 1 got {}", args.len())),
    }
}

fn wrong(name: &str, what: &str) -> String {
    format!("error calling {name}: it takes {what}")
}

/// The first value that decides, else the last.
fn pick(args: &[Value], decides: impl Fn(&Value) -> bool) -> Value {
    args.iter().find(|v| decides(v)).or(args.last()).cloned().unwrap_or_default()
}

fn title(text: &str) -> String {
    let mut start = true;
    text.chars()
        .map(|c| {
            let c = if start { c.to_ascii_uppercase() } else { c };
            start = !c.is_alphanumeric();
            c
        })
        .collect()
}

fn pad(text: &str, before: i64, after: i64) -> String {
    if text.is_empty() {
        return String::new();
    }
    let spaces = |n: i64| " ".repeat(usize::try_from(n).unwrap_or_default());
    format!("{}{text}{}", spaces(before), spaces(after))
}

fn length(value: &Value) -> Result<Value, String> {
    match value {
        Value::String(s) => Ok(s.len().into()),
        Value::Array(list) => Ok(list.len().into()),
        Value::Object(map) => Ok(map.len().into()),
        Value::Null => Ok(0.into()),
        other => Err(format!("error calling len: len of type {}", type_name(other))),
    }
}

fn index(args: &[Value]) -> Result<Value, String> {
    let Some((first, keys)) = args.split_first() else {
        return Err(wrong("index", "a value and keys"));
    };
    let failed = |why: String| Err(format!("error calling index: {why}"));
    let mut value = first.clone();
    for key in keys {
        value = match (&value, key) {
            (Value::Array(list), key) => {
                let i = key.as_i64().and_then(|i| usize::try_from(i).ok());
                match i.and_then(|i| list.get(i)) {
                    Some(item) => item.clone(),
                    None => return failed(format!("index out of range: {}", print(key))),
                }
            }
            // A key that is not there gives Go's zero value, which prints as nothing.
            (Value::Object(map), key) => {
                map.get(&print(key)).cloned().unwrap_or_else(|| Value::String(String::new()))
            }
            (Value::Null, _) => return failed("index of untyped nil".to_owned()),
            (other, _) => return failed(format!("can't index item of type {}", type_name(other))),
        };
    }
    Ok(value)
}

fn slice(args: &[Value]) -> Result<Value, String> {
    let bound = |i: usize, default: usize| match args.get(i) {
        None => Some(default),
        Some(n) => n.as_i64().and_then(|n| usize::try_from(n).ok()),
    };
    let sliced = match args.first() {
        Some(Value::String(s)) => {
            bound(1, 0).zip(bound(2, s.len())).and_then(|(a, b)| s.get(a..b)).map(Value::from)
        }
        Some(Value::Array(list)) => bound(1, 0)
            .zip(bound(2, list.len()))
            .and_then(|(a, b)| list.get(a..b))
            .map(|part| part.to_vec().into()),
        _ => None,
    };
    sliced.ok_or_else(|| wrong("slice", "a string or list and bounds inside it"))
}

fn compare(args: &[Value], wanted: impl Fn(Ordering) -> bool) -> Result<Value, String> {
    let Some((first, rest)) = args.split_first().filter(|(_, rest)| !rest.is_empty()) else {
        return Err("missing argument for comparison".to_owned());
    };
    let order = |other: &Value| match (first, other) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Less)
        }
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (a, b) if a == b => Ordering::Equal,
        (a, b) => print(a).cmp(&print(b)),
    };
    Ok(rest.iter().any(|other| wanted(order(other))).into())
}

/// The verbs that formats use: `%s`, `%v`, `%d`, `%q`, `%t`, `%x`, `%f`, with flags and widths.
fn printf(args: &[Value]) -> Result<String, String> {
    let Some((Value::String(format), mut rest)) = args.split_first() else {
        return Err(wrong("printf", "a format"));
    };
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut options = String::new();
        while let Some(o) = chars.next_if(|o| matches!(o, '-' | '+' | '#' | ' ' | '.' | '0'..='9'))
        {
            options.push(o);
        }
        let verb = chars.next().unwrap_or('%');
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some((value, tail)) = rest.split_first() else {
            out.push_str(&format!("%!{verb}(MISSING)"));
            continue;
        };
        rest = tail;
        out.push_str(&formatted(&options, verb, value));
    }
    Ok(out)
}

fn formatted(options: &str, verb: char, value: &Value) -> String {
    let left = options.starts_with('-');
    let zero = options.starts_with('0');
    let (width, precision) = match options.trim_start_matches(['-', '+', '#', ' ']).split_once('.')
    {
        Some((width, precision)) => (width, precision.parse::<usize>().ok()),
        None => (options.trim_start_matches(['-', '+', '#', ' ']), None),
    };
    let width: usize = width.parse().unwrap_or(0);
    let text = match (verb, value) {
        ('q', value) => quote(&print(value)),
        ('x', Value::Number(n)) => n.as_i64().map_or_else(|| n.to_string(), |n| format!("{n:x}")),
        ('f', Value::Number(n)) => {
            format!("{:.*}", precision.unwrap_or(6), n.as_f64().unwrap_or_default())
        }
        ('s', value) => match precision {
            Some(limit) => print(value).chars().take(limit).collect(),
            None => print(value),
        },
        (_, value) => print(value),
    };
    let missing = width.saturating_sub(text.chars().count());
    match (left, zero) {
        (true, _) => text + &" ".repeat(missing),
        (false, true) => "0".repeat(missing) + &text,
        (false, false) => " ".repeat(missing) + &text,
    }
}

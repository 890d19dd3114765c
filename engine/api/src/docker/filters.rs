//! The `filters` parameter: `{"label":["a=b"]}` or, from older clients, `{"label":{"a=b":true}}`.

use std::collections::BTreeMap;

use bryo_core::model::Filters;
use serde_json::Value;

use super::error::{ApiError, Result};

/// Parses either encoding; nothing gives no filters.
pub fn parse(text: &str) -> Result<Filters> {
    if text.trim().is_empty() {
        return Ok(Filters::default());
    }
    let invalid = |why: String| ApiError::bad_request(format!("invalid filter: {why}"));
    let value: Value = serde_json::from_str(text).map_err(|e| invalid(e.to_string()))?;
    let Value::Object(keys) = value else {
        return Err(invalid("expected a JSON object".into()));
    };
    let mut filters = BTreeMap::new();
    for (key, values) in keys {
        let values = match values {
            Value::Array(list) => list
                .into_iter()
                .map(|v| match v {
                    Value::String(text) => Ok(text),
                    other => {
                        Err(invalid(format!("'{key}' has a value that is not a string: {other}")))
                    }
                })
                .collect::<Result<Vec<_>>>()?,
            Value::Object(map) => map.into_iter().map(|(value, _)| value).collect(),
            Value::Null => Vec::new(),
            other => return Err(invalid(format!("'{key}' is neither a list nor a map: {other}"))),
        };
        if !values.is_empty() {
            filters.insert(key, values);
        }
    }
    Ok(Filters(filters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_encodings_are_the_same() {
        let new = parse(r#"{"label":["a=b","c"],"status":["exited"]}"#).unwrap();
        let old = parse(r#"{"label":{"a=b":true,"c":true},"status":{"exited":true}}"#).unwrap();
        assert_eq!(new, old);
        assert_eq!(new.get("label"), ["a=b", "c"]);
        assert_eq!(parse("").unwrap(), Filters::default());
        assert_eq!(parse("{}").unwrap(), Filters::default());
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["x", "[]", r#"{"label":1}"#, r#"{"label":[1]}"#] {
            assert_eq!(parse(text).unwrap_err().status(), 400, "{text}");
        }
    }
}

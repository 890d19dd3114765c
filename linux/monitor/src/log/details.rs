//! The text that `logs --details` puts in front of a record: `key=value,key=value `, each part escaped as in a query.

use std::collections::BTreeMap;

/// Appends the attributes and a space (the space also without attributes, as Docker does).
pub(super) fn put(attrs: &BTreeMap<String, String>, out: &mut Vec<u8>) {
    for (i, (key, value)) in attrs.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        query_escape(key, out);
        out.push(b'=');
        query_escape(value, out);
    }
    out.push(b' ');
}

/// Go's `url.QueryEscape`.
fn query_escape(text: &str, out: &mut Vec<u8>) {
    for &byte in text.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte),
            b' ' => out.push(b'+'),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn attributes_are_sorted_and_escaped() {
        let attrs = [("z", "a b"), ("com.x", "1,2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let mut out = Vec::new();
        super::put(&attrs.into(), &mut out);
        assert_eq!(out, b"com.x=1%2C2,z=a+b ");
    }
}

//! Docker's json-file lines: `{"log":"text\n","stream":"stdout","attrs":{…},"time":"2006-01-02T15:04:05.999999999Z"}`.
//!
//! Encoding is byte for byte what Docker's json-file driver writes: `<`, `>`, `&`, U+2028 and U+2029 are escaped
//! though JSON does not ask for it, control characters but `\n` and `\r` become `\u00xx`, bytes that are not UTF-8
//! become `\ufffd`, zeros at the end of the time are left out. Decoding takes a short way through lines of
//! exactly this shape and a JSON parser for everything else.

use super::details;
use super::time;
use super::{ReadOptions, Stream};

/// Bytes looked at together for something to escape; the loop over them becomes vector code.
const CHUNK: usize = 32;

/// The constant parts of a container's lines.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// `","stream":"stdout",` … up to the time's first digit.
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Encoder {
    /// An encoder that repeats `attrs` in every line.
    pub fn new(attrs: &std::collections::BTreeMap<String, String>) -> Encoder {
        let mut middle = Vec::new();
        if !attrs.is_empty() {
            middle.extend_from_slice(b",\"attrs\":{");
            for (i, (key, value)) in attrs.iter().enumerate() {
                middle.extend_from_slice(if i == 0 { b"\"" } else { b",\"" });
                escape(key.as_bytes(), &mut middle);
                middle.extend_from_slice(b"\":\"");
                escape(value.as_bytes(), &mut middle);
                middle.push(b'"');
            }
            middle.push(b'}');
        }
        let part = |name: &str| {
            let head = format!("\"stream\":\"{name}\"").into_bytes();
            [&head[..], &middle, b",\"time\":\""].concat()
        };
        Encoder { stdout: part("stdout"), stderr: part("stderr") }
    }

    /// Appends one line: `text`, and a line break inside the string if `newline`. `time` is the text of the time.
    pub fn line(&self, stream: Stream, text: &[u8], newline: bool, time: &[u8], out: &mut Vec<u8>) {
        out.push(b'{');
        if newline || !text.is_empty() {
            out.extend_from_slice(b"\"log\":\"");
            escape(text, out);
            out.extend_from_slice(if newline { b"\\n\"," } else { b"\"," });
        }
        out.extend_from_slice(match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        });
        out.extend_from_slice(time);
        out.extend_from_slice(b"\"}\n");
    }
}

/// Appends `text` as the inside of a JSON string, as Docker escapes it.
pub fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while !rest.is_empty() {
        let plain = plain_prefix(rest);
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        let Some(&byte) = rest.first() else { break };
        if byte >= 0x80 {
            rest = escape_wide(rest, out);
            continue;
        }
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            _ => out.extend_from_slice(&control_escape(byte)),
        }
        rest = &rest[1..];
    }
}

fn control_escape(byte: u8) -> [u8; 6] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| HEX[usize::from(n & 15)];
    [b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte)]
}

/// Copies the run of non-ASCII text at the start of `rest`; gives what follows it.
fn escape_wide<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let end = rest.iter().position(u8::is_ascii).unwrap_or(rest.len());
    for chunk in rest[..end].utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\u{2028}' => out.extend_from_slice(b"\\u2028"),
                '\u{2029}' => out.extend_from_slice(b"\\u2029"),
                _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        // Go replaces each byte of a bad sequence by itself, not the sequence as a whole.
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    &rest[end..]
}

/// How many bytes at the start need no escape.
fn plain_prefix(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(chunk) = text.get(at..at + CHUNK) {
        if chunk.iter().fold(false, |any, &b| any | is_special(b)) {
            break;
        }
        at += CHUNK;
    }
    let rest = &text[at..];
    at + rest.iter().position(|&b| is_special(b)).unwrap_or(rest.len())
}

#[inline(always)]
fn is_special(b: u8) -> bool {
    // Without short cuts, so that the compiler can look at many bytes at once.
    !(0x20..0x80).contains(&b)
        | (b == b'"')
        | (b == b'\\')
        | (b == b'<')
        | (b == b'>')
        | (b == b'&')
}

/// What a decoder did with one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoded {
    /// A record of this stream was appended.
    Record(Stream),
    /// The line is not wanted (another stream, too old) or is no record.
    Skipped,
    /// The line is younger than asked for: the reading ends.
    Past,
}

/// Decodes one line (without its line break) and appends the record to `out` as the options ask, with the frame header.
pub(super) fn decode(line: &[u8], options: &ReadOptions, out: &mut Vec<u8>) -> Decoded {
    let start = out.len();
    let decoded = if options.details {
        decode_any(line, options, out)
    } else {
        decode_common(line, options, out).unwrap_or_else(|| {
            out.truncate(start);
            decode_any(line, options, out)
        })
    };
    match decoded {
        Decoded::Record(stream) if options.framed => {
            let header = stream.frame_header(out.len() - start - 8);
            out[start..start + 8].copy_from_slice(&header);
        }
        Decoded::Record(_) => {}
        _ => out.truncate(start),
    }
    decoded
}

/// The short way: `{"log":"…","stream":"…"[,"attrs":{…}],"time":"…"}`; `None` if the line looks different.
fn decode_common(line: &[u8], options: &ReadOptions, out: &mut Vec<u8>) -> Option<Decoded> {
    let text = line.strip_prefix(b"{\"log\":\"")?;
    // The time comes last and its text has neither quotes nor backslashes.
    let body = line.strip_suffix(b"\"}")?;
    let time_start = memchr::memrchr(b'"', body)? + 1;
    let time = &body[time_start..];
    if !body[..time_start].ends_with(b",\"time\":\"") {
        return None;
    }
    if let Some(decoded) = check_time(time, options)? {
        return Some(decoded);
    }
    put_prefix(time, options, out)?;
    let rest = unescape(text, out)?;
    let rest = rest.strip_prefix(b",\"stream\":\"std")?;
    let stream = match rest.get(..4)? {
        b"out\"" => Stream::Stdout,
        b"err\"" => Stream::Stderr,
        _ => return None,
    };
    Some(wanted(stream, options))
}

/// Room for the frame header, then the time if it is asked for.
fn put_prefix(time: &[u8], options: &ReadOptions, out: &mut Vec<u8>) -> Option<()> {
    if options.framed {
        out.extend_from_slice(&[0; 8]);
    }
    if options.timestamps {
        out.extend_from_slice(&time::widen(time)?);
        out.push(b' ');
    }
    Some(())
}

/// Whether the time ends or skips the record; the outer `None`: it is no time.
fn check_time(text: &[u8], options: &ReadOptions) -> Option<Option<Decoded>> {
    if options.since.is_none() && options.until.is_none() {
        return Some(None);
    }
    let time = time::parse(text)?;
    if options.until.is_some_and(|until| time > until) {
        return Some(Some(Decoded::Past));
    }
    if options.since.is_some_and(|since| time < since) {
        return Some(Some(Decoded::Skipped));
    }
    Some(None)
}

fn wanted(stream: Stream, options: &ReadOptions) -> Decoded {
    let asked = match stream {
        Stream::Stdout => options.stdout,
        Stream::Stderr => options.stderr,
    };
    if asked { Decoded::Record(stream) } else { Decoded::Skipped }
}

/// Appends a JSON string's text up to its closing quote; gives what follows the quote.
/// `None` for escapes other than those that [`escape`] writes.
fn unescape<'a>(mut text: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let special = memchr::memchr2(b'"', b'\\', text)?;
        out.extend_from_slice(&text[..special]);
        if text[special] == b'"' {
            return Some(&text[special + 1..]);
        }
        let escape = &text[special + 1..];
        let (byte, length) = match escape.first()? {
            b'n' => (b'\n', 1),
            b'r' => (b'\r', 1),
            b't' => (b'\t', 1),
            b'"' => (b'"', 1),
            b'\\' => (b'\\', 1),
            b'/' => (b'/', 1),
            b'u' => (hex_byte(escape.get(1..5)?)?, 5),
            _ => return None,
        };
        out.push(byte);
        text = &escape[length..];
    }
}

/// The value of `00xx`, if it is ASCII.
fn hex_byte(digits: &[u8]) -> Option<u8> {
    let value = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (high, low) = (value(*digits.get(2)?)?, value(*digits.get(3)?)?);
    (digits.starts_with(b"00") && high < 8).then_some(high << 4 | low)
}

/// Any JSON object with these members, in any order; anything else is skipped.
fn decode_any(line: &[u8], options: &ReadOptions, out: &mut Vec<u8>) -> Decoded {
    #[derive(serde::Deserialize)]
    struct Line {
        #[serde(default)]
        log: String,
        #[serde(default)]
        stream: String,
        #[serde(default)]
        attrs: std::collections::BTreeMap<String, String>,
        #[serde(default)]
        time: String,
    }
    let Ok(line) = serde_json::from_slice::<Line>(line) else { return Decoded::Skipped };
    let stream = if line.stream == "stderr" { Stream::Stderr } else { Stream::Stdout };
    match check_time(line.time.as_bytes(), options) {
        Some(None) => {}
        Some(Some(decoded)) => return decoded,
        None => return Decoded::Skipped,
    }
    if put_prefix(line.time.as_bytes(), options, out).is_none() {
        return Decoded::Skipped;
    }
    if options.details {
        details::put(&line.attrs, out);
    }
    out.extend_from_slice(line.log.as_bytes());
    wanted(stream, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &[u8], newline: bool) -> String {
        let mut out = Vec::new();
        let encoder = Encoder::new(&Default::default());
        encoder.line(Stream::Stdout, text, newline, b"2026-01-02T03:04:05.6Z", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_dockers_byte_for_byte() {
        assert_eq!(
            line(b"a \"b\" \\ \t \x1b[0m \r", true),
            "{\"log\":\"a \\\"b\\\" \\\\ \\u0009 \\u001b[0m \\r\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05.6Z\"}\n"
        );
        assert_eq!(
            line("<&> é \u{2028}\u{7f}".as_bytes(), false),
            "{\"log\":\"\\u003c\\u0026\\u003e é \\u2028\u{7f}\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05.6Z\"}\n"
        );
        assert!(
            line(b"x\xff\xe2\x82y", true).starts_with("{\"log\":\"x\\ufffd\\ufffd\\ufffdy\\n\"")
        );
    }

    #[test]
    fn attributes_stand_between_stream_and_time() {
        let attrs = [("a", "1"), ("b", "<")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let mut out = Vec::new();
        Encoder::new(&attrs.into()).line(Stream::Stderr, b"x", true, b"T", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"log\":\"x\\n\",\"stream\":\"stderr\",\"attrs\":{\"a\":\"1\",\"b\":\"\\u003c\"},\"time\":\"T\"}\n"
        );
    }

    #[test]
    fn every_text_comes_back_as_a_json_parser_reads_it() {
        let all = ReadOptions { stdout: true, stderr: true, ..Default::default() };
        let texts: [&[u8]; 6] = [
            b"",
            b"plain",
            b"a long line without anything special in it, longer than one chunk",
            "mixed \u{1F600} \u{2029} <tag> \"q\" \\ \0 \x1f".as_bytes(),
            b"bad \xf0\x9f\x98",
            b"\xff\xfe\xfd",
        ];
        for text in texts {
            let encoded = line(text, true);
            let parsed: serde_json::Value = serde_json::from_str(&encoded).unwrap();
            let mut out = Vec::new();
            assert_eq!(
                decode(encoded.trim_end().as_bytes(), &all, &mut out),
                Decoded::Record(Stream::Stdout)
            );
            assert_eq!(parsed["log"].as_str().unwrap().as_bytes(), out);
        }
    }

    #[test]
    fn other_writers_lines_are_understood_and_torn_ones_skipped() {
        let options =
            ReadOptions { stdout: true, stderr: true, timestamps: true, ..Default::default() };
        let mut out = Vec::new();
        let line = br#"{"time":"2026-01-02T03:04:05+01:00","stream":"stderr","log":"caf\u00e9\n"}"#;
        assert_eq!(decode(line, &options, &mut out), Decoded::Record(Stream::Stderr));
        assert_eq!(out, "2026-01-02T02:04:05.000000000Z café\n".as_bytes());
        for torn in [
            &br#"{"log":"x","stre"#[..],
            b"",
            b"null",
            br#"{"log":"x\n","stream":"stdout","time":"bad"}"#,
        ] {
            let mut out = Vec::new();
            assert_eq!(decode(torn, &options, &mut out), Decoded::Skipped);
            assert!(out.is_empty());
        }
    }

    #[test]
    fn since_and_until_choose_by_time() {
        let at = time::parse(b"2026-01-02T03:04:05.6Z").unwrap();
        let encoded = line(b"x", true);
        let read = |since, until| {
            let options = ReadOptions { stdout: true, since, until, ..Default::default() };
            decode(encoded.trim_end().as_bytes(), &options, &mut Vec::new())
        };
        assert_eq!(read(Some(at), Some(at)), Decoded::Record(Stream::Stdout));
        assert_eq!(read(Some(at + 1), None), Decoded::Skipped);
        assert_eq!(read(None, Some(at - 1)), Decoded::Past);
    }
}

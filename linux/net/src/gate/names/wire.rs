//! DNS messages: a question is read, an answer is written. The format is `hickory-proto`'s business; it refuses what is
//! truncated, oversized or compressed in circles.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::table::Table;

/// The longest question that is read, in bytes. Longer ones are no questions.
pub const QUESTION: usize = 4096;
/// How long an answer may be believed, in seconds; Docker's.
const TTL: u32 = 600;
/// The most that is sent in one datagram (DNS flag day 2020), whatever the asker would take.
const DATAGRAM: u16 = 1232;
/// A message's head.
const HEAD: usize = 12;

/// What is to be done with a packet.
#[derive(Debug)]
pub enum Act {
    /// Send this back.
    Answer(Vec<u8>),
    /// Ask a server.
    PassOn,
    /// Nothing: it is no question.
    Ignore,
}

/// How an answer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In one datagram.
    Udp,
    /// With no bound but the format's.
    Tcp,
}

/// Looks at a packet of `asker`. `turn` moves through the addresses of names that have several.
pub fn act(table: &Table, asker: &str, packet: &[u8], transport: Transport, turn: usize) -> Act {
    let Ok(question) = Message::from_vec(packet) else {
        return match failure(packet, ResponseCode::FormErr) {
            Some(answer) => Act::Answer(answer),
            None => Act::Ignore,
        };
    };
    if question.message_type() != MessageType::Query {
        return Act::Ignore;
    }
    let [query] = question.queries() else {
        return packed(reply(&question, ResponseCode::FormErr), usize::MAX);
    };
    if question.op_code() != OpCode::Query {
        return packed(reply(&question, ResponseCode::NotImp), usize::MAX);
    }
    match answers(table, asker, query, turn) {
        Some(records) => {
            let mut answer = reply(&question, ResponseCode::NoError);
            answer.insert_answers(records);
            packed(answer, room(&question, transport))
        }
        None => Act::PassOn,
    }
}

/// The records for a question; none: it is not about the asker's networks.
fn answers(table: &Table, asker: &str, query: &Query, turn: usize) -> Option<Vec<Record>> {
    if query.query_class() != DNSClass::IN {
        return None;
    }
    let (name, kind) = (query.name(), query.query_type());
    if kind == RecordType::PTR {
        let address = name.parse_arpa_name().ok()?;
        let whole = address.prefix_len() == address.max_prefix_len();
        let found = table.name_of(asker, address.addr()).filter(|_| whole)?;
        let target = Name::from_ascii(format!("{found}.")).ok()?;
        return Some(vec![Record::from_rdata(name.clone(), TTL, RData::PTR(PTR(target)))]);
    }
    let mut text = name.to_ascii();
    text.make_ascii_lowercase();
    let all = table.addresses(asker, text.strip_suffix('.').unwrap_or(&text))?;
    let wanted = |ip: &IpAddr| match kind {
        RecordType::A => ip.is_ipv4(),
        RecordType::AAAA => ip.is_ipv6(),
        other => other == RecordType::ANY,
    };
    // A name that exists and has no such record is an empty answer, never another server's.
    let mut found: Vec<IpAddr> = all.into_iter().filter(wanted).collect();
    let first = turn.checked_rem(found.len()).unwrap_or(0);
    found.rotate_left(first);
    Some(found.into_iter().map(|ip| Record::from_rdata(name.clone(), TTL, data(ip))).collect())
}

fn data(ip: IpAddr) -> RData {
    match ip {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    }
}

fn reply(question: &Message, code: ResponseCode) -> Message {
    let mut answer = Message::new();
    answer
        .set_id(question.id())
        .set_message_type(MessageType::Response)
        .set_op_code(question.op_code())
        .set_recursion_desired(question.recursion_desired())
        .set_recursion_available(true)
        .set_response_code(code)
        .add_queries(question.queries().to_vec());
    if question.extensions().is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(DATAGRAM);
        answer.set_edns(edns);
    }
    answer
}

/// How long the answer to a question may be.
fn room(question: &Message, transport: Transport) -> usize {
    match transport {
        // Without EDNS this is 512.
        Transport::Udp => usize::from(question.max_payload().clamp(512, DATAGRAM)),
        Transport::Tcp => usize::from(u16::MAX),
    }
}

/// The bytes of an answer; what does not fit is left out and said to be missing.
fn packed(mut answer: Message, room: usize) -> Act {
    loop {
        let Ok(bytes) = answer.to_vec() else { return Act::Ignore };
        let records = answer.answers().len();
        if bytes.len() <= room || records == 0 {
            return Act::Answer(bytes);
        }
        // All records are of one size.
        let each = (bytes.len() / records).max(1);
        let over = (bytes.len() - room).div_ceil(each).max(1);
        let mut kept = answer.take_answers();
        kept.truncate(records.saturating_sub(over));
        answer.insert_answers(kept);
        answer.set_truncated(true);
    }
}

/// The refusal of a packet that need not be readable beyond its head. None: it is no question.
fn failure(packet: &[u8], code: ResponseCode) -> Option<Vec<u8>> {
    let head: [u8; HEAD] = packet.get(..HEAD)?.try_into().ok()?;
    if head[2] & 0x80 != 0 {
        return None;
    }
    let mut answer = Message::new();
    answer
        .set_id(u16::from_be_bytes([head[0], head[1]]))
        .set_message_type(MessageType::Response)
        .set_response_code(code);
    answer.to_vec().ok()
}

/// "The servers do not answer".
pub fn no_server(packet: &[u8]) -> Option<Vec<u8>> {
    let question = Message::from_vec(packet).ok()?;
    reply(&question, ResponseCode::ServFail).to_vec().ok()
}

/// The packet answers the question: it is an answer, and has its number and, where it repeats it, its question.
pub fn belongs(answer: &[u8], question: &[u8]) -> bool {
    let (Some(a), Some(q)) = (answer.get(..HEAD), question.get(..HEAD)) else { return false };
    if a[..2] != q[..2] || a[2] & 0x80 == 0 {
        return false;
    }
    let end = question_end(question);
    let (theirs, ours) = (answer.get(HEAD..end), question.get(HEAD..end));
    // A refusal may leave the question out.
    a[4..6] == [0, 0] || theirs.zip(ours).is_some_and(|(t, o)| t.eq_ignore_ascii_case(o))
}

/// Where the one question of a packet that was read before ends.
fn question_end(packet: &[u8]) -> usize {
    let mut at = HEAD;
    while let Some(length) = packet.get(at).copied().filter(|l| *l != 0) {
        at += 1 + usize::from(length);
    }
    (at + 5).min(packet.len())
}

/// The server could not or would not answer: another may.
pub fn is_refusal(answer: &[u8]) -> bool {
    let code = answer.get(3).map(|flags| flags & 0x0f);
    // SERVFAIL, NOTIMP and REFUSED.
    matches!(code, Some(2 | 4 | 5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Names, Place};

    const ASKER: &str = "aaaa";

    fn table(count: u8) -> Table {
        let mut table = Table::default();
        for n in 0..count {
            table.set(Names {
                container: if n == 0 { ASKER.into() } else { format!("bbbb{n}") },
                places: vec![Place {
                    network: "net".into(),
                    addresses: vec![IpAddr::from([10, 0, 0, n + 1])],
                    names: vec!["web".into(), format!("web_{n}")],
                    links: Vec::new(),
                }],
                servers: Vec::new(),
                outward: true,
                served: true,
            });
        }
        table
    }

    fn question(name: &str, kind: RecordType) -> Vec<u8> {
        let mut message = Message::new();
        let name = Name::from_ascii(name).unwrap();
        message.set_id(7).set_recursion_desired(true).add_query(Query::query(name, kind));
        message.to_vec().unwrap()
    }

    fn answer(table: &Table, packet: &[u8], transport: Transport, turn: usize) -> Message {
        match act(table, ASKER, packet, transport, turn) {
            Act::Answer(bytes) => Message::from_vec(&bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn first(answer: &Message) -> String {
        answer.answers().first().map(|r| r.data().to_string()).unwrap_or_default()
    }

    #[test]
    fn names_addresses_and_reverse() {
        let table = table(2);
        let got = answer(&table, &question("WEB_1.", RecordType::A), Transport::Udp, 0);
        assert_eq!((got.id(), first(&got)), (7, "10.0.0.2".to_string()));
        let six = answer(&table, &question("web_1.", RecordType::AAAA), Transport::Udp, 0);
        assert_eq!((six.response_code(), six.answers().len()), (ResponseCode::NoError, 0));
        let mail = answer(&table, &question("web_1.", RecordType::MX), Transport::Udp, 0);
        assert_eq!((mail.response_code(), mail.answers().len()), (ResponseCode::NoError, 0));
        let back = question("2.0.0.10.in-addr.arpa.", RecordType::PTR);
        assert_eq!(first(&answer(&table, &back, Transport::Udp, 0)), "web.net.");
        let other = question("example.com.", RecordType::A);
        assert!(matches!(act(&table, ASKER, &other, Transport::Udp, 0), Act::PassOn));
    }

    #[test]
    fn several_addresses_take_turns_and_long_answers_are_cut() {
        let table = table(200);
        let asked = question("web.", RecordType::A);
        let (one, two) = (
            first(&answer(&table, &asked, Transport::Tcp, 0)),
            first(&answer(&table, &asked, Transport::Tcp, 1)),
        );
        assert_ne!(one, two);
        assert_eq!(answer(&table, &asked, Transport::Tcp, 0).answers().len(), 200);
        let cut = answer(&table, &asked, Transport::Udp, 0);
        assert!(cut.truncated() && (20..40).contains(&cut.answers().len()));
        assert!(cut.to_vec().unwrap().len() <= 512);
    }

    #[test]
    fn hostile_packets_get_a_refusal_or_nothing() {
        let table = table(1);
        // The name points at itself.
        let mut circle = question("web.", RecordType::A);
        circle.splice(12..17, [0xc0, 12]);
        let got = answer(&table, &circle, Transport::Udp, 0);
        assert_eq!((got.id(), got.response_code()), (7, ResponseCode::FormErr));
        let whole = question("web.", RecordType::A);
        for length in 0..whole.len() {
            let got = act(&table, ASKER, &whole[..length], Transport::Udp, 0);
            assert!(matches!(got, Act::Answer(_)) == (length >= 12), "{length}");
        }
        let mut many = whole.clone();
        many[4] = 0xff;
        answer(&table, &many, Transport::Udp, 0);
        let mut response = whole;
        response[2] |= 0x80;
        assert!(matches!(act(&table, ASKER, &response, Transport::Udp, 0), Act::Ignore));
    }

    #[test]
    fn an_answer_must_belong() {
        let asked = question("example.com.", RecordType::A);
        let mut fits = asked.clone();
        fits[2] |= 0x80;
        assert!(belongs(&fits, &asked));
        assert!(!belongs(&asked, &asked), "a question");
        let mut other = fits.clone();
        other[0] ^= 1;
        assert!(!belongs(&other, &asked), "another number");
        fits[14] ^= 1;
        assert!(!belongs(&fits, &asked), "another question");
    }
}

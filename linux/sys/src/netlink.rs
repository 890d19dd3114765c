//! Netlink requests: building them, sending several at once, and reading the kernel's verdicts.
//!
//! A [`Batch`] is a row of messages with the attributes in netlink's own layout (native byte order, padded to four
//! bytes). [`Socket::submit`] sends it in one system call and waits for one acknowledgement per message that asked for
//! one. Messages of a batch are carried out in order; for rtnetlink each stands alone, for nfnetlink the whole batch is
//! one transaction.
//!
//! On failure: the first refused message's label ("what was tried"), the kernel's errno and, where the kernel gives it,
//! its own sentence (extended acknowledgement). Acknowledgements left over from a failed batch are recognised by their
//! sequence numbers and skipped.
//!
//! A socket works on the network namespace its thread was in when it was opened, for good, from any thread.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

/// The message is a request.
pub const REQUEST: u16 = 0x1;
/// The kernel shall acknowledge it.
pub const ACK: u16 = 0x4;
/// With a "new" request: fail if the object exists.
pub const EXCL: u16 = 0x200;
/// With a "new" request: replace the object.
pub const REPLACE: u16 = 0x100;
/// With a "new" request: make the object if it does not exist.
pub const CREATE: u16 = 0x400;
/// With a "new" request: add to the end of a list.
pub const APPEND: u16 = 0x800;
/// With a "get" request: all of them.
pub const DUMP: u16 = 0x300;

const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NLM_F_CAPPED` and `NLM_F_ACK_TLVS` in an acknowledgement.
const CAPPED: u16 = 0x100;
const ACK_TLVS: u16 = 0x200;
/// `NLMSGERR_ATTR_MSG`: the kernel's sentence.
const ATTR_MSG: u16 = 1;
/// Marks an attribute as a container of attributes.
const NESTED: u16 = 0x8000;
const HEADER: usize = 16;

/// Every batch of the process gets sequence numbers of its own.
static SEQUENCE: AtomicU32 = AtomicU32::new(1);

/// Which part of the kernel a socket talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Links, addresses, routes, rules.
    Route,
    /// nf_tables.
    Netfilter,
}

/// A refused message.
#[derive(Debug)]
pub struct Refused {
    /// The message's label.
    pub what: &'static str,
    /// The kernel's errno.
    pub errno: rustix::io::Errno,
    /// The kernel's sentence, if it gave one.
    pub detail: Option<String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, io::Error::from(self.errno))?;
        match &self.detail {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> io::Error {
        io::Error::new(io::Error::from(refused.errno).kind(), refused)
    }
}

/// Messages to send together.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Label and flags of each message, in order.
    messages: Vec<(&'static str, u16)>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Appends one message: `what` names it in errors, `kind` is its type, `flags` are added to [`REQUEST`].
    pub fn message(
        &mut self,
        what: &'static str,
        kind: u16,
        flags: u16,
        fill: impl FnOnce(&mut Payload<'_>),
    ) {
        let start = self.bytes.len();
        let flags = flags | REQUEST;
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        fill(&mut Payload { bytes: &mut self.bytes });
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        put(&mut self.bytes, start, &length.to_ne_bytes());
        self.messages.push((what, flags));
    }

    /// True when nothing was added.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Numbers the messages from `first` on.
    fn number(&mut self, first: u32) {
        let (mut at, mut seq) = (0, first);
        while let Some(length) = read_u32(&self.bytes, at) {
            put(&mut self.bytes, at + 8, &seq.to_ne_bytes());
            seq = seq.wrapping_add(1);
            at += align(length);
        }
    }
}

/// The inside of a message or of a nested attribute.
#[derive(Debug)]
pub struct Payload<'a> {
    bytes: &'a mut Vec<u8>,
}

impl Payload<'_> {
    /// Plain bytes: the family's fixed header.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self.pad();
        self
    }

    /// An attribute of bytes.
    pub fn attr(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
        self
    }

    /// A number in the host's byte order (rtnetlink).
    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attr(kind, &value.to_ne_bytes())
    }

    /// A number in network byte order (nfnetlink).
    pub fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attr(kind, &value.to_be_bytes())
    }

    /// A string, with the zero byte that the kernel expects.
    pub fn str(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attr(kind, &bytes)
    }

    /// An attribute that holds attributes.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Payload<'_>)) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        fill(&mut Payload { bytes: self.bytes });
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        put(self.bytes, start, &length.to_ne_bytes());
        self
    }

    fn pad(&mut self) {
        self.bytes.resize(align(self.bytes.len()), 0);
    }
}

/// A netlink socket.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
}

impl Socket {
    /// Opens one in the calling thread's network namespace.
    pub fn open(family: Family) -> io::Result<Socket> {
        let protocol: Option<Protocol> = match family {
            Family::Route => None,
            Family::Netfilter => Some(rustix::net::netlink::NETFILTER),
        };
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, 0))?;
        // Shorter acknowledgements with the kernel's own words; both since Linux 4.12 at the latest.
        crate::sockopt::set_netlink_acks(&fd)?;
        Ok(Socket { fd })
    }

    /// Sends the batch and waits for the verdict on each message that carries [`ACK`].
    pub fn submit(&self, mut batch: Batch) -> Result<(), Refused> {
        let count = u32::try_from(batch.messages.len()).unwrap_or(u32::MAX);
        let first = SEQUENCE.fetch_add(count, Ordering::Relaxed);
        batch.number(first);
        let failed = |errno| Refused { what: "netlink", errno, detail: None };
        self.send(&batch.bytes).map_err(failed)?;
        let mut waiting = batch.messages.iter().filter(|(_, flags)| flags & ACK != 0).count();
        let mut buffer = vec![0u8; 32 * 1024];
        while waiting > 0 {
            let length = self.recv(&mut buffer).map_err(failed)?;
            for answer in Answers::new(buffer.get(..length).unwrap_or(&[])) {
                let index = usize::try_from(answer.seq.wrapping_sub(first)).unwrap_or(usize::MAX);
                let Some((what, flags)) = batch.messages.get(index) else { continue };
                match answer.verdict() {
                    Some(Err((errno, detail))) => return Err(Refused { what, errno, detail }),
                    Some(Ok(())) if flags & ACK != 0 => waiting -= 1,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Sends one "get" message (with [`DUMP`] or [`ACK`]) and hands every answer's payload to `each`.
    pub fn dump(&self, mut batch: Batch, mut each: impl FnMut(&[u8])) -> Result<(), Refused> {
        let first = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        batch.number(first);
        let what = batch.messages.first().map_or("netlink", |(what, _)| *what);
        let failed = |errno| Refused { what, errno, detail: None };
        self.send(&batch.bytes).map_err(failed)?;
        let mut buffer = vec![0u8; 64 * 1024];
        loop {
            let length = self.recv(&mut buffer).map_err(failed)?;
            for answer in Answers::new(buffer.get(..length).unwrap_or(&[])) {
                if answer.seq != first {
                    continue;
                }
                match (answer.kind, answer.verdict()) {
                    (DONE, _) | (_, Some(Ok(()))) => return Ok(()),
                    (_, Some(Err((errno, detail)))) => return Err(Refused { what, errno, detail }),
                    _ => each(answer.payload),
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> rustix::io::Result<()> {
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.fd, bytes, SendFlags::empty(), &kernel)?;
        Ok(())
    }

    fn recv(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        loop {
            match rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::empty()) {
                Err(rustix::io::Errno::INTR) => {}
                Ok((length, _)) => return Ok(length),
                Err(e) => return Err(e),
            }
        }
    }

    /// The index of an interface of the socket's namespace.
    pub fn interface(&self, name: &str) -> io::Result<u32> {
        Ok(rustix::net::netdevice::name_to_index(self.fd.as_fd(), name)?)
    }
}

/// One message from the kernel.
struct Answer<'a> {
    kind: u16,
    flags: u16,
    seq: u32,
    payload: &'a [u8],
}

impl Answer<'_> {
    /// Of an acknowledgement: what the kernel decided.
    fn verdict(&self) -> Option<Result<(), (rustix::io::Errno, Option<String>)>> {
        if self.kind != ERROR {
            return None;
        }
        let code = i32::from_ne_bytes(*self.payload.first_chunk::<4>()?);
        if code == 0 {
            return Some(Ok(()));
        }
        let errno = rustix::io::Errno::from_raw_os_error(code.wrapping_neg());
        Some(Err((errno, self.sentence())))
    }

    fn sentence(&self) -> Option<String> {
        if self.flags & ACK_TLVS == 0 {
            return None;
        }
        // errno, the request's header and, unless capped, its payload; the attributes follow.
        let request = read_u32(self.payload, 4)?;
        let skip = if self.flags & CAPPED != 0 { 4 + HEADER } else { 4 + align(request) };
        attributes(self.payload.get(skip..)?)
            .find(|(kind, _)| *kind == ATTR_MSG)
            .map(|(_, text)| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
    }
}

struct Answers<'a> {
    rest: &'a [u8],
}

impl<'a> Answers<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Answers { rest }
    }
}

impl<'a> Iterator for Answers<'a> {
    type Item = Answer<'a>;

    fn next(&mut self) -> Option<Answer<'a>> {
        let length = usize::try_from(read_u32(self.rest, 0)?).ok()?;
        let message = self.rest.get(..length).filter(|m| m.len() >= HEADER)?;
        let answer = Answer {
            kind: u16::from_ne_bytes([*message.get(4)?, *message.get(5)?]),
            flags: u16::from_ne_bytes([*message.get(6)?, *message.get(7)?]),
            seq: read_u32(message, 8)?,
            payload: message.get(HEADER..)?,
        };
        let next = length.next_multiple_of(4);
        self.rest = self.rest.get(next..).unwrap_or(&[]);
        Some(answer)
    }
}

/// The attributes in `bytes`: kind (without the nested bit) and value.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let head = bytes.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & !NESTED;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    })
}

fn align(length: impl TryInto<usize>) -> usize {
    length.try_into().unwrap_or(usize::MAX - 3).next_multiple_of(4)
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk::<4>()?))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(room) = bytes.get_mut(at..at + value.len()) {
        room.copy_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nest() {
        let mut batch = Batch::new();
        batch.message("test", 1, 0, |m| {
            m.str(1, "abc").nest(2, |n| {
                n.u32(3, 7);
            });
        });
        let found: Vec<_> = attributes(&batch.bytes[HEADER..]).collect();
        assert_eq!(found[0], (1, &b"abc\0"[..]));
        assert_eq!(found[1].0, 2);
        assert_eq!(attributes(found[1].1).next(), Some((3, &7u32.to_ne_bytes()[..])));
        assert_eq!(read_u32(&batch.bytes, 0), Some(u32::try_from(batch.bytes.len()).unwrap()));
    }

    #[test]
    fn a_dump_lists_loopback_and_a_refusal_has_a_label() {
        let socket = Socket::open(Family::Route).unwrap();
        let mut names = Vec::new();
        let mut get = Batch::new();
        get.message("list links", 18, DUMP, |m| {
            m.raw(&[0; 16]);
        });
        socket
            .dump(get, |payload| {
                let name = attributes(&payload[16..]).find(|(kind, _)| *kind == 3).unwrap();
                names.push(String::from_utf8_lossy(name.1).into_owned());
            })
            .unwrap();
        assert!(names.contains(&"lo\0".to_owned()), "{names:?}");

        let mut get = Batch::new();
        get.message("ask for a link that is not there", 18, ACK, |m| {
            m.raw(&[0; 16]).str(3, "nosuchlink0");
        });
        let refused = socket.submit(get).unwrap_err();
        assert_eq!(refused.errno, rustix::io::Errno::NODEV);
        assert!(refused.to_string().starts_with("ask for a link that is not there: "));
    }
}

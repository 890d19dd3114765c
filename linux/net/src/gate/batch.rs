//! Moving datagrams many at a time from one socket to another.
//!
//! Equal-sized neighbours go out as one message that the kernel cuts up (UDP_SEGMENT), which saves most of the cost of
//! a datagram. Where the path does not take it (datagrams above the MTU, old drivers) they are sent one by one.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;

use bryo_sys::datagram::{self, MAX_SEGMENTS, Received, Receiver, Sending};
use rustix::io::Errno;

/// The longest message that the kernel cuts up: 65535 less IP and UDP headers, IPv6's to be safe.
const LONGEST: usize = 65_487;

/// Moves what waits at `from` to `to`. An error is one of the receiving or sending socket that the sender of the
/// datagrams should hear of.
pub fn relay(
    receiver: &mut Receiver,
    from: impl AsFd,
    to: impl AsFd,
    how: Sending,
) -> io::Result<()> {
    match receiver.receive(from) {
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
        Err(e) => return Err(e),
    }
    let mut start = 0;
    while start < receiver.received().len() {
        let count = run(receiver.received().get(start..).unwrap_or(&[]));
        if count > 1 {
            send_run(receiver, start, count, &to, how)?;
        } else if let Some(received) = receiver.received().get(start) {
            send(&to, receiver.data(start), received.segment, how)?;
        }
        start += count;
    }
    Ok(())
}

/// How many of the first datagrams can go out as one message: all of one size, the last perhaps shorter.
fn run(received: &[Received]) -> usize {
    let Some(first) = received.first() else { return 1 };
    if first.segment.is_some() || first.length == 0 {
        return 1;
    }
    let (mut count, mut total) = (1, first.length);
    for next in received.iter().skip(1).take(MAX_SEGMENTS - 1) {
        total += next.length;
        let fits = next.segment.is_none() && (1..=first.length).contains(&next.length);
        if !fits || total > LONGEST {
            break;
        }
        count += 1;
        if next.length < first.length {
            break;
        }
    }
    count
}

fn send_run(
    receiver: &Receiver,
    start: usize,
    count: usize,
    to: impl AsFd,
    how: Sending,
) -> io::Result<()> {
    let parts: Vec<IoSlice<'_>> =
        (start..start + count).map(|slot| IoSlice::new(receiver.data(slot))).collect();
    let segment = parts.first().and_then(|p| u16::try_from(p.len()).ok());
    match datagram::send(&to, &parts, Sending { segment, ..how }) {
        Err(e) if cannot_segment(&e) => {
            for slot in start..start + count {
                send(&to, receiver.data(slot), None, how)?;
            }
            Ok(())
        }
        other => settle(other),
    }
}

/// Sends one datagram, or with `segment` a run of them in one piece.
pub fn send(to: impl AsFd, data: &[u8], segment: Option<u16>, how: Sending) -> io::Result<()> {
    let size = segment.map(usize::from).filter(|size| (1..data.len()).contains(size));
    let Some(size) = size else {
        return settle(datagram::send(&to, &[IoSlice::new(data)], how));
    };
    let pieces = data.len().div_ceil(size);
    if pieces <= MAX_SEGMENTS {
        match datagram::send(&to, &[IoSlice::new(data)], Sending { segment, ..how }) {
            Err(e) if cannot_segment(&e) => {}
            other => return settle(other),
        }
    }
    for piece in data.chunks(size) {
        settle(datagram::send(&to, &[IoSlice::new(piece)], how))?;
    }
    Ok(())
}

/// EINVAL: segments above the MTU; EIO: a device without checksumming; EMSGSIZE: too long in one piece.
fn cannot_segment(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::IO | Errno::MSGSIZE))
}

/// A full queue loses datagrams, as a network does.
fn settle(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(e) => match Errno::from_io_error(&e) {
            Some(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => Ok(()),
            _ => Err(e),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_at_a_longer_or_after_a_shorter_datagram() {
        let of = |sizes: &[usize]| {
            let all: Vec<Received> = sizes
                .iter()
                .map(|length| Received { length: *length, from: None, to: None, segment: None })
                .collect();
            run(&all)
        };
        assert_eq!(of(&[100, 100, 100]), 3);
        assert_eq!(of(&[100, 100, 50, 50]), 3);
        assert_eq!(of(&[100, 101]), 1);
        assert_eq!(of(&[0, 0]), 1);
        assert_eq!(of(&[60_000, 60_000]), 1);
    }
}

//! The engines that are connected: usually one, for a moment two when one takes over from another.
//!
//! Nothing waits for an engine. What its socket does not take is queued; an engine that lets the queue grow beyond
//! reason is cut off, and finds everything in `state.json` when it connects again.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use bryo_sys::channel::{Channel, Message};
use rustix::event::epoll::EventFlags;

use crate::messages::{Answer, Event};
use crate::poller::{Interest, Poller, Token};

/// Messages kept for an engine that does not read.
const MOST_QUEUED: usize = 4096;

#[derive(Debug)]
struct Engine {
    channel: Channel,
    queue: VecDeque<Vec<u8>>,
    interest: Interest,
    gone: bool,
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Engines {
    list: BTreeMap<u32, Engine>,
    next: u32,
}

impl Engines {
    /// A new connection, which first hears `hello`.
    pub(crate) fn add(
        &mut self,
        poller: &Poller,
        channel: Channel,
        hello: Event,
    ) -> io::Result<()> {
        channel.set_nonblocking(true)?;
        let engine =
            Engine { channel, queue: VecDeque::new(), interest: Interest::default(), gone: false };
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.list.insert(number, engine);
        self.send(poller, number, &Answer::Event(hello));
        Ok(())
    }

    /// The next message of one engine; `None`: none now, or it is gone.
    pub(crate) fn receive(&mut self, poller: &Poller, number: u32) -> Option<Message> {
        let engine = self.list.get_mut(&number)?;
        match engine.channel.recv() {
            Ok(message) => Some(message),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => {
                engine.gone = true;
                self.update(poller, number);
                None
            }
        }
    }

    /// Answers one engine.
    pub(crate) fn send(&mut self, poller: &Poller, number: u32, answer: &Answer) {
        let Some(engine) = self.list.get_mut(&number) else { return };
        // Our own types always become JSON.
        let Ok(data) = serde_json::to_vec(answer) else { return };
        engine.queue.push_back(data);
        self.flush(poller, number);
    }

    /// Tells all engines.
    pub(crate) fn broadcast(&mut self, poller: &Poller, event: &Event) {
        let answer = Answer::Event(event.clone());
        for number in self.list.keys().copied().collect::<Vec<_>>() {
            self.send(poller, number, &answer);
        }
    }

    /// Sends what is queued for an engine.
    pub(crate) fn flush(&mut self, poller: &Poller, number: u32) {
        let Some(engine) = self.list.get_mut(&number) else { return };
        while let Some(data) = engine.queue.front() {
            match engine.channel.send(data, &[]) {
                Ok(()) => {
                    engine.queue.pop_front();
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    engine.gone = true;
                    break;
                }
            }
        }
        engine.gone |= engine.queue.len() > MOST_QUEUED;
        self.update(poller, number);
    }

    /// True if there is no engine.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// True if everything was sent.
    pub(crate) fn is_flushed(&self) -> bool {
        self.list.values().all(|e| e.queue.is_empty())
    }

    fn update(&mut self, poller: &Poller, number: u32) {
        let Some(engine) = self.list.get_mut(&number) else { return };
        let flags = if engine.gone {
            EventFlags::empty()
        } else if engine.queue.is_empty() {
            EventFlags::IN
        } else {
            EventFlags::IN | EventFlags::OUT
        };
        poller.want(&engine.channel, Token::Engine(number), &mut engine.interest, flags);
        if engine.gone {
            self.list.remove(&number);
        }
    }
}

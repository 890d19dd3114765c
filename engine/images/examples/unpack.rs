//! Measures the unpacking of one layer: `unpack ARCHIVE FOLDER [ROUNDS]`.
//!
//! Run it inside a user namespace (`unshare -Ur --map-auto`) on an archive of many small files; it
//! prints MB of uncompressed data for each second, and for each second of processor time (which is
//! what counts on a machine that does other things too): inflating and hashing alone, and the whole.

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use bryo_images::unpack::{self, ApplyOptions, Limits};
use bryo_images::{IdMap, tree};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: unpack ARCHIVE FOLDER [ROUNDS]";
    let (archive, folder) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let rounds: usize = arguments.next().map_or(Ok(3), |n| n.parse())?;
    let options = ApplyOptions {
        ids: IdMap { uids: 65536, gids: 65536, single: false, user: String::new(), host_uid: 0 },
        limits: Limits::default(),
        umask_is_zero: false,
    };
    for _ in 0..rounds {
        let clock = Clock::start();
        let size = unpack::drain(File::open(&archive)?)?;
        let inflating = clock.rates(size);
        let place = Path::new(&folder).join("unpacked");
        std::fs::create_dir_all(&place)?;
        let clock = Clock::start();
        let applied = unpack::unpack_archive(File::open(&archive)?, &place, &options)?;
        let whole = clock.rates(size);
        tree::remove(&place)?;
        let entries = applied.entries;
        println!("{} MB, {entries} entries: inflate {inflating}; unpack {whole}", size / 1_000_000);
    }
    Ok(())
}

/// Wall and processor time.
struct Clock {
    wall: Instant,
    processor: Duration,
}

impl Clock {
    fn start() -> Clock {
        Clock { wall: Instant::now(), processor: processor_time() }
    }

    fn rates(&self, bytes: u64) -> String {
        let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
        let processor = processor_time() - self.processor;
        format!("{:.0} MB/s ({:.0} by processor time)", rate(self.wall.elapsed()), rate(processor))
    }
}

/// Processor time of all threads so far.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

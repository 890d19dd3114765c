//! Measures the unpacking of one layer: `unpack ARCHIVE FOLDER [ROUNDS]`.
//!
//! Run it inside a user namespace (`unshare -Ur --map-auto`) on an archive of many small files; it
//! prints MB/s of uncompressed data for inflating and hashing alone, and for the whole.

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

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
        let begun = Instant::now();
        let size = unpack::drain(File::open(&archive)?)?;
        let inflating = begun.elapsed();
        let place = Path::new(&folder).join("unpacked");
        std::fs::create_dir_all(&place)?;
        let begun = Instant::now();
        let applied = unpack::unpack_archive(File::open(&archive)?, &place, &options)?;
        let whole = begun.elapsed();
        let begun = Instant::now();
        tree::remove(&place)?;
        let rate = |time: std::time::Duration| size as f64 / 1e6 / time.as_secs_f64();
        println!(
            "{:.0} MB, {} entries: inflate and hash {:.0} MB/s, unpack {:.0} MB/s, removal {:.2} s",
            size as f64 / 1e6,
            applied.entries,
            rate(inflating),
            rate(whole),
            begun.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

//! The log on disk, written and read back: lines, rotation, tail, follow, torn ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::path::Path;
use std::time::Duration;

use bryo_monitor::log::{Compression, Next, ReadOptions, Reader, Stream, Writer};
use bryo_monitor::messages::{LogConfig, LogFile};

fn file(dir: &Path, max_size: Option<u64>, max_file: u32, compress: bool) -> LogFile {
    let path = dir.join("log").to_str().unwrap().to_owned();
    LogFile { path, max_size, max_file, compress, attrs: Default::default() }
}

fn both(file: LogFile) -> [LogConfig; 2] {
    [LogConfig::JsonFile(file.clone()), LogConfig::Local(file)]
}

fn all() -> ReadOptions {
    ReadOptions { stdout: true, stderr: true, ..Default::default() }
}

fn open(config: &LogConfig) -> Writer {
    Writer::open(config, Compression::Inline).unwrap()
}

/// Everything that a reader gives until it ends.
fn read(config: &LogConfig, options: ReadOptions) -> Vec<(Stream, String)> {
    let mut reader = Reader::open(config, options).unwrap();
    let mut records = Vec::new();
    while let Next::Batch(batch) = reader.next(Duration::ZERO).unwrap() {
        records.extend(batch.records().map(|(s, r)| (s, String::from_utf8_lossy(r).into_owned())));
    }
    records
}

fn texts(config: &LogConfig, options: ReadOptions) -> Vec<String> {
    read(config, options).into_iter().map(|(_, text)| text).collect()
}

/// Runs a test once for each format, in a fresh folder.
fn each(settings: (Option<u64>, u32, bool), test: impl Fn(&LogConfig, &Path)) {
    let (max_size, max_file, compress) = settings;
    for which in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let config = both(file(dir.path(), max_size, max_file, compress))[which].clone();
        test(&config, dir.path());
    }
}

#[test]
fn lines_come_back_in_order_whatever_the_reads_were() {
    each((None, 1, false), |config, _| {
        let mut log = open(config);
        log.write(Stream::Stdout, b"one\ntw", 1).unwrap();
        log.write(Stream::Stderr, b"err\n", 2).unwrap();
        log.write(Stream::Stdout, b"o\n\nthree", 3).unwrap();
        log.finish(4).unwrap();
        let got = read(config, all());
        let want = [
            (Stream::Stdout, "one\n"),
            (Stream::Stderr, "err\n"),
            (Stream::Stdout, "two\n"),
            (Stream::Stdout, "\n"),
            (Stream::Stdout, "three"),
        ];
        assert_eq!(got, want.map(|(s, t)| (s, t.to_owned())));
        let errors = ReadOptions { stderr: true, ..Default::default() };
        assert_eq!(texts(config, errors), ["err\n"]);
    });
}

#[test]
fn long_lines_are_cut_where_docker_cuts_them() {
    each((None, 1, false), |config, _| {
        let mut log = open(config);
        let long = vec![b'x'; 16384 * 2 + 5];
        for piece in long.chunks(5000) {
            log.write(Stream::Stdout, piece, 1).unwrap();
        }
        log.write(Stream::Stdout, b"\n", 1).unwrap();
        // Exactly as long as a record: the line break is a record of its own.
        log.write(Stream::Stdout, &[&long[..16384], b"\n"].concat(), 2).unwrap();
        let lengths: Vec<_> = texts(config, all()).iter().map(String::len).collect();
        // The compact format keeps together what came in one read.
        let last = if matches!(config, LogConfig::Local(_)) { &[16385][..] } else { &[16384, 1] };
        assert_eq!(lengths, [&[16384, 16384, 6], last].concat());
    });
}

#[test]
fn times_frames_and_details_stand_in_front() {
    each((None, 1, false), |config, dir| {
        let mut file = file(dir, None, 1, false);
        file.attrs = [("tag".to_owned(), "a b".to_owned())].into();
        let config = match config {
            LogConfig::Local(_) => LogConfig::Local(file),
            _ => LogConfig::JsonFile(file),
        };
        open(&config).write(Stream::Stderr, b"x\n", 1_700_000_000_500_000_000).unwrap();
        let options = ReadOptions { timestamps: true, details: true, framed: true, ..all() };
        let mut reader = Reader::open(&config, options).unwrap();
        let Next::Batch(batch) = reader.next(Duration::ZERO).unwrap() else { panic!() };
        let text = b"2023-11-14T22:13:20.500000000Z tag=a+b x\n";
        assert_eq!(batch.bytes[..8], [2, 0, 0, 0, 0, 0, 0, 41]);
        assert_eq!(&batch.bytes[8..], text);
        assert_eq!(batch.records().next().unwrap(), (Stream::Stderr, &text[..]));
    });
}

#[test]
fn rotation_keeps_the_youngest_files_and_the_order() {
    for compress in [false, true] {
        each((Some(1000), 3, compress), |config, dir| {
            let mut log = open(config);
            for i in 0..1000 {
                log.write(Stream::Stdout, format!("line {i}\n").as_bytes(), i).unwrap();
            }
            let got = texts(config, all());
            let first = 1000 - got.len();
            let want: Vec<_> = (first..1000).map(|i| format!("line {i}\n")).collect();
            assert_eq!(got, want);
            assert!(got.len() > 20 && got.len() < 300, "{} records kept", got.len());
            let suffix = if compress { ".gz" } else { "" };
            for name in ["log.1", "log.2"] {
                assert!(dir.join(format!("{name}{suffix}")).exists());
            }
            assert_eq!(std::fs::read_dir(dir).unwrap().count(), 3);
            for tail in [0, 1, 5, got.len() - 1, got.len(), 5000] {
                let options = ReadOptions { tail: Some(tail as u64), ..all() };
                let last = &got[got.len().saturating_sub(tail)..];
                assert_eq!(texts(config, options), last, "tail {tail}");
            }
        });
    }
}

#[test]
fn one_big_read_is_split_at_the_size_limit() {
    each((Some(4000), 100, false), |config, dir| {
        let lines: String = (0..2000).map(|i| format!("{i}\n")).collect();
        open(config).write(Stream::Stdout, lines.as_bytes(), 1).unwrap();
        assert_eq!(texts(config, all()).concat(), lines);
        for entry in std::fs::read_dir(dir).unwrap() {
            assert!(entry.unwrap().metadata().unwrap().len() < 4100);
        }
    });
}

#[test]
fn tail_finds_its_place_in_a_large_file() {
    each((None, 1, false), |config, _| {
        let mut log = open(config);
        let lines: Vec<_> = (0..30_000).map(|i| format!("{i:0>20}\n")).collect();
        for chunk in lines.chunks(100) {
            log.write(Stream::Stdout, chunk.concat().as_bytes(), 1).unwrap();
        }
        for tail in [1, 99, 100, 101, 12_345, 29_999, 30_000, 40_000] {
            let options = ReadOptions { tail: Some(tail as u64), ..all() };
            assert_eq!(texts(config, options), lines[30_000usize.saturating_sub(tail)..]);
        }
    });
}

#[test]
fn a_torn_end_costs_one_record() {
    each((None, 1, false), |config, dir| {
        open(config).write(Stream::Stdout, b"one\n", 1).unwrap();
        open(config).write(Stream::Stdout, b"two\n", 2).unwrap();
        let path = dir.join("log");
        let length = std::fs::metadata(&path).unwrap().len();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(length - 3).unwrap();
        assert_eq!(texts(config, all()), ["one\n"]);
        open(config).write(Stream::Stdout, b"three\n", 3).unwrap();
        assert_eq!(texts(config, all()), ["one\n", "three\n"]);
        let last = ReadOptions { tail: Some(1), ..all() };
        assert_eq!(texts(config, last), ["three\n"]);
    });
}

#[test]
fn a_follower_sees_everything_across_rotations_and_then_the_end() {
    for compress in [false, true] {
        each((Some(20_000), 5, compress), |config, _| {
            let options = ReadOptions { follow: true, ..all() };
            let mut reader = Reader::open(config, options).unwrap();
            let handle = reader.follow_handle().unwrap();
            let settings = config.clone();
            let writer = std::thread::spawn(move || {
                let mut log = open(&settings);
                for i in 0..2000 {
                    log.write(Stream::Stdout, format!("line {i}\n").as_bytes(), i).unwrap();
                    if i % 100 == 0 {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
                handle.container_ended();
            });
            let mut got = Vec::new();
            loop {
                match reader.next(Duration::from_secs(10)).unwrap() {
                    Next::Batch(batch) => got.extend(
                        batch.records().map(|(_, r)| String::from_utf8_lossy(r).into_owned()),
                    ),
                    Next::Idle => panic!("nothing came for ten seconds"),
                    Next::End => break,
                }
            }
            writer.join().unwrap();
            let want: Vec<_> = (0..2000).map(|i| format!("line {i}\n")).collect();
            assert_eq!(got.len(), want.len());
            assert_eq!(got, want);
        });
    }
}

#[test]
fn a_follower_waits_no_longer_than_asked_and_can_be_cancelled() {
    each((None, 1, false), |config, _| {
        let options = ReadOptions { follow: true, tail: Some(0), ..all() };
        open(config).write(Stream::Stdout, b"old\n", 1).unwrap();
        let mut reader = Reader::open(config, options).unwrap();
        let begin = std::time::Instant::now();
        assert!(matches!(reader.next(Duration::from_millis(30)).unwrap(), Next::Idle));
        assert!(begin.elapsed() >= Duration::from_millis(25));
        open(config).write(Stream::Stdout, b"new\n", 2).unwrap();
        let Next::Batch(batch) = reader.next(Duration::from_secs(5)).unwrap() else { panic!() };
        assert_eq!(batch.bytes, b"new\n");
        let handle = reader.follow_handle().unwrap();
        std::thread::spawn(move || handle.cancel());
        while !matches!(reader.next(Duration::from_secs(5)).unwrap(), Next::End) {}
    });
}

#[test]
fn a_log_that_somebody_emptied_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig::JsonFile(file(dir.path(), None, 1, false));
    let mut log = open(&config);
    log.write(Stream::Stdout, b"before\n", 1).unwrap();
    let mut reader = Reader::open(&config, ReadOptions { follow: true, ..all() }).unwrap();
    assert!(matches!(reader.next(Duration::ZERO).unwrap(), Next::Batch(_)));
    std::fs::File::options().write(true).open(dir.path().join("log")).unwrap().set_len(0).unwrap();
    assert!(matches!(reader.next(Duration::ZERO).unwrap(), Next::Idle));
    log.write(Stream::Stdout, b"after\n", 2).unwrap();
    let Next::Batch(batch) = reader.next(Duration::from_secs(5)).unwrap() else { panic!() };
    assert_eq!(batch.bytes, b"after\n");
}

#[test]
fn a_full_disk_costs_lines_and_not_the_log() {
    each((None, 1, false), |config, _| {
        // A limit on the file's size fails as a full disk does, with a write that is cut short first.
        let ended = bryo_sys::fork::in_child(|| {
            use rustix::process::{Resource, Rlimit, setrlimit};
            let limit = |current| setrlimit(Resource::Fsize, Rlimit { current, maximum: None });
            const SIGXFSZ: i32 = 25;
            bryo_sys::signal::ignore(SIGXFSZ).unwrap();
            let mut log = open(config);
            limit(Some(2000)).unwrap();
            let failed = (0..100).filter(|i| {
                log.write(Stream::Stdout, format!("line {i}\n").as_bytes(), 1).is_err()
            });
            let failed = failed.count();
            limit(None).unwrap();
            log.write(Stream::Stdout, b"room again\n", 2).unwrap();
            i32::from(failed == 0 || log.lost() == 0)
        });
        assert_eq!(ended.unwrap().code(), 0);
        let got = texts(config, all());
        let (last, kept) = got.split_last().unwrap();
        assert_eq!(last, "room again\n");
        assert!(kept.len() > 10 && kept.len() < 100, "{} lines kept", kept.len());
        for (i, line) in kept.iter().enumerate() {
            assert_eq!(*line, format!("line {i}\n"));
        }
    });
}

#[test]
fn no_log_cannot_be_read_and_a_missing_one_is_empty() {
    let error = Reader::open(&LogConfig::None, all()).unwrap_err();
    assert_eq!(error.source.kind(), std::io::ErrorKind::Unsupported);
    each((None, 1, false), |config, _| assert!(texts(config, all()).is_empty()));
}

//! What /proc says of a process, and of the machine it runs on.

use std::collections::HashMap;

use bryo_sys::localtime::{LocalTime, local};

/// A process, from /proc/PID/{stat,status,cmdline}. Times are in clock ticks.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub pid: u32,
    pub ppid: u32,
    pub uid: u32,
    pub gid: u32,
    pub comm: String,
    /// The command line; the name in brackets where there is none.
    pub args: String,
    pub state: char,
    pub session: i64,
    pub group: i64,
    pub terminal: i64,
    /// Foreground process group of the terminal.
    pub foreground: i64,
    /// User and system time.
    pub cpu: u64,
    pub priority: i64,
    pub nice: i64,
    pub threads: u64,
    /// Since boot.
    pub start: u64,
    /// Bytes.
    pub virtual_size: u64,
    /// Pages.
    pub resident: u64,
    /// The processor it ran on last.
    pub processor: u64,
}

impl Process {
    /// None if it is gone.
    pub(super) fn read(pid: u32) -> Option<Process> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let cmdline = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Process::parse(pid, &stat, &status, &cmdline)
    }

    fn parse(pid: u32, stat: &str, status: &str, cmdline: &[u8]) -> Option<Process> {
        let (head, tail) = stat.rsplit_once(')')?;
        let comm = head.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
        // Numbers of proc_pid_stat(5); field 3 is the first here.
        let signed = |n: usize| fields.get(n - 3)?.parse::<i64>().ok();
        let unsigned = |n: usize| fields.get(n - 3)?.parse::<u64>().ok();
        let words: Vec<String> = cmdline
            .split(|b| *b == 0)
            .filter(|w| !w.is_empty())
            .map(|w| String::from_utf8_lossy(w).into_owned())
            .collect();
        Some(Process {
            pid,
            ppid: u32::try_from(signed(4)?).ok()?,
            uid: effective(status, "Uid:")?,
            gid: effective(status, "Gid:")?,
            args: if words.is_empty() { format!("[{comm}]") } else { words.join(" ") },
            comm,
            state: fields.first()?.chars().next()?,
            group: signed(5)?,
            session: signed(6)?,
            terminal: signed(7)?,
            foreground: signed(8)?,
            cpu: unsigned(14)? + unsigned(15)?,
            priority: signed(18)?,
            nice: signed(19)?,
            threads: unsigned(20)?,
            start: unsigned(22)?,
            virtual_size: unsigned(23)?,
            resident: unsigned(24)?,
            processor: unsigned(39).unwrap_or(0),
        })
    }
}

/// The second number (the effective id) of a line of /proc/PID/status.
fn effective(status: &str, key: &str) -> Option<u32> {
    let line = status.lines().find_map(|l| l.strip_prefix(key))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// What is needed to make a process' numbers readable.
#[derive(Debug)]
pub(super) struct Machine {
    /// Seconds since the epoch.
    pub now: u64,
    /// Seconds since the epoch.
    pub booted: u64,
    /// Clock ticks a second.
    pub ticks: u64,
    /// Bytes.
    pub page: u64,
    /// Bytes.
    pub memory: u64,
    names: HashMap<u32, String>,
}

impl Machine {
    pub(super) fn now() -> Machine {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, key: &str| -> u64 {
            let line = text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default();
            line.split_ascii_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        let now = crate::util::now() / 1_000_000_000;
        Machine {
            now: u64::try_from(now).unwrap_or(0),
            booted: field(&read("/proc/stat"), "btime "),
            ticks: rustix::param::clock_ticks_per_second().max(1),
            page: u64::try_from(rustix::param::page_size()).unwrap_or(4096),
            memory: field(&read("/proc/meminfo"), "MemTotal:") * 1024,
            names: HashMap::new(),
        }
    }

    /// Login name, or the number.
    pub(super) fn user(&mut self, uid: u32) -> String {
        let name = self.names.entry(uid).or_insert_with(|| {
            let entry = bryo_sys::user::by_uid(uid).ok().flatten();
            entry.map_or_else(|| uid.to_string(), |e| e.name)
        });
        name.clone()
    }

    /// Seconds that the process has lived.
    pub(super) fn age(&self, process: &Process) -> u64 {
        self.now.saturating_sub(self.booted + process.start / self.ticks)
    }

    /// Seconds of processor time.
    pub(super) fn cpu_seconds(&self, process: &Process) -> u64 {
        process.cpu / self.ticks
    }

    /// Tenths of a percent of one processor over the process' life.
    pub(super) fn cpu_permille(&self, process: &Process) -> u64 {
        (process.cpu * 1000).checked_div(self.age(process) * self.ticks).unwrap_or(0)
    }

    /// When it started, in local time, and now.
    pub(super) fn started(&self, process: &Process) -> Option<(LocalTime, LocalTime)> {
        let start = self.booted + process.start / self.ticks;
        Some((local(i64::try_from(start).ok()?)?, local(i64::try_from(self.now).ok()?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_and_spaces_are_read() {
        let stat = "42 (a) b) S 1 40 39 34816 40 4194560 1 2 3 4 250 50 0 0 20 0 3 0 777 4096000 100 18446744073709551615 \
                    1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0";
        let status = "Name:\ta\nUid:\t7\t8\t8\t8\nGid:\t5\t6\t6\t6\n";
        let p = Process::parse(42, stat, status, b"prog\0with args\0").unwrap();
        assert_eq!((p.comm.as_str(), p.args.as_str(), p.state), ("a) b", "prog with args", 'S'));
        assert_eq!((p.uid, p.gid, p.ppid, p.cpu, p.threads), (8, 6, 1, 300, 3));
        assert_eq!((p.start, p.virtual_size, p.resident, p.processor), (777, 4_096_000, 100, 1));
        assert_eq!(Process::parse(42, stat, status, b"").unwrap().args, "[a) b]");
    }
}

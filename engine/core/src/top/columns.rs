//! The columns of procps' `ps` that are shown without it, in its titles and formats.

use super::process::{Machine, Process};

/// One column.
pub(super) struct Column {
    /// Names in `-o`.
    names: &'static [&'static str],
    pub title: &'static str,
    pub value: fn(&Process, &mut Machine) -> String,
}

const fn column(
    names: &'static [&'static str],
    title: &'static str,
    value: fn(&Process, &mut Machine) -> String,
) -> Column {
    Column { names, title, value }
}

/// `ps -ef`.
pub(super) static FULL: [Column; 8] = [
    column(&[], "UID", |p, m| m.user(p.uid)),
    column(&[], "PID", |p, _| p.pid.to_string()),
    column(&[], "PPID", |p, _| p.ppid.to_string()),
    column(&[], "C", |p, m| (m.cpu_permille(p) / 10).min(99).to_string()),
    column(&[], "STIME", started),
    column(&[], "TTY", |p, _| terminal(p.terminal)),
    column(&[], "TIME", |p, m| clock(m.cpu_seconds(p))),
    column(&[], "CMD", |p, _| p.args.clone()),
];

/// `ps aux`.
pub(super) static AUX: [Column; 11] = [
    column(&[], "USER", |p, m| m.user(p.uid)),
    column(&[], "PID", |p, _| p.pid.to_string()),
    column(&[], "%CPU", cpu),
    column(&[], "%MEM", memory),
    column(&[], "VSZ", |p, _| (p.virtual_size / 1024).to_string()),
    column(&[], "RSS", |p, m| (p.resident * m.page / 1024).to_string()),
    column(&[], "TTY", |p, _| terminal(p.terminal)),
    column(&[], "STAT", |p, _| state(p)),
    column(&[], "START", started),
    column(&[], "TIME", |p, m| minutes(m.cpu_seconds(p))),
    column(&[], "COMMAND", |p, _| p.args.clone()),
];

/// Columns of `-o`.
static NAMED: [Column; 28] = [
    column(&["pid"], "PID", |p, _| p.pid.to_string()),
    column(&["ppid"], "PPID", |p, _| p.ppid.to_string()),
    column(&["pgid", "pgrp"], "PGID", |p, _| p.group.to_string()),
    column(&["sid", "sess", "session"], "SID", |p, _| p.session.to_string()),
    column(&["user", "euser"], "USER", |p, m| m.user(p.uid)),
    column(&["uid", "euid"], "UID", |p, _| p.uid.to_string()),
    column(&["gid", "egid"], "GID", |p, _| p.gid.to_string()),
    column(&["comm", "ucmd", "ucomm"], "COMMAND", |p, _| p.comm.clone()),
    column(&["args", "command"], "COMMAND", |p, _| p.args.clone()),
    column(&["cmd"], "CMD", |p, _| p.args.clone()),
    column(&["pcpu", "%cpu"], "%CPU", cpu),
    column(&["c"], "C", |p, m| (m.cpu_permille(p) / 10).min(99).to_string()),
    column(&["pmem", "%mem"], "%MEM", memory),
    column(&["vsz", "vsize"], "VSZ", |p, _| (p.virtual_size / 1024).to_string()),
    column(&["rss", "rssize", "rsz"], "RSS", |p, m| (p.resident * m.page / 1024).to_string()),
    column(&["tty", "tt", "tname"], "TTY", |p, _| terminal(p.terminal)),
    column(&["stat"], "STAT", |p, _| state(p)),
    column(&["state", "s"], "S", |p, _| p.state.to_string()),
    column(&["start", "start_time", "bsdstart"], "START", started),
    column(&["stime"], "STIME", started),
    column(&["time", "cputime"], "TIME", |p, m| clock(m.cpu_seconds(p))),
    column(&["bsdtime"], "TIME", |p, m| minutes(m.cpu_seconds(p))),
    column(&["etime"], "ELAPSED", |p, m| elapsed(m.age(p))),
    column(&["etimes"], "ELAPSED", |p, m| m.age(p).to_string()),
    column(&["ni", "nice"], "NI", |p, _| p.nice.to_string()),
    column(&["pri"], "PRI", |p, _| (39 - p.priority).to_string()),
    column(&["nlwp", "thcount"], "NLWP", |p, _| p.threads.to_string()),
    column(&["psr"], "PSR", |p, _| p.processor.to_string()),
];

/// The column of a name in `-o`.
pub(super) fn by_name(name: &str) -> Option<&'static Column> {
    NAMED.iter().find(|c| c.names.contains(&name))
}

fn cpu(process: &Process, machine: &mut Machine) -> String {
    let permille = machine.cpu_permille(process);
    format!("{}.{}", permille / 10, permille % 10)
}

fn memory(process: &Process, machine: &mut Machine) -> String {
    let permille =
        (process.resident * machine.page * 1000).checked_div(machine.memory).unwrap_or(0);
    format!("{}.{}", permille / 10, permille % 10)
}

/// `12:34` today, `Nov24` this year, else the year.
fn started(process: &Process, machine: &mut Machine) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Some((start, now)) = machine.started(process) else { return "?".into() };
    if (start.year, start.month, start.day) == (now.year, now.month, now.day) {
        format!("{:02}:{:02}", start.hour, start.minute)
    } else if start.year == now.year {
        let month = MONTHS.get(usize::from(start.month) - 1).copied().unwrap_or("?");
        format!("{month}{:02}", start.day)
    } else {
        start.year.to_string()
    }
}

/// `pts/0`, `tty1`, `?`. The number is the kernel's old encoding of a device (proc_pid_stat(5), tty_nr).
fn terminal(number: i64) -> String {
    let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xfff00));
    match major {
        136..=143 => format!("pts/{}", minor + (major - 136) * 256),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        _ => "?".into(),
    }
}

/// The state with ps' further marks: high and low priority, session leader, threads, foreground.
fn state(process: &Process) -> String {
    let mut text = process.state.to_string();
    match process.nice {
        ..0 => text.push('<'),
        1.. => text.push('N'),
        0 => {}
    }
    if process.session == i64::from(process.pid) {
        text.push('s');
    }
    if process.threads > 1 {
        text.push('l');
    }
    if process.foreground == process.group {
        text.push('+');
    }
    text
}

/// `00:00:00`, with days `1-00:00:00`.
fn clock(seconds: u64) -> String {
    let (days, rest) = (seconds / 86400, seconds % 86400);
    let time = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days > 0 { format!("{days}-{time}") } else { time }
}

/// `0:00`.
fn minutes(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// `00:00`, with hours and days as needed.
fn elapsed(seconds: u64) -> String {
    if seconds < 3600 { format!("{:02}:{:02}", seconds / 60, seconds % 60) } else { clock(seconds) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_and_times_are_written_as_ps_does() {
        assert_eq!(terminal(0), "?");
        assert_eq!(terminal(0x8800), "pts/0");
        assert_eq!(terminal(0x8803), "pts/3");
        assert_eq!(terminal(0x0401), "tty1");
        assert_eq!(clock(90_061), "1-01:01:01");
        assert_eq!(minutes(61), "1:01");
        assert_eq!(elapsed(59), "00:59");
        assert_eq!(elapsed(3600), "01:00:00");
    }
}

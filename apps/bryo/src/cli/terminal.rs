//! The user's terminal: raw while a session runs, its size, and back to what it was whatever happens.

use std::io::IsTerminal;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Raw mode; dropping it restores the terminal.
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// Makes standard input raw; `None` when it is no terminal.
    pub fn enter() -> Option<Raw> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw).ok()?;
        Some(Raw { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The terminal may be gone; there is nobody left to tell.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Whether standard input is a terminal.
pub fn stdin_is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// Whether standard output is a terminal.
pub fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Rows and columns of the terminal at standard output.
pub fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// A terminal that does not show what is typed; dropping it shows it again.
pub struct Silent {
    before: Termios,
}

impl Silent {
    /// Silences standard input; `None` when it is no terminal.
    pub fn enter() -> Option<Silent> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(rustix::termios::LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Now, &silent).ok()?;
        Some(Silent { before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // The terminal may be gone; there is nobody left to tell.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}

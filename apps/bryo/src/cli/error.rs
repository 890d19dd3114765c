//! The command line's errors: a text for the user and an exit code.

use std::fmt;

/// Why a command ends badly.
#[derive(Debug, Clone)]
pub struct CliError {
    message: String,
    code: u8,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Failed,
    Usage,
    Config,
    Help,
    Daemon(u16),
}

/// The result of a command.
pub type Result<T, E = CliError> = std::result::Result<T, E>;

impl CliError {
    /// Something failed: exit code 1.
    pub fn new(message: impl Into<String>) -> CliError {
        CliError { message: message.into(), code: 1, kind: Kind::Failed }
    }

    /// The command line is wrong: exit code 125, and a hint at the help.
    pub fn usage(message: impl Into<String>) -> CliError {
        CliError { message: message.into(), code: 125, kind: Kind::Usage }
    }

    /// What `run` or `create` was told cannot be: exit code 125, and a hint at the help.
    pub fn config(message: impl Into<String>) -> CliError {
        CliError { message: message.into(), code: 125, kind: Kind::Config }
    }

    /// The user asked for help.
    pub fn help() -> CliError {
        CliError { message: String::new(), code: 0, kind: Kind::Help }
    }

    /// The daemon refused, with this status.
    pub fn daemon(status: u16, message: &str) -> CliError {
        CliError {
            message: format!("Error response from daemon: {message}"),
            code: 1,
            kind: Kind::Daemon(status),
        }
    }

    /// Only an exit code: everything was said already.
    pub fn exit(code: u8) -> CliError {
        CliError { message: String::new(), code, kind: Kind::Failed }
    }

    /// The same with another exit code.
    pub fn with_code(self, code: u8) -> CliError {
        CliError { code, ..self }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// The daemon's status, if it was the daemon.
    pub fn status(&self) -> Option<u16> {
        match self.kind {
            Kind::Daemon(status) => Some(status),
            _ => None,
        }
    }

    /// Whether the command line was wrong.
    pub fn is_usage(&self) -> bool {
        self.kind == Kind::Usage
    }

    /// Whether what was asked for cannot be.
    pub fn is_config(&self) -> bool {
        self.kind == Kind::Config
    }

    /// Whether help was asked for.
    pub fn is_help(&self) -> bool {
        self.kind == Kind::Help
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

impl From<std::io::Error> for CliError {
    fn from(e: std::io::Error) -> CliError {
        CliError::new(e.to_string())
    }
}

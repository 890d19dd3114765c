//! What a check found: one fact, how much it matters, and the command that changes it.

use bryo_rootless::SetupError;
use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Without it the engine does not do what is expected of it; exit status 1.
    Required,
    /// Something works less well.
    Recommended,
    /// Good to know.
    Information,
}

/// What changes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "by", content = "lines")]
pub enum Mend {
    /// Nothing to do, or nothing can be done here.
    Nothing,
    /// Lines of a shell script to be run as root.
    Root(Vec<String>),
    /// Commands of the user's own, or sentences.
    User(Vec<String>),
}

/// See above.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable short name, for scripts.
    pub id: &'static str,
    /// How much it matters if it is not well.
    pub level: Level,
    /// All is well.
    pub ok: bool,
    /// One sentence without a full stop.
    pub text: String,
    /// The value that was found, with where it was found; may be empty.
    pub seen: String,
    /// What changes it.
    pub mend: Mend,
    /// Nothing that comes after it makes sense.
    #[serde(skip)]
    pub last: bool,
}

impl Finding {
    /// All is well.
    pub fn good(id: &'static str, level: Level, text: impl Into<String>) -> Finding {
        let (seen, mend) = (String::new(), Mend::Nothing);
        Finding { id, level, ok: true, text: text.into(), seen, mend, last: false }
    }

    /// Something is not well.
    pub fn bad(id: &'static str, level: Level, text: impl Into<String>) -> Finding {
        Finding { ok: false, ..Finding::good(id, level, text) }
    }

    /// Something that the engine would refuse or warn of, in its words.
    pub fn from_refusal(id: &'static str, level: Level, e: &SetupError) -> Finding {
        let finding = Finding::bad(id, level, e.cause.clone()).seen(e.seen.clone());
        match root_commands(&e.mend) {
            Some(lines) => finding.root(lines),
            None => finding.user(e.mend.lines()),
        }
    }

    /// With the value that was found.
    pub fn seen(self, seen: impl Into<String>) -> Finding {
        Finding { seen: seen.into(), ..self }
    }

    /// With a root's script that changes it.
    pub fn root<T: Into<String>>(self, lines: impl IntoIterator<Item = T>) -> Finding {
        Finding { mend: Mend::Root(lines.into_iter().map(Into::into).collect()), ..self }
    }

    /// With what the user can do about it.
    pub fn user<T: Into<String>>(self, lines: impl IntoIterator<Item = T>) -> Finding {
        Finding { mend: Mend::User(lines.into_iter().map(Into::into).collect()), ..self }
    }

    /// Nothing that comes after it makes sense.
    pub fn stop(self) -> Finding {
        Finding { last: true, ..self }
    }

    /// Whether it is missing and required.
    pub fn is_missing(&self) -> bool {
        !self.ok && self.level == Level::Required
    }
}

/// The commands of a refusal as lines of root's own script; none if they are sentences, or not all root's.
fn root_commands(mend: &str) -> Option<Vec<String>> {
    let lines: Vec<&str> = mend.lines().filter(|line| !line.starts_with("Hint:")).collect();
    let script = ["sudo ", "echo ", "cat <<"];
    let first = lines.first()?;
    if !script.iter().any(|word| first.starts_with(word)) || !mend.contains("sudo ") {
        return None;
    }
    if lines.iter().any(|line| line.starts_with("or ") || line.starts_with("then ")) {
        return None;
    }
    Some(lines.iter().map(|line| line.replace("sudo ", "")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusals_commands_become_roots_script_and_sentences_stay() {
        let e = SetupError::new("c", "s", "echo 'a = 1' | sudo tee /etc/x\nsudo sysctl --system");
        let finding = Finding::from_refusal("x", Level::Required, &e);
        let lines = ["echo 'a = 1' | tee /etc/x", "sysctl --system"].map(String::from);
        assert_eq!(finding.mend, Mend::Root(lines.to_vec()));
        let e = SetupError::new("c", "s", "sudo mount -o remount,exec /x\nor give another folder");
        assert!(matches!(Finding::from_refusal("x", Level::Required, &e).mend, Mend::User(_)));
        let e = SetupError::new("c", "s", "inside a container: run it with sudo ");
        assert!(matches!(Finding::from_refusal("x", Level::Required, &e).mend, Mend::User(_)));
    }
}

//! Findings and messages as the user reads them: rootless Docker's prefixes, one block of commands to copy, or JSON.

use std::io::IsTerminal;

use bryo_rootless::SetupError;
use serde_json::{Value, json};

use super::finding::{Finding, Level, Mend};

/// Prints lines with a prefix: `[INFO]` to stdout, `[WARNING]` and `[ERROR]` to stderr, coloured on terminals unless NO_COLOR
/// is set.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    out_colour: bool,
    err_colour: bool,
}

impl Printer {
    /// For this process' streams.
    pub fn new() -> Printer {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Printer {
            out_colour: wanted && std::io::stdout().is_terminal(),
            err_colour: wanted && std::io::stderr().is_terminal(),
        }
    }

    /// Something the user may want to know.
    pub fn info(&self, text: &str) {
        println!("{} {text}", paint(self.out_colour, "92", "[INFO]"));
    }

    /// Something that works less well.
    pub fn warning(&self, text: &str) {
        eprintln!("{} {text}", paint(self.err_colour, "93", "[WARNING]"));
    }

    /// Something that failed.
    pub fn error(&self, text: &str) {
        eprintln!("{} {text}", paint(self.err_colour, "91", "[ERROR]"));
    }

    /// A refusal with its value and its commands.
    pub fn refusal(&self, e: &SetupError) {
        e.to_string().lines().for_each(|line| self.error(line));
    }

    /// One finding that is not well, with what the user can do; root's commands come later, in a block.
    pub fn finding(&self, finding: &Finding) {
        let print = |text: &str| match finding.level {
            Level::Required => self.error(text),
            Level::Recommended => self.warning(text),
            Level::Information => self.info(text),
        };
        print(&finding.text);
        if !finding.seen.is_empty() {
            print(&format!("  seen: {}", finding.seen));
        }
        let Mend::User(lines) = &finding.mend else { return };
        for (i, line) in lines.iter().enumerate() {
            let head = if i == 0 { "  mend: " } else { "        " };
            print(&format!("{head}{line}"));
        }
    }

    /// What root must mend, as one block to copy; nothing if there is nothing of that kind.
    pub fn required(&self, findings: &[Finding]) {
        let lines = instructions(findings, Level::Required);
        if lines.is_empty() {
            return;
        }
        self.error("Missing system requirements. Run the following commands to");
        self.error("install the requirements and run this tool again.");
        if findings.iter().any(|f| f.is_missing() && f.id == "netfilter") {
            self.error("Alternatively iptables checks can be disabled with --skip-iptables .");
        }
        println!("\n########## BEGIN ##########\n{}\n########## END ##########\n", script(&lines));
    }

    /// What root could improve, likewise.
    pub fn recommended(&self, findings: &[Finding]) {
        let lines = instructions(findings, Level::Recommended);
        if !lines.is_empty() {
            self.warning("Recommended, but not required; the following commands change what is warned of above:");
            println!(
                "\n########## RECOMMENDED ##########\n{}\n########## END ##########\n",
                script(&lines)
            );
        }
    }
}

fn paint(colour: bool, code: &str, text: &str) -> String {
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Root's lines for everything of that level that is not well.
fn instructions(findings: &[Finding], level: Level) -> Vec<String> {
    let missing = findings.iter().filter(|f| !f.ok && f.level == level);
    let lines = missing.filter_map(|f| match &f.mend {
        Mend::Root(lines) => Some(lines.clone()),
        _ => None,
    });
    let mut lines: Vec<String> = lines.flatten().collect();
    // Several settings, read in once.
    let again = "sysctl --system";
    let before = lines.len();
    lines.retain(|line| line != again);
    if lines.len() < before {
        lines.push(again.into());
    }
    lines
}

fn script(lines: &[String]) -> String {
    format!("sudo sh -eux <<EOF\n{}\nEOF", lines.join("\n"))
}

/// Findings for scripts: `{"ok", "checks": [{"id", "level", "ok", "text", "seen", "mend": {"by", "lines"}}], "commands"}`.
pub fn json(findings: &[Finding]) -> Value {
    let lines = instructions(findings, Level::Required);
    json!({
        "ok": !findings.iter().any(Finding::is_missing),
        "checks": findings,
        "commands": if lines.is_empty() { Value::Null } else { script(&lines).into() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_what_is_missing_and_how_to_mend_it() {
        let findings = [
            Finding::good("a", Level::Required, "fine"),
            Finding::bad("b", Level::Required, "b is missing").root(["# Install b", "apt b"]),
            Finding::bad("c", Level::Recommended, "c would help").root(["modprobe c"]),
        ];
        let value = json(&findings);
        assert_eq!(value["ok"], false);
        assert_eq!(value["commands"], "sudo sh -eux <<EOF\n# Install b\napt b\nEOF");
        assert_eq!(value["checks"][1]["mend"]["by"], "root");
        assert_eq!(value["checks"][2]["level"], "recommended");
        assert_eq!(json(&findings[..1])["commands"], Value::Null);
    }
}

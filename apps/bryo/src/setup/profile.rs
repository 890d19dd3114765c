//! Without systemd: the lines of a login shell's profile that start the engine, put in and taken out between two marks.

use std::path::{Path, PathBuf};

use bryo_rootless::SetupError;

use super::Setup;
use super::place::{Place, file_error, write_file};

const BEGIN: &str = "# BEGIN bryo setup";
const END: &str = "# END bryo setup";

/// The profile that the user's login shell reads.
pub fn file(setup: &Setup) -> PathBuf {
    let home = &setup.user.surroundings.home;
    let shell = std::env::var("SHELL").unwrap_or_default();
    if shell.ends_with("/zsh") {
        return home.join(".zprofile");
    }
    // bash reads the first of these and not ~/.profile.
    let own = [".bash_profile", ".bash_login"].map(|name| home.join(name));
    let bash = own.into_iter().find(|file| shell.ends_with("/bash") && file.exists());
    bash.unwrap_or_else(|| home.join(".profile"))
}

/// The lines: nothing happens where an engine answers already.
pub fn snippet(setup: &Setup, place: &Place) -> String {
    let program = shell_word(&setup.user.program.display().to_string());
    let log = shell_word(&place.log.display().to_string());
    let folder = place.log.parent().map(|dir| shell_word(&dir.display().to_string()));
    let host = shell_word(&place.host());
    let runtime = setup.made_runtime.as_ref().map(|dir| {
        let dir = shell_word(&dir.display().to_string());
        format!("export XDG_RUNTIME_DIR={dir}; mkdir -p -m 700 \"$XDG_RUNTIME_DIR\"\n")
    });
    format!(
        "{BEGIN}\n{}if ! {program} --host {host} version >/dev/null 2>&1; then\n  \
         mkdir -p {}\n  \
         setsid {program} daemon >>{log} 2>&1 </dev/null &\nfi\n{END}\n",
        runtime.unwrap_or_default(),
        folder.unwrap_or_default(),
    )
}

/// Puts the lines in, or their newer version in place of the older; whether the file changed.
pub fn add(setup: &Setup, place: &Place) -> Result<bool, SetupError> {
    let file = file(setup);
    let old = read(&file)?;
    let mut text = without(&old);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text += &snippet(setup, place);
    if text == old {
        return Ok(false);
    }
    write_file(&file, &text).map(|()| true)
}

/// Takes the lines out; whether there were any.
pub fn remove(file: &Path) -> Result<bool, SetupError> {
    let old = read(file)?;
    let text = without(&old);
    if text == old {
        return Ok(false);
    }
    if text.is_empty() {
        return std::fs::remove_file(file)
            .map(|()| true)
            .map_err(|e| file_error("remove", file, &e));
    }
    write_file(file, &text).map(|()| true)
}

fn read(file: &Path) -> Result<String, SetupError> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(file_error("read", file, &e)),
    }
}

/// The text without our lines. A begin without its end is left alone: somebody edited it.
fn without(text: &str) -> String {
    let Some((before, rest)) = text.split_once(BEGIN) else { return text.to_owned() };
    let Some((_, after)) = rest.split_once(END) else { return text.to_owned() };
    format!("{before}{}", after.strip_prefix('\n').unwrap_or(after))
}

/// A word for sh.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_lines_go_and_the_others_stay() {
        let text = format!("a\n{BEGIN}\nx\n{END}\nb\n");
        assert_eq!(without(&text), "a\nb\n");
        assert_eq!(without("a\n"), "a\n");
        let torn = format!("a\n{BEGIN}\nx\n");
        assert_eq!(without(&torn), torn);
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(shell_word("/usr/bin/bryo"), "/usr/bin/bryo");
        assert_eq!(shell_word("it's"), "'it'\\''s'");
        assert_eq!(shell_word(""), "''");
    }
}

//! What the policy tests share: where the repository is, and its Rust sources with comments and texts taken out.
//!
//! A failure to read a file ends the test that asked for it, naming the file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

mod source;

pub use source::code_only;

/// The repository's root folder.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// One text file of the repository.
#[derive(Debug, Clone)]
pub struct TextFile {
    /// Path relative to the repository's root, with `/`.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// All files below `folder` (relative to the root) whose names end in `.extension`, sorted by path; build output and
/// hidden folders are left out.
///
/// # Errors
/// The first folder or file that cannot be read.
pub fn files(folder: &str, extension: &str) -> io::Result<Vec<TextFile>> {
    let mut found = Vec::new();
    collect(&root().join(folder), extension, &mut found)?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn collect(folder: &Path, extension: &str, found: &mut Vec<TextFile>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" || name == "__pycache__" {
            continue;
        }
        if path.is_dir() {
            collect(&path, extension, found)?;
        } else if path.extension().is_some_and(|e| e == extension) {
            let text = fs::read_to_string(&path)
                .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
            let relative = path.strip_prefix(root()).unwrap_or(&path);
            found.push(TextFile { path: relative.to_string_lossy().into_owned(), text });
        }
    }
    Ok(())
}

/// The names in the first column of the table in ARCHITECTURE.md whose header's first cell is `header`.
pub fn table_column(markdown: &str, header: &str) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let mut inside = false;
    for line in markdown.lines() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        if !line.trim_start().starts_with('|') {
            inside = false;
        } else if cells.first() == Some(&header) {
            inside = true;
        } else if inside && !cells.first().is_some_and(|c| c.starts_with("---")) {
            let name = cells.first().unwrap_or(&"").trim_matches('`').to_owned();
            rows.push((name, cells.get(1..).unwrap_or_default().join(" | ")));
        }
    }
    rows
}

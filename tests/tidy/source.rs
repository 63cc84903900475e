//! Rust sources as lines of text, for rules that need no more: comments and literals apart from code, tests apart from the rest.

use std::fs;
use std::path::{Path, PathBuf};

/// A Rust file.
pub struct Source {
    /// From the repository's root.
    pub path: String,
    /// The lines as they are.
    pub lines: Vec<String>,
    /// The lines without comments, and with empty string and character literals.
    pub code: Vec<String>,
    /// Whether a line belongs to an item that only tests have.
    test: Vec<bool>,
}

impl Source {
    fn read(path: &Path) -> Source {
        let text = fs::read_to_string(path).unwrap();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let code: Vec<String> = code_of(&text).lines().map(str::to_owned).collect();
        let path = path.strip_prefix(root()).unwrap().to_str().unwrap();
        Source { path: path.to_owned(), test: test_lines(&lines), lines, code }
    }

    /// `src/net/http/mod.rs` → `["net", "http"]`, `src/sys.rs` → `["sys"]`, the crate root → nothing.
    pub fn module(&self) -> Vec<&str> {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let path = path.strip_suffix(".rs").unwrap_or(path);
        path.split('/').filter(|name| !["mod", "lib"].contains(name)).collect()
    }

    /// Lines of code by number from 1, with whether they are for tests.
    pub fn numbered(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        let lines = self.code.iter().zip(&self.test).enumerate();
        lines.map(|(at, (code, test))| (at + 1, code.as_str(), *test))
    }

    pub fn at(&self, line: usize, rule: &str) -> String {
        format!("{}:{line}: {rule}", self.path)
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn files_in(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            found.push(path);
        } else if !path.ends_with("node_modules") && !path.ends_with("__pycache__") {
            files_in(&path, found);
        }
    }
}

pub fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    files_in(&root().join("src"), &mut found);
    found.sort();
    found.iter().map(|path| Source::read(path)).collect()
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Takes comments out and empties literals; newlines stay where they are.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = literal_len(rest, code.chars().next_back());
        let skipped = &rest[..len];
        if len == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        if !skipped.starts_with('/') {
            code.push_str("\"\"");
        }
        code.extend(skipped.chars().filter(|char| *char == '\n'));
        rest = &rest[len..];
    }
    code
}

/// Length of the comment or literal that `text` begins with; 0 for anything else. `before` tells `r"` from `bar"`.
fn literal_len(text: &str, before: Option<char>) -> usize {
    let whole = |end: Option<usize>| end.unwrap_or(text.len());
    let in_word = before.is_some_and(|char| char.is_alphanumeric() || char == '_');
    let hashes = text.chars().skip(1).take_while(|char| *char == '#').count();
    if text.starts_with("//") {
        return whole(text.find('\n'));
    }
    if text.starts_with("/*") {
        return whole(text.find("*/").map(|at| at + 2));
    }
    if text.starts_with('r') && !in_word && text[1 + hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let from = 2 + hashes;
        return whole(text[from..].find(&end).map(|at| from + at + end.len()));
    }
    if text.starts_with('"') {
        return quoted_len(text, '"');
    }
    // A lifetime has no second quote after its first character.
    let escaped = text.starts_with("'\\");
    if text.starts_with('\'') && (escaped || text.chars().nth(2) == Some('\'')) {
        return quoted_len(text, '\'');
    }
    0
}

fn quoted_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        if char == quote && !escaped {
            return at + 1;
        }
        escaped = char == '\\' && !escaped;
    }
    text.len()
}

/// Marks the lines of each item under `#[cfg(test)]`: to its closing brace, which rustfmt puts below its first line's start.
fn test_lines(lines: &[String]) -> Vec<bool> {
    let mut test = vec![false; lines.len()];
    let mut at = 0;
    while at < lines.len() {
        let indent = &lines[at][..lines[at].len() - lines[at].trim_start().len()];
        if lines[at].trim() == "#[cfg(test)]" {
            let close = format!("{indent}}}");
            let is_end = |line: &String| {
                *line == close
                    || line.ends_with(';') && line.starts_with(indent) && !line[indent.len()..].starts_with(' ')
            };
            let end = lines[at..].iter().position(is_end).map_or(lines.len() - 1, |len| at + len);
            test[at..=end].fill(true);
            at = end;
        }
        at += 1;
    }
    test
}

/// Whether `word` stands in `code` as a whole word.
pub fn has_word(code: &str, word: &str) -> bool {
    let part = |char: char| char.is_alphanumeric() || char == '_';
    code.match_indices(word).any(|(at, _)| !code[..at].ends_with(part) && !code[at + word.len()..].starts_with(part))
}

/// Fails with one line for each violation.
#[track_caller]
pub fn hold(violations: Vec<String>) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn comments_are_taken_out_and_literals_emptied() {
    let text = "a; // unsafe {\n/* b\nc */ d(\"e // \\\" f\", 'g', '\\'', r#\"h\" i\"#); fn j<'k>(l: &'k str)";
    assert_eq!(code_of(text), "a; \n\n d(\"\", \"\", \"\", \"\"); fn j<'k>(l: &'k str)");
}

#[test]
fn items_for_tests_end_at_their_brace() {
    let text = "a\n#[cfg(test)]\nmod tests {\n    }\n}\nb\n#[cfg(test)]\nuse c;\nd";
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(test_lines(&lines), [false, true, true, true, true, false, true, true, false]);
}

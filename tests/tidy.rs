//! The house rules of `CONTRIBUTING.md`, held by tests: which module may use which, where `unsafe` may be, how long files and
//! functions may grow, and numbers and names that are written in two places.
//!
//! The rules read the sources as text, comments and literals taken out; they rely on rustfmt's layout only to tell tests from
//! the rest. They judge no meaning: that is clippy's business, and the reader's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use source::{Source, files_in, has_word, hold, read, root, sources};

#[path = "tidy/contract.rs"]
mod contract;
#[path = "tidy/source.rs"]
mod source;

/// Lines of a file, above which it tells more than one story.
const FILE_LINES_MAX: usize = 600;
/// Lines of a function, above which it does not fit a screen.
const FUNCTION_LINES_MAX: usize = 60;

/// What each module of the crate may use of the others: dependencies point one way.
const MAY_USE: [(&str, &[&str]); 8] = [
    ("proto", &[]),
    ("sys", &[]),
    ("queue", &["sys"]),
    ("server", &["proto", "queue", "sys"]),
    ("cluster", &["proto", "queue", "server", "sys"]),
    ("net", &["proto", "queue", "server", "sys"]),
    ("options", &["proto", "server", "net"]),
    ("ffi", &["proto", "queue", "server", "net", "cluster", "options", "sys"]),
];

/// What ends a process, or speaks on a stream that is the host's. Assertions say what cannot be.
const BANNED_CALLS: [&str; 10] = [
    ".unwrap()",
    ".expect(\"",
    ".expect(&",
    "panic!(",
    "todo!(",
    "unimplemented!(",
    "unreachable!(",
    "dbg!(",
    "println!(",
    "print!(",
];

// ---- the shape of the code ------------------------------------------------------------------------------------------------

#[test]
fn dependencies_point_one_way() {
    let mut violations = Vec::new();
    for source in sources() {
        let module = source.module();
        let Some(own) = module.first() else { continue };
        let allowed = MAY_USE.iter().find(|(name, _)| name == own);
        let Some((_, allowed)) = allowed else {
            violations.push(source.at(1, "a module that MAY_USE of tests/tidy.rs does not know"));
            continue;
        };
        for (line, code, test) in source.numbered() {
            for (at, path) in code.match_indices("crate::") {
                let used: String =
                    code[at + path.len()..].chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect();
                if used.is_empty() {
                    violations.push(
                        source.at(line, "import from `crate::` one module at a time, so that this test can read it"),
                    );
                } else if used != *own && !allowed.contains(&used.as_str()) {
                    violations.push(source.at(line, &format!("`{own}` may not use `{used}`")));
                }
            }
            let to_root = "super::".repeat(module.len() + usize::from(test));
            if code.contains(&to_root) {
                violations.push(source.at(line, "another module is named by `crate::`, not by `super::`"));
            }
        }
    }
    hold(violations);
}

#[test]
fn tokio_is_for_net_and_cluster() {
    let frames = "tokio_tungstenite::tungstenite::protocol::frame::";
    let mut violations = Vec::new();
    for source in sources() {
        let may = ["net", "cluster"].contains(&source.module().first().copied().unwrap_or_default());
        for (line, code, _) in source.numbered() {
            let code = match source.path.as_str() {
                "src/proto/websocket.rs" => code.replace(frames, ""),
                _ => code.to_owned(),
            };
            if !may && (code.contains("tokio") || code.contains("tungstenite")) {
                violations.push(source.at(
                    line,
                    "tokio is for src/net and src/cluster; src/proto/websocket.rs may use tungstenite's frames",
                ));
            }
        }
    }
    hold(violations);
}

#[test]
fn unsafe_code_is_for_ffi_and_sys() {
    let mut violations = Vec::new();
    for source in sources() {
        let may = ["ffi", "sys"].contains(&source.module().first().copied().unwrap_or_default());
        for (line, code, _) in source.numbered() {
            if !may && has_word(code, "unsafe") {
                violations.push(source.at(line, "`unsafe` is for src/ffi and src/sys.rs"));
            }
        }
    }
    hold(violations);
}

#[test]
fn each_unsafe_block_says_why_it_is_sound() {
    let mut violations = Vec::new();
    for source in sources() {
        for (line, code, _) in source.numbered() {
            let claims = ["unsafe {", "unsafe impl"].iter().any(|text| code.contains(text));
            if claims && !comment_above(&source, line).contains("SAFETY:") {
                violations.push(source.at(line, "a `// SAFETY:` comment belongs above the statement with `unsafe`"));
            }
        }
    }
    hold(violations);
}

/// The comment above the statement that the line, numbered from 1, is a part of.
fn comment_above(source: &Source, line: usize) -> String {
    let mut at = line - 1;
    while at > 0 {
        let above = source.lines[at - 1].trim();
        if above.starts_with("//") {
            let comment = source.lines[..at].iter().rev().map(|line| line.trim());
            return comment.take_while(|line| line.starts_with("//")).collect();
        }
        let starts_here = above.is_empty() || above.ends_with([';', '{', '}']) || above.ends_with("},");
        if starts_here {
            break;
        }
        at -= 1;
    }
    String::new()
}

#[test]
fn each_unsafe_function_says_what_it_asks_of_its_caller() {
    let mut violations = Vec::new();
    for source in sources() {
        for (line, code, _) in source.numbered() {
            let named = code.split_once("fn ").is_some_and(|(before, _)| has_word(before, "unsafe"));
            let above = source.lines[..line - 1].iter().rev().map(|line| line.trim());
            let mut head = above.take_while(|line| line.starts_with("///") || line.starts_with("#["));
            if named && !head.any(|line| line == "/// # Safety") {
                violations.push(source.at(line, "the docs of an unsafe function have a `# Safety` section"));
            }
        }
    }
    hold(violations);
}

#[test]
fn files_tell_one_story() {
    let sources = sources();
    let long = sources.iter().filter(|source| source.lines.len() > FILE_LINES_MAX);
    let report = |source: &Source| {
        let rule = format!("{} lines; a file has at most {FILE_LINES_MAX}", source.lines.len());
        source.at(FILE_LINES_MAX + 1, &rule)
    };
    hold(long.map(report).collect());
}

#[test]
fn functions_fit_a_screen() {
    let mut violations = Vec::new();
    for source in sources() {
        for (line, code, _) in source.numbered() {
            let name = code.split_once("fn ").map(|(_, rest)| rest).filter(|_| has_word(code, "fn"));
            let is_definition =
                name.is_some_and(|name| name.starts_with(|char: char| char.is_alphabetic() || char == '_'));
            let len = if is_definition { function_len(&source.code[line - 1..]) } else { 0 };
            if len > FUNCTION_LINES_MAX {
                let rule = format!("a function of {len} lines; at most {FUNCTION_LINES_MAX} fit a screen");
                violations.push(source.at(line, &rule));
            }
        }
    }
    hold(violations);
}

/// Lines from that of a function's `fn` to that of its closing brace; 1 for a declaration.
fn function_len(lines: &[String]) -> usize {
    let (mut braces, mut brackets) = (0, 0);
    for (at, line) in lines.iter().enumerate() {
        for char in line.chars() {
            match char {
                '{' => braces += 1,
                '}' => braces -= 1,
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets -= 1,
                ';' if braces == 0 && brackets == 0 => return 1,
                _ => continue,
            }
            if char == '}' && braces == 0 {
                return at + 1;
            }
        }
    }
    lines.len()
}

#[test]
fn no_value_trees_on_the_message_path() {
    let mut violations = Vec::new();
    for source in sources() {
        for (line, code, test) in source.numbered() {
            let imported = code.contains("use serde_json::{") && (has_word(code, "Value") || has_word(code, "Map"));
            let used =
                ["serde_json::Value", "serde_json::Map", "serde_json::json!"].iter().any(|text| code.contains(text));
            if !test && source.path != "src/options.rs" && (imported || used) {
                violations
                    .push(source.at(line, "JSON stays text; `serde_json::Value` is for src/options.rs and tests"));
            }
        }
    }
    hold(violations);
}

#[test]
fn nothing_ends_the_hosts_process_or_prints() {
    let mut violations = Vec::new();
    for source in sources() {
        for (line, code, test) in source.numbered() {
            let banned = BANNED_CALLS.iter().find(|call| code.contains(*call));
            if let Some(call) = banned.filter(|_| !test) {
                violations.push(
                    source.at(
                        line,
                        &format!("`{call}` is for tests: a peer's input is answered, and stdout is the host's"),
                    ),
                );
            }
        }
    }
    hold(violations);
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    let kinds = ["rs", "h", "hpp", "c", "cpp", "js", "py", "sh", "md", "toml"];
    let mut found = Vec::new();
    for folder in ["src", "include", "examples", "fuzz", "tests", "benches", "docs", "scripts"] {
        files_in(&root().join(folder), &mut found);
    }
    let is_ours =
        |path: &&PathBuf| path.extension().is_some_and(|kind| kinds.contains(&kind.to_str().unwrap_or_default()));
    let mut violations = Vec::new();
    for path in found.iter().filter(is_ours) {
        for (at, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
            if marks.iter().any(|mark| has_word(line, mark)) {
                let path = path.strip_prefix(root()).unwrap().display();
                violations.push(format!("{path}:{}: do it, or write an issue", at + 1));
            }
        }
    }
    hold(violations);
}

// ---- what is written in two places ------------------------------------------------------------------------------------------

#[test]
fn each_file_of_vectors_is_read_by_a_test() {
    let mut tests: Vec<String> = sources().iter().map(|source| source.lines.join("\n")).collect();
    let mut found = Vec::new();
    files_in(&root().join("tests/clients"), &mut found);
    let scripts = found.iter().filter(|path| path.extension().is_some_and(|kind| kind == "js" || kind == "py"));
    tests.extend(scripts.map(|path| fs::read_to_string(path).unwrap()));
    let mut vectors = Vec::new();
    files_in(&root().join("tests/vectors"), &mut vectors);
    assert!(!vectors.is_empty(), "tests/vectors is empty");
    let unread = vectors.iter().filter(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        !tests.iter().any(|text| text.contains(name))
    });
    hold(unread.map(|path| format!("{}:1: no test reads these vectors", path.display())).collect());
}

#[test]
fn the_committed_header_is_the_one_that_the_sources_give() {
    // build.rs has written it by now. Without git, or outside a checkout, there is nothing to compare with.
    let mut git = Command::new("git");
    let compared = git.args(["diff", "--exit-code", "--", "include/sockeye.h"]).current_dir(root()).output();
    if let Ok(output) = compared
        && output.status.code() == Some(1)
    {
        let changes = String::from_utf8_lossy(&output.stdout);
        hold(vec![format!("include/sockeye.h:1: add it to the commit that changes src/ffi\n{changes}")]);
    }
}

#[test]
fn the_header_declares_what_the_library_exports() {
    let mut exported = BTreeSet::new();
    for source in sources() {
        let marked = source.code.windows(2).filter(|pair| pair[0].trim() == "#[unsafe(no_mangle)]");
        let names = marked.filter_map(|pair| pair[1].split_once("fn ")?.1.split('(').next().map(str::to_owned));
        exported.extend(names);
    }
    let mut declared = BTreeSet::new();
    for line in read("include/sockeye.h").lines().filter(|line| !line.trim_start().starts_with("//")) {
        for (at, _) in line.match_indices("sockeye_") {
            let (name, after) = line[at..].split_at(
                line[at..].find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(line.len() - at),
            );
            if after.starts_with('(') {
                declared.insert(name.to_owned());
            }
        }
    }
    assert!(
        !exported.is_empty() && exported == declared,
        "only on one side: {:?}",
        exported.symmetric_difference(&declared).collect::<Vec<_>>()
    );
}

/// Numbers by name: of `pub const NAME: type = number;` and of enum variants `Name = number,`.
fn numbers(path: &str) -> BTreeMap<String, i64> {
    let text = read(path);
    let number = |line: &str| {
        let line = line.trim().trim_end_matches([';', ',']);
        let (name, value) = line.split_once(" = ")?;
        let name = name.strip_prefix("pub const ").unwrap_or(name);
        Some((name.split(':').next()?.to_owned(), value.parse().ok()?))
    };
    text.lines().filter_map(number).collect()
}

/// `TooBig` → `TOO_BIG`, `BadUtf8` → `BAD_UTF8`; `EVENT_ACK` stays.
fn screaming(name: &str) -> String {
    if name.contains('_') || name.to_uppercase() == name {
        return name.to_owned();
    }
    let mut text = String::new();
    for (at, char) in name.char_indices() {
        if at > 0 && char.is_uppercase() {
            text.push('_');
        }
        text.extend(char.to_uppercase());
    }
    text
}

#[track_caller]
fn same_numbers(path: &str, in_abi: impl Fn(&str) -> Option<String>) {
    let abi = numbers("src/ffi/constants.rs");
    let ours = numbers(path);
    let known = ours.iter().filter_map(|(name, number)| Some((name, number, in_abi(&screaming(name))?)));
    let known: Vec<_> = known.collect();
    assert!(!known.is_empty(), "{path} has no numbers of the ABI any more");
    let differ = known.iter().filter(|(_, number, twin)| abi.get(twin) != Some(number));
    let report = |(name, number, twin): &(&String, &i64, String)| {
        format!("{path}:1: {name} is {number}, {twin} is {:?}", abi.get(twin))
    };
    hold(differ.map(report).collect());
}

#[test]
fn event_numbers_are_those_of_the_abi() {
    same_numbers("src/server/event.rs", |name| {
        let (family, rest) = name.split_once('_')?;
        match (family, rest) {
            ("STATUS", "OK") => Some("SOCKEYE_OK".to_owned()),
            ("STATUS", _) => Some(format!("SOCKEYE_ERR_{rest}")),
            _ => Some(format!("SOCKEYE_EVENT_{rest}")),
        }
    });
}

#[test]
fn error_codes_are_those_of_the_abi() {
    same_numbers("src/server/error.rs", |name| Some(format!("SOCKEYE_ERR_{name}")));
}

#[test]
fn disconnect_reasons_are_those_of_the_abi() {
    same_numbers("src/server/reason.rs", |name| Some(format!("SOCKEYE_REASON_{name}")));
}

#[test]
fn room_changes_are_those_of_the_abi() {
    let changes = ["CREATE", "JOIN", "LEAVE", "DELETE"];
    same_numbers("src/server/namespace.rs", |name| changes.contains(&name).then(|| format!("SOCKEYE_ROOM_{name}")));
}

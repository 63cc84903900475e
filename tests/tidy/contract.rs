//! The C tests leave out nothing that the header has: no function, no pointer, no struct, no option.

use std::collections::BTreeSet;

use crate::read;
use crate::source::hold;

/// The header's code: comments left out.
fn header() -> String {
    let text = read("include/sockeye.h");
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

/// The functions that the header declares, each with its parameters.
fn functions() -> Vec<(String, Vec<String>)> {
    let declaration = |text: &str| {
        let (before, rest) = text.trim().split_once('(')?;
        let name = before.rsplit([' ', '*', '\n']).next()?;
        let (parameters, _) = rest.rsplit_once(')')?;
        let is_one = name.starts_with("sockeye_") && !before.contains("typedef");
        is_one.then(|| (name.to_owned(), split_arguments(parameters)))
    };
    header().split(';').filter_map(declaration).collect()
}

/// Splits at the commas that are in no parentheses or braces.
fn split_arguments(text: &str) -> Vec<String> {
    let (mut arguments, mut depth) = (vec![String::new()], 0);
    for char in text.chars() {
        match char {
            '(' | '{' => depth += 1,
            ')' | '}' => depth -= 1,
            ',' if depth == 0 => {
                arguments.push(String::new());
                continue;
            }
            _ => {}
        }
        arguments.last_mut().unwrap().push(char);
    }
    arguments.into_iter().map(|argument| argument.trim().to_owned()).collect()
}

/// The arguments of each call of a function in a C source.
fn calls(source: &str, function: &str) -> Vec<Vec<String>> {
    let mut calls = Vec::new();
    for (at, name) in source.match_indices(&format!("{function}(")) {
        let rest = &source[at + name.len()..];
        let mut depth = 1;
        let end = rest.find(|char| {
            depth += i32::from(char == '(') - i32::from(char == ')');
            depth == 0
        });
        calls.push(split_arguments(&rest[..end.unwrap_or(0)]));
    }
    calls
}

#[test]
fn each_pointer_is_tried_as_null() {
    let source = read("tests/c/test_null.c");
    let mut missing = Vec::new();
    for (function, parameters) in functions() {
        let calls = calls(&source, &function);
        for (at, parameter) in parameters.iter().enumerate().filter(|(_, parameter)| parameter.contains('*')) {
            if !calls.iter().any(|arguments| arguments.get(at).is_some_and(|argument| argument == "NULL")) {
                missing.push(format!("tests/c/test_null.c:1: {function} is not called with NULL for `{parameter}`"));
            }
        }
    }
    hold(missing);
}

#[test]
fn each_function_is_tried_in_every_circumstance() {
    let (table, functions) = (read("tests/c/test_every.c"), functions());
    assert!(functions.len() > 50, "the header declares {} functions", functions.len());
    let missing = functions.iter().filter(|(name, _)| !table.contains(&format!("ROW({name},")));
    hold(missing.map(|(name, _)| format!("tests/c/test_every.c:1: {name} has no ROW")).collect());
}

#[test]
fn each_struct_is_tried_in_every_size() {
    let (header, table) = (header(), read("tests/c/test_structs.c"));
    let sized = header.split("typedef struct ").filter_map(|text| {
        let (name, fields) = text.split_once(" {")?;
        fields.trim_start().starts_with("uint32_t size;").then_some(name)
    });
    let sized: BTreeSet<&str> = sized.collect();
    assert!(sized.len() > 10, "the header has {} structs with a size", sized.len());
    let has = |name: &str| table.contains(&format!("STRUCT({name},")) || table.contains(&format!("OUT({name},"));
    let missing = sized.iter().filter(|name| !has(name));
    hold(missing.map(|name| format!("tests/c/test_structs.c:1: {name} has no STRUCT or OUT")).collect());
}

/// `ping_interval` → `pingInterval`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| text + &word[..1].to_uppercase() + &word[1..])
}

#[test]
fn each_option_is_tried_out_of_its_range() {
    let (options, table) = (read("src/options.rs"), read("tests/c/test_ranges.c"));
    let (_, fields) = options.split_once("pub struct Options {").unwrap();
    let (fields, _) = fields.split_once("\n}").unwrap();
    let name = |line: &str| Some(camel(line.trim().strip_prefix("pub ")?.split_once(':')?.0));
    let names: Vec<String> = fields.lines().filter_map(name).collect();
    assert!(names.len() > 20, "{} options", names.len());
    let missing = names.iter().filter(|name| !table.contains(&format!("{{\"{name}\",")));
    hold(missing.map(|name| format!("tests/c/test_ranges.c:1: no row of `options` for {name}")).collect());
}

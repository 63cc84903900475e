//! Writes `include/sockeye.h` from `src/ffi`, and gives the shared library its soname.

use std::path::Path;
use std::{env, fs};

/// The chapters of the header, in reading order.
const CHAPTERS: [&str; 17] = [
    "constants",
    "types",
    "library",
    "engine",
    "close",
    "takeover",
    "events",
    "names",
    "sockets",
    "emit",
    "many",
    "cluster",
    "emitter",
    "broker",
    "metrics",
    "log",
    "json",
];
const HEADER: &str = "include/sockeye.h";

fn main() {
    println!("cargo:rerun-if-changed=cbindgen.toml");
    println!("cargo:rerun-if-changed=src/ffi");
    println!("cargo:rerun-if-changed={HEADER}");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libsockeye.so.{}", abi());
    let config = cbindgen::Config::from_file("cbindgen.toml").expect("cbindgen.toml is valid");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for chapter in CHAPTERS {
        builder = builder.with_src(format!("src/ffi/{chapter}.rs"));
    }
    let mut header = Vec::new();
    builder.generate().expect("src/ffi can be written as C").write(&mut header);
    let header = without_safety(&String::from_utf8(header).expect("the header is UTF-8"));
    // Of a package from a registry the sources cannot be written, and its header is whole.
    if fs::read_to_string(HEADER).is_ok_and(|old| old == header) || env::var_os("DOCS_RS").is_some() {
        return;
    }
    if let Some(folder) = Path::new(HEADER).parent() {
        fs::create_dir_all(folder).expect("include/ can be made");
    }
    fs::write(HEADER, header).expect("include/sockeye.h can be written");
}

/// `SOCKEYE_ABI`, which is the major of the soname.
fn abi() -> u32 {
    let constants = fs::read_to_string("src/ffi/constants.rs").expect("src/ffi/constants.rs can be read");
    let line = constants.lines().find(|line| line.contains("SOCKEYE_ABI: u32 =")).expect("SOCKEYE_ABI is there");
    line.rsplit(['=', ';']).nth(1).and_then(|number| number.trim().parse().ok()).expect("SOCKEYE_ABI is a number")
}

/// Leaves out what rustdoc wants of an unsafe function: for C it is said in the header's first lines.
fn without_safety(header: &str) -> String {
    let mut text = String::with_capacity(header.len());
    let mut skipping = false;
    let mut lines = header.lines().peekable();
    while let Some(line) = lines.next() {
        let ends_before_safety = line.trim() == "//" && lines.peek().is_some_and(|next| next.trim() == "// # Safety");
        skipping = ends_before_safety || (skipping && line.trim_start().starts_with("//"));
        if !skipping {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

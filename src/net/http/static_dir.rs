//! A folder of pages, read from the disk at each request on the caller's thread: good for the few small pages beside a game,
//! not a CDN. No ranges, no compression, no listings.
//!
//! Invariant: nothing outside the folder is ever read, whatever the path or the links in the folder say; hidden files do
//! not exist.

use super::files::{FILE_BYTES_MAX, FilesError, matches_etag, read_bounded};
use super::response::{empty, write_head};
use super::{Envelope, Head, Method};
use percent_encoding::percent_decode_str;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The page of a directory.
const INDEX: &str = "index.html";

/// Where dates of HTTP end: the year 10000, in seconds since 1970.
const YEAR_10000_S: u64 = 253_402_300_800;

/// A folder whose files are served below a path.
#[derive(Debug)]
pub struct StaticDir {
    /// Empty, or a path such as `/pages` without a slash at its end.
    prefix: String,
    /// Without links.
    root: PathBuf,
}

/// What a path leads to.
enum Target {
    File(PathBuf, Metadata),
    /// A directory asked for without the slash that makes the links on its page work.
    Directory,
}

impl StaticDir {
    /// Serves `folder` below the path `prefix` (`/` for everything).
    ///
    /// # Errors
    /// If `folder` is not a readable directory.
    pub fn open(prefix: &str, folder: &Path) -> Result<StaticDir, FilesError> {
        let root = folder.canonicalize().map_err(|error| FilesError::new(folder, error))?;
        if !root.is_dir() {
            return Err(FilesError::new(folder, "not a directory"));
        }
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        Ok(StaticDir { prefix, root })
    }

    /// The prefix that it serves below; empty for everything.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Appends the answer to a request below the prefix: the file, 301 for a directory without its slash, 304, 404, or 405 for
    /// methods other than GET and HEAD. `false` means that the path is not below the prefix.
    pub fn answer(&self, head: &Head, envelope: &Envelope<'_>, out: &mut Vec<u8>) -> bool {
        let Some(rest) = head.path().strip_prefix(self.prefix.as_str()) else { return false };
        if !(rest.is_empty() || rest.starts_with('/')) {
            return false;
        }
        if !matches!(head.method(), Method::Get | Method::Head) {
            write_head(out, 405, &[("Allow", "GET, HEAD")], Some(0), envelope);
            return true;
        }
        match self.resolve(rest) {
            None => empty(out, 404, envelope),
            Some(Target::Directory) => redirect(head, envelope, out),
            Some(Target::File(path, metadata)) => send(&path, &metadata, head, envelope, out),
        }
        true
    }

    /// The file that `rest`, the path after the prefix, leads to; none for all that is absent or not to be seen.
    fn resolve(&self, rest: &str) -> Option<Target> {
        let mut path = self.root.clone();
        let mut segments = rest.split('/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            if segment.is_empty() && segments.peek().is_none() {
                break;
            }
            let name = percent_decode_str(segment).decode_utf8().ok()?;
            // The dot covers `.`, `..` and hidden files; a backslash is a separator to other systems.
            if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
                return None;
            }
            path.push(&*name);
        }
        let (path, metadata) = self.inside(&path)?;
        if !metadata.is_dir() {
            // `/page.html/` is no path of a file.
            return (!rest.ends_with('/')).then_some(Target::File(path, metadata));
        }
        if !rest.ends_with('/') {
            return Some(Target::Directory);
        }
        let (path, metadata) = self.inside(&path.join(INDEX))?;
        Some(Target::File(path, metadata))
    }

    /// The path without links and what is there, if that is in the folder.
    fn inside(&self, path: &Path) -> Option<(PathBuf, Metadata)> {
        let path = path.canonicalize().ok().filter(|path| path.starts_with(&self.root))?;
        let metadata = fs::metadata(&path).ok()?;
        Some((path, metadata))
    }
}

/// Sends the client to the same path with a slash at its end. The path cannot begin with `//`, which would name another
/// host: [`StaticDir::resolve`] takes no empty segments.
fn redirect(head: &Head, envelope: &Envelope<'_>, out: &mut Vec<u8>) {
    let query = head.query_text();
    let mark = if query.is_empty() { "" } else { "?" };
    let location = format!("{}/{mark}{query}", head.path());
    write_head(out, 301, &[("Location", &location)], Some(0), envelope);
}

fn send(path: &Path, metadata: &Metadata, head: &Head, envelope: &Envelope<'_>, out: &mut Vec<u8>) {
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return empty(out, 404, envelope);
    }
    let since_1970 = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let modified = UNIX_EPOCH + Duration::from_secs(since_1970.as_secs().min(YEAR_10000_S - 1));
    let etag = format!("W/\"{:x}-{:x}\"", metadata.len(), since_1970.as_millis());
    let last_modified = httpdate::fmt_http_date(modified);
    let headers = [
        ("Cache-Control", "public, max-age=0"),
        ("Last-Modified", last_modified.as_str()),
        ("ETag", etag.as_str()),
        ("Content-Type", content_type(path)),
        ("X-Content-Type-Options", "nosniff"),
    ];
    if is_fresh(head, &etag, modified) {
        return write_head(out, 304, headers.get(..3).unwrap_or_default(), None, envelope);
    }
    if head.method() == Method::Head {
        let length = usize::try_from(metadata.len()).ok();
        return write_head(out, 200, &headers, length, envelope);
    }
    match read_bounded(path) {
        Err(_) => empty(out, 404, envelope),
        Ok(body) => {
            write_head(out, 200, &headers, Some(body.len()), envelope);
            out.extend_from_slice(&body);
        }
    }
}

/// Whether the client's copy is current (RFC 9110 section 13.2.2: the tag decides, and the date only without a tag).
fn is_fresh(head: &Head, etag: &str, modified: SystemTime) -> bool {
    if let Some(value) = head.header("if-none-match") {
        return matches_etag(value, etag);
    }
    head.header("if-modified-since")
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(|text| httpdate::parse_http_date(text).ok())
        .is_some_and(|date| modified <= date)
}

/// The media type by the file's extension.
fn content_type(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|text| text.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "txt" | "md" => "text/plain; charset=utf-8",
        "json" | "map" => "application/json; charset=utf-8",
        "webmanifest" => "application/manifest+json; charset=utf-8",
        "xml" => "application/xml; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "wasm" => "application/wasm",
        "woff2" => "font/woff2",
        "woff" => "font/woff",
        "ttf" => "font/ttf",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "pdf" => "application/pdf",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{HeadLimits, parse_head};
    use super::*;
    use std::os::unix::fs::symlink;

    /// A folder that is gone after the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("sockeye-files-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Scratch(path)
        }

        fn file(&self, name: &str, content: &str) -> &Scratch {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
            self
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn head(method: &str, path: &str, headers: &str) -> Head {
        let text = format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
        parse_head(text.as_bytes(), &HeadLimits::default()).unwrap().unwrap().0
    }

    const ENVELOPE: Envelope<'static> =
        Envelope { extra_lines: b"X: y\r\n", keep_alive: true, date: b"Thu, 01 Jan 1970 00:00:00 GMT" };

    /// The answer as head and body, none if there is no answer.
    fn split(answered: bool, out: &[u8]) -> Option<(String, Vec<u8>)> {
        assert_eq!(answered, !out.is_empty());
        let end = out.windows(4).position(|part| part == b"\r\n\r\n")?;
        Some((String::from_utf8(out[..end].to_vec()).unwrap(), out[end + 4..].to_vec()))
    }

    fn ask(dir: &StaticDir, method: &str, path: &str, headers: &str) -> Option<(String, Vec<u8>)> {
        let mut out = Vec::new();
        let answered = dir.answer(&head(method, path, headers), &ENVELOPE, &mut out);
        split(answered, &out)
    }

    fn status(dir: &StaticDir, path: &str) -> String {
        let (answer, _) = ask(dir, "GET", path, "").unwrap();
        answer[9..12].to_string()
    }

    #[test]
    fn pages_are_served_with_their_types_and_validators() {
        let scratch = Scratch::new("pages");
        scratch.file("index.html", "home").file("sub/index.html", "sub").file("a b.css", "css");
        let dir = StaticDir::open("/", &scratch.0).unwrap();
        let (answer, body) = ask(&dir, "GET", "/?x=1", "").unwrap();
        assert!(answer.contains("\r\nContent-Type: text/html; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"));
        assert!(answer.contains("\r\nETag: W/\"4-") && answer.contains("\r\nLast-Modified: "));
        assert_eq!(body, b"home");
        assert_eq!(ask(&dir, "GET", "/sub/", "").unwrap().1, b"sub");
        let (answer, body) = ask(&dir, "HEAD", "/a%20b.css", "").unwrap();
        assert!(answer.contains("text/css") && answer.contains("\r\nContent-Length: 3\r\n") && body.is_empty());
        assert!(ask(&dir, "POST", "/", "").unwrap().0.contains("405 Method Not Allowed\r\nX: y\r\nAllow: GET, HEAD"));
        let (answer, _) = ask(&dir, "GET", "/sub?x=1", "").unwrap();
        assert!(answer.starts_with("HTTP/1.1 301 ") && answer.contains("\r\nLocation: /sub/?x=1\r\n"));
    }

    #[test]
    fn a_current_copy_of_a_page_is_not_sent_again() {
        let scratch = Scratch::new("fresh");
        scratch.file("index.html", "home");
        let dir = StaticDir::open("/", &scratch.0).unwrap();
        let (answer, _) = ask(&dir, "GET", "/", "").unwrap();
        let field = |name: &str| answer.split("\r\n").find_map(|line| line.strip_prefix(name)).unwrap().to_string();
        let fresh = |headers: &str| ask(&dir, "GET", "/", headers).unwrap().0.starts_with("HTTP/1.1 304");
        assert!(fresh(&format!("If-None-Match: {}\r\n", field("ETag: "))));
        assert!(fresh(&format!("If-Modified-Since: {}\r\n", field("Last-Modified: "))));
        assert!(!fresh("If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n"));
        assert!(!fresh(&format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {}\r\n", field("Last-Modified: "))));
    }

    #[test]
    fn a_mount_ends_at_a_segment() {
        let scratch = Scratch::new("mount");
        scratch.file("index.html", "home").file("a.txt", "a");
        let dir = StaticDir::open("/pages/", &scratch.0).unwrap();
        assert_eq!(status(&dir, "/pages/a.txt"), "200");
        assert!(ask(&dir, "GET", "/pages", "").unwrap().0.contains("\r\nLocation: /pages/\r\n"));
        assert!(ask(&dir, "GET", "/pagesa.txt", "").is_none());
        assert!(ask(&dir, "GET", "/", "").is_none());
    }

    #[test]
    fn nothing_outside_the_folder_is_served() {
        let scratch = Scratch::new("outside");
        scratch.file("secret.txt", "secret").file("www/ok.txt", "ok").file("www/.env", "hidden").file("www/d/x", "x");
        symlink(scratch.0.join("secret.txt"), scratch.0.join("www/link.txt")).unwrap();
        symlink(&scratch.0, scratch.0.join("www/up")).unwrap();
        symlink(scratch.0.join("www/ok.txt"), scratch.0.join("www/inner.txt")).unwrap();
        let dir = StaticDir::open("/", &scratch.0.join("www")).unwrap();
        assert_eq!(status(&dir, "/ok.txt"), "200");
        assert_eq!(status(&dir, "/inner.txt"), "200");
        let hostile = [
            "/../secret.txt",
            "/%2e%2e/secret.txt",
            "/..%2fsecret.txt",
            "/d/../../secret.txt",
            "/..%5csecret.txt",
            "/d%2fx",
            "/.env",
            "/%2eenv",
            "/ok.txt%00",
            "/ok.txt/",
            "/link.txt",
            "/up/secret.txt",
            "/up",
            "//ok.txt",
            "//evil.example/%2e%2e",
            "/%ff",
            "/d/",
            "/absent",
        ];
        for path in hostile {
            assert_eq!(status(&dir, path), "404", "{path}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let scratch = Scratch::new("absent");
        scratch.file("file", "");
        assert!(StaticDir::open("/", &scratch.0.join("no")).is_err());
        assert!(StaticDir::open("/", &scratch.0.join("file")).is_err());
    }
}

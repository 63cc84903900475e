//! The browser client that every Socket.IO server offers under its own path.
//!
//! [`ClientFiles`] holds eight files of the npm package `socket.io-client` in memory, each compressed when a coding is first
//! asked for and then kept. A request never touches the disk. Other pages are the business of
//! [`StaticDir`](super::StaticDir), which shares the entity tags and the bounded read below.

use super::compression::{Encoding, compress, negotiate};
use super::response::write_head;
use super::{Envelope, Head, Method};
use serde::Deserialize;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What the official server offers (`CLIENT_FILES`); other files of the package are not served.
const CLIENT_FILES: [&str; 8] = [
    "socket.io.js",
    "socket.io.js.map",
    "socket.io.min.js",
    "socket.io.min.js.map",
    "socket.io.esm.min.js",
    "socket.io.esm.min.js.map",
    "socket.io.msgpack.min.js",
    "socket.io.msgpack.min.js.map",
];

/// The official preference for the client files.
const CLIENT_ENCODINGS: [Encoding; 3] = [Encoding::Brotli, Encoding::Gzip, Encoding::Deflate];

/// Brotli at 5 takes 2 ms for the minified client (9 ms for the largest map) on the thread that is asked first; 11, Node's
/// choice, gives 8 % less for 60 ms (500 ms).
const CLIENT_LEVEL: u32 = 5;

/// The largest file that is read: each answer is a copy in memory.
pub(super) const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A file or folder that cannot be served.
#[derive(Debug)]
pub struct FilesError {
    path: PathBuf,
    what: String,
}

impl FilesError {
    pub(super) fn new(path: &Path, what: impl fmt::Display) -> FilesError {
        FilesError { path: path.to_path_buf(), what: what.to_string() }
    }
}

impl fmt::Display for FilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)
    }
}

impl std::error::Error for FilesError {}

/// The browser client, under the path of the engine.
#[derive(Debug)]
pub struct ClientFiles {
    /// `/socket.io/`
    mount: String,
    /// The version in quotes.
    etag: String,
    files: Vec<ClientFile>,
}

#[derive(Debug)]
struct ClientFile {
    name: &'static str,
    identity: Vec<u8>,
    /// In the order of [`CLIENT_ENCODINGS`]; filled when first asked for.
    coded: [OnceLock<Vec<u8>>; CLIENT_ENCODINGS.len()],
}

#[derive(Deserialize)]
struct Package {
    version: String,
}

impl ClientFiles {
    /// Loads the files from `folder`, which is the npm package `socket.io-client` or its `dist`, to serve them below `mount`
    /// (`/socket.io`, with or without a slash at its end).
    ///
    /// # Errors
    /// Names the file that cannot be read. The source maps may be absent.
    pub fn load(folder: &Path, mount: &str) -> Result<ClientFiles, FilesError> {
        let dist = if folder.join("dist").is_dir() { folder.join("dist") } else { folder.to_path_buf() };
        let mut files = Vec::with_capacity(CLIENT_FILES.len());
        for name in CLIENT_FILES {
            let path = dist.join(name);
            if name.ends_with(".map") && !path.exists() {
                continue;
            }
            files.push(ClientFile { name, identity: read_bounded(&path)?, coded: Default::default() });
        }
        let version = package_version(&dist)?;
        let etag = format!("\"{version}\"");
        Ok(ClientFiles { mount: format!("{}/", mount.trim_end_matches('/')), etag, files })
    }

    /// Appends the answer if the request is for one of the files; the official server asks for no particular method.
    pub fn answer(&self, head: &Head, envelope: &Envelope<'_>, out: &mut Vec<u8>) -> bool {
        let name = head.path().strip_prefix(self.mount.as_str());
        let Some(file) = self.files.iter().find(|file| Some(file.name) == name) else { return false };
        if head.header("if-none-match").is_some_and(|value| matches_etag(value, &self.etag)) {
            write_head(out, 304, &[], None, envelope);
            return true;
        }
        let encoding = negotiate(head.header("accept-encoding").unwrap_or_default(), &CLIENT_ENCODINGS);
        let body = file.body(encoding);
        let media_type = if file.name.ends_with(".map") { "json" } else { "javascript" };
        let content_type = format!("application/{media_type}; charset=utf-8");
        let headers = [
            ("Cache-Control", "public, max-age=0"),
            ("Content-Type", content_type.as_str()),
            ("ETag", self.etag.as_str()),
            ("Vary", "Accept-Encoding"),
            ("Content-Encoding", encoding.name().unwrap_or_default()),
        ];
        let used = if encoding == Encoding::Identity { 4 } else { 5 };
        write_head(out, 200, headers.get(..used).unwrap_or_default(), Some(body.len()), envelope);
        if head.method() != Method::Head {
            out.extend_from_slice(body);
        }
        true
    }
}

impl ClientFile {
    fn body(&self, encoding: Encoding) -> &[u8] {
        let slots = CLIENT_ENCODINGS.iter().zip(&self.coded);
        let Some((_, slot)) = slots.into_iter().find(|(of_slot, _)| **of_slot == encoding) else {
            return &self.identity;
        };
        slot.get_or_init(|| {
            let mut coded = Vec::new();
            compress(encoding, CLIENT_LEVEL, &self.identity, &mut coded);
            coded
        })
    }
}

/// The version in the `package.json` of the package that `dist` belongs to.
fn package_version(dist: &Path) -> Result<String, FilesError> {
    let beside = dist.join("package.json");
    let above = dist.parent().unwrap_or(dist).join("package.json");
    let path = if beside.exists() { beside } else { above };
    let package: Package =
        serde_json::from_slice(&read_bounded(&path)?).map_err(|error| FilesError::new(&path, error))?;
    let of_version = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
    if !package.version.bytes().all(of_version) {
        return Err(FilesError::new(&path, "the version is not a version"));
    }
    Ok(package.version)
}

/// Whether a list of entity tags holds this one; strong and weak forms are the same here (RFC 9110 section 8.8.3.2).
pub(super) fn matches_etag(list: &[u8], etag: &str) -> bool {
    let strong = etag.strip_prefix("W/").unwrap_or(etag).as_bytes();
    list.split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == strong)
}

/// Reads a file of at most [`FILE_BYTES_MAX`].
pub(super) fn read_bounded(path: &Path) -> Result<Vec<u8>, FilesError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(FilesError::new(path, error)),
        Ok(length) if length as u64 > FILE_BYTES_MAX => Err(FilesError::new(path, "too large to be served")),
        Ok(_) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{HeadLimits, parse_head};
    use super::*;
    use std::fs;

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

    const SCRIPT: &str = "hello hello hello hello hello hello hello hello";

    fn client(name: &str) -> (Scratch, ClientFiles) {
        let scratch = Scratch::new(name);
        scratch.file("package.json", r#"{"name":"socket.io-client","version":"4.8.3"}"#);
        for name in CLIENT_FILES.iter().filter(|name| **name != "socket.io.js.map") {
            scratch.file(&format!("dist/{name}"), SCRIPT);
        }
        scratch.file("dist/secret.js", "no");
        let files = ClientFiles::load(&scratch.0, "/socket.io/").unwrap();
        (scratch, files)
    }

    fn ask_client(files: &ClientFiles, method: &str, path: &str, headers: &str) -> Option<(String, Vec<u8>)> {
        let mut out = Vec::new();
        let answered = files.answer(&head(method, path, headers), &ENVELOPE, &mut out);
        split(answered, &out)
    }

    #[test]
    fn the_client_has_the_official_headers() {
        let (_scratch, files) = client("headers");
        let (answer, body) = ask_client(&files, "GET", "/socket.io/socket.io.js?v=1", "").unwrap();
        let expected = "HTTP/1.1 200 OK\r\nX: y\r\nCache-Control: public, max-age=0\r\n\
                        Content-Type: application/javascript; charset=utf-8\r\nETag: \"4.8.3\"\r\n\
                        Vary: Accept-Encoding\r\nContent-Length: 47\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
                        Connection: keep-alive";
        assert_eq!(answer, expected);
        assert_eq!(body, SCRIPT.as_bytes());
        let (answer, _) = ask_client(&files, "GET", "/socket.io/socket.io.min.js.map", "").unwrap();
        assert!(answer.contains("Content-Type: application/json; charset=utf-8"));
        let (answer, body) = ask_client(&files, "HEAD", "/socket.io/socket.io.js", "").unwrap();
        assert!(answer.contains("Content-Length: 47") && body.is_empty());
    }

    #[test]
    fn only_the_official_names_are_served() {
        let (_scratch, files) = client("names");
        for path in ["/socket.io/secret.js", "/socket.io/", "/socket.ioXsocket.io.js", "/socket.io/socket.io.js.map"] {
            assert!(ask_client(&files, "GET", path, "").is_none(), "{path}");
        }
    }

    #[test]
    fn a_current_copy_of_the_client_is_not_sent_again() {
        let (_scratch, files) = client("etag");
        for tag in ["\"4.8.3\"", "W/\"4.8.3\"", "\"x\", W/\"4.8.3\""] {
            let header = format!("If-None-Match: {tag}\r\n");
            let (answer, body) = ask_client(&files, "GET", "/socket.io/socket.io.js", &header).unwrap();
            assert!(answer.starts_with("HTTP/1.1 304 Not Modified\r\nX: y\r\nDate:"), "{answer}");
            assert!(body.is_empty());
        }
        let (answer, _) = ask_client(&files, "GET", "/socket.io/socket.io.js", "If-None-Match: \"4.8.2\"\r\n").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"));
    }

    #[test]
    fn the_client_is_compressed_once() {
        let (_scratch, files) = client("coded");
        let ask = || ask_client(&files, "GET", "/socket.io/socket.io.js", "Accept-Encoding: br, gzip\r\n").unwrap();
        let (answer, body) = ask();
        assert!(answer.contains("\r\nContent-Encoding: br\r\n"));
        assert!(body.len() < SCRIPT.len());
        let mut back = Vec::new();
        brotli::BrotliDecompress(&mut &*body, &mut back).unwrap();
        assert_eq!(back, SCRIPT.as_bytes());
        assert!(files.files[0].coded[0].get().is_some() && files.files[0].coded[1].get().is_none());
        assert_eq!(ask().1, body);
    }

    #[test]
    fn the_dist_folder_itself_will_do_and_a_missing_file_is_named() {
        let (scratch, _) = client("dist");
        assert_eq!(ClientFiles::load(&scratch.0.join("dist"), "/socket.io").unwrap().etag, "\"4.8.3\"");
        fs::remove_file(scratch.0.join("dist/socket.io.min.js")).unwrap();
        let error = ClientFiles::load(&scratch.0, "/socket.io").unwrap_err().to_string();
        assert!(error.contains("socket.io.min.js"), "{error}");
    }
}

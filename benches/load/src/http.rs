//! HTTP/1.1 responses, as far as long-polling and the WebSocket handshake need them.

/// A complete response.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// `Sec-WebSocket-Accept`, or empty.
    pub accept: String,
    pub body: Vec<u8>,
    /// Bytes of the response on the wire.
    pub length: usize,
}

/// What the head says about the body.
enum Body {
    Length(usize),
    Chunked,
}

/// The response at the front of `data`, or `None` if it is not complete. A response without a length has no body.
pub fn parse(data: &[u8]) -> Result<Option<Response>, String> {
    let Some(head_length) = find(data, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&data[..head_length]);
    let rest = &data[head_length + 4..];
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| format!("not an HTTP response: {status_line:?}"))?;
    let (mut accept, mut framing) = (String::new(), Body::Length(0));
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse();
            framing = Body::Length(length.map_err(|_| format!("Content-Length: {value}"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Body::Chunked;
        } else if name.eq_ignore_ascii_case("sec-websocket-accept") {
            value.clone_into(&mut accept);
        }
    }
    let body = match framing {
        Body::Length(length) => rest.get(..length).map(|body| (body.to_vec(), length)),
        Body::Chunked => chunks(rest)?,
    };
    Ok(body.map(|(body, length)| Response { status, accept, body, length: head_length + 4 + length }))
}

/// Joins the chunks of a body; returns it with its length on the wire, or `None` if the last chunk has not arrived.
fn chunks(data: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(size_length) = find(&data[at..], b"\r\n") else {
            return Ok(None);
        };
        let size = String::from_utf8_lossy(&data[at..at + size_length]);
        let size = usize::from_str_radix(&size, 16).map_err(|_| format!("chunk size {size:?}"))?;
        let start = at + size_length + 2;
        let Some(chunk) = data.get(start..start + size + 2) else {
            return Ok(None);
        };
        body.extend_from_slice(&chunk[..size]);
        at = start + size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

fn find(data: &[u8], mark: &[u8]) -> Option<usize> {
    data.windows(mark.len()).position(|window| window == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_ends_after_its_content_length() {
        let wire = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP";
        let response = parse(wire).unwrap().unwrap();
        assert_eq!((response.status, &response.body[..]), (200, &b"ok"[..]));
        assert_eq!(response.length, wire.len() - 4);
    }

    #[test]
    fn chunks_are_joined() {
        let wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\na\r\n0123456789\r\n0\r\n\r\n";
        let response = parse(wire).unwrap().unwrap();
        assert_eq!(response.body, b"ok0123456789");
        assert_eq!(response.length, wire.len());
    }

    #[test]
    fn an_incomplete_response_is_none() {
        let wire = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        for end in 0..wire.len() {
            assert_eq!(parse(&wire[..end]), Ok(None));
        }
    }
}

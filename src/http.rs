//! The little of HTTP that the command line needs: one GET, its status, its body as it comes.
//!
//! Speaks HTTP/1.1 in clear to a web that is most often on this machine; follows no redirects and keeps no
//! connection. What it reads is bounded: a head of 64 KiB, a line of 16 MiB.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const HEAD_BYTES_MAX: u64 = 64 << 10;
const LINE_BYTES_MAX: usize = 16 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An answer whose head was read.
pub struct Reply {
    pub status: u16,
    body: Body,
}

enum Body {
    Chunked { reader: BufReader<TcpStream>, left: u64, ended: bool },
    Plain(BufReader<TcpStream>),
}

/// Where a web is: `http://HOST:PORT`, with or without a slash behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    authority: String,
}

impl fmt::Display for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

impl Web {
    pub fn parse(url: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("http://").ok_or_else(|| format!("{url:?} does not begin with http://"))?;
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', ' ', '?', '#', '@']) {
            return Err(format!("{url:?} is no web's address; http://127.0.0.1:7700 is"));
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        Ok(Self { authority: if has_port { authority.to_owned() } else { format!("{authority}:80") } })
    }

    /// `path` begins with a slash; `parameters` are encoded here. With `silence`, an answer of which nothing comes for
    /// that long is broken.
    pub fn get(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
        accept: &str,
        silence: Option<Duration>,
    ) -> io::Result<Reply> {
        let query: Vec<String> =
            parameters.iter().map(|(key, value)| format!("{key}={}", percent_encoded(value))).collect();
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) };
        let mut stream = self.connect()?;
        stream.set_read_timeout(silence)?;
        write!(
            stream,
            "GET {target} HTTP/1.1\r\nHost: {}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n",
            self.authority
        )?;
        Reply::read(BufReader::with_capacity(64 << 10, stream))
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in self.authority.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl Reply {
    fn read(mut reader: BufReader<TcpStream>) -> io::Result<Self> {
        let mut head = reader.by_ref().take(HEAD_BYTES_MAX);
        let mut line = String::new();
        head.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| strange("status"))?;
        let mut chunked = false;
        loop {
            line.clear();
            if head.read_line(&mut line)? == 0 {
                return Err(strange("head"));
            }
            if line == "\r\n" || line == "\n" {
                break;
            }
            chunked |= line.to_ascii_lowercase().starts_with("transfer-encoding: chunked");
        }
        let body = if chunked { Body::Chunked { reader, left: 0, ended: false } } else { Body::Plain(reader) };
        Ok(Self { status, body })
    }

    /// The next line of the body without its newline; `None` at the end.
    pub fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        loop {
            let buffer = self.body.fill()?;
            if buffer.is_empty() {
                return Ok(if line.is_empty() { None } else { Some(line) });
            }
            let newline = buffer.iter().position(|byte| *byte == b'\n');
            let taken = newline.unwrap_or(buffer.len());
            line.extend_from_slice(&buffer[..taken]);
            self.body.consume(newline.map_or(taken, |at| at + 1));
            if newline.is_some() {
                return Ok(Some(line));
            }
            if line.len() > LINE_BYTES_MAX {
                return Err(strange("line, too long"));
            }
        }
    }

    /// All of the body, for short ones.
    pub fn text(&mut self) -> io::Result<String> {
        let mut text = String::new();
        while let Some(line) = self.line()? {
            text.push_str(&String::from_utf8_lossy(&line));
            text.push('\n');
            if text.len() > LINE_BYTES_MAX {
                return Err(strange("body, too long"));
            }
        }
        Ok(text)
    }
}

impl Body {
    /// What has come and was not consumed; empty at the end of the body.
    fn fill(&mut self) -> io::Result<&[u8]> {
        match self {
            Self::Plain(reader) => reader.fill_buf(),
            Self::Chunked { ended: true, .. } => Ok(&[]),
            Self::Chunked { reader, left, ended } => {
                if *left == 0 {
                    *left = next_chunk(reader)?;
                    *ended = *left == 0;
                }
                if *ended {
                    return Ok(&[]);
                }
                let buffer = reader.fill_buf()?;
                if buffer.is_empty() {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer broke off"));
                }
                let here = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                Ok(&buffer[..here])
            }
        }
    }

    fn consume(&mut self, count: usize) {
        match self {
            Self::Plain(reader) => reader.consume(count),
            Self::Chunked { reader, left, .. } => {
                reader.consume(count);
                *left = left.saturating_sub(count as u64);
            }
        }
    }
}

/// The length of the chunk that begins here; the newline that ended the one before is passed over.
fn next_chunk(reader: &mut BufReader<TcpStream>) -> io::Result<u64> {
    let mut line = String::new();
    loop {
        line.clear();
        if reader.by_ref().take(1024).read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer broke off"));
        }
        let size = line.trim().split(';').next().unwrap_or_default();
        if !size.is_empty() {
            return u64::from_str_radix(size, 16).map_err(|_| strange("chunk"));
        }
    }
}

fn strange(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer has a strange {what}"))
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Serves one canned answer and gives back what the client made of it.
    fn served(answer: &'static [u8]) -> io::Result<(u16, Vec<Vec<u8>>)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let web = Web::parse(&format!("http://{}/", listener.local_addr()?)).expect("a good address");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = BufReader::new(stream.try_clone().expect("a second handle"));
            let mut line = String::new();
            while request.read_line(&mut line).expect("a request") > 2 {
                line.clear();
            }
            stream.write_all(answer).expect("a client that reads");
        });
        let mut reply = web.get("/x", &[("q", "a b&c")], "*/*", None)?;
        let mut lines = Vec::new();
        while let Some(line) = reply.line()? {
            lines.push(line);
        }
        server.join().expect("a server that ends");
        Ok((reply.status, lines))
    }

    #[test]
    fn lines_come_out_of_any_chunks() {
        let chunked = served(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n5;x\r\n\ntwo\n\r\n1\r\n3\r\n0\r\n\r\n",
        );
        assert_eq!(chunked.expect("read"), (200, vec![b"one".to_vec(), b"two".to_vec(), b"3".to_vec()]));
        let plain = served(b"HTTP/1.1 404 Not Found\r\nA: b\r\n\r\nno\nsuch");
        assert_eq!(plain.expect("read"), (404, vec![b"no".to_vec(), b"such".to_vec()]));
    }

    #[test]
    fn a_broken_answer_is_an_error() {
        for bad in [
            b"".as_slice(),
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab",
        ] {
            assert!(served(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn an_address_is_checked() {
        assert!(Web::parse("http://h:1").is_ok() && Web::parse("http://[::1]:80/").is_ok());
        for bad in ["h:1", "https://h", "http://", "http://a/b", "http://u@h"] {
            assert!(Web::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(percent_encoded("a b&é/"), "a%20b%26%C3%A9%2F");
    }
}

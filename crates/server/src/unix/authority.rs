//! HTTP/2 from clients that name a socket's path as `:authority`, which is not one.
//!
//! gRPC libraries put the socket's path there (kubelet's plugin watcher, gRPC for Python and Java over Unix
//! sockets); the HTTP/2 library refuses such requests by RFC 3986, and has no setting for it. So the header is
//! replaced on its way in: frames are passed on as they are, header blocks are decoded and written again.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use loona_hpack::{Decoder, Encoder};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const PREFACE: usize = 24;
const HEAD: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// What a header block may have; the HTTP/2 library's own bound on a list of headers is smaller.
const BLOCK: usize = 64 << 10;
/// The largest frame a client may send without being allowed more, which nobody is.
const FRAME: usize = 16 << 10;

/// A stream whose requests have an authority that is one.
pub(crate) struct Relaxed<T> {
    inner: T,
    rewriter: Rewriter,
    raw: Box<[u8; 8192]>,
}

impl<T> Relaxed<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner, rewriter: Rewriter::default(), raw: Box::new([0; 8192]) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Relaxed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.rewriter.give(buf) {
                return Poll::Ready(Ok(()));
            }
            let this = &mut *self;
            let mut raw = ReadBuf::new(&mut this.raw[..]);
            match Pin::new(&mut this.inner).poll_read(cx, &mut raw) {
                Poll::Ready(Ok(())) if raw.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => this.rewriter.take(raw.filled())?,
                other => return other,
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Relaxed<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl tonic::transport::server::Connected for Relaxed<tokio::net::UnixStream> {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

/// Bytes in, bytes out.
struct Rewriter {
    /// Not yet a whole frame.
    held: Vec<u8>,
    /// To be read.
    out: Vec<u8>,
    given: usize,
    begun: bool,
    /// Header block under way: stream, flags of its first frame, fragments.
    block: Option<(u32, u8, Vec<u8>)>,
    decoder: Decoder<'static>,
    encoder: Encoder<'static>,
}

impl Default for Rewriter {
    fn default() -> Self {
        Self {
            held: Vec::new(),
            out: Vec::new(),
            given: 0,
            begun: false,
            block: None,
            decoder: Decoder::new(),
            encoder: Encoder::new(),
        }
    }
}

fn malformed(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl Rewriter {
    /// Hands out what is ready; whether there was anything.
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let ready = &self.out[self.given..];
        if ready.is_empty() {
            return false;
        }
        let count = ready.len().min(buf.remaining());
        buf.put_slice(&ready[..count]);
        self.given += count;
        if self.given == self.out.len() {
            self.out.clear();
            self.given = 0;
        }
        true
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.held.extend_from_slice(bytes);
        if !self.begun {
            if self.held.len() < PREFACE {
                return Ok(());
            }
            self.out.extend(self.held.drain(..PREFACE));
            self.begun = true;
        }
        let mut at = 0;
        while let Some(head) = self.held.get(at..at + HEAD) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            if length > FRAME {
                return Err(malformed("a frame is larger than any client was allowed to send"));
            }
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let Some(frame) = self.held.get(at..at + HEAD + length) else { break };
            let frame = frame.to_vec();
            at += frame.len();
            match kind {
                HEADERS | CONTINUATION => self.header(kind, flags, stream, &frame[HEAD..])?,
                _ => self.out.extend(frame),
            }
        }
        self.held.drain(..at);
        Ok(())
    }

    fn header(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let first = match (kind, self.block.take()) {
            (HEADERS, None) => (stream, flags, fragment(flags, payload)?.to_vec()),
            (CONTINUATION, Some((of, first, mut held))) if of == stream => {
                held.extend_from_slice(payload);
                (of, first, held)
            }
            _ => return Err(malformed("a header frame came out of turn")),
        };
        if first.2.len() > BLOCK {
            return Err(malformed("a header block is larger than 64 KiB"));
        }
        match flags & END_HEADERS {
            0 => self.block = Some(first),
            _ => self.whole(first.0, first.1, &first.2)?,
        }
        Ok(())
    }

    /// The headers of a block. A few bytes can stand for many: what they stand for is bounded, too.
    fn decoded(&mut self, block: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let (mut headers, mut size) = (Vec::new(), 0);
        let read = self.decoder.decode_with_cb(block, |name, value| {
            size += name.len() + value.len() + 32;
            if size <= BLOCK {
                headers.push((name.into_owned(), value.into_owned()));
            }
        });
        read.map_err(|_| malformed("a header block cannot be decoded"))?;
        match size <= BLOCK {
            true => Ok(headers),
            false => Err(malformed("the headers are larger than 64 KiB")),
        }
    }

    /// A whole block: read, mended, written as one frame with as many continuations as it takes.
    fn whole(&mut self, stream: u32, flags: u8, block: &[u8]) -> io::Result<()> {
        let mut headers = self.decoded(block)?;
        for (name, value) in &mut headers {
            if name == b":authority" && !is_authority(value) {
                *value = b"localhost".to_vec();
            }
        }
        let block =
            self.encoder.encode(headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice())));
        let mut chunks = block.chunks(FRAME).peekable();
        let mut kind = HEADERS;
        // Padding and priority went with the old frames.
        let mut kept = flags & !(PADDED | PRIORITY | END_HEADERS);
        while let Some(chunk) = chunks.next() {
            let end = if chunks.peek().is_none() { END_HEADERS } else { 0 };
            self.out.extend_from_slice(&(chunk.len() as u32).to_be_bytes()[1..]);
            self.out.extend_from_slice(&[kind, kept | end]);
            self.out.extend_from_slice(&stream.to_be_bytes());
            self.out.extend_from_slice(chunk);
            (kind, kept) = (CONTINUATION, 0);
        }
        Ok(())
    }
}

/// A HEADERS frame's block fragment, without padding and priority (RFC 9113, 6.2).
fn fragment(flags: u8, payload: &[u8]) -> io::Result<&[u8]> {
    let short = || malformed("a header frame is shorter than its own fields");
    let (mut from, mut to) = (0, payload.len());
    if flags & PADDED != 0 {
        let padding = usize::from(*payload.first().ok_or_else(short)?);
        from += 1;
        to = to.checked_sub(padding).ok_or_else(short)?;
    }
    if flags & PRIORITY != 0 {
        from += 5;
    }
    payload.get(from..to).ok_or_else(short)
}

fn is_authority(value: &[u8]) -> bool {
    http::uri::Authority::try_from(value).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags, 0, 0, 0, 1]);
        bytes.extend(payload);
        bytes
    }

    fn block(authority: &str) -> Vec<u8> {
        let headers: [(&[u8], &[u8]); 2] = [(b":authority", authority.as_bytes()), (b":path", b"/x")];
        Encoder::new().encode(headers)
    }

    fn rewritten(frames: &[Vec<u8>], step: usize) -> io::Result<Vec<u8>> {
        let mut rewriter = Rewriter::default();
        let mut all = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        all.extend(frames.iter().flatten());
        let mut out = Vec::new();
        for piece in all.chunks(step) {
            rewriter.take(piece)?;
            let mut space = vec![0; 1 << 16];
            let mut buf = ReadBuf::new(&mut space);
            while rewriter.give(&mut buf) {}
            out.extend_from_slice(buf.filled());
        }
        Ok(out[PREFACE..].to_vec())
    }

    fn authority(out: &[u8]) -> String {
        let length = u32::from_be_bytes([0, out[0], out[1], out[2]]) as usize;
        assert_eq!((out[3], out[4] & (END_HEADERS | PADDED | PRIORITY)), (HEADERS, END_HEADERS));
        let headers = Decoder::new().decode(&out[HEAD..HEAD + length]).expect("decodes");
        let found = headers.into_iter().find(|(name, _)| name == b":authority").expect("there is one");
        String::from_utf8(found.1).expect("text")
    }

    #[test]
    fn a_path_is_replaced_and_an_authority_is_not_however_the_bytes_arrive() {
        for step in [1, 7, 4096] {
            for (given, expected) in
                [("/var/lib/kubelet/x.sock", "localhost"), ("localhost", "localhost"), ("a.b:80", "a.b:80")]
            {
                let whole = rewritten(&[frame(HEADERS, END_HEADERS, &block(given))], step).expect("fine");
                assert_eq!(authority(&whole), expected, "{given} by {step}");
            }
        }
    }

    #[test]
    fn continuations_padding_and_priority_are_read() {
        let block = block("/x.sock");
        let (a, b) = block.split_at(3);
        let split = [frame(HEADERS, 0, a), frame(CONTINUATION, END_HEADERS, b)];
        assert_eq!(authority(&rewritten(&split, 5).expect("fine")), "localhost");
        let mut padded = vec![2, 0, 0, 0, 0, 9];
        padded.extend(&block);
        padded.extend([0, 0]);
        let flags = END_HEADERS | PADDED | PRIORITY;
        assert_eq!(authority(&rewritten(&[frame(HEADERS, flags, &padded)], 64).expect("fine")), "localhost");
    }

    #[test]
    fn other_frames_pass_as_they_are() {
        let data = frame(0, 1, b"body");
        assert_eq!(rewritten(std::slice::from_ref(&data), 3).expect("fine"), data);
    }

    #[test]
    fn what_is_too_large_or_out_of_turn_ends_the_connection() {
        assert!(rewritten(&[frame(CONTINUATION, END_HEADERS, b"")], 64).is_err());
        assert!(rewritten(&[frame(HEADERS, END_HEADERS | PADDED, &[200, 0])], 64).is_err());
        let endless: Vec<Vec<u8>> = std::iter::once(frame(HEADERS, 0, &[0; FRAME]))
            .chain((0..8).map(|_| frame(CONTINUATION, 0, &[0; FRAME])))
            .collect();
        assert!(rewritten(&endless, 4096).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_passed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), step in 1usize..64) {
            let mut rewriter = Rewriter { begun: true, ..Rewriter::default() };
            for piece in bytes.chunks(step) {
                if rewriter.take(piece).is_err() {
                    break;
                }
            }
        }
    }
}

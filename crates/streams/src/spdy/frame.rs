//! SPDY/3.1 frames as bytes: encoder and decoder, no IO. Whatever the peer sends, memory stays within [`Limits`].

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::collections::HashSet;

/// The preset dictionary of header blocks (SPDY draft 3, 2.6.10.1).
const DICTIONARY: &[u8] = include_bytes!("dictionary.bin");
const VERSION: u16 = 3;
const FIN: u8 = 1;
const UNIDIRECTIONAL: u8 = 2;
/// The largest length a frame can say.
const MAX_LENGTH: usize = (1 << 24) - 1;
/// What stands for the largest id of a stream.
pub const MAX_ID: u32 = 0x7fff_ffff;

/// Names (in lower case) and values; a name with several values is there several times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    pub fn new() -> Self {
        Self::default()
    }
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.push((name.to_ascii_lowercase(), value.into()));
        self
    }
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    SynStream {
        id: u32,
        associated: u32,
        priority: u8,
        fin: bool,
        unidirectional: bool,
        headers: Headers,
    },
    SynReply {
        id: u32,
        fin: bool,
        headers: Headers,
    },
    Rst {
        id: u32,
        status: u32,
    },
    /// Ids and values.
    Settings(Vec<(u32, u32)>),
    Ping(u32),
    GoAway {
        last: u32,
        status: u32,
    },
    Headers {
        id: u32,
        fin: bool,
        headers: Headers,
    },
    WindowUpdate {
        id: u32,
        delta: u32,
    },
    /// A frame's payload may come in several pieces; `fin` is on the last.
    Data {
        id: u32,
        fin: bool,
        data: Bytes,
    },
}

/// Reasons of a reset.
pub mod status {
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const REFUSED_STREAM: u32 = 3;
    pub const CANCEL: u32 = 5;
    pub const FLOW_CONTROL_ERROR: u32 = 7;
}

/// The setting that says a stream's window at its start.
pub const INITIAL_WINDOW_SIZE: u32 = 7;

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a control frame.
    pub control: usize,
    /// Bytes of a header block, decompressed.
    pub block: usize,
    /// Headers in a block.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { control: 256 << 10, block: 1 << 20, headers: 1000 }
    }
}

/// Why a connection cannot go on: the two ends no longer agree where a frame begins or what its headers are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("SPDY version {0} is not 3")]
    Version(u16),
    #[error("a control frame of {0} bytes is too long")]
    TooLong(usize),
    #[error("a control frame of type {0} is not as it must be")]
    Malformed(u16),
    #[error("stream id zero is disallowed")]
    ZeroId,
    #[error("a header block does not decompress")]
    Compression,
    #[error("a header block is too large")]
    Block,
    #[error("a frame of {0} bytes cannot be written")]
    Write(usize),
}

/// Bytes to frames.
pub struct Decoder {
    inflate: Decompress,
    limits: Limits,
    state: State,
}

enum State {
    Head,
    Control {
        kind: u16,
        flags: u8,
        length: usize,
    },
    /// Of an unknown control frame.
    Skip(usize),
    Data {
        id: u32,
        fin: bool,
        left: usize,
    },
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Decoder {
    pub fn new(limits: Limits) -> Self {
        Self { inflate: Decompress::new(true), limits, state: State::Head }
    }

    /// The next frame; none: more bytes are needed.
    pub fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Frame>, Error> {
        loop {
            match self.state {
                State::Head => {
                    if buf.len() < 8 {
                        return Ok(None);
                    }
                    let (first, second) = (buf.get_u32(), buf.get_u32());
                    let (flags, length) = ((second >> 24) as u8, (second & 0x00ff_ffff) as usize);
                    self.state = if first & 0x8000_0000 == 0 {
                        if first == 0 {
                            return Err(Error::ZeroId);
                        }
                        State::Data { id: first, fin: flags & FIN != 0, left: length }
                    } else {
                        let (version, kind) = ((first >> 16 & 0x7fff) as u16, (first & 0xffff) as u16);
                        if version != VERSION {
                            return Err(Error::Version(version));
                        }
                        if length > self.limits.control {
                            return Err(Error::TooLong(length));
                        }
                        match kind {
                            1..=4 | 6..=9 => State::Control { kind, flags, length },
                            _ => State::Skip(length),
                        }
                    };
                }
                State::Skip(left) => {
                    let n = left.min(buf.len());
                    buf.advance(n);
                    if n < left {
                        self.state = State::Skip(left - n);
                        return Ok(None);
                    }
                    self.state = State::Head;
                }
                State::Data { id, fin, left } => {
                    if left > 0 && buf.is_empty() {
                        return Ok(None);
                    }
                    let data = buf.split_to(left.min(buf.len())).freeze();
                    let left = left - data.len();
                    self.state = if left == 0 { State::Head } else { State::Data { id, fin, left } };
                    return Ok(Some(Frame::Data { id, fin: fin && left == 0, data }));
                }
                State::Control { kind, flags, length } => {
                    if buf.len() < length {
                        return Ok(None);
                    }
                    self.state = State::Head;
                    return self.control(kind, flags, buf.split_to(length).freeze()).map(Some);
                }
            }
        }
    }

    fn control(&mut self, kind: u16, flags: u8, mut b: Bytes) -> Result<Frame, Error> {
        let bad = || Error::Malformed(kind);
        let fin = flags & FIN != 0;
        let id_of = |b: &mut Bytes| match b.get_u32() & MAX_ID {
            0 => Err(Error::ZeroId),
            id => Ok(id),
        };
        let least = match kind {
            1 => 10,
            2 | 4 | 6 | 8 => 4,
            _ => 8,
        };
        if b.len() < least || (matches!(kind, 3 | 7 | 9) && b.len() != 8) || (kind == 6 && b.len() != 4) {
            return Err(bad());
        }
        Ok(match kind {
            1 => {
                let id = id_of(&mut b)?;
                let associated = b.get_u32() & MAX_ID;
                let priority = b.get_u16().to_be_bytes()[0] >> 5;
                let headers = self.headers(&b)?;
                let unidirectional = flags & UNIDIRECTIONAL != 0;
                Frame::SynStream { id, associated, priority, fin, unidirectional, headers }
            }
            2 => Frame::SynReply { id: id_of(&mut b)?, fin, headers: self.headers(&b)? },
            3 => {
                let (id, status) = (id_of(&mut b)?, b.get_u32());
                if status == 0 {
                    return Err(bad());
                }
                Frame::Rst { id, status }
            }
            4 => {
                let n = b.get_u32() as usize;
                if n.checked_mul(8).is_none_or(|l| l != b.len()) {
                    return Err(bad());
                }
                Frame::Settings((0..n).map(|_| (b.get_u32() & 0x00ff_ffff, b.get_u32())).collect())
            }
            6 => match b.get_u32() {
                0 => return Err(Error::ZeroId),
                id => Frame::Ping(id),
            },
            7 => Frame::GoAway { last: b.get_u32() & MAX_ID, status: b.get_u32() },
            8 => Frame::Headers { id: id_of(&mut b)?, fin, headers: self.headers(&b)? },
            // Stream 0 is the connection's own window.
            _ => Frame::WindowUpdate { id: b.get_u32() & MAX_ID, delta: b.get_u32() & MAX_ID },
        })
    }

    /// A header block. The compression goes on from block to block: any error is the connection's end.
    fn headers(&mut self, mut input: &[u8]) -> Result<Headers, Error> {
        let mut out: Vec<u8> = Vec::with_capacity(256);
        loop {
            if out.len() > self.limits.block {
                return Err(Error::Block);
            }
            if out.len() == out.capacity() {
                out.reserve(4096);
            }
            let (in0, out0) = (self.inflate.total_in(), self.inflate.total_out());
            match self.inflate.decompress_vec(input, &mut out, FlushDecompress::Sync) {
                Ok(Status::StreamEnd) => return Err(Error::Compression),
                Ok(_) => {}
                Err(e) if e.needs_dictionary().is_some() => {
                    self.inflate.set_dictionary(DICTIONARY).map_err(|_| Error::Compression)?;
                }
                Err(_) => return Err(Error::Compression),
            }
            let used = usize::try_from(self.inflate.total_in() - in0).unwrap_or(usize::MAX);
            input = input.get(used..).ok_or(Error::Compression)?;
            let full = out.len() == out.capacity();
            if input.is_empty() && !full {
                break;
            }
            if used == 0 && self.inflate.total_out() == out0 && !full && self.inflate.total_in() > 2 {
                return Err(Error::Compression);
            }
        }
        self.block(&out)
    }

    fn block(&self, mut b: &[u8]) -> Result<Headers, Error> {
        fn text(b: &mut &[u8]) -> Result<String, Error> {
            if b.len() < 4 {
                return Err(Error::Compression);
            }
            let n = b.get_u32() as usize;
            if b.len() < n {
                return Err(Error::Compression);
            }
            let (t, rest) = b.split_at(n);
            *b = rest;
            Ok(String::from_utf8_lossy(t).into_owned())
        }
        if b.len() < 4 {
            return Err(Error::Compression);
        }
        let n = b.get_u32() as usize;
        if n > self.limits.headers {
            return Err(Error::Block);
        }
        let mut seen = HashSet::new();
        let mut out = Vec::with_capacity(n);
        for _ in 0..n {
            let name = text(&mut b)?.to_ascii_lowercase();
            if name.is_empty() || !seen.insert(name.clone()) {
                return Err(Error::Malformed(0));
            }
            let values = text(&mut b)?;
            out.extend(values.split('\0').map(|v| (name.clone(), v.to_owned())));
        }
        if !b.is_empty() || out.len() > self.limits.headers {
            return Err(Error::Malformed(0));
        }
        Ok(Headers(out))
    }
}

/// Frames to bytes.
pub struct Encoder {
    deflate: Compress,
}

impl Default for Encoder {
    fn default() -> Self {
        let mut deflate = Compress::new(Compression::best(), true);
        // Fails on no dictionary of this length.
        let _ = deflate.set_dictionary(DICTIONARY);
        Self { deflate }
    }
}

impl Encoder {
    pub fn put(&mut self, f: &Frame, out: &mut BytesMut) -> Result<(), Error> {
        let fin_flag = |fin: bool| u8::from(fin) * FIN;
        match f {
            Frame::SynStream { id, associated, priority, fin, unidirectional, headers } => {
                let block = self.block(headers)?;
                let flags = fin_flag(*fin) | (u8::from(*unidirectional) * UNIDIRECTIONAL);
                control(out, 1, flags, 10 + block.len())?;
                out.put_u32(*id);
                out.put_u32(*associated);
                out.put_u8(priority << 5);
                out.put_u8(0);
                out.extend_from_slice(&block);
            }
            Frame::SynReply { id, fin, headers } | Frame::Headers { id, fin, headers } => {
                let block = self.block(headers)?;
                let kind = if matches!(f, Frame::SynReply { .. }) { 2 } else { 8 };
                control(out, kind, fin_flag(*fin), 4 + block.len())?;
                out.put_u32(*id);
                out.extend_from_slice(&block);
            }
            Frame::Rst { id, status } => {
                control(out, 3, 0, 8)?;
                out.put_u32(*id);
                out.put_u32(*status);
            }
            Frame::Settings(all) => {
                control(out, 4, 0, 4 + 8 * all.len())?;
                out.put_u32(u32::try_from(all.len()).unwrap_or(0));
                for (id, value) in all {
                    out.put_u32(*id);
                    out.put_u32(*value);
                }
            }
            Frame::Ping(id) => {
                control(out, 6, 0, 4)?;
                out.put_u32(*id);
            }
            Frame::GoAway { last, status } => {
                control(out, 7, 0, 8)?;
                out.put_u32(*last);
                out.put_u32(*status);
            }
            Frame::WindowUpdate { id, delta } => {
                control(out, 9, 0, 8)?;
                out.put_u32(*id);
                out.put_u32(*delta);
            }
            Frame::Data { id, fin, data } => {
                if data.len() > MAX_LENGTH {
                    return Err(Error::Write(data.len()));
                }
                out.put_u32(*id);
                out.put_u32(u32::from(fin_flag(*fin)) << 24 | u32::try_from(data.len()).unwrap_or(0));
                out.extend_from_slice(data);
            }
        }
        Ok(())
    }

    fn block(&mut self, h: &Headers) -> Result<Vec<u8>, Error> {
        let mut names: Vec<(&str, String)> = Vec::new();
        for (n, v) in h.iter() {
            match names.iter_mut().find(|(m, _)| *m == n) {
                Some((_, all)) => {
                    all.push('\0');
                    all.push_str(v);
                }
                None => names.push((n, v.to_owned())),
            }
        }
        let mut plain = Vec::new();
        let long = |n: usize| u32::try_from(n).map_err(|_| Error::Write(n));
        plain.put_u32(long(names.len())?);
        for (n, v) in &names {
            plain.put_u32(long(n.len())?);
            plain.extend_from_slice(n.as_bytes());
            plain.put_u32(long(v.len())?);
            plain.extend_from_slice(v.as_bytes());
        }
        let mut out = Vec::with_capacity(plain.len() + 64);
        let mut input = plain.as_slice();
        loop {
            let before = self.deflate.total_in();
            self.deflate
                .compress_vec(input, &mut out, FlushCompress::Sync)
                .map_err(|_| Error::Compression)?;
            let used = usize::try_from(self.deflate.total_in() - before).unwrap_or(usize::MAX);
            input = input.get(used..).ok_or(Error::Compression)?;
            // Room left over: everything is out.
            if input.is_empty() && out.len() < out.capacity() {
                return Ok(out);
            }
            out.reserve(256);
        }
    }
}

fn control(out: &mut BytesMut, kind: u16, flags: u8, length: usize) -> Result<(), Error> {
    if length > MAX_LENGTH {
        return Err(Error::Write(length));
    }
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    out.put_u32(u32::from(flags) << 24 | u32::try_from(length).unwrap_or(0));
    Ok(())
}

#[cfg(test)]
#[path = "frame/tests.rs"]
mod tests;

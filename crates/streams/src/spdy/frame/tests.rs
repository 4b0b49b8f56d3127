//! Frames there and back, bytes from the wire, and what no peer should send.

use super::*;
use expect_test::{Expect, expect};

fn decode(bytes: &[u8]) -> Vec<Result<Frame, Error>> {
    let mut d = Decoder::default();
    let mut buf = BytesMut::from(bytes);
    let mut out = Vec::new();
    loop {
        match d.next(&mut buf) {
            Ok(Some(f)) => out.push(Ok(f)),
            Ok(None) => return out,
            Err(e) => {
                out.push(Err(e));
                return out;
            }
        }
    }
}

fn headers() -> Headers {
    Headers::new().with("streamType", "data").with("port", "80").with("x", "1").with("x", "2")
}

fn samples() -> Vec<Frame> {
    vec![
        Frame::SynStream {
            id: 1,
            associated: 0,
            priority: 3,
            fin: false,
            unidirectional: false,
            headers: headers(),
        },
        Frame::SynReply { id: 1, fin: false, headers: Headers::new() },
        Frame::SynStream {
            id: 3,
            associated: 1,
            priority: 0,
            fin: true,
            unidirectional: true,
            headers: headers(),
        },
        Frame::Headers { id: 1, fin: true, headers: Headers::new().with("a", "") },
        Frame::Data { id: 1, fin: false, data: Bytes::from_static(b"hello") },
        Frame::Data { id: 1, fin: true, data: Bytes::new() },
        Frame::Rst { id: 1, status: status::CANCEL },
        Frame::Settings(vec![(INITIAL_WINDOW_SIZE, 65536), (4, 100)]),
        Frame::Ping(7),
        Frame::WindowUpdate { id: 0, delta: 9 },
        Frame::GoAway { last: 5, status: 0 },
    ]
}

fn encode(all: &[Frame]) -> BytesMut {
    let (mut e, mut out) = (Encoder::default(), BytesMut::new());
    for f in all {
        e.put(f, &mut out).unwrap();
    }
    out
}

#[test]
fn what_is_encoded_decodes() {
    let bytes = encode(&samples());
    let got: Vec<Frame> = decode(&bytes).into_iter().map(Result::unwrap).collect();
    assert_eq!(got, samples());
}

#[test]
fn pieces_of_any_size_do() {
    let bytes = encode(&samples());
    for size in [1, 2, 3, 7, 64] {
        let (mut d, mut buf, mut got) = (Decoder::default(), BytesMut::new(), Vec::new());
        for piece in bytes.chunks(size) {
            buf.extend_from_slice(piece);
            while let Some(f) = d.next(&mut buf).unwrap() {
                got.push(f);
            }
        }
        // Data may come in pieces; all else is as it was.
        let text: Vec<u8> = got
            .iter()
            .filter_map(|f| if let Frame::Data { data, .. } = f { Some(data.to_vec()) } else { None })
            .flatten()
            .collect();
        assert_eq!(text, b"hello");
        let fins = got.iter().filter(|f| matches!(f, Frame::Data { fin: true, .. })).count();
        assert_eq!(fins, 1);
        let rest = |all: &[Frame]| -> Vec<Frame> {
            all.iter().filter(|f| !matches!(f, Frame::Data { .. })).cloned().collect()
        };
        assert_eq!(rest(&got), rest(&samples()));
    }
}

#[test]
fn truncated_input_waits_or_fails_but_never_panics() {
    let bytes = encode(&samples());
    let whole = decode(&bytes).len();
    for n in 0..bytes.len() {
        let got = decode(&bytes[..n]);
        assert!(got.iter().all(Result::is_ok) && got.len() < whole + 1);
    }
}

#[test]
fn flipped_bits_never_panic() {
    let bytes = encode(&samples());
    for i in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut b = bytes.to_vec();
            b[i] ^= 1 << bit;
            decode(&b);
        }
    }
}

fn check(bytes: &[u8], want: Expect) {
    want.assert_eq(&format!("{:?}", decode(bytes)));
}

#[test]
fn malformed_frames() {
    // Version 2.
    check(&[0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1], expect!["[Err(Version(2))]"]);
    check(&[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1], expect!["[Ok(Ping(1))]"]);
    check(&[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 0], expect!["[Err(ZeroId)]"]);
    check(&[0x80, 3, 0, 6, 0, 0, 0, 5, 0, 0, 0, 1, 0], expect!["[Err(Malformed(6))]"]);
    // Data of stream zero.
    check(&[0, 0, 0, 0, 0, 0, 0, 1, 1], expect!["[Err(ZeroId)]"]);
    // A reset without a reason; one that is too short.
    check(&[0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0], expect!["[Err(Malformed(3))]"]);
    check(&[0x80, 3, 0, 3, 0, 0, 0, 4, 0, 0, 0, 1], expect!["[Err(Malformed(3))]"]);
    // Settings that say that there are more than there are.
    check(&[0x80, 3, 0, 4, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff], expect!["[Err(Malformed(4))]"]);
    // A control frame of 16 MiB.
    check(&[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff], expect!["[Err(TooLong(16777215))]"]);
    // A kind that nobody knows is passed over.
    check(
        &[0x80, 3, 0, 12, 0, 0, 0, 2, 9, 9, 0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1],
        expect!["[Ok(Ping(1))]"],
    );
    // A stream without headers at all, and with a block that is no zlib.
    check(&[0x80, 3, 0, 1, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], expect!["[Err(Compression)]"]);
    check(&[0x80, 3, 0, 2, 0, 0, 0, 8, 0, 0, 0, 1, 1, 2, 3, 4], expect!["[Err(Compression)]"]);
}

/// A SYN_REPLY whose decompressed block is `plain`.
fn with_block(plain: &[u8]) -> Vec<u8> {
    let mut c = Compress::new(Compression::best(), true);
    c.set_dictionary(DICTIONARY).unwrap();
    let mut block = Vec::with_capacity(plain.len() + 1024);
    c.compress_vec(plain, &mut block, FlushCompress::Sync).unwrap();
    let mut out = BytesMut::new();
    control(&mut out, 2, 0, 4 + block.len()).unwrap();
    out.put_u32(1);
    out.extend_from_slice(&block);
    out.to_vec()
}

#[test]
fn malformed_blocks() {
    let one = |n: u32, name: &[u8], value: &[u8]| {
        let mut b = Vec::new();
        b.put_u32(n);
        b.put_u32(u32::try_from(name.len()).unwrap());
        b.put_slice(name);
        b.put_u32(u32::try_from(value.len()).unwrap());
        b.put_slice(value);
        b
    };
    check(
        &with_block(&one(1, b"A", b"b")),
        expect![[r#"[Ok(SynReply { id: 1, fin: false, headers: Headers([("a", "b")]) })]"#]],
    );
    check(&with_block(&one(2, b"a", b"b")), expect!["[Err(Compression)]"]);
    check(&with_block(&one(1001, b"a", b"b")), expect!["[Err(Block)]"]);
    check(&with_block(&one(0, b"a", b"b")), expect!["[Err(Malformed(0))]"]);
    check(&with_block(&one(1, b"", b"b")), expect!["[Err(Malformed(0))]"]);
    let mut twice = one(2, b"a", b"b");
    twice.extend_from_slice(&one(0, b"a", b"c")[4..]);
    check(&with_block(&twice), expect!["[Err(Malformed(0))]"]);
    // A length that leads out of the block.
    check(&with_block(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]), expect!["[Err(Compression)]"]);
}

#[test]
fn a_bomb_does_not_go_off() {
    // 4 MiB of zeros in 4 KiB.
    let mut b = vec![0, 0, 0, 1, 0, 0, 0, 1, b'a', 4, 0, 0, 0];
    b.resize(4 << 20, 0);
    let bytes = with_block(&b);
    assert!(bytes.len() < 16 << 10);
    check(&bytes, expect!["[Err(Block)]"]);
}

#[test]
fn long_headers_are_written_whole() {
    // What does not compress.
    let mut x = 1u64;
    let noise: String = std::iter::repeat_with(|| {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b' ' + (x >> 57) as u8 % 90)
    })
    .take(100_000)
    .collect();
    let f = Frame::SynReply { id: 1, fin: false, headers: Headers::new().with("noise", noise) };
    assert_eq!(decode(&encode(std::slice::from_ref(&f))), [Ok(f)]);
}

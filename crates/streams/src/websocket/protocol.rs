//! What a message is: its first byte names the channel. In the base64 protocols that byte is a digit and the rest is
//! base64; version 5 has a message that closes one channel. No IO.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use tokio_tungstenite::tungstenite::Message;

/// The channel number that stands for "the channel named next is closed" (version 5).
const CLOSE: u8 = 255;

pub const V5: &str = "v5.channel.k8s.io";

/// A channel protocol, by its name in `Sec-WebSocket-Protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    pub base64: bool,
    /// One channel can be closed by itself.
    pub close: bool,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Data(u8, Bytes),
    Close(u8),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a single channel byte should follow the close signal, not {0}")]
    Close(usize),
    #[error("a message on channel {0} is not base64")]
    Base64(u8),
}

impl Protocol {
    /// The empty name stands for no protocol asked for.
    pub fn named(name: &str) -> Option<Self> {
        let (base64, close) = match name {
            "" | "channel.k8s.io" | "v2.channel.k8s.io" | "v3.channel.k8s.io" | "v4.channel.k8s.io" => {
                (false, false)
            }
            V5 => (false, true),
            "base64.channel.k8s.io" | "v4.base64.channel.k8s.io" => (true, false),
            _ => return None,
        };
        Some(Self { base64, close })
    }

    /// None: nothing that is of interest here (an empty message, a ping).
    pub fn decode(self, m: Message) -> Result<Option<Event>, Malformed> {
        let data: Bytes = match m {
            Message::Binary(b) => b,
            Message::Text(t) => t.into(),
            _ => return Ok(None),
        };
        let Some(&first) = data.first() else { return Ok(None) };
        if self.close && first == CLOSE {
            return match &data[1..] {
                [channel] => Ok(Some(Event::Close(*channel))),
                more => Err(Malformed::Close(more.len())),
            };
        }
        let rest = data.slice(1..);
        if !self.base64 {
            return Ok(Some(Event::Data(first, rest)));
        }
        let channel = first.wrapping_sub(b'0');
        let plain = STANDARD.decode(&rest).map_err(|_| Malformed::Base64(channel))?;
        Ok(Some(Event::Data(channel, plain.into())))
    }

    pub fn encode(self, channel: u8, data: &[u8]) -> Message {
        if self.base64 {
            let mut text = String::with_capacity(1 + data.len().div_ceil(3) * 4);
            text.push(char::from(b'0'.wrapping_add(channel)));
            STANDARD.encode_string(data, &mut text);
            return Message::text(text);
        }
        let mut b = BytesMut::with_capacity(data.len() + 1);
        b.put_u8(channel);
        b.put_slice(data);
        Message::Binary(b.freeze())
    }

    /// None: this protocol cannot say it.
    pub fn encode_close(self, channel: u8) -> Option<Message> {
        self.close.then(|| Message::Binary(Bytes::copy_from_slice(&[CLOSE, channel])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(name: &str, m: Message, want: Expect) {
        let p = Protocol::named(name).expect("a known protocol");
        want.assert_eq(&format!("{:?}", p.decode(m)));
    }

    #[test]
    fn decodes() {
        let bin = |b: &[u8]| Message::Binary(Bytes::copy_from_slice(b));
        check("channel.k8s.io", bin(b"\x00foo\n"), expect![[r#"Ok(Some(Data(0, b"foo\n")))"#]]);
        check("channel.k8s.io", bin(b""), expect!["Ok(None)"]);
        check("channel.k8s.io", bin(b"\x01"), expect![[r#"Ok(Some(Data(1, b"")))"#]]);
        check("channel.k8s.io", Message::text("\u{1}text"), expect![[r#"Ok(Some(Data(1, b"text")))"#]]);
        check("v4.channel.k8s.io", bin(&[255, 0]), expect![[r#"Ok(Some(Data(255, b"\0")))"#]]);
        check("v5.channel.k8s.io", bin(&[255, 0]), expect!["Ok(Some(Close(0)))"]);
        check("v5.channel.k8s.io", bin(&[255]), expect!["Err(Close(0))"]);
        check("v5.channel.k8s.io", bin(&[255, 0, 1]), expect!["Err(Close(2))"]);
        check(
            "base64.channel.k8s.io",
            Message::text("0Zm9vCg=="),
            expect![[r#"Ok(Some(Data(0, b"foo\n")))"#]],
        );
        check("base64.channel.k8s.io", Message::text("0%%%"), expect!["Err(Base64(0))"]);
        check("base64.channel.k8s.io", Message::text("1"), expect![[r#"Ok(Some(Data(1, b"")))"#]]);
        check("v5.channel.k8s.io", Message::Ping(Bytes::new()), expect!["Ok(None)"]);
        assert_eq!(Protocol::named("v6.channel.k8s.io"), None);
    }

    #[test]
    fn what_is_encoded_decodes() {
        for name in ["", "v4.channel.k8s.io", "v5.channel.k8s.io", "v4.base64.channel.k8s.io"] {
            let p = Protocol::named(name).unwrap();
            for data in [&b""[..], b"x", b"\xff\x00\xfe", b"four"] {
                let back = p.decode(p.encode(3, data)).unwrap();
                assert_eq!(back, Some(Event::Data(3, Bytes::copy_from_slice(data))), "{name}");
            }
        }
        assert_eq!(Protocol::named("v4.channel.k8s.io").unwrap().encode_close(0), None);
    }
}

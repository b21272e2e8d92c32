//! The part of the protocol buffers wire format that an ONNX file needs.
//!
//! A message is a run of fields: a key (`number << 3 | wire type`), then a number (type 0), four bytes (type 5), or a
//! length and so many bytes (type 2). Lengths come first, so a message that is streamed says its size before its content.

/// Bytes of one message under construction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WireMessage(Vec<u8>);

impl WireMessage {
    /// An integer; negative ones take ten bytes, as the format asks.
    pub(super) fn int(&mut self, field: u32, value: i64) -> &mut Self {
        self.key(field, 0);
        varint(&mut self.0, value.cast_unsigned());
        self
    }

    pub(super) fn float(&mut self, field: u32, value: f32) -> &mut Self {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Text, bytes or a finished message.
    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) -> &mut Self {
        self.announce(field, value.len() as u64);
        self.0.extend(value);
        self
    }

    /// A message inside this one.
    pub(super) fn message(&mut self, field: u32, inner: &Self) -> &mut Self {
        self.bytes(field, &inner.0)
    }

    /// The key and length of `length` bytes that the caller writes behind this message.
    pub(super) fn announce(&mut self, field: u32, length: u64) -> &mut Self {
        self.key(field, 2);
        varint(&mut self.0, length);
        self
    }

    /// What was written so far.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn key(&mut self, field: u32, wire_type: u32) {
        varint(&mut self.0, u64::from(field << 3 | wire_type));
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// One field of a message that is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum WireField<'a> {
    Int(u64),
    Float(f32),
    Bytes(&'a [u8]),
}

/// The fields of a message by number; it ends where bytes are no message.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, WireField<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let field = match key & 7 {
            0 => WireField::Int(self.varint()?),
            5 => WireField::Float(f32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                WireField::Bytes(self.take(length)?)
            }
            _ => return None,
        };
        Some((u32::try_from(key >> 3).ok()?, field))
    }
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_the_format_says() {
        // From the encoding guide of protocol buffers: field 1 = 150, field 2 = "testing", field 3 = {1: 150}.
        let mut inner = WireMessage::default();
        inner.int(1, 150);
        assert_eq!(inner.as_bytes(), [0x08, 0x96, 0x01]);
        let mut message = WireMessage::default();
        message.bytes(2, b"testing").message(3, &inner);
        assert_eq!(message.as_bytes(), b"\x12\x07testing\x1a\x03\x08\x96\x01");
        let mut negative = WireMessage::default();
        negative.int(1, -2);
        assert_eq!(negative.as_bytes(), [8, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    }

    #[test]
    fn what_was_written_is_read() {
        let mut message = WireMessage::default();
        message.int(1, -7).float(2, 0.5).bytes(3, b"x");
        let fields: Vec<_> = Fields(message.as_bytes()).collect();
        assert_eq!(
            fields,
            [(1, WireField::Int((-7i64).cast_unsigned())), (2, WireField::Float(0.5)), (3, WireField::Bytes(b"x"))]
        );
        // A length beyond the end ends the message.
        assert_eq!(Fields(&[0x1a, 0x7f, 0]).count(), 0);
    }
}

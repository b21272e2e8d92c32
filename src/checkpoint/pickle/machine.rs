//! A machine for the language of Python's pickles that only takes notes: it knows the instructions which checkpoints are
//! written in, executes nothing, and holds each object once, so that its memory is bounded by the length of its input.

use std::collections::HashMap;

use crate::error::{Error, Result};

/// An object by its number.
pub(super) type Id = usize;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Object {
    /// None, a Boolean or a float, none of which is needed.
    Other,
    Int(i64),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function by module and name.
    Global(String, String),
    /// What is stored outside the pickle.
    Outside(Id),
    /// The result of a call that is not made: what would be called, and with what.
    Call(Id, Id),
}

/// The objects of a pickle.
#[derive(Debug, Default)]
pub(super) struct Machine {
    objects: Vec<Object>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

/// Instructions that is read from its beginning.
struct Instructions<'a>(&'a [u8]);

impl<'a> Instructions<'a> {
    fn bytes(&mut self, count: u64) -> Result<&'a [u8]> {
        let count = usize::try_from(count).ok().filter(|count| *count <= self.0.len());
        let (taken, rest) = self.0.split_at(count.ok_or_else(|| wrong("it ends inside an instruction"))?);
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: u64) -> Result<u64> {
        Ok(self.bytes(bytes)?.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    fn text(&mut self, length: u64) -> Result<String> {
        Ok(String::from_utf8_lossy(self.bytes(length)?).into_owned())
    }

    fn line(&mut self) -> Result<String> {
        let end = self.0.iter().position(|byte| *byte == b'\n').ok_or_else(|| wrong("a line has no end"))?;
        let text = self.text(end as u64)?;
        self.bytes(1)?;
        Ok(text.trim_end_matches('\r').to_owned())
    }
}

fn wrong(why: &str) -> Error {
    Error::new(format!("not a pickle of a checkpoint ({why})"))
        .hint("convert the model to safetensors (save_pretrained does)")
}

impl Machine {
    /// Reads a pickle to its end and gives what it stands for.
    ///
    /// # Errors
    /// Where it is cut off or has an instruction that no checkpoint is written in.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Id> {
        let mut input = Instructions(bytes);
        loop {
            let code = input.number(1)? as u8;
            if code == b'.' {
                return self.pop();
            }
            self.step(code, &mut input)?;
        }
    }

    pub(super) fn get(&self, id: Id) -> &Object {
        // Numbers are only given out for objects that are there.
        &self.objects[id]
    }

    fn push(&mut self, object: Object) {
        self.stack.push(self.objects.len());
        self.objects.push(object);
    }

    fn pop(&mut self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(wrong("it takes what is not there"));
        }
        self.stack.pop().ok_or_else(|| wrong("it takes what is not there"))
    }

    fn last(&self) -> Result<Id> {
        self.stack.last().copied().ok_or_else(|| wrong("it takes what is not there"))
    }

    /// What was put on the stack since the last mark.
    fn since_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| wrong("a mark is missing"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn tuple(&mut self, count: usize) -> Result<()> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
        items.reverse();
        self.push(Object::Tuple(items));
        Ok(())
    }

    fn extend(&mut self, items: Vec<Id>) -> Result<()> {
        let list = self.last()?;
        let Some(Object::List(list)) = self.objects.get_mut(list) else { return Err(wrong("it appends to no list")) };
        list.extend(items);
        Ok(())
    }

    fn insert(&mut self, items: &[Id]) -> Result<()> {
        let dict = self.last()?;
        match self.objects.get_mut(dict) {
            Some(Object::Dict(dict)) => dict.extend(items.as_chunks::<2>().0.iter().map(|[key, value]| (*key, *value))),
            // An entry of something that is no dictionary says nothing of tensors.
            Some(Object::Call(..)) => {}
            _ => return Err(wrong("it sets entries of no dictionary")),
        }
        Ok(())
    }

    /// The result of calling `callable`: empty dictionaries are made, everything else is noted.
    fn call(&mut self, callable: Id, arguments: Id) {
        let is_dict = |module: &str, name: &str| {
            module == "collections" && matches!(name, "OrderedDict" | "defaultdict") || name == "dict"
        };
        let made = match self.get(callable) {
            Object::Global(module, name) if is_dict(module, name) => Object::Dict(self.pairs(arguments)),
            _ => Object::Call(callable, arguments),
        };
        self.push(made);
    }

    /// The entries in the arguments of a dictionary: a list of pairs, where there is one.
    fn pairs(&self, arguments: Id) -> Vec<(Id, Id)> {
        let Object::Tuple(arguments) = self.get(arguments) else { return Vec::new() };
        let Some(Object::List(list)) = arguments.first().map(|id| self.get(*id)) else { return Vec::new() };
        let pair = |id: &Id| match self.get(*id) {
            Object::Tuple(pair) | Object::List(pair) => Some((*pair.first()?, *pair.get(1)?)),
            _ => None,
        };
        list.iter().filter_map(pair).collect()
    }

    fn step(&mut self, code: u8, input: &mut Instructions<'_>) -> Result<()> {
        match code {
            // Version, frame: nothing to note.
            0x80 => drop(input.bytes(1)?),
            0x95 => drop(input.bytes(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.since_mark()?),
            b'2' => self.stack.push(self.last()?),
            b'N' | 0x88 | 0x89 => self.push(Object::Other),
            b'G' => {
                input.bytes(8)?;
                self.push(Object::Other);
            }
            b'J' => {
                let number = input.number(4)? as u32;
                self.push(Object::Int(i64::from(number.cast_signed())));
            }
            b'K' => {
                let number = input.number(1)?;
                self.push(Object::Int(number.cast_signed()));
            }
            b'M' => {
                let number = input.number(2)?;
                self.push(Object::Int(number.cast_signed()));
            }
            0x8a => {
                let length = input.number(1)?;
                let bytes = input.bytes(length)?;
                if bytes.len() > 8 {
                    return Err(wrong("a number is too large"));
                }
                let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { u64::MAX } else { 0 };
                let number = bytes.iter().rev().fold(sign, |sum, byte| sum << 8 | u64::from(*byte));
                self.push(Object::Int(number.cast_signed()));
            }
            b'X' | b'T' => {
                let length = input.number(4)?;
                let text = input.text(length)?;
                self.push(Object::Text(text));
            }
            0x8c | b'U' => {
                let length = input.number(1)?;
                let text = input.text(length)?;
                self.push(Object::Text(text));
            }
            b')' => self.push(Object::Tuple(Vec::new())),
            b't' => {
                let items = self.since_mark()?;
                self.push(Object::Tuple(items));
            }
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b']' => self.push(Object::List(Vec::new())),
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.extend(items)?;
            }
            b'}' => self.push(Object::Dict(Vec::new())),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.insert(&[key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.insert(&items)?;
            }
            b'c' => {
                let (module, name) = (input.line()?, input.line()?);
                self.push(Object::Global(module, name));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Object::Text(module), Object::Text(name)) = (self.get(module), self.get(name)) else {
                    return Err(wrong("a class has no name"));
                };
                self.push(Object::Global(module.clone(), name.clone()));
            }
            b'q' => self.note(input, 1)?,
            b'r' => self.note(input, 4)?,
            0x94 => drop(self.memo.insert(self.memo.len() as u64, self.last()?)),
            b'h' => self.recall(input, 1)?,
            b'j' => self.recall(input, 4)?,
            b'Q' => {
                let id = self.pop()?;
                self.push(Object::Outside(id));
            }
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.call(callable, arguments);
            }
            // The state of an object: of dictionaries attributes, which hold no tensor of a model.
            b'b' => drop(self.pop()?),
            other => return Err(wrong(&format!("the instruction {other:#04x} is not known"))),
        }
        Ok(())
    }

    fn note(&mut self, input: &mut Instructions<'_>, bytes: u64) -> Result<()> {
        let key = input.number(bytes)?;
        self.memo.insert(key, self.last()?);
        Ok(())
    }

    fn recall(&mut self, input: &mut Instructions<'_>, bytes: u64) -> Result<()> {
        let key = input.number(bytes)?;
        let id = self.memo.get(&key).copied().ok_or_else(|| wrong("it recalls what it did not note"))?;
        self.stack.push(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_or_unknown_is_refused_and_nothing_panics() {
        // {'a': (1, -2)} as Python writes it in protocol 2.
        let whole = b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01K\x01J\xfe\xff\xff\xff\x86q\x02s.";
        let mut machine = Machine::default();
        let id = machine.read(whole).unwrap();
        let Object::Dict(entries) = machine.get(id) else { panic!("{:?}", machine.get(id)) };
        let [(key, value)] = entries.as_slice() else { panic!("{entries:?}") };
        assert_eq!(machine.get(*key), &Object::Text("a".to_owned()));
        let Object::Tuple(items) = machine.get(*value) else { panic!() };
        assert_eq!(
            items.iter().map(|id| machine.get(*id).clone()).collect::<Vec<_>>(),
            [Object::Int(1), Object::Int(-2)]
        );
        for keep in 0..whole.len() - 1 {
            assert!(Machine::default().read(&whole[..keep]).is_err(), "{keep}");
        }
        // Every byte as an instruction with little behind it.
        for code in 0..=255u8 {
            for before in [&b""[..], b"(", b"}", b"](K\x01", b"K\x01K\x02", b"X\x01\x00\x00\x00ah\x00"] {
                let _ = Machine::default().read(&[before, &[code, 255, 255, 255, 255, 255], b"."].concat());
            }
        }
        let long = Machine::default().read(b"X\xff\xff\xff\xffab.").unwrap_err().to_string();
        assert!(long.contains("ends inside an instruction"), "{long}");
    }

    #[test]
    fn what_doubles_itself_takes_no_more_room_than_its_text() {
        // Each step makes a pair of the last object with itself: written out it would have 2^5000 parts.
        let mut bytes = b"K\x01q\x00".to_vec();
        for _ in 0..5000 {
            bytes.extend_from_slice(b"h\x00h\x00\x86q\x00");
        }
        bytes.push(b'.');
        let mut machine = Machine::default();
        machine.read(&bytes).unwrap();
        assert!(machine.objects.len() < 6000);
        // Depth does no harm when it is dropped either.
        drop(machine);
    }
}

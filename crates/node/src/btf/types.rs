//! BTF's type section.

use std::collections::HashMap;

use super::BtfError;

/// A type, as far as offsets need it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Struct or union.
    Struct { size: u32, members: Vec<Member> },
    /// Typedef or qualifier.
    Alias(u32),
    /// Enumerators and their values.
    Enum(Vec<(String, u32)>),
    /// Anything else.
    Other,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) id: u32,
    /// In bytes; a bit field's first byte.
    pub(super) offset: u32,
}

const MAGIC: u16 = 0xeb9f;

/// All types by id, and the ids of named structs and unions.
pub(super) type Parsed = (Vec<Type>, HashMap<String, u32>);

struct Reader<'a> {
    bytes: &'a [u8],
    names: &'a [u8],
}

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, BtfError> {
    let damaged = BtfError::Damaged;
    let mut head = Reader { bytes, names: &[] };
    if head.u16() != Some(MAGIC) {
        return Err(damaged("wrong magic number"));
    }
    let _version_and_flags = head.u16();
    let mut word = || head.u32().map(|word| word as usize).ok_or(damaged("its header is cut"));
    let (head_len, type_at, type_len, name_at, name_len) = (word()?, word()?, word()?, word()?, word()?);
    let section = |at: usize, len: usize| {
        let start = head_len.checked_add(at).ok_or(damaged("a section lies outside"))?;
        bytes.get(start..).and_then(|rest| rest.get(..len)).ok_or(damaged("a section lies outside"))
    };
    let mut reader = Reader { bytes: section(type_at, type_len)?, names: section(name_at, name_len)? };
    // Id 0 is `void`.
    let mut types = vec![Type::Other];
    let mut by_name = HashMap::new();
    while !reader.bytes.is_empty() {
        let (name, one) = reader.one().ok_or(damaged("a type is cut"))?;
        if matches!(one, Type::Struct { .. }) && !name.is_empty() {
            by_name.entry(name).or_insert(types.len() as u32);
        }
        types.push(one);
    }
    Ok((types, by_name))
}

impl Reader<'_> {
    fn u16(&mut self) -> Option<u16> {
        let (piece, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(u16::from_ne_bytes(*piece))
    }

    fn u32(&mut self) -> Option<u32> {
        let (piece, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(u32::from_ne_bytes(*piece))
    }

    fn skip(&mut self, len: usize) -> Option<()> {
        self.bytes = self.bytes.get(len..)?;
        Some(())
    }

    fn name(&self, at: u32) -> Option<String> {
        let text = self.names.get(at as usize..)?;
        let len = text.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&text[..len]).into_owned())
    }

    /// The next type with its name.
    fn one(&mut self) -> Option<(String, Type)> {
        let (name, info, size) = (self.u32()?, self.u32()?, self.u32()?);
        let (count, kind, flag) = ((info & 0xffff) as usize, info >> 24 & 0x1f, info >> 31 != 0);
        let one = match kind {
            4 | 5 => {
                Type::Struct { size, members: (0..count).map(|_| self.member(flag)).collect::<Option<_>>()? }
            }
            6 => Type::Enum((0..count).map(|_| self.enumerator()).collect::<Option<_>>()?),
            // TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG.
            8..=11 | 18 => Type::Alias(size),
            // INT, VAR and DECL_TAG carry a word; ARRAY three; function prototypes two for each parameter;
            // sections three for each variable, 64-bit enumerations three for each value.
            1 | 14 | 17 => self.skip(4).map(|()| Type::Other)?,
            3 => self.skip(12).map(|()| Type::Other)?,
            13 => self.skip(count * 8).map(|()| Type::Other)?,
            15 | 19 => self.skip(count * 12).map(|()| Type::Other)?,
            // PTR, FWD, FUNC, FLOAT.
            2 | 7 | 12 | 16 => Type::Other,
            _ => return None,
        };
        Some((self.name(name)?, one))
    }

    fn member(&mut self, with_bits: bool) -> Option<Member> {
        let (name, id, at) = (self.u32()?, self.u32()?, self.u32()?);
        let bits = if with_bits { at & 0x00ff_ffff } else { at };
        Some(Member { name: self.name(name)?, id, offset: bits / 8 })
    }

    fn enumerator(&mut self) -> Option<(String, u32)> {
        let (name, value) = (self.u32()?, self.u32()?);
        Some((self.name(name)?, value))
    }
}

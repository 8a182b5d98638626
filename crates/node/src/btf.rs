//! The kernel's own type information, read for one purpose: at which byte of a struct a member lies.
//! Format: `Documentation/bpf/btf.rst`. aya reads BTF too, but keeps members to itself.

use std::collections::HashMap;

use outis_abi::{FIELDS, Field};

mod types;
use types::{Member, Type};

/// Why type information could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// Not BTF, or cut short.
    #[error("the kernel's type information is damaged: {0}")]
    Damaged(&'static str),
    /// A field the programs need is not there.
    #[error("this kernel has no field `{0}`; its version is not supported by this build")]
    FieldMissing(&'static str),
}

/// Parsed type information.
#[derive(Debug)]
pub struct Btf {
    types: Vec<Type>,
    by_name: HashMap<String, u32>,
}

impl Btf {
    /// Parses the contents of `/sys/kernel/btf/vmlinux`.
    ///
    /// # Errors
    /// When the bytes are not BTF.
    pub fn parse(bytes: &[u8]) -> Result<Self, BtfError> {
        types::parse(bytes).map(|(types, by_name)| Self { types, by_name })
    }

    /// Offsets of every [`Field`], in order; `u32::MAX` for one that may be missing and is.
    ///
    /// # Errors
    /// Names the first field that is missing and may not be.
    pub fn offsets(&self) -> Result<[u32; FIELDS], BtfError> {
        let mut offsets = [u32::MAX; FIELDS];
        for (offset, path) in offsets.iter_mut().zip(Field::PATHS) {
            let (path, optional) = match path.strip_prefix('?') {
                Some(path) => (path, true),
                None => (path, false),
            };
            match path.split('|').find_map(|one| self.offset(one)) {
                Some(found) => *offset = found,
                None if optional => {}
                None => return Err(BtfError::FieldMissing(path)),
            }
        }
        Ok(offsets)
    }

    /// The byte offset of `struct.member.member`, or the size for `struct.$size`.
    #[must_use]
    pub fn offset(&self, path: &str) -> Option<u32> {
        let mut parts = path.split('.');
        let mut id = *self.by_name.get(parts.next()?)?;
        let mut offset = 0;
        for part in parts {
            if part == "$size" {
                return self.size(id);
            }
            let (at, member) = self.member(self.resolve(id)?, part, 8)?;
            offset += at;
            id = member;
        }
        Some(offset)
    }

    /// The number of an enumerator.
    #[must_use]
    pub fn enumerator(&self, name: &str) -> Option<u32> {
        self.types.iter().find_map(|one| match one {
            Type::Enum(values) => values.iter().find(|(found, _)| found == name).map(|(_, value)| *value),
            _ => None,
        })
    }

    /// Bytes of a struct.
    fn size(&self, id: u32) -> Option<u32> {
        match self.types.get(self.resolve(id)? as usize)? {
            Type::Struct { size, .. } => Some(*size),
            _ => None,
        }
    }

    /// Looks through typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<u32> {
        for _ in 0..16 {
            match self.types.get(id as usize)? {
                Type::Alias(to) => id = *to,
                _ => return Some(id),
            }
        }
        None
    }

    /// A member by name, anonymous members looked through; its offset and type.
    fn member(&self, id: u32, name: &str, depth: u8) -> Option<(u32, u32)> {
        let Type::Struct { members, .. } = self.types.get(id as usize)? else { return None };
        if let Some(found) = members.iter().find(|member| member.name == name) {
            return Some((found.offset, found.id));
        }
        let deeper = depth.checked_sub(1)?;
        members.iter().filter(|member| member.name.is_empty()).find_map(|Member { offset, id, .. }| {
            let (inner, found) = self.member(self.resolve(*id)?, name, deeper)?;
            Some((offset + inner, found))
        })
    }
}

#[cfg(test)]
mod tests;

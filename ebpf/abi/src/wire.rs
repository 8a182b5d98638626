//! One macro for all records: the struct, its size, and for user space reading and writing without
//! `unsafe`. Members stand without gaps, which the size assertion proves.

macro_rules! record {
    ($(#[$doc:meta])* $name:ident = $size:literal { $($(#[$member:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(C)]
        pub struct $name { $($(#[$member])* pub $field: $type,)* }

        const _: () = assert!(size_of::<$name>() == $size);
        // No hole between members: their sizes add up.
        const _: () = assert!(0 $(+ size_of::<$type>())* == $size);

        #[cfg(feature = "user")]
        impl $name {
            /// Reads one from the front; with it, what is left. `None` when there are too few bytes.
            #[must_use]
            pub fn read(mut bytes: &[u8]) -> Option<(Self, &[u8])> {
                use crate::wire::Piece;
                let record = Self { $($field: <$type>::take(&mut bytes)?,)* };
                Some((record, bytes))
            }

            /// Appends its bytes, as the kernel would have written them.
            pub fn write(&self, to: &mut impl Extend<u8>) {
                $(crate::wire::Piece::put(&self.$field, to);)*
            }
        }
    };
}
pub(crate) use record;

/// A member of a record.
#[cfg(feature = "user")]
pub(crate) trait Piece: Sized {
    fn take(bytes: &mut &[u8]) -> Option<Self>;
    fn put(&self, to: &mut impl Extend<u8>);
}

#[cfg(feature = "user")]
macro_rules! integer {
    ($($type:ty),*) => {$(
        impl Piece for $type {
            fn take(bytes: &mut &[u8]) -> Option<Self> {
                let (piece, rest) = bytes.split_first_chunk()?;
                *bytes = rest;
                Some(Self::from_ne_bytes(*piece))
            }
            fn put(&self, to: &mut impl Extend<u8>) {
                to.extend(self.to_ne_bytes());
            }
        }
    )*};
}
#[cfg(feature = "user")]
integer!(u8, u16, u32, i32, u64);

#[cfg(feature = "user")]
impl<T: Piece + Copy + Default, const N: usize> Piece for [T; N] {
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let mut pieces = [T::default(); N];
        for piece in &mut pieces {
            *piece = T::take(bytes)?;
        }
        Some(pieces)
    }
    fn put(&self, to: &mut impl Extend<u8>) {
        self.iter().for_each(|piece| piece.put(to));
    }
}

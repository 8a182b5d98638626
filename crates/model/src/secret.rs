//! A value that must not be shown: no `Debug` of its content, no `Serialize`.

use std::fmt;

/// Holds something secret; only `reveal` gives it out, so every use can be found by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a secret.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The secret itself.
    pub const fn reveal(&self) -> &T {
        &self.0
    }

    /// The secret itself, by value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn debug_does_not_show_it() {
        assert_eq!(format!("{:?}", super::Secret::new("hunter2")), "Secret(..)");
    }
}

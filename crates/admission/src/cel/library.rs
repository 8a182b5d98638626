//! The functions of expressions: the language's own, its extensions for texts, lists and numbers, and
//! those Kubernetes adds.

mod lists;
mod network;
mod quantity;
mod regex;
mod version;

use cel::{DeclarationError, Env, ExecutionError, extensions};

use super::cost;

type Library = fn(&mut Env) -> Result<(), DeclarationError>;

/// All functions together.
pub(super) fn environment() -> Env {
    let mut env = Env::stdlib();
    let libraries: [Library; 10] = [
        extensions::strings,
        extensions::lists,
        extensions::math,
        extensions::encoders,
        cost::register,
        lists::register,
        network::register,
        quantity::register,
        regex::register,
        version::register,
    ];
    for library in libraries {
        env.add_extension(library)
            .expect("no two libraries declare the same overload: a test builds them all");
    }
    env
}

fn failed(function: &str, why: impl ToString) -> ExecutionError {
    ExecutionError::function_error(function, why)
}

/// A value only its own functions look into.
macro_rules! opaque {
    ($type:ident, $name:literal) => {
        impl cel::common::value::Val for $type {
            fn get_type(&self) -> &cel::common::types::Type {
                <Self as cel::common::value::Val>::cel_type()
            }
            fn cel_type() -> &'static cel::common::types::Type {
                static TYPE: cel::common::types::Type = cel::common::types::Type::new_unspecified_type($name);
                &TYPE
            }
            fn equals(&self, other: &dyn cel::common::value::Val) -> bool {
                other.downcast_ref::<$type>().is_some_and(|other| other == self)
            }
            fn clone_as_boxed<'v>(&self) -> Box<dyn cel::common::value::Val + 'v> {
                Box::new(self.clone())
            }
            fn as_any(&self) -> Option<&dyn std::any::Any> {
                Some(self)
            }
        }
        impl cel::common::value::StaticVal for $type {}
    };
}
use opaque;

/// -1, 0 or 1.
fn ordered(ordering: std::cmp::Ordering) -> cel::common::types::CelInt {
    cel::common::types::CelInt::from(ordering as i64)
}

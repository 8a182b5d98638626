//! outis-admission.

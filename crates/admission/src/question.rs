//! One request, in the shape each engine wants it, built at most once however many policies ask.

use std::cell::OnceCell;

use outis_model::review::Review;

use crate::{cel, rego};

/// What is asked of every policy about one request.
pub(crate) struct Question<'a> {
    pub(crate) review: &'a Review,
    rego: OnceCell<regorus::Value>,
    cel: OnceCell<cel::Request>,
}

impl<'a> Question<'a> {
    pub(crate) fn new(review: &'a Review) -> Self {
        Self { review, rego: OnceCell::new(), cel: OnceCell::new() }
    }

    /// `input.review`.
    pub(crate) fn rego(&self) -> &regorus::Value {
        self.rego.get_or_init(|| rego::review(self.review))
    }

    /// The variables of CEL expressions.
    pub(crate) fn cel(&self) -> &cel::Request {
        self.cel.get_or_init(|| cel::Request::new(self.review))
    }
}

//! CEL policies.

use outis_api::admission_policy::Cel;
use outis_model::review::Review;

use crate::fault::Refusal;
use crate::judge::Speech;

#[derive(Debug)]
pub(crate) struct Compiled;

pub(crate) struct Request;

impl Compiled {
    pub(crate) fn new(_: &Cel) -> Result<Self, Refusal> {
        Err(Refusal::new("cel", "CEL policies are not supported by this version yet"))
    }

    pub(crate) fn judge(&self, _: &Request, _: u64) -> Speech {
        vec![crate::judge::unknown("CEL policies are not supported by this version yet")]
    }
}

impl Request {
    pub(crate) fn new(_: &Review) -> Self {
        Self
    }
}

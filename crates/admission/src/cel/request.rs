//! A request as variables of expressions, built once however many policies ask.

use std::collections::HashMap;

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use outis_model::review::Review;
use serde_json::{Value, json};

/// The variables of a request.
pub(crate) struct Request {
    object: Box<dyn Val>,
    old_object: Box<dyn Val>,
    request: Box<dyn Val>,
    namespace_object: Box<dyn Val>,
    /// The request is in a namespace whose object nobody has seen.
    pub(super) namespace_unknown: bool,
}

impl Request {
    pub(crate) fn new(review: &Review) -> Self {
        let request = json!({
            "uid": review.uid,
            "kind": review.kind,
            "resource": review.resource,
            "subResource": review.sub_resource,
            "name": review.name,
            "namespace": review.namespace,
            "operation": review.operation.to_string(),
            "userInfo": review.user,
            "dryRun": review.dry_run,
            "options": review.options,
        });
        Self {
            object: value(&review.object),
            old_object: value(&review.old_object),
            request: value(&request),
            namespace_object: value(&review.namespace_object),
            namespace_unknown: !review.namespace.is_empty() && review.namespace_object.is_null(),
        }
    }
}

impl VariableResolver for Request {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let value = match variable {
            "object" => &self.object,
            "oldObject" => &self.old_object,
            "request" => &self.request,
            "namespaceObject" => &self.namespace_object,
            _ => return None,
        };
        Some(CowVal::Borrowed(value.as_ref()))
    }
}

/// JSON as a value of the language. Whole numbers are `int`, as in Kubernetes, never `uint`; one that
/// does not fit stays what it is rather than something near it.
pub(super) fn value(json: &Value) -> Box<dyn Val> {
    match json {
        Value::Null => Box::new(CelNull),
        Value::Bool(flag) => Box::new(CelBool::from(*flag)),
        Value::String(text) => Box::new(CelString::from(text.clone())),
        Value::Array(items) => Box::new(CelList::from(items.iter().map(value).collect::<Vec<_>>())),
        Value::Object(fields) => {
            let field = |(name, field): (&String, &Value)| (CelMapKey::from(name.clone()), value(field));
            Box::new(CelMap::from(fields.iter().map(field).collect::<HashMap<_, _>>()))
        }
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Box::new(CelInt::from(int)),
            (None, Some(int)) => Box::new(CelUInt::from(int)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
    }
}

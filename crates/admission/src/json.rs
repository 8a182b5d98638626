//! JSON into the values of the engines, by reference: the request is read once and never cloned whole.

use serde_json::Value;

/// Into a value of the Rego machine.
pub(crate) fn to_rego(value: &Value) -> regorus::Value {
    match value {
        Value::Null => regorus::Value::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(to_rego).collect::<Vec<_>>().into(),
        Value::Object(fields) => {
            rego_object(fields.iter().map(|(key, value)| (key.as_str(), to_rego(value))))
        }
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(int), _, _) => int.into(),
            (None, Some(int), _) => int.into(),
            (None, None, Some(float)) => float.into(),
            // Without arbitrary precision every JSON number is one of the three.
            (None, None, None) => regorus::Value::Undefined,
        },
    }
}

/// An object of the Rego machine.
pub(crate) fn rego_object<'a>(fields: impl Iterator<Item = (&'a str, regorus::Value)>) -> regorus::Value {
    let fields = fields.map(|(key, value)| (regorus::Value::from(key), value));
    fields.collect::<std::collections::BTreeMap<_, _>>().into()
}

//! Label selectors, as Kubernetes reads them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use serde_json::{Map, Value};

use crate::fault::Refusal;

/// Requirements on labels, all of which must hold.
#[derive(Debug)]
pub(super) struct Selector {
    labels: BTreeMap<String, String>,
    expressions: Vec<Expression>,
}

#[derive(Debug)]
struct Expression {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl Selector {
    pub(super) fn new(part: &str, selector: &LabelSelector) -> Result<Self, Refusal> {
        let expressions = selector.match_expressions.iter().flatten().map(|e| Expression::new(part, e));
        Ok(Self {
            labels: selector.match_labels.clone().unwrap_or_default(),
            expressions: expressions.collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        let label = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        self.labels.iter().all(|(key, value)| label(key) == Some(value))
            && self.expressions.iter().all(|expression| expression.holds(label(&expression.key)))
    }
}

impl Expression {
    fn new(part: &str, wanted: &LabelSelectorRequirement) -> Result<Self, Refusal> {
        let values = wanted.values.clone().unwrap_or_default();
        let operator = match (wanted.operator.as_str(), values.is_empty()) {
            ("In", false) => Operator::In,
            ("NotIn", false) => Operator::NotIn,
            ("Exists", true) => Operator::Exists,
            ("DoesNotExist", true) => Operator::DoesNotExist,
            ("In" | "NotIn", true) => return Err(Self::fault(part, wanted, "needs values")),
            ("Exists" | "DoesNotExist", false) => return Err(Self::fault(part, wanted, "takes no values")),
            _ => return Err(Self::fault(part, wanted, "is none of In, NotIn, Exists, DoesNotExist")),
        };
        Ok(Self { key: wanted.key.clone(), operator, values })
    }

    fn fault(part: &str, wanted: &LabelSelectorRequirement, what: &str) -> Refusal {
        let text = format!("the operator {:?} on label {:?} {what}", wanted.operator, wanted.key);
        Refusal::new(format!("{part}.matchExpressions"), text)
    }

    fn holds(&self, value: Option<&str>) -> bool {
        let listed = || value.is_some_and(|value| self.values.iter().any(|v| v == value));
        match self.operator {
            Operator::In => listed(),
            Operator::NotIn => !listed(),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

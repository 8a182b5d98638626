//! CEL policies: expressions that must be true, as in a ValidatingAdmissionPolicy.
//!
//! The language is the `cel` crate's; on top come the Kubernetes functions, a bound on what an
//! evaluation may cost, and a gate that refuses at load every function, variable and name that is not
//! there. Policy variables are evaluated when an expression that names them is, once per request; one
//! that fails matters only where it is used.
//!
//! What is absent: `authorizer`, and the functions of the Kubernetes library that [`gate::FUNCTIONS`]
//! does not list; both are refused by name.

mod cost;
mod gate;
mod library;
mod parse;
mod request;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use ::cel::common::types::{CelBool, CelString};
use ::cel::common::value::Val;
use ::cel::{Context, Env, IdedExpr, Value};
use outis_api::admission_policy::Cel;
use outis_model::{Reason, Verdict};

use crate::fault::Refusal;
use crate::judge::{Speech, unknown};
use parse::Expression;
pub(crate) use request::Request;

/// A checked policy, shared by all workers: evaluation only reads it.
#[derive(Debug)]
pub(crate) struct Compiled {
    variables: Vec<(String, Expression)>,
    validations: Vec<Validation>,
    params: serde_json::Value,
}

#[derive(Debug)]
struct Validation {
    expression: Expression,
    message: String,
    message_expression: Option<Expression>,
}

/// The functions there are.
fn environment() -> Arc<Env> {
    static ENVIRONMENT: OnceLock<Arc<Env>> = OnceLock::new();
    Arc::clone(ENVIRONMENT.get_or_init(|| Arc::new(library::environment())))
}

impl Compiled {
    pub(crate) fn new(wanted: &Cel) -> Result<Self, Refusal> {
        let mut names: Vec<String> = Vec::new();
        let mut variables = Vec::new();
        for (index, variable) in wanted.variables.iter().enumerate() {
            let part = format!("cel.variables[{index}]");
            if names.contains(&variable.name) {
                return Err(Refusal::new(part, format!("the variable {:?} is defined twice", variable.name)));
            }
            let expression = Expression::new(&format!("{part}.expression"), &variable.expression, &names)?;
            names.push(variable.name.clone());
            variables.push((variable.name.clone(), expression));
        }
        let validation = |(index, wanted): (usize, &outis_api::admission_policy::Validation)| {
            let part = format!("cel.validations[{index}]");
            let message = |text: &String| Expression::new(&format!("{part}.messageExpression"), text, &names);
            Ok(Validation {
                expression: Expression::new(&format!("{part}.expression"), &wanted.expression, &names)?,
                message_expression: wanted.message_expression.as_ref().map(message).transpose()?,
                message: match wanted.message.as_deref().map(str::trim) {
                    Some(text) if !text.is_empty() => text.to_owned(),
                    _ => format!("this is not true: {}", wanted.expression.trim()),
                },
            })
        };
        let validations =
            wanted.validations.iter().enumerate().map(validation).collect::<Result<Vec<_>, _>>()?;
        if validations.is_empty() {
            return Err(Refusal::new(
                "cel.validations",
                "there is nothing to validate; give at least one expression",
            ));
        }
        let params = serde_json::Value::Object(wanted.params.clone().into_iter().collect());
        Ok(Self { variables, validations, params })
    }

    /// What the policy says about `request`, within so many steps.
    pub(crate) fn judge(&self, request: &Request, steps: u64) -> Speech {
        let mut evaluation = Evaluation {
            policy: self,
            context: Context::with_env(environment()),
            failed: BTreeMap::new(),
            done: vec![false; self.variables.len()],
        };
        evaluation.context.set_variable_resolver(request);
        evaluation.context.add_variable_as_val("params", request::value(&self.params));
        cost::allow(steps);
        let validations = self.validations.iter().enumerate();
        let speech =
            validations.filter_map(|(index, one)| evaluation.validate(index, one, request)).collect();
        if cost::exhausted() {
            return vec![unknown(format!("the expressions need more than {steps} steps for this object"))];
        }
        speech
    }
}

struct Evaluation<'c> {
    policy: &'c Compiled,
    context: Context<'c, 'c>,
    /// Variables that could not be evaluated, and why.
    failed: BTreeMap<&'c str, String>,
    done: Vec<bool>,
}

impl<'c> Evaluation<'c> {
    fn validate(
        &mut self,
        index: usize,
        one: &'c Validation,
        request: &Request,
    ) -> Option<(Verdict, Reason)> {
        if one.expression.names_namespace && request.namespace_unknown {
            return Some(unknown(format!(
                "cel.validations[{index}]: the object of the namespace is not known"
            )));
        }
        match self.evaluate(&one.expression) {
            Err(cause) => Some(unknown(format!("cel.validations[{index}]: {cause}"))),
            Ok(value) => match value.downcast_ref::<CelBool>().map(|truth| *truth.inner()) {
                Some(true) => None,
                Some(false) => Some((Verdict::Deny, Reason::new("PolicyViolation", self.message(one)))),
                None => {
                    let kind = value.get_type().name().to_owned();
                    Some(unknown(format!(
                        "cel.validations[{index}]: the result is a {kind}, neither true nor false"
                    )))
                }
            },
        }
    }

    fn message(&mut self, one: &'c Validation) -> String {
        let made = one.message_expression.as_ref().and_then(|expression| self.evaluate(expression).ok());
        let made = made
            .and_then(|value| value.downcast_ref::<CelString>().map(|text| text.inner().trim().to_owned()));
        made.filter(|text| !text.is_empty()).unwrap_or_else(|| one.message.clone())
    }

    fn evaluate(&mut self, expression: &'c Expression) -> Result<Box<dyn Val + 'c>, String> {
        self.bind(expression);
        let failed = |name: &&String| self.failed.get(name.as_str());
        self.resolve(&expression.tree).map_err(|cause| {
            match expression.variables.iter().find_map(|name| failed(&name)) {
                Some(why) if cause.contains("variables") => why.clone(),
                _ => cause,
            }
        })
    }

    fn resolve(&self, tree: &'c IdedExpr) -> Result<Box<dyn Val + 'c>, String> {
        Value::resolve_val(tree, &self.context)
            .map(|value| value.into_owned())
            .map_err(|error| cut(&error.to_string()))
    }

    /// Evaluates the variables an expression names, and those they name, in order of definition.
    fn bind(&mut self, expression: &'c Expression) {
        for (index, (name, definition)) in self.policy.variables.iter().enumerate() {
            if self.done.get(index).copied().unwrap_or(true) || !expression.variables.contains(name) {
                continue;
            }
            if let Some(done) = self.done.get_mut(index) {
                *done = true;
            }
            match self.evaluate(definition) {
                Ok(value) => self.context.add_variable_as_val(format!("variables.{name}"), value),
                Err(cause) => drop(self.failed.insert(name, format!("variables.{name}: {cause}"))),
            }
        }
    }
}

/// Errors of the language print whole values; people need their beginning.
fn cut(text: &str) -> String {
    match text.char_indices().nth(512) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;

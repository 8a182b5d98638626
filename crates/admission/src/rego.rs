//! Rego policies on the bytecode machine.
//!
//! A module is parsed, checked by the gate (no builtin that is impure or reaches out, no reference that
//! could only ever be undefined), mended where the machine is known to differ from OPA, and compiled;
//! the compiler refuses unknown functions and unsafe variables. Nothing that fails here judges.
//!
//! What is absent: `data.inventory`. A module that refers to it is refused.

mod calls;
mod gate;
mod mend;
mod walk;

use std::sync::Arc;

use outis_api::admission_policy::{Rego, RegoVersion};
use outis_model::review::{Operation, Review};
use outis_model::{Reason, Verdict};
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::vm::VmError;
use regorus::rvm::{Program, RegoVM};
use regorus::unstable::{Module, Parser};
use regorus::{Engine, Source, Value};

use crate::fault::Refusal;
use crate::json::{rego_object, to_rego};
use crate::judge::{Speech, unknown};

/// A checked policy; workers make machines of it.
#[derive(Debug)]
pub(crate) struct Compiled {
    modules: Vec<Text>,
    v0: bool,
    entry: String,
    parameters: serde_json::Value,
}

/// A module's text and the part of the policy it is.
#[derive(Debug, Clone)]
struct Text {
    part: String,
    text: String,
}

impl Compiled {
    pub(crate) fn new(wanted: &Rego) -> Result<Self, Refusal> {
        let v0 = wanted.version == RegoVersion::V0;
        let main = Text { part: "rego.source".into(), text: wanted.source.clone() };
        let lib = |(index, text): (usize, &String)| Text {
            part: format!("rego.libs[{index}]"),
            text: text.clone(),
        };
        let texts: Vec<_> = std::iter::once(main).chain(wanted.libs.iter().enumerate().map(lib)).collect();
        let texts =
            texts.into_iter().map(|text| mend::statements(text, v0)).collect::<Result<Vec<_>, _>>()?;
        let modules = texts.iter().map(|text| parse(text, v0)).collect::<Result<Vec<_>, _>>()?;
        let entry = gate::check(&texts, &modules)?;
        // Compiled once as written, so that faults carry the author's lines and columns.
        program(&texts, v0, &entry)?;
        let mut mended =
            texts.iter().zip(&modules).map(|(text, module)| mend::calls(text, module)).collect::<Vec<_>>();
        mended.push(mend::library(v0));
        program(&mended, v0, &entry)?;
        let parameters = serde_json::Value::Object(wanted.parameters.clone().into_iter().collect());
        Ok(Self { modules: mended, v0, entry, parameters })
    }
}

fn parse(text: &Text, v0: bool) -> Result<Module, Refusal> {
    let fault = |error: &dyn std::fmt::Display| located(&text.part, &error.to_string());
    let source = Source::from_contents(text.part.clone(), text.text.clone()).map_err(|e| fault(&e))?;
    let mut parser = Parser::new(&source).map_err(|e| fault(&e))?;
    if !v0 {
        parser.enable_rego_v1().map_err(|e| fault(&e))?;
    }
    parser.parse().map_err(|e| fault(&e))
}

/// Compiles modules into a program of its own.
fn program(texts: &[Text], v0: bool, entry: &str) -> Result<Arc<Program>, Refusal> {
    let mut engine = Engine::new();
    engine.set_rego_v0(v0);
    engine.set_strict_builtin_errors(false);
    for Text { part, text } in texts {
        engine.add_policy(part.clone(), text.clone()).map_err(|error| located(part, &error.to_string()))?;
    }
    let general = |error: String| located("rego.source", &error);
    let policy = engine.compile_with_entrypoint(&entry.into()).map_err(|error| general(error.to_string()))?;
    Compiler::compile_from_policy(&policy, &[entry]).map_err(|fault| match &fault.span {
        Some(span) => {
            Refusal::new(span.source.file().clone(), fault.error.to_string()).at(span.line, span.col)
        }
        None => general(fault.to_string()),
    })
}

/// Takes the place out of the machine's message: ` --> file:line:col`, and `error: sentence` below it.
fn located(part: &str, message: &str) -> Refusal {
    let sentence = message.rsplit("error: ").next().unwrap_or(message).trim();
    let place = message.split("--> ").nth(1).and_then(|rest| rest.lines().next());
    let mut pieces = place.unwrap_or_default().trim().rsplitn(3, ':');
    let column = pieces.next().and_then(|text| text.parse().ok());
    let line = pieces.next().and_then(|text| text.parse().ok());
    let refusal = Refusal::new(pieces.next().filter(|file| !file.is_empty()).unwrap_or(part), sentence);
    match (line, column) {
        (Some(line), Some(column)) => refusal.at(line, column),
        _ => refusal,
    }
}

/// A worker's own machine for one policy.
#[derive(Debug)]
pub(crate) struct Machine {
    vm: RegoVM,
    entry: String,
    parameters: Value,
}

impl Machine {
    pub(crate) fn new(compiled: &Compiled) -> Result<Self, Refusal> {
        let mut vm = RegoVM::new();
        vm.set_strict_builtin_errors(false);
        vm.load_program(program(&compiled.modules, compiled.v0, &compiled.entry)?);
        Ok(Self { vm, entry: compiled.entry.clone(), parameters: to_rego(&compiled.parameters) })
    }

    /// What the policy says about `review`, within so many instructions.
    pub(crate) fn judge(&mut self, review: &Value, instructions: usize) -> Speech {
        let fields = [("parameters", self.parameters.clone()), ("review", review.clone())];
        self.vm.set_input(rego_object(fields.into_iter()));
        self.vm.set_max_instructions(instructions);
        let result = self.vm.execute_entry_point_by_name(&self.entry);
        self.vm.set_input(Value::Null);
        match result {
            Ok(Value::Undefined) => Vec::new(),
            Ok(Value::Set(found)) => found.iter().map(said).collect(),
            Ok(Value::Array(found)) => found.iter().map(said).collect(),
            Ok(_) => {
                vec![unknown("`violation` is not a set; define it as `violation contains {\"msg\": ...}`")]
            }
            Err(VmError::InstructionLimitExceeded { limit, .. }) => {
                vec![unknown(format!("the policy needs more than {limit} instructions for this object"))]
            }
            Err(error) => vec![unknown(format!("evaluating the policy failed: {error}"))],
        }
    }
}

/// One element of `violation`: `{"msg": text, "details": any}`. `details.place` and `details.fix`, when
/// they are texts, say where and what to change.
fn said(element: &Value) -> (Verdict, Reason) {
    let field = |value: &Value, name: &str| {
        let object = value.as_object().ok()?;
        object.get(&Value::from(name)).cloned()
    };
    let text =
        |value: Option<Value>| value.and_then(|value| value.as_string().map(|text| text.to_string()).ok());
    let Some(message) = text(field(element, "msg")) else {
        return unknown("an element of `violation` has no text `msg`, so nobody can say what it is about");
    };
    let mut reason = Reason::new("PolicyViolation", message);
    if let Some(details) = field(element, "details") {
        reason.place = text(field(&details, "place"));
        reason.fix = text(field(&details, "fix"));
    }
    (Verdict::Deny, reason)
}

/// `input.review`: the admission request, with the namespace's object; on DELETE the object is the one
/// that goes.
pub(crate) fn review(review: &Review) -> Value {
    let object = to_rego(&review.object);
    let former = to_rego(&review.old_object);
    let object = if review.operation == Operation::Delete && review.object.is_null() {
        former.clone()
    } else {
        object
    };
    let kind = &review.kind;
    let resource = &review.resource;
    let user = serde_json::to_value(&review.user).unwrap_or_default();
    let texts = |fields: [(&'static str, &str); 3]| {
        rego_object(fields.into_iter().map(|(name, text)| (name, Value::from(text))))
    };
    let fields = [
        ("uid", review.uid.as_str().into()),
        ("kind", texts([("group", &kind.group), ("version", &kind.version), ("kind", &kind.kind)])),
        (
            "resource",
            texts([
                ("group", &resource.group),
                ("version", &resource.version),
                ("resource", &resource.resource),
            ]),
        ),
        ("subResource", review.sub_resource.as_str().into()),
        ("name", review.name.as_str().into()),
        ("operation", review.operation.to_string().into()),
        ("userInfo", to_rego(&user)),
        ("object", object),
        ("oldObject", former),
        ("dryRun", review.dry_run.into()),
        ("options", to_rego(&review.options)),
        ("namespaceObject", to_rego(&review.namespace_object)),
    ];
    // As in the request itself, cluster-scoped objects have no namespace.
    let namespace = (!review.namespace.is_empty()).then(|| ("namespace", review.namespace.as_str().into()));
    rego_object(fields.into_iter().chain(namespace))
}

#[cfg(test)]
mod tests;

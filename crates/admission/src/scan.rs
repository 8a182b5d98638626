//! Offline judging of manifests: the documents of a file, and the request each would be.
//!
//! What is absent: defaults an API server would fill in, and mutation by others. A verdict is on what
//! is written.

use std::fmt;
use std::sync::Arc;

use outis_model::review::{GroupVersionKind, GroupVersionResource, Operation, Review, User};
use serde_json::Value;

/// Where a document stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it was named.
    pub file: String,
    /// The line the document starts at, from 1.
    pub line: usize,
    /// Which item, when the document is a list.
    pub item: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        self.item.iter().try_for_each(|item| write!(f, " (item {item})"))
    }
}

/// A manifest that cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// The file is too large.
    #[error("{file} has {bytes} bytes; at most {most} are read, split the file")]
    TooLarge {
        /// Which file.
        file: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// The file is not text.
    #[error("{file} is not UTF-8 text, so it holds no manifest")]
    NotText {
        /// Which file.
        file: String,
    },
    /// A document is not YAML or JSON.
    #[error("{place}: cannot read the document: {cause}")]
    Syntax {
        /// Where the document starts.
        place: Place,
        /// What the parser says, with the line within the document.
        cause: String,
    },
    /// A document is no Kubernetes object.
    #[error("the document has no {0}, so it is no Kubernetes object")]
    NoObject(&'static str),
}

/// The largest file read: more than any API server would take in one request, many times over.
pub const MOST_BYTES: usize = 64 << 20;

/// All objects of a file: several documents, and the items of lists one by one. Empty documents are
/// none.
///
/// # Errors
/// When a document cannot be read; nothing of the file is judged then, as nothing of it would be applied.
pub fn documents(bytes: &[u8], file: &str) -> Result<Vec<(Place, Value)>, ScanError> {
    if bytes.len() > MOST_BYTES {
        return Err(ScanError::TooLarge { file: file.into(), bytes: bytes.len(), most: MOST_BYTES });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| ScanError::NotText { file: file.into() })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Vec::new();
    for (line, document) in split(text) {
        let place = Place { file: file.into(), line, item: None };
        let value: Value = match serde_saphyr::from_str::<Option<Value>>(&document) {
            Ok(value) => value.unwrap_or(Value::Null),
            Err(cause) => return Err(ScanError::Syntax { place, cause: first_line(&cause.to_string()) }),
        };
        unroll(place, value, &mut found);
    }
    Ok(found)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// Documents by their separator, with the line of their first line that is neither empty nor a comment.
fn split(text: &str) -> Vec<(usize, String)> {
    let mut documents = vec![(1, String::new())];
    for (index, line) in text.lines().enumerate() {
        let ends = line == "---" || line.starts_with("--- ") || line.starts_with("---\t");
        if ends {
            let rest = line.get(3..).unwrap_or_default().trim_start();
            let rest = if rest.starts_with('#') { "" } else { rest };
            documents.push((index + 1 + usize::from(rest.is_empty()), rest.to_owned()));
            if !rest.is_empty() {
                documents.last_mut().into_iter().for_each(|(_, text)| text.push('\n'));
            }
        } else if let Some((start, document)) = documents.last_mut() {
            let blank = line.trim().is_empty()
                || line.trim_start().starts_with('#')
                || line == "..."
                || line.starts_with('%');
            if document.is_empty() && blank {
                *start = index + 2;
                continue;
            }
            if line != "..." {
                document.push_str(line);
                document.push('\n');
            }
        }
    }
    documents.retain(|(_, document)| !document.trim().is_empty());
    documents
}

fn unroll(place: Place, value: Value, found: &mut Vec<(Place, Value)>) {
    let list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match value {
        Value::Null => {}
        Value::Object(mut fields) if list && fields.get("items").is_some_and(Value::is_array) => {
            let Some(Value::Array(items)) = fields.remove("items") else { return };
            for (index, item) in items.into_iter().enumerate() {
                let item_place = Place { item: Some(index), ..place.clone() };
                // Lists of lists are written by nobody; one level keeps this bounded.
                if !item.is_null() {
                    found.push((item_place, item));
                }
            }
        }
        other => found.push((place, other)),
    }
}

/// Kinds of the built-in groups that are in no namespace.
const CLUSTER_SCOPED: [&str; 26] = [
    "APIService",
    "CSIDriver",
    "CSINode",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterTrustBundle",
    "ComponentStatus",
    "CustomResourceDefinition",
    "DeviceClass",
    "FlowSchema",
    "IngressClass",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "RuntimeClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
];

/// The request that creating `object` would be. Objects of built-in kinds that name no namespace go
/// into `default`, as `kubectl` would have it.
///
/// # Errors
/// When the document is no Kubernetes object.
pub fn offline_review(object: &Value) -> Result<Review, ScanError> {
    let text = |field: &str| object.pointer(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let version = text("/apiVersion").ok_or(ScanError::NoObject("apiVersion"))?;
    let kind = text("/kind").ok_or(ScanError::NoObject("kind"))?;
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let built_in = !group.contains('.') || group.ends_with(".k8s.io");
    let in_default = built_in && !CLUSTER_SCOPED.contains(&kind);
    let namespace = text("/metadata/namespace").unwrap_or(if in_default { "default" } else { "" });
    let kind = GroupVersionKind { group: group.into(), version: version.into(), kind: kind.into() };
    Ok(Review {
        uid: String::new(),
        resource: GroupVersionResource {
            group: group.into(),
            version: version.into(),
            resource: String::new(),
        },
        sub_resource: String::new(),
        name: text("/metadata/name").unwrap_or_default().into(),
        namespace: if kind.kind == "Namespace" { String::new() } else { namespace.into() },
        kind,
        operation: Operation::Create,
        user: User::default(),
        object: Arc::new(object.clone()),
        old_object: Arc::new(Value::Null),
        dry_run: true,
        options: Value::Null,
        namespace_object: Arc::new(Value::Null),
    })
}

/// The request that creating an object would be which lies in a cluster already, with its Namespace object (`Null` for
/// a cluster-scoped one). Who wrote it and what it was before are not known any more.
///
/// # Errors
/// When it is no Kubernetes object.
pub fn live_review(object: &Value, namespace: Arc<Value>) -> Result<Review, ScanError> {
    let mut review = offline_review(object)?;
    // It lies where it says, and in no namespace when it names none.
    let place = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    review.namespace = place.to_owned();
    review.namespace_object = namespace;
    Ok(review)
}

#[cfg(test)]
mod tests;

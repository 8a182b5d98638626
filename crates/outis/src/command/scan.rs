//! `outis scan`: the webhook's own code over manifests that are not applied yet.

use std::sync::Arc;

use anyhow::{Context, Result};
use outis_admission::scan::{Place, offline_review};
use outis_admission::{Judge, Limits};
use outis_model::Mode;
use outis_model::review::Ruling;
use serde::Serialize;
use serde_json::Value;

use super::output;
use crate::arguments::{Cluster, Output, Scan};
use crate::exit::{FINDINGS, FINE};

/// What became of one object.
#[derive(Serialize)]
struct Judged {
    place: String,
    object: String,
    verdict: String,
    refused: bool,
    findings: Vec<String>,
}

/// Judges every object; 1 when an enforcing policy refuses one.
pub(super) async fn run(scan: &Scan, cluster: &Cluster) -> Result<u8> {
    let written = match scan.policies.as_slice() {
        [] => crate::policies::of_cluster(cluster).await?,
        files => crate::policies::written(files)?,
    };
    let set = Arc::new(crate::policies::sound(written)?);
    let mut judge = Judge::new(&set);
    let mut judged = Vec::new();
    let mut without = 0;
    for path in crate::manifests::collect(&scan.files)? {
        for (place, object) in crate::policies::load(&path)? {
            match one(&mut judge, &place, &object)? {
                Some(found) => judged.push(found),
                None => without += 1,
            }
        }
    }
    print(scan.output, &judged, without)?;
    Ok(if judged.iter().any(|found| found.refused) { FINDINGS } else { FINE })
}

/// `None` for an object no policy is about.
fn one(judge: &mut Judge, place: &Place, object: &Value) -> Result<Option<Judged>> {
    let review = offline_review(object).with_context(|| place.to_string())?;
    let ruling: Ruling = judge.review(&review, Limits::default()).outcome;
    if ruling.evaluated == 0 {
        return Ok(None);
    }
    let namespace =
        if review.namespace.is_empty() { String::new() } else { format!("{}/", review.namespace) };
    let findings = ruling.findings.iter().map(|finding| {
        let word = match finding.mode {
            Mode::Enforce => "refused",
            Mode::Warn => "warned",
            Mode::Observe => "observed",
        };
        format!("{word} by {}: {}", finding.policy, finding.reason)
    });
    Ok(Some(Judged {
        place: place.to_string(),
        object: format!("{} {namespace}{}", review.kind.kind, review.name),
        verdict: ruling.verdict().to_string(),
        refused: ruling.refuses(),
        findings: findings.collect(),
    }))
}

fn print(how: Output, judged: &[Judged], without: usize) -> Result<()> {
    if let Some(text) = output::machine(how, &serde_json::json!({"judged": judged, "notJudged": without}))? {
        println!("{text}");
        return Ok(());
    }
    for found in judged {
        println!("{}: {}: {}", found.place, found.object, found.verdict);
        found.findings.iter().for_each(|finding| println!("  {finding}"));
    }
    let refused = judged.iter().filter(|found| found.refused).count();
    println!("{} judged, {refused} refused, {without} that no policy is about", judged.len());
    Ok(())
}

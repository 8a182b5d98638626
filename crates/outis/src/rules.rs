//! Detection rules from our pack, from files and from the cluster, the same for agent, controller and command line.

use outis_api::detection_rules::Pick;
use outis_api::{DetectionRules, DetectionRulesSpec};
use outis_detect::{Options, RuleFaults, RuleSet, Selection, Source, Target};

/// A rules object as it was written: name, generation, content.
pub(crate) type Written = (String, i64, DetectionRulesSpec);

/// The cluster's objects, in the order in which they are read.
pub(crate) fn written(objects: &[std::sync::Arc<DetectionRules>]) -> Vec<Written> {
    let one = |object: &std::sync::Arc<DetectionRules>| {
        let name = object.metadata.name.clone().unwrap_or_default();
        (name, object.metadata.generation.unwrap_or(1), object.spec.clone())
    };
    objects.iter().map(one).collect()
}

/// What an object's rules are called where places in them are told.
pub(crate) fn file(name: &str) -> String {
    format!("detectionrules/{name}")
}

/// Our pack and these objects, as one set.
pub(crate) fn compile(written: &[Written]) -> Result<RuleSet, RuleFaults> {
    let (sources, options) = sources(written);
    RuleSet::compile(&sources, &options)
}

/// What such a set is made of.
pub(crate) fn sources(written: &[Written]) -> (Vec<Source>, Options) {
    let mut sources = vec![outis_detect::pack()];
    let mut options = Options::default();
    for (name, _, spec) in written {
        sources.extend(spec.rules.as_ref().map(|text| Source::new(file(name), text.clone())));
        for (enable, pick) in [(false, &spec.disable), (true, &spec.enable)] {
            options.selection.extend(pick.iter().flat_map(|pick| selections(enable, pick)));
        }
    }
    (sources, options)
}

fn selections(enable: bool, pick: &Pick) -> Vec<Selection> {
    let rules = pick.rules.iter().map(|name| Target::Rule(name.clone()));
    let tags = pick.tags.iter().map(|tag| Target::Tag(tag.clone()));
    rules.chain(tags).map(|target| Selection { enable, target }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(rules: Option<&str>, disable: &[&str]) -> Written {
        let pick = Pick { rules: disable.iter().map(ToString::to_string).collect(), tags: vec![] };
        let spec = DetectionRulesSpec { rules: rules.map(str::to_owned), disable: Some(pick), enable: None };
        ("mine".into(), 1, spec)
    }

    #[test]
    fn the_pack_is_there_without_any_object_and_can_be_switched_off() {
        let active = |written: &[Written]| {
            let set = compile(written).expect("sound");
            set.infos().iter().filter(|info| info.state == outis_detect::RuleState::Active).count()
        };
        assert!(active(&[]) >= 3);
        assert_eq!(active(&[object(None, &["*"])]), 0);
    }

    #[test]
    fn a_fault_names_its_object_and_line() {
        let faults = compile(&[object(
            Some("- rule: x\n  desc: y\n  condition: evt.type = \n  output: z\n  priority: INFO\n"),
            &[],
        )]);
        let told = faults.expect_err("faulty").to_string();
        assert!(told.contains("detectionrules/mine") && told.contains(":3"), "{told}");
    }
}

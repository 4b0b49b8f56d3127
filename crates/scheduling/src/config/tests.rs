//! Configurations.

use super::*;
use expect_test::{Expect, expect};

fn parse(body: &str) -> Result<Config, String> {
    let text = format!("apiVersion: {API_VERSION}\nkind: {KIND}\n{body}");
    Config::parse(&schema::yaml::parse(text.as_bytes()).unwrap())
}
fn names(p: &Profile) -> String {
    let filters: Vec<&str> = p.filters.iter().map(|p| p.name()).collect();
    let scores: Vec<String> = p.scores.iter().map(|(p, w)| format!("{}={w}", p.name())).collect();
    format!("{} | {} | {}\n", p.name, filters.join(" "), scores.join(" "))
}

#[test]
fn defaults() {
    assert_eq!(parse("").unwrap(), Config::default());
    expect![[r#"
        default-scheduler | NodeName NodeUnschedulable TaintToleration NodeAffinity NodePorts NodeResourcesFit VolumeRestrictions NodeVolumeLimits VolumeBinding VolumeZone PodTopologySpread InterPodAffinity DynamicResources NodeDeclaredFeatures | TaintToleration=3 NodeAffinity=2 NodeResourcesFit=1 VolumeBinding=1 PodTopologySpread=2 InterPodAffinity=2 NodeResourcesBalancedAllocation=1 ImageLocality=1
    "#]]
    .assert_eq(&names(&Config::default().build().unwrap()[0]));
}

#[test]
fn plugins_on_and_off() {
    let c = parse(
        r#"
leaderElection: {leaderElect: false, leaseDuration: 1m30s}
percentageOfNodesToScore: 30
profiles:
- schedulerName: few
  plugins:
    multiPoint: {disabled: [{name: "*"}], enabled: [{name: PrioritySort}, {name: DefaultBinder}, {name: NodeResourcesFit, weight: 5}, {name: NodeName}]}
- schedulerName: no-images
  plugins:
    score: {disabled: [{name: ImageLocality}], enabled: [{name: NodeAffinity, weight: 9}]}
    postFilter: {disabled: [{name: "*"}]}
  pluginConfig:
  - name: NodeResourcesFit
    args: {scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 3}]}}
  - name: VolumeBinding
    args: {bindTimeoutSeconds: 9}
"#,
    )
    .unwrap();
    assert_eq!((c.leader_election.on, c.leader_election.lease_duration.as_secs()), (false, 90));
    assert_eq!(c.volume_timeout(), 9);
    let p = c.build().unwrap();
    expect![[r#"
        few | NodeName NodeResourcesFit | NodeResourcesFit=5
        no-images | NodeName NodeUnschedulable TaintToleration NodeAffinity NodePorts NodeResourcesFit VolumeRestrictions NodeVolumeLimits VolumeBinding VolumeZone PodTopologySpread InterPodAffinity DynamicResources NodeDeclaredFeatures | TaintToleration=3 NodeAffinity=9 NodeResourcesFit=1 VolumeBinding=1 PodTopologySpread=2 InterPodAffinity=2 NodeResourcesBalancedAllocation=1
    "#]]
    .assert_eq(&(names(&p[0]) + &names(&p[1])));
    assert!(p[1].preemption.is_none() && p[0].preemption.is_none());
    assert_eq!(p[0].percentage_to_score, 30);
}

#[test]
fn mistakes_are_told() {
    let check = |body: &str, e: Expect| e.assert_eq(&parse(body).unwrap_err());
    check("frob: 1", expect![[r#"strict decoding error: unknown field "frob""#]]);
    check(
        "profiles: [{plugins: {filter: {enabled: [{name: Foo}]}}}]",
        expect![[r#"profiles[0].plugins.filter.enabled[0]: plugin "Foo" does not exist"#]],
    );
    check(
        "profiles: [{schedulerName: a}, {schedulerName: a}]",
        expect![[r#"profiles[1].schedulerName: Duplicate value: "a""#]],
    );
    check(
        "profiles: [{pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 101}}]}]",
        expect![
            "profile default-scheduler: InterPodAffinityArgs.hardPodAffinityWeight: Invalid value: 101: not in valid range [0-100]"
        ],
    );
    check(
        "profiles: [{pluginConfig: [{name: NodePorts, args: {x: 1}}]}]",
        expect![[
            r#"profiles[0].pluginConfig[0].args: no kind "NodePortsArgs" is registered for version "kubescheduler.config.k8s.io/v1""#
        ]],
    );
    check(
        "extenders: [{urlPrefix: x}]",
        expect!["extenders: not supported; use a scheduler that has them for those pods"],
    );
    check(
        "podMaxBackoffSeconds: 0",
        expect![
            "podMaxBackoffSeconds: Invalid value: 0: must be greater than or equal to PodInitialBackoffSeconds"
        ],
    );
}

#[test]
fn durations_are_those_of_go() {
    let ms = |s: &str| duration(s).map(|d| d.as_millis());
    for (s, want) in [("15s", 15_000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("200ms", 200), ("0", 0)] {
        assert_eq!(ms(s), Ok(want), "{s}");
    }
    for s in ["", "5", "s", "1d", "1..2s", "-1s"] {
        assert_eq!(ms(s), Err(format!("time: invalid duration \"{s}\"")));
    }
}

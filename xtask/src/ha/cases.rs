//! What is done to a cluster, case by case. Each begins with everything well, and leaves it to the caller to repair.

use super::cluster::{Cluster, MEMBERS};
use super::process::Process;
use std::time::{Duration, Instant};

/// How strictly the clients are asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Strict {
    /// One retry may be needed.
    Retry,
    /// No request may fail, not even once; no watch may break.
    Nothing,
}

/// Name, what is done, how strictly the clients are asked, whether the quick form has it, and the doing. That answers
/// what is worth telling, such as the time of a takeover.
pub type Case = (&'static str, &'static str, Strict, bool, fn(&mut Cluster) -> Result<String, String>);

pub const CASES: &[Case] = &[
    ("api-kill", "kill -9 of an API server", Strict::Retry, true, api_kill),
    ("api-term", "SIGTERM of an API server", Strict::Nothing, true, api_term),
    ("api-parted", "an API server cut off from etcd", Strict::Retry, false, api_parted),
    ("etcd-kill", "kill -9 of the leader of etcd", Strict::Retry, true, etcd_kill),
    ("etcd-term", "SIGTERM of the leader of etcd", Strict::Retry, false, etcd_term),
    ("etcd-frozen", "a member of etcd frozen for a minute", Strict::Retry, false, etcd_frozen),
    (
        "controllers-kill",
        "kill -9 of the leading controller manager",
        Strict::Nothing,
        false,
        controllers_kill,
    ),
    (
        "controllers-term",
        "SIGTERM of the leading controller manager",
        Strict::Nothing,
        true,
        controllers_term,
    ),
    ("scheduler-kill", "kill -9 of the leading scheduler", Strict::Nothing, false, scheduler_kill),
    ("scheduler-term", "SIGTERM of the leading scheduler", Strict::Nothing, true, scheduler_term),
    ("roll-api", "API servers restarted in turn", Strict::Nothing, false, roll_api),
    ("roll-etcd", "members of etcd restarted in turn", Strict::Nothing, false, roll_etcd),
    ("roll-rest", "controller managers and schedulers restarted in turn", Strict::Nothing, false, roll_rest),
];

/// The lease's duration, and what a loaded machine may add.
const LEASE: Duration = Duration::from_secs(15 + 2);
/// "At once": far less than the lease would last, were it not given back. A loaded machine may take its time.
const AT_ONCE: Duration = Duration::from_secs(5);

fn pause(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

fn api_kill(c: &mut Cluster) -> Result<String, String> {
    let last = c.api.len() - 1;
    c.api[last].kill()?;
    pause(3);
    Ok(String::new())
}

fn api_term(c: &mut Cluster) -> Result<String, String> {
    let last = c.api.len() - 1;
    let took = c.api[last].stop()?;
    pause(3);
    let slice = c.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")?.to_string();
    if slice.contains(&format!("\"192.0.2.{}\"", last + 1)) || !slice.contains("\"192.0.2.1\"") {
        return Err(format!("the kubernetes Service has the wrong endpoints: {slice}"));
    }
    Ok(format!("ended after {:.1} s", took.as_secs_f64()))
}

fn api_parted(c: &mut Cluster) -> Result<String, String> {
    c.relay.kill()?;
    let unready = c.api_unready(0)?;
    pause(15);
    c.relay.start()?;
    c.api_up(0)?;
    Ok(format!("not ready after {:.1} s", unready.as_secs_f64()))
}

fn etcd_kill(c: &mut Cluster) -> Result<String, String> {
    let leader = c.etcd_leader()?;
    c.etcd[leader].kill()?;
    pause(6);
    Ok(String::new())
}

fn etcd_term(c: &mut Cluster) -> Result<String, String> {
    let leader = c.etcd_leader()?;
    c.etcd[leader].stop()?;
    pause(5);
    Ok(String::new())
}

fn etcd_frozen(c: &mut Cluster) -> Result<String, String> {
    let leader = c.etcd_leader()?;
    c.etcd[leader].signal("STOP")?;
    pause(60);
    c.etcd[leader].signal("CONT")?;
    pause(5);
    Ok("it led".into())
}

/// Which of two processes became leader under this name.
fn holder(all: &[Process], identity: &str) -> Result<usize, String> {
    all.iter().position(|p| p.said(identity)).ok_or_else(|| format!("nobody says that it is {identity}"))
}

fn takeover(c: &mut Cluster, component: &str, properly: bool) -> Result<String, String> {
    let before = c.leader(component, "")?;
    let all = if component == "kube-scheduler" { &mut c.schedulers } else { &mut c.controllers };
    let leader = holder(all, &before)?;
    let begin = Instant::now();
    if properly {
        all[leader].signal("TERM")?;
    } else {
        all[leader].signal("KILL")?;
    }
    c.leader(component, &before)?;
    let took = begin.elapsed();
    let all = if component == "kube-scheduler" { &mut c.schedulers } else { &mut c.controllers };
    all[leader].ended(Duration::from_secs(20))?;
    let limit = if properly { AT_ONCE } else { LEASE };
    if took > limit {
        return Err(format!("the takeover took {took:?}, more than {limit:?}"));
    }
    Ok(format!("takeover after {:.2} s", took.as_secs_f64()))
}

fn controllers_kill(c: &mut Cluster) -> Result<String, String> {
    takeover(c, "kube-controller-manager", false)
}

fn controllers_term(c: &mut Cluster) -> Result<String, String> {
    takeover(c, "kube-controller-manager", true)
}

fn scheduler_kill(c: &mut Cluster) -> Result<String, String> {
    takeover(c, "kube-scheduler", false)
}

fn scheduler_term(c: &mut Cluster) -> Result<String, String> {
    takeover(c, "kube-scheduler", true)
}

fn roll_api(c: &mut Cluster) -> Result<String, String> {
    let mut longest = Duration::ZERO;
    for i in 0..c.api.len() {
        longest = longest.max(c.api[i].stop()?);
        c.api[i].start()?;
        c.api_up(i)?;
        pause(2);
    }
    Ok(format!("{} servers, each ended within {:.1} s", c.api.len(), longest.as_secs_f64()))
}

fn roll_etcd(c: &mut Cluster) -> Result<String, String> {
    for i in 0..MEMBERS {
        c.etcd[i].stop()?;
        c.etcd[i].start()?;
        c.member_up(i)?;
        pause(2);
    }
    Ok(format!("{MEMBERS} members"))
}

fn roll_rest(c: &mut Cluster) -> Result<String, String> {
    for p in c.controllers.iter_mut().chain(c.schedulers.iter_mut()) {
        p.stop()?;
        p.start()?;
        pause(2);
    }
    Ok("4 processes".into())
}

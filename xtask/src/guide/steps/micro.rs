//! Four small services behind a gateway: deployed, reached from outside, changed and scaled under load.

use super::{Step, s};

const LOAD: &str = "rm -f done; demo load until:done 4 http://$W1:30080/ http://$W2:30080/api/courses http://$W1:30080/api/users/ann http://$W2:30080/api/courses/clusters > load.txt 2>&1 & echo begun";

pub const MICRO: &[Step] = &[
    s("m", "label", "kubectl label node $W1 database=here", "labeled", 5),
    s(
        "m",
        "microservices",
        "kubectl apply -f microservices/\nfor d in user course message gateway; do kubectl rollout status deployment/$d --timeout=60s; done\nkubectl get deployments,services,persistentvolumeclaims",
        "deployment \"gateway\" successfully rolled out\ndeployment \"user\" successfully rolled out\nBound",
        120,
    ),
    s(
        "m",
        "the gateway from outside",
        "curl -s -m 25 http://$W2:30080/\ncurl -s -m 25 http://$W2:30080/api/courses",
        "gateway 1\nuser 1\ncourse 1\nmessage 1\n\"id\":\"clusters\"",
        30,
    ),
    s(
        "m",
        "a user joins a course",
        "curl -s -X POST -d name=ann http://$W1:30080/api/users\ncurl -s -X POST -d user=ann http://$W1:30080/api/courses/clusters/join\ncurl -s http://$W1:30080/api/users\nkubectl logs deploy/message",
        "{\"user\":\"ann\",\"course\":\"clusters\"}\n[\"ann\"]\nmessage to ann: \"welcome to: A cluster by hand\"",
        10,
    ),
    s("m", "load begins", LOAD, "begun", 5),
    s(
        "m",
        "changed under load",
        "for d in gateway course message; do kubectl set image deployment/$d $d=keelson.local/demo:2; done\nkubectl scale deployment gateway --replicas=4\nkubectl scale deployment course --replicas=3\nfor d in gateway course message; do kubectl rollout status deployment/$d --timeout=90s; done",
        "deployment \"gateway\" successfully rolled out\ndeployment \"course\" successfully rolled out\ndeployment \"message\" successfully rolled out",
        120,
    ),
    s(
        "m",
        "the database's service under load",
        "kubectl set image deployment/user user=keelson.local/demo:2\nkubectl rollout status deployment/user --timeout=60s\nkubectl scale deployment gateway --replicas=2",
        "deployment \"user\" successfully rolled out",
        90,
    ),
    s("m", "no request failed", "touch done; sleep 2; cat load.txt", " 0 failed", 70),
    s(
        "m",
        "the users are still there",
        "curl -s -m 25 http://$W2:30080/\ncurl -s http://$W2:30080/api/users",
        "gateway 2\nuser 2\ncourse 2\nmessage 2\n[\"ann\"]",
        10,
    ),
];

//! `exec`: a command in a container.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::{self, text};
use crate::pods;
use crate::remote::{self, Io};

super::commands! {
    "exec" "(POD | TYPE/NAME) [-c CONTAINER] [flags] -- COMMAND [args...]"
        "Execute a command in a container\n\nThe container is the one that -c names, the one of the annotation kubectl.kubernetes.io/default-container, or the first.\nThe exit code is the command's."
        "# Output of a command in the first container\nkubectl exec web-0 -- date\n\n# A shell, in a container by name\nkubectl exec -it web-0 -c app -- sh\n\n# In the first pod of a deployment or service\nkubectl exec deploy/web -- date\nkubectl exec svc/web -- date"
        FLAGS, exec;
}

const FLAGS: &[Flag] = &[
    objects::FILENAME,
    flag("container", Some('c'), Form::Text, "", "Container name; default: the first, or the one annotated"),
    flag("stdin", Some('i'), Form::Bool, "false", "Pass stdin to the container"),
    flag("tty", Some('t'), Form::Bool, "false", "Stdin is a TTY"),
    flag("quiet", Some('q'), Form::Bool, "false", "Only print output from the remote session"),
    pods::RUNNING_TIMEOUT,
];

pub async fn exec(cx: Cx) -> Result<(), Error> {
    let a = &cx.p.args;
    let file = cx.p.given("filename");
    if a.is_empty() && !file {
        return Err(Error::plain("pod, type/name or --filename must be specified"));
    }
    let named = usize::from(!file);
    if a.len() <= named {
        return Err(Error::plain("you must specify at least one command for the container"));
    }
    if cx.p.dash.is_none_or(|d| d != named) {
        return Err(Error::plain(
            "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead\nSee 'kubectl exec -h' for help and examples",
        ));
    }
    let pod = match a.first().filter(|_| !file) {
        Some(w) => pods::pod(&cx, w).await?,
        None => pods::pod_of_file(&cx).await?,
    };
    let phase = text(&pod, "/status/phase");
    if phase == "Succeeded" || phase == "Failed" {
        return Err(Error::plain(format!(
            "cannot exec into a container in a completed pod; current phase is {phase}"
        )));
    }
    let container = match cx.p.text("container") {
        "" => pods::container(&pod, cx.p.on("quiet")),
        c if pods::find(&pod, c).is_some() => c.to_owned(),
        c => {
            return Err(Error::plain(format!(
                "container {c} is not valid for pod {} out of: {}",
                text(&pod, "/metadata/name"),
                pods::every(&pod)
            )));
        }
    };
    let stdin = cx.p.on("stdin");
    let mut tty = cx.p.on("tty") && stdin;
    if tty && !remote::is_terminal() {
        if !cx.p.on("quiet") {
            eprintln!("Unable to use a TTY - input is not a terminal or the right kind of file");
        }
        tty = false;
    }
    remote::ended(remote::run(&cx, &pod, "exec", &container, &a[named..], Io::own(stdin, tty)?).await?)
}

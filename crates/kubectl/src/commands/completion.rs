//! `completion`: scripts that make shells complete command lines. The commands and flags stand in them; types and names
//! are asked from the cluster when they are wanted.

use super::every;
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, GLOBAL};
use crate::print;
use std::fmt::Write;

super::commands! {
    "completion" "SHELL"
        "Output shell completion code for the specified shell (bash, zsh or fish)\n\nThe code must be evaluated by the shell. It completes commands, flags, types of resources and names of objects."
        "# bash: for this session, and for every one\nsource <(kubectl completion bash)\nkubectl completion bash > /etc/bash_completion.d/kubectl\n\n# zsh\nsource <(kubectl completion zsh)\n\n# fish\nkubectl completion fish | source"
        NONE, run;
}

const NONE: &[Flag] = &[];

/// Commands whose arguments are a type and names.
const TYPED: &str = "get|describe|delete|edit|label|annotate|patch|scale|expose|autoscale|wait|explain";
/// Commands whose argument is a pod.
const PODS: &str = "logs|exec|attach|port-forward|debug|cp";
/// Commands whose argument is a node.
const NODES: &str = "cordon|uncordon|drain|taint";

/// Each command with the words that can follow it: its subcommands and flags.
fn table() -> Vec<(String, String)> {
    let mut all = vec![(String::new(), subs("", &[]))];
    for c in every() {
        all.push((c.name.to_owned(), subs(c.name, c.flags)));
    }
    // What is a prefix only, like "create service", is a group of its own already.
    all.sort();
    all.dedup_by(|a, b| a.0 == b.0);
    all
}

fn subs(path: &str, flags: &[Flag]) -> String {
    let mut words: Vec<String> = every()
        .filter_map(|c| {
            let rest = if path.is_empty() { c.name } else { c.name.strip_prefix(path)?.strip_prefix(' ')? };
            Some(rest.split(' ').next().unwrap_or(rest).to_owned())
        })
        .collect();
    words.extend(flags.iter().chain(GLOBAL).map(|f| {
        format!("--{}{}", f.name, if matches!(f.form, Form::Bool | Form::Maybe(_)) { "" } else { "=" })
    }));
    words.sort();
    words.dedup();
    words.join(" ")
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let [shell] = cx.p.args.as_slice() else {
        return Err(Error::plain(if cx.p.args.is_empty() {
            "Shell not specified.\nSee 'kubectl completion -h' for help and examples"
        } else {
            "Too many arguments. Expected only the shell type.\nSee 'kubectl completion -h' for help and examples"
        }));
    };
    let s = match shell.as_str() {
        "bash" => bash(),
        // zsh runs bash's script.
        "zsh" => format!("#compdef kubectl\nautoload -U +X bashcompinit && bashcompinit\n{}", bash()),
        "fish" => fish(),
        other => {
            return Err(Error::plain(format!(
                "Unsupported shell type {other:?}.\nSee 'kubectl completion -h' for help and examples"
            )));
        }
    };
    print::out(&s);
    Ok(())
}

fn bash() -> String {
    let mut s = String::from("# kubectl completion\n__kubectl_words() {\n  case \"$1\" in\n");
    for (name, words) in table() {
        let _ = writeln!(s, "    {name:?}) echo {words:?};;");
    }
    let _ = write!(
        s,
        r#"    *) return 1;;
  esac
}}
__kubectl_names() {{
  kubectl "${{flags[@]}}" get "$1" -o jsonpath='{{range .items[*]}}{{.metadata.name}}{{" "}}{{end}}' 2>/dev/null
}}
__kubectl() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" path="" flags=() args=() i w
  for ((i = 1; i < COMP_CWORD; i++)); do
    w="${{COMP_WORDS[i]}}"
    case "$w" in
      -n|--namespace|--context|--kubeconfig|--cluster|--user|-s|--server) flags+=("$w" "${{COMP_WORDS[i+1]}}"); ((i++));;
      --namespace=*|--context=*|--kubeconfig=*|--cluster=*|--user=*|--server=*) flags+=("$w");;
      -*) ;;
      *) if [ ${{#args[@]}} -eq 0 ] && __kubectl_words "${{path:+$path }}$w" >/dev/null; then path="${{path:+$path }}$w"; else args+=("$w"); fi;;
    esac
  done
  COMPREPLY=()
  local words
  words="$(__kubectl_words "$path")"
  case "$cur" in
    -*) ;;
    *)
      words="$(for w in $words; do case "$w" in -*) ;; *) echo "$w";; esac; done)"
      case "$path" in
        {TYPED}|"rollout "*|"set "*)
          if [ ${{#args[@]}} -eq 0 ]; then
            words="$(kubectl "${{flags[@]}}" api-resources -o name --verbs=get 2>/dev/null | sed 's/\..*//')"
          else
            words="$(__kubectl_names "${{args[0]}}")"
          fi;;
        {PODS}) [ ${{#args[@]}} -eq 0 ] && words="$(__kubectl_names pods)";;
        {NODES}|"top node") words="$(__kubectl_names nodes)";;
        "top pod") words="$(__kubectl_names pods)";;
        "config use-context"|"config delete-context"|"config rename-context") words="$(kubectl config get-contexts -o name 2>/dev/null)";;
      esac;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  case "${{COMPREPLY[0]}}" in *=) compopt -o nospace 2>/dev/null;; esac
}}
complete -o default -F __kubectl kubectl
"#
    );
    s
}

fn fish() -> String {
    let mut s = String::from("# kubectl completion\ncomplete -c kubectl -e\ncomplete -c kubectl -f\n");
    for c in every() {
        let (group, last) = c.name.rsplit_once(' ').unwrap_or(("", c.name));
        let about = c.about.lines().next().unwrap_or_default().replace('\'', "\\'");
        let when = if group.is_empty() {
            "__fish_use_subcommand".to_owned()
        } else {
            group
                .split(' ')
                .map(|w| format!("__fish_seen_subcommand_from {w}"))
                .collect::<Vec<_>>()
                .join("; and ")
        };
        let _ = writeln!(s, "complete -c kubectl -n '{when}' -a '{last}' -d '{about}'");
        let inside = c
            .name
            .split(' ')
            .map(|w| format!("__fish_seen_subcommand_from {w}"))
            .collect::<Vec<_>>()
            .join("; and ");
        for f in c.flags {
            let short = f.short.map(|c| format!(" -s {c}")).unwrap_or_default();
            let value = if matches!(f.form, Form::Bool | Form::Maybe(_)) { "" } else { " -r" };
            let _ = writeln!(s, "complete -c kubectl -n '{inside}' -l {}{short}{value}", f.name);
        }
    }
    for (list, what) in [(PODS, "pods"), (NODES, "nodes")] {
        let _ = writeln!(
            s,
            "complete -c kubectl -n '__fish_seen_subcommand_from {}' -a '(kubectl get {what} -o name 2>/dev/null | string replace -r \".*/\" \"\")'",
            list.replace('|', " ")
        );
    }
    let _ = writeln!(
        s,
        "complete -c kubectl -n '__fish_seen_subcommand_from {}' -a '(kubectl api-resources -o name --verbs=get 2>/dev/null | string replace -r \"\\..*\" \"\")'",
        TYPED.replace('|', " ")
    );
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let t = table();
        let of = |n: &str| t.iter().find(|(k, _)| k == n).map(|(_, w)| w.clone()).unwrap_or_default();
        assert!(of("create service").contains("nodeport"));
        assert!(of("").contains("--as=") && of("").contains(" rollout "));
        assert!(of("get").contains("--watch ") && of("get").contains("--output="));
        assert!(bash().contains("complete -o default"));
        assert!(fish().contains("-n '__fish_seen_subcommand_from rollout' -a 'undo'"));
    }
}

#!/usr/bin/env python3
"""Runs stock kubectl and ours with the same arguments against one API server and compares what they say.

  compare.py --ours PROGRAM [--stock PROGRAM] --kubeconfig FILE [-k WORD] [-v] TABLE...

A table is text. A line is a command's arguments, run by both. Before it may stand:
  !    run once, by stock, not compared (sets the stage)
  =    both change something: what stock did is undone by the `undo` lines that follow (begin with `-`), then ours runs
  #    a comment; empty lines are left out
A line may end with `<<< TEXT` (standard input; \\n is a line's end) and begin with NAME=VALUE words (environment).
Ages, times, random names, and the like are made the same before comparing. Exit status: 1 if anything differs.
"""
import argparse, difflib, os, re, shlex, subprocess, sys

def args():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", required=True)
    p.add_argument("--stock", default=os.path.expanduser("~/.cache/k8s-suite/bin/kubectl"))
    p.add_argument("--kubeconfig", required=True)
    p.add_argument("-k", default="")
    p.add_argument("-v", action="store_true")
    p.add_argument("tables", nargs="+")
    return p.parse_args()

SAME = [
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
    (r"\b\d+(y\d+d|y|d\d+h|d|h\d+m|h|m\d+s|m|s)\b", "AGE"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w+ \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "DATE"),
    (r"resourceVersion: \"?\d+\"?", "resourceVersion: N"),
    (r"\"resourceVersion\": \"\d+\"", "\"resourceVersion\": N"),
    (r"Resource Version:(\s+)\d+", "Resource Version: N"),
    (r"generation: \d+", "generation: N"),
    (r"/tmp/(LIVE|MERGED|kubectl-edit)-[0-9]+", r"/tmp/\1-N"),
    (r"(---|\+\+\+) (/tmp/\S+)\s.*", r"\1 \2"),
    (r"eyJ[\w.-]+", "TOKEN"),
    (r"kubectl_[\w-]+|ours_kubectl", "kubectl"),
]

def same(text):
    # Columns are as wide as what stands in them, so that other ages make other widths.
    for a, b in SAME:
        text = re.sub(a, b, text)
    if re.search("AGE|TIME|UID|TOKEN", text):
        text = "\n".join(re.sub(r"  +", "  ", l).rstrip() for l in text.split("\n"))
    return text

def run(program, line, kubeconfig):
    line, _, stdin = line.partition("<<<")
    words = shlex.split(line)
    env = dict(os.environ, KUBECONFIG=kubeconfig)
    while words and re.match(r"^[A-Z_]+=", words[0]):
        k, v = words.pop(0).split("=", 1)
        env[k] = v
    r = subprocess.run([program] + words, input=stdin.strip().replace("\\n", "\n"), env=env, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    return r.returncode, r.stdout, r.stderr

def main():
    a = args()
    total = bad = 0
    for table in a.tables:
        os.chdir(os.path.dirname(os.path.abspath(table)))
        lines = [l.rstrip("\n") for l in open(os.path.basename(table))]
        for i, l in enumerate(lines):
            if not l.strip() or l.startswith(("#", "-")):
                continue
            if l.startswith("!"):
                code, out, err = run(a.stock, l[1:], a.kubeconfig)
                if code and a.v:
                    print(f"! {l[1:]}: {err.strip()}")
                continue
            changes = l.startswith("=")
            line = l.lstrip("= ")
            if a.k not in line:
                continue
            undo = []
            if changes:
                for u in lines[i + 1:]:
                    if not u.startswith("-"):
                        break
                    undo.append(u[1:].strip())
            want = run(a.stock, line, a.kubeconfig)
            for u in undo:
                run(a.stock, u, a.kubeconfig)
            have = run(a.ours, line, a.kubeconfig)
            for u in undo:
                run(a.stock, u, a.kubeconfig)
            total += 1
            parts = []
            for what, x, y in (("exit", str(want[0]), str(have[0])), ("stdout", want[1], have[1]), ("stderr", want[2], have[2])):
                if same(x) != same(y):
                    d = difflib.unified_diff(same(x).split("\n"), same(y).split("\n"), "stock", "ours", lineterm="", n=1)
                    parts.append(f"  {what}:\n" + "\n".join("    " + p for p in list(d)[2:40]))
            if parts:
                bad += 1
                print(f"differs: {line}\n" + "\n".join(parts))
            elif a.v:
                print(f"same: {line}")
    print(f"{total - bad} of {total} are the same")
    return 1 if bad else 0

if __name__ == "__main__":
    sys.exit(main())

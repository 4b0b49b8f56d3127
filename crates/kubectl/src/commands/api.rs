//! `api-resources`, `api-versions`.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::print;

super::commands! {
    "api-resources" ""
        "Print the supported API resources on the server"
        "kubectl api-resources\nkubectl api-resources -o wide\nkubectl api-resources --api-group=apps\nkubectl api-resources --namespaced=false --verbs=list -o name"
        FLAGS, resources;
    "api-versions" ""
        "Print the supported API versions on the server, in the form of \"group/version\""
        "kubectl api-versions"
        &[], versions;
}

pub const FLAGS: &[Flag] = &[
    flag("api-group", None, Form::Text, "", "Limit to resources in the specified API group"),
    flag(
        "namespaced",
        None,
        Form::Bool,
        "true",
        "Whether resources are namespaced; when given, others are left out",
    ),
    flag("verbs", None, Form::List, "", "Limit to resources that support these verbs"),
    flag("categories", None, Form::List, "", "Limit to resources in these categories"),
    flag("no-headers", None, Form::Bool, "false", "Don't print headers"),
    flag("output", Some('o'), Form::Text, "", "Output format: wide or name"),
    flag("sort-by", None, Form::Text, "", "Sort by name or kind"),
];

pub async fn resources(cx: Cx) -> Result<(), Error> {
    let o = cx.p.text("output");
    if !matches!(o, "" | "wide" | "name") {
        return Err(Error::plain(format!(
            "unable to match a printer suitable for the output format {o:?}, allowed formats are: name,wide"
        )));
    }
    let (verbs, categories) = (cx.p.list("verbs"), cx.p.list("categories"));
    let d = cx.discovery().await?;
    let mut all: Vec<_> = d
        .all
        .iter()
        .filter(|r| {
            // Of the versions of a group the first that has the resource.
            d.all
                .iter()
                .find(|o| o.group == r.group && o.name == r.name)
                .is_some_and(|o| o.version == r.version)
                && (!cx.p.given("api-group") || r.group == cx.p.text("api-group"))
                && (!cx.p.given("namespaced") || r.namespaced == cx.p.on("namespaced"))
                && verbs.iter().all(|v| r.verbs.contains(v))
                && categories.iter().all(|c| r.categories.contains(c))
                && !r.verbs.is_empty()
        })
        .collect();
    match cx.p.text("sort-by") {
        "" => all.sort_by(|a, b| (&a.group, &a.name).cmp(&(&b.group, &b.name))),
        "name" => all.sort_by(|a, b| a.name.cmp(&b.name)),
        "kind" => all.sort_by(|a, b| a.kind.cmp(&b.kind)),
        _ => return Err(Error::plain("--sort-by accepts only name or kind")),
    }
    if o == "name" {
        all.iter().for_each(|r| print::line(&r.full()));
        return Ok(());
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    if !cx.p.on("no-headers") {
        rows.push(["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"].map(str::to_owned).to_vec());
        if o == "wide" {
            rows[0].extend(["VERBS".to_owned(), "CATEGORIES".to_owned()]);
        }
    }
    for r in all {
        let mut l = vec![
            r.name.clone(),
            r.short.join(","),
            r.api_version(),
            r.namespaced.to_string(),
            r.kind.clone(),
        ];
        if o == "wide" {
            l.extend([r.verbs.join(","), r.categories.join(",")]);
        }
        rows.push(l);
    }
    print::out(&print::table(&rows));
    Ok(())
}

pub async fn versions(cx: Cx) -> Result<(), Error> {
    let mut v = cx.discovery().await?.versions.clone();
    v.sort();
    v.iter().for_each(|v| print::line(v));
    Ok(())
}

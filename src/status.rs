//! `tailbuck status`: every node of the cluster and how it is, as a web hears it.

use crate::args::{Status, StatusFormat};
use crate::ask::{find_web, whole};
use crate::exit::Outcome;
use proto::time::Timestamp;
use serde_json::Value;
use std::io::{self, Write};
use web::clean::shown;

pub fn run(status: &Status) -> anyhow::Result<Outcome> {
    let web = find_web(&status.cluster)?;
    let answer = whole(&web, "/api/v1/cluster", &[])?;
    let mut out = io::stdout().lock();
    match status.format {
        StatusFormat::Json => writeln!(out, "{answer}")?,
        StatusFormat::Table => out.write_all(table(&answer).as_bytes())?,
    }
    Ok(if nodes(&answer).all(is_heard) { Outcome::Done } else { Outcome::Nothing })
}

fn nodes(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["nodes"].as_array().into_iter().flatten()
}

/// Who is in trouble was heard too.
fn is_heard(node: &Value) -> bool {
    !matches!(node["state"].as_str(), Some("unreachable" | "unheard") | None)
}

fn table(answer: &Value) -> String {
    let now = time(&answer["now"]).unwrap_or_default();
    let mut rows = vec![["ROLE", "NAME", "STATE", "WHAT"].map(str::to_owned)];
    for node in nodes(answer) {
        let text = |key: &str| shown(node[key].as_str().unwrap_or("?").as_bytes()).into_owned();
        rows.push([text("role"), text("name"), text("state"), what(node, now)]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (role, name, state) = (width(0), width(1), width(2));
    let mut table = String::new();
    for [first, second, third, last] in &rows {
        let line = format!("{first:role$}  {second:name$}  {third:state$}  {last}");
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table.push('\n');
    table.push_str(&ported(answer, now));
    table.push_str(&format!("{}\n", answer["completeness"]["text"].as_str().unwrap_or_default()));
    table
}

/// The one thing of a node that is worth a line.
fn what(node: &Value, now: Timestamp) -> String {
    let ago = |key: &str| time(&node[key]).map(|at| span(now.since(at).as_secs()));
    let count = |key: &str| node[key].as_u64();
    if let Some(why) = node["why"].as_str().filter(|why| Some(*why) != node["state"].as_str()) {
        return match ago("heard") {
            Some(heard) => format!("{why}; heard {heard} ago"),
            None => why.to_owned(),
        };
    }
    match (ago("heard"), ago("on_two_bucks_up_to"), count("packets_without_receipt"), count("shelf_blocks")) {
        (Some(heard), Some(safe), _, _) => {
            format!("heard {heard} ago; all that was read up to {safe} ago is on two bucks")
        }
        (_, _, Some(packets), _) => format!("{} not on the shelf yet", many(packets, "packet")),
        (_, _, _, Some(blocks)) => format!("{} on the shelf", many(blocks, "block")),
        _ => String::new(),
    }
}

fn many(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What is on the shelf and what is not.
fn ported(answer: &Value, now: Timestamp) -> String {
    let waiting = nodes(answer).filter_map(|node| node["buckets_without_receipt"].as_u64()).max();
    let waiting = waiting.map(|count| format!("{} not ported yet, the open one among them; ", many(count, "bucket")));
    let last = match time(&answer["ported_up_to"]) {
        Some(at) => format!("ported last: the bucket that ended {} ago", span(now.since(at).as_secs())),
        None => "none ported in the last hour".to_owned(),
    };
    format!("{}{last}\n", waiting.unwrap_or_default())
}

fn time(nanos: &Value) -> Option<Timestamp> {
    nanos.as_str()?.parse().ok().map(Timestamp)
}

/// `5 s`, `3 min`, `2 h`, `4 d`.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_names_every_node_and_what_is_not_ported() {
        let answer = json!({
            "now": "1000000000000",
            "ported_up_to": "700000000000",
            "nodes": [
                {"role": "buck", "name": "buck 10.0.0.1:1", "state": "up", "packets_without_receipt": 7, "buckets_without_receipt": 2},
                {"role": "buck", "name": "buck 10.0.0.2:1", "state": "unreachable", "why": "it is silent"},
                {"role": "porter", "name": "porter 10.0.0.3:1", "state": "up", "shelf_blocks": 4},
                {"role": "tailer", "name": "web\u{1b}3", "state": "up", "heard": "998000000000", "on_two_bucks_up_to": "997000000000"},
                {"role": "tailer", "name": "db1", "state": "unheard", "heard": "100000000000", "on_two_bucks_up_to": "100000000000"},
            ],
            "completeness": {"text": "Complete.", "complete": true},
        });
        let lines: Vec<String> = table(&answer).lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "ROLE    NAME               STATE        WHAT");
        assert_eq!(lines[1], "buck    buck 10.0.0.1:1    up           7 packets not on the shelf yet");
        assert_eq!(lines[2], "buck    buck 10.0.0.2:1    unreachable  it is silent");
        assert!(lines[4].ends_with("heard 2 s ago; all that was read up to 3 s ago is on two bucks"), "{}", lines[4]);
        assert!(!lines[4].contains('\u{1b}'), "{}", lines[4]);
        assert!(
            lines[5].ends_with("heard 15 min ago; all that was read up to 15 min ago is on two bucks"),
            "{}",
            lines[5]
        );
        assert_eq!(
            lines[7],
            "2 buckets not ported yet, the open one among them; ported last: the bucket that ended 5 min ago"
        );
        assert_eq!(lines[8], "Complete.");
        assert_eq!(nodes(&answer).filter(|node| is_heard(node)).count(), 3);
    }
}

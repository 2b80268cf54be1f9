//! Answers as JSON: events, and the frames of the streams they come in, one object a line.
//!
//! Times are decimal nanoseconds in text: a JavaScript number can't hold them. A line that is no UTF-8 comes twice,
//! readable as `m` and byte for byte as base 64 in `b`.

use crate::bars::Bars;
use crate::complete::{Missing, Verdict};
use crate::counts::Cells;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proto::event::{Level, OwnedEvent};
use proto::message::Progress;
use proto::time::Timestamp;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Nanoseconds since 1970, in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nanos(pub Timestamp);

impl Serialize for Nanos {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.0)
    }
}

#[derive(Debug, Serialize)]
pub struct EventJson<'a> {
    t: Nanos,
    id: String,
    h: &'a str,
    a: &'a str,
    l: &'static str,
    m: Cow<'a, str>,
    p: &'a str,
    o: u64,
    e: &'a str,
    s: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    f: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    fl: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(flags: &u8) -> bool {
    *flags == 0
}

impl<'a> From<&'a OwnedEvent> for EventJson<'a> {
    fn from(event: &'a OwnedEvent) -> Self {
        let source = &event.source;
        let text = String::from_utf8_lossy(&event.line);
        let bytes = matches!(text, Cow::Owned(_)).then(|| STANDARD.encode(&event.line));
        Self {
            t: Nanos(event.time),
            id: event.borrow().id().to_string(),
            h: &source.host,
            a: &source.app,
            l: event.level.as_str(),
            m: text,
            p: &source.path,
            o: event.offset,
            e: source.environment.as_str(),
            s: source.stream.to_string(),
            f: source.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            b: bytes,
            fl: event.flags.0,
        }
    }
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    Complete,
    Limit,
    Stopped,
    Timeout,
}

#[derive(Debug, Serialize)]
pub struct MissingJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    from: Nanos,
    to: Nanos,
    why: &'a str,
}

impl<'a> From<&'a Missing> for MissingJson<'a> {
    fn from(missing: &'a Missing) -> Self {
        let name = missing.name.as_str();
        Self {
            node: (!missing.is_host).then_some(name),
            host: missing.is_host.then_some(name),
            from: Nanos(missing.range.from),
            to: Nanos(missing.range.to),
            why: &missing.why,
        }
    }
}

/// One line of a stream.
#[derive(Debug, Serialize)]
#[serde(tag = "k", rename_all = "lowercase")]
pub enum Frame<'a> {
    Start {
        qid: &'a str,
        range: [Nanos; 2],
        nodes: usize,
    },
    Ev {
        e: Vec<EventJson<'a>>,
        /// Of a live tail: go on from here after a break.
        #[serde(skip_serializing_if = "Option::is_none")]
        w: Option<Nanos>,
        #[serde(skip_serializing_if = "Option::is_none")]
        drop: Option<u64>,
    },
    /// Nothing more will come before this.
    Settled {
        to: Nanos,
    },
    Prog {
        done: u64,
        total: u64,
        bytes: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        scanned_to: Option<Nanos>,
        nodes: &'a BTreeMap<String, String>,
    },
    Hits(Hits<'a>),
    Rate(Rate),
    /// Of a live tail: how whole the past is that it began with.
    Past {
        why: Why,
        from: Nanos,
        to: Nanos,
        matches: u64,
        missing: Vec<MissingJson<'a>>,
        complete: &'a str,
    },
    Gap {
        node: &'a str,
        from: Nanos,
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<Nanos>,
    },
    Hb {},
    End {
        why: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        matches: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        exact: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
        missing: Vec<MissingJson<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        complete: Option<&'a str>,
    },
}

/// Counts by bar, one list a level; the last of them also says how complete it is.
#[derive(Debug, Serialize)]
pub struct Hits<'a> {
    from: String,
    step: String,
    levels: Vec<&'static str>,
    counts: Vec<Vec<u64>>,
    total: u64,
    exact: bool,
    done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Vec<MissingJson<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<&'a str>,
}

impl<'a> Hits<'a> {
    #[must_use]
    pub fn new(bars: &Bars, cells: &Cells, exact: bool) -> Self {
        let mut by_level: BTreeMap<Level, Vec<u64>> = BTreeMap::new();
        let mut total = 0u64;
        for ((step, level), count) in cells {
            let Some(index) = bars.index(*step) else { continue };
            let counts = by_level.entry(*level).or_insert_with(|| vec![0; bars.count]);
            if let Some(bar) = counts.get_mut(index) {
                *bar = bar.saturating_add(*count);
            }
            total = total.saturating_add(*count);
        }
        by_level.entry(Level::Unknown).or_insert_with(|| vec![0; bars.count]);
        let (levels, counts) = by_level.into_iter().rev().map(|(level, counts)| (level.as_str(), counts)).unzip();
        let (from, step) = (bars.from.to_string(), bars.width_nanos().to_string());
        Self { from, step, levels, counts, total, exact, done: false, why: None, missing: None, complete: None }
    }

    #[must_use]
    pub fn ended(self, why: &'a str, verdict: &'a Verdict) -> Self {
        let exact = self.exact && why == "complete" && verdict.is_complete();
        Self {
            done: true,
            exact,
            why: Some(why),
            missing: Some(missing(verdict)),
            complete: Some(&verdict.sentence),
            ..self
        }
    }
}

/// Events a second over the last moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rate {
    /// Looked at by bucks, each once.
    #[serde(rename = "in")]
    pub seen: f64,
    pub r#match: f64,
    pub sent: f64,
    pub drop: f64,
    pub dup: f64,
    pub lag_ms: u64,
    /// Since the beginning: lines bucks left out because they were old or this tail was slow, each buck's own count.
    pub left_out: u64,
}

#[must_use]
pub fn missing(verdict: &Verdict) -> Vec<MissingJson<'_>> {
    verdict.missing.iter().map(MissingJson::from).collect()
}

#[must_use]
pub fn progress<'a>(progress: &Progress, nodes: &'a BTreeMap<String, String>) -> Frame<'a> {
    Frame::Prog {
        done: progress.pages_done,
        total: progress.pages,
        bytes: progress.bytes_done,
        scanned_to: progress.settled.map(Nanos),
        nodes,
    }
}

/// Events in one `ev` frame.
#[must_use]
pub fn events(events: &[OwnedEvent]) -> Frame<'_> {
    Frame::Ev { e: events.iter().map(EventJson::from).collect(), w: None, drop: None }
}

/// As one line.
pub fn write(out: &mut Vec<u8>, frame: &impl Serialize) {
    serde_json::to_writer(&mut *out, frame).expect("numbers and text are JSON, and a vector takes all");
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::tests::event;

    fn json(frame: &impl Serialize) -> serde_json::Value {
        let mut out = Vec::new();
        write(&mut out, frame);
        assert_eq!(out.pop(), Some(b'\n'));
        assert!(!out.contains(&b'\n'), "one line");
        serde_json::from_slice(&out).expect("JSON")
    }

    #[test]
    fn an_event_has_short_names_and_its_exact_bytes_when_needed() {
        let mut one = event(1_763_720_000_123_456_789, 7, 1, 81);
        one.line = b"upstream \"timed\" out\n\x1b[0m</script>".to_vec();
        let shown = json(&EventJson::from(&one));
        assert_eq!(shown["t"], "1763720000123456789");
        assert_eq!(shown["m"], "upstream \"timed\" out\n\u{1b}[0m</script>");
        assert_eq!((&shown["h"], &shown["l"], &shown["o"]), (&"host-7".into(), &"info".into(), &81.into()));
        assert_eq!((&shown["b"], &shown["fl"]), (&serde_json::Value::Null, &serde_json::Value::Null));
        assert_eq!(shown["id"].as_str().map(str::len), Some(80));
        one.line = b"\xff\x00\n".to_vec();
        assert_eq!(json(&EventJson::from(&one))["b"], "/wAK");
    }

    #[test]
    fn frames_say_what_they_are() {
        let one = event(5, 7, 1, 81);
        assert_eq!(json(&events(&[one]))["k"], "ev");
        assert_eq!(json(&Frame::Hb {}), serde_json::json!({"k": "hb"}));
        assert_eq!(json(&Frame::Settled { to: Nanos(Timestamp(-1)) }), serde_json::json!({"k": "settled", "to": "-1"}));
        assert_eq!(serde_json::to_value(Why::Limit).expect("text"), "limit");
        assert_eq!(json(&Frame::Rate(Rate { seen: 2.0, ..Rate::default() }))["in"], 2.0);
    }

    #[test]
    fn counts_stand_in_their_bars_worst_level_first() {
        let range = proto::query::TimeRange { from: Timestamp::from_seconds(0), to: Timestamp::from_seconds(10) };
        let bars = Bars::of(range, 10);
        let cells = Cells::from([((3, Level::Info), 4), ((3, Level::Error), 1), ((99, Level::Error), 50)]);
        let shown = json(&Frame::Hits(Hits::new(&bars, &cells, true)));
        assert_eq!(shown["levels"], serde_json::json!(["error", "info", "unknown"]));
        assert_eq!(shown["counts"][0][3], 1);
        assert_eq!((&shown["total"], &shown["done"], &shown["step"]), (&5.into(), &false.into(), &"1000000000".into()));
    }
}

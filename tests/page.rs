//! The page in a real browser against a real cluster: a query typed, rows seen, a line followed live.

#[path = "support/chromium.rs"]
mod chromium;

use chromium::Chromium;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A cluster on one file, and a browser.
struct Stage {
    up: Child,
    folder: PathBuf,
    log: File,
    address: String,
    browser: Chromium,
}

impl Stage {
    /// `name` keeps tests apart; `lines` stand in the file before anyone looks.
    fn set(name: &str, lines: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("tailbuck-page-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("app <img src=x onerror=alert(9)>.log");
        let mut log = OpenOptions::new().create(true).append(true).open(&path).expect("a file to follow");
        write_lines(&mut log, lines);
        let (up, address) = start(&path, &folder.join("data"));
        Self { up, folder, log, address, browser: Chromium::start(1280, 800) }
    }

    fn append(&mut self, lines: &[&str]) {
        write_lines(&mut self.log, lines);
    }

    /// Opens a page of ours by what stands after the `#`.
    fn open(&mut self, place: &str) {
        let address = format!("{}#{place}", self.address);
        self.browser.open(&address);
    }

    /// Asks again until the line is there: it takes a moment from file to buck.
    fn search_until(&mut self, query: &str, condition: &str) {
        self.browser.wait_for("document.querySelector('.search .query')");
        let typed = json!(query);
        self.browser.wait_for(&format!(
            "(() => {{
               if ({condition}) return true;
               const form = document.querySelector('.search .ask');
               const status = document.querySelector('.search .told').textContent;
               if (status && !form.querySelector('.stopping') || !window.asked) {{
                 window.asked = true;
                 form.elements.q.value = {typed};
                 form.elements.q.dispatchEvent(new Event('input'));
                 form.requestSubmit();
               }}
               return false;
             }})()"
        ));
    }

    fn assert_no_complaints(&mut self) {
        let complaints = self.browser.complaints();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.up.kill();
        let _ = self.up.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn write_lines(log: &mut File, lines: &[&str]) {
    for line in lines {
        writeln!(log, "{line}").expect("the file takes a line");
    }
}

/// Starts a cluster and waits until it says where its page is.
fn start(path: &Path, data: &Path) -> (Child, String) {
    let mut up = Command::new(env!("CARGO_BIN_EXE_tailbuck"))
        .arg("up")
        .arg(path)
        .args(["--web", "127.0.0.1:0", "--bucket", "10s", "--data"])
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("tailbuck starts");
    let mut said = BufReader::new(up.stdout.take().expect("its output")).lines();
    let address = said.find_map(|line| {
        let line = line.ok()?;
        let at = line.find("http://127.0.0.1:")?;
        Some(line.get(at..)?.split_whitespace().next()?.to_owned())
    });
    // Whoever stops reading would stop what writes.
    std::thread::spawn(move || said.for_each(drop));
    (up, address.expect("tailbuck says where its page is"))
}

/// Where the page's modules stand.
const FOLDER: &str = "document.querySelector('script[type=module]').src.replace('app.js', '')";

const ROWS: &str =
    "[...document.querySelectorAll('.page:not([hidden]) .row:not([hidden]) .m')].map((m) => m.textContent)";

#[test]
fn a_query_is_typed_and_rows_and_bars_are_seen() {
    let mut stage =
        Stage::set("search", &["ERROR upstream timed out for /cart", "INFO all is well", "WARN slow /cart"]);
    stage.open("/search");
    stage.browser.wait_for("document.querySelector('.blank h2')?.textContent.startsWith('Find any string')");
    stage.browser.press("/");
    stage.browser.type_text("/cart");
    stage.browser.press("Enter");
    stage.search_until("/cart", &format!("{ROWS}.length === 2"));
    stage.browser.wait_for("/^Highest bar (≈ )?[12] in/.test(document.querySelector('.hist-peak').textContent)");
    assert_eq!(stage.browser.eval("document.querySelector('.row mark').textContent"), "/cart");
    assert_eq!(stage.browser.eval("new URLSearchParams(location.hash.split('?')[1]).get('q')"), "/cart");

    stage.browser.eval("document.querySelector('.search .list').focus()");
    stage.browser.press("j");
    stage.browser.press("Enter");
    let file = stage.browser.wait_for(
        "[...document.querySelectorAll('.field .value')].map((v) => v.textContent).find((v) => v.includes('.log'))",
    );
    assert!(file.as_str().is_some_and(|file| file.contains("app <img src=x onerror=alert(9)>.log")), "{file}");
    stage.browser.press("x");
    stage.browser.wait_for(&format!("document.querySelector('.page.context .wanted') && {ROWS}.length === 3"));
    stage.assert_no_complaints();
}

/// The address is a way to ask, too: whatever stands there already, what it says is run.
#[test]
fn an_edited_address_is_asked_at_once() {
    let mut stage = Stage::set("address", &["alpha one", "beta two", "gamma three"]);
    stage.open("/search");
    stage.search_until("one", &format!("{ROWS}.length === 1"));
    for (query, rows) in
        [("two", json!(["beta two"])), ("three", json!(["gamma three"])), ("alpha", json!(["alpha one"]))]
    {
        stage.browser.eval(&format!("location.hash = '#/search?q={query}'"));
        stage.browser.wait_for(&format!("JSON.stringify({ROWS}) === {0} || /did not end/.test(document.querySelector('.search .blank').textContent)", json!(rows.to_string())));
        assert_eq!(stage.browser.eval(ROWS), rows, "{query}");
        assert_eq!(
            stage.browser.eval("document.querySelector('.search .blank:not([hidden])')"),
            Value::Null,
            "{query}"
        );
    }

    // Only a page that was torn away in the middle of this very question does not ask it by itself.
    stage.browser.eval("Storage.prototype.removeItem = () => {}; location.hash = '#/search?q=two'");
    stage.browser.wait_for(&format!("{ROWS}[0] === 'beta two'"));
    stage.browser.eval("location.reload()");
    let blank = "document.querySelector('.search .blank:not([hidden])')";
    stage.browser.wait_for(&format!("/did not end well/.test({blank}.textContent)"));
    assert_eq!(stage.browser.eval("document.querySelector('.search .hist').checkVisibility()"), false);
    stage.browser.eval("location.hash = '#/search?q=three'");
    stage.browser.wait_for(&format!("{ROWS}[0] === 'gamma three' && !{blank}"));
    stage.assert_no_complaints();
}

#[test]
fn a_line_written_appears_in_the_live_tail() {
    let mut stage = Stage::set("live", &["first line"]);
    stage.open("/live?q=needle");
    stage.browser.wait_for("document.querySelector('.live .say-good')");
    stage.append(&["no match here", "INFO the needle is in"]);
    stage.browser.wait_for(&format!("{ROWS}.includes('INFO the needle is in')"));
    assert_eq!(stage.browser.eval(&format!("{ROWS}.length")), 1);

    stage.browser.press("p");
    stage.append(&["INFO a second needle"]);
    stage.browser.wait_for("document.querySelector('.pill:not([hidden])')?.textContent === '1 new'");
    assert_eq!(stage.browser.eval(&format!("{ROWS}.length")), 1);
    stage.browser.press("p");
    stage.browser.wait_for(&format!("{ROWS}.length === 2"));

    let many: Vec<String> = (0..80).map(|number| format!("INFO needle {number}")).collect();
    stage.append(&many.iter().map(String::as_str).collect::<Vec<_>>());
    stage.browser.wait_for(&format!("{ROWS}.includes('INFO needle 79')"));
    for (width, height) in [(400, 600), (1280, 300), (400, 800)] {
        stage.browser.resize(width, height);
        let said =
            "document.querySelector('.live .foot .say').textContent + document.querySelector('.live .run').textContent";
        // Sizes are told in one frame, scrolling in the next.
        let on = format!("const on = () => (n-- ? requestAnimationFrame(on) : seen({said}));");
        let after_frames = format!("new Promise((seen) => {{ let n = 3; {on} on(); }})");
        assert_eq!(stage.browser.eval(&after_frames), "FollowingPause", "{width} by {height}");
        stage.browser.wait_for(&format!("{ROWS}.includes('INFO needle 79')"));
    }
    stage.assert_no_complaints();
}

/// JSON and `key=value` alike; and half of a line's end that some systems write is no part of what a row shows.
#[test]
fn fields_of_a_line_are_there_to_filter_by() {
    let lines = [
        r#"level=info msg="cart done" status=200 dur=3ms"#,
        r#"level=warn msg="cart late" status=500 dur=9ms"#,
        r#"{"status":500,"msg":"cart json","job":{"id":7}}"#,
        "cart of a system with other ends\r",
    ];
    let mut stage = Stage::set("fields", &lines);
    stage.open("/search");
    stage.search_until("cart", &format!("{ROWS}.length === 4"));
    assert_eq!(stage.browser.eval(&format!("{ROWS}.includes('cart of a system with other ends')")), true);
    let names =
        "[...document.querySelectorAll('[aria-label=\"Fields of the line\"] dt')].map((n) => n.textContent).join()";
    for (text, expected) in [("cart json", "@status,@msg,@job.id"), ("cart late", "@level,@msg,@status,@dur")] {
        stage.browser.eval(&format!(
            "[...document.querySelectorAll('.search .row:not([hidden])')].find((row) => row.textContent.includes('{text}')).click()"
        ));
        stage.browser.wait_for(&format!("{names} === '{expected}'"));
    }
    stage.browser.eval("document.querySelector('[aria-label=\"Only @status:500\"]').click()");
    stage.browser.wait_for(&format!("{ROWS}.length === 2 && {ROWS}.every((row) => row.includes('500'))"));
    assert_eq!(stage.browser.eval("document.querySelector('.search .query').value"), "cart @status:500");
    stage.assert_no_complaints();
}

/// Markup, direction marks and controls in a line: seen as they are, and nothing happens.
#[test]
fn hostile_lines_are_text() {
    let lines = [
        "hostile <script>alert(1)</script>",
        "hostile <img src=x onerror=alert(2)>",
        "hostile \"><svg/onload=alert(3)>",
        "hostile javascript:alert(4) {{7*7}} ${alert(5)}",
    ];
    let mut stage = Stage::set("hostile", &lines);
    stage.append(&["hostile \u{202e}turned \u{7}bell"]);
    stage.open("/search");
    stage.search_until("hostile", &format!("{ROWS}.length === 5"));
    let rows = stage.browser.eval(ROWS);
    for line in lines {
        assert!(rows.as_array().is_some_and(|rows| rows.contains(&json!(line))), "{line} in {rows}");
    }
    assert!(rows.to_string().contains("hostile <U+202E>turned ␇bell"), "{rows}");
    for number in 0..5 {
        stage.browser.eval(&format!("document.querySelectorAll('.search .row:not([hidden])')[{number}].click()"));
        stage.browser.wait_for("document.querySelector('.panel .whole').textContent.startsWith('hostile')");
    }
    stage.open("/search?q=%3Cimg%20src%3Dx%20onerror%3Dalert(6)%3E&from=%3Cscript%3Ealert(7)%3C/script%3E&to=now");
    stage.browser.wait_for("document.querySelector('.search .blank:not([hidden]) h2')");
    assert_eq!(stage.browser.eval("document.querySelector('.search .query').value"), "<img src=x onerror=alert(6)>");
    stage.open("/context?id=%3Cimg%20src%3Dx%20onerror%3Dalert(8)%3E");
    stage.browser.wait_for("document.querySelector('.context .blank:not([hidden]) button')");
    assert_eq!(stage.browser.eval("document.querySelectorAll('.list script, .list img, .list svg').length"), 0);
    stage.assert_no_complaints();
}

/// What users of other log pages complain of most: the list that moves while it is read.
#[test]
fn the_place_being_read_never_moves() {
    let mut stage = Stage::set("place", &["a line"]);
    stage.open("/search");
    let folder = stage.browser.wait_for(FOLDER);
    for seed in [1, 7, 1234] {
        let steps = include_str!("support/place.js").lines().filter(|line| !line.starts_with("//"));
        let steps = steps.collect::<Vec<_>>().join("\n");
        let told = stage.browser.eval(&format!("({})({folder}, {seed})", steps.trim_end_matches([';', '\n'])));
        assert_eq!(told["moved"], json!([]), "seed {seed}");
        assert!(told["rows"].as_u64() > Some(3_000), "{told}");
    }
    stage.assert_no_complaints();
}

/// Both are held to the vectors the server is held to, so that colours never promise another meaning.
#[test]
fn the_page_reads_queries_and_cleans_text_as_the_programs_do() {
    let mut stage = Stage::set("twins", &["a line"]);
    stage.open("/search");
    let folder = stage.browser.wait_for(FOLDER);
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../proto/src/testdata/query.json")).expect("an array");
    let queries: Vec<&Value> = vectors.iter().map(|vector| &vector["q"]).collect();
    let read = stage.browser.eval(&format!(
        "import({folder} + 'query.js').then(({{ read }}) => {0}.map((q) => {{
           const {{ spans, error }} = read(q);
           const bytes = (n) => new TextEncoder().encode(q.slice(0, n)).length;
           return {{ spans: spans.map((s) => [bytes(s.at), bytes(s.at + s.len) - bytes(s.at), s.kind]), error: error && bytes(error.at) }};
         }}))",
        json!(queries)
    ));
    for (vector, ours) in vectors.iter().zip(read.as_array().expect("a list")) {
        match vector["err"]["why"].as_str() {
            Some("quote" | "group") => assert_eq!(ours["error"], vector["err"]["at"], "{vector}"),
            // Only who compiles patterns and counts terms knows.
            Some(_) => {}
            None => assert_eq!(ours["spans"], spans_of(vector), "{vector}"),
        }
    }
    let cases: Vec<Value> = serde_json::from_str(include_str!("../web/src/testdata/clean.json")).expect("cases");
    for case in cases {
        let ours = stage.browser.eval(&format!(
            "import({folder} + 'clean.js')
               .then(({{ visible, inRow }}) => [visible({0}), inRow({0})])",
            case["in"]
        ));
        assert_eq!(ours, json!([case["visible"], case["row"]]), "{}", case["in"]);
    }
}

/// A vector's spans in the page's form: a word with a note is a word.
fn spans_of(vector: &Value) -> Value {
    let mut spans = vector["spans"].clone();
    for kind in spans.as_array_mut().into_iter().flatten().filter_map(|span| span.get_mut(2)) {
        if *kind == "hint" {
            *kind = json!("word");
        }
    }
    spans
}

//! Drives a Chromium without a window, over its own protocol: JSON through two pipes, each message ended by a NUL.
//!
//! Promises a browser of its own with an empty profile that reaches nothing but loopback, and an end to it when it
//! is dropped. Waiting is done inside the page, on conditions. A Chromium that is missing fails the test that
//! wants it, and the message says how to get one.

use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A loaded machine starts a browser in seconds; one that says nothing for this long is broken.
const PATIENCE: Duration = Duration::from_secs(60);

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--host-resolver-rules='MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'",
    "--remote-debugging-pipe",
];

/// One browser showing one page.
#[derive(Debug)]
pub struct Chromium {
    child: Child,
    folder: PathBuf,
    to: File,
    from: Receiver<Value>,
    session: Option<String>,
    last_id: u64,
    complaints: Vec<String>,
}

impl Chromium {
    /// Starts it with an empty page of this size.
    pub fn start(width: u32, height: u32) -> Self {
        let program = find_program();
        let folder = fresh_folder();
        let (child, to, from) = spawn(&program, &folder);
        let mut browser = Self { child, folder, to, from, session: None, last_id: 0, complaints: Vec::new() };
        browser.attach();
        for domain in ["Runtime", "Log", "Page"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser.resize(width, height);
        browser
    }

    /// Gives the page another size.
    pub fn resize(&mut self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    fn attach(&mut self) {
        let target = self.call("Target.createTarget", &json!({"url": "about:blank"}));
        let asked = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.call("Target.attachToTarget", &asked);
        self.session = attached["sessionId"].as_str().map(str::to_owned);
    }

    /// One command and its answer. What the page complained of meanwhile is kept.
    pub fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.try_call(method, parameters).expect(method)
    }

    fn try_call(&mut self, method: &str, parameters: &Value) -> Result<Value, Value> {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("chromium reads its commands");
        loop {
            let mut answer = self.from.recv_timeout(PATIENCE).expect("chromium answers");
            if answer["id"] == self.last_id {
                let error = answer["error"].take();
                return if error.is_null() { Ok(answer["result"].take()) } else { Err(error) };
            }
            self.complaints.extend(complaint(&answer));
        }
    }

    /// Goes to an address and waits until it is loaded.
    pub fn open(&mut self, address: &str) {
        self.call("Page.navigate", &json!({"url": address}));
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'");
    }

    /// The value of an expression, which may be a promise.
    pub fn eval(&mut self, expression: &str) -> Value {
        self.try_eval(expression).expect(expression)
    }

    /// An error when the page went away meanwhile, as one that loads anew does.
    fn try_eval(&mut self, expression: &str) -> Result<Value, Value> {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true});
        let mut answer = self.try_call("Runtime.evaluate", &asked)?;
        let thrown = &answer["exceptionDetails"];
        assert!(thrown.is_null(), "{expression}\n{}", thrown["exception"]["description"]);
        Ok(answer["result"]["value"].take())
    }

    /// Waits until an expression is true, and gives its value. Shows the page's text if it never is.
    pub fn wait_for(&mut self, condition: &str) -> Value {
        let look = format!(
            "new Promise((met) => {{
               const end = performance.now() + {};
               const look = () => {{
                 let value;
                 try {{ value = ({condition}); }} catch {{ value = undefined; }}
                 if (value) met({{ value }});
                 else if (performance.now() > end) met(null);
                 else setTimeout(look, 20);
               }};
               look();
             }})",
            PATIENCE.as_millis() / 2
        );
        // A page that is just loading anew can't be asked; the next one is.
        let met = (0..100).find_map(|_| self.try_eval(&look).ok()).expect("a page that can be asked");
        if met.is_null() {
            let text = self.eval("document.body.innerText.slice(0, 3000)");
            assert!(!met.is_null(), "never true: {condition}\n{:?}\nthe page:\n{text}", self.complaints);
        }
        met["value"].clone()
    }

    /// Types text where the cursor stands.
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", &json!({"text": text}));
    }

    /// Presses a key, such as `Enter` or `j`.
    pub fn press(&mut self, key: &str) {
        let mut down = json!({"type": "keyDown", "key": key});
        match key {
            "Enter" => down["text"] = json!("\r"),
            _ if key.chars().count() == 1 => down["text"] = json!(key),
            _ => {}
        }
        self.call("Input.dispatchKeyEvent", &down);
        self.call("Input.dispatchKeyEvent", &json!({"type": "keyUp", "key": key}));
    }

    /// Exceptions, console errors, broken policies and dialogs so far.
    pub fn complaints(&mut self) -> &[String] {
        self.eval("1");
        &self.complaints
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What an event says went wrong. A request that was refused is the server's word, not a fault of the page.
fn complaint(event: &Value) -> Option<String> {
    let parameters = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(parameters["exceptionDetails"].to_string()),
        "Runtime.consoleAPICalled" if parameters["type"] == "error" => Some(parameters["args"].to_string()),
        "Page.javascriptDialogOpening" => Some(format!("dialog: {}", parameters["message"])),
        "Log.entryAdded" if parameters["entry"]["source"] == "network" => None,
        "Log.entryAdded" if parameters["entry"]["level"] == "error" => Some(parameters["entry"].to_string()),
        _ => None,
    }
}

fn find_program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).flat_map(|folder| NAMES.map(|name| folder.join(name)));
    let found = places.into_iter().find(|place| place.is_file());
    found.expect("this test needs Chromium and there is none: apt-get install chromium")
}

fn fresh_folder() -> PathBuf {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("tailbuck-chromium-{}-{number}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder for the browser");
    folder
}

/// Chromium wants its pipes as descriptors 3 and 4, which only a shell gives without unsafe code. The shell opens
/// them in this order, and so do we: either side waits for the other.
fn spawn(program: &Path, folder: &Path) -> (Child, File, Receiver<Value>) {
    let (commands, answers) = (folder.join("commands"), folder.join("answers"));
    let made = Command::new("mkfifo").arg(&commands).arg(&answers).status().expect("mkfifo runs");
    assert!(made.success(), "mkfifo");
    let script = format!(
        "exec '{}' {} --user-data-dir='{}' about:blank 3<'{}' 4>'{}'",
        program.display(),
        FLAGS.join(" "),
        folder.join("profile").display(),
        commands.display(),
        answers.display()
    );
    let child = Command::new("sh")
        .args(["-c", &script])
        .env("HOME", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh runs");
    let to = OpenOptions::new().write(true).open(&commands).expect("the browser's commands");
    let from = File::open(&answers).expect("the browser's answers");
    (child, to, listen(from))
}

/// Messages, as a thread of their own reads them; it ends with the browser.
fn listen(from: File) -> Receiver<Value> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for message in BufReader::new(from).split(0) {
            let Ok(message) = message else { return };
            let value = serde_json::from_slice(&message).unwrap_or(Value::Null);
            if send.send(value).is_err() {
                return;
            }
        }
    });
    receive
}

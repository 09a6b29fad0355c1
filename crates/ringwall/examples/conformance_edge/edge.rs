//! The edge: the binary itself, on loopback, with a state folder of its own.

use super::application;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// WafPolicy of the rule set's own tests: detection at paranoia level 4.
pub const DETECT: &str = r#"
apiVersion: ringwall.dev/v1
kind: WafPolicy
metadata: { name: conformance, namespace: istio-system }
spec:
  mode: detect
  requestBody: { inspect: true, limit: 2Mi }
  responseBody: { inspect: true, limit: 512Ki, types: [text/plain, text/html, text/xml, application/json] }
  secLang:
    before: |
      SecAction "id:900005,phase:1,nolog,pass,\
        setvar:tx.blocking_paranoia_level=4,\
        setvar:tx.crs_validate_utf8_encoding=1,\
        setvar:tx.arg_name_length=100,\
        setvar:tx.arg_length=400,\
        setvar:tx.total_arg_length=64000,\
        setvar:tx.max_num_args=255,\
        setvar:tx.max_file_size=64100,\
        setvar:tx.combined_file_sizes=65535"
"#;

/// A running edge; ends when it is dropped.
pub struct Edge {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    state: tempfile::TempDir,
}

impl Edge {
    /// Brings the binary up with the rule set of the corpus and these policies.
    ///
    /// # Errors
    /// A sentence.
    pub fn start(corpus: &Path, policies: &str) -> Result<Self, String> {
        let told = |error: std::io::Error| error.to_string();
        let own = std::env::current_exe().map_err(told)?;
        let binary = own.ancestors().nth(2).map(|folder| folder.join("ringwall")).filter(|it| it.is_file());
        let binary = binary.ok_or("the binary is not built: cargo build --release -p ringwall")?;
        let application = application::start().map_err(told)?;
        let state = tempfile::tempdir().map_err(told)?;
        let manifests = state.path().join("manifests.yaml");
        std::fs::write(&manifests, MANIFESTS.replace("PORT", &application.port().to_string()) + "---" + policies)
            .map_err(told)?;
        let mut child = Command::new(binary)
            .args(["up", "--format", "json", "--set"])
            .arg(format!("crs={}", corpus.join("crs").display()))
            .arg("--state-dir")
            .arg(state.path().join("state"))
            .arg(&manifests)
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .map_err(told)?;
        let output = child.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).map_err(told)?;
        let address = edge_of(&line).ok_or_else(|| format!("the edge did not come up: {line}"))?;
        Ok(Self { address, child, state })
    }

    /// Ends the edge and gives the lines of the firewall's log by the name of the call.
    ///
    /// # Errors
    /// A sentence.
    pub fn log(mut self) -> Result<BTreeMap<String, Vec<String>>, String> {
        self.end();
        let text = std::fs::read(self.state.path().join("state/waf.log")).map_err(|error| error.to_string())?;
        let mut log: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in String::from_utf8_lossy(&text).lines() {
            let id = line.rsplit_once("[unique_id \"").and_then(|(_, rest)| rest.split('"').next());
            log.entry(id.unwrap_or_default().to_owned()).or_default().push(line.to_owned());
        }
        Ok(log)
    }

    /// As Ctrl-C does: what was told is written first.
    fn end(&mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let mut left = 100;
        while asked.is_ok() && left > 0 && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(100));
            left -= 1;
        }
        // It has ended already, or will not.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

fn edge_of(line: &str) -> Option<SocketAddr> {
    let json: serde_json::Value = serde_json::from_str(line).ok()?;
    let listeners = json.get("listeners")?.as_array()?;
    listeners.iter().find(|one| one["role"] == "edge")?["bound"].as_str()?.parse().ok()
}

/// The rule that a line of the log is about.
pub fn rule(line: &str) -> Option<u64> {
    line.split_once("[id \"")?.1.split('"').next()?.parse().ok()
}

/// A way in without TLS, and an application outside the mesh.
const MANIFESTS: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: { name: edge, namespace: istio-system }
---
apiVersion: v1
kind: Pod
metadata: { name: edge, namespace: istio-system, labels: { app: edge, istio: ingressgateway } }
spec:
  serviceAccountName: edge
  containers:
  - { name: edge, image: "edge:1", ports: [{ name: http2, containerPort: 8080 }] }
status: { podIP: 10.244.0.10 }
---
apiVersion: v1
kind: Service
metadata: { name: edge, namespace: istio-system }
spec:
  clusterIP: 10.96.0.10
  selector: { app: edge }
  ports: [{ name: http2, port: 80, targetPort: 8080 }]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge, namespace: istio-system }
spec:
  selector: { istio: ingressgateway }
  servers:
  - port: { number: 80, name: http, protocol: HTTP }
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: all, namespace: istio-system }
spec:
  hosts: ["*"]
  gateways: [edge]
  http:
  # Apache, for which the cases were written, answers `CONNECT` when its application does.
  - name: connect
    match:
    - method: { exact: CONNECT }
    directResponse: { status: 200 }
  - name: all
    route:
    - destination: { host: albedo.example, port: { number: PORT } }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: albedo, namespace: istio-system }
spec:
  hosts: [albedo.example]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports:
  - { number: PORT, name: http, protocol: HTTP }
  endpoints:
  - address: 127.0.0.1
"#;

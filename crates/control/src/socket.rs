//! The control socket: `ringwall status`, `block`, `rollback` and their kin speak to the running process through a Unix
//! socket in the state folder, one JSON object a line each way.
//!
//! In: a command. Out: its answer. Never: a network port; who may open the socket's folder may steer the process.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Name of the socket in the state folder.
pub const NAME: &str = "control.sock";
/// The most bytes of one command or answer.
const MOST: u64 = 16 << 20;

/// What answers commands: the command's name and its arguments in, the answer or an error text out.
pub type Answerer = dyn Fn(&str, &Value) -> Result<Value, String> + Send + Sync;

/// A socket that is being served; dropping it ends that and takes the socket file away.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    ended: Arc<AtomicBool>,
}

/// Why the running process could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Nobody listens there.
    #[error(
        "no running ringwall answers at `{path}` ({error}); start one with `ringwall up`, or name its folder with `--state-dir`"
    )]
    Nobody {
        /// Where.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Another process serves this state folder already.
    #[error("another ringwall already serves `{0}`; stop it, or choose another `--state-dir`")]
    Taken(PathBuf),
    /// The conversation broke.
    #[error("the running ringwall did not answer: {0}")]
    Broken(String),
    /// It answered with an error.
    #[error("{0}")]
    Refused(String),
}

impl ControlSocket {
    /// Serves commands on a thread of its own until this value is dropped.
    ///
    /// # Errors
    /// [`SocketError::Taken`] when a live process has the socket; a dead one's is replaced.
    pub fn serve(folder: &Path, answerer: Arc<Answerer>) -> Result<Self, SocketError> {
        let path = folder.join(NAME);
        if UnixStream::connect(&path).is_ok() {
            return Err(SocketError::Taken(path));
        }
        drop(std::fs::remove_file(&path));
        let told = |error| SocketError::Nobody { path: path.clone(), error };
        let listener = UnixListener::bind(&path).map_err(told)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(told)?;
        let ended = Arc::new(AtomicBool::new(false));
        let done = ended.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                let answerer = answerer.clone();
                std::thread::spawn(move || converse(&stream, &*answerer));
            }
        });
        Ok(Self { path, ended })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the accepting thread, which then sees that it has ended.
        drop(UnixStream::connect(&self.path));
        drop(std::fs::remove_file(&self.path));
    }
}

fn converse(stream: &UnixStream, answerer: &Answerer) {
    drop(stream.set_read_timeout(Some(Duration::from_secs(10))));
    let mut line = String::new();
    let answer = match BufReader::new(stream.take(MOST)).read_line(&mut line) {
        Ok(_) => match serde_json::from_str::<Value>(&line) {
            Ok(command) => {
                let name = command.get("command").and_then(Value::as_str).unwrap_or_default();
                answerer(name, command.get("arguments").unwrap_or(&Value::Null))
            }
            Err(error) => Err(format!("not a command: {error}")),
        },
        Err(error) => Err(error.to_string()),
    };
    let text = match answer {
        Ok(answer) => json!({ "answer": answer }),
        Err(error) => json!({ "error": error }),
    };
    let mut stream = stream;
    drop(stream.write_all(format!("{text}\n").as_bytes()));
}

/// Asks the running process of a state folder.
///
/// # Errors
/// [`SocketError`] says whether nobody is there or what it answered.
pub fn ask(folder: &Path, command: &str, arguments: Value) -> Result<Value, SocketError> {
    let path = folder.join(NAME);
    let mut stream = UnixStream::connect(&path).map_err(|error| SocketError::Nobody { path, error })?;
    let broken = |error: std::io::Error| SocketError::Broken(error.to_string());
    stream.set_read_timeout(Some(Duration::from_secs(60))).map_err(broken)?;
    let line = json!({ "command": command, "arguments": arguments });
    stream.write_all(format!("{line}\n").as_bytes()).map_err(broken)?;
    let mut text = String::new();
    BufReader::new(stream.take(MOST)).read_line(&mut text).map_err(broken)?;
    let mut answer: Value = serde_json::from_str(&text).map_err(|error| SocketError::Broken(error.to_string()))?;
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => Err(SocketError::Refused(error.into())),
        None => Ok(answer.get_mut("answer").map(Value::take).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::{ControlSocket, SocketError, ask};
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn a_command_is_answered_and_a_second_process_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(ask(folder.path(), "status", json!({})), Err(SocketError::Nobody { .. })));
        let answerer = Arc::new(|name: &str, arguments: &serde_json::Value| match name {
            "status" => Ok(json!({ "got": arguments })),
            other => Err(format!("no command `{other}`")),
        });
        let served = ControlSocket::serve(folder.path(), answerer.clone()).unwrap();
        assert_eq!(ask(folder.path(), "status", json!([1])).unwrap(), json!({ "got": [1] }));
        assert_eq!(ask(folder.path(), "dance", json!({})).unwrap_err().to_string(), "no command `dance`");
        assert!(matches!(ControlSocket::serve(folder.path(), answerer.clone()), Err(SocketError::Taken(_))));
        drop(served);
        drop(ControlSocket::serve(folder.path(), answerer).unwrap());
    }
}

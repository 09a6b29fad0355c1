//! How the process ends.

use std::fmt::Display;

/// An end with its exit code and, unless it is silent, a message on standard error.
#[derive(Debug)]
pub struct Exit {
    /// The process's exit code.
    pub code: u8,
    /// What is said on standard error.
    pub says: Option<String>,
}

impl Exit {
    /// All held.
    pub const HELD: Self = Self { code: 0, says: None };
    /// Something did not hold; the output has said what.
    pub const FAILED: Self = Self { code: 1, says: None };

    /// Something that was asked for on the command line makes no sense.
    pub fn usage(says: impl Display) -> Self {
        Self { code: 2, says: Some(says.to_string()) }
    }

    /// Manifests, settings or state could not be read.
    pub fn input(says: impl Display) -> Self {
        Self { code: 3, says: Some(says.to_string()) }
    }

    /// No running wall answers.
    pub fn nobody(says: impl Display) -> Self {
        Self { code: 4, says: Some(says.to_string()) }
    }

    /// The wall itself failed.
    pub fn broken(says: impl Display) -> Self {
        Self { code: 5, says: Some(says.to_string()) }
    }
}

/// Has the process end quietly when nobody reads its output any more, as `check … | head` does: with the code that a
/// shell gives for a broken pipe.
pub fn quietly_without_a_reader() {
    const BROKEN_PIPE: i32 = 141;
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let says = panic.payload_as_str().unwrap_or_default();
        // The words of the standard library's `print!` and of those who write with `expect`.
        if says.contains("Broken pipe") && !says.contains("stderr") {
            std::process::exit(BROKEN_PIPE);
        }
        told(panic);
    }));
}

impl std::process::Termination for Exit {
    fn report(self) -> std::process::ExitCode {
        if let Some(says) = &self.says {
            eprintln!("ringwall: {says}");
        }
        std::process::ExitCode::from(self.code)
    }
}

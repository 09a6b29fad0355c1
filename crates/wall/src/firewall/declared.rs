//! Calls beside the API's own document: what it does not declare is refused, by its operation and with the place.

use super::{Inspection, Phase};
use bytes::Bytes;
use ringwall_manifest::ringwall::waf_policy::Api;
use ringwall_model::{Call, Decision, Reason, Reply};
use ringwall_waf::Engine;
use ringwall_waf::openapi::{Asked, Fitting, Misfit};

/// What is found of a call that does not fit.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub misfit: Misfit,
    pub phase: u8,
    pub refused: bool,
}

impl Inspection {
    /// Judges a head: the operation that it is, or the refusal. Neither: it does not fit, and is only written down.
    pub(super) fn declared<'a>(&mut self, api: &'a Api, call: &Call) -> Result<Option<Fitting<'a>>, Decision> {
        // The request line as it came, as for the rules; one in absolute form was read by the head.
        let line: &[u8] = &call.raw.line;
        let mut parts = line.split(|byte| *byte == b' ').skip(1);
        let target = parts.next().filter(|raw| raw.starts_with(b"/")).unwrap_or(&call.target);
        let fields = call.fields.iter().map(|field| (&*field.name, &*field.value));
        match api.document.head(Asked { method: &call.method, target }, fields) {
            Ok(fitting) => Ok(Some(fitting)),
            Err(misfit) => self.misfit(api, misfit, Phase::RequestHead).map_or(Ok(None), Err),
        }
    }

    /// Judges a body; `body` is what was read of it, at most one byte more than its limit; `None`: it is a stream of
    /// messages, which no document declares.
    pub(super) fn declared_body(
        &mut self,
        api: &Api,
        fitting: Fitting<'_>,
        call: &Call,
        body: Option<&[u8]>,
    ) -> Option<Decision> {
        let wrong = |place: &str, what: &str, status| Misfit {
            operation: Some(fitting.name().into()),
            place: place.into(),
            what: what.into(),
            status,
        };
        let coded = call.fields.first("content-encoding").is_some_and(|it| !it.eq_ignore_ascii_case(b"identity"));
        let Some(body) = body else {
            let misfit = wrong("content-type", "a stream of messages is nothing that the document declares", 415);
            return self.misfit(api, misfit, Phase::RequestBody);
        };
        let misfit = if body.len() > self.guard.request_limit {
            Some(wrong("body", "it is longer than what is judged", 413))
        } else if coded && !body.is_empty() {
            Some(wrong("content-encoding", "bodies are judged by the document as they are, without a coding", 415))
        } else {
            let media = call.fields.first("content-type").map_or(&b""[..], |media| media);
            api.document.body(fitting, media, body).err()
        };
        self.misfit(api, misfit?, Phase::RequestBody)
    }

    fn misfit(&mut self, api: &Api, misfit: Misfit, phase: Phase) -> Option<Decision> {
        let refused = self.guard.engine == Engine::On;
        let because = Reason::Rule(api.rule(misfit.operation.as_deref()));
        let reply = Reply::text(misfit.status, Bytes::from(format!("{}: {}\n", misfit.place, misfit.what)));
        let phase = if phase == Phase::RequestHead { 1 } else { 2 };
        self.found = Some(Found { misfit, phase, refused });
        refused.then_some(Decision::Refuse { because, reply })
    }
}

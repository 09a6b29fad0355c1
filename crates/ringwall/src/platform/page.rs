//! The door between the data plane and the page: asks `wall`, and says its answers in the data plane's words.
//!
//! In: connections and calls of the engine. Out: what the World in force says of them. Never: a decision of its own.

use super::force::{Current, InForce};
use super::health;
use super::outside::Live;
use super::upstream::UNKNOWN_DESTINATION;
use ringwall_dataplane::message::{Body, Response};
use ringwall_dataplane::page::{
    Admitted, Answer, Arrival, ClientCertificate, Draw, Floor, Labels, Local, MessageKind, Messages, Opening, Outcome,
    Page, Place, ProxyHeader, Reading, Refused, Server, Upstream, Way, boxed,
};
use ringwall_head::tracing::Sampling;
use ringwall_manifest::istio::telemetry::Told;
use ringwall_mesh::Mode;
use ringwall_mesh::route::{TlsMode, TlsVersion};
use ringwall_model::event::Decided;
use ringwall_model::{Call, Decision, Layer, Listener, Millis, Peer, Protocol, Reason, Role, Timestamp, WorkloadId};
use ringwall_shield::judge::{ConnectionVerdict, Followed, State};
use std::any::Any;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

/// The largest request body that the engine takes at all.
const BODY_LIMIT: u64 = 1 << 30;

impl Page for InForce {
    fn arrive(&self, listener: &Listener, peer: SocketAddr) -> Arrival {
        let required = matches!(listener.role, Role::Edge) && self.proxy_header == ProxyHeader::Required;
        let admitted = |guard: Option<Box<dyn Any>>| Arrival::Admit {
            guard,
            proxy_header: if required { ProxyHeader::Required } else { ProxyHeader::Absent },
        };
        if listener.role != Role::Edge || required {
            return admitted(None);
        }
        self.arrive_behind(listener, peer)
    }

    fn arrive_behind(&self, listener: &Listener, peer: SocketAddr) -> Arrival {
        let Some((current, listener)) = self.at(listener) else { return gone() };
        let verdict = self.shield_connection(&current, &listener, &Peer { address: peer, tls: None });
        if let Decision::Refuse { because, .. } = verdict.judgement.decision {
            let delay = verdict.judgement.delay.unwrap_or_default();
            return Arrival::Refuse { layer: Layer::Shield, because, delay, guard: None };
        }
        match self.connections.open(&verdict.holds) {
            Ok(open) => Arrival::Admit { guard: Some(Box::new(open)), proxy_header: ProxyHeader::Absent },
            Err(over) => Arrival::Refuse {
                layer: Layer::Shield,
                because: over.because,
                delay: over.delay,
                guard: Some(Box::new(over)),
            },
        }
    }

    fn meant(&self, door: &Listener, original: SocketAddr) -> Option<Arc<Listener>> {
        self.current.load().meant(door.bind, original)
    }

    fn opening(&self, listener: &Listener) -> Opening {
        // A listener that is served no longer refuses at the next step; until then it speaks TLS and shows nothing.
        let Some((current, listener)) = self.at(listener) else { return Opening::Named };
        let world = &current.world;
        match listener.role {
            // A client that opens TLS itself: its server name says where it goes.
            Role::Outbound if listener.protocol == Protocol::Tls => Opening::Named,
            Role::Outbound => Opening::Clear,
            Role::Edge | Role::Egress => self.gateway_opening(world, &listener),
            Role::Inbound | Role::Gateway => {
                let Some(workload) = world.inventory.workload(listener.workload).filter(|it| it.in_mesh) else {
                    return Opening::Clear;
                };
                let identity = workload.identity.clone();
                match world.mesh.mtls(listener.workload, listener.address.port()) {
                    Mode::Strict => Opening::Strict { identity },
                    Mode::Permissive => Opening::Permissive { identity },
                    Mode::Disable => Opening::Clear,
                }
            }
        }
    }

    fn server(&self, listener: &Listener, server_name: Option<&str>) -> Server {
        let Some((current, listener)) = self.at(listener) else { return Server::Unknown };
        let world = &current.world;
        if listener.role == Role::Outbound {
            return Server::PassThrough;
        }
        let Some(server) = world.routes.server(listener.workload, listener.address.port(), server_name) else {
            return Server::Unknown;
        };
        let Some(tls) = &server.tls else { return Server::Unknown };
        let client = match tls.mode {
            TlsMode::Passthrough | TlsMode::AutoPassthrough => return Server::PassThrough,
            TlsMode::Simple => ClientCertificate::NotAsked,
            // A certificate that need not be there proves nothing; the engine knows asked or not asked.
            TlsMode::OptionalMutual => ClientCertificate::NotAsked,
            TlsMode::Mutual | TlsMode::IstioMutual => ClientCertificate::Required,
        };
        let Some(credential) = self.credential_name(world, listener.workload, tls) else { return Server::Unknown };
        let floor = if tls.min >= TlsVersion::V13 { Floor::Tls13 } else { Floor::Tls12 };
        Server::Terminate { credential, floor, client }
    }

    fn reading(&self, listener: &Listener) -> Reading {
        Reading { settings: self.head_settings(listener), body_limit: BODY_LIMIT, tracing: self.sampling(listener) }
    }

    fn request<'a>(&'a self, listener: &'a Listener, call: &'a mut Call, body: &'a mut Body) -> Local<'a, Outcome> {
        boxed(|| async move {
            let Some((current, listener)) = self.at(listener) else { return withdrawn() };
            let facts = self.shield_facts.load_full();
            let live = Live::new(self, call.id, &facts, body);
            match ringwall_wall::request(&current.world, &listener, call, &live).await {
                ringwall_wall::Outcome::Admitted(admitted) => self.admit(&current, &listener, call, admitted),
                ringwall_wall::Outcome::Refused(refused) => {
                    let decided = Some(Decided(current));
                    Outcome::Refused(Box::new(Refused { decided, ..refuse(*refused) }))
                }
            }
        })
    }

    fn standing<'a>(&'a self, listener: &'a Listener, call: &'a mut Call) -> Local<'a, Result<(), (Layer, Reason)>> {
        boxed(|| async move {
            let (current, listener) = self.at(listener).ok_or((Layer::Route, Reason::Builtin(WITHDRAWN)))?;
            let facts = self.shield_facts.load_full();
            let mut gone_by = Body::empty();
            let live = Live::new(self, call.id, &facts, &mut gone_by).standing();
            match ringwall_wall::request(&current.world, &listener, call, &live).await {
                ringwall_wall::Outcome::Refused(refused) if cuts(&refused) => Err((refused.layer, refused.because)),
                ringwall_wall::Outcome::Admitted(_) | ringwall_wall::Outcome::Refused(_) => Ok(()),
            }
        })
    }

    fn response<'a>(
        &'a self,
        _listener: &'a Listener,
        call: &'a Call,
        admitted: &'a Admitted,
        response: &'a mut Response,
    ) -> Option<Local<'a, Result<(), Refused>>> {
        let page = super::response::take(&admitted.witness)?;
        Some(boxed(|| super::response::judge(self, page, call, admitted, response)))
    }

    fn messages(&self, call: &Call, admitted: &Admitted, kind: MessageKind) -> Option<Rc<dyn Messages>> {
        super::response::messages(self, call, admitted, kind)
    }

    fn standing_connection<'a>(
        &'a self,
        listener: &'a Listener,
        peer: &'a Peer,
    ) -> Local<'a, Result<(), (Layer, Reason)>> {
        Box::pin(async move {
            let (current, here) = self.at(listener).ok_or((Layer::Route, Reason::Builtin(WITHDRAWN)))?;
            if here.role == Role::Edge
                && let Decision::Refuse { because, .. } =
                    self.shield_connection(&current, &here, peer).judgement.decision
            {
                return Err((Layer::Shield, because));
            }
            self.connection(listener, peer).await.map(drop)
        })
    }

    fn connection<'a>(&'a self, listener: &'a Listener, peer: &'a Peer) -> Local<'a, Result<Way, (Layer, Reason)>> {
        Box::pin(async move {
            let (current, listener) = self.at(listener).ok_or((Layer::Route, Reason::Builtin(WITHDRAWN)))?;
            let dice = super::outside::dice();
            let at = ringwall_control::facts::now();
            let names = self.isolation.as_ref().map(|isolation| isolation.filter.names.load().at(at));
            let names = names.unwrap_or_default();
            let outcome = ringwall_wall::connection::connection(&current.world, &listener, peer, dice, &names);
            let way = outcome.way.ok_or(outcome.because)?;
            let upstream = self
                .connection_upstream(&current.world, &way)
                .ok_or((Layer::Upstream, Reason::Builtin(UNKNOWN_DESTINATION)))?;
            let affinity = health::affinity_of_address(&upstream, peer.address.ip());
            Ok(Way { upstream, affinity })
        })
    }

    fn choose(&self, upstream: &Upstream, tried: &[Arc<Place>], draw: Draw) -> Option<Arc<Place>> {
        health::choose(upstream, tried, draw)
    }

    fn observed(&self, upstream: &Upstream, to: &Place, answer: Answer) {
        health::observe(upstream, to, answer);
    }

    fn workload(&self, id: WorkloadId) -> Arc<str> {
        let current = self.current.load();
        current.world.inventory.workload(id).map_or_else(|| "unknown".into(), |it| it.full_name().into())
    }
}

impl InForce {
    /// What the shield says of a connection by its address.
    fn shield_connection(&self, current: &Current, listener: &Listener, peer: &Peer) -> ConnectionVerdict {
        let facts = self.shield_facts.load();
        let state = State { facts: &facts, blocks: &self.blocks, now: ringwall_control::facts::now() };
        let followed = if listener.protocol.is_http() { Followed::ByCalls } else { Followed::ByBytes };
        let (shield, at) = (&current.world.shield, listener.workload);
        ringwall_shield::judge::connection(shield, at, listener.address, peer, followed, state)
    }

    /// How many calls of a listener are traced; `None`: none.
    fn sampling(&self, listener: &Listener) -> Option<Sampling> {
        let current = self.current.load();
        let sampling = Sampling(current.world.settings.tracing.as_ref()?.sampling);
        if current.world.observed.is_empty() {
            return Some(sampling);
        }
        // The number of its workload may be that of an older World.
        let Some((current, listener)) = self.at(listener) else { return Some(sampling) };
        let Some(observed) = current.world.observed.get(&listener.workload) else { return Some(sampling) };
        let side = observed.at(listener.role);
        (side.spans != Some(Told::No)).then(|| side.sampling.map_or(sampling, Sampling))
    }

    /// How a gateway's port begins: in clear, by server name, or with the mesh's own certificates.
    fn gateway_opening(&self, world: &ringwall_manifest::World, listener: &Listener) -> Opening {
        let port = listener.address.port();
        let servers =
            world.routes.servers(listener.workload).find(|(number, _)| *number == port).map(|(_, servers)| servers);
        let mode =
            servers.and_then(|servers| servers.first()).and_then(|server| server.tls.as_ref()).map(|tls| tls.mode);
        match (mode, world.inventory.workload(listener.workload)) {
            (Some(TlsMode::IstioMutual), Some(workload)) => Opening::Strict { identity: workload.identity.clone() },
            (None, _) => Opening::Clear,
            (Some(_), _) => Opening::Named,
        }
    }

    fn admit(
        &self,
        current: &Arc<Current>,
        listener: &Listener,
        call: &Call,
        mut admitted: Box<ringwall_wall::Admitted>,
    ) -> Outcome {
        let labels = labels(&admitted.labels, &admitted.caller);
        let decided = Some(Decided(current.clone()));
        let Some(upstream) = self.upstream(&current.world, listener, &admitted.hop) else {
            let reply = ringwall_model::Reply::Http { status: 503, fields: Vec::new(), body: bytes::Bytes::new() };
            let admitted = *admitted;
            return Outcome::Refused(Box::new(Refused {
                reply,
                because: Some((Layer::Upstream, Reason::Builtin(UNKNOWN_DESTINATION))),
                details: "cluster_not_found".into(),
                flag: "NC",
                edits: admitted.response_edits,
                delay: admitted.delay,
                labels,
                trace: admitted.trace,
                decided,
                inspected: admitted.inspection.and_then(|mut inspection| inspection.finish(call.id)),
            }));
        };
        Outcome::Admitted(Box::write(
            Box::new_uninit(),
            Admitted {
                affinity: health::affinity(&upstream, call),
                upstream,
                mirrors: self.mirrors(&current.world, std::mem::take(&mut admitted.copies)),
                response_edits: std::mem::take(&mut admitted.response_edits),
                body_limit: admitted.body_limit,
                expires: expires(&admitted.caller),
                delay: admitted.delay.filter(|delay| *delay > Millis(0)),
                labels,
                trace: admitted.trace.clone(),
                decided,
                witness: super::response::witness(admitted),
            },
        ))
    }
}

/// The rule by which a listener that the World in force does not have refuses.
const WITHDRAWN: &str = "route/listener-withdrawn";

fn gone() -> Arrival {
    let because = Reason::Builtin(WITHDRAWN);
    Arrival::Refuse { layer: Layer::Route, because, delay: Millis(0), guard: None }
}

/// Whether a refusal ends what was admitted before. That keys cannot be had just now says nothing against a token that
/// was good; an answer that a rule gives in the call's stead is no refusal.
fn cuts(refused: &ringwall_wall::Refused) -> bool {
    refused.kind == ringwall_wall::outcome::Kind::Refusal && refused.because != Reason::Builtin("page/unanswered")
}

/// When the token of a caller expires (RFC 7519 section 4.1.4).
fn expires(caller: &ringwall_model::Caller) -> Option<Timestamp> {
    let seconds = caller.claims.as_ref()?.get("exp")?.as_f64()?;
    Some(Timestamp((seconds.max(0.0) * 1000.0) as u64))
}

fn withdrawn() -> Outcome {
    Outcome::Refused(Box::new(Refused {
        reply: ringwall_model::Reply::text(404, "this listener was withdrawn"),
        because: Some((Layer::Route, Reason::Builtin(WITHDRAWN))),
        details: "listener_withdrawn".into(),
        flag: "NR",
        edits: Vec::new(),
        delay: None,
        labels: Labels::default(),
        trace: ringwall_model::Trace::default(),
        decided: None,
        inspected: None,
    }))
}

pub(super) fn refuse(refused: ringwall_wall::Refused) -> Refused {
    let because = match refused.kind {
        ringwall_wall::outcome::Kind::Refusal => Some((refused.layer, refused.because)),
        ringwall_wall::outcome::Kind::Answer => None,
    };
    Refused {
        labels: labels(&refused.labels, &refused.caller),
        trace: refused.trace,
        decided: None,
        reply: refused.reply,
        because,
        details: refused.details,
        flag: if refused.flag.is_empty() { "-" } else { refused.flag },
        edits: refused.response_edits,
        delay: refused.delay.filter(|delay| *delay > Millis(0)),
        inspected: refused.inspected,
    }
}

fn labels(labels: &ringwall_wall::Labels, caller: &ringwall_model::Caller) -> Labels {
    let consumer = || caller.consumer.as_deref().unwrap_or_default().into();
    Labels {
        route: labels.gateway_route.clone().or_else(|| labels.route.clone()),
        gateway: labels.gateway_service.clone().map(|service| (service, consumer())),
        ..Labels::default()
    }
}

//! The page: one request through every layer, in the order that the listener's role gives.
//!
//! In: World, listener, call, the world outside. Out: [`Outcome`]. Follows DESIGN "The page"; the order is told in
//! `docs/request.md`. Read [`Page::walk`] from top to bottom; each step below it is one layer.
// waypoint: request/3 — every layer in order, each with its decision and its rule

use crate::apply::{apply, retarget};
use crate::firewall::Inspection;
use crate::outcome::{Admitted, Copied, Hop, Kind, Labels, Outcome, Refused};
use crate::outside::{Outside, Stage};
use crate::packet;
use ringwall_gateway::Gateway;
use ringwall_gateway::plugin::rate_limiting::OnFailure;
use ringwall_head::fields::accept_codings;
use ringwall_manifest::World;
use ringwall_manifest::ringwall::waf_policy::Subject;
use ringwall_manifest::world::firewall::Guard;
use ringwall_mesh::route::{At, MirrorChoice, RouteChoice, RouteReply, Selection};
use ringwall_model::{
    Call, Caller, Decision, Fault, FieldEdit, Judgement, Layer, Listener, Millis, Peer, PeerTls, Reason, Reply, Role,
    Step, Trace, WorkloadId,
};
use ringwall_shield::{Cause, Exceeded, judge as shield};
use ringwall_token::{Facts, Known};
use std::sync::Arc;

/// Takes one call through every layer of its listener's role.
pub async fn request(world: &World, listener: &Listener, call: &mut Call, outside: &impl Outside) -> Outcome {
    let mut page = Page {
        world,
        listener,
        trace: Trace::default(),
        caller: Caller::default(),
        response_edits: Vec::new(),
        labels: Labels::default(),
        body_limit: None,
        delay: None,
        target: None,
        copies: Vec::new(),
        inspection: None,
    };
    match page.walk(call, outside).await {
        Ok(hop) => {
            if page.inspection.as_ref().is_some_and(Inspection::looks_at_answers) {
                // An answer that the client alone can read would pass unread.
                accept_codings(&mut call.fields, ringwall_waf::coding::is_read);
            }
            // Written in its place: it is large, and made for each call.
            Outcome::Admitted(Box::write(Box::new_uninit(), page.admit(hop)))
        }
        Err(end) => Outcome::Refused(Box::new(page.end(*end, call))),
    }
}

/// What gathers while a call goes down the page.
struct Page<'a> {
    world: &'a World,
    listener: &'a Listener,
    trace: Trace,
    caller: Caller,
    /// In the order in which they are to be applied: what is nearest to the service first.
    response_edits: Vec<FieldEdit>,
    labels: Labels,
    body_limit: Option<u64>,
    delay: Option<Millis>,
    /// Where the gateway's service is, whatever `Host` goes there.
    target: Option<(Arc<str>, u16)>,
    copies: Vec<Copied>,
    /// The firewall's transaction.
    inspection: Option<Inspection>,
}

/// Where a call ended.
struct End {
    layer: Layer,
    because: Reason,
    kind: Kind,
    reply: Reply,
    flag: &'static str,
    details: Arc<str>,
}

/// The gateway that a call goes through, and the workload it runs as.
#[derive(Clone, Copy)]
struct Through<'a> {
    gateway: &'a Gateway,
    workload: WorkloadId,
    selected: ringwall_gateway::Selected,
}

impl<'a> Page<'a> {
    async fn walk(&mut self, call: &mut Call, outside: &impl Outside) -> Result<Hop, Box<End>> {
        let own = self.listener.workload;
        let role = self.listener.role;
        // ORDER: framing first: what cannot be read in one way only must not be judged in one way only.
        if let Some(fault) = call.faults.first() {
            // Boxed, here and below: what seldom happens would make every call's future larger.
            return Err(match self.answers_connect(call, outside) {
                Some(answer) => Box::pin(self.connect(answer, call, outside)).await,
                None => Box::pin(self.damaged(fault, call, outside)).await,
            });
        }
        if role != Role::Outbound {
            self.network(packet::arriving(self.world, own, self.listener.address.port(), &call.peer))?;
        }
        let presented = shield::presented(&self.world.shield, own, call);
        if role == Role::Edge {
            // ORDER: cheapest first: a flood must not reach a signature or a regular expression.
            self.shield_call(call, presented, outside)?;
        }
        // ORDER: routes are selected, without effect, before anything expensive: a call that nobody serves ends here.
        let ingress = match self.ingress(call, outside) {
            Ok(ingress) => ingress,
            Err(answer) => return Err(Box::pin(self.instead(*answer, call, outside)).await),
        };
        let through = match ingress.as_ref().filter(|route| !route.edits.is_empty()) {
            Some(route) => self.gateway(&edited(call, route), ingress.as_ref())?,
            None => self.gateway(call, ingress.as_ref())?,
        };
        let selected = ingress.as_ref().map(|route| (route.because, &*route.name));
        self.firewall(call, selected, through.as_ref(), outside).await?;
        self.mesh(own, self.listener.address.port(), call, outside).await?;
        if let Some(route) = &ingress {
            // ORDER: what the route rewrites was judged as it came: Envoy's router stands behind its authorization.
            apply(call, &route.edits);
        }
        if let (Some(route), Some(through)) = (&ingress, through) {
            // ORDER: the ingress copies what it sends; what the gateway makes of that is not the mirror's to see.
            self.copy(own, &route.mirrors, Some(call));
            // The hop from the ingress to the gateway is inside this page: the gateway's own policies see the ingress.
            self.as_ingress(own, through.workload, route, call, outside).await?;
        }
        let verified = match through {
            Some(through) => self.plugins(through, call, outside).await,
            None => Ok(()),
        };
        if role == Role::Edge {
            // ORDER: also after a refused credential: the flood of false tokens is counted where it belongs.
            let counted = self.shield_caller(presented, &verified, outside);
            if verified.is_ok() {
                counted?;
            }
        }
        verified?;
        let hop = self.onward(own, ingress, through, call, outside)?;
        retarget(call);
        Ok(hop)
    }

    /// The strict reading of the head: any fault refuses, whatever else the call says. The firewall looks at the head all
    /// the same, so that the refusal names its rule too; not at one that the shield refuses: a flood costs no more.
    async fn damaged(&mut self, fault: &Fault, call: &Call, outside: &impl Outside) -> Box<End> {
        let presented = shield::presented(&self.world.shield, self.listener.workload, call);
        let counted = self.listener.role != Role::Edge || self.shield_call(call, presented, outside).is_ok();
        // A bare CR leaves open where a line ends: there is no head that the firewall could be shown.
        let readable = call.faults.iter().all(|fault| fault.name != ringwall_head::fault::BARE_CR.name);
        let guard = self.guard(call, None, None).filter(|_| counted && readable);
        self.inspection = guard.and_then(|guard| Inspection::begin(guard, call, outside));
        if let Some(inspection) = &mut self.inspection
            && let Some(decision) = inspection.damaged(outside).await
        {
            self.trace.note(Layer::Waf, &decision);
        }
        self.builtin(Layer::Head, fault.name, Reply::text(fault.status, fault.says))
    }

    /// The answer of the edge's own to a `CONNECT` that has no other fault, where a route names the method. Without one
    /// the method is a fault: an edge makes no tunnels.
    fn answers_connect(&self, call: &Call, outside: &impl Outside) -> Option<RouteReply> {
        let Listener { role: Role::Edge, workload, address, .. } = *self.listener else { return None };
        let server_name = call.peer.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
        let at = At::Gateway { workload, port: address.port(), server_name };
        // `Host` may name something else: nothing is forwarded that could be taken for its.
        let known = [ringwall_head::fault::CONNECT.name, ringwall_head::fault::HOST_MISMATCH.name];
        let only = call.faults.iter().all(|fault| known.contains(&fault.name))
            && call.faults.iter().any(|fault| fault.name == ringwall_head::fault::CONNECT.name);
        only.then(|| ringwall_mesh::route::connect(&self.world.routes, at, call, low_bits(outside.random())))?
    }

    /// A `CONNECT` that is answered here is judged by every layer that another call would meet at this door.
    async fn connect(&mut self, answer: RouteReply, call: &mut Call, outside: &impl Outside) -> Box<End> {
        match self.before_connect(call, outside).await {
            Ok(()) => self.answered(answer),
            Err(refused) => refused,
        }
    }

    async fn before_connect(&mut self, call: &mut Call, outside: &impl Outside) -> Result<(), Box<End>> {
        let own = self.listener.workload;
        let port = self.listener.address.port();
        self.network(packet::arriving(self.world, own, port, &call.peer))?;
        let presented = shield::presented(&self.world.shield, own, call);
        self.shield_call(call, presented, outside)?;
        self.firewall(call, None, None, outside).await?;
        self.mesh(own, port, call, outside).await?;
        self.shield_caller(presented, &Ok(()), outside)
    }

    /// Blocks, reputation, geography, limits of the address and of all.
    fn shield_call(
        &mut self,
        call: &Call,
        presented: shield::Presented,
        outside: &impl Outside,
    ) -> Result<(), Box<End>> {
        let state = shield::State { facts: outside.shield_facts(), blocks: outside.blocks(), now: outside.now() };
        let judgement = shield::call(&self.world.shield, self.listener.workload, call, presented, state);
        self.shielded(judgement, outside)
    }

    /// Blocks and limits of the user and the tenant, as a layer before has verified them.
    fn shield_caller(
        &mut self,
        presented: shield::Presented,
        verified: &Result<(), Box<End>>,
        outside: &impl Outside,
    ) -> Result<(), Box<End>> {
        let state = shield::State { facts: outside.shield_facts(), blocks: outside.blocks(), now: outside.now() };
        let judgement = shield::caller(&self.world.shield, self.listener.workload, &self.caller, presented, state);
        if verified.is_err() {
            // The refusal stands; what it costs is counted all the same.
            let _counted = outside.take(&judgement.takes);
            return Ok(());
        }
        self.shielded(judgement, outside)
    }

    fn shielded(&mut self, judgement: Judgement, outside: &impl Outside) -> Result<(), Box<End>> {
        self.delay = self.delay.max(judgement.delay);
        let mut takes = judgement.takes;
        let mut decision = judgement.decision;
        while !takes.is_empty() {
            let Err(exceeded) = outside.take(&takes) else { break };
            let limited = ringwall_shield::judge::limited(&self.world.shield, &takes, &exceeded);
            match limited.decision {
                // The store could not count this one and its limit says to pass: the others still count.
                Decision::Pass { .. } if exceeded.index < takes.len() => drop(takes.remove(exceeded.index)),
                refused => {
                    decision = refused;
                    break;
                }
            }
        }
        self.settle(Layer::Shield, decision, "request_rate_limited")
    }

    /// Which route of the ingress or egress the call takes; its edits are not applied yet.
    fn ingress(&mut self, call: &Call, outside: &impl Outside) -> Result<Option<RouteChoice>, Box<RouteReply>> {
        let Listener { role: Role::Edge | Role::Egress, workload, address, .. } = *self.listener else {
            return Ok(None);
        };
        let server_name = call.peer.tls.as_ref().and_then(|tls| tls.server_name.clone());
        let at = At::Gateway { workload, port: address.port(), server_name: server_name.as_deref() };
        self.routed(at, call, outside).map(Some)
    }

    fn routed(&mut self, at: At<'_>, call: &Call, outside: &impl Outside) -> Result<RouteChoice, Box<RouteReply>> {
        match ringwall_mesh::route::select(&self.world.routes, at, call, low_bits(outside.random())) {
            Selection::Route(choice) => {
                self.trace.note(Layer::Route, &Decision::Pass { because: choice.because });
                // What is nearest to the service changes the response first.
                self.response_edits.splice(0..0, choice.response_edits.iter().cloned());
                self.labels.route = Some(choice.name.clone());
                self.delay = self.delay.max(choice.delay);
                Ok(choice)
            }
            Selection::Reply(answer) => Err(Box::new(answer)),
        }
    }

    /// A route answers in its destination's stead, or there is no route.
    /// ORDER: who may not call gets neither: redirects, direct responses and faults stand behind authorization, as in Envoy;
    /// and behind the firewall, since an answer is worth an attack too. Where nothing is routed there is nothing to attack:
    /// a flood to names that nobody serves costs no regular expression.
    async fn instead(&mut self, answer: RouteReply, call: &mut Call, outside: &impl Outside) -> Box<End> {
        match self.before_answer(&answer, call, outside).await {
            Ok(()) => self.answered(answer),
            Err(refused) => refused,
        }
    }

    async fn before_answer(
        &mut self,
        answer: &RouteReply,
        call: &mut Call,
        outside: &impl Outside,
    ) -> Result<(), Box<End>> {
        if matches!(answer.because, Reason::Rule(_)) {
            self.firewall(call, Some((answer.because, &answer.name)), None, outside).await?;
        }
        self.mesh(self.listener.workload, self.listener.address.port(), call, outside).await
    }

    fn answered(&mut self, answer: RouteReply) -> Box<End> {
        self.labels.route = Some(answer.name);
        self.delay = self.delay.max(answer.delay);
        self.response_edits.splice(0..0, answer.response_edits);
        self.noted(End {
            layer: Layer::Route,
            because: answer.because,
            kind: if matches!(answer.because, Reason::Rule(_)) { Kind::Answer } else { Kind::Refusal },
            reply: answer.reply,
            flag: answer.flag,
            details: answer.details.into(),
        })
    }

    /// Which gateway and which of its routes the call goes through: at a gateway's own listener, or where the ingress
    /// sends it to a gateway.
    fn gateway(&mut self, call: &Call, ingress: Option<&RouteChoice>) -> Result<Option<Through<'a>>, Box<End>> {
        let workload = match (self.listener.role, ingress) {
            (Role::Gateway, _) => Some(self.listener.workload),
            (Role::Edge, Some(route)) => self.world.gateway_workload(&route.host, route.port),
            _ => None,
        };
        let Some(workload) = workload else { return Ok(None) };
        let Some(gateway) = self.world.gateway(workload) else { return Ok(None) };
        match ringwall_gateway::route::select(gateway, call) {
            ringwall_gateway::Selection::Route(selected) => Ok(Some(Through { gateway, workload, selected })),
            ringwall_gateway::Selection::Refuse { because, reply } => {
                let decision = Decision::Refuse { because, reply };
                self.settle(Layer::Gateway, decision, "route_not_found").map(|()| None)
            }
        }
    }

    /// The web application firewall, at the doors that face people's clients.
    async fn firewall(
        &mut self,
        call: &Call,
        ingress: Option<(Reason, &str)>,
        through: Option<&Through<'_>>,
        outside: &impl Outside,
    ) -> Result<(), Box<End>> {
        if outside.stage() == Stage::Standing {
            return Ok(());
        }
        let Some(guard) = self.guard(call, ingress, through) else { return Ok(()) };
        self.inspection = Inspection::begin(guard, call, outside);
        let decision = match &mut self.inspection {
            Some(inspection) => inspection.request(call, outside).await,
            None => Decision::Pass { because: guard.passes() },
        };
        self.settle(Layer::Waf, decision, "waf")
    }

    /// What the firewall does for a call, by the route that was selected: its rule and its name, and the gateway's.
    fn guard(
        &self,
        call: &Call,
        ingress: Option<(Reason, &str)>,
        through: Option<&Through<'_>>,
    ) -> Option<&'a Arc<Guard>> {
        let firewall = self.world.firewall.as_ref()?;
        if !matches!(self.listener.role, Role::Edge | Role::Gateway) {
            return None;
        }
        let kong = through.map(|through| {
            let service = through.selected.service.and_then(|index| through.gateway.service(index));
            (through.gateway.route(through.selected.route).map(|it| &*it.name), service.map(|it| &*it.name))
        });
        let rule = ingress.and_then(|(because, name)| match because {
            Reason::Rule(id) => Some((self.world.rules.name(id)?, name)),
            _ => None,
        });
        Some(firewall.guard(&Subject {
            workloads: [Some(self.listener.workload), through.map(|through| through.workload)],
            authority: &call.authority,
            kong_route: kong.and_then(|(route, _)| route),
            kong_service: kong.and_then(|(_, service)| service),
            virtual_service: rule,
        }))
    }

    /// Peer authentication, request authentication, authorization of one workload.
    async fn mesh(
        &mut self,
        workload: WorkloadId,
        port: u16,
        call: &mut Call,
        outside: &impl Outside,
    ) -> Result<(), Box<End>> {
        if self.listener.role == Role::Outbound {
            return Ok(());
        }
        let mesh = &self.world.mesh;
        let ours = workload == self.listener.workload;
        let judged = ask(outside, |known| match self.listener.role {
            // TLS at these doors is what their Gateway resource says, not what PeerAuthentication does.
            Role::Edge | Role::Egress if ours => ringwall_mesh::judge::gateway(mesh, workload, port, call, known),
            _ => ringwall_mesh::judge::inbound(mesh, workload, port, call, known),
        });
        let verdict = judged.await.ok_or_else(|| self.unanswered(Layer::Mesh))?;
        if verdict.caller.is_authenticated() {
            self.caller = verdict.caller;
        }
        self.settle(Layer::Mesh, verdict.judgement.decision, &verdict.details)?;
        apply(call, &verdict.judgement.edits);
        Ok(())
    }

    /// The gateway's own mesh policies, for a call that the ingress sends it: the peer is the ingress's identity.
    async fn as_ingress(
        &mut self,
        ingress: WorkloadId,
        gateway: WorkloadId,
        route: &RouteChoice,
        call: &mut Call,
        outside: &impl Outside,
    ) -> Result<(), Box<End>> {
        let Some(workload) = self.world.inventory.workload(ingress) else { return Err(self.unanswered(Layer::Mesh)) };
        let port = self.world.target_port(&route.host, route.port);
        self.network(packet::between(self.world, ingress, gateway, port))?;
        let tls = PeerTls { identity: Some(workload.identity.clone()), server_name: None, version: "TLSv1.3" };
        let peer = Peer { address: call.peer.address, tls: Some(tls) };
        let client = std::mem::replace(&mut call.peer, peer);
        let verdict = self.mesh(gateway, port, call, outside).await;
        call.peer = client;
        verdict
    }

    /// The plugins of the gateway's route: who is calling, how often, and what changes.
    async fn plugins(&mut self, through: Through<'_>, call: &mut Call, outside: &impl Outside) -> Result<(), Box<End>> {
        let Through { gateway, selected, .. } = through;
        let random = outside.random();
        let judged = ask(outside, |known| ringwall_gateway::judge::request(gateway, &selected, call, known, random));
        let mut verdict = judged.await.ok_or_else(|| self.unanswered(Layer::Gateway))?;
        self.labels.gateway_route = Some(verdict.route.clone());
        self.labels.gateway_service.clone_from(&verdict.service);
        let taken = loop {
            match outside.take(&verdict.judgement.takes) {
                // A store that cannot count is no limit that is used up: `fault_tolerant` says what follows.
                Err(Exceeded { cause: Cause::StoreFull, index, .. })
                    if ringwall_gateway::judge::tolerate(gateway, &mut verdict, index) == OnFailure::Pass => {}
                taken => break taken,
            }
        };
        let limited = match taken {
            Ok(spent) => {
                self.response_edits.extend(ringwall_gateway::judge::limit_fields(gateway, &verdict, &spent));
                None
            }
            Err(exceeded) => {
                let take = verdict.judgement.takes.get(exceeded.index);
                let because = take.map_or(Reason::Builtin("gateway/limit"), |take| take.because);
                let reply = ringwall_gateway::judge::limited(gateway, &verdict, exceeded.index, &exceeded.spent, call);
                Some(Decision::Refuse { because, reply })
            }
        };
        self.response_edits.extend(verdict.response_edits);
        self.body_limit = verdict.body_limit;
        if verdict.caller.is_authenticated() {
            self.caller = verdict.caller;
        }
        // ORDER: a call that a plugin refused was counted all the same, and keeps that plugin's answer.
        let decision = match (verdict.judgement.decision, limited) {
            (Decision::Pass { .. }, Some(limited)) => limited,
            (decision, _) => decision,
        };
        self.settle(Layer::Gateway, decision, "gateway_plugin")?;
        apply(call, &verdict.judgement.edits);
        self.target = verdict.upstream.map(|target| (target.host, target.port));
        Ok(())
    }

    /// Where the call goes from here.
    fn onward(
        &mut self,
        own: WorkloadId,
        ingress: Option<RouteChoice>,
        through: Option<Through<'_>>,
        call: &mut Call,
        outside: &impl Outside,
    ) -> Result<Hop, Box<End>> {
        match (self.listener.role, through, ingress) {
            (Role::Inbound, ..) => Ok(Hop::Application { workload: own, port: self.listener.address.port() }),
            // What a gateway sends goes out through its own sidecar: its routes and its identity.
            (_, Some(through), _) => self.sidecar(through.workload, call, outside),
            (Role::Outbound, ..) => self.sidecar(own, call, outside),
            (_, None, Some(route)) => {
                self.leaving(own, &route)?;
                Ok(Hop::Upstream { source: own, route: Box::new(route) })
            }
            (_, None, None) => Err(self.lost()),
        }
    }

    fn sidecar(&mut self, source: WorkloadId, call: &mut Call, outside: &impl Outside) -> Result<Hop, Box<End>> {
        let target = self.target.take().or_else(|| self.listener.target.clone());
        let target = target.as_ref().map(|(host, port)| (&**host, *port));
        let routed = self.routed(At::Sidecar { workload: source, target }, call, outside);
        let route = routed.map_err(|answer| self.answered(*answer))?;
        apply(call, &route.edits);
        self.leaving(source, &route)?;
        Ok(Hop::Upstream { source, route: Box::new(route) })
    }

    fn leaving(&mut self, source: WorkloadId, route: &RouteChoice) -> Result<(), Box<End>> {
        let to = (&*route.host, route.port);
        self.network(packet::leaving(self.world, source, to, route.subset.as_ref(), &packet::NO_NAMES))?;
        self.copy(source, &route.mirrors, None);
        Ok(())
    }

    /// Copies for the mirrors of a route: of the call as it goes on, or as it is now. None goes where the call itself
    /// could not go.
    fn copy(&mut self, source: WorkloadId, mirrors: &[MirrorChoice], call: Option<&Call>) {
        for to in mirrors {
            let said = packet::leaving(self.world, source, (&to.host, to.port), to.subset.as_ref(), &packet::NO_NAMES);
            let refused = said.map(|said| said.decision).filter(|decision| matches!(decision, Decision::Refuse { .. }));
            let call = call.map(|call| {
                let mut call = Box::new(call.clone());
                retarget(&mut call);
                call
            });
            self.copies.push(Copied { source, to: to.clone(), call, refused: refused.map(|it| it.because()) });
        }
    }

    /// What NetworkPolicies say, where there are any.
    fn network(&mut self, said: Option<packet::Said>) -> Result<(), Box<End>> {
        match said {
            None => Ok(()),
            Some(packet::Said { decision: Decision::Pass { because }, would_refuse: Some(audited) }) => {
                self.trace.note_audited(Layer::Packet, because, audited);
                Ok(())
            }
            Some(said) => self.settle(Layer::Packet, said.decision, "network_policy"),
        }
    }

    /// Notes a decision; a refusal ends the walk.
    fn settle(&mut self, layer: Layer, decision: Decision, details: &str) -> Result<(), Box<End>> {
        self.trace.note(layer, &decision);
        match decision {
            Decision::Pass { .. } => Ok(()),
            Decision::Refuse { because, reply } => {
                Err(Box::new(End { layer, because, kind: Kind::Refusal, reply, flag: "", details: details.into() }))
            }
        }
    }

    /// A question that a layer cannot do without had no answer: refused.
    fn unanswered(&mut self, layer: Layer) -> Box<End> {
        self.builtin(layer, "page/unanswered", Reply::text(503, "a key source did not answer"))
    }

    /// No layer says where the call goes: refused.
    fn lost(&mut self) -> Box<End> {
        self.builtin(Layer::Route, "page/no-way-on", Reply::text(404, "no route"))
    }

    fn builtin(&mut self, layer: Layer, name: &'static str, reply: Reply) -> Box<End> {
        let because = Reason::Builtin(name);
        self.noted(End { layer, because, kind: Kind::Refusal, reply, flag: "", details: name.into() })
    }

    /// Notes how a call ended: an answer by a rule is a pass that goes no further.
    fn noted(&mut self, end: End) -> Box<End> {
        let because = end.because;
        let decision = match end.kind {
            Kind::Refusal => Decision::Refuse { because, reply: end.reply.clone() },
            Kind::Answer => Decision::Pass { because },
        };
        self.trace.note(end.layer, &decision);
        Box::new(end)
    }

    fn admit(self, hop: Hop) -> Admitted {
        Admitted {
            hop,
            copies: self.copies,
            response_edits: self.response_edits,
            body_limit: self.body_limit,
            delay: self.delay,
            caller: self.caller,
            labels: self.labels,
            trace: self.trace,
            inspection: self.inspection,
            _witness: (),
        }
    }

    fn end(self, end: End, call: &Call) -> Refused {
        Refused {
            inspected: self.inspection.and_then(|mut inspection| inspection.finish(call.id)),
            layer: end.layer,
            because: end.because,
            kind: end.kind,
            reply: end.reply,
            flag: end.flag,
            details: end.details,
            response_edits: self.response_edits,
            delay: self.delay,
            caller: self.caller,
            labels: self.labels,
            trace: self.trace,
        }
    }
}

/// The call as its route sends it on: what the next router selects by.
fn edited(call: &Call, route: &RouteChoice) -> Call {
    let mut onward = call.clone();
    apply(&mut onward, &route.edits);
    onward
}

/// Lets an engine judge, and answers its questions until it is done. `None` when it asks more than it may.
async fn ask<T>(outside: &impl Outside, judge: impl Fn(&Known<'_>) -> Step<T>) -> Option<T> {
    let mut asked = Vec::new();
    let mut facts: Arc<Facts> = outside.facts();
    loop {
        let known = Known { facts: &facts, asked: &asked, now: outside.now() };
        match judge(&known) {
            Step::Done(done) => return Some(done),
            Step::Ask(question) if asked.len() < ringwall_token::facts::MAX_QUESTIONS && !asked.contains(&question) => {
                facts = outside.answer(&question).await;
                asked.push(question);
            }
            Step::Ask(_) | Step::Need(_) => return None,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half of random bits is what dice need")]
const fn low_bits(random: u128) -> u64 {
    random as u64
}

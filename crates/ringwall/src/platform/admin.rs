//! The admin listener: metrics and health of the running platform, for Prometheus and for probes.
//!
//! In: `GET` on loopback. Out: `/metrics` and `/stats/prometheus` (text format 0.0.4), `/ready`, `/healthz`. Never: a
//! change, a secret, an address other than loopback.

use super::Platform;
use super::force::Current;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use ringwall_control::facts::now;
use ringwall_model::{Role, Timestamp};
use ringwall_pki::profile::Validity;
use ringwall_pki::{renewal, verify};
use ringwall_telemetry::{Certificate, Level, Readiness};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Istio's port for `/stats/prometheus` at a sidecar.
const PORT: u16 = 15090;
/// Connections that are served at a time; more wait.
const CONNECTIONS: usize = 64;
/// Bytes that a head may have.
const HEAD: usize = 16 * 1024;
/// For a head to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// The listener; dropping it ends it.
pub struct Admin {
    /// Where it listens.
    pub at: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Admin {
    /// Binds it at the ingress's loopback address, port 15090 if that is free, and serves it on a thread of its own.
    ///
    /// # Errors
    /// What the system said.
    pub fn start(platform: &Arc<Platform>) -> std::io::Result<Self> {
        let socket = bind(home(platform))?;
        socket.set_nonblocking(true)?;
        let at = socket.local_addr()?;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let platform = Arc::downgrade(platform);
        let thread = std::thread::Builder::new().name("admin".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(socket, platform) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { at, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).unwrap_or(());
        }
        // An answer may hold the last reference to the platform: a thread does not wait for itself.
        if let Some(thread) = self.thread.take().filter(|it| it.thread().id() != std::thread::current().id()) {
            thread.join().unwrap_or(());
        }
    }
}

/// The loopback address of the ingress.
fn home(platform: &Platform) -> Ipv4Addr {
    let current = platform.world();
    let edge = current.bound.values().find(|listener| listener.role == Role::Edge);
    match edge.map(|listener| listener.bind.ip()) {
        Some(IpAddr::V4(address)) if address.is_loopback() => address,
        _ => Ipv4Addr::LOCALHOST,
    }
}

fn bind(home: Ipv4Addr) -> std::io::Result<TcpListener> {
    TcpListener::bind((home, PORT)).or_else(|_| TcpListener::bind((home, 0)))
}

async fn serve(socket: TcpListener, platform: Weak<Platform>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(socket) else { return };
    let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: others must be closed first.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let platform = platform.clone();
        tokio::spawn(async move {
            let answer = |request: Request<Incoming>| {
                let response = answer(&platform, &request);
                async move { Ok::<_, Infallible>(response) }
            };
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(HEAD);
            // A client that breaks off is no matter of ours.
            drop(http.serve_connection(TokioIo::new(stream), hyper::service::service_fn(answer)).await);
            drop(place);
        });
    }
}

fn answer(platform: &Weak<Platform>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into());
        refused.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET"));
        return refused;
    }
    let Some(platform) = platform.upgrade() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the wall is ending\n".into());
    };
    let trouble = platform.isolation().and_then(|isolation| isolation.trouble());
    match request.uri().path() {
        "/metrics" | "/stats/prometheus" => text(StatusCode::OK, platform.metrics()),
        "/healthz" => text(StatusCode::OK, "ok\n".into()),
        "/ready" => match platform.world().world.generation {
            _ if trouble.is_some() => {
                text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", trouble.unwrap_or_default()))
            }
            0 => text(StatusCode::SERVICE_UNAVAILABLE, "no World is in force\n".into()),
            generation => text(StatusCode::OK, format!("World {generation} is in force\n")),
        },
        _ => text(StatusCode::NOT_FOUND, "/metrics /stats/prometheus /ready /healthz\n".into()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// One certificate, as it is told to telemetry.
struct Told {
    name: String,
    namespace: String,
    issuer: (String, String),
    /// `None` while there is no certificate.
    dates: Option<(Validity, Timestamp)>,
}

impl Platform {
    /// The text of `/metrics`, with all gauges as they are now.
    pub fn metrics(&self) -> String {
        let current = self.world();
        self.telemetry.level(Level::Generation, current.world.generation);
        let blocked = self.force.blocks.list(now()).len();
        self.telemetry.level(Level::BlocklistEntries, u64::try_from(blocked).unwrap_or(u64::MAX));
        let open = self.with_engine(|engine| engine.shared().registry.len()).unwrap_or(0);
        self.telemetry.level(Level::OpenConnections, u64::try_from(open).unwrap_or(u64::MAX));
        let told = self.certificates_of_the_edge(&current).into_iter().chain(self.certificates_of_the_mesh());
        let told: Vec<Told> = told.collect();
        let now = now();
        let zero = Timestamp(0);
        let certificates: Vec<_> = told
            .iter()
            .map(|one| Certificate {
                name: &one.name,
                namespace: &one.namespace,
                issuer_name: &one.issuer.0,
                issuer_kind: &one.issuer.1,
                expires: one.dates.map_or(zero, |(validity, _)| validity.until),
                renews: one.dates.map_or(zero, |(_, renews)| renews),
                readiness: match one.dates {
                    Some((validity, _)) if validity.from <= now && now < validity.until => Readiness::Ready,
                    _ => Readiness::NotReady,
                },
            })
            .collect();
        self.telemetry.certificates(&certificates);
        self.telemetry.metrics()
    }

    fn certificates_of_the_edge(&self, current: &Current) -> Vec<Told> {
        let live = self.live();
        let tell = |one: &ringwall_pki::certificate::Certificate| {
            let secret = format!("{}/{}", one.namespace, one.secret);
            let made = live.edge.iter().find(|made| made.secret == secret);
            Told {
                name: one.name.to_string(),
                namespace: one.namespace.to_string(),
                issuer: (one.issuer.name.to_string(), one.issuer.kind.to_string()),
                dates: made.map(|it| (it.validity, renewal::of_certificate(it.validity, one.renew_before))),
            }
        };
        current.world.certificates.certificates.iter().map(tell).collect()
    }

    /// The mesh's root, and one SVID an identity, under the names that people look for.
    fn certificates_of_the_mesh(&self) -> Vec<Told> {
        let credentials = self.with_engine(|engine| engine.shared().credentials.load_full());
        let due = self.live().due;
        let issuer = || ("ringwall-mesh".to_owned(), "Authority".to_owned());
        let root = verify::validity(self.authorities.mesh.root());
        let mut all = vec![Told {
            name: "mesh-root".into(),
            namespace: "istio-system".into(),
            issuer: issuer(),
            // A root is not renewed by the clock: a new one is a decision of people.
            dates: root.map(|validity| (validity, validity.until)),
        }];
        for (identity, svid) in credentials.iter().flat_map(|it| &it.identities) {
            let (namespace, account) = identity.service_account().unwrap_or_default();
            let validity = svid.key.cert.first().and_then(verify::validity);
            all.push(Told {
                name: format!("svid-{account}"),
                namespace: namespace.to_owned(),
                issuer: issuer(),
                dates: validity.map(|validity| (validity, due.min(validity.until))),
            });
        }
        all
    }
}

//! What it costs to read one benign head of twelve fields: prints nanoseconds a head.
#![expect(clippy::disallowed_methods, reason = "an example measures time")]

use bytes::Bytes;
use ringwall_head::{Context, Limits, Settings, call, read};
use ringwall_model::{CallId, ClientOrigin, Peer, Scheme, Timestamp};
use std::hint::black_box;
use std::time::Instant;

const HEAD: &[u8] = b"GET /api/v1/agents/42?limit=20&sort=name HTTP/1.1\r\n\
Host: api.platform.local\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
Accept: application/json, text/plain, */*\r\n\
Accept-Language: en-US,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br\r\n\
Authorization: Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJlLXNpZ25hdHVyZS1zaWduYXR1cmU\r\n\
Cookie: session=0123456789abcdef; theme=dark\r\n\
X-Request-Id: 7f6d1c3e-3a5e-4c5e-9d53-0a1b2c3d4e5f\r\n\
X-Tenant-Id: t1\r\n\
Referer: https://app.platform.local/agents\r\n\
Cache-Control: no-cache\r\n\
Connection: keep-alive\r\n\r\n";

const ROUNDS: u32 = 200_000;

fn main() {
    let settings = Settings::default();
    let head = Bytes::from_static(HEAD).to_vec();
    let head = Bytes::from(head);
    let round = || {
        let whole = read::head(black_box(&head), &Limits::default());
        assert!(matches!(whole, read::Progress::Complete { .. }));
        let context = Context {
            id: CallId(1),
            received: Timestamp(0),
            scheme: Scheme::Https,
            peer: Peer { address: ([192, 0, 2, 1], 5555).into(), tls: None },
            origin: ClientOrigin::Peer,
            local: ([10, 0, 0, 1], 443).into(),
            settings: &settings,
        };
        black_box(call(black_box(head.clone()), context))
    };
    assert!(round().faults.is_empty());
    let begun = Instant::now();
    (0..ROUNDS).for_each(|_| drop(round()));
    println!("{} ns a head of {} bytes", begun.elapsed().as_nanos() / u128::from(ROUNDS), HEAD.len());
}

//! What a connection costs while nobody says anything on it.

use super::rig::{Rig, TestPage};
use super::upstream::Server;

/// Resident memory of this process, in KiB, or `None` where the system does not tell.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

#[tokio::test]
async fn an_idle_connection_holds_no_buffers() {
    const MANY: usize = 400;
    let server = Server::echo().await;
    let rig = Rig::start(TestPage::to(server.upstream()));
    let open = |count: usize| {
        let rig = &rig;
        async move {
            let mut clients = Vec::new();
            for _ in 0..count {
                let mut client = rig.connect().await;
                assert_eq!(client.ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n").await.status, 200);
                clients.push(client.io);
            }
            clients
        }
    };
    // What is allocated once is allocated now.
    let warm = open(20).await;
    let Some(before) = resident() else { return };
    let idle = open(MANY).await;
    let each = resident().unwrap().saturating_sub(before) / MANY;
    println!("{each} KiB an idle connection, both ends and the test's own streams counted");
    assert!(each <= 32, "{each} KiB");
    drop((warm, idle));
}

//! Connections on real unix sockets: framing of takeovers, early bytes, half-closed clients, early headers, stopping.

use std::os::fd::OwnedFd;
use std::time::Duration;

use futures_util::StreamExt;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::super::super::reply;
use super::super::super::version::Version;
use super::super::hijack::{self, Session};
use super::*;

/// A door with few rooms.
struct Rooms {
    gone: CancellationToken,
}

/// Sends back what the client sends, after `early:` and what came early; ends with the client.
fn echo() -> Session {
    Box::new(|fd: OwnedFd, early: Vec<u8>| {
        Box::pin(async move {
            let stream = std::os::unix::net::UnixStream::from(fd);
            stream.set_nonblocking(true).unwrap();
            let mut stream = UnixStream::from_std(stream).unwrap();
            stream.write_all(b"early:").await.unwrap();
            stream.write_all(&early).await.unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            stream.write_all(&rest).await.unwrap();
        })
    })
}

impl Answers for Rooms {
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        hijacker: Hijacker,
    ) -> Pin<Box<dyn Future<Output = Reply> + Send>> {
        Box::pin(async move {
            match request.uri().path() {
                "/echo" => {
                    let head = hijack::head(request.headers(), Version::NEWEST, false);
                    hijacker.take(head, echo()).await.unwrap()
                }
                "/slow" => {
                    let guard = self.gone.clone().drop_guard();
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    guard.disarm();
                    reply::status(StatusCode::OK)
                }
                "/never" => {
                    let nothing = futures_util::stream::pending::<()>();
                    reply::json_lines("application/json", nothing.map(|()| 1))
                }
                _ => reply::text(StatusCode::OK, "hello"),
            }
        })
    }
}

struct Server {
    client: UnixStream,
    stop: CancellationToken,
    cut: CancellationToken,
    gone: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn server() -> Server {
    let (client, server) = UnixStream::pair().unwrap();
    let (stop, cut, gone) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let socket = Socket::Unix(Arc::new(server));
    let rooms = Arc::new(Rooms { gone: gone.clone() });
    let task = tokio::spawn(serve(rooms, socket, stop.clone(), cut.clone()));
    Server { client, stop, cut, gone, task }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(3), future).await.expect("took too long")
}

async fn read_until(client: &mut UnixStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let byte = within(client.read_u8()).await;
        text.push(
            byte.unwrap_or_else(|e| panic!("{e} after {:?}", String::from_utf8_lossy(&text))),
        );
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn an_upgrade_is_answered_word_for_word_and_early_bytes_arrive() {
    let mut s = server();
    s.client
        .write_all(b"POST /echo HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\nsooner")
        .await
        .unwrap();
    let head = read_until(&mut s.client, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"), "{head}");
    read_until(&mut s.client, "early:").await;
    s.client.write_all(b" later").await.unwrap();
    s.client.shutdown().await.unwrap();
    let mut rest = String::new();
    within(s.client.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "sooner later");
    within(s.task).await.unwrap();
}

#[tokio::test]
async fn without_an_upgrade_it_is_a_200_and_raw_all_the_same() {
    let mut s = server();
    s.client.write_all(b"POST /echo HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    // The command line closes its half at once when it has no input.
    s.client.shutdown().await.unwrap();
    let mut all = String::new();
    within(s.client.read_to_string(&mut all)).await.unwrap();
    assert!(
        all.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n"),
        "{all}"
    );
    assert!(all.ends_with("\r\n\r\nearly:"), "{all}");
}

#[tokio::test]
async fn a_takeover_follows_ordinary_requests_on_the_same_connection() {
    let mut s = server();
    s.client.write_all(b"GET /x HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    read_until(&mut s.client, "hello").await;
    s.client.write_all(b"POST /echo HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\n\r\n").await.unwrap();
    read_until(&mut s.client, "early:").await;
}

#[tokio::test]
async fn headers_of_a_stream_go_out_before_its_first_line() {
    let mut s = server();
    s.client.write_all(b"GET /never HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    let head = read_until(&mut s.client, "\r\n\r\n").await;
    assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
}

#[tokio::test]
async fn a_client_that_goes_ends_its_request() {
    let mut s = server();
    s.client.write_all(b"GET /slow HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(s.client);
    within(s.gone.cancelled()).await;
    within(s.task).await.unwrap();
}

#[tokio::test]
async fn a_half_closed_client_still_gets_its_answer() {
    let mut s = server();
    s.client.write_all(b"GET /x HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    s.client.shutdown().await.unwrap();
    let mut all = String::new();
    within(s.client.read_to_string(&mut all)).await.unwrap();
    assert!(all.ends_with("hello"), "{all}");
    within(s.task).await.unwrap();
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_cutting_ends_streams() {
    let mut s = server();
    s.client.write_all(b"GET /x HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    read_until(&mut s.client, "hello").await;
    s.stop.cancel();
    within(s.task).await.unwrap();

    let mut s = server();
    s.client.write_all(b"GET /never HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    read_until(&mut s.client, "\r\n\r\n").await;
    s.stop.cancel();
    s.cut.cancel();
    within(s.task).await.unwrap();
}

#[tokio::test]
async fn cutting_does_not_wait_for_sessions() {
    let mut s = server();
    s.client.write_all(b"POST /echo HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\n\r\n").await.unwrap();
    read_until(&mut s.client, "early:").await;
    s.stop.cancel();
    s.cut.cancel();
    within(s.task).await.unwrap();
}

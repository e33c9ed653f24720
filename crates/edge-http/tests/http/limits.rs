//! Bodies that are too large or not what they should be.

use headwater_edge_http::limits::BODY_BYTES_MAX;

use super::client::{post, raw};
use super::fake::Server;

#[tokio::test]
async fn an_oversized_body_is_refused() {
    let server = Server::start().await;
    let sql = "x".repeat(BODY_BYTES_MAX);
    let reply = post(
        server.address,
        "/api/sql",
        "application/json",
        &format!(r#"{{"sql": "{sql}"}}"#),
    )
    .await;
    // The answer may be lost when the server closes while the client still sends.
    assert!(matches!(reply.status, 413 | 0), "{}", reply.status);
    assert_eq!(server.calls(), 0);
}

#[tokio::test]
async fn a_claimed_length_is_refused_without_waiting_for_it() {
    let server = Server::start().await;
    let request = format!(
        "POST /api/sql HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\nconnection: close\r\n\r\n{{",
        server.address
    );
    let reply = raw(server.address, request.as_bytes()).await;
    assert_eq!(reply.status, 413);
    assert!(reply.message().contains("larger"), "{}", reply.message());
}

#[tokio::test]
async fn a_chunked_body_is_cut_off_at_the_limit() {
    let server = Server::start().await;
    let mut request = format!(
        "POST /api/sql HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        server.address
    )
    .into_bytes();
    let chunk = vec![b' '; 64 << 10];
    for _ in 0..BODY_BYTES_MAX / chunk.len() + 1 {
        request.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        request.extend(&chunk);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    let reply = raw(server.address, &request).await;
    assert!(matches!(reply.status, 413 | 0), "{}", reply.status);
    assert_eq!(server.calls(), 0);
}

#[tokio::test]
async fn a_body_that_is_not_the_expected_json_is_explained() {
    let server = Server::start().await;
    for body in ["", "{", "[]", "{}", r#"{"sql": 1}"#, "\u{0}"] {
        let reply = post(server.address, "/api/sql", "application/json", body).await;
        assert_eq!(reply.status, 400, "{body}");
        assert!(
            reply
                .message()
                .starts_with("the body is not what is expected"),
            "{}",
            reply.message()
        );
    }
    assert_eq!(server.calls(), 0);
}

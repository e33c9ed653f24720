//! What other people's pages try: nothing of it reaches the node.

use super::client::{get, post, raw};
use super::fake::Server;

#[tokio::test]
async fn other_hosts_and_origins_are_refused_with_a_sentence_before_the_node_hears_of_it() {
    let server = Server::start().await;
    let ours = server.address.to_string();
    let refused: [&[(&str, &str)]; 6] = [
        &[("host", "evil.example")],
        &[
            ("host", "evil.example:8080"),
            ("origin", "http://evil.example:8080"),
        ],
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1:1")],
        &[
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "no-cors"),
        ],
    ];
    for headers in refused {
        for path in ["/api/topics", "/metrics", "/api/live", "/health", "/"] {
            let reply = get(server.address, path, headers).await;
            assert_eq!(reply.status, 403, "{path} {headers:?}");
            assert!(reply.message().len() > 20 && reply.message().contains(' '));
            assert_eq!(reply.header("access-control-allow-origin"), None);
        }
    }
    assert_eq!(server.calls(), 0);
    let allowed = get(
        server.address,
        "/api/topics",
        &[("origin", &format!("http://{ours}"))],
    )
    .await;
    assert_eq!(allowed.status, 200);
    assert_eq!(
        get(server.address, "/api/topics", &[("host", "localhost:9")])
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_request_without_a_host_is_refused() {
    let server = Server::start().await;
    for request in [
        "GET /api/topics HTTP/1.0\r\n\r\n",
        "GET /api/topics HTTP/1.1\r\nconnection: close\r\n\r\n",
    ] {
        let reply = raw(server.address, request.as_bytes()).await;
        assert!(matches!(reply.status, 400 | 403), "{}", reply.status);
    }
    assert_eq!(server.calls(), 0);
}

#[tokio::test]
async fn a_form_of_another_page_cannot_run_statements() {
    let server = Server::start().await;
    let body = r#"{"sql": "DROP VIEW v"}"#;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
    ] {
        let reply = post(server.address, "/api/sql", content_type, body).await;
        assert_eq!(reply.status, 415, "{content_type}");
        assert!(reply.message().contains("application/json"));
    }
    let preflight = format!(
        "OPTIONS /api/sql HTTP/1.1\r\nhost: {}\r\norigin: http://evil.example\r\nconnection: close\r\n\r\n",
        server.address
    );
    assert_eq!(raw(server.address, preflight.as_bytes()).await.status, 403);
    assert_eq!(server.calls(), 0);
}
